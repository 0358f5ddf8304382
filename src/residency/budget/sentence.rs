//! The budget's sentences: every one gives the figures and what to do.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Case, Kept, Limits, Short, narrow, wide};
use crate::residency::bytes::Bytes;
use crate::residency::keep_alive::KeepAlive;

impl Case<'_> {
    /// A figure in GB, with as many digits as the wanted model's size needs.
    fn gb(&self, bytes: u128) -> String {
        let digits = match self.size {
            0..100_000_000 => 3,
            100_000_000..1_000_000_000 => 2,
            _ => 1,
        };
        format!("{:.digits$}", narrow(bytes).gb())
    }

    fn needs(&self) -> String {
        if self.missing == 0 {
            "is in RAM, but cannot be kept there".to_owned()
        } else {
            format!("needs {} GB more", self.gb(self.missing))
        }
    }

    pub(super) fn reason(&self, short: Short) -> String {
        let taken = self.gb(self.models - self.missing);
        match short {
            Short::Budget => format!(
                "{}; {taken} of the {} GB for preloaded models are taken{}",
                self.needs(),
                self.gb(wide(self.shares.models)),
                self.listing()
            ),
            Short::Machine => format!(
                "{}; of the {} GB of RAM that programs leave{}, {taken} are taken by models{} and {} must stay for the \
                 system and contexts",
                self.needs(),
                self.gb(self.reach),
                self.within(),
                self.listing(),
                self.gb(self.margin)
            ),
        }
    }

    /// The largest of the kept models: ` (a 4.7, b 4.7, …)`.
    fn listing(&self) -> String {
        let mut kept: Vec<_> = self.others.iter().filter(|kept| kept.bytes > Bytes::ZERO).collect();
        kept.sort_by(|a, b| (b.bytes, &a.model).cmp(&(a.bytes, &b.model)));
        let mut text = String::new();
        for (at, kept) in kept.iter().take(3).enumerate() {
            let before = if at == 0 { " (" } else { ", " };
            let _ = write!(text, "{before}{} {}", kept.model, self.gb(wide(kept.bytes)));
        }
        text.push_str(match kept.len() {
            0 => "",
            1..=3 => ")",
            _ => ", …)",
        });
        text
    }

    pub(super) fn named(&self, drops: &[&Kept]) -> String {
        // Whole minutes are enough of a long time.
        let idle = |time: Duration| match time.as_secs() {
            seconds if seconds >= 60 => KeepAlive::For(Duration::from_secs(seconds - seconds % 60)),
            seconds => KeepAlive::For(Duration::from_secs(seconds)),
        };
        let named = |kept: &&Kept| {
            let unused = match kept.idle {
                // No use of it was ever seen.
                Duration::MAX => "not seen in use".to_owned(),
                time => format!("unused for {}", idle(time)),
            };
            format!("{} ({} GB, {unused})", kept.model, self.gb(wide(kept.bytes)))
        };
        drops.iter().map(named).collect::<Vec<_>>().join(", ")
    }

    /// Why it would not even fit if nothing else were kept.
    pub(super) fn alone(&self) -> String {
        let (shares, size) = (&self.shares, self.gb(self.size));
        if self.size <= wide(shares.models) {
            return format!(
                "needs {size} GB, and of the {} GB of RAM that programs leave{}, {} must stay for the system and \
                 contexts: {}",
                self.gb(self.reach),
                self.within(),
                self.gb(self.margin),
                self.advice(Short::Machine)
            );
        }
        match self.limits {
            Limits::Set { models_preload, .. } if wide(models_preload) < self.size => {
                let room = self.gb(wide(models_preload));
                format!("needs {size} GB, and memory.models_preload is {room} GB: raise it")
            }
            _ => format!(
                "needs {size} GB, and of {} GB of RAM{} {} are left for models beside {} for the system and {} for \
                 contexts: {}",
                self.gb(wide(shares.total)),
                self.within(),
                self.gb(wide(shares.models)),
                self.gb(wide(shares.system)),
                self.gb(wide(shares.context)),
                self.advice(Short::Budget)
            ),
        }
    }

    fn within(&self) -> &'static str {
        if self.machine.ram.cgroup_limit.is_some() { " in this cgroup" } else { "" }
    }

    pub(super) fn advice(&self, short: Short) -> &'static str {
        match (short, self.limits) {
            (Short::Machine, _) if self.machine.ram.cgroup_limit.is_some() => "raise the cgroup's limit",
            (Short::Machine, _) => "close a program",
            (Short::Budget, Limits::Auto) => "set memory: in the config",
            (Short::Budget, Limits::Set { models_preload, .. }) if models_preload > self.shares.models => {
                "lower memory.system or memory.context_cache"
            }
            (Short::Budget, Limits::Set { .. }) => "raise memory.models_preload",
        }
    }
}

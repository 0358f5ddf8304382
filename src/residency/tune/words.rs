//! What follows from a model's uses, in words for the sheet and the screen.

use std::fmt::Write as _;
use std::time::Duration;

use super::Tuning;
use super::policy::{Advice, FEW, percent_of};
use super::replay::{Outcome, gib_hours};
use crate::residency::keep_alive::KeepAlive;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

impl Tuning {
    /// Each policy beside the others: its name, cold starts, GiB·h, and those of them for nothing; the heads first. Hours
    /// where the size is not known.
    pub fn table(&self) -> Vec<[String; 4]> {
        let unit = if self.size.is_some() { "GIB·H" } else { "HOURS" };
        let mut rows = vec![["POLICY", "COLD STARTS", unit, "FOR NOTHING"].map(str::to_owned)];
        rows.extend(self.rows.iter().map(|(policy, outcome)| {
            let figure = |held: Duration| match self.size {
                Some(size) => format!("{:.1}", gib_hours(held, size)),
                None => format!("{:.1}", held.as_secs_f64() / 3600.0),
            };
            let loads = format!("{} of {}", outcome.loads, outcome.uses);
            [policy.to_string(), loads, figure(outcome.held), figure(outcome.wasted)]
        }));
        rows
    }

    /// What is known of it: `4.7 GB   1896 uses in 27 days`.
    pub fn head_words(&self) -> String {
        let size = self.size.map_or_else(|| "?".to_owned(), |size| size.to_string());
        let uses = if self.uses == 1 { "1 use".to_owned() } else { format!("{} uses", self.uses) };
        let (days, hours) = (self.span.as_secs() / DAY, self.span.as_secs() / HOUR);
        let span = match (days, hours) {
            (0 | 1, 0) => format!("{} min", self.span.as_secs() / 60),
            (0 | 1, _) => format!("{hours} h"),
            _ => format!("{days} days"),
        };
        format!("{size}   {uses} in {span}")
    }

    /// What follows by the rule, with what it would have kept and cost.
    pub fn advice_words(&self) -> String {
        let histogram = &self.histogram;
        let max = KeepAlive::For(self.rule.bounds.max);
        match self.advice {
            Advice::TooFew { returns } => {
                format!("too few to say: {returns} of at least {FEW} idle times are known; {SERVERS_OWN}")
            }
            Advice::Scattered { .. } => format!("idle times of every length are alike; {SERVERS_OWN}"),
            Advice::Away { keep_alive, within } => {
                let keep_alive = KeepAlive::For(keep_alive);
                format!("keep_alive {keep_alive}: only {within} % of its returns come within {max}")
            }
            Advice::Keep { keep_alive, head } => {
                let kept = histogram.within(keep_alive);
                let (within, all) = (histogram.within(self.rule.bounds.max), histogram.returns());
                let mut text = format!(
                    "keep_alive {} would have kept {} % of its returns within {max} in VRAM, {} % of all",
                    KeepAlive::For(keep_alive),
                    percent_of(kept, within),
                    percent_of(kept, all)
                );
                if let Some(Outcome { held, .. }) = self.cost() {
                    let _ = match self.size {
                        Some(size) => write!(text, ", at {:.1} GiB·h", gib_hours(held, size)),
                        None => write!(text, ", at {:.1} hours in VRAM", held.as_secs_f64() / 3600.0),
                    };
                }
                if !head.is_zero() {
                    let _ = write!(text, "; it hardly ever comes back before {}", KeepAlive::For(head));
                }
                text
            }
        }
    }
}

/// What applies where nothing follows.
const SERVERS_OWN: &str = "the server's own keep_alive applies";

//! The budget of RAM: whether one more model may be brought there, what has to go for it, and why not.

use std::time::Duration;

use super::bytes::{Bytes, GB, MIB};
use super::host::Ram;
use super::name::ModelName;

/// What the user allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limits {
    /// Computed from the machine.
    #[default]
    Auto,
    /// As the user divided it.
    Set(Shares),
}

/// RAM divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shares {
    /// For the system and other programs.
    pub system: Bytes,
    /// For models' files.
    pub models: Bytes,
    /// For what runners need beside the weights.
    pub context: Bytes,
    /// All of it.
    pub total: Bytes,
}

impl Shares {
    /// A machine's RAM divided: an eighth for the system (1 to 8 GB where there is that much), a quarter of the rest for
    /// contexts, all else for models.
    pub fn of(total: Bytes) -> Shares {
        // Whole megabytes read better than the odd bytes that a machine reports.
        let whole = |bytes: u64| bytes - bytes % MIB;
        let total = Bytes(if total.0 > MIB { whole(total.0) } else { total.0 });
        let system = Bytes(whole(total.0 / 8).clamp(GB / MIB * MIB, 8 * MIB * 1024).min(total.0));
        let rest = total.minus(system);
        let context = Bytes(whole(rest.0 / 4));
        Shares { system, models: rest.minus(context), context, total }
    }
}

impl Limits {
    /// The shares of a machine with that much RAM.
    pub fn shares(self, total: Bytes) -> Shares {
        match self {
            Limits::Auto => Shares::of(total),
            Limits::Set(shares) => shares,
        }
    }
}

/// A model that is in RAM on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub model: ModelName,
    /// What of it is in RAM, or will be.
    pub bytes: Bytes,
    /// What of that is locked: it is not available to anybody.
    pub locked: Bytes,
    /// Since its last use.
    pub idle: Duration,
    /// It is loaded.
    pub in_vram: bool,
    /// It is held by name: only its release lets it go.
    pub held: bool,
    /// It is on the preload list.
    pub listed: bool,
}

/// A model that is to be brought into RAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Which.
    pub model: ModelName,
    /// All its files.
    pub size: Bytes,
    /// What of them is not in RAM yet.
    pub missing: Bytes,
}

/// The machine as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Its memory, or its cgroup's.
    pub ram: Ram,
    /// What runners hold beside the files.
    pub runners: Bytes,
}

/// What comes of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is room.
    Fits {
        /// About so much page cache of other files has to go for it.
        pushes_out: Bytes,
    },
    /// There is room once these are dropped, in this order.
    MakesRoom {
        /// Which.
        drops: Vec<ModelName>,
    },
    /// There is none: the numbers, and what to do.
    Refused {
        /// In words for the user.
        why: String,
    },
}

/// Whether `want` may be brought into RAM beside what is `kept` there. With `make_room` the model that was longest
/// unused goes first, unlisted ones before those of the list; none that is loaded or held does.
///
/// Clean page cache counts as available, so a reading hardly lowers `MemAvailable`; but it must not push out what is kept,
/// nor take what programs and contexts still need ([`margin`]).
pub fn verdict(limits: Limits, machine: &Machine, kept: &[Kept], want: &Want, make_room: bool) -> Verdict {
    let short = |kept: &[&Kept]| shortage(limits, machine, kept, want);
    let mut left: Vec<&Kept> = kept.iter().collect();
    let Some(why) = short(&left) else {
        return Verdict::Fits {
            pushes_out: want.missing.minus(machine.ram.free).min(machine.ram.page_cache),
        };
    };
    if !make_room {
        return Verdict::Refused { why };
    }
    let mut victims: Vec<&Kept> = kept.iter().filter(|kept| !kept.in_vram && !kept.held).collect();
    victims.sort_by(|a, b| (a.listed, b.idle, &a.model).cmp(&(b.listed, a.idle, &b.model)));
    let mut drops = Vec::new();
    for victim in victims {
        left.retain(|kept| kept.model != victim.model);
        drops.push(victim.model.clone());
        if short(&left).is_none() {
            return Verdict::MakesRoom { drops };
        }
    }
    Verdict::Refused { why }
}

/// What stands against the wish, in words; `None` if nothing does.
fn shortage(limits: Limits, machine: &Machine, kept: &[&Kept], want: &Want) -> Option<String> {
    let shares = limits.shares(machine.ram.total);
    let taken: Bytes = kept.iter().map(|kept| kept.bytes).sum();
    if want.size > shares.models {
        return Some(format!(
            "it needs {}, and {} are for preloaded models: raise memory.models_preload",
            want.size, shares.models
        ));
    }
    if taken + want.size > shares.models {
        let names: Vec<String> = kept
            .iter()
            .filter(|kept| kept.bytes > Bytes::ZERO)
            .map(|kept| format!("{} {}", kept.model, kept.bytes))
            .collect();
        return Some(format!(
            "it needs {}, and {taken} of the {} for preloaded models are taken ({}): drop one, or raise \
             memory.models_preload",
            want.size,
            shares.models,
            names.join(", ")
        ));
    }
    let margin = margin(limits, machine);
    // Locked pages are not available; all other kept ones are counted as if they could go, and must not.
    let unlocked: Bytes = kept.iter().map(|kept| kept.bytes.minus(kept.locked)).sum();
    let there = want.size.minus(want.missing);
    let room = machine.ram.available.minus(unlocked).minus(there).minus(margin);
    (want.missing > room).then(|| {
        format!(
            "it needs {} more; of {} available {} are models kept in RAM and {margin} must stay for programs and \
             contexts: {room} are left",
            want.missing,
            machine.ram.available,
            unlocked + there
        )
    })
}

/// What must stay available: what runners may still need of their share, and always [`floor`].
pub fn margin(limits: Limits, machine: &Machine) -> Bytes {
    let shares = limits.shares(machine.ram.total);
    shares.context.minus(machine.runners).max(floor(machine.ram.total))
}

/// Below this much available memory nothing is read into RAM or kept there: a thirty-second of the machine, at least
/// 256 MiB where that is no more than an eighth.
pub fn floor(total: Bytes) -> Bytes {
    Bytes((total.0 / 32).max(256 * MIB).min(total.0 / 8))
}

/// Why a reading has to stop, in words; asked again and again while it goes on.
pub fn why_stop(before: &Ram, now: &Ram) -> Option<String> {
    /// Less than this is a page here and there.
    const SWAPPED: Bytes = Bytes(64 * MIB);
    let swapped = now.swap_used.minus(before.swap_used);
    if swapped > SWAPPED {
        return Some(format!("stopped: the machine began to swap ({swapped} more)"));
    }
    let floor = floor(now.total);
    (now.available < floor)
        .then(|| format!("stopped: {} are available, less than the {floor} that must stay", now.available))
}

/// What the server will see once so much more is locked: below its limit an Ollama with a card of its own reads weights
/// instead of mapping them (`sched.go:1227-1241`: less free than the file and max(8 GB, 10 % of RAM)). `None` if locking
/// changes nothing.
pub fn server_sees(available: Bytes, locked: Bytes, file: Bytes, total: Bytes) -> Option<String> {
    let least = file + Bytes((8 * GB).max(total.0 / 10));
    let left = available.minus(locked);
    (available >= least && left < least).then(|| {
        format!(
            "with less than {least} free it no longer maps the weights of a model of {file}, but reads them"
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gb(gigabytes: u64) -> Bytes {
        Bytes(gigabytes * GB)
    }

    fn name(text: &str) -> ModelName {
        ModelName::from_server(text)
    }

    /// The idea's table: 32 GB, of which 19 are for models.
    fn idea() -> Limits {
        Limits::Set(Shares { system: gb(4), models: gb(19), context: gb(9), total: gb(32) })
    }

    fn machine(available: u64) -> Machine {
        let ram =
            Ram { total: gb(32), available: gb(available), free: gb(2), page_cache: gb(9), ..Ram::default() };
        Machine { ram, runners: Bytes::ZERO }
    }

    fn kept(model: &str, gigabytes: u64, idle: u64) -> Kept {
        Kept {
            model: name(model),
            bytes: gb(gigabytes),
            locked: Bytes::ZERO,
            idle: Duration::from_secs(idle),
            in_vram: false,
            held: false,
            listed: true,
        }
    }

    fn want(gigabytes: u64) -> Want {
        Want { model: name("new"), size: gb(gigabytes), missing: gb(gigabytes) }
    }

    fn refused(verdict: Verdict) -> String {
        let Verdict::Refused { why } = verdict else { panic!("{verdict:?}") };
        why
    }

    #[test]
    fn the_ideas_three_models_fit_and_a_fourth_does_not() {
        let two = [kept("openthinker3-7b", 5, 9), kept("qwen2.5-coder:7b", 5, 5)];
        let fits = verdict(idea(), &machine(28), &two, &want(9), false);
        assert_eq!(fits, Verdict::Fits { pushes_out: gb(7) });
        let three = [&two[..], &[kept("deepseek-r1:14b", 9, 1)]].concat();
        assert_eq!(
            refused(verdict(idea(), &machine(28), &three, &want(1), false)),
            "it needs 1.0 GB, and 19.0 GB of the 19.0 GB for preloaded models are taken (openthinker3-7b 5.0 GB, \
             qwen2.5-coder:7b 5.0 GB, deepseek-r1:14b 9.0 GB): drop one, or raise memory.models_preload"
        );
        assert!(
            refused(verdict(idea(), &machine(28), &[], &want(20), true)).starts_with("it needs 20.0 GB, and")
        );
    }

    #[test]
    fn what_programs_and_contexts_need_stays() {
        let why = refused(verdict(idea(), &machine(12), &[], &want(5), false));
        assert!(
            why.contains("of 12.0 GB available 0 B are models kept in RAM and 9.0 GB must stay"),
            "{why}"
        );
        let mut busy = machine(12);
        busy.runners = gb(7);
        assert!(matches!(verdict(idea(), &busy, &[], &want(5), false), Verdict::Fits { .. }));
    }

    #[test]
    fn what_is_there_already_is_not_counted_twice() {
        let rest = Want { missing: gb(1), ..want(9) };
        assert!(matches!(verdict(idea(), &machine(18), &[], &rest, false), Verdict::Fits { .. }));
        assert!(matches!(verdict(idea(), &machine(17), &[], &rest, false), Verdict::Refused { .. }));
    }

    #[test]
    fn locked_pages_are_not_available_and_take_no_room_from_what_is() {
        let locked = Kept { locked: gb(9), ..kept("a", 9, 1) };
        assert!(matches!(verdict(idea(), &machine(15), &[locked], &want(6), false), Verdict::Fits { .. }));
        assert!(matches!(
            verdict(idea(), &machine(15), &[kept("a", 9, 1)], &want(6), false),
            Verdict::Refused { .. }
        ));
    }

    #[test]
    fn room_is_made_by_what_was_longest_unused_and_never_by_what_is_loaded_or_held() {
        let drops = |kept: &[Kept], wanted| match verdict(idea(), &machine(28), kept, &want(wanted), true) {
            Verdict::MakesRoom { drops } => drops.iter().map(ToString::to_string).collect::<Vec<_>>(),
            other => vec![format!("{other:?}")],
        };
        let three = [kept("old", 5, 900), kept("young", 5, 10), kept("middle", 9, 100)];
        assert_eq!(drops(&three, 4), ["old"]);
        assert_eq!(drops(&three, 9), ["old", "middle"]);
        let mut unlisted = three.clone();
        unlisted[1].listed = false;
        assert_eq!(drops(&unlisted, 4), ["young"]);
        let mut fixed = three.clone();
        (fixed[0].in_vram, fixed[1].held) = (true, true);
        assert_eq!(drops(&fixed, 4), ["middle"]);
        assert!(drops(&fixed, 12)[0].starts_with("Refused"));
    }

    #[test]
    fn a_machine_is_divided_as_the_proposed_config_divides_it() {
        let shares = Shares::of(Bytes(24 << 30));
        assert_eq!(shares.system, Bytes(3 << 30));
        assert_eq!(shares.system + shares.models + shares.context, shares.total);
        for total in [0, 1, MIB, 300 * MIB, u64::MAX] {
            let shares = Shares::of(Bytes(total));
            assert!(shares.system + shares.models + shares.context <= Bytes(total), "{total}");
        }
    }

    #[test]
    fn a_reading_stops_when_the_machine_swaps_or_memory_is_short() {
        let before = machine(10).ram;
        assert_eq!(why_stop(&before, &before), None);
        let swaps = Ram { swap_used: gb(1), ..before };
        assert_eq!(why_stop(&before, &swaps).unwrap(), "stopped: the machine began to swap (1.0 GB more)");
        let short = Ram { available: Bytes(MIB), ..before };
        assert!(why_stop(&before, &short).unwrap().contains("are available, less than"));
    }

    #[test]
    fn a_lock_that_changes_how_the_server_loads_is_said() {
        assert_eq!(server_sees(gb(28), gb(5), gb(9), gb(32)), None);
        assert!(server_sees(gb(20), gb(5), gb(9), gb(32)).unwrap().contains("less than 17.0 GB free"));
        assert_eq!(server_sees(gb(10), gb(5), gb(9), gb(32)), None, "it reads them already");
    }

    proptest! {
        #[test]
        fn whatever_is_allowed_keeps_to_the_budget_and_leaves_the_margin(
            total in 0..1_u64 << 40, available in 0..1_u64 << 40, free in 0..1_u64 << 40, runners in 0..1_u64 << 36,
            sizes in prop::collection::vec((0..1_u64 << 36, 0..1_u64 << 36, any::<[bool; 3]>(), 0..1000_u64), 0..6),
            size in 0..1_u64 << 38, missing in 0..1_u64 << 38, set in any::<bool>(), make_room in any::<bool>(),
        ) {
            let limits = if set {
                let [system, models, context] = [total / 8, total / 2, total / 4].map(Bytes);
                Limits::Set(Shares { system, models, context, total: Bytes(total) })
            } else {
                Limits::Auto
            };
            let ram = Ram { total: Bytes(total), available: Bytes(available.min(total)), free: Bytes(free), ..Ram::default() };
            let machine = Machine { ram, runners: Bytes(runners) };
            let kept: Vec<Kept> = sizes.iter().enumerate().map(|(i, (bytes, locked, [in_vram, held, listed], idle))| Kept {
                model: name(&format!("m{i}")), bytes: Bytes(*bytes), locked: Bytes(*locked.min(bytes)),
                idle: Duration::from_secs(*idle), in_vram: *in_vram, held: *held, listed: *listed,
            }).collect();
            let want = Want { model: name("new"), size: Bytes(size), missing: Bytes(missing.min(size)) };
            let allowed = verdict(limits, &machine, &kept, &want, make_room);
            let gone = match &allowed {
                Verdict::Refused { why } => { prop_assert!(!why.is_empty()); return Ok(()); }
                Verdict::MakesRoom { drops } => { prop_assert!(make_room && !drops.is_empty()); drops.clone() }
                Verdict::Fits { .. } => Vec::new(),
            };
            let left: Vec<&Kept> = kept.iter().filter(|kept| !gone.contains(&kept.model)).collect();
            prop_assert!(kept.iter().filter(|kept| kept.held || kept.in_vram).all(|kept| !gone.contains(&kept.model)));
            let sum: Bytes = left.iter().map(|kept| kept.bytes).sum();
            prop_assert!(sum + want.size <= limits.shares(ram.total).models);
            let unlocked: Bytes = left.iter().map(|kept| kept.bytes.minus(kept.locked)).sum();
            if want.missing > Bytes::ZERO {
                prop_assert!(unlocked + want.size + margin(limits, &machine) <= ram.available);
            }
        }
    }
}

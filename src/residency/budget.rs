//! The budget of RAM: whether a model may be brought in beside those that are kept there, by the user's limits and by
//! what the machine can spare without swapping.
//!
//! Clean page cache counts as available, so a model in RAM hardly lowers `MemAvailable`: what may be filled with
//! models is what is available *less* the models that are kept and less the margin, never simply what is available.

mod sentence;

use std::time::Duration;

use super::bytes::{Bytes, GB, GIB, MIB};
use super::host::Ram;
use super::name::ModelName;

/// What the user allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limits {
    /// Computed from the machine.
    #[default]
    Auto,
    /// As the config's `memory` says.
    Set {
        /// For the system and other programs.
        system: Bytes,
        /// For preloaded models.
        models_preload: Bytes,
        /// For the runners' contexts.
        context_cache: Bytes,
        /// All of it.
        total: Bytes,
    },
}

/// Memory divided: who may have how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// For the system and other programs.
    pub system: Bytes,
    /// For models in RAM.
    pub models: Bytes,
    /// For what runners need beside the weights.
    pub context: Bytes,
    /// All of it.
    pub total: Bytes,
}

/// A model that is kept in RAM on purpose: warmed or held by us, or on the preload list and there. Models that share
/// their files are one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub model: ModelName,
    /// What of it is in RAM now.
    pub bytes: Bytes,
    /// How long ago it was used last.
    pub idle: Duration,
    /// Some of it is in VRAM.
    pub in_vram: bool,
    /// A person said to hold it.
    pub held: bool,
    /// It is on the preload list.
    pub listed: bool,
}

/// A model that is to be brought into RAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Its name.
    pub model: ModelName,
    /// All its files.
    pub size: Bytes,
    /// What of them is not in RAM yet.
    pub missing: Bytes,
}

/// The machine as it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Machine {
    /// Main memory; the cgroup's where that is smaller.
    pub ram: Ram,
    /// Anonymous memory of all runners.
    pub runners: Bytes,
    /// Models' pages that we hold locked: they are no longer among what is available.
    pub locked: Bytes,
}

/// Whether a model may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Fits {
        /// About how much of other files' page cache goes for it.
        pushes_out: Bytes,
    },
    /// It may once these are dropped.
    MakesRoom {
        /// Least needed first.
        drops: Vec<ModelName>,
        /// Which and why, in a sentence.
        why: String,
    },
    /// It may not.
    Refused {
        /// The figures and what to do, in a sentence.
        why: String,
    },
}

/// Swap that may come into use while a model is read before that is taken as its fault: idle programs are swapped out
/// a page at a time on any machine.
const SWAP_NOISE: Bytes = Bytes(16 * MIB);

impl Shares {
    /// The machine's memory divided: an eighth for the system (1 to 8 GB where there is that much), a quarter of the
    /// rest for contexts.
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
    /// These limits on a machine with `total`: models get nothing of what the other two need of the memory there is.
    pub fn shares(self, total: Bytes) -> Shares {
        let Limits::Set { system, models_preload, context_cache, total: allowed } = self else {
            return Shares::of(total);
        };
        let total = total.min(allowed);
        let models = models_preload.min(total.minus(system).minus(context_cache));
        Shares { system, models, context: context_cache, total }
    }
}

/// What must stay available at all times, beside all models: what the system and the runners have not taken of their
/// shares yet, and a 32nd of the memory (1 GiB at most) even when both have, so that the machine never swaps for us.
pub fn margin(limits: Limits, machine: &Machine) -> Bytes {
    let shares = limits.shares(machine.ram.total);
    let beside = machine.ram.used.minus(machine.runners).minus(machine.locked);
    (shares.system.minus(beside) + shares.context.minus(machine.runners)).max(least(&machine.ram))
}

/// What all models that are kept in RAM may take together: the budget's share, or what the machine can spare.
pub fn room(limits: Limits, machine: &Machine) -> Bytes {
    let spare = (machine.ram.available + machine.locked).minus(margin(limits, machine));
    limits.shares(machine.ram.total).models.min(spare)
}

/// Below this much available memory nothing is read into RAM or kept there, whoever has the rest.
pub fn least(ram: &Ram) -> Bytes {
    Bytes((ram.total.0 / 32).min(GIB))
}

/// Whether `want` may come in beside the models that are `kept`; with `make_room` some of them may go for it.
///
/// Kept models are never pushed out by a new one, so their sum must fit into the budget, and beside the margin into
/// what programs leave. Whatever the verdict allows, asked again when it is done, fits.
pub fn verdict(limits: Limits, machine: &Machine, kept: &[Kept], want: &Want, make_room: bool) -> Verdict {
    let others: Vec<&Kept> = kept.iter().filter(|kept| kept.model != want.model).collect();
    let case = Case::new(limits, machine, &others, want);
    let Some(short) = case.short(case.models) else {
        return Verdict::Fits { pushes_out: case.pushes_out() };
    };
    if machine.ram.total == Bytes::ZERO {
        let why = "how much RAM there is cannot be read, so nothing can be warmed safely".to_owned();
        return Verdict::Refused { why };
    }
    if case.short(case.size).is_some() {
        return Verdict::Refused { why: case.alone() };
    }
    if !make_room {
        return Verdict::Refused {
            why: format!("{}: drop one, or {}", case.reason(short), case.advice(short)),
        };
    }
    let Some(drops) = case.drops() else {
        let why = format!(
            "{}: dropping those that are neither in VRAM nor held is not enough; {}",
            case.reason(short),
            case.advice(short)
        );
        return Verdict::Refused { why };
    };
    Verdict::MakesRoom {
        why: format!("drops {}: {}", case.named(&drops), case.reason(short)),
        drops: drops.into_iter().map(|kept| kept.model.clone()).collect(),
    }
}

/// Why the reading of a model must stop, asked every few hundred MiB; `models` is what is to be in RAM at its end, the
/// kept ones and this one.
pub fn why_stop(limits: Limits, before: &Ram, now: &Machine, models: Bytes) -> Option<String> {
    let swapped = now.ram.swap_used.minus(before.swap_used);
    if swapped > SWAP_NOISE {
        return Some(format!(
            "{swapped} more of swap came into use, {} in all: close a program, or keep fewer models",
            now.ram.swap_used
        ));
    }
    let margin = margin(limits, now);
    let available = now.ram.available;
    // A budget that was full to the byte must not stop for the next page that a program takes.
    let slack = wide(least(&now.ram)) / 4;
    let is_short = wide(available) + wide(now.locked) + slack < wide(models) + wide(margin);
    if available >= margin && !is_short {
        return None;
    }
    let models = if is_short && models > Bytes::ZERO {
        format!(" beside {:.1} GB of models", models.gb())
    } else {
        String::new()
    };
    Some(format!(
        "programs left {:.1} GB of RAM, and {:.1} GB must stay for the system and contexts{models}: close a program, \
         or keep fewer models",
        available.gb(),
        margin.gb(),
    ))
}

/// What an Ollama with a discrete card will do when we lock `locked_more`: locked memory is no longer available, and
/// with less free than the model's `file` and 8 GB (or a tenth of the RAM) it stops mapping weights. `None` if it
/// goes on as before.
pub fn server_sees(available: Bytes, locked_more: Bytes, file: Bytes, total: Bytes) -> Option<String> {
    let beside = Bytes(8 * GB).max(Bytes(total.0 / 10));
    let needed = file + beside;
    let left = available.minus(locked_more);
    if locked_more == Bytes::ZERO || left >= needed {
        return None;
    }
    let already = if available < needed { ", as it does not now either" } else { "" };
    Some(format!(
        "Ollama will see {:.1} GB of free RAM instead of {:.1}; with a discrete card and less than {:.1} GB (the file \
         and {:.1} GB) it reads weights without mapping them (--load-mode none){already}",
        left.gb(),
        available.gb(),
        needed.gb(),
        beside.gb()
    ))
}

/// Sums of hostile sizes must not saturate: two halves of 2⁶⁴ would fit into one.
fn wide(bytes: Bytes) -> u128 {
    bytes.0.into()
}

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Short {
    /// The budget for models.
    Budget,
    /// What the machine can spare now.
    Machine,
}

/// One question to the budget, in figures.
struct Case<'a> {
    limits: Limits,
    machine: &'a Machine,
    others: &'a [&'a Kept],
    shares: Shares,
    /// What models and margin share: what is available, and what only locks have taken from that.
    reach: u128,
    margin: u128,
    size: u128,
    missing: u128,
    /// All models once the wanted one is there.
    models: u128,
}

impl<'a> Case<'a> {
    fn new(limits: Limits, machine: &'a Machine, others: &'a [&'a Kept], want: &Want) -> Case<'a> {
        let size = wide(want.size.max(want.missing));
        Case {
            limits,
            machine,
            others,
            shares: limits.shares(machine.ram.total),
            reach: wide(machine.ram.available) + wide(machine.locked),
            margin: wide(margin(limits, machine)),
            size,
            missing: wide(want.missing),
            models: sum(others) + size,
        }
    }

    fn short(&self, models: u128) -> Option<Short> {
        if models > wide(self.shares.models) {
            Some(Short::Budget)
        } else if models + self.margin > self.reach {
            Some(Short::Machine)
        } else {
            None
        }
    }

    /// What is read takes free memory first, then the page cache of others.
    fn pushes_out(&self) -> Bytes {
        let ram = &self.machine.ram;
        let ours = (self.models - self.missing).saturating_sub(wide(self.machine.locked));
        let foreign = wide(ram.page_cache).saturating_sub(ours);
        narrow(self.missing.saturating_sub(wide(ram.free)).min(foreign))
    }

    /// The models that go: least recently needed first, listed ones after all others; no more than are needed.
    fn drops(&self) -> Option<Vec<&'a Kept>> {
        let mut may_go: Vec<&Kept> =
            self.others.iter().copied().filter(|kept| !kept.in_vram && !kept.held).collect();
        may_go.sort_by(|a, b| (a.listed, b.idle, &a.model).cmp(&(b.listed, a.idle, &b.model)));
        let enough = |drops: &[&Kept]| self.short(self.models - sum(drops)).is_none();
        let count = (1..=may_go.len()).find(|count| enough(&may_go[..*count]))?;
        let mut drops = may_go[..count].to_vec();
        // A large one may have made the small ones before it needless; the one needed last is spared first.
        for at in (0..drops.len()).rev() {
            let spared = drops.remove(at);
            if !enough(&drops) {
                drops.insert(at, spared);
            }
        }
        Some(drops)
    }
}

fn sum(kept: &[&Kept]) -> u128 {
    kept.iter().map(|kept| wide(kept.bytes)).sum()
}

fn narrow(bytes: u128) -> Bytes {
    Bytes(u64::try_from(bytes).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const IDEA: Limits = set(4 * GB, 19 * GB, 9 * GB);

    const fn set(system: u64, models: u64, context: u64) -> Limits {
        let total = Bytes(system + models + context);
        let (system, models_preload, context_cache) = (Bytes(system), Bytes(models), Bytes(context));
        Limits::Set { system, models_preload, context_cache, total }
    }

    /// A machine of which programs use `used`, `runners` of it the runners; the rest is page cache but for 1 GB.
    fn machine(total: u64, used: u64, runners: u64) -> Machine {
        let available = Bytes(total - used);
        let ram = Ram {
            total: Bytes(total),
            used: Bytes(used),
            available,
            free: Bytes(GB).min(available),
            page_cache: available.minus(Bytes(GB)),
            ..Ram::default()
        };
        Machine { ram, runners: Bytes(runners), locked: Bytes::ZERO }
    }

    fn kept(name: &str, bytes: u64, idle: u64) -> Kept {
        Kept {
            model: ModelName::from_server(name),
            bytes: Bytes(bytes),
            idle: Duration::from_secs(idle),
            in_vram: false,
            held: false,
            listed: true,
        }
    }

    fn want(name: &str, size: u64, missing: u64) -> Want {
        Want { model: ModelName::from_server(name), size: Bytes(size), missing: Bytes(missing) }
    }

    fn refused(verdict: Verdict) -> String {
        match verdict {
            Verdict::Refused { why } => why,
            other => panic!("{other:?}"),
        }
    }

    fn drops(verdict: &Verdict) -> Vec<String> {
        match verdict {
            Verdict::MakesRoom { drops, .. } => drops.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_ideas_three_models_fit_into_its_32_gb_one_after_the_other_and_a_fourth_does_not() {
        let three = [("openthinker3-7b", 5 * GB), ("qwen2.5-coder:7b", 5 * GB), ("deepseek-r1:14b", 9 * GB)];
        // The system's 4 GB are in use; first no runner has begun, then one has taken all of the contexts' 9 GB but 1.
        for here in [machine(32 * GB, 4 * GB, 0), machine(32 * GB, 12 * GB, 8 * GB)] {
            let mut there = Vec::new();
            for (name, size) in three {
                let verdict = verdict(IDEA, &here, &there, &want(name, size, size), false);
                assert!(matches!(verdict, Verdict::Fits { .. }), "{name}: {verdict:?}");
                there.push(kept(name, size, 0));
            }
            assert_eq!(
                refused(verdict(IDEA, &here, &there, &want("phi", 2 * GB, 2 * GB), false)),
                "needs 2.0 GB more; 19.0 of the 19.0 GB for preloaded models are taken (deepseek-r1:14b 9.0, \
                 openthinker3-7b 5.0, qwen2.5-coder:7b 5.0): drop one, or raise memory.models_preload"
            );
        }
    }

    #[test]
    fn the_same_holds_at_a_sixteenth_with_figures_that_can_be_told_apart() {
        let limits = set(250_000_000, 1_187_500_000, 562_500_000);
        let here = machine(2 * GB, 250_000_000, 0);
        let there = [kept("a", 312_500_000, 0), kept("b", 312_500_000, 0)];
        let third = want("c", 562_500_000, 562_500_000);
        assert!(matches!(verdict(limits, &here, &there, &third, false), Verdict::Fits { .. }));
        assert_eq!(
            refused(verdict(limits, &here, &there, &want("d", 600_000_000, 600_000_000), false)),
            "needs 0.60 GB more; 0.62 of the 1.19 GB for preloaded models are taken (a 0.31, b 0.31): drop one, or \
             raise memory.models_preload"
        );
    }

    #[test]
    fn every_refusal_gives_the_figures_and_what_to_do() {
        let there = [kept("a", 4_700_000_000, 60), kept("b:7b", 4_700_000_000, 0)];
        let nine = want("r1:14b", 9 * GB, 9 * GB);
        let limited = |mut machine: Machine| {
            machine.ram.cgroup_limit = Some(machine.ram.total);
            machine
        };
        let auto = Limits::Auto;
        for (limits, here, there, want, expected) in [
            (
                set(4 * GB, 14 * GB, 9 * GB),
                machine(32 * GB, 4 * GB, 0),
                &there[..],
                &nine,
                "needs 9.0 GB more; 9.4 of the 14.0 GB for preloaded models are taken (a 4.7, b:7b 4.7): drop one, or \
                 raise memory.models_preload",
            ),
            (
                IDEA,
                machine(32 * GB, 10 * GB, 0),
                &there,
                &nine,
                "needs 9.0 GB more; of the 22.0 GB of RAM that programs leave, 9.4 are taken by models (a 4.7, b:7b \
                 4.7) and 9.0 must stay for the system and contexts: drop one, or close a program",
            ),
            (
                IDEA,
                machine(32 * GB, 20 * GB, 0),
                &[],
                &nine,
                "needs 9.0 GB, and of the 12.0 GB of RAM that programs leave, 9.0 must stay for the system and \
                 contexts: close a program",
            ),
            (
                set(4 * GB, 5 * GB, GB),
                machine(32 * GB, 4 * GB, 0),
                &[],
                &nine,
                "needs 9.0 GB, and memory.models_preload is 5.0 GB: raise it",
            ),
            (
                IDEA,
                machine(16 * GB, 2 * GB, 0),
                &[],
                &nine,
                "needs 9.0 GB, and of 16.0 GB of RAM 3.0 are left for models beside 4.0 for the system and 9.0 for \
                 contexts: lower memory.system or memory.context_cache",
            ),
            (
                auto,
                limited(machine(GB / 2, GB / 10, 0)),
                &[],
                &nine,
                "needs 9.0 GB, and of 0.5 GB of RAM in this cgroup 0.0 are left for models beside 0.5 for the \
                 system and 0.0 for contexts: set memory: in the config",
            ),
            (
                IDEA,
                limited(machine(32 * GB, 18 * GB, 0)),
                &there[..1],
                &want("c", 3 * GB, GB / 2),
                "needs 0.5 GB more; of the 14.0 GB of RAM that programs leave in this cgroup, 7.2 are taken by models (a \
                 4.7) and 9.0 must stay for the system and contexts: drop one, or raise the cgroup's limit",
            ),
            (
                set(4 * GB, 5 * GB, GB),
                machine(32 * GB, 4 * GB, 0),
                &there[..1],
                &want("c", 2 * GB, 0),
                "is in RAM, but cannot be kept there; 6.7 of the 5.0 GB for preloaded models are taken (a 4.7): drop \
                 one, or raise memory.models_preload",
            ),
            (
                IDEA,
                Machine::default(),
                &[],
                &nine,
                "how much RAM there is cannot be read, so nothing can be warmed safely",
            ),
        ] {
            assert_eq!(refused(verdict(limits, &here, there, want, false)), expected);
        }
    }

    #[test]
    fn what_is_read_takes_free_memory_first_and_then_the_page_cache_of_others() {
        let fits = |here: &Machine, there: &[Kept], want: &Want| match verdict(IDEA, here, there, want, false)
        {
            Verdict::Fits { pushes_out } => pushes_out,
            other => panic!("{other:?}"),
        };
        let here = machine(32 * GB, 4 * GB, 0);
        assert_eq!(fits(&here, &[], &want("a", 5 * GB, 5 * GB)), Bytes(4 * GB));
        assert_eq!(fits(&here, &[], &want("a", 5 * GB, GB)), Bytes::ZERO);
        assert_eq!(fits(&here, &[], &want("a", 5 * GB, 0)), Bytes::ZERO);
        // Nearly all of the cache is models of ours, so little of anybody else's can go.
        let mut full = here;
        full.ram.page_cache = Bytes(11 * GB);
        assert_eq!(fits(&full, &[kept("b", 9 * GB, 0)], &want("a", 5 * GB, 4 * GB)), Bytes(GB));
    }

    #[test]
    fn locked_models_are_not_available_and_yet_models() {
        let mut here = machine(32 * GB, 14 * GB, 0);
        here.locked = Bytes(10 * GB);
        let there = [kept("a", 5 * GB, 0), kept("b", 5 * GB, 0)];
        assert_eq!(margin(IDEA, &here), Bytes(9 * GB));
        assert!(matches!(
            verdict(IDEA, &here, &there, &want("c", 9 * GB, 9 * GB), false),
            Verdict::Fits { .. }
        ));
        assert!(matches!(
            verdict(IDEA, &machine(32 * GB, 14 * GB, 0), &there, &want("c", 9 * GB, 9 * GB), false),
            Verdict::Refused { .. }
        ));
    }

    #[test]
    fn the_least_needed_go_and_no_more_than_must() {
        let here = machine(32 * GB, 4 * GB, 0);
        let mut there =
            [kept("old", 2 * GB, 900), kept("large", 9 * GB, 600), kept("new", 3 * GB, 60), kept("x", GB, 0)];
        let drops_for =
            |there: &[Kept], gb: u64| drops(&verdict(IDEA, &here, there, &want("w", gb * GB, gb * GB), true));
        assert_eq!(drops_for(&there, 6), ["old"]);
        // The large one alone is enough: the older small one stays.
        assert_eq!(drops_for(&there, 10), ["large"]);
        assert_eq!(drops_for(&there, 15), ["old", "large"]);
        there[2].listed = false;
        assert_eq!(drops_for(&there, 6), ["new"]);
        (there[0].in_vram, there[1].held) = (true, true);
        let why = refused(verdict(IDEA, &here, &there, &want("w", 10 * GB, 10 * GB), true));
        assert_eq!(
            why,
            "needs 10.0 GB more; 15.0 of the 19.0 GB for preloaded models are taken (large 9.0, new 3.0, old 2.0, …): \
             dropping those that are neither in VRAM nor held is not enough; raise memory.models_preload"
        );
    }

    #[test]
    fn a_verdict_that_makes_room_says_what_goes_and_why() {
        let there = [kept("a", 14 * GB, 2_530)];
        let verdict = verdict(IDEA, &machine(32 * GB, 4 * GB, 0), &there, &want("b", 9 * GB, 9 * GB), true);
        let why = "drops a (14.0 GB, unused for 42m): needs 9.0 GB more; 14.0 of the 19.0 GB for preloaded models \
                   are taken (a 14.0)";
        assert_eq!(verdict, Verdict::MakesRoom { drops: vec![ModelName::from_server("a")], why: why.into() });
    }

    #[test]
    fn reading_stops_when_swap_comes_into_use_or_programs_take_what_models_were_to_have() {
        let before = machine(32 * GB, 4 * GB, 0);
        let stop = |now: &Machine, models: u64| why_stop(IDEA, &before.ram, now, Bytes(models * GB));
        assert_eq!(stop(&before, 19), None);
        // A runner that takes its own share takes nothing from models.
        assert_eq!(stop(&machine(32 * GB, 12 * GB, 8 * GB), 19), None);
        assert_eq!(stop(&machine(32 * GB, 4 * GB + 100 * MIB, 0), 19), None);
        assert_eq!(
            stop(&machine(32 * GB, 6 * GB, 0), 19).unwrap(),
            "programs left 26.0 GB of RAM, and 9.0 GB must stay for the system and contexts beside 19.0 GB of models: \
             close a program, or keep fewer models"
        );
        assert_eq!(
            stop(&machine(32 * GB, 24 * GB, 0), 0).unwrap(),
            "programs left 8.0 GB of RAM, and 9.0 GB must stay for the system and contexts: close a program, or keep \
             fewer models"
        );
        let mut swapping = before;
        swapping.ram.swap_used = SWAP_NOISE;
        assert_eq!(stop(&swapping, 19), None);
        swapping.ram.swap_used = Bytes(GB);
        assert_eq!(
            stop(&swapping, 19).unwrap(),
            "1.0 GB more of swap came into use, 1.0 GB in all: close a program, or keep fewer models"
        );
    }

    #[test]
    fn the_margin_never_falls_to_nothing() {
        assert_eq!(margin(IDEA, &machine(32 * GB, 16 * GB, 9 * GB)), Bytes(GB));
        assert_eq!(margin(IDEA, &machine(320 * GB, 310 * GB, 9 * GB)), Bytes(GIB));
        assert_eq!(margin(Limits::Auto, &Machine::default()), Bytes::ZERO);
    }

    #[test]
    fn the_budget_of_a_machine_adds_up_whatever_its_size() {
        for total in [0, 1, MIB, GB + 7, 8 * GB, 32 * GB, u64::MAX] {
            let Shares { system, models, context, total } = Shares::of(Bytes(total));
            assert_eq!(system + models + context, total);
        }
        assert_eq!(IDEA.shares(Bytes(32 * GB)).models, Bytes(19 * GB));
        assert_eq!(IDEA.shares(Bytes(16 * GB)).models, Bytes(3 * GB));
        assert_eq!(IDEA.shares(Bytes(GB)).models, Bytes::ZERO);
    }

    #[test]
    fn a_lock_that_changes_how_ollama_loads_is_told_beforehand() {
        let sees = |available, locked| {
            server_sees(Bytes(available * GB), Bytes(locked * GB), Bytes(5 * GB), Bytes(32 * GB))
        };
        assert_eq!(sees(28, 15), None);
        assert_eq!(
            sees(28, 19).unwrap(),
            "Ollama will see 9.0 GB of free RAM instead of 28.0; with a discrete card and less than 13.0 GB (the file \
             and 8.0 GB) it reads weights without mapping them (--load-mode none)"
        );
        assert!(sees(12, 2).unwrap().ends_with("(--load-mode none), as it does not now either"));
        assert_eq!(sees(12, 0), None);
        assert!(server_sees(Bytes(44 * GB), Bytes(GB), Bytes(5 * GB), Bytes(400 * GB)).is_some());
    }

    /// Sizes that meet each other, and hostile ones.
    fn size() -> impl Strategy<Value = Bytes> {
        prop_oneof![
            6 => (0..40_u64).prop_map(|gb| Bytes(gb * GB)),
            1 => any::<u64>().prop_map(Bytes),
            1 => select(vec![Bytes(1), Bytes(u64::MAX), Bytes(u64::MAX / 2 + 1)]),
        ]
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let set =
            (size(), size(), size(), size()).prop_map(|(system, models_preload, context_cache, total)| {
                Limits::Set { system, models_preload, context_cache, total }
            });
        prop_oneof![Just(Limits::Auto), Just(IDEA), set]
    }

    prop_compose! {
        fn any_machine()(
            total in size(), used in size(), free in size(), page_cache in size(), runners in size(),
            locked in size(), limited in any::<bool>(),
        ) -> Machine {
            let available = total.minus(used);
            let cgroup_limit = limited.then_some(total);
            let ram = Ram { total, used, available, free, page_cache, cgroup_limit, ..Ram::default() };
            Machine { ram, runners, locked }
        }
    }

    prop_compose! {
        fn any_kept()(
            name in 0..6, bytes in size(), idle in 0..5_u64, in_vram in any::<bool>(), held in any::<bool>(),
            listed in any::<bool>(),
        ) -> Kept {
            Kept { in_vram, held, listed, ..kept(&format!("m{name}"), bytes.0, idle) }
        }
    }

    proptest! {
        #[test]
        fn what_is_no_larger_than_the_room_is_what_a_verdict_lets_in(
            limits in limits(), here in any_machine(), size in size(),
        ) {
            // Sums beyond 2⁶⁴ are cut in the room, so that it is rather too small.
            let fits = matches!(
                super::verdict(limits, &here, &[], &want("m0", size.0, size.0), false),
                Verdict::Fits { .. }
            );
            // Of a machine that is over its margin already not even nothing is let in.
            prop_assert!(fits || size > room(limits, &here) || size == Bytes::ZERO);
            prop_assert!(!fits || size <= room(limits, &here) || here.ram.available.0 > u64::MAX / 2);
        }

        #[test]
        fn what_a_verdict_allows_keeps_the_budget_and_the_margin_and_fits_when_asked_again(
            limits in limits(), here in any_machine(), mut there in vec(any_kept(), 0..6), size in size(),
            missing in size(), make_room in any::<bool>(),
        ) {
            there.sort_by(|a, b| a.model.cmp(&b.model));
            there.dedup_by(|a, b| a.model == b.model);
            let want = want("m0", size.0, missing.0);
            let verdict = super::verdict(limits, &here, &there, &want, make_room);
            let gone = match &verdict {
                Verdict::Refused { why } => {
                    prop_assert!(!why.is_empty() && !why.contains('\n'));
                    return Ok(());
                }
                Verdict::Fits { pushes_out } => {
                    prop_assert!(*pushes_out <= here.ram.page_cache && *pushes_out <= missing);
                    Vec::new()
                }
                Verdict::MakesRoom { drops, .. } => {
                    prop_assert!(make_room && !drops.is_empty());
                    drops.clone()
                }
            };
            for kept in there.iter().filter(|kept| gone.contains(&kept.model)) {
                prop_assert!(!kept.in_vram && !kept.held && kept.model != want.model);
            }
            there.retain(|kept| !gone.contains(&kept.model) && kept.model != want.model);
            there.push(kept("m0", size.max(missing).0, 0));
            let models: u128 = there.iter().map(|kept| wide(kept.bytes)).sum();
            prop_assert!(models <= wide(limits.shares(here.ram.total).models));
            prop_assert!(models + wide(margin(limits, &here)) <= wide(here.ram.available) + wide(here.locked));
            let again = super::verdict(limits, &here, &there, &Want { missing: Bytes::ZERO, ..want }, make_room);
            prop_assert_eq!(again, Verdict::Fits { pushes_out: Bytes::ZERO });
        }
    }
}

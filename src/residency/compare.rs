//! Comparisons: which measured runs count, and what they say beside each other.

mod spread;

use std::sync::Arc;
use std::time::Duration;

pub use self::spread::Spread;
use super::bench::{BenchRun, BenchState, Kind, disturbs};
use super::bytes::Bytes;
use super::flow::{Flow, FlowState, Manner, StepState};
use super::host::LoadMode;
use super::name::ModelName;
use super::snapshot::Server;
use super::swap::{Before, Way};
use super::text::printable;

/// A load is cold if no more than these percent of its files were in RAM.
pub const COLD_PERCENT: u8 = 1;
/// And warm from these percent on: the page cache drops a page here and there.
pub const WARM_PERCENT: u8 = 95;

/// Why a run that should have been cold was not; `None` if it was.
pub fn why_not_cold(before: &Before) -> Option<String> {
    why_not(before, |percent| percent <= COLD_PERCENT)
}

/// Why a run that should have been warm was not; `None` if it was.
pub fn why_not_warm(before: &Before) -> Option<String> {
    why_not(before, |percent| percent >= WARM_PERCENT)
}

fn why_not(before: &Before, is_right: fn(u8) -> bool) -> Option<String> {
    if before.in_vram {
        return Some("it was in VRAM already".to_owned());
    }
    let Some(ram) = before.ram else {
        return Some("how much of it was in RAM cannot be read".to_owned());
    };
    // Rounded up: with 1.2 % in RAM it is not at most 1 %.
    let percent = 100 - before.whole.minus(ram).percent_of(before.whole);
    let mark = if before.estimate { "~" } else { "" };
    (!is_right(percent)).then(|| format!("{mark}{percent} % of it was in RAM"))
}

/// What is said where no run may be compared with another.
pub const NO_TWO_LOADS: &str = "no model has a valid cold and a valid warm run: nothing can be claimed";

/// What is said where no manner may be compared with another.
pub const NO_TWO_MANNERS: &str = "there is no valid run of two manners: nothing can be claimed";

/// One model's loads.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelLoads {
    /// Which.
    pub model: ModelName,
    /// All its files.
    pub size: Bytes,
    /// How the runner reads them.
    pub mode: LoadMode,
    /// What was measured of each kind, in the order of the table.
    pub kinds: Vec<(Kind, Spread)>,
    /// Cold over warm; `None` where one of them is missing: then nothing may be claimed.
    pub times: Option<f64>,
}

impl ModelLoads {
    /// What was measured of a kind.
    pub fn of(&self, kind: Kind) -> Option<&Spread> {
        self.kinds.iter().find(|(known, _)| *known == kind).map(|(_, spread)| spread)
    }
}

/// The valid runs, model by model in the order in which they were measured.
pub fn loads(runs: &[BenchRun]) -> Vec<ModelLoads> {
    let mut names: Vec<&ModelName> = Vec::new();
    for run in runs {
        if !names.contains(&&run.model) {
            names.push(&run.model);
        }
    }
    let of_model = |name: &ModelName| {
        let valid = || runs.iter().filter(|run| run.model == *name && run.took.is_ok());
        let newest = valid().next_back()?;
        let kinds: Vec<(Kind, Spread)> = Kind::WAYS
            .into_iter()
            .filter_map(|kind| {
                let times = valid().filter(|run| run.kind == kind).filter_map(|run| run.took.clone().ok());
                Some((kind, Spread::of(times)?))
            })
            .collect();
        let mode = valid().map(|run| run.mode).rfind(|mode| *mode != LoadMode::Unknown);
        let mut loads = ModelLoads {
            model: name.clone(),
            size: newest.size(),
            mode: mode.unwrap_or(LoadMode::Unknown),
            kinds,
            times: None,
        };
        let pair = loads.of(Kind::Cold(Way::Off)).zip(loads.of(Kind::Warm));
        loads.times = pair.and_then(|(cold, warm)| cold.times(warm));
        Some(loads)
    };
    names.into_iter().filter_map(of_model).collect()
}

/// One run of a workflow in a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowRun {
    /// As it ended.
    pub flow: Arc<Flow>,
    /// Why it does not count; `None` if it does.
    pub thrown: Option<String>,
    /// It went round a second time, with what lookahead had left in RAM: it stands beside the manners.
    pub again: bool,
}

/// A comparison of a workflow's manners as it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The workflow's name.
    pub name: String,
    /// Valid runs of each manner.
    pub rounds: u32,
    /// How far it is.
    pub state: BenchState,
    /// How the runners read their files, as far as one was seen.
    pub mode: LoadMode,
    /// The run under way.
    pub now: Option<Arc<Flow>>,
    /// The runs that are over, oldest first.
    pub runs: Vec<FlowRun>,
    /// What could not be put back, and why.
    pub left: Vec<String>,
}

impl Comparison {
    /// How many valid runs there are, and how many there are to be: a lookahead run goes round twice.
    pub fn progress(&self) -> (usize, usize) {
        let valid = self.runs.iter().filter(|run| run.thrown.is_none()).count();
        (valid, runs_of(self.rounds))
    }
}

/// How often a comparison goes through its workflow: once in each manner, and a second time with lookahead.
fn runs_of(rounds: u32) -> usize {
    (Manner::ALL.len() + 1) * rounds as usize
}

/// What a comparison of that workflow will disturb, to be asked first.
pub fn question(server: &Server, workflow: &str, models: &[ModelName], rounds: u32) -> String {
    format!(
        "the comparison {}, and runs {} {} times with its work; afterwards what was loaded and pinned comes back",
        disturbs(server, models),
        printable(workflow),
        runs_of(rounds)
    )
}

/// Why a run of a workflow did not come to its end; `None` if it did.
pub fn why_not_done(flow: &Flow) -> Option<String> {
    match &flow.state {
        FlowState::Done { .. } => None,
        FlowState::Failed { why } => Some(why.clone()),
        FlowState::Cancelled => Some("cancelled".to_owned()),
        FlowState::Running | FlowState::Paused => Some("it is not over".to_owned()),
    }
}

/// Why a run of a workflow does not count; `None` if it does. A cold run is one whose every swap was cold.
pub fn why_thrown(flow: &Flow) -> Option<String> {
    if let Some(why) = why_not_done(flow) {
        return Some(why);
    }
    let before = |at: usize| {
        let step = &flow.steps[at];
        step.swapping.as_ref().map(|swapping| (step, swapping.plan.before))
    };
    let wrong = |(step, before): (&super::flow::FlowStep, Before), why_not: fn(&Before) -> Option<String>| {
        // A model that is there already has no swap, cold or warm.
        let why = if before.in_vram { None } else { why_not(&before) };
        why.map(|why| format!("{} ({}): {why}", step.phase, step.model))
    };
    let swaps = (0..flow.steps.len()).filter_map(before);
    let measured = swaps.clone().any(|(_, before)| !before.in_vram);
    if !measured {
        return Some("no model had to be loaded".to_owned());
    }
    match flow.manner {
        Manner::Cold => swaps.into_iter().find_map(|swap| wrong(swap, why_not_cold)),
        Manner::Warm => swaps.into_iter().find_map(|swap| wrong(swap, why_not_warm)),
        // It begins cold: the first swap has nothing that could have been read ahead of it.
        Manner::Lookahead => {
            let mut swaps = swaps;
            swaps.find(|(_, before)| !before.in_vram).and_then(|swap| wrong(swap, why_not_cold))
        }
    }
}

/// What one step took in each manner.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTimes {
    /// Its place among the workflow's steps, from 0.
    pub at: usize,
    /// Its phase.
    pub phase: String,
    /// Its model.
    pub model: ModelName,
    /// All its model's files.
    pub size: Option<Bytes>,
    /// The wait for its model: cold, warm, with lookahead.
    pub swap: [Option<Spread>; 3],
    /// What lookahead has to hide: what cold takes longer than warm; `None` where that is not clearly longer, and for
    /// the first step.
    pub read: Option<Duration>,
    /// The work before it, in which that can be hidden.
    pub room: Option<Duration>,
    /// Its work, over all runs.
    pub work: Option<Spread>,
    /// Of the wait for the disk, what lookahead hid: a share of 1; `None` where there was none, and for the first step,
    /// which has no work before it.
    pub hidden: Option<f64>,
}

impl StepTimes {
    /// Whether the work before it is longer than the read that it has to hide.
    pub fn has_room(&self) -> Option<bool> {
        Some(self.room? > self.read?)
    }
}

/// A workflow's manners beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowTimes {
    /// Its steps.
    pub steps: Vec<StepTimes>,
    /// Waiting for models: cold, warm, with lookahead.
    pub swaps: [Option<Spread>; 3],
    /// Everything: cold, warm, with lookahead.
    pub totals: [Option<Spread>; 3],
    /// The total cold over the total with lookahead.
    pub times: Option<f64>,
    /// The waiting cold over the waiting with lookahead.
    pub swap_times: Option<f64>,
    /// Of the wait for the disk after the first step, what lookahead hid: a share of 1.
    pub hidden: Option<f64>,
    /// The same over those steps alone before which the work is longer than the read.
    pub hidden_with_room: Option<f64>,
    /// The waiting with lookahead over the waiting warm, both after the first step.
    pub beside_warm: Option<f64>,
    /// Whether these two are equal within noise; `None` with too few runs to say.
    pub as_warm: Option<bool>,
    /// The waiting of a lookahead run that goes round a second time.
    pub again: Option<Spread>,
    /// That over the waiting warm.
    pub again_beside_warm: Option<f64>,
    /// Whether these two are equal within noise; `None` with too few runs to say.
    pub again_as_warm: Option<bool>,
}

impl FlowTimes {
    /// What may be said, in sentences; only of manners that have valid runs.
    pub fn claims(&self) -> Vec<String> {
        let mut claims = Vec::new();
        if let (Some(whole), Some(swaps)) = (self.times, self.swap_times) {
            claims.push(format!(
                "with lookahead the whole is {whole:.1}× as fast as cold, and the waiting for models {swaps:.1}×"
            ));
        }
        let warm = |three: &[Option<Spread>; 3]| three[0].as_ref()?.times(three[1].as_ref()?);
        if let (Some(whole), Some(swaps)) = (warm(&self.totals), warm(&self.swaps)) {
            claims.push(format!(
                "warm the whole is {whole:.1}× as fast as cold, and the waiting for models {swaps:.1}×"
            ));
        }
        if let Some(hidden) = self.hidden_with_room {
            claims.push(format!("where the work is longer than the read: {:.0} % hidden", hidden * 100.0));
        } else if self.hidden.is_some() {
            claims.push("no step's work before it is longer than its read".to_owned());
        }
        if let Some(hidden) = self.hidden {
            claims.push(format!("over all steps after the first: {:.0} % hidden", hidden * 100.0));
        }
        let noise = |is_equal| match is_equal {
            Some(true) => ", equal to warm within noise",
            Some(false) => ", more than noise",
            None => "",
        };
        if let Some(beside) = self.beside_warm {
            claims.push(format!("after the first step: {beside:.2}× warm{}", noise(self.as_warm)));
        }
        if let Some(beside) = self.again_beside_warm {
            claims.push(format!("the second time round: {beside:.2}× warm{}", noise(self.again_as_warm)));
        }
        if claims.is_empty() {
            claims.push(NO_TWO_MANNERS.to_owned());
        }
        claims
    }
}

/// What the runs that count say.
pub fn flows(runs: &[FlowRun]) -> FlowTimes {
    let counted = |again: bool| {
        let valid = runs.iter().filter(move |run| run.thrown.is_none() && run.again == again);
        valid.map(|run| &*run.flow)
    };
    let valid: Vec<&Flow> = counted(false).collect();
    let again = Spread::of(counted(true).map(|run| run.swaps));
    let by = |of: &dyn Fn(&Flow) -> Option<Duration>| {
        Manner::ALL.map(|manner| {
            Spread::of(valid.iter().filter(|run| run.manner == manner).filter_map(|run| of(run)))
        })
    };
    let shape = valid.iter().max_by_key(|run| run.steps.len()).map_or(&[][..], |run| &run.steps);
    let first = shape.iter().position(|step| !matches!(step.state, StepState::Skipped));
    let work =
        |at: usize| Spread::of(valid.iter().filter_map(|run| run.steps.get(at)?.work.map(|(_, took)| took)));
    let steps: Vec<StepTimes> = shape
        .iter()
        .enumerate()
        .map(|(at, step)| {
            let swap = by(&|run| run.steps.get(at)?.swap.map(|(_, took)| took));
            let is_first = Some(at) == first;
            StepTimes {
                at,
                phase: step.phase.clone(),
                model: step.model.clone(),
                size: step.swapping.as_ref().map(|swapping| swapping.plan.before.whole),
                hidden: if is_first { None } else { hidden(&swap) },
                read: if is_first { None } else { read(&swap) },
                room: (0..at).rev().find_map(work).map(|work| work.median),
                swap,
                work: work(at),
            }
        })
        .filter(|step| step.work.is_some() || step.swap.iter().any(Option::is_some))
        .collect();
    let swaps = by(&|run| Some(run.swaps));
    let totals = by(&|run| match run.state {
        FlowState::Done { took } => Some(took),
        _ => None,
    });
    // Of each run what it waited after its first step.
    let later = by(&|run| {
        let first = run.steps.get(first?)?.swap.map(|(_, took)| took).unwrap_or_default();
        Some(run.swaps.saturating_sub(first))
    });
    // The same of the steps before which the work is longer than the read.
    let roomy: Vec<usize> = steps
        .iter()
        .filter(|step| step.has_room() == Some(true) && step.read.is_some())
        .map(|step| step.at)
        .collect();
    let with_room = by(&|run| {
        let took = |at: &usize| Some(run.steps.get(*at)?.swap?.1);
        roomy.iter().map(took).sum::<Option<Duration>>().filter(|_| !roomy.is_empty())
    });
    let ratio = |[over, under]: [Option<Spread>; 2]| over?.times(&under?);
    FlowTimes {
        times: ratio([totals[0], totals[2]]),
        swap_times: ratio([swaps[0], swaps[2]]),
        hidden: hidden(&later),
        hidden_with_room: hidden(&with_room),
        beside_warm: ratio([later[2], later[1]]),
        as_warm: later[2].zip(later[1]).and_then(|(ahead, warm)| ahead.is_within_noise_of(&warm)),
        again_beside_warm: ratio([again, swaps[1]]),
        again_as_warm: again.zip(swaps[1]).and_then(|(again, warm)| again.is_within_noise_of(&warm)),
        again,
        steps,
        swaps,
        totals,
    }
}

/// What cold takes longer than warm; `None` where it is not clearly longer.
fn read(swap: &[Option<Spread>; 3]) -> Option<Duration> {
    let (cold, warm) = (swap[0]?.median, swap[1]?.median);
    let read = cold.saturating_sub(warm);
    (read > cold / 20).then_some(read)
}

/// Of that what lookahead does not take.
fn hidden(swap: &[Option<Spread>; 3]) -> Option<f64> {
    let hid = swap[0]?.median.as_secs_f64() - swap[2]?.median.as_secs_f64();
    Some((hid / read(swap)?.as_secs_f64()).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;

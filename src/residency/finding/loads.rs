//! What loads of the last time tell: models that are loaded anew again and again, and models that throw each other out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{Facts, Finding, Kind, Severity};
use crate::residency::name::ModelName;
use crate::residency::record::SwapRecord;
use crate::residency::swap::Ended;

/// How far back reloads are counted.
const HOUR: Duration = Duration::from_secs(3600);
/// So many reloads within an hour are churn.
const CHURN: usize = 3;
/// How far back evictions are counted.
const LATELY: Duration = Duration::from_secs(600);
/// So many evictions to and fro are a loop.
const LOOP: usize = 4;
/// Models that were loaded again because another context was asked for than the one they ran with.
pub(super) fn churn(facts: &Facts<'_>) -> Vec<Finding> {
    #[derive(Default)]
    struct Seen {
        context: Option<u64>,
        reloads: usize,
        waited: Duration,
        untimed: u32,
        contexts: BTreeSet<u64>,
    }
    let mut seen: BTreeMap<&ModelName, Seen> = BTreeMap::new();
    for load in since(facts, HOUR) {
        let model = seen.entry(&load.model).or_default();
        // Its own runner went for it. What had left before, by an unload or for another one, was no reload.
        let is_reload = load.displaced.iter().flatten().any(|name| *name == load.model)
            || (load.ours && load.before.in_vram);
        if let (Some(before), Some(now)) = (model.context, load.num_ctx)
            && before != now
            && is_reload
        {
            model.reloads += 1;
            model.contexts.extend([before, now]);
            model.waited += load.took().unwrap_or_default();
            model.untimed += u32::from(load.took().is_none());
        }
        model.context = load.num_ctx.or(model.context);
    }
    seen.into_iter()
        .filter(|(_, seen)| seen.reloads >= CHURN)
        .map(|(model, seen)| {
            let contexts: Vec<String> = seen.contexts.iter().map(ToString::to_string).collect();
            let most = seen.contexts.last().copied().unwrap_or_default();
            // What nobody saw begin took as long as such a load does.
            let waited = match usual(facts, model) {
                Some(usual) => Some(seen.waited + usual * seen.untimed),
                None => Some(seen.waited).filter(|waited| !waited.is_zero()),
            };
            let waited = waited.map_or_else(String::new, |waited| format!(", ~{} waited", time(waited)));
            Finding {
                kind: Kind::ReloadChurn,
                model: Some(model.clone()),
                severity: Severity::Costs,
                since: None,
                evidence: format!(
                    "loaded anew {} times in the last hour{waited}: its clients ask for num_ctx {}",
                    seen.reloads,
                    contexts.join(" and "),
                ),
                advice: format!(
                    "let all clients ask for the same num_ctx, such as {most}; or for none, with \
                     OLLAMA_CONTEXT_LENGTH={most} at the server"
                ),
            }
        })
        .collect()
}

/// How long a load of that model takes: the median of those that were timed.
fn usual(facts: &Facts<'_>, model: &ModelName) -> Option<Duration> {
    let loads = facts.loads.iter().map(|(_, load)| load);
    let mut times: Vec<Duration> =
        loads.filter(|load| load.model == *model).filter_map(SwapRecord::took).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// Pairs that throw each other out, again and again; what only we do is a workflow.
pub(super) fn evictions(facts: &Facts<'_>) -> Vec<Finding> {
    struct Duel<'a> {
        last: &'a ModelName,
        turns: usize,
        by_others: bool,
        waited: Duration,
    }
    let mut duels: BTreeMap<(&ModelName, &ModelName), Duel<'_>> = BTreeMap::new();
    for load in since(facts, LATELY) {
        for displaced in load.displaced.iter().flatten().filter(|displaced| **displaced != load.model) {
            let pair = (displaced.min(&load.model), displaced.max(&load.model));
            let duel = duels.entry(pair).or_insert(Duel {
                last: displaced,
                turns: 0,
                by_others: false,
                waited: Duration::ZERO,
            });
            if *duel.last != load.model {
                duel.turns += 1;
            }
            duel.last = &load.model;
            duel.by_others |= !load.ours;
            duel.waited += load.took().unwrap_or_default();
        }
    }
    duels
        .into_iter()
        .filter(|(_, duel)| duel.turns >= LOOP && duel.by_others)
        .map(|((one, other), duel)| Finding {
            kind: Kind::EvictionLoop,
            model: Some(one.clone()),
            severity: Severity::Costs,
            since: None,
            evidence: format!(
                "{one} and {other} threw each other out of VRAM {} times in the last 10 min, ~{} waited for loads",
                duel.turns,
                time(duel.waited),
            ),
            advice: "make both fit: a smaller context or quantisation; or let the work with one end before that \
                     with the other begins"
                .to_owned(),
        })
        .collect()
}

/// The loads of the last so long that worked, oldest first.
fn since<'a>(facts: &Facts<'a>, span: Duration) -> impl Iterator<Item = &'a SwapRecord> {
    let from = facts.now.wall.saturating_sub(span).unwrap_or(Timestamp::MIN);
    let loads = facts.loads.iter().take_while(move |(at, _)| *at >= from);
    let ready: Vec<&SwapRecord> =
        loads.map(|(_, load)| load).filter(|load| load.ended == Ended::Ready).collect();
    ready.into_iter().rev()
}

fn time(span: Duration) -> String {
    match span.as_secs() {
        0..60 => format!("{:.1} s", span.as_secs_f64()),
        seconds => format!("{}:{:02} min", seconds / 60, seconds % 60),
    }
}

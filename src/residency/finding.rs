//! Findings: what is wrong with how a server is used or with the server itself, told from facts, with what to do.

mod loads;

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::bytes::Bytes;
use super::name::ModelName;
use super::record::SwapRecord;
use super::snapshot::{Model, State};
use super::timing::Moment;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// With which model, if it is one's.
    pub model: Option<ModelName>,
    /// How bad it is.
    pub severity: Severity,
    /// Since when, where that was seen.
    pub since: Option<Moment>,
    /// What says so, with numbers; names of processes in it are untrusted text.
    pub evidence: String,
    /// What to do.
    pub advice: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A load waits, and nothing is done about it.
    StuckScheduler,
    /// The server lists a model whose runner is dead.
    Ghost,
    /// A runner that no server lists.
    Orphan,
    /// A model whose time is over stays.
    Overdue,
    /// A model is loaded again and again because its clients ask for different contexts.
    ReloadChurn,
    /// Two models throw each other out.
    EvictionLoop,
    /// Other programs hold a part of the card.
    OtherPrograms,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::StuckScheduler,
        Kind::Ghost,
        Kind::Orphan,
        Kind::Overdue,
        Kind::ReloadChurn,
        Kind::EvictionLoop,
        Kind::OtherPrograms,
    ];

    /// Its name for scripts.
    pub fn key(self) -> &'static str {
        match self {
            Kind::StuckScheduler => "stuck_scheduler",
            Kind::Ghost => "ghost",
            Kind::Orphan => "orphan",
            Kind::Overdue => "overdue",
            Kind::ReloadChurn => "reload_churn",
            Kind::EvictionLoop => "eviction_loop",
            Kind::OtherPrograms => "other_programs",
        }
    }

    /// Its name for eyes.
    pub fn words(self) -> &'static str {
        match self {
            Kind::StuckScheduler => "stuck scheduler",
            Kind::Ghost => "ghost",
            Kind::Orphan => "orphan",
            Kind::Overdue => "overdue",
            Kind::ReloadChurn => "reload churn",
            Kind::EvictionLoop => "eviction loop",
            Kind::OtherPrograms => "other programs",
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It costs memory or time.
    Costs,
    /// Something does not work.
    Broken,
}

impl Severity {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Costs => "costs",
            Severity::Broken => "broken",
        }
    }
}

/// What findings are told from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// When.
    pub now: Moment,
    /// All models of the server.
    pub models: &'a [Model],
    /// Its loads, newest first, as the journal has them.
    pub loads: &'a [(Timestamp, SwapRecord)],
    /// Loads that were sent and are not answered.
    pub pending: &'a [Pending],
    /// Runners that the server does not list.
    pub unlisted: &'a [Unlisted],
    /// The cards, and who is on them beside this server's runners.
    pub cards: &'a [Shared],
}

/// A load that was sent and is not answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Of which model.
    pub model: ModelName,
    /// When it was sent.
    pub since: Moment,
    /// A runner for it is there.
    pub has_runner: bool,
}

/// A runner that the server does not list.
#[derive(Debug, Clone, PartialEq)]
pub struct Unlisted {
    /// Its process.
    pub pid: u32,
    /// The model that it holds, if it is an installed one.
    pub model: Option<ModelName>,
    /// Since when it is seen so.
    pub since: Moment,
    /// The server that started it has ended.
    pub left_behind: bool,
    /// What it has in memory of its own, and on the cards.
    pub memory: (Bytes, Bytes),
}

/// A card, and who is on it beside the server's runners.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// Its name.
    pub card: String,
    /// All its memory.
    pub total: Bytes,
    /// Processes, what they are called, and what they hold.
    pub others: Vec<(u32, Option<String>, Bytes)>,
}

/// How long a load may wait with no runner for it, while nothing works: an unload takes the server up to five seconds.
const STUCK: Duration = Duration::from_secs(30);
/// How long a runner may be there that is not listed: it may just have been let go.
pub const GRACE: Duration = Duration::from_secs(6);
/// From this share of a card on what other programs hold matters: a tenth.
const SHARE: u64 = 10;

/// All that is wrong, the worst first.
pub fn find(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = stuck(facts);
    found.extend(facts.models.iter().filter_map(lingering));
    found.extend(facts.unlisted.iter().filter_map(|runner| orphan(runner, facts.now)));
    found.extend(loads::churn(facts));
    found.extend(loads::evictions(facts));
    found.extend(facts.cards.iter().filter_map(other_programs));
    found.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.kind.cmp(&b.kind)).then(a.model.cmp(&b.model)));
    found
}

/// A load waits for a runner that nobody starts, though nothing keeps the server (#17408).
fn stuck(facts: &Facts<'_>) -> Vec<Finding> {
    // Who cannot be asked may work: its end may be what the server waits for.
    let may_work = |model: &Model| {
        let idle = |model: &Model| model.loaded.as_ref()?.runner.as_ref()?.busy.map(|busy| !busy);
        matches!(model.state, State::Busy | State::BusyOrUnloading | State::Unloading)
            || model.progress.is_some()
            || model.has_runner() && idle(model) != Some(true)
    };
    if facts.models.iter().any(may_work) || facts.pending.iter().any(|load| load.has_runner) {
        return Vec::new();
    }
    let waits = |load: &&Pending| facts.now.since(load.since.mono) >= STUCK;
    facts
        .pending
        .iter()
        .filter(waits)
        .map(|load| Finding {
            kind: Kind::StuckScheduler,
            model: Some(load.model.clone()),
            severity: Severity::Broken,
            since: Some(load.since),
            evidence: "its load waits for more than 30 s, no runner was started for it, and no model works"
                .to_owned(),
            advice: "restart the server; loads hang until then. what is loaded goes on answering".to_owned(),
        })
        .collect()
}

/// A ghost, or one that should have gone.
fn lingering(model: &Model) -> Option<Finding> {
    let loaded = model.loaded.as_ref()?;
    let name = &model.name;
    let (kind, severity, evidence, advice) = match model.state {
        State::Ghost => (
            Kind::Ghost,
            Severity::Broken,
            format!(
                "the server lists it with {} on the card, but its runner has ended",
                gib(loaded.size_vram)
            ),
            format!("the next request loads it anew; or take it off the list: resident unload {name}"),
        ),
        State::Overdue => (
            Kind::Overdue,
            Severity::Costs,
            format!("its time is over, it is idle, and {} stay on the card", gib(loaded.size_vram)),
            format!("unload it: resident unload {name}; if it stays, restart the server"),
        ),
        _ => return None,
    };
    Some(Finding { kind, model: Some(name.clone()), severity, since: None, evidence, advice })
}

/// A runner that nobody lists any more, or not for long.
fn orphan(runner: &Unlisted, now: Moment) -> Option<Finding> {
    if !runner.left_behind && now.since(runner.since.mono) <= GRACE {
        return None;
    }
    let why = if runner.left_behind {
        "the server that started it has ended"
    } else {
        "the server does not list it"
    };
    let (own, on_cards) = runner.memory;
    let pid = runner.pid;
    Some(Finding {
        kind: Kind::Orphan,
        model: runner.model.clone(),
        severity: Severity::Broken,
        since: Some(runner.since),
        evidence: format!(
            "runner {pid}: {why}; it holds {} of RAM and {} on the card",
            gib(own),
            gib(on_cards)
        ),
        advice: format!("end it, if nothing else uses it: kill {pid}"),
    })
}

/// Who else has a good part of a card.
fn other_programs(shared: &Shared) -> Option<Finding> {
    const NAMED: usize = 3;
    let held: Bytes = shared.others.iter().map(|(_, _, bytes)| *bytes).sum();
    if held == Bytes::ZERO || held.0.saturating_mul(SHARE) < shared.total.0 {
        return None;
    }
    let mut others = shared.others.clone();
    others.sort_by_key(|(pid, _, bytes)| (std::cmp::Reverse(*bytes), *pid));
    let mut evidence =
        format!("{} of {} on {} are held by other programs:", gib(held), gib(shared.total), shared.card);
    for (i, (pid, name, bytes)) in others.iter().take(NAMED).enumerate() {
        let name = name.as_deref().unwrap_or("a process");
        let comma = if i > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(evidence, "{comma} {name} (pid {pid}) {}", gib(*bytes));
    }
    if others.len() > NAMED {
        let _ = write!(evidence, " and {} more", others.len() - NAMED);
    }
    Some(Finding {
        kind: Kind::OtherPrograms,
        model: None,
        severity: Severity::Costs,
        since: None,
        evidence,
        advice: "what they hold is missing for models: close them, or move them to another card".to_owned(),
    })
}

pub(super) fn gib(bytes: Bytes) -> String {
    let mib = bytes.0 >> 20;
    if mib < 1000 { format!("{mib} MiB") } else { format!("{:.1} GiB", bytes.gib()) }
}

#[cfg(test)]
mod tests;

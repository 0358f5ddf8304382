//! Memory: what may be locked, the budget against what there is, and the limits of control groups and containers.

use super::{Check, ELSEWHERE, Topic, Verdict};
use crate::residency::budget::Limits;
use crate::residency::bytes::Bytes;
use crate::residency::host::Ram;
use crate::residency::snapshot::Model;

/// How much this process may lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Lock {
    /// As much as it likes.
    #[default]
    Unlimited,
    /// So much.
    Limited {
        /// In all.
        limit: Bytes,
        /// What to do so that the largest model can be locked.
        advice: String,
    },
    /// This system does not tell.
    Unknown,
}

/// The memory limit of the server's control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// It has none.
    Free,
    /// So much.
    Limited(Bytes),
    /// Not known, and why.
    Unknown(String),
}

/// Whether the largest model could be locked.
pub(super) fn lock(lock: &Lock, largest: Option<&Model>, local: bool) -> Check {
    if !local {
        return Check::unknown(Topic::Memlock, ELSEWHERE);
    }
    match (lock, largest) {
        (Lock::Unlimited, _) => Check::ok(Topic::Memlock, "no limit"),
        (Lock::Unknown, _) => Check::unknown(Topic::Memlock, "this system does not tell"),
        (Lock::Limited { limit, .. }, None) => {
            Check::unknown(Topic::Memlock, format!("{limit} may be locked; no model is known"))
        }
        (Lock::Limited { limit, .. }, Some(model)) if *limit >= model.size => {
            let fact = format!("{limit} may be locked, {} needs {}", model.name, model.size);
            Check::ok(Topic::Memlock, fact)
        }
        (Lock::Limited { limit, advice }, Some(model)) => {
            let fact =
                format!("{limit} may be locked, {} needs {}: a hold maps instead", model.name, model.size);
            Check::new(Topic::Memlock, Verdict::Better, fact).advise(advice.clone())
        }
    }
}

/// The budget against the memory there is, and the preload list against the budget.
pub(super) fn budget(limits: Limits, ram: Option<&Ram>, models: &[Model], local: bool) -> Check {
    if !local {
        return Check::unknown(Topic::Budget, ELSEWHERE);
    }
    let Some(ram) = ram else { return Check::unknown(Topic::Budget, "memory could not be read") };
    let shares = limits.shares(ram.total);
    let (of_models, total, all) = (shares.models, ram.total, shares.total);
    let mut seen = std::collections::BTreeSet::new();
    let listed = models.iter().filter(|model| model.listed.is_some());
    // Tags of the same weights take their room once.
    let listed: Bytes = listed
        .filter(|model| {
            model.shared_with.iter().all(|other| !seen.contains(other)) && seen.insert(&model.name)
        })
        .map(|model| model.size)
        .sum();
    let better = |fact: String| Check::new(Topic::Budget, Verdict::Better, fact);
    if let Limits::Set { total: allowed, .. } = limits
        && allowed > total
    {
        let fact = format!("memory.total is {allowed}, there are {total}: {of_models} are left for models");
        return better(fact).advise(format!("set memory.total to {total} or less"));
    }
    if of_models == Bytes::ZERO {
        let fact = format!("nothing of {all} is left for models");
        return Check::new(Topic::Budget, Verdict::Broken, fact)
            .advise("lower memory.system or memory.context_cache");
    }
    if listed > of_models {
        let fact = format!("the preload list needs {listed}, {of_models} of {all} are for models");
        return better(fact).advise("shorten ollama.preload.models, or raise memory.models_preload");
    }
    let list =
        if listed > Bytes::ZERO { format!(", the preload list needs {listed}") } else { String::new() };
    let how = if limits == Limits::Auto { " (computed)" } else { "" };
    Check::ok(Topic::Budget, format!("{of_models} of {all} are for models{how}{list}"))
}

/// Whether a control group, ours or the server's, has less memory than the largest model.
pub(super) fn cgroup(ram: Option<&Ram>, server: &Group, largest: Option<&Model>) -> Check {
    let own = ram.and_then(|ram| ram.cgroup_limit);
    let tightest = [(own, "ours"), (of(server), "the server's")]
        .into_iter()
        .filter_map(|(limit, whose)| Some((limit?, whose)))
        .min_by_key(|(limit, _)| *limit);
    let Some((limit, whose)) = tightest else {
        return match server {
            Group::Unknown(why) => {
                Check::unknown(Topic::Cgroup, format!("ours has no memory limit; the server's: {why}"))
            }
            Group::Free | Group::Limited(_) => {
                Check::ok(Topic::Cgroup, "no memory limit, ours or the server's")
            }
        };
    };
    match largest {
        Some(model) if model.size > limit => {
            let fact = format!("{whose} is limited to {limit}, {} has {}", model.name, model.size);
            let advice = "its own pages push it out, a lock is killed: raise memory.max (systemd MemoryMax=, docker -m)";
            Check::new(Topic::Cgroup, Verdict::Broken, fact).advise(advice)
        }
        _ => Check::ok(Topic::Cgroup, format!("{whose} is limited to {limit}: the largest model fits")),
    }
}

fn of(group: &Group) -> Option<Bytes> {
    match group {
        Group::Limited(limit) => Some(*limit),
        Group::Free | Group::Unknown(_) => None,
    }
}

/// Whether the server takes the page cache for used memory, as it does in containers; `server` is whether it runs in
/// one, where that could be seen.
pub(super) fn container(ram: Option<&Ram>, server: Option<bool>, models: &[Model], local: bool) -> Check {
    if !local {
        return Check::unknown(Topic::Container, ELSEWHERE);
    }
    let mut runners = models.iter().filter_map(|model| model.loaded.as_ref()?.runner.as_ref());
    let better = |fact: &str| {
        Check::new(Topic::Container, Verdict::Better, fact)
            .advise("models in RAM look used to it: it may map less, or refuse a load that would fit")
    };
    let Some(ram) = ram else { return Check::unknown(Topic::Container, "memory could not be read") };
    if server == Some(true) || runners.any(|runner| runner.contained) {
        return better("the server runs in one, and counts the page cache as used");
    }
    if ram.contained {
        return better("we run in one: a server beside us counts the page cache as used");
    }
    match server {
        Some(_) => Check::ok(Topic::Container, "neither we nor the server run in one"),
        None => Check::unknown(Topic::Container, "we run in none; the server's process was not found"),
    }
}

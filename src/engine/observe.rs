//! Watching: what a new answer of the server says against the one before, as events.

use std::collections::{BTreeMap, BTreeSet};

use super::departure::Open;
use super::facts::{Installed, Loading, Running, learn};
use super::known::Known;
use crate::residency::event::What;
use crate::residency::expiry::Expiry;
use crate::residency::host::Runners;
use crate::residency::name::ModelName;
use crate::residency::timing::{Moment, Reading};

/// A runner is dead when this many looks did not find it, and the server listed it between the last two: the first look
/// may have begun before the runner did, and what is evicted is listed a moment longer than its runner lives.
const SURELY: u32 = 2;

/// What happened to which model.
pub(crate) type Seen = (Option<ModelName>, What);

/// What the engine itself asked for lately, so that its own work is not taken for another client's.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Unloads that are not seen to be done, and since when.
    pub unloads: BTreeMap<ModelName, Moment>,
    /// What may be thrown out for a load of ours, and for which.
    pub evicts: BTreeMap<ModelName, ModelName>,
    /// Acts that set another keep_alive under way.
    pub unpins: Vec<ModelName>,
    /// Loads and swaps under way.
    pub loads: Vec<ModelName>,
}

/// Takes a new `/api/ps` answer, received at `now`; `back` if the server did not answer the question before.
pub(crate) fn ps(
    known: &mut Known,
    mut fresh: BTreeMap<ModelName, Running>,
    asked: &Asked,
    back: bool,
    now: Moment,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    let before = known.ps_at.map(|at| at.wall);
    let first = known.ps_at.is_none();
    let mut old = std::mem::take(&mut known.running);
    let stays: BTreeSet<ModelName> = fresh.keys().filter(|name| old.contains_key(name)).cloned().collect();
    for (name, running) in &mut fresh {
        let was = old.remove(name);
        known.listed.insert(name.clone(), now);
        learn(running, was.as_ref(), before, now.wall);
        if !first && was.as_ref().is_none_or(|was| running.was_used_since(was)) {
            known.last_use.insert(name.clone(), now);
        }
        if let Some(context) = running.context {
            known.last_context.insert(name.clone(), context);
            known.sizes.entry(name.clone()).or_default().note(context, running.size);
        }
        match &was {
            Some(was) => {
                // With another context it has another runner: it was loaded anew between two looks.
                if was.context.zip(running.context).is_some_and(|(was, is)| was != is) {
                    let load = known.loading.remove(name);
                    seen.push((Some(name.clone()), loaded(load, asked.loads.contains(name), now)));
                }
                pin_change(name, was, running, asked, &mut seen);
            }
            None if first => {}
            None => {
                let load = known.loading.remove(name);
                seen.push((Some(name.clone()), loaded(load, asked.loads.contains(name), now)));
                if running.expiry == Expiry::Never {
                    seen.push((Some(name.clone()), What::Pinned));
                }
            }
        }
    }
    for (name, was) in old {
        match if back { Some(What::LostWithServer) } else { gone(&name, &was, asked, now) } {
            Some(what) => seen.push((Some(name), what)),
            None => drop(known.departures.insert(name, Open { at: now, innocent: stays.clone() })),
        }
    }
    forget_loads(known, &fresh);
    known.ghosts.retain(|ghost| fresh.contains_key(ghost));
    known.running = fresh;
    known.ps_at = Some(now);
    known.suspects.answers = known.suspects.answers.saturating_add(1);
    known.suspect(now);
    seen
}

/// A load that `/api/ps` lists, under whichever name of the same weights, is over.
fn forget_loads(known: &mut Known, fresh: &BTreeMap<ModelName, Running>) {
    let is_listed = |name: &&ModelName| fresh.keys().any(|other| known.are_one(name, other));
    let over: Vec<ModelName> = known.loading.keys().filter(is_listed).cloned().collect();
    for name in over {
        known.loading.remove(&name);
    }
}

fn loaded(load: Option<Loading>, asked: bool, now: Moment) -> What {
    What::Loaded {
        took: load.map(|load| load.answered.unwrap_or(now).since(load.since.mono)),
        from_ram: load.and_then(|load| load.from_ram),
        ours: asked || load.is_some_and(|load| load.ours),
    }
}

fn pin_change(name: &ModelName, was: &Running, is: &Running, asked: &Asked, seen: &mut Vec<Seen>) {
    let what = match (was.expiry, is.expiry) {
        (Expiry::Never, Expiry::Never) => return,
        (_, Expiry::Never) => What::Pinned,
        (Expiry::Never, Expiry::At(_)) if asked.unpins.contains(name) => What::Unpinned,
        // An unload in progress shows as a time in the past, which says nothing of the pin.
        (Expiry::Never, Expiry::At(_)) if asked.unloads.contains_key(name) || is.cut_short => return,
        (Expiry::Never, Expiry::At(_)) => match is.keep_alive {
            Some(to) => What::PinOverridden { to },
            None => return,
        },
        _ => return,
    };
    seen.push((Some(name.clone()), what));
}

/// Why a model left VRAM, where that can be told at once. The server does not say; this is what its rules allow: an act
/// of ours, an unload that cut its time short, its time over. Else a load may have needed the room that is still to be seen.
fn gone(name: &ModelName, was: &Running, asked: &Asked, now: Moment) -> Option<What> {
    if let Some(since) = asked.unloads.get(name) {
        return Some(What::Unloaded { took: Some(now.since(since.mono)) });
    }
    if was.cut_short {
        return Some(What::Unloaded { took: None });
    }
    if was.expiry.is_past(now.wall) {
        return Some(What::Expired);
    }
    asked.evicts.get(name).map(|by| What::Evicted { by: Some(by.clone()) })
}

/// Takes a new `/api/tags` answer.
pub(crate) fn tags(known: &mut Known, fresh: BTreeMap<ModelName, Installed>, now: Moment) -> Vec<Seen> {
    let mut seen = Vec::new();
    if known.tags_at.is_some() {
        let appeared = fresh.keys().filter(|name| !known.installed.contains_key(name));
        seen.extend(appeared.map(|name| (Some(name.clone()), What::Appeared)));
        let removed = known.installed.keys().filter(|name| !fresh.contains_key(name));
        seen.extend(removed.map(|name| (Some(name.clone()), What::Removed)));
    }
    // A model that was pulled again has other files.
    known.files.retain(|name, _| {
        fresh
            .get(name)
            .is_some_and(|new| known.installed.get(name).is_some_and(|old| old.digest == new.digest))
    });
    known.shown.retain(|digest, _| fresh.values().any(|model| model.digest == *digest));
    known.installed = fresh;
    known.tags_at = Some(now);
    seen
}

/// Takes a new reading of the runner processes: loads of other clients begin, runners die.
pub(crate) fn runners(known: &mut Known, fresh: Reading<Runners>, asked: &Asked) -> Vec<Seen> {
    let mut seen = Vec::new();
    let at = fresh.at;
    let last = known.runners.as_ref().map(|reading| reading.at);
    let listed_since = last.zip(known.ps_at).is_some_and(|(last, ps)| ps.mono >= last.mono);
    known.runners = Some(fresh);
    let names: Vec<ModelName> = known.installed.keys().cloned().collect();
    for name in names {
        let runner = known.runner(&name).map(|runner| (runner.pid, runner.ready));
        let none = known.runners_of(&name).next().is_none();
        let findable = known.is_findable(&name);
        if let Some(running) = known.running.get_mut(&name) {
            running.unseen = if none { running.unseen + 1 } else { 0 };
            let is_missed = running.unseen >= SURELY && listed_since;
            let is_dead = none && is_missed && (running.pid.is_some() || findable);
            match runner {
                Some((pid, _)) => {
                    running.pid = Some(pid);
                    known.ghosts.retain(|ghost| *ghost != name);
                }
                None if is_dead && !asked.unloads.contains_key(&name) && !known.ghosts.contains(&name) => {
                    known.ghosts.push(name.clone());
                    seen.push((Some(name), What::RunnerDied));
                }
                None => {}
            }
            continue;
        }
        let ours = asked.loads.contains(&name);
        // A look that began before it was listed shows a load that is over, also where it has left again since.
        let is_old = known.listed.get(&name).is_some_and(|listed| listed.mono >= at.mono);
        match runner {
            Some((_, Some(false)))
                if !is_old && !known.loading.contains_key(&name) && known.running_as(&name).is_none() =>
            {
                let from_ram = known.percent_cached(&name);
                known.loading.insert(name.clone(), Loading { since: at, ours, answered: None, from_ram });
                seen.push((Some(name), What::Loading { ours }));
            }
            // One of ours that no act of ours waits for any more is nobody's.
            None if known.loading.get(&name).is_some_and(|load| !(load.ours && ours)) => {
                known.loading.remove(&name);
            }
            _ => {}
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::residency::bytes::Bytes;
    use crate::residency::host::Runner;
    use crate::residency::snapshot::{Blob, Details};
    use crate::residency::tier::Cached;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Moment {
        Moment { mono: Instant::now(), wall: "2026-11-23T12:00:00Z".parse().unwrap() }
    }

    fn name(text: &str) -> ModelName {
        ModelName::parse(text).unwrap()
    }

    /// Two models that are listed by the server; `format` is that of both.
    fn known(format: &str) -> Known {
        let mut known = Known::new(Arc::new(Config::default()), "host".into(), true, None);
        for text in ["a", "b"] {
            let details = Details { format: format.to_owned(), ..Details::default() };
            let installed = Installed { digest: text.into(), size: Bytes(1), details };
            known.installed.insert(name(text), installed);
            let blob = Blob {
                digest: format!("sha256:{text}"),
                role: "weights",
                size: Bytes(1),
                path: Some(format!("/blobs/sha256-{text}").into()),
                cached: Cached::Unread,
                map: None,
            };
            known.files.insert(name(text), Ok(vec![blob]));
            known.running.insert(name(text), Running::listed(text, Bytes(1)));
        }
        known
    }

    fn runner(directory: &str, text: &str) -> Runner {
        Runner { pid: 7, blob: format!("{directory}/sha256-{text}"), ready: Some(true), ..Runner::default() }
    }

    fn look(known: &mut Known, alive: &[&str]) -> Vec<Seen> {
        let value = alive.iter().map(|text| runner("/blobs", text)).collect();
        runners(known, Reading { value: Runners { list: value, server: None }, at: now() }, &Asked::default())
    }

    #[test]
    fn a_runner_that_was_dead_before_we_looked_is_a_ghost_at_the_second_look() {
        let mut known = known("gguf");
        assert_eq!(look(&mut known, &["a"]), []);
        // Its runner is gone, and the server was not asked since: it may be evicted.
        assert_eq!(look(&mut known, &["a"]), []);
        known.ps_at = Some(now());
        assert_eq!(look(&mut known, &["a"]), [(Some(name("b")), What::RunnerDied)]);
        assert_eq!(look(&mut known, &["a"]), []);
        look(&mut known, &["a", "b"]);
        assert_eq!(known.ghosts, []);
    }

    #[test]
    fn a_runner_of_the_same_blob_in_another_directory_is_another_servers() {
        let mut known = known("gguf");
        let elsewhere = |pid, directory: &str| Runner { pid, ready: Some(false), ..runner(directory, "a") };
        let reading = |list| Some(Reading { value: Runners { list, server: None }, at: now() });
        known.runners = reading(vec![elsewhere(1, "/other")]);
        assert_eq!(known.runner(&name("a")), None);
        known.runners = reading(vec![elsewhere(1, "/other"), elsewhere(2, "/blobs")]);
        assert_eq!(known.runner(&name("a")).map(|runner| runner.pid), Some(2));
        known.runners = reading(vec![elsewhere(2, "/blobs"), elsewhere(3, "/blobs")]);
        assert_eq!(known.runner(&name("a")), None, "of two nobody can say which it is");
    }

    #[test]
    fn a_look_that_began_before_a_model_was_listed_shows_no_load_though_it_has_left_again() {
        let mut known = known("gguf");
        let (began, all) = (now(), known.running.clone());
        known.running.clear();
        ps(&mut known, all, &Asked::default(), false, now());
        ps(&mut known, BTreeMap::new(), &Asked::default(), false, now());
        let coming = Runner { ready: Some(false), ..runner("/blobs", "a") };
        let loading = |at| Reading { value: Runners { list: vec![coming.clone()], server: None }, at };
        assert_eq!(runners(&mut known, loading(began), &Asked::default()), []);
        let anew = runners(&mut known, loading(now()), &Asked::default());
        assert_eq!(anew, [(Some(name("a")), What::Loading { ours: false })], "it comes again");
    }

    #[test]
    fn where_no_runner_can_be_seen_a_missing_one_says_nothing() {
        let mut hidden = known("gguf");
        let mut other_engine = known("safetensors");
        for _ in 0..5 {
            assert_eq!(look(&mut hidden, &[]), []);
            assert_eq!(look(&mut other_engine, &["a"]), []);
        }
    }

    #[test]
    fn where_the_server_itself_is_seen_and_has_no_children_all_it_lists_are_ghosts() {
        let mut known = known("gguf");
        let none = || Reading { value: Runners { list: Vec::new(), server: Some(7) }, at: now() };
        assert_eq!(runners(&mut known, none(), &Asked::default()), []);
        known.ps_at = Some(now());
        let seen = runners(&mut known, none(), &Asked::default());
        assert_eq!(seen, ["a", "b"].map(|text| (Some(name(text)), What::RunnerDied)));
    }
}

//! The join: the one place where the server's answers and the probes' readings become one immutable snapshot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::facts::{Installed, Running};
use super::foresee::Prospect;
use super::known::Known;
use super::warm;
use crate::residency::act::{Act, ActKind};
use crate::residency::bytes::Bytes;
use crate::residency::event::Event;
use crate::residency::expiry::Expiry;
use crate::residency::guard::Keeping;
use crate::residency::history::History;
use crate::residency::host::Runner;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Blob, Host, Loaded, Model, Reach, Server, Snapshot, State};
use crate::residency::state::{Facts, state, tiers};
use crate::residency::swap::{Stage, Swapping};
use crate::residency::tier::Cached;
use crate::residency::timing::Moment;

/// Joins all that is known at `now`.
pub(crate) fn join(known: &Known, events: &VecDeque<Arc<Event>>, acts: Vec<Act>, now: Moment) -> Snapshot {
    let sharing = sharing(known);
    let prospect = Prospect::of(known, now);
    let mut models: Vec<Model> = names(known)
        .into_iter()
        .map(|name| model(known, &acts, &name, &sharing, prospect.as_ref(), now))
        .collect();
    // Stable: the preload list in its order, then by name. A change of tier never moves a model.
    models.sort_by(|a, b| {
        let place = |model: &Model| model.listed.unwrap_or(usize::MAX);
        place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name))
    });
    let findings = known.findings(&models, now).map(Arc::from);
    Snapshot {
        at: now,
        host: Host {
            name: known.host_name.clone(),
            ram: known.ram,
            cards: known.cards.clone(),
            holds: known.holds(),
        },
        servers: vec![Server {
            url: known.config.url.clone(),
            reach: known.reach.clone(),
            version: known.version.clone(),
            local: known.local,
            demo_scale: known.demo_scale,
            models_dir: known.models_dir.clone(),
            models_dir_unknown: known.models_dir_unknown.clone(),
            files_owner: known.files_owner.clone(),
            models,
            findings,
            ps_at: known.ps_at,
            tags_at: known.tags_at,
            runners: known.runners.as_ref().map(|reading| reading.value.len()),
        }],
        events: events.clone(),
        acts,
        past: Arc::clone(&known.past),
        keeping: Keeping::default(),
        tunings: known.tunings.clone(),
    }
}

/// All names: installed, loaded (a removed model can still be loaded), or loading.
fn names(known: &Known) -> BTreeSet<ModelName> {
    known.installed.keys().chain(known.running.keys()).chain(known.loading.keys()).cloned().collect()
}

/// Names by digest of their weights: who shares a blob with whom.
fn sharing(known: &Known) -> BTreeMap<&str, Vec<&ModelName>> {
    let mut by_blob: BTreeMap<&str, Vec<&ModelName>> = BTreeMap::new();
    for name in known.installed.keys() {
        if let Some(blob) = known.weights(name) {
            by_blob.entry(&blob.digest).or_default().push(name);
        }
    }
    by_blob.retain(|_, names| names.len() > 1);
    by_blob
}

fn model(
    known: &Known,
    acts: &[Act],
    name: &ModelName,
    sharing: &BTreeMap<&str, Vec<&ModelName>>,
    prospect: Option<&Prospect>,
    now: Moment,
) -> Model {
    let installed = known.installed.get(name);
    let shared_with: Vec<ModelName> = known
        .weights(name)
        .and_then(|blob| sharing.get(blob.digest.as_str()))
        .map(|names| names.iter().filter(|other| **other != name).map(|other| (*other).clone()).collect())
        .unwrap_or_default();
    // One blob, one runner: a tag is loaded when any tag of its blob is.
    let running =
        known.running.get(name).or_else(|| shared_with.iter().find_map(|other| known.running.get(other)));
    let details = known.details(name);
    let (mut cached, cached_at) = known.cached(name);
    // What we have read of it ourselves is known sooner than the next look at the page cache.
    if let Some(progress) = warm::reading(acts, name) {
        cached = Cached::Exact(cached.bytes().unwrap_or_default().max(progress.done()));
    }
    let files: Bytes = known.blobs(name).iter().map(|blob| blob.size).sum();
    let size = match installed {
        Some(model) => model.size,
        None if files > Bytes::ZERO => files,
        None => running.map_or(Bytes::ZERO, |running| running.size),
    };
    let weighed = if files > Bytes::ZERO { files } else { size };
    let here =
        known.local && !known.blobs(name).is_empty() && known.blobs(name).iter().all(|b| b.path.is_some());
    // Before the files were looked for, nothing can be said; afterwards, what is not here is not here.
    let looked = known.files.contains_key(name);
    let facts = Facts {
        cloud: details.remote_host.is_some(),
        loading: known.loading.get(name).map(|load| (load.since, load.ours)),
        expiry: running.map(|running| running.expiry),
        unload_asked: acts.iter().any(|act| act.is_running() && unloads(act, name)),
        runner_gone: known.ghosts.contains(name),
        runner_busy: known.runner(name).and_then(|runner| runner.busy),
        sliding: running.is_some_and(|running| running.slides >= 2),
        here: here || !looked || !known.local || known.models_dir.is_none(),
        cached: &cached,
        size: weighed,
    };
    let state = state(&facts, now);
    // A ghost's weights are in no runner any more: what is left of it is in the page cache.
    let split = running.filter(|_| !facts.runner_gone).map(|running| (running.size, running.size_vram));
    let tiers = if facts.cloud {
        tiers(Bytes::ZERO, None, &cached, false)
    } else {
        tiers(weighed, split, &cached, here)
    };
    let prospect = prospect.filter(|_| running.is_none() && !facts.cloud);
    let (forecast, fit) = prospect.and_then(|prospect| prospect.load(known, name)).unzip();
    let is_away = matches!(state, State::OnDisk | State::InRam { .. } | State::NotLoaded);
    let displaces = forecast.as_ref().is_some_and(|forecast| !forecast.evicts.is_empty());
    Model {
        to_vram: is_away.then(|| known.predict(name, &tiers, displaces)).flatten(),
        digest: installed
            .map(|model| model.digest.clone())
            .or_else(|| running.map(|r| r.digest.clone()))
            .unwrap_or_default(),
        size,
        listed: known.config.preload.models.iter().position(|listed| listed == name),
        pinned: running.is_some_and(|running| running.expiry == Expiry::Never),
        wished: known.is_wished(name),
        loaded: running.map(|running| loaded(running, known.runner(name))),
        arriving: if running.is_none() { known.on_cards(name) } else { Bytes::ZERO },
        progress: known.progress.get(name).copied().filter(|_| matches!(state, State::Loading { .. })),
        kept: known.kept(name),
        ram_history: known.histories.get(name).map(History::line).unwrap_or_default(),
        blobs: blobs(known, name),
        name: name.clone(),
        details,
        state,
        tiers,
        cached,
        cached_at,
        shared_with,
        forecast,
        fit,
        hits: known.foresight.hits(name),
    }
}

/// Whether the act has asked the server to let the model go.
fn unloads(act: &Act, name: &ModelName) -> bool {
    let swap = act.swap.as_ref().filter(|_| act.kind == ActKind::Swap);
    let goes = |swap: &Swapping| {
        swap.plan.goes.contains(name)
            && matches!(swap.stage, Some(Stage::Unload | Stage::Wait | Stage::Load | Stage::FirstToken))
    };
    (act.kind == ActKind::Unload && act.model == *name) || swap.is_some_and(|swap| goes(swap))
}

fn loaded(running: &Running, runner: Option<&Runner>) -> Loaded {
    Loaded {
        size: running.size,
        size_vram: running.size_vram,
        context: running.context,
        expiry: running.expiry,
        keep_alive: running.keep_alive,
        runner: runner.cloned(),
    }
}

/// Its files with what is known of each in the page cache.
fn blobs(known: &Known, name: &ModelName) -> Vec<Blob> {
    let mut blobs = known.blobs(name).to_vec();
    for blob in &mut blobs {
        let pages = known.pages.get(&blob.digest).map(|reading| &reading.value);
        blob.cached = pages.map_or(Cached::Unread, |pages| pages.cached.clone());
        blob.map = pages.and_then(|pages| pages.map);
    }
    blobs
}

/// Whether anything but reading times differs, as far as a front end would draw it. Called for every snapshot, so it
/// copies nothing.
pub(crate) fn differs(old: &Snapshot, new: &Snapshot) -> bool {
    let last = |snapshot: &Snapshot| snapshot.events.back().map(|event| event.number);
    last(old) != last(new)
        || old.acts != new.acts
        || !Arc::ptr_eq(&old.past, &new.past)
        || old.keeping != new.keeping
        || old.tunings.as_ref().map(Arc::as_ptr) != new.tunings.as_ref().map(Arc::as_ptr)
        || host_differs(&old.host, &new.host)
        || old.servers.len() != new.servers.len()
        || old.servers.iter().zip(&new.servers).any(|(old, new)| server_differs(old, new))
}

fn host_differs(old: &Host, new: &Host) -> bool {
    // 64 MiB are less than a tenth of a GiB, the smallest step that is shown.
    let ram = |host: &Host| {
        host.ram.map(|reading| {
            let ram = reading.value;
            [ram.total, ram.used, ram.available, ram.page_cache, ram.swap_used].map(|bytes| bytes.0 >> 26)
        })
    };
    let cards = |host: &Host| host.cards.as_ref().map(|reading| reading.value.clone());
    ram(old) != ram(new) || cards(old) != cards(new) || old.holds.0 >> 26 != new.holds.0 >> 26
}

fn server_differs(old: &Server, new: &Server) -> bool {
    let latency = |reach: &Reach| match reach {
        // Milliseconds: the front end rounds further.
        Reach::Up { latency } => latency.as_millis(),
        _ => 0,
    };
    let kind = |reach: &Reach| std::mem::discriminant(reach);
    kind(&old.reach) != kind(&new.reach)
        || latency(&old.reach) != latency(&new.reach)
        || old.version != new.version
        || old.models_dir != new.models_dir
        || old.models_dir_unknown != new.models_dir_unknown
        || old.findings != new.findings
        || old.runners != new.runners
        || old.models.len() != new.models.len()
        || old.models.iter().zip(&new.models).any(|(old, new)| model_differs(old, new))
}

fn model_differs(old: &Model, new: &Model) -> bool {
    let facts = |model: &Model| (model.size, model.listed, model.state, model.pin_word(), model.tiers);
    old.name != new.name
        || facts(old) != facts(new)
        || old.digest != new.digest
        || old.cached != new.cached
        || old.ram_history != new.ram_history
        || old.blobs != new.blobs
        || old.shared_with != new.shared_with
        || old.arriving != new.arriving
        || old.progress.map(|at| (at.percent(), at.source))
            != new.progress.map(|at| (at.percent(), at.source))
        || old.kept != new.kept
        || old.forecast != new.forecast
        || old.fit != new.fit
        || old.hits != new.hits
        || old.to_vram != new.to_vram
        || old.details != new.details
        || loaded_differs(old.loaded.as_ref(), new.loaded.as_ref())
}

/// A runner's memory changes at every reading though nothing happened.
fn loaded_differs(old: Option<&Loaded>, new: Option<&Loaded>) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return old.is_some() != new.is_some() };
    let runner = |loaded: &Loaded| {
        loaded
            .runner
            .as_ref()
            .map(|r| (r.pid, r.port, r.load_mode, r.context, r.ready, r.busy, r.anonymous.0 >> 26))
    };
    let facts =
        |loaded: &Loaded| (loaded.size, loaded.size_vram, loaded.context, loaded.expiry, loaded.keep_alive);
    facts(old) != facts(new) || runner(old) != runner(new)
}

/// Whether an unloaded model's details matter: used by the manager to look up what the forecast lacks.
pub(crate) fn lacks_shape(known: &Known) -> Option<ModelName> {
    let lacks =
        |model: &Installed| model.details.remote_host.is_none() && !known.shown.contains_key(&model.digest);
    let looked_at = known.looked_at.as_ref().and_then(|name| known.installed.get_key_value(name));
    let mut names = looked_at.into_iter().chain(&known.installed);
    names.find(|(_, model)| lacks(model)).map(|(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::residency::map::{Map, Pages};
    use crate::residency::snapshot::Details;
    use crate::residency::timing::Reading;

    const SIZE: Bytes = Bytes(1000);

    #[expect(clippy::disallowed_methods, reason = "some moment to count from")]
    fn start() -> Moment {
        Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::UNIX_EPOCH }
    }

    /// One installed model of one file.
    fn known() -> Known {
        let mut known = Known::new(Arc::new(Config::default()), String::new(), true, None);
        let name = ModelName::from_server("a:1b");
        let blob = Blob {
            digest: "sha256:a".to_owned(),
            role: "weights",
            size: SIZE,
            path: Some("/a".into()),
            cached: Cached::Unread,
            map: None,
        };
        let model = Installed { digest: "m".to_owned(), size: SIZE, details: Details::default() };
        known.files.insert(name.clone(), Ok(vec![blob]));
        known.installed.insert(name, model);
        known
    }

    /// Takes in a reading of its file so many seconds after `start`; says whether a line of the history moved.
    fn read(known: &mut Known, start: Moment, second: u64, there: u64, cells: [u64; 2]) -> bool {
        let at = Moment { mono: start.mono + Duration::from_secs(second), ..start };
        let map = Some(Map::of(cells.map(|there| (there, 500))));
        let value = Pages { cached: Cached::Exact(Bytes(there)), map };
        known.pages = Arc::new([("sha256:a".to_owned(), Reading { value, at })].into());
        known.keep_history()
    }

    fn joined(known: &Known, at: Moment) -> Snapshot {
        join(known, &VecDeque::new(), Vec::new(), at)
    }

    #[test]
    fn the_same_map_read_again_is_no_news_and_another_one_is() {
        let (start, mut known) = (start(), known());
        assert!(!read(&mut known, start, 0, 500, [500, 0]));
        let first = joined(&known, start);
        assert!(!read(&mut known, start, 100, 500, [500, 0]));
        assert!(!differs(&first, &joined(&known, start)));
        assert!(!read(&mut known, start, 105, 500, [0, 500]));
        let other = joined(&known, start);
        assert!(differs(&first, &other));
        let cells: Vec<_> = other.servers[0].models[0].blobs[0].map.unwrap().cells().collect();
        assert_eq!(cells, [Some(0), Some(100)]);
    }

    #[test]
    fn a_model_that_fades_has_a_history_and_it_goes_with_the_model() {
        let (start, mut known) = (start(), known());
        assert!(!read(&mut known, start, 0, 1000, [500, 500]));
        assert!(read(&mut known, start, 5, 400, [400, 0]));
        let faded = joined(&known, start);
        assert_eq!(*faded.servers[0].models[0].ram_history, [100, 40]);
        assert!(!read(&mut known, start, 10, 400, [400, 0]), "it is not time yet");
        assert!(!differs(&faded, &joined(&known, start)));
        assert!(read(&mut known, start, 35, 400, [400, 0]));
        assert!(differs(&faded, &joined(&known, start)));
        known.installed.clear();
        assert!(!known.keep_history() && known.histories.is_empty());
    }

    #[test]
    fn what_cannot_be_read_has_no_history() {
        let mut known = known();
        assert!(!known.keep_history() && known.histories.is_empty());
    }
}

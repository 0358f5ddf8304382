//! The JSON of `status`: one object, every size in bytes, what is unknown `null` beside the reason.

use serde_json::{Map, Value, json as object};

use super::keeping;
use super::words::{is_estimate, preloaded, processor, ram_unknown, state_key, vram_model};
use super::{SCHEMA_VERSION, age, script_name, seconds, thousandths};
use crate::residency::expiry::Expiry;
use crate::residency::fit::{Fit, OnCard, Place};
use crate::residency::forecast::Forecast;
use crate::residency::hold::How;
use crate::residency::host::{Card, Cards, LoadMode, Pcie, Ram, Runner};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::progress::LoadProgress;
use crate::residency::snapshot::{Blob, Host, Kept, Loaded, Model, Reach, Server, Snapshot, State};
use crate::residency::tier::Cached;
use crate::residency::timing::{Moment, Reading};

/// The whole status at `now`. `keep_alive` is the config's.
pub fn json(snapshot: &Snapshot, keep_alive: Option<KeepAlive>, now: Moment) -> Value {
    let mut all = object!({
        "schema_version": SCHEMA_VERSION,
        "at": now.wall.to_string(),
        "age_seconds": age(now, snapshot.at),
        "host": host(&snapshot.host, now),
        "servers": snapshot.servers.iter().map(|one| server(one, now)).collect::<Vec<_>>(),
        "models": snapshot
            .servers
            .iter()
            .flat_map(|server| server.models.iter().map(move |one| model(server, one, now)))
            .collect::<Vec<_>>(),
        "vram_model": vram_model(snapshot).map(|model| script_name(&model.name)),
        "ram_preloaded": preloaded(snapshot).map(|model| script_name(&model.name)).collect::<Vec<_>>(),
        "keep_alive": keep_alive.map(as_ollama_takes_it),
    });
    if let Some(all) = all.as_object_mut() {
        keeping::put(&snapshot.keeping, all);
    }
    all
}

/// A `keep_alive` in a form that can be sent to the server: `forever` and `-1` cannot, as strings.
fn as_ollama_takes_it(keep_alive: KeepAlive) -> String {
    if keep_alive.is_forever() { "-1s".to_owned() } else { keep_alive.to_string() }
}

/// Puts `value` under `key`, or `null` and the reason under `key_unknown`.
fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>, why: &str) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    } else {
        map.insert(key.to_owned(), Value::Null);
        map.insert(format!("{key}_unknown"), why.into());
    }
}

fn host(host: &Host, now: Moment) -> Value {
    let mut map = Map::new();
    map.insert("name".to_owned(), host.name.as_str().into());
    put(&mut map, "ram", host.ram.as_ref().map(|reading| ram(reading, now)), "not read yet");
    let (cards, why) = match host.cards.as_ref().map(|reading| &reading.value) {
        None | Some(Cards::Unread) => (None, "not read yet"),
        Some(Cards::Unknown(why)) => (None, why.as_str()),
        Some(Cards::Known(cards)) => (Some(cards.iter().map(card).collect::<Vec<_>>()), ""),
    };
    put(&mut map, "cards", cards, why);
    map.insert("holds_bytes".to_owned(), host.holds.0.into());
    map.insert(
        "cards_age_seconds".to_owned(),
        host.cards.as_ref().map(|reading| age(now, reading.at)).into(),
    );
    map.into()
}

fn ram(reading: &Reading<Ram>, now: Moment) -> Value {
    let ram = &reading.value;
    object!({
        "total_bytes": ram.total,
        "used_bytes": ram.used,
        "available_bytes": ram.available,
        "free_bytes": ram.free,
        "page_cache_bytes": ram.page_cache,
        "swap_total_bytes": ram.swap_total,
        "swap_used_bytes": ram.swap_used,
        "cgroup_limit_bytes": ram.cgroup_limit,
        "age_seconds": age(now, reading.at),
    })
}

fn card(card: &Card) -> Value {
    let silent = if card.asleep { "the card sleeps and was not woken" } else { "the driver does not say" };
    let mut map = Map::new();
    map.insert("name".to_owned(), card.name.as_str().into());
    for (key, bytes) in [("total_bytes", card.total), ("used_bytes", card.used), ("free_bytes", card.free)] {
        map.insert(key.to_owned(), bytes.0.into());
    }
    put(&mut map, "utilisation_percent", card.utilisation, silent);
    put(&mut map, "temperature_celsius", card.temperature, silent);
    put(&mut map, "power_watts", card.power, silent);
    put(&mut map, "pcie", card.pcie.as_ref().map(pcie), silent);
    put(&mut map, "receive_bytes_per_second", card.receive_rate.map(|rate| rate.0), silent);
    let processes = card.processes.iter().map(|process| {
        let mut map = Map::new();
        map.insert("pid".to_owned(), process.pid.into());
        put(&mut map, "used_bytes", process.used.map(|used| used.0), silent);
        Value::from(map)
    });
    map.insert("processes".to_owned(), processes.collect());
    map.insert("asleep".to_owned(), card.asleep.into());
    map.insert("unified".to_owned(), card.unified.into());
    map.into()
}

fn pcie(link: &Pcie) -> Value {
    object!({
        "generation": link.generation,
        "width": link.width,
        "max_generation": link.max_generation,
        "max_width": link.max_width,
    })
}

fn server(server: &Server, now: Moment) -> Value {
    let (reach, latency, since, why) = match &server.reach {
        Reach::Connecting => ("connecting", None, None, None),
        Reach::Up { latency } => ("up", Some(seconds(*latency)), None, None),
        Reach::Slow { since } => ("slow", None, Some(age(now, *since)), None),
        Reach::Down { since, why, .. } => ("down", None, Some(age(now, *since)), Some(why)),
    };
    let mut map = Map::new();
    map.insert("url".to_owned(), server.url.as_str().into());
    map.insert("reach".to_owned(), reach.into());
    map.insert("latency_seconds".to_owned(), latency.into());
    map.insert("for_seconds".to_owned(), since.into());
    map.insert("why".to_owned(), why.cloned().into());
    put(&mut map, "version", server.version.as_deref(), "the server did not say");
    map.insert("local".to_owned(), server.local.into());
    map.insert("demo_scale".to_owned(), server.demo_scale.into());
    let why = server.models_dir_unknown.as_deref().unwrap_or("not looked for yet");
    put(&mut map, "models_dir", server.models_dir.as_ref().map(|dir| dir.to_string_lossy()), why);
    put(&mut map, "loaded_age_seconds", server.ps_at.map(|at| age(now, at)), "never read");
    put(&mut map, "installed_age_seconds", server.tags_at.map(|at| age(now, at)), "never read");
    map.into()
}

fn model(server: &Server, model: &Model, now: Moment) -> Value {
    let details = &model.details;
    let mut map = Map::new();
    let mut say = |key: &str, value: Value| map.insert(key.to_owned(), value);
    say("server", server.url.as_str().into());
    say("name", script_name(&model.name).into());
    say("full_name", model.name.as_str().into());
    say("digest", model.digest.as_str().into());
    say("size_bytes", model.size.0.into());
    say("format", details.format.as_str().into());
    say("family", details.family.as_str().into());
    say("parameters", details.parameters.as_str().into());
    say("quantisation", details.quantisation.as_str().into());
    say("capabilities", details.capabilities.clone().into());
    say("train_context", details.train_context.into());
    say("remote_host", details.remote_host.clone().into());
    say("preload_position", model.listed.into());
    say("state", state_key(model.state).into());
    if let State::Loading { since, ours } = model.state {
        say("loading_for_seconds", age(now, since));
        say("loading_ours", ours.into());
        say("load_progress", model.progress.as_ref().map(progress).into());
    }
    say("pinned", model.pinned.into());
    say("tiers", tiers(model));
    say("kept", model.kept.as_ref().map(|one| kept(one, now)).into());
    say("cached_age_seconds", model.cached_at.map(|at| age(now, at)).into());
    say("blobs", model.blobs.iter().map(blob).collect());
    say("shared_with", model.shared_with.iter().map(script_name).collect());
    say("forecast", model.forecast.as_ref().map(forecast).into());
    say("fit", model.fit.as_ref().map(fit).into());
    say("forecasts_right", model.hits.right.into());
    say("forecasts_seen", model.hits.seen.into());
    say("forecast_size_error", model.hits.size_error.map(thousandths).into());
    // An estimate, learned from loads before; the error is a share of what was measured.
    say("to_vram_seconds", model.to_vram.map(|said| seconds(said.took)).into());
    say("to_vram_error", model.to_vram.and_then(|said| said.error).map(thousandths).into());
    say("loaded", model.loaded.is_some().into());
    if let Some(loaded) = &model.loaded {
        map.append(&mut load(loaded, now));
    }
    map.into()
}

/// How far a load is, and what says so.
fn progress(progress: &LoadProgress) -> Value {
    object!({
        "percent": progress.percent(),
        "estimate": progress.source.is_estimate(),
        "source": progress.source.words(),
        "done_bytes": progress.done,
        "weights_bytes": progress.of,
        "pid": progress.pid,
    })
}

/// Bytes by tier. The RAM and disk shares of what cannot be read are unknown, not zero.
fn tiers(model: &Model) -> Value {
    let tiers = &model.tiers;
    let mut map = Map::new();
    map.insert("vram_bytes".to_owned(), tiers.vram.0.into());
    let why = ram_unknown(model);
    let known = |bytes: u64| why.is_none().then_some(bytes);
    put(&mut map, "ram_bytes", known(tiers.ram.0), why.unwrap_or_default());
    put(&mut map, "disk_bytes", known(tiers.disk.0), why.unwrap_or_default());
    map.insert("estimate".to_owned(), is_estimate(model).into());
    map.into()
}

/// What keeps it in RAM, in this process; another instance's holds are not seen here.
fn kept(kept: &Kept, now: Moment) -> Value {
    let files = kept.files.as_ref();
    object!({
        "held": kept.held,
        "remaining_seconds": kept.ends.map(|ends| seconds(ends.mono.saturating_duration_since(now.mono))),
        "how": files.map(|files| match files.how { How::Map => "map", How::Lock => "mlock" }),
        "resident_bytes": files.map(|files| files.resident),
        "locked_bytes": files.map(|files| files.locked),
        "fading": files.and_then(|files| files.fading.clone()),
        "trouble": files.and_then(|files| files.trouble.clone()),
    })
}

/// One file. What is in RAM of it is in the page cache, whether its model is loaded or not.
fn blob(blob: &Blob) -> Value {
    let mut map = Map::new();
    map.insert("digest".to_owned(), blob.digest.as_str().into());
    map.insert("role".to_owned(), blob.role.into());
    map.insert("size_bytes".to_owned(), blob.size.0.into());
    let not_here = "the file is not on this machine";
    let why = match &blob.cached {
        Cached::Unknown(why) => why,
        Cached::Unread if blob.path.is_none() => not_here,
        Cached::Unread => "not read yet",
        Cached::Exact(_) | Cached::Sampled(_) => "only how much was read",
    };
    put(&mut map, "path", blob.path.as_ref().map(|path| path.to_string_lossy()), not_here);
    put(&mut map, "ram_bytes", blob.cached.bytes().map(|bytes| bytes.0), why);
    map.insert("estimate".to_owned(), blob.cached.is_estimate().into());
    // Equal stretches from the beginning on, each in whole percents.
    put(&mut map, "map", blob.map.map(|map| map.cells().map(Value::from).collect::<Value>()), why);
    map.into()
}

fn forecast(forecast: &Forecast) -> Value {
    object!({
        "estimate": true,
        "evicts": forecast.evicts.iter().map(script_name).collect::<Vec<_>>(),
        "why": forecast.why,
    })
}

/// What a load would come to; all of it computed.
fn fit(fit: &Fit) -> Value {
    let (place, left) = match fit.place {
        Place::NoCard => ("no_card", None),
        Place::Whole { left, .. } => ("whole", Some(left)),
        Place::Partly { too_big: true, .. } => ("too_big", None),
        Place::Partly { .. } => ("partly", None),
    };
    let (card, all_cards) = match fit.place.card() {
        Some(OnCard::Only) => (Some(0), false),
        Some(OnCard::Number(number)) => (Some(number), false),
        Some(OnCard::All) => (None, true),
        Some(OnCard::Unknown) | None => (None, false),
    };
    object!({
        "estimate": true,
        "place": place,
        "context": fit.context,
        "bytes": fit.size,
        "on_card_bytes": fit.place.on_card(fit.size),
        "left_bytes": left,
        "kv_cache_bytes": fit.cache,
        "learned": fit.learned,
        "card": card,
        "all_cards": all_cards,
        "server_expects_bytes": fit.expected,
        "server_limit_bytes": fit.limit,
    })
}

/// What only a loaded model has.
fn load(loaded: &Loaded, now: Moment) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("loaded_bytes".to_owned(), loaded.size.0.into());
    map.insert("loaded_vram_bytes".to_owned(), loaded.size_vram.0.into());
    put(&mut map, "processor", processor(loaded), "the sizes that the server reports contradict each other");
    put(&mut map, "context", loaded.context, "the server does not say");
    match loaded.expiry {
        // For ever is no time, and it is not unknown either.
        Expiry::Never => map.insert("expires_at".to_owned(), Value::Null),
        Expiry::At(at) => map.insert("expires_at".to_owned(), at.to_string().into()),
        Expiry::Unknown => {
            put(&mut map, "expires_at", None::<Value>, "the server did not say anything that can be read");
            None
        }
    };
    map.insert("remaining_seconds".to_owned(), loaded.expiry.remaining(now).map(seconds).into());
    let keep_alive = loaded.keep_alive.map(|keep_alive| match keep_alive {
        KeepAlive::Forever => Value::from(-1),
        KeepAlive::For(time) => seconds(time),
    });
    put(
        &mut map,
        "keep_alive_seconds",
        keep_alive,
        "not learned yet: the countdown has not been restarted since we look",
    );
    put(&mut map, "runner", loaded.runner.as_ref().map(runner), "its process is not visible");
    map
}

fn runner(runner: &Runner) -> Value {
    let load_mode = match runner.load_mode {
        LoadMode::Mmap => Some("mmap"),
        LoadMode::Buffered => Some("buffered"),
        LoadMode::Direct => Some("direct"),
        LoadMode::InTree => Some("in_tree"),
        LoadMode::Unknown => None,
    };
    let mut map = Map::new();
    map.insert("pid".to_owned(), runner.pid.into());
    map.insert("anonymous_bytes".to_owned(), runner.anonymous.0.into());
    map.insert("file_backed_bytes".to_owned(), runner.file_backed.0.into());
    put(&mut map, "parent", runner.parent, "not readable");
    put(&mut map, "port", runner.port, "its arguments do not say");
    put(&mut map, "context", runner.context, "its arguments do not say");
    put(&mut map, "slots", runner.slots, "its arguments do not say");
    put(&mut map, "gpu_layers", runner.gpu_layers.as_deref(), "its arguments do not say");
    put(&mut map, "load_mode", load_mode, "its arguments do not say");
    put(&mut map, "ready", runner.ready, "not asked");
    put(&mut map, "busy", runner.busy, "not asked");
    map.into()
}

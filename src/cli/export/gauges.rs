//! The gauges: what one look at the server and the machine says. What is unknown is left out, never zero.

use jiff::Timestamp;

use super::catalogue::{self as of, Family};
use super::exposition::{Exposition, Labels, Value};
use super::name;
use crate::cli::status::{is_estimate, ram_unknown};
use crate::residency::budget::Limits;
use crate::residency::bytes::Bytes;
use crate::residency::expiry::Expiry;
use crate::residency::finding::Kind;
use crate::residency::host::{Card, Ram};
use crate::residency::snapshot::{Host, Model, Reach, Server, Snapshot, State};

/// Of so many models each has its own series: the loaded ones and the preload list first.
pub const MODELS: usize = 500;

/// Says all that the snapshot knows; `server` is what its journal calls the server.
pub(super) fn put(all: &mut Exposition, snapshot: &Snapshot, server: &str, limits: Limits) {
    all.put(&of::BUILD, vec![("version", env!("CARGO_PKG_VERSION").to_owned())], Value::Whole(1));
    machine(all, &snapshot.host, limits);
    let labels = vec![("server", server.to_owned())];
    all.put(&of::KEEPER, labels.clone(), snapshot.keeping.keeper.is_some().into());
    if let Some(first) = snapshot.servers.first() {
        self::server(all, first, &labels);
    }
}

fn server(all: &mut Exposition, server: &Server, labels: &Labels) {
    let is_up = matches!(server.reach, Reach::Up { .. } | Reach::Slow { .. });
    all.put(&of::UP, labels.clone(), is_up.into());
    all.put_if(&of::LAST_POLL, labels, server.ps_at.map(|at| time(at.wall)));
    if let Reach::Up { latency } = server.reach {
        all.put(&of::POLL_DURATION, labels.clone(), Value::Real(latency.as_secs_f64()));
    }
    // What a server had when it went says nothing of what it has.
    if !is_up {
        return;
    }
    let version = server.version.as_deref().map(super::cut).unwrap_or_default();
    let local = if server.local { "yes" } else { "no" };
    let info = with(labels, &[("version", &version), ("local", local)]);
    all.put(&of::SERVER, info, Value::Whole(1));
    if let Some(findings) = &server.findings {
        for kind in Kind::ALL {
            let found = findings.iter().filter(|finding| finding.kind == kind).count();
            all.put(&of::FINDINGS, with(labels, &[("kind", kind.key())]), whole(found));
        }
    }
    if server.tags_at.is_none() || server.ps_at.is_none() {
        return;
    }
    all.put(&of::MODELS, labels.clone(), whole(server.models.len()));
    tiers(all, server, labels);
    let mut models: Vec<&Model> = server.models.iter().collect();
    models.sort_by_key(|model| (model.loaded.is_none(), model.listed.is_none()));
    for one in models.into_iter().take(MODELS) {
        model(all, one, labels);
    }
}

/// The bytes of all models by tier, as far as all of them are known.
fn tiers(all: &mut Exposition, server: &Server, labels: &Labels) {
    let here = |model: &&Model| model.state != State::Cloud;
    // Of models that share their files the first in the list counts.
    let place = |model: &Model| server.models.iter().position(|one| one.name == model.name);
    let is_first = |model: &&Model| {
        let others = model.shared_with.iter().filter_map(|name| server.model(name));
        others.filter(here).all(|other| place(model) < place(other))
    };
    let counted = || server.models.iter().filter(here).filter(is_first);
    let vram: Bytes = counted().map(|model| model.tiers.vram).sum();
    all.put(&of::TIER, with(labels, &[("tier", "vram")]), bytes(vram));
    if counted().all(|model| ram_unknown(model).is_none()) {
        let ram: Bytes = counted().map(|model| model.tiers.ram).sum();
        let disk: Bytes = counted().map(|model| model.tiers.disk).sum();
        all.put(&of::TIER, with(labels, &[("tier", "ram")]), bytes(ram));
        all.put(&of::TIER, with(labels, &[("tier", "disk")]), bytes(disk));
    }
}

fn model(all: &mut Exposition, model: &Model, server: &Labels) {
    let labels = &with(server, &[("model", &name(&model.name))]);
    let mut put = |family: &'static Family, value: Option<Value>| all.put_if(family, labels, value);
    put(&of::MODEL_LOADED, Some(model.has_runner().into()));
    put(&of::MODEL_LOADING, Some(matches!(model.state, State::Loading { .. }).into()));
    put(&of::MODEL_PINNED, Some(model.pinned.into()));
    put(&of::MODEL_LISTED, Some(model.listed.is_some().into()));
    put(&of::MODEL_BUSY, is_busy(model.state).map(Value::from));
    put(&of::MODEL_SIZE, (model.size > Bytes::ZERO).then(|| bytes(model.size)));
    put(&of::MODEL_FORECAST, model.to_vram.map(|said| Value::Real(said.took.as_secs_f64())));
    if model.state != State::Cloud {
        self::tier(all, model, labels);
    }
    let details = &model.details;
    let said = [&details.family, &details.format, &details.parameters, &details.quantisation];
    let [family, format, parameters, quantisation] = said.map(|said| super::cut(said));
    let info = with(
        labels,
        &[
            ("family", &family),
            ("format", &format),
            ("parameters", &parameters),
            ("quantisation", &quantisation),
        ],
    );
    all.put(&of::MODEL, info, Value::Whole(1));
    let Some(loaded) = model.loaded.as_ref().filter(|_| model.has_runner()) else { return };
    if loaded.size >= loaded.size_vram {
        let ram = loaded.size.minus(loaded.size_vram);
        all.put(&of::MODEL_RUNNER, with(labels, &[("memory", "vram")]), bytes(loaded.size_vram));
        all.put(&of::MODEL_RUNNER, with(labels, &[("memory", "ram")]), bytes(ram));
    }
    all.put_if(&of::MODEL_CONTEXT, labels, loaded.context.map(Value::Whole));
    if let Expiry::At(at) = loaded.expiry {
        all.put(&of::MODEL_EXPIRES, labels.clone(), time(at));
    }
}

fn tier(all: &mut Exposition, model: &Model, labels: &Labels) {
    all.put(&of::MODEL_TIER, with(labels, &[("tier", "vram")]), bytes(model.tiers.vram));
    if ram_unknown(model).is_none() {
        all.put(&of::MODEL_TIER, with(labels, &[("tier", "ram")]), bytes(model.tiers.ram));
        all.put(&of::MODEL_TIER, with(labels, &[("tier", "disk")]), bytes(model.tiers.disk));
        all.put(&of::MODEL_ESTIMATED, labels.clone(), is_estimate(model).into());
    }
}

/// Whether a loaded model works; `None` where nobody can tell, and of one that is not loaded.
fn is_busy(state: State) -> Option<bool> {
    match state {
        State::Busy => Some(true),
        State::Idle | State::Overdue => Some(false),
        _ => None,
    }
}

fn machine(all: &mut Exposition, host: &Host, limits: Limits) {
    if let Some(Ram { total, used, available, page_cache, .. }) = host.ram.map(|reading| reading.value) {
        let none = Labels::new();
        all.put(&of::RAM_SIZE, none.clone(), bytes(total));
        all.put(&of::RAM_USED, none.clone(), bytes(used));
        all.put(&of::RAM_AVAILABLE, none.clone(), bytes(available));
        all.put(&of::RAM_CACHE, none, bytes(page_cache));
        let shares = limits.shares(total);
        for (share, size) in
            [("system", shares.system), ("models", shares.models), ("context", shares.context)]
        {
            all.put(&of::BUDGET, vec![("share", share.to_owned())], bytes(size));
        }
    }
    for (number, one) in host.card_list().iter().enumerate() {
        card(all, one, &vec![("card", number.to_string()), ("name", super::cut(&one.name))]);
    }
}

fn card(all: &mut Exposition, card: &Card, labels: &Labels) {
    let mut put = |family: &'static Family, value: Option<Value>| all.put_if(family, labels, value);
    // Of a card that sleeps and was never read nothing is known.
    if card.total > Bytes::ZERO {
        put(&of::CARD_SIZE, Some(bytes(card.total)));
        put(&of::CARD_USED, Some(bytes(card.used)));
        put(&of::CARD_FREE, Some(bytes(card.free)));
    }
    put(&of::CARD_BUSY, card.utilisation.map(|percent| Value::Real(f64::from(percent) / 100.0)));
    put(&of::CARD_TEMPERATURE, card.temperature.map(|degrees| Value::Whole(degrees.into())));
    put(&of::CARD_POWER, card.power.map(|watts| Value::Real(watts.into())));
    put(&of::CARD_RECEIVE, card.receive_rate.map(bytes));
}

fn with(labels: &Labels, more: &[(&'static str, &str)]) -> Labels {
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    labels.iter().cloned().chain(more).collect()
}

fn bytes(bytes: Bytes) -> Value {
    Value::Whole(bytes.0)
}

fn whole(count: usize) -> Value {
    Value::Whole(u64::try_from(count).unwrap_or(u64::MAX))
}

/// To the millisecond, as Prometheus has times.
fn time(at: Timestamp) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of any year that will be are exact")]
    let seconds = at.as_millisecond() as f64 / 1000.0;
    Value::Real(seconds)
}

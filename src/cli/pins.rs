//! `pins`: which models are meant to stay in VRAM, how it is with each, and who sees to it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json as object};
use tokio::time::{Instant, timeout};

use super::Exit;
use super::history::when;
use super::out::Out;
use super::ready::{self, Ready};
use super::status::{looks_on, pretty, script_name, seconds};
use crate::config::Config;
use crate::engine::Handle;
use crate::journal::Seen;
use crate::residency::guard::claim::Onlooker;
use crate::residency::guard::hindrance::Hindrance;
use crate::residency::guard::{PinState, Pinned};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;

/// The version of the JSON; it rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// How long the journal may take.
const JOURNAL: Duration = Duration::from_secs(2);

/// What one call of `pins` asks for, and what it is handed.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// JSON instead of lines.
    pub json: bool,
    /// The journal is asked; where there is none, only the config tells of pins.
    pub recalls: bool,
    /// The dashboard that enforces pins, or one that looks on.
    pub roles: Seen,
    /// The keep_alive that an unpin gives where nothing is known of the one before.
    pub otherwise: KeepAlive,
    /// Pins of a config that was merely found: nobody enforces them.
    pub idle: Vec<ModelName>,
}

impl Request {
    /// Joins what the config says with what is known of the keeper.
    pub fn new(json: bool, recalls: bool, roles: Seen, config: &Config) -> Request {
        let configured = config.keep_alive.filter(|keep_alive| !keep_alive.is_forever());
        let idle = if config.may_act { Vec::new() } else { config.pins.models.clone() };
        let otherwise = configured.unwrap_or(KeepAlive::For(KeepAlive::SERVERS_DEFAULT));
        Request { json, recalls, roles, otherwise, idle }
    }
}

/// Prints all pins of the server; without one what the journal and the config know of them.
pub async fn run(
    mut handle: Handle,
    request: &Request,
    (now, zone): (Timestamp, &TimeZone),
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    tokio::select! {
        biased;
        () = interrupt => Exit::Failed,
        exit = print(&mut handle, request, (now, zone), out) => exit,
    }
}

async fn print(
    handle: &mut Handle,
    request: &Request,
    (now, zone): (Timestamp, &TimeZone),
    out: &mut Out<'_>,
) -> Exit {
    let (exit, why) = match ready::server(handle, Instant::now() + ready::PATIENCE).await {
        Ready::Up(_) => (Exit::Done, None),
        Ready::Down(why) => (Exit::NoServer, Some(why)),
        Ready::Late(why) => (Exit::TimedOut, Some(why)),
        Ready::Ended => (Exit::Failed, Some("the engine has stopped".to_owned())),
    };
    if request.recalls {
        let read = handle.snapshots.wait_for(|snapshot| snapshot.keeping.pins.is_some());
        if !matches!(timeout(JOURNAL, read).await, Ok(Ok(_))) {
            out.remark("the journal did not answer: what it knows of pins is missing");
        }
    }
    let lacks = |snapshot: &Snapshot| {
        let pins = snapshot.keeping.pins.iter().flat_map(|pins| pins.iter());
        let mut away = pins.filter(|pin| pin.state == PinState::Away(None)).map(|pin| &pin.model);
        let server = snapshot.servers.first().filter(|server| server.local);
        server.is_some_and(|server| away.any(|name| server.model(name).is_some_and(|m| m.forecast.is_none())))
    };
    // Why one is away is told from the forecast.
    let snapshot = ready::forecasts(handle, Instant::now() + JOURNAL, lacks).await;
    let (pins, up) = (snapshot.keeping.pins.clone().unwrap_or_default(), exit == Exit::Done);
    let text = if request.json {
        pretty(&json(&snapshot, request, &pins, up, now))
    } else {
        lines(&snapshot, request, &pins, up, (now, zone))
    };
    if let Err(error) = out.result(&text) {
        out.remark(&format!("cannot write the pins: {error}"));
        return Exit::Failed;
    }
    for model in request.idle.iter().filter(|model| snapshot.keeping.pin(model).is_none()) {
        out.remark(&format!(
            "{model} is listed under pins in ./config.yaml, which was merely found: nothing in it acts by itself until it \
             is named with --config"
        ));
    }
    if let Some(why) = why {
        out.remark(&why);
    }
    exit
}

/// How it is with a pin, in plain words. Without a server only what the journal knows is said.
fn words(pin: &Pinned, up: bool, now: Timestamp) -> String {
    match &pin.state {
        PinState::Suspended(by) => {
            format!("rests: displaced by our swap to {by}, comes back with the swap back")
        }
        PinState::GaveUp(by) => {
            let times = if pin.tries == 0 { String::new() } else { format!(" {} times", pin.tries) };
            match by {
                Some(by) => {
                    format!(
                        "given up: {by} insists, it was loaded{times} in its place; pin it again to try again"
                    )
                }
                None => format!("given up: brought back{times} and evicted again; pin it again to try again"),
            }
        }
        _ if !up => "? the server does not answer".to_owned(),
        PinState::Held => "held in VRAM".to_owned(),
        PinState::Overridden => "in VRAM, but another client gave it another keep_alive".to_owned(),
        PinState::Away(None) => "away: not in VRAM".to_owned(),
        PinState::Away(Some(why)) => format!("away: {}", why.words(&pin.model, now)),
    }
}

/// The state for scripts; `None` is one that only the server could tell.
fn key(state: &PinState, up: bool) -> Option<&'static str> {
    match state {
        PinState::Suspended(_) => Some("rests"),
        PinState::GaveUp(_) => Some("given_up"),
        _ if !up => None,
        PinState::Held => Some("held"),
        PinState::Overridden => Some("overwritten"),
        PinState::Away(_) => Some("away"),
    }
}

fn lines(
    snapshot: &Snapshot,
    request: &Request,
    pins: &[Pinned],
    up: bool,
    (now, zone): (Timestamp, &TimeZone),
) -> String {
    if pins.is_empty() {
        let server = snapshot.servers.first().map_or("", |server| &server.url);
        return format!("no pins of {}; resident pin MODEL makes one", printable(server));
    }
    let mut lines: Vec<String> = pins.iter().map(|pin| line(pin, request, up, (now, zone))).collect();
    lines.push(match (request.roles.keeper, request.roles.idle) {
        (Some(pid), _) => format!("kept by the dashboard with pid {pid}"),
        (None, Some(Onlooker { pid, why })) => {
            format!("nobody enforces them: the dashboard with pid {pid} only looks on ({})", why.words())
        }
        (None, None) => "no dashboard runs: nobody enforces them".to_owned(),
    });
    lines.join("\n")
}

fn line(pin: &Pinned, request: &Request, up: bool, (now, zone): (Timestamp, &TimeZone)) -> String {
    let mut parts = vec![format!("{}   {}", pin.model, words(pin, up, now))];
    parts.push(match pin.since {
        Some(since) => format!("pinned {}", when(since, now, zone)),
        None => "pinned by the config".to_owned(),
    });
    let back = pin.before.unwrap_or(request.otherwise);
    parts.push(format!("an unpin gives it keep_alive {back}"));
    if pin.tries > 0 && !pin.state.is_over() {
        parts.push(format!("brought back {} times lately", pin.tries));
    }
    parts.join("   ")
}

/// Why it is not in VRAM, where only the server's answer could tell that.
fn why(pin: &Pinned, up: bool, now: Timestamp) -> Value {
    let PinState::Away(Some(why)) = &pin.state else { return Value::Null };
    let told = object!({
        "kind": why.key(),
        "words": why.words(&pin.model, now),
        "until": why.until().map(|until| until.to_string()),
    });
    if up { told } else { Value::Null }
}

fn json(snapshot: &Snapshot, request: &Request, pins: &[Pinned], up: bool, now: Timestamp) -> Value {
    let one = |pin: &Pinned| {
        let by = match &pin.state {
            PinState::Suspended(by) => Some(by),
            PinState::GaveUp(by) => by.as_ref(),
            PinState::Away(why) => why.as_ref().and_then(Hindrance::by),
            PinState::Held | PinState::Overridden => None,
        };
        let back = match pin.before.unwrap_or(request.otherwise) {
            KeepAlive::For(time) => seconds(time),
            KeepAlive::Forever => Value::from(-1),
        };
        object!({
            "model": script_name(&pin.model),
            "state": key(&pin.state, up),
            "by": by.map(script_name),
            "why": why(pin, up, now),
            "since": pin.since.map(|since| since.to_string()),
            "configured": pin.configured,
            "unpin_keep_alive_seconds": back,
            "tries": pin.tries,
        })
    };
    object!({
        "schema_version": SCHEMA_VERSION,
        "server": snapshot.servers.first().map(|server| server.url.as_str()),
        "server_answers": up,
        "keeper_pid": request.roles.keeper,
        "looks_on": looks_on(request.roles.idle),
        "pins": pins.iter().map(one).collect::<Vec<_>>(),
    })
}

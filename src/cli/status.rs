//! `status`: where every model is, as one table or one JSON object, once or at every change.

mod document;
mod keeping;
mod sheet;
mod words;

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};

pub use self::document::json;
pub use self::keeping::keeping;
pub(in crate::cli) use self::keeping::looks_on;
pub use self::sheet::table;
pub(super) use self::words::{is_estimate, ram_unknown};
use super::Exit;
use super::out::Out;
use super::ready::{self, Ready};
use crate::engine::Handle;
use crate::residency::guard::Keeping;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;
use crate::residency::timing::{Clock, Moment};

/// The version of the JSON; it rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// How long memory, cards and page cache may take once the models are known.
const READINGS: Duration = Duration::from_secs(2);
/// How long the journal's past may take on top of them.
const PAST: Duration = Duration::from_millis(500);
/// `--watch` prints at least this often: ages and countdowns move, and a reader that has gone is noticed.
const AT_LEAST: Duration = Duration::from_secs(10);

/// What one call of `status` asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// JSON instead of the table.
    pub json: bool,
    /// Go on at every change; always JSON, one object a line.
    pub watch: bool,
    /// The journal is asked for the past: the first answer waits a little for its predictions.
    pub recalls: bool,
    /// The config's `keep_alive`, which the JSON carries.
    pub keep_alive: Option<KeepAlive>,
    /// Columns of the terminal; `None` if stdout is none: nothing is cut then.
    pub columns: Option<usize>,
}

/// Prints what the engine knows, once or until `interrupt` ends; `keeping` says who acts by itself, which the engine of one
/// that only looks does not know.
pub async fn run(
    mut handle: Handle,
    request: &Request,
    clock: &Clock,
    keeping: impl Fn(&Keeping) -> Keeping,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    let printed = if request.watch {
        tokio::select! {
            biased;
            () = interrupt => Ok(Exit::Done),
            exit = watch(&mut handle, request, clock, &keeping, out) => exit,
        }
    } else {
        tokio::select! {
            biased;
            () = interrupt => Ok(Exit::Failed),
            exit = once(&mut handle, request, clock, &keeping, out) => exit,
        }
    };
    printed.unwrap_or_else(|error| {
        out.remark(&format!("cannot write the status: {error}"));
        Exit::Failed
    })
}

async fn once(
    handle: &mut Handle,
    request: &Request,
    clock: &Clock,
    keeping: &impl Fn(&Keeping) -> Keeping,
    out: &mut Out<'_>,
) -> io::Result<Exit> {
    let (exit, why) = match ready::server(handle, Instant::now() + ready::PATIENCE).await {
        Ready::Up(_) => (Exit::Done, None),
        Ready::Down(why) => (Exit::NoServer, Some(why)),
        Ready::Late(why) => (Exit::TimedOut, Some(why)),
        Ready::Ended => (Exit::Failed, Some("the engine has stopped".to_owned())),
    };
    // Also without a server: the machine's own memory is worth a look.
    let mut snapshot = ready::readings(handle, Instant::now() + READINGS).await;
    if request.recalls {
        snapshot = ready::all(handle, Instant::now() + PAST, |snapshot| snapshot.past.swaps.is_empty()).await;
    }
    let snapshot = with(&snapshot, keeping);
    let now = clock();
    if request.json {
        out.result(&pretty(&json(&snapshot, request.keep_alive, now)))?;
    } else {
        out.result(&table(&snapshot, now, request.columns))?;
    }
    if let Some(why) = why {
        out.remark(&why);
    }
    Ok(exit)
}

async fn watch(
    handle: &mut Handle,
    request: &Request,
    clock: &Clock,
    keeping: &impl Fn(&Keeping) -> Keeping,
    out: &mut Out<'_>,
) -> io::Result<Exit> {
    // The first line is a whole one where that is possible; a server that is down is a line like any other.
    if matches!(ready::server(handle, Instant::now() + ready::PATIENCE).await, Ready::Up(_)) {
        ready::readings(handle, Instant::now() + READINGS).await;
    }
    loop {
        let snapshot = with(&handle.snapshots.borrow_and_update().clone(), keeping);
        out.result(&one_line(&json(&snapshot, request.keep_alive, clock())))?;
        if out.is_closed() {
            return Ok(Exit::Done);
        }
        if let Ok(Err(_)) = timeout(AT_LEAST, handle.snapshots.changed()).await {
            out.remark("the engine has stopped");
            return Ok(Exit::Failed);
        }
    }
}

fn with(snapshot: &Snapshot, keeping: impl Fn(&Keeping) -> Keeping) -> Snapshot {
    Snapshot { keeping: keeping(&snapshot.keeping), ..snapshot.clone() }
}

/// A model's name as scripts get it: without `:latest`, in the form that is also accepted everywhere.
pub(crate) fn script_name(name: &ModelName) -> &str {
    name.as_str().strip_suffix(":latest").unwrap_or(name.as_str())
}

/// A ratio or a rate as JSON has it, to the thousandth.
pub(crate) fn thousandths(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

/// Seconds as JSON has them: a number, to the millisecond.
pub(crate) fn seconds(duration: Duration) -> Value {
    ((duration.as_secs_f64() * 1e3).round() / 1e3).into()
}

/// How long ago `then` was.
fn age(now: Moment, then: Moment) -> Value {
    seconds(now.since(then.mono))
}

/// JSON on one line.
pub(crate) fn one_line(value: &Value) -> String {
    terminal_safe(&value.to_string())
}

/// JSON for eyes.
pub(crate) fn pretty(value: &Value) -> String {
    terminal_safe(&format!("{value:#}"))
}

/// `json` with every character that a terminal must not get written as `\uXXXX`: the same value to a parser. Such
/// characters stand inside strings only, line ends outside of them only.
fn terminal_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        let mut utf8 = [0; 4];
        let text = &*c.encode_utf8(&mut utf8);
        if c == '\n' || printable(text) == text {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_survive_as_json_and_never_reach_the_terminal() {
        let value = Value::String("a\u{1b}[2J\u{9b}1m\u{202e}b\u{e0041}\n日本".to_owned());
        for text in [one_line(&value), pretty(&value)] {
            assert!(text.chars().all(|c| printable(&c.to_string()) == c.to_string()), "{text:?}");
            assert!(text.contains("日本"));
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn seconds_are_whole_milliseconds() {
        assert_eq!(seconds(Duration::from_nanos(1_234_567_890)), serde_json::json!(1.235));
    }
}

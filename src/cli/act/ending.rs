//! How one act ended: its line for a person, its object for a script, its exit code.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::status::{SCHEMA_VERSION, script_name, seconds};
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;
use crate::residency::text::printable;

/// How one act ended, or why it was not begun.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum Ending {
    /// A snapshot showed it done; what there is to say instead of the time it took, and what else a script wants to know.
    Done { took: Duration, note: Option<String>, facts: Option<Value> },
    /// It did not work, or somebody cancelled it.
    Failed { why: String, cancelled: bool },
    /// The user cancelled it with Ctrl-C.
    Interrupted,
    /// The time was up.
    TimedOut { why: String },
    /// The server does not answer.
    NoServer { why: String },
    /// It needs `--yes`.
    Refused { why: String },
    /// No such model is installed.
    Unknown { nearest: Vec<String> },
}

impl Ending {
    pub(in crate::cli) fn engine_ended() -> Ending {
        Ending::Failed { why: "the engine has stopped".to_owned(), cancelled: false }
    }

    pub(in crate::cli) fn exit(&self) -> Exit {
        match self {
            Ending::Done { .. } => Exit::Done,
            Ending::Failed { .. } | Ending::Interrupted | Ending::Unknown { .. } => Exit::Failed,
            Ending::TimedOut { .. } => Exit::TimedOut,
            Ending::NoServer { .. } => Exit::NoServer,
            Ending::Refused { .. } => Exit::Refused,
        }
    }

    /// Whether it is useless to try the models after this one.
    pub(in crate::cli) fn is_final(&self) -> bool {
        matches!(self, Ending::Interrupted | Ending::TimedOut { .. } | Ending::NoServer { .. })
    }

    /// Why it is not done; empty if it is.
    pub(in crate::cli) fn reason(&self) -> String {
        match self {
            Ending::Done { .. } => String::new(),
            Ending::Interrupted | Ending::Failed { cancelled: true, .. } => "cancelled".to_owned(),
            Ending::Failed { why, .. }
            | Ending::TimedOut { why }
            | Ending::NoServer { why }
            | Ending::Refused { why } => printable(why).into_owned(),
            Ending::Unknown { .. } => "not installed on this server".to_owned(),
        }
    }

    /// The line for a person.
    pub(in crate::cli) fn line(&self, kind: ActKind, model: &ModelName) -> String {
        match self {
            Ending::Done { note: Some(note), .. } => format!("{model} {note}"),
            Ending::Done { took, .. } => format!("{model} {} in {:.2} s", past(kind), took.as_secs_f64()),
            Ending::Unknown { nearest } => {
                let instead = match nearest.as_slice() {
                    [] => ".".to_owned(),
                    names => format!("; did you mean {}?", names.join(", ")),
                };
                format!("{model} is {}{instead} To install it: ollama pull {model}", self.reason())
            }
            Ending::Refused { .. } => {
                format!("{model} not {}: {}; --yes does it all the same", past(kind), self.reason())
            }
            _ => format!("{model} not {}: {}", past(kind), self.reason()),
        }
    }

    /// The object for a script.
    pub(in crate::cli) fn json(&self, kind: ActKind, model: &ModelName) -> Value {
        let outcome = match self {
            Ending::Done { .. } => "done",
            Ending::Failed { cancelled: true, .. } | Ending::Interrupted => "cancelled",
            Ending::Failed { .. } => "failed",
            Ending::TimedOut { .. } => "timed_out",
            Ending::NoServer { .. } => "no_server",
            Ending::Refused { .. } => "refused",
            Ending::Unknown { .. } => "unknown_model",
        };
        let mut object = json!({
            "schema_version": SCHEMA_VERSION,
            "act": kind.verb(),
            "model": script_name(model),
            "outcome": outcome,
            "exit_code": self.exit() as u8,
        });
        match self {
            Ending::Done { took, facts, .. } => {
                object["took_seconds"] = seconds(*took);
                for (key, value) in facts.iter().filter_map(Value::as_object).flatten() {
                    object[key] = value.clone();
                }
            }
            Ending::Unknown { nearest } => {
                object["error"] = self.reason().into();
                object["nearest"] = nearest.clone().into();
            }
            _ => object["error"] = self.reason().into(),
        }
        object
    }
}

fn past(kind: ActKind) -> &'static str {
    match kind {
        ActKind::Load => "loaded",
        ActKind::Swap => "swapped in",
        ActKind::Unload => "unloaded",
        ActKind::Pin => "pinned",
        ActKind::Unpin => "unpinned",
        ActKind::Touch => "touched",
        ActKind::KeepAlive(_) => "given another keep_alive",
        ActKind::Warm => "warmed",
        ActKind::Hold => "held",
        ActKind::Release => "released",
        ActKind::Drop => "dropped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qwen() -> ModelName {
        ModelName::from_server("qwen2.5-coder:7b")
    }

    #[test]
    fn what_is_done_says_in_which_time() {
        let done = Ending::Done { took: Duration::from_millis(612), note: None, facts: None };
        assert_eq!(done.line(ActKind::Load, &qwen()), "qwen2.5-coder:7b loaded in 0.61 s");
        assert_eq!(
            done.json(ActKind::Load, &qwen()),
            json!({
                "schema_version": 1, "act": "load", "model": "qwen2.5-coder:7b", "outcome": "done", "exit_code": 0,
                "took_seconds": 0.612,
            })
        );
    }

    #[test]
    fn an_unknown_model_says_what_to_do() {
        let unknown =
            |nearest: &[&str]| Ending::Unknown { nearest: nearest.iter().map(ToString::to_string).collect() };
        assert_eq!(
            unknown(&["qwen2.5-coder:7b"]).line(ActKind::Pin, &ModelName::from_server("qwen")),
            "qwen is not installed on this server; did you mean qwen2.5-coder:7b? To install it: ollama pull qwen"
        );
        assert_eq!(
            unknown(&[]).line(ActKind::Pin, &ModelName::from_server("qwen")),
            "qwen is not installed on this server. To install it: ollama pull qwen"
        );
    }

    #[test]
    fn the_words_of_a_server_cannot_steer_the_terminal() {
        let failed = Ending::Failed { why: "boom\u{1b}[2J".to_owned(), cancelled: false };
        assert_eq!(failed.line(ActKind::Unload, &qwen()), "qwen2.5-coder:7b not unloaded: boom\u{fffd}[2J");
    }

    #[test]
    fn each_ending_has_its_exit_code() {
        let why = String::new;
        for (ending, exit, last) in [
            (Ending::Done { took: Duration::ZERO, note: None, facts: None }, Exit::Done, false),
            (Ending::Failed { why: why(), cancelled: false }, Exit::Failed, false),
            (Ending::Interrupted, Exit::Failed, true),
            (Ending::TimedOut { why: why() }, Exit::TimedOut, true),
            (Ending::NoServer { why: why() }, Exit::NoServer, true),
            (Ending::Refused { why: why() }, Exit::Refused, false),
            (Ending::Unknown { nearest: vec![] }, Exit::Failed, false),
        ] {
            assert_eq!((ending.exit(), ending.is_final()), (exit, last), "{ending:?}");
        }
    }
}

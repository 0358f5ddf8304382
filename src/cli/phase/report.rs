//! What is said of a phase: the line for a person, the object for an agent, and the list of all phases.

use std::time::Duration;

use serde_json::{Value, json};

use super::wanted::Wanted;
use crate::cli::act::ending::Ending;
use crate::cli::status::{SCHEMA_VERSION, one_line, script_name, seconds};
use crate::cli::swap::{After, names};
use crate::config::Config;
use crate::residency::act::ActKind;
use crate::residency::text::printable;

/// How making a model ready ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ready {
    /// How.
    pub ending: Ending,
    /// It was in VRAM already.
    pub already: bool,
    /// The context it runs with, as the server says or its load carried; `None` where it is not known yet.
    pub num_ctx: Option<u64>,
    /// What left VRAM for it, and what is left of it.
    pub after: After,
}

impl Ready {
    /// It is not, and this is why.
    pub(super) fn not(ending: Ending) -> Ready {
        Ready { ending, already: false, num_ctx: None, after: After::nothing() }
    }

    /// It was there already.
    pub(super) fn already(num_ctx: Option<u64>) -> Ready {
        let ending = Ending::Done { took: Duration::ZERO, note: None, facts: None };
        Ready { ending, already: true, num_ctx, after: After::nothing() }
    }

    /// How long the agent waited for the model; nothing where it was there.
    pub(super) fn took(&self) -> Duration {
        match self.ending {
            Ending::Done { took, .. } if !self.already => took,
            _ => Duration::ZERO,
        }
    }

    /// The line for a person.
    pub(super) fn line(&self, wanted: &Wanted) -> String {
        let (phase, model) = (printable(&wanted.phase), &wanted.model);
        match &self.ending {
            Ending::Done { .. } if self.already => format!("{phase}: {model} already in VRAM"),
            Ending::Done { took, .. } => format!("{phase}: {model} ready in {:.2} s", took.as_secs_f64()),
            ending => format!("{phase}: {}", ending.line(ActKind::Swap, model)),
        }
    }

    /// The object for an agent.
    pub(super) fn json(&self, wanted: &Wanted) -> String {
        let mut object = self.ending.json(ActKind::Swap, &wanted.model);
        object["act"] = "phase".into();
        object["run"] = wanted.run.as_str().into();
        object["phase"] = wanted.phase.as_str().into();
        object["is_known"] = wanted.instead.is_none().into();
        object["next"] = wanted.next.as_ref().map(script_name).into();
        if wanted.next.is_some() || wanted.next_instead.is_some() {
            object["next_is_known"] = wanted.next_instead.is_none().into();
        }
        object["displaced"] = names(self.after.displaced.as_deref());
        if matches!(self.ending, Ending::Done { .. }) {
            object["already_in_vram"] = self.already.into();
            object["num_ctx"] = self.num_ctx.into();
            object["took_seconds"] = seconds(self.took());
        } else if let Some(left) = &self.after.left {
            object["left"] = left.as_str().into();
        }
        one_line(&object)
    }
}

/// What is said of a run's end.
pub(super) fn over(run: &str, as_json: bool) -> String {
    if as_json {
        return one_line(&json!({
            "schema_version": SCHEMA_VERSION, "act": "phase", "run": run, "phase": "", "outcome": "done", "exit_code": 0,
        }));
    }
    format!("{}: the run is over", printable(run))
}

/// All phases and their models.
pub(super) fn listing(config: &Config, as_json: bool) -> String {
    if as_json {
        let phase = |phase: &crate::config::Phase| json!({"phase": phase.name, "model": script_name(&phase.model), "num_ctx": phase.num_ctx});
        return one_line(&json!({
            "schema_version": SCHEMA_VERSION,
            "phases": config.phases.iter().map(phase).collect::<Vec<Value>>(),
            "primary": config.primary.as_ref().map(script_name),
        }));
    }
    let rows = config.phases.iter().map(|phase| {
        let context = phase.num_ctx.map_or_else(String::new, |tokens| format!("  {tokens} tokens"));
        (printable(&phase.name).into_owned(), format!("{}{context}", phase.model))
    });
    let other = config.primary.iter().map(|model| ("all others".to_owned(), model.to_string()));
    let rows: Vec<(String, String)> = rows.chain(other).collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines: Vec<String> = rows.iter().map(|(name, model)| format!("{name:width$}  {model}")).collect();
    lines.join("\n")
}

//! What a phase wants: its model and context, as the command line and the config say.

use super::Phase;
use super::report::Ready;
use crate::config::Config;
use crate::residency::name::ModelName;
use crate::residency::record::PhaseRecord;
use crate::residency::text::printable;

/// What is to be ready, and what is told of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// Whose work.
    pub run: String,
    /// Which phase.
    pub phase: String,
    /// Its model.
    pub model: ModelName,
    /// The context that it must have; `None` takes the one that is loaded.
    pub num_ctx: Option<u64>,
    /// The model of what comes next.
    pub next: Option<ModelName>,
    /// Said where it is not the phase's own model.
    pub instead: Option<String>,
}

impl Wanted {
    /// What the phase `name` wants, or what the user has to do first.
    pub(super) fn of(config: &Config, asked: &Phase, name: &str) -> Result<Wanted, String> {
        let phase = config.phases.iter().find(|phase| phase.name == name);
        let named = asked.model.as_ref().or(phase.map(|phase| &phase.model));
        let shown = printable(name);
        let (model, instead) = match (named, &config.primary) {
            (Some(model), _) => (model, None),
            (None, Some(primary)) => {
                let others = known(config);
                (
                    primary,
                    Some(format!(
                        "{shown} is no phase of the config{others}: {primary} is the primary model"
                    )),
                )
            }
            (None, None) => {
                return Err(format!(
                    "{shown} is no phase of the config{}, and there is no primary model: \
                     write phases or ollama.model into the config, or name a model with --model",
                    known(config)
                ));
            }
        };
        let of_phase = phase.filter(|phase| phase.model == *model).and_then(|phase| phase.num_ctx);
        let of_model = || config.models.get(model).and_then(|settings| settings.num_ctx);
        Ok(Wanted {
            run: asked.run.clone(),
            phase: name.to_owned(),
            model: model.clone(),
            num_ctx: asked.num_ctx.or(of_phase).or_else(of_model),
            next: asked.next.as_deref().map(|next| model_of(config, next)).transpose()?,
            instead,
        })
    }

    /// What the journal keeps of it.
    pub(super) fn record(&self, ready: &Ready) -> PhaseRecord {
        PhaseRecord {
            run: self.run.clone(),
            phase: self.phase.clone(),
            model: Some(self.model.clone()),
            next: self.next.clone(),
            swap: ready.took(),
        }
    }
}

/// What the journal keeps of a run's end.
pub(super) fn over(run: &str) -> PhaseRecord {
    PhaseRecord {
        run: run.to_owned(),
        phase: String::new(),
        model: None,
        next: None,
        swap: std::time::Duration::ZERO,
    }
}

/// The model of a phase, or the model of that name.
fn model_of(config: &Config, next: &str) -> Result<ModelName, String> {
    if let Some(phase) = config.phases.iter().find(|phase| phase.name == next) {
        return Ok(phase.model.clone());
    }
    ModelName::parse(next)
        .map_err(|error| format!("--next {}: no phase of the config, and {error}", printable(next)))
}

/// The phases that there are, for a message.
fn known(config: &Config) -> String {
    let names: Vec<&str> = config.phases.iter().map(|phase| phase.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", printable(&names.join(", "))) }
}

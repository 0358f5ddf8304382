//! What a phase wants: its model and context, as the command line and the config say.

use super::Phase;
use super::report::Ready;
use crate::config::Config;
use crate::ollama::Client;
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
    /// Said where what comes next is neither a phase nor a model that is known here.
    pub next_instead: Option<String>,
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
        let (next, next_instead) = match asked.next.as_deref() {
            Some(next) => next_of(config, next)?,
            None => (None, None),
        };
        let of_phase = phase.filter(|phase| phase.model == *model).and_then(|phase| phase.num_ctx);
        let of_model = || config.models.get(model).and_then(|settings| settings.num_ctx);
        Ok(Wanted {
            run: asked.run.clone(),
            phase: name.to_owned(),
            model: model.clone(),
            num_ctx: asked.num_ctx.or(of_phase).or_else(of_model),
            next,
            instead,
            next_instead,
        })
    }

    /// A bare name for what comes next may be that of an installed model.
    pub(super) async fn look_for_next(&mut self, asked: &Phase, client: &Client) {
        let Some(Ok(model)) = asked.next.as_deref().map(ModelName::parse) else { return };
        if self.next_instead.is_none() {
            return;
        }
        // A server that does not answer has its say when the model is to be made ready.
        let installed = client.tags().await.unwrap_or_default();
        if installed.iter().any(|installed| ModelName::from_server(&installed.name) == model) {
            (self.next, self.next_instead) = (Some(model), None);
        }
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

/// The model of what comes next: of a phase, or of that name. A bare name that the config does not know is an unknown
/// phase unless a model is called so, and the primary model is used for it; that is said.
fn next_of(config: &Config, next: &str) -> Result<(Option<ModelName>, Option<String>), String> {
    if let Some(phase) = config.phases.iter().find(|phase| phase.name == next) {
        return Ok((Some(phase.model.clone()), None));
    }
    let shown = printable(next);
    let mut named = config.phases.iter().map(|phase| &phase.model).chain(config.models.keys());
    let is_a_models = next.contains([':', '/']);
    match ModelName::parse(next) {
        Ok(model) if is_a_models || named.any(|named| *named == model) => return Ok((Some(model), None)),
        Err(error) if is_a_models => {
            return Err(format!("--next {shown}: no phase of the config, and {error}"));
        }
        Ok(_) | Err(_) => {}
    }
    let instead = match &config.primary {
        Some(primary) => format!("{primary} is the primary model"),
        None => "nothing is read ahead for it".to_owned(),
    };
    let said = format!(
        "--next {shown} is no phase of the config{} and no model that is installed: {instead}",
        known(config)
    );
    Ok((config.primary.clone(), Some(said)))
}

/// The phases that there are, for a message.
fn known(config: &Config) -> String {
    let names: Vec<&str> = config.phases.iter().map(|phase| phase.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", printable(&names.join(", "))) }
}

//! Questions: one request each, as a task that brings its answer back to the manager in the domain's words.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::acts::{Answer, Job, Said};
use super::facts::{Installed, Running, Shown};
use super::known::Known;
use crate::ollama::store::{Candidates, Store, blob_paths, usual_dirs};
use crate::ollama::{Client, Error, Kind, Load, wire};
use crate::probe::evict::Evicted;
use crate::residency::act::ActId;
use crate::residency::bytes::Bytes;
use crate::residency::expiry::Expiry;
use crate::residency::forecast::Shape;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Blob, Details};
use crate::residency::timing::{Clock, Moment};

/// `/api/ps` in the domain's words.
pub(crate) type PsAnswer = Result<BTreeMap<ModelName, Running>, Silence>;

/// `/api/tags` in the domain's words.
pub(crate) type TagsAnswer = Result<BTreeMap<ModelName, Installed>, Error>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Silence {
    /// Connected, but nothing within the time: busy with a load or an unload.
    Slow,
    /// Nobody is there, or what `answers` there is no Ollama server: the words for the user.
    Gone { answers: bool, why: String },
}

/// What comes back to the manager.
#[derive(Debug)]
pub(crate) enum Reply {
    Ps { answer: PsAnswer, at: Moment },
    Version(Result<String, Error>),
    Tags(TagsAnswer),
    Show { digest: String, answer: Option<Shown> },
    Files(Found),
    Act { id: ActId, answer: Answer },
    Asked { id: ActId, pids: Vec<u32> },
    Evicted { id: ActId, answer: Vec<Evicted> },
}

/// Where models lie, and each model's files.
#[derive(Debug)]
pub(crate) struct Found {
    pub dir: Result<PathBuf, String>,
    pub owner: Option<String>,
    pub files: HashMap<ModelName, Result<Vec<Blob>, String>>,
}

/// Asks what is loaded; `patient` with a server that has just not answered in time.
pub(crate) async fn ps(client: Client, clock: Clock, patient: bool) -> Reply {
    let at = clock();
    let asked = if patient { client.ps_patiently().await } else { client.ps().await };
    let answer = match asked {
        Ok(models) => {
            let now = clock();
            Ok(models.iter().map(|model| running(model, now)).collect())
        }
        Err(Error { kind: Kind::Timeout { .. }, .. }) => Err(Silence::Slow),
        Err(error) => Err(Silence::Gone {
            answers: !matches!(error.kind, Kind::Unreachable(_) | Kind::BadAddress(_) | Kind::BrokenOff(_)),
            why: error.to_string(),
        }),
    };
    Reply::Ps { answer, at }
}

pub(crate) async fn version(client: Client) -> Reply {
    Reply::Version(client.version().await)
}

pub(crate) async fn tags(client: Client) -> Reply {
    Reply::Tags(client.tags().await.map(|models| models.iter().map(installed).collect()))
}

pub(crate) async fn show(client: Client, name: ModelName, digest: String) -> Reply {
    Reply::Show { digest, answer: client.show(&name).await.ok().map(|answer| shown(&answer)) }
}

/// Sends what an act comes down to; what our own reader does is not sent.
pub(crate) async fn job(client: Client, clock: Clock, id: ActId, job: Job) -> Reply {
    let mut first_line = None;
    let result = match &job {
        Job::Load { model, keep_alive, num_ctx, embed } => {
            client.load(&Load { model, keep_alive: *keep_alive, num_ctx: *num_ctx, embed: *embed }).await
        }
        Job::Touch { model, keep_alive, num_ctx, embed } => {
            client.touch(&Load { model, keep_alive: *keep_alive, num_ctx: *num_ctx, embed: *embed }).await
        }
        Job::FirstToken { model, keep_alive, num_ctx } => {
            let load = Load { model, keep_alive: *keep_alive, num_ctx: *num_ctx, embed: false };
            client.one_token(&load, || first_line = Some(clock())).await
        }
        Job::Unload { model } => client.unload(model).await,
        Job::Read { .. } | Job::ReadNoMore => Ok(wire::Answer::default()),
    };
    let answer = match result {
        Ok(said) => {
            let server_load = said.load_duration.map(std::time::Duration::from_nanos);
            Answer::Ok(Said { server_load, first_line })
        }
        // 0.24 says what a model can do only here.
        Err(error) if error.words().is_some_and(|words| words.contains("does not support generate")) => {
            Answer::OnlyEmbeds
        }
        Err(error) => Answer::Failed(error.to_string()),
    };
    Reply::Act { id, answer }
}

/// Looks for the models' files, on a thread of its own: a network file system may hang for ever.
pub(crate) fn files(known: &Known) -> impl Future<Output = Reply> + 'static {
    // What the server itself says; a runner may be another server's, so it is asked only where the server is silent.
    let mut hints: Vec<String> = known.shown.values().filter_map(|shown| shown.weights.clone()).collect();
    if hints.is_empty() {
        hints = known
            .runners
            .iter()
            .flat_map(|reading| &reading.value)
            .map(|runner| runner.blob.clone())
            .collect();
    }
    let candidates = Candidates {
        hints,
        named: known.config.models_dir.iter().cloned().collect(),
        usual: usual_dirs(known.home.as_deref()),
    };
    let names: Vec<ModelName> = known.installed.keys().cloned().collect();
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("files".to_owned()).spawn(move || {
        let found = match Store::find(&candidates) {
            Ok(store) => {
                let files = names
                    .into_iter()
                    .map(|name| {
                        let blobs = store.blobs(&name).map_err(|why| why.to_string());
                        (name, blobs)
                    })
                    .collect();
                Found { dir: Ok(store.dir().to_path_buf()), owner: store.owner(), files }
            }
            Err(why) => {
                let why = why.to_string();
                let files = names.into_iter().map(|name| (name, Err(why.clone()))).collect();
                Found { dir: Err(why), owner: None, files }
            }
        };
        // Nobody waits any more when the engine has stopped.
        drop(tell.send(found));
    });
    async move {
        let found = match thread {
            Ok(_) => told.await.ok(),
            Err(_) => None,
        };
        Reply::Files(found.unwrap_or_else(|| Found {
            dir: Err("the thread that looks for models could not run".to_owned()),
            owner: None,
            files: HashMap::new(),
        }))
    }
}

/// The files of these models that are here and worth a residency reading, each once.
pub(crate) fn readable(known: &Known, names: &[ModelName]) -> Vec<(String, PathBuf, Bytes)> {
    let mut seen = std::collections::HashSet::new();
    names
        .iter()
        .flat_map(|name| known.blobs(name))
        .filter_map(|blob| Some((blob.digest.clone(), blob.path.clone()?, blob.size)))
        .filter(|(digest, ..)| seen.insert(digest.clone()))
        .collect()
}

pub(crate) fn running(model: &wire::Running, now: Moment) -> (ModelName, Running) {
    let running = Running {
        digest: model.digest.clone(),
        details: details(&model.details, &[], None),
        size: Bytes(model.size),
        size_vram: Bytes(model.size_vram),
        context: model.context_length,
        expiry: Expiry::read(model.expires_at.as_deref(), now.wall),
        keep_alive: None,
        slides: 0,
        cut_short: false,
        pid: None,
        unseen: 0,
    };
    (ModelName::from_server(&model.name), running)
}

pub(crate) fn installed(model: &wire::Installed) -> (ModelName, Installed) {
    let installed = Installed {
        digest: model.digest.clone(),
        size: Bytes(model.size),
        details: details(&model.details, &model.capabilities, model.remote_host.as_ref()),
    };
    (ModelName::from_server(&model.name), installed)
}

fn details(wire: &wire::Details, capabilities: &[String], remote: Option<&String>) -> Details {
    Details {
        format: wire.format.clone(),
        family: wire.family.clone(),
        parameters: wire.parameter_size.clone(),
        quantisation: wire.quantization_level.clone(),
        capabilities: capabilities.to_vec(),
        train_context: wire.context_length,
        remote_host: remote.cloned(),
    }
}

pub(crate) fn shown(answer: &wire::Shown) -> Shown {
    let arch =
        answer.model_info.get("general.architecture").and_then(|value| value.as_str()).unwrap_or_default();
    let number = |key: &str| {
        let value = answer.model_info.get(&format!("{arch}.{key}"))?;
        value.as_u64().or_else(|| value.as_array()?.iter().filter_map(serde_json::Value::as_u64).min())
    };
    let layers = number("block_count").unwrap_or(0);
    let heads = number("attention.head_count").unwrap_or(0);
    let embedding = number("embedding_length").unwrap_or(0);
    // All layers together: as many heads in each, or a list of them, which the server cuts to nothing if it is long.
    let kv_heads = answer.model_info.get(&format!("{arch}.attention.head_count_kv")).and_then(|value| {
        let each = || value.as_array()?.iter().map(serde_json::Value::as_u64).sum::<Option<u64>>();
        value.as_u64().map(|heads| heads.saturating_mul(layers)).or_else(each)
    });
    let head = embedding.checked_div(heads).unwrap_or(0);
    let width = ["attention.key_length", "attention.value_length"]
        .into_iter()
        .map(|key| number(key).unwrap_or(head))
        .fold(0, u64::saturating_add);
    let per_token = kv_heads.unwrap_or(0).saturating_mul(width).saturating_mul(2);
    Shown {
        capabilities: answer.capabilities.clone(),
        train_context: number("context_length"),
        per_token: (per_token > 0).then_some(per_token),
        vocabulary: number("vocab_size"),
        shape: Shape {
            file: Bytes::ZERO,
            layers,
            kv_heads: number("attention.head_count_kv").unwrap_or(0),
            heads,
            embedding,
            context: 0,
        },
        weights: blob_paths(&answer.modelfile).first().map(|(_, path)| (*path).to_owned()),
    }
}

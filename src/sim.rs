//! The embedded server: a real Ollama's HTTP API, scheduler and card over real files, for the demo and the tests.
//!
//! Nothing of its timing is made up: a load reads the blob and keeps it, in one child process per loaded model. `cli`
//! starts it for `--demo`, the tests start it with [`LoaderKind::Virtual`]; the engine does not know it is there.

mod card;
pub mod catalogue;
mod children;
pub mod files;
mod http;
mod huge;
mod keep_alive;
mod loader;
mod memory;
mod place;
pub mod runner;
mod scheduler;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::residency::bytes::{Bytes, GIB};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::timing::Clock;
pub use card::CardReader;
use catalogue::Spec;
use files::{Prepared, Problem};
pub use loader::LoaderKind;
use scheduler::{Model, Rules, Scheduler};

/// The real server it behaves like.
pub const VERSION: &str = "0.32.15";

/// How the embedded server is set up; make one with [`Options::demo`] or [`Options::for_tests`], then change fields.
#[derive(Clone)]
pub struct Options {
    /// The models directory.
    pub dir: PathBuf,
    /// On 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// How models are loaded.
    pub loader: LoaderKind,
    /// 1:this.
    pub scale: u64,
    /// What is installed.
    pub catalogue: Vec<Spec>,
    /// A card's memory.
    pub card: Bytes,
    /// How many such cards there are, at most 4; only [`LoaderKind::Virtual`] has more than one, or none.
    pub cards: usize,
    /// `OLLAMA_MAX_LOADED_MODELS`.
    pub max_loaded: usize,
    /// `OLLAMA_MAX_QUEUE`.
    pub max_queue: usize,
    /// `OLLAMA_KEEP_ALIVE`.
    pub keep_alive: KeepAlive,
    /// What `/api/version` says.
    pub version: String,
    /// The speed of a generation.
    pub tokens_per_second: f64,
    /// The clock; its monotonic side must run with tokio's.
    pub clock: Clock,
    /// Keeps the files from being removed.
    lease: Option<Arc<File>>,
}

impl Options {
    /// The demo: real files and one `program` process per loaded model.
    pub fn demo(files: Prepared, program: PathBuf, clock: Clock) -> Options {
        Options {
            loader: LoaderKind::Children { program },
            catalogue: files.models,
            lease: Some(files.lease),
            dir: files.dir,
            ..Self::for_tests(files.scale, Duration::ZERO, clock)
        }
    }

    /// No files and no processes: each load takes `load` of tokio's time.
    pub fn for_tests(scale: u64, load: Duration, clock: Clock) -> Options {
        let scale = scale.max(1);
        Options {
            dir: PathBuf::from("/virtual/models"),
            port: 0,
            loader: LoaderKind::Virtual { load },
            scale,
            catalogue: catalogue::demo(scale),
            card: Bytes(8 * GIB / scale),
            cards: 1,
            max_loaded: 3,
            max_queue: 512,
            keep_alive: KeepAlive::For(Duration::from_secs(300)),
            version: VERSION.to_owned(),
            tokens_per_second: 20.0,
            clock,
            lease: None,
        }
    }
}

/// Why the embedded server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its port is taken, or cannot be had.
    #[error("the embedded server cannot listen on 127.0.0.1:{port}: {why}; name another with --port")]
    Listen {
        /// Which port.
        port: u16,
        /// Why not.
        why: std::io::Error,
    },
    /// Its files are not as they should be.
    #[error(transparent)]
    Files(#[from] Problem),
}

/// A running embedded server. Dropping it ends it and its children.
pub struct Sim {
    address: SocketAddr,
    card: CardReader,
    scale: u64,
    scheduler: Scheduler,
    models: Arc<Vec<Model>>,
    stop: DropGuard,
    tasks: [JoinHandle<()>; 2],
    _lease: Option<Arc<File>>,
}

/// Starts the embedded server; it answers when this returns. Needs a tokio runtime.
pub async fn start(options: Options) -> Result<Sim, StartError> {
    let port = options.port;
    let listen = |why| StartError::Listen { port, why };
    let models = Arc::new(installed(&options)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let stop = CancellationToken::new();
    let card = match options.loader {
        LoaderKind::Children { .. } => CardReader::with_memory(options.card),
        LoaderKind::Virtual { .. } => CardReader::several(options.card, options.cards),
    };
    let rules = Rules {
        models: Arc::clone(&models),
        loader: options.loader,
        card: card.clone(),
        max_loaded: options.max_loaded.max(1),
        max_queue: options.max_queue,
        keep_alive: match options.keep_alive {
            KeepAlive::Forever => keep_alive::FOREVER,
            KeepAlive::For(duration) => i64::try_from(duration.as_nanos()).unwrap_or(keep_alive::FOREVER),
        },
        clock: Arc::clone(&options.clock),
    };
    let (scheduler, scheduling) = Scheduler::start(rules, stop.clone());
    let router = http::router(http::Face {
        scheduler: scheduler.clone(),
        models: Arc::clone(&models),
        clock: options.clock,
        version: options.version.into(),
        tokens_per_second: options.tokens_per_second,
        stop: stop.clone(),
    });
    let listener = listener.tap_io(|stream| {
        // A hint: lines of a generation arrive one by one.
        let _ = stream.set_nodelay(true);
    });
    let ending = stop.clone().cancelled_owned();
    let serving = tokio::spawn(async move {
        // It only returns when told to: errors of single connections stay with them.
        let _ = axum::serve(listener, router).with_graceful_shutdown(ending).await;
    });
    Ok(Sim {
        address,
        card,
        scale: options.scale,
        scheduler,
        models,
        stop: stop.drop_guard(),
        tasks: [scheduling, serving],
        _lease: options.lease,
    })
}

impl Sim {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its card, for the GPU probe; may be read from any thread.
    pub fn card(&self) -> CardReader {
        self.card.clone()
    }

    /// 1:this.
    pub fn scale(&self) -> u64 {
        self.scale
    }

    /// Kills the runner of `name` behind the server's back, which leaves a ghost; false if it has none.
    pub async fn kill_runner(&self, name: &str) -> bool {
        let Ok(name) = ModelName::parse(name) else { return false };
        match self.models.iter().position(|model| model.spec.name == name) {
            Some(model) => self.scheduler.crash(model).await,
            None => false,
        }
    }

    /// Ends it: no new requests, all children ended and waited for.
    pub async fn shutdown(self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        drop(self.stop);
        let [scheduling, mut serving] = self.tasks;
        // A panic there has been reported by the hook.
        let _ = scheduling.await;
        // A client that holds its connection open must not keep us.
        if tokio::time::timeout(PATIENCE, &mut serving).await.is_err() {
            serving.abort();
        }
    }
}

/// Joins the catalogue with what is on disk, or with names made up for the virtual loader.
fn installed(options: &Options) -> Result<Vec<Model>, Problem> {
    let now = (options.clock)().wall;
    let mut models = Vec::with_capacity(options.catalogue.len());
    for (age, spec) in (0_i64..).zip(&options.catalogue) {
        models.push(match options.loader {
            LoaderKind::Children { .. } => {
                let on_disk =
                    files::installed(&options.dir, spec).ok_or_else(|| files::missing(&options.dir, spec))?;
                Model {
                    spec: spec.clone(),
                    digest: on_disk.digest,
                    size: on_disk.size,
                    blob: on_disk.blob,
                    modified: Timestamp::try_from(on_disk.modified).unwrap_or(now),
                }
            }
            LoaderKind::Virtual { .. } => {
                let digest = |text: String| files::hex(&Sha256::digest(text));
                let blob = digest(format!("{} {}", spec.seed, spec.weights.0));
                Model {
                    spec: spec.clone(),
                    digest: digest(spec.name.as_str().to_owned()),
                    size: spec.weights.0,
                    blob: options.dir.join("blobs").join(format!("sha256-{blob}")),
                    modified: now.checked_sub(SignedDuration::from_secs(age)).unwrap_or(now),
                }
            }
        });
    }
    Ok(models)
}

//! `export`: metrics for Prometheus, once, as a server that is scraped, or as a file that another exporter
//! collects. It only looks.
//!
//! | file | subject |
//! |---|---|
//! | `catalogue` | every metric: its name, type, unit and sentence |
//! | `look` | one look at the engine and the journal |
//! | `gauges`, `counters` | what they say, as samples |
//! | `exposition` | samples as text |
//! | `http`, `accept`, `host` | the server that is scraped, which form it answers in, and to whom |
//! | `textfile` | the file |

mod accept;
pub mod catalogue;
mod counters;
pub mod exposition;
mod gauges;
pub mod host;
pub mod http;
pub mod look;
mod textfile;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args};
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use self::exposition::{Exposition, Form};
use self::host::Names;
use self::http::Page;
use self::look::{Counted, Looker};
use super::out::Out;
use super::ready::{self, Ready};
use super::wire::World;
use super::{Exit, args, state, status};
use crate::engine::Handle;
use crate::residency::name::ModelName;
use crate::residency::record::server_name;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;
use crate::sim::Sim;

/// How long memory, cards and page cache may take once the models are known.
const READINGS: Duration = Duration::from_secs(2);
/// How long the journal's past may take on top of them.
const PAST: Duration = Duration::from_millis(500);
/// How long the journal may count, where nobody comes again for the rest.
const COUNT: Duration = Duration::from_secs(20);
/// No label's value has more characters.
const LONGEST: usize = 128;

/// What one call of `export` asks for.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(group = ArgGroup::new("how").required(true).args(["prometheus", "openmetrics", "listen", "textfile"]))]
pub struct Asked {
    /// Print all metrics once, in the text format of Prometheus
    #[arg(long)]
    pub prometheus: bool,
    /// Print all metrics once, as OpenMetrics
    #[arg(long)]
    pub openmetrics: bool,
    /// Answer GET /metrics until Ctrl-C: PORT on this machine only, ADDRESS:PORT also from elsewhere
    #[arg(long, value_name = "ADDR", value_parser = host::address)]
    pub listen: Option<SocketAddr>,
    /// With --listen: also answer who calls this machine by this name
    #[arg(long, value_name = "HOST", conflicts_with_all = ["prometheus", "openmetrics", "textfile"])]
    pub name: Vec<String>,
    /// Write all metrics into this file, whole at any moment
    #[arg(long, value_name = "PATH")]
    pub textfile: Option<PathBuf>,
    /// With --textfile: go on, and write it anew so often, such as 30s
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["prometheus", "openmetrics", "listen"], value_parser = every)]
    pub every: Option<Duration>,
}

fn every(text: &str) -> Result<Duration, &'static str> {
    let every = args::timeout(text)?;
    // The server is not looked at more often.
    if every < Duration::from_secs(1) { Err("at least 1s") } else { Ok(every) }
}

/// The subcommand.
pub async fn start(
    asked: &Asked,
    world: &World,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    // An address that cannot be had is told before anything is asked of the server.
    let listener = match asked.listen {
        Some(address) => match TcpListener::bind(address).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                out.remark(&format!("cannot listen on {address}: {error}"));
                return Ok(Exit::Failed);
            }
        },
        None => None,
    };
    let looker = looker(world, world.engine()?.start());
    Ok(run(asked, listener, looker, interrupt, out).await)
}

fn looker(world: &World, handle: Handle) -> Looker {
    let (config, scale) = (Arc::clone(&world.config), world.sim.as_ref().map(Sim::scale));
    Looker {
        handle,
        clock: Arc::clone(&world.clock),
        server: server_name(&config.url, scale),
        limits: config.memory,
        journal: state::journal_path(scale.is_some()),
        keeping: Box::new(move |own| status::keeping(&config, &state::roles(&config.url, scale), own)),
        counted: tokio::sync::Mutex::new(Counted::default()),
    }
}

/// Does what was asked, with what is looked at and, for `--listen`, what it listens on.
pub async fn run(
    asked: &Asked,
    listener: Option<TcpListener>,
    looker: Looker,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    if let Some(listener) = listener {
        return tokio::select! {
            biased;
            () = interrupt => Exit::Done,
            exit = listen(listener, &asked.name, looker, out) => exit,
        };
    }
    let work = async {
        match &asked.textfile {
            Some(path) => textfile(path, asked.every, &looker, out).await,
            None => {
                once(if asked.openmetrics { Form::OpenMetrics } else { Form::Prometheus }, &looker, out).await
            }
        }
    };
    tokio::select! {
        biased;
        () = interrupt => if asked.every.is_some() { Exit::Done } else { Exit::Failed },
        exit = work => exit,
    }
}

async fn once(form: Form, looker: &Looker, out: &mut Out<'_>) -> Exit {
    let (all, exit) = whole_look(looker, out).await;
    let printed = text(all, form).and_then(|text| out.result(&text).map_err(|error| error.to_string()));
    match printed {
        Ok(()) => exit,
        Err(why) => {
            out.remark(&format!("cannot write the metrics: {why}"));
            Exit::Failed
        }
    }
}

/// A look that waits until the server, the machine and the files are known; also without a server.
async fn whole_look(looker: &Looker, out: &mut Out<'_>) -> (Exposition, Exit) {
    let mut handle = looker.handle.clone();
    let recalls = looker.recall().await;
    let (exit, why) = match ready::server(&mut handle, Instant::now() + ready::PATIENCE).await {
        Ready::Up(_) => (Exit::Done, None),
        Ready::Down(why) => (Exit::NoServer, Some(why)),
        Ready::Late(why) => (Exit::TimedOut, Some(why)),
        Ready::Ended => (Exit::Failed, Some("the engine has stopped".to_owned())),
    };
    let mut snapshot = ready::readings(&mut handle, Instant::now() + READINGS).await;
    if recalls {
        let unlearned = |snapshot: &Snapshot| snapshot.past.swaps.is_empty();
        snapshot = ready::all(&mut handle, Instant::now() + PAST, unlearned).await;
    }
    let (all, trouble) = looker.told(&snapshot, COUNT).await;
    for why in why.into_iter().chain(trouble) {
        out.remark(&why);
    }
    (all, exit)
}

async fn textfile(path: &Path, every: Option<Duration>, looker: &Looker, out: &mut Out<'_>) -> Exit {
    if path.extension().is_none_or(|end| end != "prom") {
        out.remark("node_exporter reads only files that end in .prom");
    }
    let (all, exit) = whole_look(looker, out).await;
    let mut written = put(path, all);
    if let Err(why) = &written {
        out.remark(why);
    }
    let Some(every) = every else {
        return if written.is_ok() { exit } else { Exit::Failed };
    };
    loop {
        sleep(every).await;
        let again = put(path, looker.look().await);
        // Told when it changes: a disk that is full for a night is two lines.
        match (&written, &again) {
            (Err(_), Ok(())) => out.remark(&format!("{} is written again", path.display())),
            (Ok(()), Err(why)) => out.remark(why),
            _ => {}
        }
        written = again;
    }
}

fn put(path: &Path, all: Exposition) -> Result<(), String> {
    textfile::put(path, &text(all, Form::Prometheus)?)
}

async fn listen(listener: TcpListener, names: &[String], looker: Looker, out: &mut Out<'_>) -> Exit {
    let address = match listener.local_addr() {
        Ok(address) => address,
        Err(error) => {
            out.remark(&format!("cannot listen: {error}"));
            return Exit::Failed;
        }
    };
    if let Err(error) = out.result(&http::url(address)) {
        out.remark(&format!("cannot write where it listens: {error}"));
        return Exit::Failed;
    }
    if !address.ip().is_loopback() {
        out.remark("other machines can read it, without a password: which models there are, and their use");
    }
    out.remark("end it with Ctrl-C");
    let names = Names::new(address, sysinfo::System::host_name().as_deref(), names);
    let looker = Arc::new(looker);
    let page: Page = Arc::new(move |form| {
        let looker = Arc::clone(&looker);
        async move { text(looker.look().await, form) }.boxed()
    });
    http::serve(listener, page, names, http::Limits::default()).await;
    Exit::Failed
}

fn text(all: Exposition, form: Form) -> Result<String, String> {
    all.text(form).map_err(|_| "the metrics cannot be written as text".to_owned())
}

/// A model's name as a label: as people write it, and never longer than a label may be.
fn name(model: &ModelName) -> String {
    cut(&model.to_string())
}

/// Text from a server as a label: safe for a terminal, and not too long.
fn cut(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into_owned(),
    }
}

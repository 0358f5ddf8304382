//! `bench`: measures what warm files in RAM are worth on this machine, after asking, and prints it in the form asked for.

pub mod flow;
pub mod grid;
pub mod loads;
pub mod setting;

use std::io;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use self::setting::Setting;
use super::out::Out;
use super::ready::{self, Ready};
use super::{Exit, Flags};
use crate::config::{Config, Confirm};
use crate::engine::Handle;
use crate::engine::bench::{self, Running};
use crate::residency::bench::{
    Bench, BenchState, COOLDOWN, Kind, RUNS, question, why_not_here, why_not_measured,
};
use crate::residency::keep_alive::parse_duration;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Server, Snapshot};
use crate::residency::text::printable;

/// How long memory, cards and page cache may take once the models are known.
const READINGS: Duration = Duration::from_secs(5);

/// The command line of `bench`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Ask {
    /// Names as Ollama writes them; without any, the preload list, or all that are installed
    #[arg(value_name = "MODEL", value_parser = super::args::model)]
    pub models: Vec<ModelName>,
    /// Also measure cold loads with our own reader before and beside the server's: that is how the best way is learned
    #[arg(long)]
    pub ways: bool,
    /// How often, and in which form.
    #[command(flatten)]
    pub how: How,
}

/// What every measurement is asked.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct How {
    /// Valid runs of each kind; the median counts
    #[arg(long, value_name = "N", default_value_t = RUNS, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// The pause and the form.
    #[command(flatten)]
    pub print: Print,
}

/// The pause before each run, and the form of the results.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Print {
    /// How long nothing is done before each measured run [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = cooldown)]
    pub cooldown: Option<Duration>,
    /// Print what was measured as CSV, one line a run
    #[arg(long, conflicts_with = "markdown")]
    pub csv: bool,
    /// Print what was measured as a table in Markdown, ready to paste
    #[arg(long)]
    pub markdown: bool,
}

/// In which form results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For a person.
    Table,
    /// To paste.
    Markdown,
    /// One line a run.
    Csv,
    /// One object.
    Json,
}

impl Print {
    /// The pause.
    pub fn cooldown(&self) -> Duration {
        self.cooldown.unwrap_or(COOLDOWN)
    }

    /// The form; `None` where two were asked for.
    pub fn form(&self, flags: &Flags) -> Option<Form> {
        match (flags.json, self.csv, self.markdown) {
            (false, false, false) => Some(Form::Table),
            (true, false, false) => Some(Form::Json),
            (false, true, false) => Some(Form::Csv),
            (false, false, true) => Some(Form::Markdown),
            _ => None,
        }
    }
}

fn cooldown(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("not a duration; write 500ms, 1s or 1m")
}

/// Who is asked before anything is disturbed.
pub type Consent<'a> = &'a mut (dyn FnMut(&str) -> Option<bool> + Send);

/// Measures and prints. `consent` puts a question to the user; `None` is that nobody can be asked. `interrupt` ends when
/// the user presses Ctrl-C: then all that was disturbed is put back.
pub async fn run(
    mut handle: Handle,
    ask: &Ask,
    flags: &Flags,
    config: &Config,
    consent: Consent<'_>,
    interrupt: impl Future<Output = ()>,
    out: &mut Out<'_>,
) -> Exit {
    let Some(form) = ask.how.print.form(flags) else {
        return out.refuse(flags.json, Exit::Usage, "choose one of --json, --csv and --markdown");
    };
    if config.ui.read_only || flags.read_only {
        let why = "read-only: nothing is changed, so nothing is measured";
        return out.refuse(flags.json, Exit::Usage, why);
    }
    let snapshot = match known(&mut handle).await {
        Ok(snapshot) => snapshot,
        Err((exit, why)) => return out.refuse(flags.json, exit, &why),
    };
    let Some(server) = snapshot.servers.first() else { return Exit::Failed };
    let models = match chosen(server, &ask.models, &config.preload.models) {
        Ok(models) => models,
        Err(why) => return out.refuse(flags.json, Exit::Failed, &why),
    };
    let kinds: &[Kind] = if ask.ways { &Kind::WAYS } else { &Kind::PLAIN };
    let asks_first = !flags.yes && config.ui.confirm != Confirm::Never;
    if asks_first
        && let Err(exit) = allowed(&question(server, &models, kinds, ask.how.runs), consent, flags.json, out)
    {
        return exit;
    }
    let request = bench::Request {
        models,
        kinds: kinds.to_vec(),
        rounds: ask.how.runs,
        cooldown: ask.how.print.cooldown(),
    };
    let running = bench::start(handle.clone(), request);
    let bench = followed(running, interrupt, out).await;
    let setting = Setting::read(&handle.snapshot());
    match print(&bench, &setting, ask.how.print.cooldown(), form, out) {
        Ok(()) => verdict(&bench.state, &bench.left, out),
        Err(error) => {
            out.remark(&format!("cannot write the result: {error}"));
            Exit::Failed
        }
    }
}

/// Waits until the server, its files and what is in RAM of them are known.
pub(super) async fn known(handle: &mut Handle) -> Result<std::sync::Arc<Snapshot>, (Exit, String)> {
    match ready::server(handle, Instant::now() + ready::PATIENCE).await {
        Ready::Up(_) => {}
        Ready::Down(why) => return Err((Exit::NoServer, why)),
        Ready::Late(why) => return Err((Exit::TimedOut, why)),
        Ready::Ended => return Err((Exit::Failed, "the engine has stopped".to_owned())),
    }
    let snapshot = ready::readings(handle, Instant::now() + READINGS).await;
    match snapshot.servers.first().and_then(why_not_here) {
        Some(why) => Err((Exit::Failed, why.to_owned())),
        None => Ok(snapshot),
    }
}

/// The models that are measured: those named, else those of the preload list, else all that can be.
fn chosen(server: &Server, named: &[ModelName], listed: &[ModelName]) -> Result<Vec<ModelName>, String> {
    let can = |name: &ModelName| -> Result<(), &'static str> {
        let model = server.model(name).ok_or("is not installed on this server")?;
        why_not_measured(model).map_or(Ok(()), Err)
    };
    for name in named {
        can(name).map_err(|why| format!("{name} {why}"))?;
    }
    let installed: Vec<ModelName> = server.models.iter().map(|model| model.name.clone()).collect();
    let usable = |names: &[ModelName]| -> Vec<ModelName> {
        let mut usable: Vec<ModelName> = Vec::new();
        for name in names.iter().filter(|name| can(name).is_ok()) {
            // Tags of the same files would be measured twice.
            let twin = server
                .model(name)
                .is_some_and(|model| usable.iter().any(|one| model.shared_with.contains(one)));
            if !twin && !usable.contains(name) {
                usable.push(name.clone());
            }
        }
        usable
    };
    let found = [named, listed, &installed].into_iter().map(usable).find(|models| !models.is_empty());
    found.ok_or_else(|| "no model can be measured here: none has files on this machine".to_owned())
}

/// Whether the user agrees.
pub(super) fn allowed(
    question: &str,
    consent: Consent<'_>,
    as_json: bool,
    out: &mut Out<'_>,
) -> Result<(), Exit> {
    match consent(question) {
        Some(true) => Ok(()),
        Some(false) => Err(out.refuse(as_json, Exit::Refused, "nothing was done")),
        None => Err(out.refuse(as_json, Exit::Refused, &format!("{question}; --yes does it"))),
    }
}

/// Puts a question to the user at the terminal; `None` where there is none.
pub fn at_the_terminal(question: &str) -> Option<bool> {
    use std::io::{IsTerminal, Write};
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr(), "{question}. go on? [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Says each run as it ends, until all is over and put back.
async fn followed(mut running: Running, interrupt: impl Future<Output = ()>, out: &mut Out<'_>) -> Bench {
    let mut interrupt = std::pin::pin!(interrupt);
    let (mut said, mut is_cancelled) = (0, false);
    loop {
        let bench = std::sync::Arc::clone(&running.state.borrow_and_update());
        for run in &bench.runs[said..] {
            let (valid, all) = bench.progress();
            let ended = match &run.took {
                Ok(took) => format!("{:.2} s", took.as_secs_f64()),
                Err(why) => format!("thrown away: {}", printable(why)),
            };
            out.remark(&format!("[{valid}/{all}] {}  {}  {ended}", run.model, run.kind.word()));
        }
        said = bench.runs.len();
        if bench.state.is_over() {
            return Bench::clone(&bench);
        }
        tokio::select! {
            biased;
            () = interrupt.as_mut(), if !is_cancelled => {
                out.remark("cancelled; putting back what was loaded and pinned");
                is_cancelled = true;
                running.cancel();
            }
            changed = running.state.changed() => if changed.is_err() {
                return Bench::clone(&running.state.borrow());
            }
        }
    }
}

fn print(
    bench: &Bench,
    setting: &Setting,
    cooldown: Duration,
    form: Form,
    out: &mut Out<'_>,
) -> io::Result<()> {
    match form {
        Form::Table => out.result(&loads::table(bench, setting, cooldown)),
        Form::Markdown => out.result(&loads::markdown(bench, setting, cooldown)),
        Form::Csv => out.result(&loads::csv(bench, setting)),
        Form::Json => out.result(&super::status::pretty(&loads::json(bench, setting))),
    }
}

/// The last words, and the exit code.
fn verdict(state: &BenchState, left: &[String], out: &mut Out<'_>) -> Exit {
    let (exit, why) = match state {
        BenchState::Failed { why } => (Exit::Failed, Some(printable(why).into_owned())),
        BenchState::Done => (Exit::Done, None),
        _ => (Exit::Failed, Some("cancelled".to_owned())),
    };
    if let Some(why) = why {
        out.remark(&why);
    }
    let is_all_back = left.is_empty();
    for left in left {
        out.remark(&format!("not put back: {}", printable(left)));
    }
    if is_all_back { exit } else { Exit::Failed }
}

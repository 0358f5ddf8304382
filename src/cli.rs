//! Front end 2: the command line, read into [`Cli`]; one file per subcommand, and the exit codes they end with.
//!
//! Called by `main`; may name every room. What was asked for goes to stdout, all else to stderr (see [`out`]).

mod access;
pub mod act;
pub mod args;
pub mod bench;
mod completions;
pub mod config;
pub mod demo;
mod dispatch;
pub mod doctor;
pub mod export;
pub mod flow;
mod help;
pub mod history;
pub mod hold;
pub mod looks;
mod man;
pub mod out;
pub mod phase;
pub mod pins;
pub mod preload;
pub mod ready;
pub mod screen;
pub mod state;
pub mod status;
mod sub;
pub mod swap;
pub mod tune;
pub mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, FromArgMatches, Parser};

use self::args::Flow;
pub use self::sub::Sub;
use crate::residency::keep_alive::parse_duration;

/// How the program ends; the number is the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// What was asked is done.
    Done = 0,
    /// It did not work; stderr says why.
    Failed = 1,
    /// The command line or the config is wrong; nothing was tried.
    Usage = 2,
    /// It would disturb a pinned or busy model and `--yes` was not given.
    Refused = 3,
    /// It was not done in time.
    TimedOut = 4,
    /// The server does not answer.
    NoServer = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// See where every Ollama model lives (VRAM, RAM, disk) and move it there fast
///
/// Without a subcommand this is a screen: every installed model, the tier that holds its bytes, how long it stays
/// there, and keys that move it. The subcommands do the same without a screen.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "resident", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What counts for every subcommand.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do; nothing means the screen.
    #[command(subcommand)]
    pub command: Option<Sub>,
}

/// What counts for every subcommand, and for the screen.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "For every subcommand")]
#[expect(clippy::struct_excessive_bools, reason = "one switch of the command line each")]
pub struct Flags {
    /// Read this config file, and let what it says act
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The server: a host, host:port or URL, in any form that Ollama itself takes
    #[arg(long, global = true, value_name = "URL")]
    pub host: Option<String>,
    /// Of the servers in the config the one with this name
    #[arg(long, global = true, value_name = "NAME", conflicts_with_all = ["host", "demo"])]
    pub server: Option<String>,
    /// Use an embedded server with real files instead of Ollama
    #[arg(long, global = true)]
    pub demo: bool,
    /// The demo's models are this many times smaller than the real ones
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub demo_scale: Option<u64>,
    /// Change nothing: all that moves a model is switched off
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Draw with ASCII characters only
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Time between two looks at the server, such as 2s; at least 1s
    #[arg(long, global = true, value_name = "DURATION", value_parser = refresh)]
    pub refresh: Option<Duration>,
    /// Nothing acts by itself, neither what the config says nor pins; H on the screen lets it again
    #[arg(long, global = true)]
    pub no_auto: bool,
    /// Do not ask: also disturb pinned and busy models
    #[arg(long, global = true)]
    pub yes: bool,
    /// Answer in JSON (for the subcommands)
    #[arg(long, global = true)]
    pub json: bool,
}

impl Cli {
    /// Whether the embedded server is to be used.
    pub fn wants_demo(&self) -> bool {
        self.flags.demo || matches!(self.command, Some(Sub::Demo { .. }))
    }

    /// Reads a command line, the program's name first. The error says what is wrong or is the help that was asked for.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let mut matches = help::tree().try_get_matches_from(args)?;
        let cli = Cli::from_arg_matches_mut(&mut matches)?;
        cli.contradiction()
            .map_or(Ok(()), |what| Err(help::tree().error(ErrorKind::ArgumentConflict, what)))?;
        Ok(cli)
    }

    /// Flags that contradict each other: clap does not see this between a global flag and a subcommand's.
    fn contradiction(&self) -> Option<&'static str> {
        let flags = &self.flags;
        if flags.host.is_some() && self.wants_demo() {
            return Some("--host names a server and the demo brings its own: use one of them");
        }
        if flags.demo_scale.is_some() && !self.wants_demo() {
            return Some("--demo-scale only means something with --demo or the subcommand demo");
        }
        let changes = |sub: &Sub| match sub {
            Sub::Swap(_) | Sub::Preload(_) | Sub::Bench(_) | Sub::Flow(Flow { name: Some(_), .. }) => true,
            other => other.act(&[]).is_some(),
        };
        if flags.read_only && self.command.as_ref().is_some_and(changes) {
            return Some("--read-only changes nothing, and this subcommand would");
        }
        if let Some(Sub::Flow(flow)) = &self.command
            && !flow.compare
            && flow.print != bench::Print::default()
        {
            return Some("--cooldown, --csv and --markdown only mean something with --compare");
        }
        if flags.json && self.command.is_none() {
            return Some("the screen has no JSON; use resident status --json");
        }
        if flags.json && matches!(self.command, Some(Sub::Export(_))) {
            return Some("metrics have no JSON; use resident status --json");
        }
        if flags.json && matches!(self.command, Some(Sub::Completions { .. } | Sub::Man { .. })) {
            return Some("--json: completions and man pages have forms of their own");
        }
        if flags.json && matches!(&self.command, Some(Sub::History(asked)) if asked.csv) {
            return Some("--json and --csv are two answers: use one of them");
        }
        None
    }
}

fn refresh(text: &str) -> Result<Duration, &'static str> {
    let refresh = parse_duration(text).ok_or("not a duration; write 1s, 2s or 1m")?;
    if refresh < Duration::from_secs(1) {
        return Err("at least 1s: the server is not to be asked more often");
    }
    Ok(refresh)
}

/// Reads the command line and does what it says; the whole program.
pub fn main() -> ExitCode {
    // The embedded server starts this same program once per loaded model; clap never sees it.
    if std::env::var_os(crate::sim::runner::MARK).is_some() {
        return crate::sim::runner::main();
    }
    let exit = match Cli::read(std::env::args_os()) {
        Ok(cli) => dispatch::run(&cli),
        Err(error) => end_of(&error),
    };
    exit.into()
}

/// Prints what clap has to say and tells how to end: help and version are an answer, all else is wrong usage.
fn end_of(error: &clap::Error) -> Exit {
    let is_mistake = error.use_stderr();
    match error.print() {
        _ if is_mistake => Exit::Usage,
        Ok(()) => Exit::Done,
        Err(broken) if broken.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Swap;
    use crate::residency::act::ActKind;
    use crate::residency::flow::Manner;
    use crate::residency::name::ModelName;
    use crate::residency::swap::Way;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split_whitespace().map(OsString::from))
    }

    fn mistake(line: &str) -> String {
        let error = read(line).expect_err(line);
        assert_eq!(error.exit_code(), i32::from(Exit::Usage as u8), "{line}");
        error.to_string()
    }

    #[test]
    fn flags_stand_before_or_after_the_subcommand() {
        let before = read("resident --json --host box:11434 status").unwrap();
        assert_eq!(before, read("resident status --host box:11434 --json").unwrap());
        assert_eq!(before.command, Some(Sub::Status { watch: false }));
        assert_eq!((before.flags.json, before.flags.host.as_deref()), (true, Some("box:11434")));
    }

    #[test]
    fn no_subcommand_is_the_screen_and_names_no_act() {
        let cli = read("resident --ascii --refresh 2s").unwrap();
        assert_eq!((cli.command, cli.flags.refresh), (None, Some(Duration::from_secs(2))));
    }

    #[test]
    fn each_act_takes_models_and_a_time() {
        for (verb, kind) in [
            ("load", ActKind::Load),
            ("unload", ActKind::Unload),
            ("pin", ActKind::Pin),
            ("unpin", ActKind::Unpin),
            ("touch", ActKind::Touch),
            ("warm", ActKind::Warm),
            ("hold", ActKind::Hold),
            ("drop", ActKind::Drop),
        ] {
            let cli = read(&format!("resident {verb} qwen:7b me/llama --timeout 1m30s --yes")).unwrap();
            let (asked, models) = cli.command.as_ref().and_then(|sub| sub.act(&[])).unwrap();
            assert_eq!(asked, kind);
            assert_eq!(asked.verb(), verb);
            assert_eq!(models.models, ["qwen:7b", "me/llama"].map(|name| ModelName::parse(name).unwrap()));
            assert_eq!((models.timeout, cli.flags.yes), (Some(Duration::from_secs(90)), true));
            mistake(&format!("resident {verb}"));
        }
    }

    #[test]
    fn a_swap_takes_one_model_and_its_wishes() {
        let line = "resident swap qwen:7b --warm beside --num-ctx 8192 --first-token --restore --timeout 90s";
        let swap = Swap {
            model: ModelName::parse("qwen:7b").unwrap(),
            warm: Some(Way::Beside),
            num_ctx: Some(8192),
            first_token: true,
            restore: true,
            timeout: Some(Duration::from_secs(90)),
        };
        assert_eq!(read(line).unwrap().command, Some(Sub::Swap(swap)));
    }

    #[test]
    fn wrong_usage_is_refused_with_the_reason() {
        for (line, reason) in [
            ("resident load ../etc/passwd", "invalid model name"),
            ("resident load a --timeout soon", "not a duration"),
            ("resident keep-alive 0 a", "resident unload MODEL"),
            ("resident keep-alive -1 a", "resident pin MODEL"),
            ("resident keep-alive a", "not a duration"),
            ("resident --read-only keep-alive 5m a", "changes nothing"),
            ("resident load a --timeout 0", "not a duration"),
            ("resident --refresh 200ms", "at least 1s"),
            ("resident --demo --host box status", "one of them"),
            ("resident demo --host box", "one of them"),
            ("resident --demo-scale 64 status", "--demo"),
            ("resident --demo --demo-scale 0", "0"),
            ("resident --read-only load a", "changes nothing"),
            ("resident --read-only swap a", "changes nothing"),
            ("resident swap a b", "unexpected"),
            ("resident swap a --warm maybe", "off, first or beside"),
            ("resident swap a --num-ctx 0", "0"),
            ("resident --read-only flow a", "changes nothing"),
            ("resident flow a --manner hot", "write cold, warm or lookahead"),
            ("resident flow a --runs 0", "0"),
            ("resident --read-only preload", "changes nothing"),
            ("resident preload --ready soon", "primary, all"),
            ("resident --read-only bench", "changes nothing"),
            ("resident bench --runs 0", "0"),
            ("resident bench --csv --markdown", "--markdown"),
            ("resident flow a --csv", "--compare"),
            ("resident flow a --compare --manner warm", "--manner"),
            ("resident --json", "resident status --json"),
            ("resident demo --port 1", "--serve"),
            ("resident demo --serve --clean", "--clean"),
            ("resident config --check --init", "--init"),
            ("resident history --csv --json", "one of them"),
            ("resident man --json", "forms of their own"),
            ("resident completions tcsh", "tcsh"),
            ("resident history --since yesterday", "2h, 7d"),
            ("resident history --limit 0", "0"),
            ("resident history --today --limit 3", "--limit"),
            ("resident history --kind dreams", "dreams"),
            ("resident flush", "flush"),
        ] {
            let said = mistake(line);
            assert!(said.contains(reason), "{line}: {said}");
        }
    }

    #[test]
    fn a_workflow_is_run_with_lookahead_unless_said_otherwise_and_listed_without_a_name() {
        let flow = |line: &str| match read(line).unwrap().command {
            Some(Sub::Flow(flow)) => flow,
            other => panic!("{other:?}"),
        };
        let listed = flow("resident --read-only flow");
        assert_eq!((listed.name, listed.manner, listed.runs), (None, Manner::Lookahead, None));
        let run = flow("resident flow agent-loop --manner cold --runs 3");
        assert_eq!((run.name.as_deref(), run.manner, run.runs), (Some("agent-loop"), Manner::Cold, Some(3)));
    }

    #[test]
    fn all_is_preloaded_unless_only_the_primary_model_is_asked_for() {
        let preload = |line: &str| match read(line).unwrap().command {
            Some(Sub::Preload(asked)) => (asked.ready, asked.timeout),
            other => panic!("{other:?}"),
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(preload("resident preload"), (preload::Wanted::All, None));
        assert_eq!(
            preload("resident preload --ready primary --timeout 1m"),
            (preload::Wanted::Primary, minute)
        );
    }

    #[test]
    fn the_demo_is_asked_for_in_two_ways() {
        for line in
            ["resident --demo --demo-scale 64", "resident demo --demo-scale 64", "resident status --demo"]
        {
            assert!(read(line).unwrap().wants_demo(), "{line}");
        }
        let serve = read("resident demo --serve --port 8080").unwrap().command;
        assert_eq!(serve, Some(Sub::Demo { serve: true, port: Some(8080), models: None, clean: false }));
        assert!(!read("resident status").unwrap().wants_demo());
    }
}

//! Front end 2: the command line, read into [`Cli`]; one file per subcommand, and the exit codes they end with.
//!
//! Called by `main`; may name every room. What was asked for goes to stdout, all else to stderr (see [`out`]).

mod access;
pub mod act;
pub mod args;
pub mod bench;
pub mod config;
pub mod demo;
mod dispatch;
pub mod doctor;
pub mod flow;
pub mod history;
pub mod hold;
pub mod out;
pub mod phase;
pub mod pins;
pub mod preload;
pub mod ready;
pub mod screen;
pub mod state;
pub mod status;
pub mod swap;
pub mod tune;
pub mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use self::args::{Flow, Listed, Models, Swap};
use crate::residency::act::ActKind;
use crate::residency::keep_alive::parse_duration;
use crate::residency::name::ModelName;

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

const EXAMPLES: &str = "\
Examples:
  resident                                   the screen
  resident --demo                            the same on an embedded server, with real files
  resident status                            one table: every model, where it is, how long it stays
  resident status --json --host 10.0.0.5     the same for scripts, from another machine
  resident load qwen2.5-coder:7b             load, and wait until it is in VRAM
  resident swap qwen2.5-coder:7b             make it the one that is ready, and say what took how long
  resident unload --yes qwen2.5-coder:7b     unload, even if it is pinned or busy
  resident pin qwen2.5-coder:7b              keep it in VRAM, also when others evict it: a dashboard brings it back
  resident pins                              what is pinned, how it is with each, and who enforces it
  resident preload                           the primary model into VRAM, the preload list into RAM
  resident warm --all                        read the preload list into RAM, so that loads do not wait for the disk
  resident hold qwen2.5-coder:7b             the same, and keep it there until Ctrl-C
  resident drop --yes deepseek-r1:14b        take its files out of RAM
  resident phase execution --run 7           what an agent calls between its steps: the phase's model is ready then
  resident history --since 1d                every load and swap of the last day, and how long it took
  resident history --today                   today's swaps in one line, and what they would have cost from the disk
  resident tune --percent 99                 how long each model is idle, and which keep_alive follows from it
  resident doctor                            how all is set up, what is wrong, and what to do
  resident bench --markdown                  cold and warm loads beside each other, as a table to paste
  resident flow react-dashboard              run a workflow of the config, and read ahead for its next steps
  resident config --check                    is the config right, and where does each value come from

Exit codes:
  0 done   1 failed   2 usage or config   3 refused without --yes   4 timed out   5 no server";

/// See where every Ollama model lives (VRAM, RAM, disk) and move it there fast
///
/// Without a subcommand this is a screen: every installed model, the tier that holds its bytes, how long it stays
/// there, and keys that move it. The subcommands do the same without a screen.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "resident", version, after_long_help = EXAMPLES, disable_help_subcommand = true)]
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

/// The subcommands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Sub {
    /// Print where every model is
    Status {
        /// Go on: one JSON object a line, at every change and at least every ten seconds
        #[arg(long)]
        watch: bool,
    },
    /// Load models into VRAM and wait until they are there
    Load(Models),
    /// Make a model ready in VRAM: what must go for it goes, and each stage is timed
    Swap(Swap),
    /// Unload models from VRAM and wait until they are gone
    Unload(Models),
    /// Keep models in VRAM until they are unpinned
    Pin(Models),
    /// Let pinned models expire again
    Unpin(Models),
    /// List the pins: how it is with each, since when, and which dashboard enforces them
    Pins,
    /// Restart the countdown of loaded models
    Touch(Models),
    /// Read models' files into RAM, so that their loads do not wait for the disk
    Warm(Listed),
    /// Read models' files into RAM and keep them there until this command ends
    Hold {
        /// Which models.
        #[command(flatten)]
        listed: Listed,
        /// For a service: say on stderr what changes, and go on until SIGTERM
        #[arg(long)]
        foreground: bool,
    },
    /// Take models' files out of RAM; needs --yes
    Drop(Models),
    /// Load the primary model, then read the preload list into RAM, as a dashboard may do at its start
    #[command(after_long_help = preload::HELP)]
    Preload(preload::Asked),
    /// Make the model of a phase of your agent's work ready in VRAM, and tell running dashboards
    Phase(phase::Phase),
    /// Print what happened: loads and swaps with their times, how models left VRAM, phases
    History(history::Asked),
    /// Print how long each model is idle between its uses, and the keep_alive that follows from it
    Tune(tune::Asked),
    /// Say how all is set up, what is wrong with the server or with how it is used, and what to do; ends with 1 if
    /// anything is broken or wrong
    Doctor {
        /// Do not measure the disk: at most 256 MiB of one model's file are read past RAM, for a second at most
        #[arg(long)]
        quick: bool,
    },
    /// Measure what warm files in RAM are worth here: cold and warm loads beside each other; asks first
    Bench(bench::Ask),
    /// Run a workflow of the config, or list them
    Flow(Flow),
    /// Print the merged settings and where each comes from
    Config {
        /// Only check: print what is wrong, or that nothing is
        #[arg(long, conflicts_with = "init")]
        check: bool,
        /// Propose a config from the models and the memory that are there; never overwrites one
        #[arg(long)]
        init: bool,
    },
    /// The screen on an embedded server with real files (the same as --demo)
    Demo {
        /// Run only the server, print its URL and wait
        #[arg(long, conflicts_with = "clean")]
        serve: bool,
        /// The port it listens on; any free one by default
        #[arg(long, requires = "serve", value_name = "PORT")]
        port: Option<u16>,
        /// Install this many models: the five, and tiny ones beside them
        #[arg(long, requires = "serve", value_name = "N", value_parser = clap::value_parser!(u16).range(5..=1000))]
        models: Option<u16>,
        /// Remove the demo's files
        #[arg(long)]
        clean: bool,
    },
}

impl Sub {
    /// The act that this subcommand asks for, and its models, with `preload` as the config's list; `None` for the
    /// others.
    pub fn act(&self, preload: &[ModelName]) -> Option<(ActKind, Models)> {
        match self {
            Sub::Load(models) => Some((ActKind::Load, models.clone())),
            Sub::Unload(models) => Some((ActKind::Unload, models.clone())),
            Sub::Pin(models) => Some((ActKind::Pin, models.clone())),
            Sub::Unpin(models) => Some((ActKind::Unpin, models.clone())),
            Sub::Touch(models) => Some((ActKind::Touch, models.clone())),
            Sub::Warm(listed) => Some((ActKind::Warm, listed.resolved(preload))),
            Sub::Hold { listed, .. } => Some((ActKind::Hold, listed.resolved(preload))),
            Sub::Drop(models) => Some((ActKind::Drop, models.clone())),
            Sub::Swap(_)
            | Sub::Preload(_)
            | Sub::Pins
            | Sub::Bench(_)
            | Sub::Flow(_)
            | Sub::Phase(_)
            | Sub::History(_)
            | Sub::Tune(_)
            | Sub::Doctor { .. }
            | Sub::Status { .. }
            | Sub::Config { .. }
            | Sub::Demo { .. } => None,
        }
    }
}

impl Cli {
    /// Whether the embedded server is to be used.
    pub fn wants_demo(&self) -> bool {
        self.flags.demo || matches!(self.command, Some(Sub::Demo { .. }))
    }

    /// Reads a command line, the program's name first. The error says what is wrong or is the help that was asked for.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let cli = Cli::try_parse_from(args)?;
        cli.contradiction()
            .map_or(Ok(()), |what| Err(Cli::command().error(ErrorKind::ArgumentConflict, what)))?;
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
    use crate::residency::flow::Manner;
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
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
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

    #[test]
    fn help_is_an_answer_and_the_long_one_has_examples() {
        let help = |line: &str| {
            let error = read(line).expect_err(line);
            assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0));
            error.to_string()
        };
        let (short, long) = (help("resident -h"), help("resident --help"));
        assert!(long.contains("Examples:") && long.contains("5 no server"), "{long}");
        assert!(!short.contains("Examples:") && short.contains("unload"), "{short}");
    }

    #[test]
    fn every_example_in_the_help_is_a_right_command_line() {
        let lines: Vec<&str> = EXAMPLES
            .lines()
            .chain(preload::HELP.lines())
            .filter(|line| line.starts_with("  resident"))
            .collect();
        assert!(lines.len() >= 5);
        for line in lines {
            let (command, _) = line.trim().split_once("   ").unwrap_or((line.trim(), ""));
            read(command).unwrap_or_else(|error| panic!("{command}: {error}"));
        }
    }
}

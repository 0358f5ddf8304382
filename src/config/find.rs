//! Where settings come from: the flags, the environment and the search order of files, all handed in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;

use super::{Place, Problem};

/// A settings file is no larger than this.
const LARGEST: u64 = 1 << 20;

/// The variables that are read.
const VARIABLES: [&str; 4] = ["RESIDENT_CONFIG", "OLLAMA_HOST", "OLLAMA_MODELS", "OLLAMA_KEEP_ALIVE"];

/// Everything that settings can come from; a test makes its own.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// What the command line says.
    pub flags: Flags,
    /// The environment: `RESIDENT_CONFIG`, `OLLAMA_HOST`, `OLLAMA_MODELS`, `OLLAMA_KEEP_ALIVE`.
    pub env: BTreeMap<String, OsString>,
    /// Where `./config.yaml` is looked for.
    pub cwd: PathBuf,
    /// The user's configuration directory, `$XDG_CONFIG_HOME` or `~/.config`.
    pub config_dir: Option<PathBuf>,
    /// The user's home, for `~` in paths.
    pub home: Option<PathBuf>,
    /// The demo: [`super::DEMO`] instead of a search, and no environment, which is about another server.
    pub demo: bool,
}

/// What the command line says of settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--host ADDRESS`, in every form of `OLLAMA_HOST`.
    pub host: Option<String>,
    /// `--refresh DURATION`.
    pub refresh: Option<Duration>,
    /// `--read-only`.
    pub read_only: bool,
    /// `--ascii`.
    pub ascii: bool,
}

impl Sources {
    /// Those of this process.
    pub fn of_process(flags: Flags, demo: bool) -> Sources {
        let env = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)));
        let base = etcetera::choose_base_strategy().ok();
        Sources {
            flags,
            env: env.collect(),
            cwd: std::env::current_dir().unwrap_or_default(),
            config_dir: base.as_ref().map(BaseStrategy::config_dir),
            home: base.as_ref().map(|base| base.home_dir().to_owned()),
            demo,
        }
    }
}

/// A file's text and what its place in the search order means.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Which file; `None` without one.
    pub file: Option<PathBuf>,
    /// Its text.
    pub text: String,
    /// The user named it, or it lies where only the user puts it.
    pub may_act: bool,
    /// It was merely there: only with an `ollama:` section it is ours.
    pub by_chance: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The places of the search order, of which the first file that is there is read; `skip_cwd` leaves `./config.yaml`
/// out, once it turned out not to be ours.
pub(super) fn find(sources: &Sources, skip_cwd: bool) -> Result<Found, Problem> {
    let from_env = sources.env.get("RESIDENT_CONFIG").filter(|path| !path.is_empty() && !sources.demo);
    let named = match (&sources.flags.config, from_env) {
        (Some(path), _) => Some(("--config", path.clone())),
        (None, Some(path)) => Some(("RESIDENT_CONFIG", PathBuf::from(path))),
        (None, None) => None,
    };
    if let Some((by, path)) = named {
        let path = sources.cwd.join(path);
        let text = read(&path).map_err(|why| why.problem(&path, by))?;
        return Ok(Found { file: Some(path), text, may_act: true, ..Found::default() });
    }
    if sources.demo {
        return Ok(Found { text: super::DEMO.to_owned(), may_act: true, ..Found::default() });
    }
    let mut notes = Vec::new();
    let here = sources.cwd.join("config.yaml");
    if !skip_cwd && fs::metadata(&here).is_ok_and(|meta| meta.is_file()) {
        match read(&here) {
            Ok(text) => return Ok(Found { file: Some(here), text, by_chance: true, ..Found::default() }),
            Err(why) => notes.push(format!("./config.yaml is not used: {}", why.message)),
        }
    }
    let Some(path) = user_path(sources) else { return Ok(Found { notes, ..Found::default() }) };
    match read(&path) {
        Ok(text) => Ok(Found { file: Some(path), text, may_act: true, by_chance: false, notes }),
        Err(why) if why.absent => Ok(Found { notes, ..Found::default() }),
        Err(why) => Err(why.problem(&path, "")),
    }
}

/// Where the user's own file lies or would lie: `$XDG_CONFIG_HOME/resident/config.yaml`.
pub fn user_path(sources: &Sources) -> Option<PathBuf> {
    Some(sources.config_dir.as_ref()?.join("resident").join("config.yaml"))
}

/// Writes a new file and the directories above it; one that is there is never touched (`AlreadyExists`).
pub fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file would be found at the next start and could not be written anew.
        let _ = fs::remove_file(path);
    }
    written
}

/// Why a file was not read.
struct Unread {
    message: String,
    line: usize,
    column: usize,
    absent: bool,
}

impl Unread {
    fn problem(self, path: &Path, key: &str) -> Problem {
        let place = Some(Place { file: path.to_owned(), line: self.line, column: self.column });
        Problem { place, key: key.to_owned(), message: self.message }
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Unread {
        let absent = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        let message = if absent { "no such file".to_owned() } else { format!("cannot be read: {error}") };
        Unread { message, line: 0, column: 0, absent }
    }
}

/// Whether it is a named pipe. What a shell hands over (`<(…)`) lies in `/dev/fd` and has a writer.
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let by_shell = path.starts_with("/dev/fd") || path.starts_with("/proc");
    !by_shell && fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

fn read(path: &Path) -> Result<String, Unread> {
    let mut bytes = Vec::new();
    if is_pipe(path) {
        let message = "a named pipe, which may never answer; write the settings into a file".to_owned();
        return Err(Unread { message, line: 0, column: 0, absent: false });
    }
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    let unread =
        |message: &str, line, column| Unread { message: message.to_owned(), line, column, absent: false };
    if bytes.len() as u64 > LARGEST {
        return Err(unread("larger than 1 MiB; that is no settings file", 0, 0));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        let column = String::from_utf8_lossy(good).lines().last().map_or(0, |last| last.chars().count());
        let column = if good.ends_with(b"\n") { 1 } else { column + 1 };
        unread("not UTF-8 text; save the file as UTF-8", line, column)
    })
}

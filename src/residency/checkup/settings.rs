//! How this program is set up: which file the settings are from, what in it may act, which servers it names.

use super::{Check, Topic, Verdict};

/// The settings as far as they are judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where they are from.
    pub source: Source,
    /// What a person should know of the search for them.
    pub notes: Vec<String>,
    /// Nothing may act by itself: `--no-auto`.
    pub hands_off: bool,
    /// Nothing may change anything: `--read-only`, or the config.
    pub read_only: bool,
    /// What of the config would act by itself if it may.
    pub acts: Vec<&'static str>,
    /// The servers that the config names, each with what keeps it from being asked.
    pub servers: Vec<(String, Option<String>)>,
}

/// Where settings are from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// No file: the defaults.
    #[default]
    Defaults,
    /// The demo's own.
    Demo,
    /// A file that the user named, or the one in its usual place.
    Named(String),
    /// A file that merely lay where we were started.
    Found(String),
}

/// Which file it is.
pub(super) fn file(settings: &Settings) -> Check {
    let check = match &settings.source {
        Source::Defaults => Check::ok(Topic::Config, "no file, the defaults hold")
            .advise("to have one: resident config --init"),
        Source::Demo => Check::ok(Topic::Config, "the demo's own"),
        Source::Named(file) => Check::ok(Topic::Config, format!("{file}, no problems")),
        Source::Found(file) => {
            let fact = format!("{file} was merely found: its names and budgets count, nothing in it acts");
            return Check::new(Topic::Config, Verdict::Better, fact)
                .advise(format!("name it: --config {file}"));
        }
    };
    match settings.notes.first() {
        Some(note) => Check { verdict: Verdict::Better, ..check }.advise(note.clone()),
        None => check,
    }
}

/// What may act by itself.
pub(super) fn acts(settings: &Settings) -> Check {
    let words = settings.acts.join(", ");
    let fact = match &settings.source {
        _ if settings.read_only => "nothing: read-only".to_owned(),
        _ if settings.acts.is_empty() => "nothing by itself".to_owned(),
        Source::Found(_) | Source::Defaults => {
            let fact = format!("nothing; {words} would, if the config were named");
            return Check::new(Topic::Acts, Verdict::Better, fact);
        }
        _ if settings.hands_off => format!("nothing: --no-auto; else {words}"),
        Source::Demo | Source::Named(_) => format!("while a dashboard runs: {words}"),
    };
    Check::ok(Topic::Acts, fact)
}

/// The servers of the config; none where it names none.
pub(super) fn servers(settings: &Settings) -> Option<Check> {
    if settings.servers.is_empty() {
        return None;
    }
    let names: Vec<&str> = settings.servers.iter().map(|(name, _)| name.as_str()).collect();
    let mut troubles = settings.servers.iter().filter_map(|(name, why)| Some((name, why.as_ref()?)));
    let Some((name, why)) = troubles.next() else {
        return Some(Check::ok(Topic::Servers, format!("{}: {}", names.len(), names.join(", "))));
    };
    let more = match troubles.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let fact = format!("{name} cannot be asked: {why}{more}");
    let advice = "put right what servers says of its token, headers or ca";
    Some(Check::new(Topic::Servers, Verdict::Broken, fact).advise(advice))
}

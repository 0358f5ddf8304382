//! The server: whether it answers, and what its version can and cannot do.

use super::{Check, Topic, Verdict};
use crate::residency::snapshot::{Reach, Server};

/// Whether it answers.
pub(super) fn server(server: &Server) -> Check {
    let url = &server.url;
    match &server.reach {
        Reach::Connecting => Check::unknown(Topic::Server, format!("{url} has not answered yet")),
        Reach::Up { latency } => {
            let (count, place) =
                (server.models.len(), if server.local { "" } else { ", on another machine" });
            let models = if count == 1 { "model" } else { "models" };
            let millis = latency.as_millis();
            let fact = format!("{url} answers in {millis} ms, {count} {models}{place}");
            if server.local {
                return Check::ok(Topic::Server, fact);
            }
            let advice = "its RAM, disk and cards can be seen only there: run resident on it";
            Check::new(Topic::Server, Verdict::Better, fact).advise(advice)
        }
        Reach::Slow { .. } => Check::new(
            Topic::Server,
            Verdict::Better,
            format!("{url} is slow to answer: busy with a load or an unload"),
        )
        .advise("ask again when that is over"),
        Reach::Down { answers: true, why, .. } => {
            Check::new(Topic::Server, Verdict::Broken, format!("{url} is no Ollama server: {why}"))
                .advise("something else answers there: name another with --host")
        }
        Reach::Down { answers: false, why, .. } => {
            Check::new(Topic::Server, Verdict::Broken, format!("{url} does not answer: {why}"))
                .advise("start it with `ollama serve`, or name another with --host")
        }
    }
}

/// A release.
type Release = (u32, u32, u32);

/// From here on `/api/ps` takes a lock, so that it may be asked often, also during a load.
const SAFE: Release = (0, 32, 4);
/// From here on `/api/ps` tells the context a model runs with.
const CONTEXT: Release = (0, 10, 0);
/// From here on the server says which models only embed.
const CAPABILITIES: Release = (0, 6, 4);
/// From here on an unload can be asked for.
const UNLOAD: Release = (0, 3, 11);
/// From here on there is an `/api/ps`.
const PS: Release = (0, 1, 38);
/// From here on llama-server reads the weights.
const UPSTREAM: Release = (0, 30, 0);
/// From here on integrated cards are loaded by direct I/O.
const DIRECT: Release = (0, 32, 2);
/// From here on its load mode has one flag.
const LOAD_MODE: Release = (0, 32, 6);

/// `0.32.15`, `v0.5.1-rc2`; a build from source calls itself 0.0.0, which says nothing.
fn release(version: &str) -> Option<Release> {
    let number = version.trim().trim_start_matches('v');
    let number = number.split(['-', '+']).next()?;
    let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
    let release = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && release != (0, 0, 0)).then_some(release)
}

/// What that version can and cannot do.
pub(super) fn version(version: Option<&str>, demo: Option<u64>) -> Check {
    let Some(version) = version else { return Check::unknown(Topic::Version, "the server has not said it") };
    if let Some(scale) = demo {
        return Check::ok(Topic::Version, format!("{version}: the embedded server, files 1:{scale}"));
    }
    let Some(release) = release(version) else {
        return Check::unknown(Topic::Version, format!("{version}: a build that does not say what it can"))
            .advise("/api/ps is asked once a second at most, as of a server before 0.32.4");
    };
    if release >= SAFE {
        let fact = format!("{version}: /api/ps is safe to ask during loads, and tells the context");
        return Check::ok(Topic::Version, fact);
    }
    let lacks = [
        (PS, "no /api/ps: what is loaded cannot be seen"),
        (UNLOAD, "no unload by request"),
        (CAPABILITIES, "does not say which models only embed"),
        (CONTEXT, "does not tell the context: a touch may reload"),
        (SAFE, "reads /api/ps without a lock, so it is asked once a second at most"),
    ];
    let lacks: Vec<&str> =
        lacks.iter().filter(|(since, _)| release < *since).map(|(_, what)| *what).collect();
    let verdict = if release < UNLOAD { Verdict::Broken } else { Verdict::Better };
    Check::new(Topic::Version, verdict, format!("{version}: {}", lacks.join("; ")))
        .advise("update the server to 0.32.4 or later")
}

/// What reads weights in that version.
pub(super) fn engine(version: Option<&str>, demo: Option<u64>) -> Option<Check> {
    let release = version.filter(|_| demo.is_none()).and_then(release)?;
    let fact = if release < UPSTREAM {
        "in-tree: several threads read, through RAM"
    } else if release < DIRECT {
        "llama-server: one thread reads, through RAM (--no-mmap, --direct-io)"
    } else if release < LOAD_MODE {
        "llama-server: one thread reads; past RAM for integrated cards (--direct-io)"
    } else {
        "llama-server: one thread reads; past RAM for integrated cards (--load-mode)"
    };
    Some(Check::ok(Topic::Engine, fact))
}

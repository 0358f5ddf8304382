//! What the instances of one user keep between them, and where: the journal.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::journal::{self, Journal, Seen};
use crate::residency::record::server_name;
use crate::residency::timing::Clock;

/// Opens the journal through which instances know of each other; without a place for it each is alone. It ends when
/// the engine has given it all there is to write, and `opened` tells then.
pub fn journal(
    clock: &Clock,
    demo: bool,
    opened: watch::Sender<Vec<watch::Receiver<journal::State>>>,
) -> Box<dyn FnOnce() -> Option<Journal> + Send> {
    let clock = Arc::clone(clock);
    Box::new(move || {
        let journal = Journal::open(&journal_path(demo)?, clock, &CancellationToken::new()).ok()?;
        opened.send_modify(|all| all.push(journal.state.clone()));
        Some(journal)
    })
}

/// Who acts by itself on the server at `url`, or who looks on; `demo` is the scale of an embedded one.
pub fn roles(url: &str, demo: Option<u64>) -> Seen {
    journal_path(demo.is_some())
        .map(|path| journal::roles(&path, &server_name(url, demo)))
        .unwrap_or_default()
}

/// Where the instances of one user keep what happened and what they know of each other:
/// `$XDG_STATE_HOME/resident/journal.sqlite`, or below `~/.local/state`; `None` without a home directory. The demo has
/// one of its own.
pub fn journal_path(demo: bool) -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().ok()?;
    // Only Windows has no such directory.
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Some(state.join("resident").join(if demo { "journal-demo.sqlite" } else { "journal.sqlite" }))
}

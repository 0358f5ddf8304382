//! The chronicle: what happened goes to the journal, and what the journal knows comes into the snapshot.
//!
//! Part of the manager. What others did, and how that is told from what is seen, is the subject of `others`.

mod others;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Command;
use super::known::Known;
use super::manager::Manager;
use crate::journal::{NotTaken, Opened, State};
use crate::residency::event::What;
use crate::residency::record::{Happened, Record, server_name};
use crate::residency::timing::Moment;

pub(crate) use others::Others;

/// So many records wait while the journal takes none; of more the oldest go.
const WAITING: usize = 1024;
/// How long a load that may read ahead waits for what earlier ones took.
const PAST: Duration = Duration::from_millis(100);
/// How long what sets a keep_alive waits for what the uses say of it, where they are to say it.
const USES: Duration = Duration::from_secs(1);

/// What is on its way to the journal.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    waiting: VecDeque<Record>,
    /// The user has been told that records wait.
    told: bool,
    /// Records that were given up.
    dropped: usize,
    /// What was seen of others.
    pub others: Others,
}

impl Known {
    /// What the journal calls this server.
    pub(super) fn journal_name(&self) -> String {
        server_name(&self.config.url, self.demo_scale)
    }
}

impl Manager {
    /// Keeps what happened in the journal, if there is one. Never waits. A swap is told at its end and counts from when
    /// it was asked for.
    pub(super) fn record(&mut self, what: Happened) {
        let now = self.now().wall;
        let at = match &what {
            Happened::Swap(swap) => now.saturating_sub(swap.stages.total.unwrap_or_default()).unwrap_or(now),
            _ => now,
        };
        self.record_at(at, what);
    }

    /// As `record`, of something that was asked for or seen at `at`.
    fn record_at(&mut self, at: Timestamp, what: Happened) {
        let server = self.journal_server();
        self.chronicle.waiting.push_back(Record { at, server, what });
        self.hand_over();
    }

    /// What the journal calls this server.
    pub(super) fn journal_server(&self) -> String {
        self.known.journal_name()
    }

    /// The journal's past is worth having from now on.
    pub(super) fn follow_journal(&mut self) {
        let server = self.journal_server();
        let (auto, rule) = (self.known.config.keep_alive_auto, self.known.config.tuning);
        // Asked for first: when the past is there, what the uses say is there too.
        if auto || self.journals.may_keep() {
            self.journals.tune(&server, rule);
        }
        if self.journals.follow(&server) {
            let now = self.now();
            let patience = if auto { USES } else { PAST };
            self.known.past_by = Some(Moment { mono: now.mono + patience, ..now });
        }
    }

    /// Whoever goes on until the user ends it follows the journal once the server answers.
    pub(super) fn follow_if_keeping(&mut self) {
        if self.journals.may_keep() {
            self.follow_journal();
        }
    }

    /// Gives what waits to the journal, as far as it takes it.
    pub(super) fn hand_over(&mut self) {
        if self.chronicle.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.chronicle.waiting);
        // Without a journal nothing is kept.
        let Some(journal) = self.journals.get() else { return };
        match journal.record(waiting.into()) {
            Ok(()) => {
                let dropped = std::mem::take(&mut self.chronicle.dropped);
                self.chronicle.told = false;
                if dropped > 0 {
                    let why = format!("the journal was busy for too long: {dropped} records are lost");
                    self.tell(None, What::Warned { why });
                }
            }
            Err((NotTaken::Gone, _)) => {}
            Err((NotTaken::Full, back)) => {
                let excess = back.len().saturating_sub(WAITING);
                self.chronicle.dropped += excess;
                self.chronicle.waiting = back.into_iter().skip(excess).collect();
                if !std::mem::replace(&mut self.chronicle.told, true) {
                    let why =
                        "the journal is busy: what happens waits in memory until it is written".to_owned();
                    self.tell(None, What::Warned { why });
                }
            }
        }
    }

    /// At the end: what front ends still asked to be kept is handed over.
    pub(super) fn hand_over_the_rest(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Phase(phase) = command {
                self.record(Happened::Phase(phase));
            }
        }
        self.hand_over();
    }

    /// Takes what the journal says; says whether there is something to show.
    pub(super) fn see_journal(&mut self) -> bool {
        let Some(journal) = self.journals.opened() else { return false };
        let past = Arc::clone(&journal.past.borrow_and_update());
        let tunings = journal.tunings.borrow_and_update().clone();
        let place = |tunings: &Option<Arc<_>>| tunings.as_ref().map(Arc::as_ptr);
        let is_new = !Arc::ptr_eq(&past, &self.known.past) || place(&tunings) != place(&self.known.tunings);
        self.known.tunings = tunings;
        if self.journals.is_read(&past) {
            self.known.past_by = None;
        }
        self.known.past = past;
        let released = self.see_leases();
        // Who keeps, and what is pinned, stands in the header.
        let pins = self.see_pins();
        self.say_journal_trouble() || released || is_new || pins
    }

    /// A journal that cannot be used is said once: then nobody knows what others hold, and nothing is kept.
    fn say_journal_trouble(&mut self) -> bool {
        let Some(journal) = self.journals.opened() else { return false };
        let why = match &*journal.state.borrow_and_update() {
            State { opened: Some(Err(why)), .. } => {
                format!("{why}; nothing is recorded, and other instances cannot be told what is held here")
            }
            State { trouble: Some(why), lost, .. } => {
                let lost = if *lost > 0 { format!("; {lost} records are lost") } else { String::new() };
                format!(
                    "the journal cannot be used now: {why}; what happens waits in memory, and other instances cannot \
                     be told what is held here{lost}"
                )
            }
            State { opened: Some(Ok(Opened::MovedAside { to, why })), .. } => {
                format!(
                    "the journal was unusable ({why}) and lies at {} now; what others hold is not known",
                    to.display()
                )
            }
            State { .. } => return false,
        };
        let is_new = self.known.journal_trouble.as_ref() != Some(&why);
        self.known.past_by = None;
        if is_new {
            self.known.journal_trouble = Some(why.clone());
            self.tell(None, What::Warned { why });
        }
        is_new
    }
}

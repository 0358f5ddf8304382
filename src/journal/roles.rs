//! Roles: of all instances that watch one server, the keeper acts by itself, and the recorder writes down what others did.
//!
//! Any instance may be the recorder. The keeper is one that may act: it gives the role back when the user stops it, and
//! one that only enforces pins made by hand makes way for one whose config says more.

use std::ffi::OsString;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::lock::Lock;
use crate::residency::guard::claim::{Claim, Idle, Onlooker};

/// What roles this process has, and who has those that it has not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// This process is the recorder.
    pub records: bool,
    /// This process is the keeper.
    pub acts: bool,
    /// It is the keeper as soon as one that may do less has made way.
    pub is_next: bool,
    /// The keeper's pid, as it wrote it down.
    pub keeper: Option<u32>,
}

/// Who has which role of a server, as one sees it who has none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The pid of the keeper that lives.
    pub keeper: Option<u32>,
    /// The recorder that lives, where nobody acts and it says why it does not.
    pub idle: Option<Onlooker>,
}

/// The part that one process takes at a server.
#[derive(Debug)]
pub(super) struct Part {
    server: String,
    claim: Claim,
    recorder: Lock,
    keeper: Lock,
    /// Had by one that may do all that its config says: the keeper, or who is it next.
    first: Lock,
}

impl Part {
    /// At a server, with the locks beside the journal at `journal`.
    pub(super) fn new(journal: &Path, server: String, claim: Claim) -> Part {
        let digest = Sha256::digest(server.as_bytes());
        let lock = |role: &str| {
            let mut name = OsString::from(format!("{role}-"));
            for byte in digest.iter().take(8) {
                name.push(format!("{byte:02x}"));
            }
            name.push(".lock");
            Lock::new(journal.with_file_name(name))
        };
        let (recorder, keeper, first) = (lock("recorder"), lock("keeper"), lock("first"));
        Part { server, claim, recorder, keeper, first }
    }

    pub(super) fn is_of(&self, server: &str) -> bool {
        self.server == server
    }

    pub(super) fn claims(&mut self, claim: Claim) {
        self.claim = claim;
    }

    /// Whether the next turn gives up to be the keeper: that is said before another one may be it.
    pub(super) fn gives_way(&self) -> bool {
        self.keeper.has() && !self.may_have()
    }

    /// Whether this process may be the keeper now.
    fn may_have(&self) -> bool {
        match self.claim {
            Claim::Nothing(_) => false,
            Claim::Pins => !self.first.is_anothers(),
            Claim::All => true,
        }
    }

    /// Takes what roles can be had, and gives back what is not claimed.
    pub(super) fn turn(&mut self, pid: u32) -> Roles {
        let why = self.claim.idle().map_or("", Idle::words);
        let records = self.recorder.attempt(pid, why);
        if self.claim == Claim::All {
            self.first.attempt(pid, "");
        } else {
            self.first.give_back();
        }
        if self.may_have() {
            self.keeper.attempt(pid, "");
        } else {
            self.keeper.give_back();
        }
        let acts = self.keeper.has();
        let keeper = match self.claim {
            _ if acts => Some(pid),
            // It was tried: whoever wrote down its pid has it.
            Claim::All => self.keeper.written().map(|(pid, _)| pid),
            Claim::Pins | Claim::Nothing(_) => self.keeper.living().map(|(pid, _)| pid),
        };
        Roles { records, acts, is_next: self.first.has() && !acts, keeper }
    }

    /// Who has which role now. Takes none, and makes no file.
    pub(super) fn look(&self) -> Seen {
        let keeper = self.keeper.living().map(|(pid, _)| pid);
        let recorder = self.recorder.living().filter(|_| keeper.is_none());
        let idle = recorder.and_then(|(pid, why)| Some(Onlooker { pid, why: Idle::of_words(&why)? }));
        Seen { keeper, idle }
    }
}

//! Claims: how far each of several instances may act by itself, and why one does not at all.

/// How far an instance may act by itself on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Not at all: it looks on.
    Nothing(Idle),
    /// It enforces pins that were made by hand, and makes way for one whose config says more.
    Pins,
    /// All that its config says.
    All,
}

impl Claim {
    /// Why it claims nothing.
    pub fn idle(self) -> Option<Idle> {
        match self {
            Claim::Nothing(why) => Some(why),
            Claim::Pins | Claim::All => None,
        }
    }
}

/// Why an instance does not act by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// The user wants nothing sent from there.
    ReadOnly,
    /// The user has stopped it.
    HandsOff,
    /// No config of the user's own lets it act, and nothing is pinned by hand.
    NoConfig,
    /// Without a journal instances do not know of each other, nor of what was pinned.
    NoJournal,
}

impl Idle {
    const ALL: [Idle; 4] = [Idle::ReadOnly, Idle::HandsOff, Idle::NoConfig, Idle::NoJournal];

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Idle::ReadOnly => "read-only",
            Idle::HandsOff => "hands off",
            Idle::NoConfig => "no config",
            Idle::NoJournal => "no journal",
        }
    }

    /// Reads the words.
    pub fn of_words(words: &str) -> Option<Idle> {
        Idle::ALL.into_iter().find(|why| why.words() == words)
    }
}

/// An instance that watches a server and only looks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onlooker {
    /// Its pid.
    pub pid: u32,
    /// Why it does not act.
    pub why: Idle,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_read_from_its_own_words() {
        for why in Idle::ALL {
            assert_eq!(Idle::of_words(why.words()), Some(why));
        }
        assert_eq!(Idle::of_words("anything else"), None);
    }
}

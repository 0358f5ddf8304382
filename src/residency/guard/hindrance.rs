//! Hindrances: why a pinned model is not in VRAM, and what would bring it there.

use jiff::Timestamp;

use crate::residency::bytes::Bytes;
use crate::residency::finding::gib;
use crate::residency::name::ModelName;

/// Why a pinned model is not in VRAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// The server does not have it.
    NotInstalled,
    /// It runs in the cloud: it is in no card of ours.
    InCloud,
    /// It fits only where another one goes, and nobody is thrown out for a pin that never was there.
    NoRoom {
        /// What it takes.
        needs: Bytes,
        /// What all cards have.
        card: Bytes,
        /// Who is in its way.
        there: ModelName,
    },
    /// Whether it fits beside what is loaded is not known.
    CardUnread,
    /// It does not fit beside this model, which somebody pinned.
    Beside(ModelName),
    /// This model would have to go for it, and is at work.
    AtWork(ModelName),
    /// It is brought back after a pause, at this time if nothing comes between.
    Waits(Timestamp),
}

impl Hindrance {
    /// The word for it in files.
    pub fn key(&self) -> &'static str {
        match self {
            Hindrance::NotInstalled => "not_installed",
            Hindrance::InCloud => "in_cloud",
            Hindrance::NoRoom { .. } => "no_room",
            Hindrance::CardUnread => "card_not_readable",
            Hindrance::Beside(_) => "beside_pin",
            Hindrance::AtWork(_) => "at_work",
            Hindrance::Waits(_) => "waits",
        }
    }

    /// In words, with what to do; `model` is the one that is pinned.
    pub fn words(&self, model: &ModelName, now: Timestamp) -> String {
        match self {
            Hindrance::NotInstalled => format!("not installed: ollama pull {model}"),
            Hindrance::InCloud => "runs in the cloud, not on this server".to_owned(),
            Hindrance::NoRoom { needs, card, there } => {
                let (needs, card) = (gib(*needs), gib(*card));
                format!("no room: needs ~{needs} of {card} on the card; comes when {there} has left")
            }
            Hindrance::CardUnread => {
                "card not readable: whether it fits is not known; comes when nothing else is loaded"
                    .to_owned()
            }
            Hindrance::Beside(pin) => format!("does not fit beside {pin}, which is pinned"),
            Hindrance::AtWork(other) => format!("waits: {other} is at work in its place"),
            Hindrance::Waits(until) => {
                let seconds = until.duration_since(now).as_secs().max(0);
                let after = if seconds < 60 {
                    format!("{seconds} s")
                } else {
                    format!("{} min", seconds.unsigned_abs().div_ceil(60))
                };
                format!("waits: back-off, again in {after}")
            }
        }
    }

    /// The model that is in the way, where one is.
    pub fn by(&self) -> Option<&ModelName> {
        match self {
            Hindrance::NoRoom { there: by, .. } | Hindrance::Beside(by) | Hindrance::AtWork(by) => Some(by),
            Hindrance::NotInstalled | Hindrance::InCloud | Hindrance::CardUnread | Hindrance::Waits(_) => {
                None
            }
        }
    }

    /// When it is tried again, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        if let Hindrance::Waits(until) = self { Some(*until) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::GIB;

    #[test]
    fn each_says_what_is_in_the_way_and_what_would_help() {
        let (name, other) = (ModelName::from_server("a:1b"), ModelName::from_server("b:7b"));
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let room = Hindrance::NoRoom { needs: Bytes(5 * GIB), card: Bytes(8 * GIB), there: other.clone() };
        for (one, key, words) in [
            (Hindrance::NotInstalled, "not_installed", "not installed: ollama pull a:1b"),
            (Hindrance::InCloud, "in_cloud", "runs in the cloud, not on this server"),
            (room, "no_room", "no room: needs ~5.0 GiB of 8.0 GiB on the card; comes when b:7b has left"),
            (
                Hindrance::CardUnread,
                "card_not_readable",
                "card not readable: whether it fits is not known; comes when nothing else is loaded",
            ),
            (Hindrance::Beside(other.clone()), "beside_pin", "does not fit beside b:7b, which is pinned"),
            (Hindrance::AtWork(other), "at_work", "waits: b:7b is at work in its place"),
            (Hindrance::Waits(at(20)), "waits", "waits: back-off, again in 20 s"),
            (Hindrance::Waits(at(61)), "waits", "waits: back-off, again in 2 min"),
            (Hindrance::Waits(at(-5)), "waits", "waits: back-off, again in 0 s"),
        ] {
            assert_eq!((one.key(), one.words(&name, at(0)).as_str()), (key, words));
        }
    }
}

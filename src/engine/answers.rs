//! What a server answered, joined without a running engine: what `benches/join.rs` measures.

use std::collections::VecDeque;
use std::sync::Arc;

use super::known::Known;
use super::{ask, observe, poll};
use crate::config::Config;
use crate::ollama::wire;
use crate::residency::event::Event;
use crate::residency::host::Cards;
use crate::residency::map::Pages;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Blob, Reach, Snapshot};
use crate::residency::timing::{Moment, Reading};

/// One answer of each kind and the readings of a machine, taken in exactly as the running engine takes them.
pub struct Answers {
    known: Known,
    events: VecDeque<Arc<Event>>,
}

impl Answers {
    /// Takes in what `/api/tags` and `/api/ps` of a server on this machine said at `now`.
    pub fn new(config: Arc<Config>, tags: &[wire::Installed], ps: &[wire::Running], now: Moment) -> Answers {
        let mut known = Known::new(config, String::new(), true, None);
        known.reach = Reach::Up { latency: std::time::Duration::ZERO };
        let asked = observe::Asked::default();
        let seen = observe::tags(&mut known, tags.iter().map(ask::installed).collect(), now)
            .into_iter()
            .chain(observe::ps(
                &mut known,
                ps.iter().map(|model| ask::running(model, now)).collect(),
                &asked,
                false,
                now,
            ));
        let events = (1..)
            .zip(seen)
            .map(|(number, (model, what))| Arc::new(Event { number, at: now, model, what }))
            .collect();
        Answers { known, events }
    }

    /// Takes in what `/api/show` said of the models with this digest.
    pub fn show(&mut self, digest: &str, answer: &wire::Shown) {
        self.known.shown.insert(digest.to_owned(), ask::shown(answer));
    }

    /// Takes in a model's files, each with how much of it is in the page cache.
    pub fn files(&mut self, name: ModelName, blobs: Vec<Blob>, at: Moment) {
        let pages = Arc::make_mut(&mut self.known.pages);
        pages.extend(blobs.iter().map(|blob| {
            let value = Pages { cached: blob.cached.clone(), map: blob.map };
            (blob.digest.clone(), Reading { value, at })
        }));
        self.known.files.insert(name, Ok(blobs));
    }

    /// Takes in a reading of the cards.
    pub fn cards(&mut self, value: Cards, at: Moment) {
        self.known.cards = Some(Reading { value, at });
    }

    /// Joins all of it at `now`, as the engine does at every change.
    pub fn join(&self, now: Moment) -> Snapshot {
        poll::join(&self.known, &self.events, Vec::new(), now)
    }
}

//! The end of a long load, told once, for those who look elsewhere meanwhile.

use std::time::Duration;

use super::App;
use crate::residency::event::What;
use crate::residency::snapshot::Snapshot;

/// A load that took less is not worth it.
const LONG: Duration = Duration::from_secs(5);

/// What is older is no news.
const NEWS: Duration = Duration::from_secs(10);

impl App {
    /// Notes the end of a long load among what is new, also behind a picture that stands still.
    pub(super) fn listen(&mut self, snapshot: &Snapshot) {
        let fresh = snapshot.events.iter().rev().take_while(|event| event.number > self.heard);
        let long = fresh.filter(|event| snapshot.at.since(event.at.mono) < NEWS).find_map(|event| {
            match (&event.what, &event.model) {
                (What::Loaded { took: Some(took), .. }, Some(model)) if *took > LONG => {
                    Some(format!("{model} is loaded, after {} s", took.as_secs()))
                }
                _ => None,
            }
        });
        self.alert = long.or(self.alert.take());
        self.heard = snapshot.events.back().map_or(self.heard, |event| event.number);
    }

    /// What is to be told now, once.
    pub(crate) fn take_alert(&mut self) -> Option<String> {
        self.alert.take()
    }
}

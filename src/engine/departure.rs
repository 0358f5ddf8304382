//! Departures that nobody asked for here: why a model left VRAM is told once it is known, or cannot be known any more.
//!
//! The server throws a model out first and begins the load that it made room for some seconds later; it lists that one
//! when it is loaded. `observe` opens a departure; each answer of the server and each look at the runners may close it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::known::Known;
use crate::residency::event::What;
use crate::residency::name::ModelName;
use crate::residency::timing::Moment;

/// The server waits at most 5 s for the room that a victim leaves (sched.go:1441-1499): with no runner by then it made
/// room for nothing.
const ROOM: Duration = Duration::from_secs(6);
/// Where no runner can be seen, what is listed by then made it go.
const UNSEEN: Duration = Duration::from_secs(10);

/// A model is gone, and nobody knows yet why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Open {
    /// When it was seen to be gone.
    pub at: Moment,
    /// What was listed then already, and what we began to load since: it did not go for one of them.
    pub innocent: BTreeSet<ModelName>,
}

impl Known {
    /// A load of ours begins: no open departure is due to it.
    pub fn acquit(&mut self, model: &ModelName) {
        for open in self.departures.values_mut() {
            open.innocent.insert(model.clone());
        }
    }

    /// Closes the departures whose cause is known by now, or will not be: what happened, and when the model left.
    pub fn close_departures(&mut self, now: Moment) -> Vec<(ModelName, What, Moment)> {
        let mut closed = Vec::new();
        let mut open = std::mem::take(&mut self.departures);
        open.retain(|name, one| match self.cause(name, one, now) {
            Some(what) => {
                closed.push((name.clone(), what, one.at));
                false
            }
            None => true,
        });
        self.departures = open;
        closed
    }

    fn cause(&self, name: &ModelName, open: &Open, now: Moment) -> Option<What> {
        let comes = || self.running.keys().chain(self.loading.keys());
        if let Some(again) = comes().find(|other| self.are_one(name, other)) {
            // Another client's request ended its runner for one with other options.
            let ours = open.innocent.contains(again);
            return Some(if ours { What::Left } else { What::Unloaded { took: None } });
        }
        if let Some(by) = comes().find(|other| !open.innocent.contains(*other)) {
            return Some(What::Evicted { by: Some(by.clone()) });
        }
        let looked = self.runners.as_ref().filter(|_| self.sees_runners());
        if looked.is_some_and(|looked| looked.at.since(open.at.mono) >= ROOM) {
            return Some(What::Unloaded { took: None });
        }
        (now.since(open.at.mono) >= UNSEEN).then_some(What::Left)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::engine::facts::{Loading, Running};
    use crate::residency::bytes::Bytes;
    use crate::residency::host::Runners;
    use crate::residency::timing::Reading;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Moment {
        Moment { mono: Instant::now(), wall: "2026-11-25T12:00:00Z".parse().unwrap() }
    }

    fn later(at: Moment, seconds: u64) -> Moment {
        Moment { mono: at.mono + Duration::from_secs(seconds), ..at }
    }

    fn name(text: &str) -> ModelName {
        ModelName::parse(text).unwrap()
    }

    /// "a" has left beside "b", which stays.
    fn known(at: Moment) -> Known {
        let mut known = Known::new(Arc::new(Config::default()), "host".into(), true, None);
        list(&mut known, "b");
        known.departures.insert(name("a"), Open { at, innocent: [name("b")].into() });
        known
    }

    fn list(known: &mut Known, text: &str) {
        known.running.insert(name(text), Running::listed(text, Bytes(1)));
    }

    fn looks(known: &mut Known, at: Moment) {
        let value = Runners { list: Vec::new(), server: Some(7) };
        known.runners = Some(Reading { value, at });
    }

    fn load(known: &mut Known, text: &str, at: Moment, ours: bool) {
        let load = Loading { since: at, ours, answered: None, from_ram: None };
        known.loading.insert(name(text), load);
    }

    #[test]
    fn it_is_open_until_a_load_of_another_is_seen_and_keeps_its_own_time() {
        let at = start();
        let mut known = known(at);
        assert_eq!(known.close_departures(later(at, 5)), []);
        load(&mut known, "c", later(at, 5), false);
        let evicted = What::Evicted { by: Some(name("c")) };
        assert_eq!(known.close_departures(later(at, 5)), [(name("a"), evicted, at)]);
        assert_eq!(known.close_departures(later(at, 60)), [], "it is told once");
    }

    #[test]
    fn where_no_runner_can_be_seen_what_is_listed_next_took_its_place() {
        let at = start();
        let mut known = known(at);
        list(&mut known, "c");
        let evicted = What::Evicted { by: Some(name("c")) };
        assert_eq!(known.close_departures(later(at, 9)), [(name("a"), evicted, at)]);
    }

    #[test]
    fn with_no_load_by_the_time_a_server_waits_somebody_asked_it_to_go() {
        let at = start();
        let mut known = known(at);
        looks(&mut known, later(at, 5));
        assert_eq!(known.close_departures(later(at, 7)), [], "a load may begin that no look has shown");
        looks(&mut known, later(at, 6));
        assert_eq!(known.close_departures(later(at, 7)), [(name("a"), What::Unloaded { took: None }, at)]);
    }

    #[test]
    fn where_no_runner_can_be_seen_and_nothing_comes_nobody_knows_why() {
        let at = start();
        let mut known = known(at);
        assert_eq!(known.close_departures(later(at, 9)), []);
        assert_eq!(known.close_departures(later(at, 10)), [(name("a"), What::Left, at)]);
    }

    #[test]
    fn one_that_comes_again_was_loaded_anew_and_a_load_of_ours_that_began_later_is_no_cause() {
        let at = start();
        let mut again = known(at);
        load(&mut again, "a", later(at, 1), false);
        assert_eq!(again.close_departures(later(at, 1)), [(name("a"), What::Unloaded { took: None }, at)]);
        let mut ours = known(at);
        ours.acquit(&name("c"));
        load(&mut ours, "c", later(at, 1), true);
        assert_eq!(ours.close_departures(later(at, 9)), []);
        assert_eq!(ours.close_departures(later(at, 10)), [(name("a"), What::Left, at)]);
    }
}

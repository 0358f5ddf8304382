//! Homing: after an agent's run the primary model comes back into VRAM, where the user has asked for that.
//!
//! Part of the manager. The decision is a function of what is known; it disturbs nobody.

use std::time::Duration;

use jiff::Timestamp;

use super::Command;
use super::agents::last_told;
use super::manager::Manager;
use crate::residency::event::What;
use crate::residency::record::Run;
use crate::residency::snapshot::{Model, Reach, Server, State};
use crate::residency::swap::Wish;

/// What the decision is made from.
#[derive(Debug, Clone, Copy)]
struct Scene<'a> {
    /// The config's `return_to_primary`.
    after: Duration,
    /// All runs of the last day.
    runs: &'a [Run],
    /// Since when this instance looks.
    since: Timestamp,
    /// The run's end for which this was settled last.
    settled: Option<Timestamp>,
    now: Timestamp,
    /// The primary model is in VRAM, or not installed.
    is_settled: bool,
    /// A model is pinned or works, or something is under way: nobody is to be disturbed.
    is_busy: bool,
    /// How long nobody has used any model in VRAM.
    idle: Duration,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    /// Not now.
    Stay,
    /// Nothing is to be done after the run that ended then.
    Settled(Timestamp),
    /// The primary model comes back after the run that ended then.
    Return(Timestamp),
}

/// Whether it is time to return. A run ends when it says so, or with its last phase.
fn home(scene: &Scene<'_>) -> Home {
    let Some(ended) = scene.runs.iter().filter_map(last_told).max() else { return Home::Stay };
    let Ok(due) = ended.checked_add(scene.after) else { return Home::Stay };
    if scene.settled == Some(ended) || scene.now < due {
        return Home::Stay;
    }
    // Starting the program moves nothing.
    if due < scene.since || scene.is_settled {
        return Home::Settled(ended);
    }
    if scene.is_busy || scene.idle < scene.after {
        return Home::Stay;
    }
    Home::Return(ended)
}

impl Manager {
    /// Brings the primary model back if it is time.
    pub(super) fn return_home(&mut self) {
        let config = &self.known.config;
        let (Some(after), Some(primary)) = (config.return_to_primary, config.primary.clone()) else { return };
        let now = self.now();
        let shown = std::sync::Arc::clone(&self.publish.borrow());
        let Some(server) = shown.servers.first().filter(|server| is_up(server)) else { return };
        let since = self.known.agents.since.unwrap_or(now.wall);
        // One that was never seen in use is idle since this instance looks.
        let idle = |model: &Model| {
            let used = self.known.last_use.get(&model.name).map_or(since, |used| used.wall.max(since));
            now.wall.duration_since(used).unsigned_abs()
        };
        let loaded = || server.models.iter().filter(|model| model.loaded.is_some());
        let scene = Scene {
            after,
            runs: &self.known.past.runs,
            since,
            settled: self.known.agents.home,
            now: now.wall,
            is_settled: server.model(&primary).is_none_or(Model::has_runner),
            is_busy: self.is_busy() || loaded().any(must_not_go),
            idle: loaded().map(idle).min().unwrap_or(Duration::MAX),
        };
        match home(&scene) {
            Home::Stay => {}
            Home::Settled(ended) => self.known.agents.home = Some(ended),
            Home::Return(ended) => {
                self.known.agents.home = Some(ended);
                self.tell(Some(primary.clone()), What::Returns { after });
                let id = self.own_id();
                self.command(Command::Swap { id, model: primary, wish: Wish::default() });
            }
        }
    }
}

fn is_up(server: &Server) -> bool {
    matches!(server.reach, Reach::Up { .. })
}

/// Whether a model in VRAM is to be left there.
fn must_not_go(model: &Model) -> bool {
    model.pin_word().is_some() || !matches!(model.state, State::Idle | State::Overdue | State::Ghost)
}

#[cfg(test)]
mod tests {
    use super::super::agents::tests::{at, phase, run};
    use super::*;

    /// Ten minutes after the end of the latest of two runs, nothing in the way.
    fn scene(runs: &[Run]) -> Scene<'_> {
        Scene {
            after: Duration::from_secs(600),
            runs,
            since: at(0),
            settled: None,
            now: at(700),
            is_settled: false,
            is_busy: false,
            idle: Duration::from_secs(650),
        }
    }

    #[test]
    fn the_primary_model_comes_back_only_when_it_disturbs_nobody() {
        let runs = [
            run(&[(40, phase("new", "execution", "b", "")), (100, phase("new", "", "", ""))]),
            run(&[(5, phase("old", "context", "a", "b"))]),
        ];
        let scene = scene(&runs);
        let short = Duration::from_secs(599);
        for (what, scene, expected) in [
            ("its time has come", scene, Home::Return(at(100))),
            ("not yet", Scene { now: at(699), ..scene }, Home::Stay),
            ("no run", Scene { runs: &[], ..scene }, Home::Stay),
            ("a model works or is pinned", Scene { is_busy: true, ..scene }, Home::Stay),
            ("a model was used lately", Scene { idle: short, ..scene }, Home::Stay),
            ("nothing is loaded", Scene { idle: Duration::MAX, ..scene }, Home::Return(at(100))),
            ("it is there", Scene { is_settled: true, is_busy: true, ..scene }, Home::Settled(at(100))),
            ("once for each run", Scene { settled: Some(at(100)), ..scene }, Home::Stay),
            ("again after the next", Scene { settled: Some(at(5)), ..scene }, Home::Return(at(100))),
            ("long over at start", Scene { since: at(701), ..scene }, Home::Settled(at(100))),
        ] {
            assert_eq!(home(&scene), expected, "{what}");
        }
    }

    #[test]
    fn a_run_that_never_says_that_it_is_over_ends_with_its_last_phase() {
        let runs = [run(&[(100, phase("one", "execution", "b", "a"))])];
        assert_eq!(home(&scene(&runs)), Home::Return(at(100)));
    }

    #[test]
    fn a_phase_that_is_told_meanwhile_begins_the_time_again() {
        let runs = [run(&[(100, phase("one", "", "", "")), (650, phase("one", "context", "a", ""))])];
        assert_eq!(home(&scene(&runs)), Home::Stay);
    }

    #[test]
    fn only_what_is_idle_may_go() {
        let model = |state, pinned| Model {
            state,
            pinned,
            ..Model::named(crate::residency::name::ModelName::from_server("a"))
        };
        for (state, pinned, stays) in [
            (State::Idle, false, false),
            (State::Idle, true, true),
            (State::Busy, false, true),
            (State::BusyOrUnloading, false, true),
            (State::Unloading, false, true),
            (State::Ghost, false, false),
        ] {
            assert_eq!(must_not_go(&model(state, pinned)), stays, "{state:?} {pinned}");
        }
    }
}

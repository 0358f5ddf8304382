//! Which requests of ours the umpire is told of, by what is loaded and what loads as they come.

use super::Ask;
use super::state::State;
use crate::residency::timing::Moment;
use crate::sim::keep_alive::FOREVER;
use crate::sim::umpire::{Broken, VISIBLE};

impl State {
    /// A request for a runner.
    pub(super) fn judge(&self, ask: &Ask) {
        let Some(entry) = self.of_blob(ask.model).map(|at| &self.entries[at]) else { return };
        let now = (self.rules.clock)();
        if entry.is_alive() && !entry.options.serve(&ask.options, &self.model(ask.model).spec) {
            self.foul(ask.model, Broken::Reloads, now);
        }
        if !entry.is_ending() && self.load_is_visible(ask.model, now) {
            self.foul(ask.model, Broken::WhileLoading, now);
        }
    }

    /// An unload of entry `at`.
    pub(super) fn judge_unload(&self, at: usize, now: Moment) {
        let entry = &self.entries[at];
        if entry.is_ending() {
            return;
        }
        if entry.keep_alive == FOREVER {
            self.foul(entry.model, Broken::UnloadsPinned, now);
        }
        if self.load_is_visible(entry.model, now) {
            self.foul(entry.model, Broken::WhileLoading, now);
        }
    }

    /// A load that throws out entry `at`.
    pub(super) fn judge_eviction(&self, at: usize) {
        let (entry, now) = (&self.entries[at], (self.rules.clock)());
        if entry.users > 0 {
            self.foul(entry.model, Broken::EvictsBusy, now);
        }
        if entry.keep_alive == FOREVER {
            self.foul(entry.model, Broken::EvictsPinned, now);
        }
    }

    /// Whether a client of ours can know that another model loads, or waits for its load: it asked for that itself, or
    /// the runner has been in the process table for long enough.
    fn load_is_visible(&self, of: usize, now: Moment) -> bool {
        let another = |ask: &Ask| ask.model != of && !ask.reply.is_closed();
        let loads = self.loading.iter().any(|loading| {
            another(&loading.ask) && (loading.ask.whose.is_ours() || now.since(loading.since.mono) >= VISIBLE)
        });
        loads || self.queue.iter().any(|ask| another(ask) && ask.whose.is_ours())
    }

    fn foul(&self, model: usize, rule: Broken, now: Moment) {
        self.rules.umpire.foul(Some(&self.model(model).spec.name), rule, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinHandle;
    use tokio::time::{advance, sleep};

    use crate::sim::keep_alive::FOREVER;
    use crate::sim::place::RunnerOptions;
    use crate::sim::scheduler::tests::{Acquired, GEMMA, NOMIC, QWEN, SECOND, World, context, world};
    use crate::sim::umpire::{Broken, Whose};

    impl World {
        fn ours(&self, model: usize, options: RunnerOptions) -> JoinHandle<Acquired> {
            let scheduler = self.scheduler.clone();
            tokio::spawn(async move { scheduler.acquire(model, options, None, Whose::Ours).await })
        }

        fn broken(&self) -> Vec<Broken> {
            self.umpire.fouls().iter().map(|foul| foul.rule).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_touch_or_unload_of_ours_is_a_foul_once_a_load_can_be_seen() {
        let world = world(3, 9);
        world.touch(NOMIC, None).await;
        let loads = world.ask(QWEN);
        while world.scheduler.processes().await.len() < 2 {
            tokio::task::yield_now().await;
        }
        advance(Duration::from_millis(900)).await;
        world.ours(NOMIC, RunnerOptions::default()).await.unwrap();
        assert_eq!(world.broken(), [], "nobody could have seen it");
        advance(Duration::from_millis(200)).await;
        world.touch(NOMIC, Some(SECOND * 9)).await;
        world.scheduler.unload(GEMMA, Whose::Ours).await;
        assert_eq!(world.broken(), [], "others may do what they want, and nothing was unloaded");
        world.ours(NOMIC, RunnerOptions::default()).await.unwrap();
        world.scheduler.unload(NOMIC, Whose::Ours).await;
        loads.await.unwrap();
        world.ours(QWEN, RunnerOptions::default()).await.unwrap();
        assert_eq!(world.broken(), [Broken::WhileLoading, Broken::WhileLoading]);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_load_is_known_to_us_at_once() {
        let world = world(3, 9);
        world.touch(NOMIC, None).await;
        let loads = world.ours(QWEN, RunnerOptions::default());
        tokio::task::yield_now().await;
        world.ours(NOMIC, RunnerOptions::default()).await.unwrap();
        assert_eq!(world.broken(), [Broken::WhileLoading]);
        loads.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_we_must_not_do_to_models_of_others_is_counted() {
        let world = world(1, 9);
        world.touch(GEMMA, Some(FOREVER)).await;
        world.ours(GEMMA, context(2048)).await.unwrap();
        world.touch(GEMMA, Some(FOREVER)).await;
        world.ours(NOMIC, RunnerOptions::default()).await.unwrap();
        world.touch(GEMMA, Some(FOREVER)).await;
        world.scheduler.unload(GEMMA, Whose::Ours).await;
        let works = world.hold(GEMMA, Some(SECOND)).await;
        let waits = world.ours(NOMIC, RunnerOptions::default());
        sleep(Duration::from_millis(1)).await;
        drop(works);
        waits.await.unwrap();
        assert_eq!(
            world.broken(),
            [Broken::Reloads, Broken::EvictsPinned, Broken::UnloadsPinned, Broken::EvictsBusy]
        );
    }
}

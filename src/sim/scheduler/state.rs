//! The scheduler's state and its steps; each runs to its end without waiting.

use std::collections::VecDeque;
use std::path::Path;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::entry::Entry;
use super::{Ask, Lease, LoadResult, Model, Refusal, Rules, Running};
use crate::sim::loader::{self, LoadError, Plan};
use crate::sim::place::{self, Candidate, Placement};

/// What came out of [`State::work`].
pub(super) enum Step {
    /// The load under way is done.
    Loaded(LoadResult),
    /// The client that asked for it has gone.
    Left,
    /// A runner has ended.
    Ended(Ended),
}

/// The number of the entry whose runner has ended.
pub(super) struct Ended(pub(super) u64);

struct Loading {
    ask: Ask,
    placement: Placement,
    work: BoxFuture<'static, LoadResult>,
}

pub(super) struct State {
    rules: Rules,
    entries: Vec<Entry>,
    queue: VecDeque<Ask>,
    loading: Option<Loading>,
    ending: FuturesUnordered<BoxFuture<'static, Ended>>,
    next: u64,
    release: mpsc::UnboundedSender<u64>,
}

impl State {
    pub(super) fn new(rules: Rules, release: mpsc::UnboundedSender<u64>) -> State {
        State {
            rules,
            entries: Vec::new(),
            queue: VecDeque::new(),
            loading: None,
            ending: FuturesUnordered::new(),
            next: 0,
            release,
        }
    }

    /// Waits for whatever is under way. Nothing is lost when the future is dropped.
    pub(super) async fn work(&mut self) -> Step {
        let load = async {
            match &mut self.loading {
                None => std::future::pending().await,
                Some(loading) => tokio::select! {
                    biased;
                    () = loading.ask.reply.closed() => Step::Left,
                    result = &mut loading.work => Step::Loaded(result),
                },
            }
        };
        tokio::select! {
            step = load => step,
            Some(ended) = self.ending.next() => Step::Ended(ended),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.deadline).min()
    }

    /// A request: served at once where a runner fits it, queued for a load otherwise.
    pub(super) fn ask(&mut self, mut ask: Ask) {
        let cards = u64::try_from(self.rules.card.count()).unwrap_or(0);
        ask.options.automatic = place::automatic_context(self.rules.card.total().0.saturating_mul(cards));
        if let Some(at) = self.serving(&ask) {
            self.grant(at, ask);
            return;
        }
        self.queue.retain(|waiting| !waiting.reply.is_closed());
        // The one that is being worked on has left the queue on a real server.
        let waiting = self.queue.len() + usize::from(self.loading.is_some());
        if waiting > self.rules.max_queue {
            drop(ask.reply.send(Err(Refusal::Busy)));
        } else {
            self.queue.push_back(ask);
        }
    }

    /// An explicit unload: at once, or when its last request has ended.
    pub(super) fn expire(&mut self, model: usize) {
        let now = (self.rules.clock)();
        let Some(at) = self.of_blob(model) else { return };
        let entry = &mut self.entries[at];
        if entry.is_ending() {
            return;
        }
        entry.keep_alive = 0;
        entry.expires_at = Some(now.wall);
        if entry.users == 0 {
            self.end(at);
        }
    }

    /// Ends what has reached its deadline.
    pub(super) fn expire_due(&mut self) {
        let now = Instant::from_std((self.rules.clock)().mono);
        for at in 0..self.entries.len() {
            if self.entries[at].deadline.is_some_and(|deadline| deadline <= now) {
                self.end(at);
            }
        }
    }

    /// A request on entry `number` has ended.
    pub(super) fn release(&mut self, number: u64) {
        let now = (self.rules.clock)();
        let Some(at) = self.entries.iter().position(|entry| entry.number == number) else { return };
        let entry = &mut self.entries[at];
        entry.users = entry.users.saturating_sub(1);
        if entry.users == 0 {
            if let Some(runner) = &entry.runner {
                runner.set_busy(false);
            }
            if entry.idle(now) {
                self.end(at);
            }
        }
    }

    pub(super) fn list(&self) -> Vec<Running> {
        let now = (self.rules.clock)().wall;
        let mut list: Vec<Running> = self
            .entries
            .iter()
            .map(|entry| Running {
                model: entry.model,
                size: entry.placement.size,
                vram: entry.placement.vram,
                context: entry.context,
                expires_at: entry.reported_expiry(now),
            })
            .collect();
        list.sort_by_key(|running| std::cmp::Reverse(running.expires_at.as_second()));
        list
    }

    pub(super) fn crash(&self, model: usize) -> bool {
        self.of_blob(model).and_then(|at| self.entries[at].runner.as_ref()).is_some_and(loader::Runner::crash)
    }

    /// The load under way is done: its request gets the runner, or hears why not.
    pub(super) fn loaded(&mut self, result: LoadResult) {
        let Some(Loading { ask, placement, .. }) = self.loading.take() else { return };
        match result {
            Err(error) => drop(ask.reply.send(Err(Refusal::Load(error)))),
            Ok(runner) => {
                self.next += 1;
                self.entries.push(Entry {
                    number: self.next,
                    model: ask.model,
                    options: ask.options.clone(),
                    placement,
                    context: ask.options.context_of(&self.model(ask.model).spec),
                    keep_alive: ask.keep_alive.unwrap_or(self.rules.keep_alive),
                    users: 0,
                    expires_at: None,
                    deadline: None,
                    doomed: false,
                    runner: Some(runner),
                });
                self.grant(self.entries.len() - 1, ask);
            }
        }
    }

    /// The client of the load under way has gone: dropping the load ends its process.
    pub(super) fn abandon(&mut self) {
        self.loading = None;
    }

    pub(super) fn ended(&mut self, number: u64) {
        self.entries.retain(|entry| entry.number != number);
    }

    /// Starts what can be started, in the order of the queue.
    pub(super) fn advance(&mut self) {
        while self.loading.is_none() {
            while self.queue.front().is_some_and(|ask| ask.reply.is_closed()) {
                self.queue.pop_front();
            }
            let Some(ask) = self.queue.front() else { return };
            if let Some(at) = self.serving(ask) {
                if let Some(ask) = self.queue.pop_front() {
                    self.grant(at, ask);
                }
                continue;
            }
            if let Some(at) = self.of_blob(ask.model) {
                // Other options, or its process is dead: it is loaded anew.
                self.doom(at);
                return;
            }
            if self.entries.iter().any(|entry| entry.is_ending() || entry.doomed) {
                return;
            }
            if let Some(at) = self.must_go(ask) {
                self.doom(at);
                return;
            }
            if let Some(ask) = self.queue.pop_front() {
                self.load(ask);
            }
        }
    }

    /// Ends all runners and waits for them.
    pub(super) async fn stop(mut self) {
        self.loading = None;
        for at in 0..self.entries.len() {
            self.end(at);
        }
        while self.ending.next().await.is_some() {}
    }

    fn model(&self, model: usize) -> &Model {
        &self.rules.models[model]
    }

    fn blob(&self, model: usize) -> &Path {
        &self.rules.models[model].blob
    }

    /// The entry of the model's blob: tags that share a blob share a runner.
    fn of_blob(&self, model: usize) -> Option<usize> {
        self.entries.iter().position(|entry| self.blob(entry.model) == self.blob(model))
    }

    /// The entry that can serve `ask` as it is.
    fn serving(&self, ask: &Ask) -> Option<usize> {
        let at = self.of_blob(ask.model)?;
        let entry = &self.entries[at];
        (entry.is_alive() && entry.options.serve(&ask.options, &self.model(ask.model).spec)).then_some(at)
    }

    fn grant(&mut self, at: usize, ask: Ask) {
        let entry = &mut self.entries[at];
        entry.taken(ask.keep_alive);
        if let Some(runner) = &entry.runner {
            runner.set_busy(true);
        }
        // If the client has gone the lease comes back by its drop.
        drop(ask.reply.send(Ok(Lease { entry: entry.number, released: self.release.clone() })));
    }

    /// Who must go before `ask` can be loaded: the model limit, or the 80 % rule.
    fn must_go(&self, ask: &Ask) -> Option<usize> {
        let spec = &self.model(ask.model).spec;
        let free = self.free();
        let named_too_much = ask.options.layers.is_some()
            && place::place(spec, &ask.options, &free, self.rules.card.total().0).vram > free.iter().sum();
        if self.entries.len() < self.rules.max_loaded
            && place::fits(spec, &ask.options, &free)
            && !named_too_much
        {
            return None;
        }
        let blobs: Vec<_> =
            self.entries.iter().map(|entry| self.blob(entry.model).to_string_lossy()).collect();
        let candidates: Vec<Candidate<'_>> = self
            .entries
            .iter()
            .zip(&blobs)
            .map(|(entry, blob)| Candidate { keep_alive: entry.keep_alive, blob, idle: entry.users == 0 })
            .collect();
        place::victim(&candidates)
    }

    /// It goes now, or when its last request has ended. Its `expires_at` stays: a victim looks normal until it is gone.
    fn doom(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        entry.doomed = true;
        if entry.users == 0 {
            self.end(at);
        }
    }

    fn end(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        entry.deadline = None;
        if let Some(runner) = entry.runner.take() {
            let number = entry.number;
            self.ending.push(Box::pin(async move {
                runner.end().await;
                Ended(number)
            }));
        }
    }

    /// What is free on each card, as the server reckons it: all less its own runners (sched.go:1295-1335).
    fn free(&self) -> Vec<u64> {
        let used = |at: usize| self.entries.iter().map(|entry| entry.placement.on[at]).sum::<u64>();
        let total = self.rules.card.total().0;
        (0..self.rules.card.count()).map(|at| total.saturating_sub(used(at))).collect()
    }

    fn load(&mut self, ask: Ask) {
        let (card, free) = (self.rules.card.total().0, self.free());
        let model = self.model(ask.model);
        let placement = place::place(&model.spec, &ask.options, &free, card);
        if placement.vram > free.iter().sum() {
            let words =
                "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory";
            drop(ask.reply.send(Err(Refusal::Load(LoadError::Runner(words.to_owned())))));
            return;
        }
        let plan = Plan {
            blob: model.blob.clone(),
            weights: model.spec.weights,
            last_layer: model.spec.shape.layers.saturating_sub(1),
            context: ask.options.context_of(&model.spec),
            placement,
        };
        let work = loader::load(self.rules.loader.clone(), plan, self.rules.card.clone());
        self.loading = Some(Loading { ask, placement, work: Box::pin(work) });
    }
}

//! The bench: a task of its own that measures loads over a [`Handle`], as a person would, each from a state that was
//! read and not assumed; and puts back what it disturbed.

pub(super) mod put_back;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::put_back::Found;
use super::{Command, Handle};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bench::{Bench, BenchRun, BenchState, Doing, Kind};
use crate::residency::compare::{why_not_cold, why_not_warm};
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Snapshot, State};
use crate::residency::swap::{Before, Way, Wish};
use crate::residency::tier::Cached;

/// As many runs of one kind in a row may be thrown away before the bench gives up.
pub const STRIKES: u32 = 3;

/// How long a runner is looked for; where processes are hidden it is never seen.
const RUNNER: Duration = Duration::from_secs(3);

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which models, in this order.
    pub models: Vec<ModelName>,
    /// How each load begins.
    pub kinds: Vec<Kind>,
    /// Valid runs of each.
    pub rounds: u32,
    /// How long nothing is done before each load.
    pub cooldown: Duration,
}

/// A bench under way. Dropping it cancels the bench, which still puts back what it found.
#[derive(Debug)]
pub struct Running {
    /// How far it is.
    pub state: watch::Receiver<Arc<Bench>>,
    cancel: CancellationToken,
    _dropped: DropGuard,
}

impl Running {
    /// Ends it: what is measured now is given up, and what was found is put back.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// Starts a bench on the current tokio runtime. Whoever calls it has asked the user: all that is loaded is unloaded, and
/// what is measured leaves RAM.
pub fn start(handle: Handle, request: Request) -> Running {
    let bench = Bench {
        models: request.models.clone(),
        kinds: request.kinds.clone(),
        rounds: request.rounds,
        state: BenchState::Running,
        doing: None,
        runs: Vec::new(),
        left: Vec::new(),
    };
    let (tell, state) = watch::channel(Arc::new(bench));
    let cancel = CancellationToken::new();
    let acts = Acts { handle, cancel: cancel.clone() };
    tokio::spawn(Measuring { acts, tell, request }.run());
    Running { state, cancel: cancel.clone(), _dropped: cancel.drop_guard() }
}

/// Why the whole ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The user ended it.
    Cancelled,
    /// It cannot go on.
    Failed(String),
}

impl From<Stop> for BenchState {
    fn from(stop: Stop) -> BenchState {
        match stop {
            Stop::Cancelled => BenchState::Cancelled,
            Stop::Failed(why) => BenchState::Failed { why },
        }
    }
}

/// Asks for acts, one after the other, and waits for each one's end.
pub(super) struct Acts {
    pub handle: Handle,
    pub cancel: CancellationToken,
}

impl Acts {
    /// Asks for an act and waits for the snapshot that shows its end, which it gives back too.
    pub async fn act(&mut self, kind: ActKind, model: &ModelName) -> Result<(Act, Arc<Snapshot>), Stop> {
        let asked = self.handle.act(kind, model.clone());
        let id = asked.map_err(|busy| Stop::Failed(busy.to_string()))?;
        self.end_of(id, model).await
    }

    async fn swap(&mut self, model: &ModelName, way: Way) -> Result<(Act, Arc<Snapshot>), Stop> {
        let wish = Wish { way: Some(way), ..Wish::default() };
        let asked = self.handle.swap(model.clone(), wish);
        let id = asked.map_err(|busy| Stop::Failed(busy.to_string()))?;
        self.end_of(id, model).await
    }

    async fn end_of(&mut self, id: ActId, model: &ModelName) -> Result<(Act, Arc<Snapshot>), Stop> {
        let cancelled = self.cancel.clone();
        let ended = tokio::select! {
            biased;
            ended = self.seen_end_of(id) => ended,
            () = cancelled.cancelled() => Err(Stop::Cancelled),
        };
        match ended {
            // A full queue leaves the act running; what is put back waits for its turn behind it.
            Err(Stop::Cancelled) if self.handle.send(Command::Cancel { model: model.clone() }).is_ok() => {
                self.seen_end_of(id).await?;
                Err(Stop::Cancelled)
            }
            Ok((Act { state: ActState::Failed { cancelled: true, .. }, .. }, _)) => Err(Stop::Cancelled),
            ended => ended,
        }
    }

    async fn seen_end_of(&mut self, id: ActId) -> Result<(Act, Arc<Snapshot>), Stop> {
        loop {
            let snapshot = Arc::clone(&self.handle.snapshots.borrow_and_update());
            if let Some(act) = snapshot.acts.iter().find(|act| act.id == id && !act.is_live()) {
                return Ok((act.clone(), snapshot));
            }
            if self.handle.snapshots.changed().await.is_err() {
                return Err(Stop::Failed("the engine has stopped".to_owned()));
            }
        }
    }

    /// Does nothing for a while.
    pub async fn rest(&self, time: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.cancel.cancelled() => Err(Stop::Cancelled),
        }
    }

    /// Waits until the server lists what it has said to be loaded: before, nobody knows what there is to unload.
    pub async fn settled(&mut self) -> Result<Arc<Snapshot>, Stop> {
        let is_loading = |model: &Model| matches!(model.state, State::Loading { .. });
        loop {
            let snapshot = Arc::clone(&self.handle.snapshots.borrow_and_update());
            if !snapshot.servers.iter().flat_map(|server| &server.models).any(is_loading) {
                return Ok(snapshot);
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                changed = self.handle.snapshots.changed() => {
                    changed.map_err(|_| Stop::Failed("the engine has stopped".to_owned()))?;
                }
            }
        }
    }

    /// Unloads all that is in VRAM.
    pub async fn unload_all(&mut self) -> Result<(), Stop> {
        self.settled().await?;
        for name in loaded(&self.handle.snapshot()) {
            // Of two tags of one runner the first unload was enough.
            if !loaded(&self.handle.snapshot()).contains(&name) {
                continue;
            }
            let (act, _) = self.act(ActKind::Unload, &name).await?;
            if let ActState::Failed { why, .. } = act.state {
                return Err(Stop::Failed(format!("{name} could not be unloaded: {why}")));
            }
        }
        Ok(())
    }
}

/// Models in VRAM.
fn loaded(snapshot: &Snapshot) -> Vec<ModelName> {
    let models = snapshot.servers.first().map_or(&[][..], |server| &server.models);
    models.iter().filter(|model| model.loaded.is_some()).map(|model| model.name.clone()).collect()
}

/// The bench at work: the only one that tells how far it is.
struct Measuring {
    acts: Acts,
    tell: watch::Sender<Arc<Bench>>,
    request: Request,
}

impl Measuring {
    async fn run(mut self) {
        let found = Found::look(&self.acts.handle.snapshot());
        let ended = self.measure().await;
        self.state(BenchState::PuttingBack);
        let left = found.put_back(&self.acts.handle).await;
        self.tell.send_modify(|bench| Arc::make_mut(bench).left = left);
        self.state(ended.map_or_else(Stop::into, |()| BenchState::Done));
    }

    /// Round by round, in each round every model, the kinds in another order each time: what drifts, drifts for all.
    async fn measure(&mut self) -> Result<(), Stop> {
        for round in 1..=self.request.rounds {
            for model in self.request.models.clone() {
                let mut kinds = self.request.kinds.clone();
                let by = (round as usize - 1) % kinds.len().max(1);
                kinds.rotate_left(by);
                for kind in kinds {
                    self.until_valid(&model, kind, round).await?;
                }
            }
        }
        Ok(())
    }

    /// One run that counts. What does not count is kept with its reason and tried again.
    async fn until_valid(&mut self, model: &ModelName, kind: Kind, round: u32) -> Result<(), Stop> {
        let mut strikes = 0;
        loop {
            let run = self.one(model, kind, round).await?;
            let why = run.took.clone().err();
            self.tell.send_modify(|bench| Arc::make_mut(bench).runs.push(run));
            let Some(why) = why else { return Ok(()) };
            strikes += 1;
            if strikes == STRIKES {
                let what = match kind {
                    Kind::Cold(_) => "cold",
                    Kind::Warm => "warm",
                };
                return Err(Stop::Failed(format!("{model} was not loaded {what} in {STRIKES} tries: {why}")));
            }
        }
    }

    async fn one(&mut self, model: &ModelName, kind: Kind, round: u32) -> Result<BenchRun, Stop> {
        let doing = |stage| Doing { model: model.clone(), kind, round, stage };
        let mut run = BenchRun {
            model: model.clone(),
            kind,
            round,
            before: None,
            mode: LoadMode::Unknown,
            took: Err(String::new()),
        };
        self.doing(doing("unloading"));
        self.acts.unload_all().await?;
        let (ready, why_not): (ActKind, fn(&Before) -> Option<String>) = match kind {
            Kind::Cold(_) => (ActKind::Drop, why_not_cold),
            Kind::Warm => (ActKind::Warm, why_not_warm),
        };
        self.doing(doing(if ready == ActKind::Drop { "dropping from RAM" } else { "reading into RAM" }));
        let (act, snapshot) = self.acts.act(ready, model).await?;
        run.before = find(&snapshot, model).map(before);
        if let ActState::Failed { why, .. } = act.state {
            run.took = Err(why);
            return Ok(run);
        }
        self.doing(doing("cooling down"));
        self.acts.rest(self.request.cooldown).await?;
        if let Some(why) = self.wrong(model, &mut run, why_not) {
            run.took = Err(why);
            return Ok(run);
        }
        self.doing(doing("loading"));
        let (act, _) = self.acts.swap(model, kind.way()).await?;
        self.acts.settled().await?;
        // What the swap itself saw when it began is younger than what was seen before.
        run.before = act.swap.as_ref().map(|swap| swap.plan.before).or(run.before);
        run.mode = self.mode(model).await;
        run.took = match run.before.as_ref().and_then(why_not) {
            Some(why) => Err(why),
            None => took(&act, kind),
        };
        Ok(run)
    }

    /// How the runner reads the file, seen once for each model: the runners are looked for every few seconds.
    async fn mode(&mut self, model: &ModelName) -> LoadMode {
        let known = |run: &&BenchRun| run.model == *model && run.mode != LoadMode::Unknown;
        if let Some(run) = self.tell.borrow().runs.iter().find(known) {
            return run.mode;
        }
        let mode = |snapshot: &Arc<Snapshot>| {
            let runner = find(snapshot, model)?.loaded.as_ref()?.runner.as_ref()?;
            Some(runner.load_mode).filter(|mode| *mode != LoadMode::Unknown)
        };
        let seen = self.acts.handle.snapshots.wait_for(|snapshot| mode(snapshot).is_some());
        let seen = tokio::time::timeout(RUNNER, seen).await;
        seen.ok().and_then(Result::ok).and_then(|snapshot| mode(&snapshot)).unwrap_or(LoadMode::Unknown)
    }

    /// Why the load would not begin as it should, by the latest look.
    fn wrong(
        &self,
        model: &ModelName,
        run: &mut BenchRun,
        why_not: fn(&Before) -> Option<String>,
    ) -> Option<String> {
        let snapshot = self.acts.handle.snapshot();
        if let Some(other) = loaded(&snapshot).first() {
            return Some(format!("another client loaded {other}"));
        }
        run.before = find(&snapshot, model).map(before);
        run.before.as_ref().map_or_else(|| Some("it is no longer installed".to_owned()), why_not)
    }

    fn doing(&self, doing: Doing) {
        self.tell.send_modify(|bench| Arc::make_mut(bench).doing = Some(doing));
    }

    fn state(&self, state: BenchState) {
        self.tell.send_modify(|bench| {
            let bench = Arc::make_mut(bench);
            (bench.state, bench.doing) = (state, None);
        });
    }
}

pub(super) fn find<'a>(snapshot: &'a Snapshot, name: &ModelName) -> Option<&'a Model> {
    snapshot.servers.first()?.model(name)
}

/// Where a model's bytes are.
pub(super) fn before(model: &Model) -> Before {
    let tiers = &model.tiers;
    Before {
        whole: tiers.whole(),
        in_vram: model.loaded.is_some(),
        ram: (tiers.unknown.0 == 0).then_some(tiers.ram),
        estimate: matches!(model.cached, Cached::Sampled(_)),
    }
}

/// From the load asked to its answer, with what was read before it.
fn took(act: &Act, kind: Kind) -> Result<Duration, String> {
    let whole = match &act.state {
        ActState::Done { took, .. } => *took,
        ActState::Failed { why, .. } => return Err(why.clone()),
        ActState::Queued { .. } | ActState::Running { .. } => return Err("it is not over".to_owned()),
    };
    let stages = act.swap.as_ref().map(|swap| swap.stages).unwrap_or_default();
    let first = if kind.way() == Way::First { stages.read_took.unwrap_or_default() } else { Duration::ZERO };
    Ok(stages.load.map_or(whole, |load| load + first))
}

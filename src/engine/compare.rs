//! The comparison: a workflow run cold, warm and with lookahead, again and again, over a [`Handle`]; which runs count is
//! decided by [`why_thrown`], and what was disturbed is put back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Handle;
use super::bench::put_back::Found;
use super::bench::{Acts, STRIKES, Stop, before, find};
use super::flow;
use crate::config::{Config, Workflow};
use crate::residency::act::{ActKind, ActState};
use crate::residency::bench::BenchState;
use crate::residency::compare::{Comparison, FlowRun, why_not_cold, why_not_done, why_thrown};
use crate::residency::flow::{Flow, FlowState, Manner};
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::timing::Clock;

/// What is to be compared.
pub struct Request {
    /// The settings: phases, budget, the server's address.
    pub config: Arc<Config>,
    /// The one clock.
    pub clock: Clock,
    /// Which workflow; each run goes round once.
    pub workflow: Workflow,
    /// Work's times are divided by this: the demo's scale, else 1.
    pub scale: u64,
    /// Valid runs of each manner.
    pub rounds: u32,
    /// How long nothing is done before each run.
    pub cooldown: Duration,
}

/// A comparison under way. Dropping it cancels it; what was found is still put back.
#[derive(Debug)]
pub struct Running {
    /// How far it is.
    pub state: watch::Receiver<Arc<Comparison>>,
    cancel: CancellationToken,
    _dropped: DropGuard,
}

impl Running {
    /// Ends it: the run under way is cancelled, and what was found is put back.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// Starts a comparison on the current tokio runtime. Whoever calls it has asked the user: all that is loaded is unloaded,
/// and the workflow's models leave RAM.
pub fn start(handle: Handle, request: Request) -> Running {
    let comparison = Comparison {
        name: request.workflow.name.clone(),
        rounds: request.rounds,
        state: BenchState::Running,
        mode: LoadMode::Unknown,
        now: None,
        runs: Vec::new(),
        left: Vec::new(),
    };
    let (tell, state) = watch::channel(Arc::new(comparison));
    let cancel = CancellationToken::new();
    let mut models: Vec<ModelName> = Vec::new();
    for task in request.config.tasks(&request.workflow) {
        if !models.contains(&task.model) {
            models.push(task.model);
        }
    }
    let acts = Acts { handle, cancel: cancel.clone() };
    tokio::spawn(Comparing { acts, tell, request, models }.run());
    Running { state, cancel: cancel.clone(), _dropped: cancel.drop_guard() }
}

/// The comparison at work: the only one that tells how far it is.
struct Comparing {
    acts: Acts,
    tell: watch::Sender<Arc<Comparison>>,
    request: Request,
    models: Vec<ModelName>,
}

impl Comparing {
    async fn run(mut self) {
        let found = Found::look(&self.acts.handle.snapshot());
        let ended = self.compare().await;
        self.tell(|comparison| (comparison.state, comparison.now) = (BenchState::PuttingBack, None));
        let left = found.put_back(&self.acts.handle).await;
        let state = ended.map_or_else(Stop::into, |()| BenchState::Done);
        self.tell(|comparison| (comparison.state, comparison.left) = (state, left));
    }

    /// Round by round, the manners in another order each time: what drifts, drifts for all.
    async fn compare(&mut self) -> Result<(), Stop> {
        for round in 1..=self.request.rounds {
            let mut manners = Manner::ALL;
            manners.rotate_left((round as usize - 1) % Manner::ALL.len());
            for manner in manners {
                self.until_valid(manner, round).await?;
            }
        }
        Ok(())
    }

    /// One run that counts. What does not count is kept with its reason and tried again.
    async fn until_valid(&mut self, manner: Manner, round: u32) -> Result<(), Stop> {
        let mut strikes = 0;
        loop {
            self.acts.unload_all().await?;
            let not_ready = if manner == Manner::Lookahead { self.drop_all().await? } else { None };
            self.acts.rest(self.request.cooldown).await?;
            let flow = match &not_ready {
                None => self.one(manner, round).await?,
                Some(why) => Arc::new(self.never_run(manner, round, why)),
            };
            let thrown = why_thrown(&flow);
            let run = FlowRun { flow, thrown: thrown.clone(), again: false };
            self.tell(|comparison| comparison.runs.push(run));
            let Some(why) = thrown else {
                return if manner == Manner::Lookahead { self.again(round).await } else { Ok(()) };
            };
            strikes += 1;
            if strikes == STRIKES {
                let word = manner.word();
                return Err(Stop::Failed(format!("no valid {word} run in {STRIKES} tries: {why}")));
            }
        }
    }

    /// Round a second time: nothing is loaded, as before a warm run, and in RAM is what lookahead has left there.
    async fn again(&mut self, round: u32) -> Result<(), Stop> {
        self.acts.unload_all().await?;
        self.acts.rest(self.request.cooldown).await?;
        let flow = self.one(Manner::Lookahead, round).await?;
        let thrown = why_not_done(&flow);
        self.tell(|comparison| comparison.runs.push(FlowRun { flow, thrown, again: true }));
        Ok(())
    }

    /// Lookahead takes RAM as it is, so it is made cold here; says why it would not be.
    async fn drop_all(&mut self) -> Result<Option<String>, Stop> {
        for model in self.models.clone() {
            let (act, snapshot) = self.acts.act(ActKind::Drop, &model).await?;
            let why = match act.state {
                ActState::Failed { why, .. } => Some(why),
                _ => find(&snapshot, &model).map(before).as_ref().and_then(why_not_cold),
            };
            if let Some(why) = why {
                return Ok(Some(format!("{model}: {why}")));
            }
        }
        Ok(None)
    }

    async fn one(&mut self, manner: Manner, round: u32) -> Result<Arc<Flow>, Stop> {
        let mut running = flow::start(self.acts.handle.clone(), self.beginning(manner, round));
        let cancel = self.acts.cancel.clone();
        loop {
            let flow = Arc::clone(&running.state.borrow_and_update());
            if flow.state.is_over() {
                return match flow.state {
                    FlowState::Cancelled => Err(Stop::Cancelled),
                    _ => Ok(flow),
                };
            }
            let mode = self.mode();
            self.tell(|comparison| {
                comparison.now = Some(flow);
                comparison.mode = mode.unwrap_or(comparison.mode);
            });
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    running.cancel().await;
                    return Err(Stop::Cancelled);
                }
                changed = running.state.changed() => if changed.is_err() {
                    return Err(Stop::Failed("the workflow's task has ended".to_owned()));
                }
            }
        }
    }

    /// How a runner that is there now reads its file.
    fn mode(&self) -> Option<LoadMode> {
        let snapshot = self.acts.handle.snapshot();
        let server = snapshot.servers.first()?;
        let mut seen =
            server.models.iter().filter_map(|model| Some(model.loaded.as_ref()?.runner.as_ref()?.load_mode));
        seen.find(|mode| *mode != LoadMode::Unknown)
    }

    fn beginning(&self, manner: Manner, round: u32) -> flow::Start {
        let request = &self.request;
        flow::Start {
            config: Arc::clone(&request.config),
            clock: Arc::clone(&request.clock),
            workflow: Workflow { repeat: false, ..request.workflow.clone() },
            manner,
            scale: request.scale,
            run: (round, request.rounds),
        }
    }

    /// A run that could not begin, for the list of those that were thrown away.
    fn never_run(&self, manner: Manner, round: u32, why: &str) -> Flow {
        Flow {
            name: self.request.workflow.name.clone(),
            run: round,
            of: self.request.rounds,
            manner,
            began: (self.request.clock)(),
            state: FlowState::Failed { why: why.to_owned() },
            steps: Vec::new(),
            work: Duration::ZERO,
            swaps: Duration::ZERO,
            hidden: Default::default(),
            ahead: Vec::new(),
            last: None,
            scale: self.request.scale,
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Comparison)) {
        self.tell.send_modify(|comparison| change(Arc::make_mut(comparison)));
    }
}

//! The task that drives a run: it asks the engine for what the course says, waits for what snapshots show, and tells
//! how far it is.

mod before;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Control;
use super::ahead::Lookahead;
use super::output::Output as Said;
use super::work::{Around, Worked, Working};
use crate::config::Config;
use crate::engine::{Command, Handle};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::flow::{Flow, FlowState, Manner};
use crate::residency::name::ModelName;
use crate::residency::record::PhaseRecord;
use crate::residency::snapshot::{Model, Snapshot};
use crate::residency::swap::{Ended, Way, Wish};
use crate::residency::timing::{Clock, Moment};
use crate::residency::workflow::course::Course;
use crate::residency::workflow::{Input, Output};

/// How often the times of what is under way are told again, and what found the queue full is tried again.
const TICK: Duration = Duration::from_millis(200);
/// How long the end of an act that was cancelled is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// What was asked of the engine for a step.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Asked {
    step: usize,
    kind: ActKind,
    /// `None` while the engine's queue is full.
    id: Option<ActId>,
}

/// A run and all that it began.
pub(super) struct Driver {
    handle: Handle,
    config: Arc<Config>,
    clock: Clock,
    course: Course,
    asked: Option<Asked>,
    work: Option<Working>,
    ahead: Lookahead,
    /// What found the queue full.
    waiting: VecDeque<Command>,
    /// What the journal and the commands call this run.
    name: String,
    tell: watch::Sender<Arc<Flow>>,
    output: watch::Sender<Arc<Said>>,
}

impl Driver {
    pub(super) fn new(
        handle: Handle,
        config: Arc<Config>,
        clock: Clock,
        mut course: Course,
        output: watch::Sender<Arc<Said>>,
    ) -> (Driver, watch::Receiver<Arc<Flow>>) {
        let (tell, state) = watch::channel(Arc::new(course.flow(clock()).clone()));
        let (asked, work, ahead, waiting) = (None, None, Lookahead::default(), VecDeque::new());
        let name = String::new();
        let driver =
            Driver { handle, config, clock, course, asked, work, ahead, waiting, name, tell, output };
        (driver, state)
    }

    /// Runs to the end; who holds the other end of `controls` drops it to cancel.
    pub(super) async fn run(mut self, mut controls: mpsc::Receiver<Control>, refused: Option<String>) {
        if let Some(why) = refused {
            self.course.end_as(FlowState::Failed { why });
            return self.publish();
        }
        if self.course.flow(self.now()).manner == Manner::Warm
            && let Some(ended) = self.warm_all(&mut controls).await
        {
            self.course.end_as(ended);
            return self.publish();
        }
        let now = self.now();
        let outputs = self.course.begin(now);
        self.begin_round();
        self.carry_out(outputs).await;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_over() {
            // What was told comes before what snapshots show: a run that is cancelled with all else has not failed.
            if let Ok(control) = controls.try_recv() {
                self.take(Input::Control(control)).await;
                continue;
            }
            self.turn().await;
            if self.is_over() {
                break;
            }
            self.publish();
            let moves = self.course.is_moving() || !self.waiting.is_empty();
            let input = tokio::select! {
                biased;
                control = controls.recv() => Some(Input::Control(control.unwrap_or(Control::Cancel))),
                worked = ended(self.work.as_mut()) => {
                    self.work = None;
                    Some(match worked {
                        Ok(tokens) => Input::Worked { tokens },
                        Err(why) => Input::WorkFailed { why },
                    })
                }
                changed = self.handle.snapshots.changed() => {
                    if changed.is_err() {
                        self.stop().await;
                        let why = "the engine has stopped".to_owned();
                        self.course.end_as(FlowState::Failed { why });
                        break;
                    }
                    None
                }
                _ = tick.tick(), if moves => None,
            };
            if let Some(input) = input {
                self.take(input).await;
            }
        }
        self.flush();
        self.publish();
    }

    fn now(&self) -> Moment {
        (self.clock)()
    }

    fn is_over(&self) -> bool {
        self.course.is_over()
    }

    fn publish(&mut self) {
        let now = self.now();
        self.tell.send_replace(Arc::new(self.course.flow(now).clone()));
    }

    /// A run, or a round of one that repeats, has a name of its own.
    fn begin_round(&mut self) {
        let now = self.now();
        let flow = self.course.flow(now);
        self.name = format!("{}-{}", flow.name, flow.began.wall.as_millisecond());
    }

    /// Takes what the latest snapshot shows, asks again for what found the queue full, and looks ahead.
    async fn turn(&mut self) {
        self.flush();
        let snapshot = Arc::clone(&self.handle.snapshots.borrow_and_update());
        self.ask();
        if let Some(swapping) = self.act(&snapshot).and_then(|act| act.swap.clone()) {
            self.course.take(Input::Swapping(swapping), self.now());
        }
        if let Some(input) = self.answer(&snapshot) {
            self.asked = None;
            self.take(input).await;
        }
        let now = self.now();
        self.ahead.turn(&mut self.course, &self.handle, &snapshot, now);
    }

    async fn take(&mut self, input: Input) {
        let now = self.now();
        let outputs = self.course.take(input, now);
        self.carry_out(outputs).await;
    }

    async fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut outputs = VecDeque::from(outputs);
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Prepare(step) if self.is_in_vram(step) => {
                    let now = self.now();
                    outputs.extend(self.course.take(Input::Prepared, now));
                }
                Output::Prepare(step) => {
                    self.asked = Some(Asked { step, kind: ActKind::Drop, id: None });
                    self.ask();
                }
                Output::MakeReady(step) => {
                    self.asked = Some(Asked { step, kind: ActKind::Swap, id: None });
                    self.ask();
                }
                Output::Work(step) => self.begin_work(step),
                Output::Stop(_) => self.stop().await,
                Output::Round => {
                    self.record_end();
                    self.begin_round();
                }
                Output::Finished => self.finished(),
            }
        }
    }

    fn finished(&mut self) {
        self.ahead.end(&mut self.course, &self.handle);
        self.record_end();
        let name = self.course.flow(self.now()).name.clone();
        if let Some(times) = self.course.times() {
            self.handle.lasts.keep(&name, times);
        }
    }

    fn is_in_vram(&self, step: usize) -> bool {
        let snapshot = self.handle.snapshot();
        let model = snapshot.servers.first().and_then(|server| server.model(self.model(step)));
        model.is_some_and(Model::has_runner)
    }

    fn model(&self, step: usize) -> &ModelName {
        &self.course.tasks()[step].model
    }

    /// Asks the engine for what the step needs, unless that was asked for already.
    fn ask(&mut self) {
        let Some(Asked { step, kind, id: None }) = self.asked else { return };
        let model = self.model(step).clone();
        let id = if kind == ActKind::Swap {
            let cold = self.course.flow(self.now()).manner == Manner::Cold;
            // What is to be cold is the server's own load; else what measured fastest here.
            let way = cold.then_some(Way::Off);
            let num_ctx = self.course.tasks()[step].num_ctx;
            self.handle.swap(model, Wish { num_ctx, way, ..Wish::default() })
        } else {
            self.handle.act(kind, model)
        };
        self.asked = Some(Asked { step, kind, id: id.ok() });
    }

    /// The act that was asked for.
    fn act<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s Act> {
        let id = self.asked?.id?;
        snapshot.acts.iter().find(|act| act.id == id)
    }

    /// What became of what was asked for.
    fn answer(&self, snapshot: &Snapshot) -> Option<Input> {
        let asked = self.asked?;
        let act = self.act(snapshot)?;
        // A swap is ready before all that it displaced is seen gone.
        let is_ready = act.swap.as_ref().is_some_and(|swap| swap.ended == Some(Ended::Ready));
        match &act.state {
            ActState::Failed { why, .. } => Some(Input::NotReady { why: why.clone() }),
            ActState::Done { .. } if asked.kind == ActKind::Drop => {
                Some(match before::warmth(snapshot, self.model(asked.step)) {
                    None => Input::Prepared,
                    Some(why) => Input::NotReady { why },
                })
            }
            ActState::Done { .. } => Some(Input::Ready),
            _ if is_ready => Some(Input::Ready),
            ActState::Queued { .. } | ActState::Running { .. } => None,
        }
    }

    fn begin_work(&mut self, step: usize) {
        let now = self.now();
        let snapshot = self.handle.snapshot();
        let flow = self.course.flow(now);
        let (scale, swap) = (flow.scale, flow.steps[step].swap.unwrap_or_default().1);
        let was_there =
            flow.steps[step].swapping.as_ref().is_some_and(|swapping| swapping.plan.before.in_vram);
        let looks_ahead = flow.manner == Manner::Lookahead;
        let task = self.course.tasks()[step].clone();
        let loaded = snapshot.servers.first().and_then(|server| server.model(&task.model)?.loaded.as_ref());
        let around = Around {
            client: self.handle.client().cloned(),
            clock: Arc::clone(&self.clock),
            scale,
            context: loaded.and_then(|loaded| loaded.context).or(task.num_ctx),
            run: self.name.clone(),
            step,
            output: self.output.clone(),
        };
        self.record(PhaseRecord {
            run: self.name.clone(),
            phase: task.phase.clone(),
            model: Some(task.model.clone()),
            next: self.course.to_come().into_iter().next(),
            swap: if was_there { Duration::ZERO } else { swap },
        });
        self.work = Some(Working::begin(&task, around));
        if looks_ahead {
            self.ahead.plan(&self.course, &snapshot, &self.config);
        }
    }

    /// Stops what was begun for the current step, and waits until it has ended.
    async fn stop(&mut self) {
        if let Some(work) = self.work.take() {
            work.stop().await;
        }
        let Some(Asked { step, id: Some(id), .. }) = self.asked.take() else { return };
        let model = self.model(step).clone();
        if self.handle.send(Command::Cancel { model: model.clone() }).is_err() {
            return self.waiting.push_back(Command::Cancel { model });
        }
        // What state is left is known once the act has ended.
        let is_over =
            |snapshot: &Arc<Snapshot>| !snapshot.acts.iter().any(|act| act.id == id && act.is_live());
        let _ = timeout(GRACE, self.handle.snapshots.wait_for(is_over)).await;
    }

    fn record(&mut self, phase: PhaseRecord) {
        self.waiting.push_back(Command::Phase(phase));
        self.flush();
    }

    fn record_end(&mut self) {
        let (phase, run) = (String::new(), self.name.clone());
        self.record(PhaseRecord { run, phase, model: None, next: None, swap: Duration::ZERO });
    }

    /// Sends what found the queue full, in its order.
    fn flush(&mut self) {
        while let Some(command) = self.waiting.front() {
            if self.handle.send(command.clone()).is_err() {
                return;
            }
            self.waiting.pop_front();
        }
    }
}

/// The end of the work under way; never without any.
async fn ended(work: Option<&mut Working>) -> Worked {
    match work {
        Some(work) => work.ended().await,
        None => std::future::pending().await,
    }
}

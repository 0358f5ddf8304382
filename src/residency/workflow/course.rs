//! A run of a workflow as a state machine: which step comes next, what a failure, a skip, a pause and a cancel do, and
//! what each step took. It has no clock and does no I/O: the engine tells it what happened and when, and does what it
//! says.

use std::time::Duration;

use super::{Beginning, Control, Input, Last, Output, Task, Work, scaled};
use crate::residency::bytes::Bytes;
use crate::residency::flow::{Ahead, Flow, FlowState, FlowStep, Manner, StepState};
use crate::residency::name::ModelName;
use crate::residency::timing::Moment;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Held before this step.
    Held(usize),
    Preparing(usize),
    Swapping(usize),
    Working(usize),
    Over,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Course {
    tasks: Vec<Task>,
    repeat: bool,
    flow: Flow,
    at: At,
    paused: bool,
    /// Time that is no part of the run: pauses, and making it cold.
    aside: Duration,
    aside_since: Option<Moment>,
    /// What was read while work ran for loads that are still to come.
    read_ahead: Vec<(ModelName, Bytes, Duration)>,
}

impl Course {
    /// A run that has not begun; `now` is when it was asked for.
    pub fn new(beginning: Beginning, now: Moment) -> Course {
        let Beginning { name, tasks, repeat, manner, run, scale, last } = beginning;
        let scale = scale.max(1);
        let step = |task: &Task| FlowStep {
            phase: task.phase.clone(),
            model: task.model.clone(),
            on_failure: task.on_failure,
            state: StepState::Waiting,
            swap: None,
            swapping: None,
            work: None,
            planned: match task.work {
                Some(Work::For(time)) => Some(scaled(time, scale)),
                _ => None,
            },
            tokens: None,
            last: None,
            warming: None,
        };
        let flow = Flow {
            name,
            run: run.0,
            of: run.1,
            manner,
            began: now,
            state: FlowState::Running,
            steps: tasks.iter().map(step).collect(),
            work: Duration::ZERO,
            swaps: Duration::ZERO,
            hidden: (Bytes::ZERO, Duration::ZERO),
            ahead: Vec::new(),
            last: None,
            scale,
        };
        let aside = Duration::ZERO;
        let (at, read_ahead) = (At::Held(0), Vec::new());
        let mut course =
            Course { tasks, repeat, flow, at, paused: false, aside, aside_since: None, read_ahead };
        course.compare(last);
        course
    }

    /// Begins with the first step.
    pub fn begin(&mut self, now: Moment) -> Vec<Output> {
        self.flow.began = now;
        let mut outputs = Vec::new();
        self.go(0, now, &mut outputs);
        outputs
    }

    /// It ends at once, as this: it cannot begin, or nobody is there to go on with it.
    pub fn end_as(&mut self, state: FlowState) {
        self.at = At::Over;
        self.flow.state = state;
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// The steps.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The step that works now.
    pub fn working(&self) -> Option<usize> {
        if let At::Working(step) = self.at { Some(step) } else { None }
    }

    /// Whether a step is under way, so that times grow.
    pub fn is_moving(&self) -> bool {
        matches!(self.at, At::Preparing(_) | At::Swapping(_) | At::Working(_))
    }

    /// How far it is, with the times of what is under way up to `now`.
    pub fn flow(&mut self, now: Moment) -> &Flow {
        let since = self.since(now);
        match self.at {
            At::Swapping(at) => grow(&mut self.flow.steps[at].swap, since),
            At::Working(at) => grow(&mut self.flow.steps[at].work, since),
            At::Held(_) | At::Preparing(_) | At::Over => {}
        }
        let all = |part: fn(&FlowStep) -> Option<(Duration, Duration)>, steps: &[FlowStep]| {
            steps.iter().filter_map(part).map(|(_, took)| took).sum()
        };
        self.flow.swaps = all(|step| step.swap, &self.flow.steps);
        self.flow.work = all(|step| step.work, &self.flow.steps);
        &self.flow
    }

    /// Adds a line to the table of what lookahead did.
    pub fn ahead(&mut self, ahead: Ahead) {
        self.flow.ahead.push(ahead);
    }

    /// So much of a model was read while work ran. It hides disk time once a load uses it.
    pub fn read_ahead(&mut self, model: &ModelName, read: Bytes, took: Duration) {
        self.read_ahead.push((model.clone(), read, took));
    }

    /// The load of that step used what was read ahead for it, as far as that was still in RAM.
    fn use_read_ahead(&mut self, step: usize) {
        let step = &self.flow.steps[step];
        let plan = step.swapping.as_ref().map(|swapping| &swapping.plan);
        if plan.is_some_and(|plan| plan.before.in_vram) {
            return;
        }
        let in_ram = plan.and_then(|plan| plan.before.ram).unwrap_or(Bytes(u64::MAX));
        for (_, read, took) in self.read_ahead.extract_if(.., |(model, ..)| *model == step.model) {
            let used = read.min(in_ram);
            self.flow.hidden.0 += used;
            self.flow.hidden.1 += took * u32::from(used.percent_of(read)) / 100;
        }
    }

    /// How much of a model is read, while it is read for the steps that wait for it.
    pub fn warming(&mut self, model: Option<(&ModelName, u8)>) {
        for step in &mut self.flow.steps {
            let read = model.filter(|(model, _)| **model == step.model && step.state == StepState::Waiting);
            step.warming = read.map(|(_, percent)| percent);
        }
    }

    /// The models of the steps that will come, in order, the current one's left out; a workflow that repeats comes
    /// round once.
    pub fn to_come(&self) -> Vec<ModelName> {
        let Some(now) = self.current() else { return Vec::new() };
        let in_branch = self.tasks[now].on_failure;
        let branch = self.tasks[now + 1..].iter().take_while(|task| in_branch && task.on_failure);
        let rest = self.tasks[now + 1..].iter().filter(|task| !task.on_failure);
        let again = self.tasks[..=now].iter().filter(|task| self.repeat && !task.on_failure);
        branch.chain(rest).chain(again).map(|task| task.model.clone()).collect()
    }

    /// The models of steps that only come if one fails, the nearest first.
    pub fn may_come(&self) -> Vec<ModelName> {
        let Some(now) = self.current() else { return Vec::new() };
        self.tasks[now + 1..].iter().filter(|task| task.on_failure).map(|task| task.model.clone()).collect()
    }

    /// The times, once it is done: for the next run to compare itself with.
    pub fn times(&self) -> Option<Last> {
        let FlowState::Done { took } = self.flow.state else { return None };
        Some(times(&self.flow, took))
    }

    fn current(&self) -> Option<usize> {
        match self.at {
            At::Held(step) | At::Preparing(step) | At::Swapping(step) | At::Working(step) => Some(step),
            At::Over => None,
        }
    }

    /// Takes what happened and says what is to be done. What no longer fits (the end of a work that was stopped) is
    /// passed over.
    pub fn take(&mut self, input: Input, now: Moment) -> Vec<Output> {
        let mut outputs = Vec::new();
        match (input, self.at) {
            (Input::Control(control), _) => self.control(control, now, &mut outputs),
            (Input::Prepared, At::Preparing(step)) => self.swap(step, now, &mut outputs),
            (Input::Swapping(swapping), At::Swapping(step)) => {
                self.flow.steps[step].swapping = Some(swapping);
            }
            (Input::Ready, At::Swapping(step)) => {
                self.flow(now);
                self.use_read_ahead(step);
                let since = self.since(now);
                self.flow.steps[step].work = Some((since, Duration::ZERO));
                self.flow.steps[step].state = StepState::Working(now);
                self.at = At::Working(step);
                outputs.push(Output::Work(step));
            }
            (Input::NotReady { why }, At::Preparing(step) | At::Swapping(step)) => {
                self.flow(now);
                self.no_longer_aside(now);
                self.fail_run(step, why, &mut outputs);
            }
            (Input::Worked { tokens }, At::Working(step)) => {
                self.flow(now);
                self.flow.steps[step].tokens = tokens;
                self.flow.steps[step].state = StepState::Done;
                self.after(step, false, now, &mut outputs);
            }
            (Input::WorkFailed { why }, At::Working(step)) => {
                self.flow(now);
                self.failed(step, why, now, &mut outputs);
            }
            _ => {}
        }
        outputs
    }

    fn control(&mut self, control: Control, now: Moment, outputs: &mut Vec<Output>) {
        let Some(step) = self.current() else { return };
        let is_held = matches!(self.at, At::Held(_));
        if control != Control::Pause && !is_held {
            self.flow(now);
            self.no_longer_aside(now);
            outputs.push(Output::Stop(step));
        }
        match control {
            Control::Pause => {
                self.paused = !self.paused;
                self.flow.state = if self.paused { FlowState::Paused } else { FlowState::Running };
                if is_held && !self.paused {
                    self.no_longer_aside(now);
                    self.go(step, now, outputs);
                }
            }
            Control::Skip => {
                self.flow.steps[step].state = StepState::Skipped;
                self.after(step, false, now, outputs);
            }
            // There is no work yet that could have failed.
            Control::Fail if is_held => {}
            Control::Fail => self.failed(step, "marked as failed".to_owned(), now, outputs),
            Control::Cancel => {
                if !is_held {
                    self.flow.steps[step].state = StepState::Failed { why: "cancelled".to_owned() };
                }
                self.end(FlowState::Cancelled, outputs);
            }
        }
    }

    /// Begins a step, or holds before it.
    fn go(&mut self, step: usize, now: Moment, outputs: &mut Vec<Output>) {
        if self.paused {
            self.at = At::Held(step);
            self.aside_since.get_or_insert(now);
        } else if self.flow.manner == Manner::Cold {
            self.at = At::Preparing(step);
            self.aside_since = Some(now);
            outputs.push(Output::Prepare(step));
        } else {
            self.swap(step, now, outputs);
        }
    }

    fn swap(&mut self, step: usize, now: Moment, outputs: &mut Vec<Output>) {
        self.no_longer_aside(now);
        self.flow.steps[step].swap = Some((self.since(now), Duration::ZERO));
        self.flow.steps[step].state = StepState::Swapping(now);
        self.at = At::Swapping(step);
        outputs.push(Output::MakeReady(step));
    }

    /// The work of a step failed: what is there for that comes next, or the run fails.
    fn failed(&mut self, step: usize, why: String, now: Moment, outputs: &mut Vec<Output>) {
        let has_branch = self.tasks.get(step + 1).is_some_and(|next| next.on_failure);
        if self.tasks[step].on_failure || !has_branch {
            return self.fail_run(step, why, outputs);
        }
        self.flow.steps[step].state = StepState::Failed { why };
        self.after(step, true, now, outputs);
    }

    fn fail_run(&mut self, step: usize, why: String, outputs: &mut Vec<Output>) {
        let phase = &self.tasks[step].phase;
        let whole = FlowState::Failed { why: format!("{phase}: {why}") };
        self.flow.steps[step].state = StepState::Failed { why };
        self.end(whole, outputs);
    }

    /// Goes on behind a step.
    fn after(&mut self, step: usize, failed: bool, now: Moment, outputs: &mut Vec<Output>) {
        let mut next = step + 1;
        if !failed && !self.tasks[step].on_failure {
            while self.tasks.get(next).is_some_and(|task| task.on_failure) {
                self.flow.steps[next].state = StepState::Skipped;
                next += 1;
            }
        }
        if next < self.tasks.len() {
            return self.go(next, now, outputs);
        }
        let took = self.since(now);
        self.flow(now);
        if !self.repeat {
            return self.end(FlowState::Done { took }, outputs);
        }
        outputs.push(Output::Round);
        let last = times(&self.flow, took);
        let beginning = Beginning {
            name: self.flow.name.clone(),
            tasks: std::mem::take(&mut self.tasks),
            repeat: true,
            manner: self.flow.manner,
            run: (self.flow.run.saturating_add(1), self.flow.of),
            scale: self.flow.scale,
            last: Some(last),
        };
        let state = self.flow.state.clone();
        let (paused, read_ahead) = (self.paused, std::mem::take(&mut self.read_ahead));
        *self = Course::new(beginning, now);
        (self.flow.state, self.paused, self.read_ahead) = (state, paused, read_ahead);
        self.go(0, now, outputs);
    }

    fn end(&mut self, state: FlowState, outputs: &mut Vec<Output>) {
        self.end_as(state);
        outputs.push(Output::Finished);
    }

    fn compare(&mut self, last: Option<Last>) {
        let Some(last) = last.filter(|last| last.steps.len() == self.flow.steps.len()) else { return };
        self.flow.last = Some(last.took);
        for (step, last) in self.flow.steps.iter_mut().zip(last.steps) {
            step.last = last;
        }
    }

    /// From the run's beginning, without what is no part of it.
    fn since(&self, now: Moment) -> Duration {
        let aside = self.aside_since.map_or(Duration::ZERO, |since| now.since(since.mono));
        now.since(self.flow.began.mono).saturating_sub(self.aside + aside)
    }

    fn no_longer_aside(&mut self, now: Moment) {
        if let Some(since) = self.aside_since.take() {
            self.aside += now.since(since.mono);
        }
    }
}

fn grow(span: &mut Option<(Duration, Duration)>, since: Duration) {
    if let Some((began, took)) = span {
        *took = since.saturating_sub(*began);
    }
}

fn times(flow: &Flow, took: Duration) -> Last {
    let step = |step: &FlowStep| step.swap.zip(step.work).map(|((_, swap), (_, work))| (swap, work));
    Last { took, steps: flow.steps.iter().map(step).collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::{Control, Work};
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn zero() -> Moment {
        Moment { mono: Instant::now(), wall: "2026-11-23T12:00:00Z".parse().unwrap() }
    }

    /// `plan` is a step, `!fix` one that only runs on failure of the one before.
    fn course(steps: &str, manner: Manner, repeat: bool, now: Moment) -> Course {
        let task = |word: &str| Task {
            phase: word.trim_start_matches('!').to_owned(),
            model: ModelName::from_server(word.trim_start_matches('!')),
            num_ctx: None,
            work: Some(Work::For(Duration::from_secs(16))),
            on_failure: word.starts_with('!'),
        };
        let tasks = steps.split_whitespace().map(task).collect();
        let name = "w".to_owned();
        Course::new(Beginning { name, tasks, repeat, manner, run: (1, 1), scale: 16, last: None }, now)
    }

    /// One word of a script as an input; every one comes a second after the one before.
    fn input(word: &str) -> Input {
        match word {
            "prepared" => Input::Prepared,
            "ready" => Input::Ready,
            "not-ready" => Input::NotReady { why: "out of memory".to_owned() },
            "worked" => Input::Worked { tokens: None },
            "work-failed" => Input::WorkFailed { why: "exit status 1".to_owned() },
            "pause" => Input::Control(Control::Pause),
            "skip" => Input::Control(Control::Skip),
            "fail" => Input::Control(Control::Fail),
            "cancel" => Input::Control(Control::Cancel),
            other => panic!("{other}"),
        }
    }

    fn said(outputs: &[Output]) -> String {
        let word = |output: &Output| match output {
            Output::Prepare(step) => format!("prepare{step}"),
            Output::MakeReady(step) => format!("swap{step}"),
            Output::Work(step) => format!("work{step}"),
            Output::Stop(step) => format!("stop{step}"),
            Output::Round => "round".to_owned(),
            Output::Finished => "finished".to_owned(),
        };
        outputs.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn state(step: &FlowStep) -> &'static str {
        match step.state {
            StepState::Waiting => "waiting",
            StepState::Swapping(_) => "swapping",
            StepState::Working(_) => "working",
            StepState::Done => "done",
            StepState::Failed { .. } => "failed",
            StepState::Skipped => "skipped",
        }
    }

    /// Runs a script; gives what was to be done, the steps' states at the end, and the run's.
    fn run(steps: &str, manner: Manner, repeat: bool, script: &str) -> (String, String, Flow) {
        let mut now = zero();
        let mut course = course(steps, manner, repeat, now);
        let mut outputs = course.begin(now);
        for word in script.split_whitespace() {
            now.mono += Duration::from_secs(1);
            outputs.extend(course.take(input(word), now));
        }
        let flow = course.flow(now).clone();
        let states = flow.steps.iter().map(state).collect::<Vec<_>>().join(" ");
        (said(&outputs), states, flow)
    }

    const WARM: Manner = Manner::Warm;

    /// Steps, manner, repeat, script; then what was to be done, the steps' states, and the run's.
    type Script = (&'static str, Manner, bool, &'static str, &'static str, &'static str, &'static str);

    const SCRIPTS: &[Script] = &[
        (
            "a b",
            WARM,
            false,
            "ready worked ready worked",
            "swap0 work0 swap1 work1 finished",
            "done done",
            "done",
        ),
        ("a", Manner::Cold, false, "prepared ready worked", "prepare0 swap0 work0 finished", "done", "done"),
        ("a", Manner::Cold, false, "not-ready", "prepare0 finished", "failed", "a: out of memory"),
        ("a b", WARM, false, "not-ready", "swap0 finished", "failed waiting", "a: out of memory"),
        (
            "a b",
            WARM,
            false,
            "ready work-failed",
            "swap0 work0 finished",
            "failed waiting",
            "a: exit status 1",
        ),
        (
            "a !f !g b",
            WARM,
            false,
            "ready worked",
            "swap0 work0 swap3",
            "done skipped skipped swapping",
            "running",
        ),
        (
            "a !f b",
            WARM,
            false,
            "ready work-failed ready worked",
            "swap0 work0 swap1 work1 swap2",
            "failed done swapping",
            "running",
        ),
        (
            "a !f !g b",
            WARM,
            false,
            "ready fail ready worked ready skip ready worked",
            "swap0 work0 stop0 swap1 work1 swap2 work2 stop2 swap3 work3 finished",
            "failed done skipped done",
            "done",
        ),
        (
            "a !f b",
            WARM,
            false,
            "ready work-failed ready work-failed",
            "swap0 work0 swap1 work1 finished",
            "failed failed waiting",
            "f: exit status 1",
        ),
        ("a !f", WARM, false, "ready worked", "swap0 work0 finished", "done skipped", "done"),
        ("a b", WARM, false, "fail", "swap0 stop0 finished", "failed waiting", "a: marked as failed"),
        ("a b", WARM, false, "skip", "swap0 stop0 swap1", "skipped swapping", "running"),
        ("a b", WARM, false, "ready skip", "swap0 work0 stop0 swap1", "skipped swapping", "running"),
        ("a b", WARM, false, "ready pause worked", "swap0 work0", "done waiting", "paused"),
        ("a b", WARM, false, "ready pause worked pause", "swap0 work0 swap1", "done swapping", "running"),
        (
            "a b c",
            WARM,
            false,
            "ready pause worked skip fail pause",
            "swap0 work0 swap2",
            "done skipped swapping",
            "running",
        ),
        (
            "a b",
            WARM,
            false,
            "ready pause worked cancel",
            "swap0 work0 finished",
            "done waiting",
            "cancelled",
        ),
        (
            "a b",
            WARM,
            false,
            "ready cancel worked",
            "swap0 work0 stop0 finished",
            "failed waiting",
            "cancelled",
        ),
        (
            "a",
            WARM,
            false,
            "worked prepared ready ready worked ready skip",
            "swap0 work0 finished",
            "done",
            "done",
        ),
        (
            "a b",
            WARM,
            true,
            "ready worked ready worked",
            "swap0 work0 swap1 work1 round swap0",
            "swapping waiting",
            "running",
        ),
        ("a", WARM, true, "pause ready worked", "swap0 work0 round", "waiting", "paused"),
    ];

    #[test]
    fn every_script_leads_where_it_must() {
        for (steps, manner, repeat, script, expected, states, over) in SCRIPTS.iter().copied() {
            let (outputs, ended, flow) = run(steps, manner, repeat, script);
            let state = match flow.state {
                FlowState::Running => "running".to_owned(),
                FlowState::Paused => "paused".to_owned(),
                FlowState::Done { .. } => "done".to_owned(),
                FlowState::Failed { why } => why,
                FlowState::Cancelled => "cancelled".to_owned(),
            };
            assert_eq!(
                (outputs.as_str(), ended.as_str(), state.as_str()),
                (expected, states, over),
                "{steps}: {script}"
            );
        }
    }

    fn seconds(span: Option<(Duration, Duration)>) -> Option<(u64, u64)> {
        span.map(|(began, took)| (began.as_secs(), took.as_secs()))
    }

    #[test]
    fn swaps_and_work_are_timed_apart_and_fixed_work_is_scaled() {
        let (_, _, flow) = run("a b", Manner::Warm, false, "ready worked ready worked");
        let steps: Vec<_> =
            flow.steps.iter().map(|step| (seconds(step.swap), seconds(step.work), step.planned)).collect();
        let planned = Some(Duration::from_secs(1));
        assert_eq!(steps, [(Some((0, 1)), Some((1, 1)), planned), (Some((2, 1)), Some((3, 1)), planned)]);
        assert_eq!((flow.work, flow.swaps), (Duration::from_secs(2), Duration::from_secs(2)));
        assert_eq!(flow.state, FlowState::Done { took: Duration::from_secs(4) });
    }

    #[test]
    fn what_is_under_way_has_the_time_it_took_so_far() {
        let now = zero();
        let mut course = course("a", Manner::Warm, false, now);
        course.begin(now);
        let later = Moment { mono: now.mono + Duration::from_secs(7), ..now };
        assert_eq!(course.flow(later).swaps, Duration::from_secs(7));
    }

    #[test]
    fn neither_pauses_nor_making_it_cold_count_as_a_part_of_the_run() {
        let script = "prepared ready pause worked pause prepared ready worked";
        let (_, _, flow) = run("a b", Manner::Cold, false, script);
        // Of eight seconds one passed before each swap and one in the pause behind the first step.
        assert_eq!(flow.state, FlowState::Done { took: Duration::from_secs(5) });
        assert_eq!(flow.work + flow.swaps, Duration::from_secs(5));
    }

    #[test]
    fn what_is_read_ahead_hides_disk_time_once_a_load_uses_it() {
        let now = zero();
        let mut course = course("a b c", Manner::Lookahead, false, now);
        let (b, c) = (ModelName::from_server("b"), ModelName::from_server("c"));
        course.begin(now);
        course.take(input("ready"), now);
        course.read_ahead(&b, Bytes(1000), Duration::from_secs(4));
        course.read_ahead(&c, Bytes(500), Duration::from_secs(2));
        assert_eq!(course.flow(now).hidden, (Bytes::ZERO, Duration::ZERO));
        course.take(input("worked"), now);
        course.take(input("ready"), now);
        assert_eq!(course.flow(now).hidden, (Bytes(1000), Duration::from_secs(4)));
        course.take(input("cancel"), now);
        assert_eq!(course.flow(now).hidden, (Bytes(1000), Duration::from_secs(4)), "c was never loaded");
    }

    #[test]
    fn a_round_compares_itself_with_the_one_before() {
        let (_, _, flow) = run("a !f b", Manner::Warm, true, "ready worked ready worked ready");
        let second = Some((Duration::from_secs(1), Duration::from_secs(1)));
        let last: Vec<_> = flow.steps.iter().map(|step| step.last).collect();
        assert_eq!(
            (flow.run, flow.last, last),
            (2, Some(Duration::from_secs(4)), vec![second, None, second])
        );
    }

    #[test]
    fn what_is_to_come_is_known_with_what_only_may_come() {
        for (steps, repeat, script, to_come, may_come) in [
            ("a b !f c", false, "ready", "b c", "f"),
            ("a b !f c", true, "ready", "b c a", "f"),
            ("a b !f c", false, "ready worked ready", "c", "f"),
            ("a !f !g b", false, "ready fail", "g b", "g"),
            ("a b", false, "ready worked ready", "", ""),
        ] {
            let now = zero();
            let mut course = course(steps, Manner::Warm, repeat, now);
            course.begin(now);
            for word in script.split_whitespace() {
                course.take(input(word), now);
            }
            let words =
                |models: Vec<ModelName>| models.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            assert_eq!(
                (words(course.to_come()).as_str(), words(course.may_come()).as_str()),
                (to_come, may_come)
            );
        }
    }
}

//! Effects: what a key asked for is done outside of the screen, without waiting for it.

use std::io;
use std::sync::Arc;

use super::Session;
use super::job::{Job, Running};
use crate::config::Workflow;
use crate::engine::flow::Control;
use crate::engine::{Busy, Command, Handle, bench, compare, flow};
use crate::residency::act::{ActId, ActKind};
use crate::residency::bench::{COOLDOWN, Kind, RUNS};
use crate::residency::flow::Manner;
use crate::residency::name::ModelName;
use crate::tui::Outcome;
use crate::tui::app::{Effect, Panel};

/// The demo's scale, else 1.
fn scale(handle: &Handle) -> u64 {
    handle.snapshot().servers.first().and_then(|server| server.demo_scale).unwrap_or(1)
}

impl Session {
    /// Does outside what a key asked for, without waiting; an outcome ends the screen.
    pub(super) fn carry_out(&mut self, effect: Effect, handle: &Handle) -> io::Result<Option<Outcome>> {
        match effect {
            Effect::Leave(outcome) => return Ok(self.leave(outcome)),
            Effect::Mouse(on) => self.screen.mouse(on)?,
            Effect::Redraw => self.screen.redraw(),
            Effect::Suspend => self.suspend()?,
            Effect::Act(kind, model) => self.asked(handle.act(kind, model.clone()), kind, model),
            Effect::Acts(kind, models) => {
                for model in models {
                    self.asked(handle.act(kind, model.clone()), kind, model);
                }
            }
            Effect::Swap(model, wish) => {
                self.asked(handle.swap(model.clone(), wish), ActKind::Swap, model);
            }
            Effect::Flow(workflow) => self.start_flow(workflow, handle),
            Effect::Control(control) => self.control(control),
            Effect::Bench(model) => {
                let request = bench::Request {
                    models: vec![model],
                    kinds: Kind::PLAIN.to_vec(),
                    rounds: RUNS,
                    cooldown: COOLDOWN,
                };
                self.begin(Running::Bench(bench::start(handle.clone(), request)));
            }
            Effect::Compare(workflow) => self.start_comparison(workflow, handle),
            Effect::List(models) => self.send(handle, Command::List { models }),
            Effect::WriteListed(model, is_on) => {
                let said = (self.write_list)(&model, is_on);
                self.app.notice = Some(said.unwrap_or_else(|why| why));
            }
            Effect::Cancel(model) => self.send(handle, Command::Cancel { model }),
            Effect::CancelAll => {
                // The workflow first: it is to be cancelled, not to fail with the act that it waits for.
                self.control(Control::Cancel);
                self.send(handle, Command::CancelAll);
            }
            Effect::Server(at) => self.change_server(at),
            Effect::HandsOff(off) => self.send(handle, Command::HandsOff(off)),
        }
        Ok(None)
    }

    /// Tells what runs beside the keys what to do; nothing where nothing does.
    fn control(&mut self, control: Control) {
        let running = self.job.as_ref().filter(|job| job.is_running());
        if let Some(Err(busy)) = running.map(|job| job.control(control)) {
            self.app.notice = Some(busy.to_string());
        }
    }

    /// Remembers an act that was asked for, until a snapshot shows it.
    fn asked(&mut self, asked: Result<ActId, Busy>, kind: ActKind, model: ModelName) {
        match asked {
            Ok(id) => self.app.asked.push((id, kind, model)),
            Err(busy) => self.app.notice = Some(busy.to_string()),
        }
    }

    fn start_flow(&mut self, workflow: Workflow, handle: &Handle) {
        let start = flow::Start {
            config: Arc::clone(&self.config),
            clock: Arc::clone(&self.clock),
            workflow,
            manner: Manner::Lookahead,
            scale: scale(handle),
            run: (1, 1),
        };
        // Its keys are what is wanted next.
        self.app.panel = Panel::Flow;
        self.begin(Running::Flow(flow::start(handle.clone(), start)));
    }

    fn start_comparison(&mut self, workflow: Workflow, handle: &Handle) {
        if let Some(why) = self.config.why_not_run(&workflow) {
            self.app.notice = Some(why);
            return;
        }
        let request = compare::Request {
            config: Arc::clone(&self.config),
            clock: Arc::clone(&self.clock),
            workflow,
            scale: scale(handle),
            rounds: RUNS,
            cooldown: COOLDOWN,
        };
        self.begin(Running::Comparison(compare::start(handle.clone(), request)));
    }

    /// Shows what was started, in the place of what was shown before.
    fn begin(&mut self, running: Running) {
        self.app.thaw();
        self.app.proof = None;
        self.app.begin_job();
        self.job.insert(Job::new(running)).show(&mut self.app);
    }

    pub(super) fn is_running(&self) -> bool {
        self.job.as_ref().is_some_and(Job::is_running)
    }

    /// Ends the screen; while something runs only once that has ended. A user who asks again does not wait for a
    /// measurement to put back what was loaded, but no command of a workflow is left behind.
    pub(super) fn leave(&mut self, outcome: Outcome) -> Option<Outcome> {
        let Some(job) = self.job.as_ref().filter(|job| job.is_running()) else { return Some(outcome) };
        if self.leaving.is_some() && !job.is_flow() {
            self.job = None;
            return Some(outcome);
        }
        let _ = job.control(Control::Cancel);
        self.leaving = Some(outcome);
        // How it ends is said of what is then.
        self.app.thaw();
        self.app.leave_once_over();
        None
    }

    pub(super) fn send(&mut self, handle: &Handle, command: Command) {
        if let Err(busy) = handle.send(command) {
            self.app.notice = Some(busy.to_string());
        }
    }
}

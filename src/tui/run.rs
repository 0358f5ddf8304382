//! The loop: signals, frames, keys and snapshots, in this order; it carries out effects and never waits for one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::app::{App, Effect, Panel, Settings};
use super::terminal::{Screen, give_back};
use super::view::view;
use super::{Outcome, Start, WriteList, theme};
use crate::config::{Config, Workflow};
use crate::engine::flow::Control;
use crate::engine::{Busy, Command, Handle, bench, compare, flow};
use crate::residency::act::{ActId, ActKind};
use crate::residency::bench::{COOLDOWN, Kind, RUNS};
use crate::residency::flow::Manner;
use crate::residency::name::ModelName;
use crate::residency::timing::{Clock, Moment};

mod job;
mod signals;

use job::{Job, Running};
use signals::Signals;

/// The shortest time between two frames: 30 a second.
const FRAME: Duration = Duration::from_millis(33);

/// A sign of life is written this often: it finds a terminal that is gone without a word, and refreshes ages.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Shows the screen until the user leaves it. The first frame is drawn before the engine is started.
pub async fn run(start: Start<'_>) -> io::Result<Outcome> {
    let Start {
        engine,
        config,
        keymap,
        keys,
        clock,
        read_only,
        demo_place,
        notice,
        propose,
        list_place,
        write_list,
    } = start;
    let no_color = std::env::var("NO_COLOR").ok();
    let theme = theme::choose(&config.ui.theme, no_color.as_deref());
    let mut settings = Settings::of(config, theme, jiff::tz::TimeZone::system(), propose);
    settings.read_only |= read_only;
    settings.demo_place = demo_place;
    settings.list_place = list_place;
    let mut signals = Signals::new()?;
    let now = clock();
    let mut session = Session {
        app: App::new(settings, keymap, notice, now),
        screen: Screen::take()?,
        clock,
        drawn: now,
        alive: now,
        due: None,
        looked: None,
        write_list,
        config: Arc::new(config.clone()),
        job: None,
        leaving: None,
    };
    if let Some(keys) = &mut keys.0 {
        forget(keys).await;
    }
    session.draw(now)?;
    let handle = engine();
    // No thread for keys is started before the first frame.
    let ended = session.turn(handle, &mut signals, keys.0.get_or_insert_with(EventStream::new)).await;
    if let Some(job) = session.job.take() {
        tokio::select! { biased;
            () = job.end() => {}
            // Who asks twice does not want to wait.
            () = signals.end_us() => {}
        }
    }
    ended
}

/// Drops what the reader of keys has taken since the screen before this one.
async fn forget(keys: &mut EventStream) {
    loop {
        tokio::select! { biased;
            Some(Ok(_)) = keys.next() => {}
            () = std::future::ready(()) => return,
        }
    }
}

/// The demo's scale, else 1.
fn scale(handle: &Handle) -> u64 {
    handle.snapshot().servers.first().and_then(|server| server.demo_scale).unwrap_or(1)
}

/// What happened.
enum Happened {
    Signalled(Signal),
    FrameDue,
    Input(Option<io::Result<Event>>),
    NewSnapshot,
    JobMoved,
    EngineGone,
}

/// The screen while it is shown.
struct Session {
    app: App,
    screen: Screen,
    clock: Clock,
    /// When the last frame was drawn.
    drawn: Moment,
    /// When something was last written for certain.
    alive: Moment,
    /// When the next frame is due.
    due: Option<Instant>,
    /// The model that the engine was told to look at.
    looked: Option<ModelName>,
    /// Writes the preload list into the user's config.
    write_list: WriteList,
    /// All settings, for workflows.
    config: Arc<Config>,
    /// The workflow or measurement that runs or ran last.
    job: Option<Job>,
    /// How the screen ends once what runs has ended, and what a measurement found is back.
    leaving: Option<Outcome>,
}

impl Session {
    async fn turn(
        &mut self,
        handle: Handle,
        signals: &mut Signals,
        input: &mut EventStream,
    ) -> io::Result<Outcome> {
        let mut snapshots = handle.snapshots.clone();
        snapshots.mark_changed();
        loop {
            let due = self.due;
            let frame = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // The frame stands before the keys, so that a flood of keys cannot stop the drawing.
            let happened = tokio::select! { biased;
                signal = signals.next() => Happened::Signalled(signal),
                () = frame => Happened::FrameDue,
                event = input.next() => Happened::Input(event),
                changed = snapshots.changed() => match changed {
                    Ok(()) => Happened::NewSnapshot,
                    Err(_) => Happened::EngineGone,
                },
                () = Job::moved(&mut self.job) => Happened::JobMoved,
            };
            let now = (self.clock)();
            let effect = match happened {
                Happened::Signalled(Signal::CONT) => {
                    self.continued(now)?;
                    None
                }
                Happened::Signalled(Signal::TSTP) => Some(Effect::Suspend),
                Happened::Signalled(signal) => {
                    return Ok(Outcome::Signal { number: signal.as_raw() });
                }
                Happened::FrameDue => {
                    // The latest snapshot, even one that woke nobody: its reading times are newer.
                    self.app.see(Arc::clone(&snapshots.borrow_and_update()));
                    self.look(&handle);
                    self.draw(now)?;
                    continue;
                }
                Happened::Input(Some(Ok(event))) => self.input(event, now),
                Happened::Input(Some(Err(error))) => return Err(error),
                Happened::Input(None) => {
                    return Err(io::Error::other("the terminal ended: no key can come any more"));
                }
                Happened::NewSnapshot => {
                    self.app.see(Arc::clone(&snapshots.borrow_and_update()));
                    None
                }
                Happened::JobMoved => {
                    if let Some(job) = self.job.as_mut().filter(|job| job.is_shown(&self.app)) {
                        job.show(&mut self.app);
                    }
                    if !self.is_running()
                        && let Some(outcome) = self.leaving.take()
                    {
                        self.app.see(Arc::clone(&snapshots.borrow_and_update()));
                        return Ok(self.app.after_proof(outcome));
                    }
                    None
                }
                Happened::EngineGone => return Err(io::Error::other("the engine ended by itself")),
            };
            if let Some(effect) = effect
                && let Some(outcome) = self.carry_out(effect, &handle)?
            {
                return Ok(outcome);
            }
            self.want(now);
        }
    }

    /// Does outside what a key asked for, without waiting; an outcome ends the screen.
    fn carry_out(&mut self, effect: Effect, handle: &Handle) -> io::Result<Option<Outcome>> {
        match effect {
            Effect::Leave(outcome) => return Ok(self.leave(outcome)),
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
            Effect::Control(control) => {
                let told = self.job.as_ref().map(|job| job.control(control));
                if let Some(Err(busy)) = told {
                    self.app.notice = Some(busy.to_string());
                }
            }
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
            Effect::CancelAll => self.send(handle, Command::CancelAll),
        }
        Ok(None)
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
        self.app.proof = None;
        self.app.begin_job();
        self.job.insert(Job::new(running)).show(&mut self.app);
    }

    fn is_running(&self) -> bool {
        self.job.as_ref().is_some_and(Job::is_running)
    }

    /// Ends the screen; while something runs only once that has ended. A user who asks again does not wait for a
    /// measurement to put back what was loaded, but no command of a workflow is left behind.
    fn leave(&mut self, outcome: Outcome) -> Option<Outcome> {
        let Some(job) = self.job.as_ref().filter(|job| job.is_running()) else { return Some(outcome) };
        if self.leaving.is_some() && !job.is_flow() {
            self.job = None;
            return Some(outcome);
        }
        let _ = job.control(Control::Cancel);
        self.leaving = Some(outcome);
        self.app.leave_once_over();
        None
    }

    fn input(&mut self, event: Event, now: Moment) -> Option<Effect> {
        match event {
            Event::Key(key) => return self.app.key(key, now),
            Event::Paste(text) => self.app.paste(&text),
            Event::Resize(..) => self.screen.redraw(),
            _ => {}
        }
        None
    }

    fn send(&mut self, handle: &Handle, command: Command) {
        if let Err(busy) = handle.send(command) {
            self.app.notice = Some(busy.to_string());
        }
    }

    /// Tells the engine which model is looked at, once for each; at a frame, so that a held key asks for few.
    fn look(&mut self, handle: &Handle) {
        let selected = self.app.selected().cloned();
        if let Some(model) = selected.clone().filter(|_| selected != self.looked) {
            // Full: it is told at a later frame.
            if handle.send(Command::Look { model }).is_ok() {
                self.looked = selected;
            }
        }
    }

    /// Asks for a frame: at once, but no sooner than a thirtieth of a second after the last. Requests merge.
    fn want(&mut self, now: Moment) {
        let soon = Instant::from_std((self.drawn.mono + FRAME).max(now.mono));
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    fn draw(&mut self, now: Moment) -> io::Result<()> {
        let app = &self.app;
        self.screen.draw(|buffer| view(buffer, app, now))?;
        if now.since(self.alive.mono) >= HEARTBEAT {
            self.screen.heartbeat()?;
            self.alive = now;
        }
        self.drawn = now;
        let heartbeat = HEARTBEAT.saturating_sub(now.since(self.alive.mono)).max(FRAME);
        let next = self.app.next_tick(now).map_or(heartbeat, |tick| tick.max(FRAME).min(heartbeat));
        self.due = Some(Instant::from_std(now.mono + next));
        Ok(())
    }

    /// Gives the terminal back, stops the whole process group (a parent script would hang else), and takes the
    /// terminal again when somebody continues us. The thread that reads keys is stopped with all else, so that it
    /// cannot eat the shell's.
    fn suspend(&mut self) -> io::Result<()> {
        give_back();
        rustix::process::kill_current_process_group(Signal::STOP)?;
        self.screen.take_again()?;
        self.drawn = (self.clock)();
        self.alive = self.drawn;
        Ok(())
    }

    /// Somebody else stopped and continued us: the shell has set the terminal its own way since.
    fn continued(&mut self, now: Moment) -> io::Result<()> {
        let is_our_own = now.since(self.drawn.mono) < Duration::from_millis(500);
        if is_our_own {
            return Ok(());
        }
        give_back();
        self.screen.take_again()
    }
}

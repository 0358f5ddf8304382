//! The loop: signals, frames, keys and snapshots, in this order; it carries out effects and never waits for one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::action::Context;
use super::app::{App, Effect, Settings};
use super::looks::Looks;
use super::terminal::{Screen, give_back};
use super::theme::Depth;
use super::view::view;
use super::{Outcome, SaveLooks, Start, WriteList};
use crate::config::Config;
use crate::engine::{Command, Handle};
use crate::residency::name::ModelName;
use crate::residency::timing::{Clock, Moment};

mod effects;
mod job;
mod pulse;
mod release;
mod seats;
mod signals;

use job::Job;
use pulse::Pulse;
use seats::{Others, Seats};
use signals::Signals;

/// The shortest time between two frames: 30 a second.
const FRAME: Duration = Duration::from_millis(33);

/// Shows the screen until the user leaves it. The first frame is drawn before the engine is started.
pub async fn run(start: Start<'_>) -> io::Result<Outcome> {
    let Start {
        mut fleet,
        at,
        keymap,
        keys,
        clock,
        read_only,
        demo_place,
        notice,
        propose,
        list_place,
        write_list,
        looks,
        save_looks,
    } = start;
    let env = |name: &str| std::env::var(name).ok();
    let member = fleet.get(at).ok_or_else(|| io::Error::other("there is no server to look at"))?;
    let config = Arc::clone(&member.config);
    let depth = Depth::of(env("NO_COLOR").as_deref(), env("COLORTERM").as_deref());
    let mut settings = Settings::of(&config, depth, jiff::tz::TimeZone::system(), propose);
    settings.read_only |= read_only;
    settings.demo_place = demo_place;
    settings.list_place = list_place;
    let others = Others { keymap: keymap.clone(), depth, read_only, list_place: settings.list_place.clone() };
    let mouse = settings.mouse;
    let mut signals = Signals::new()?;
    let now = clock();
    let mut session = Session {
        app: App::new(settings, keymap, notice, now),
        screen: Screen::take(mouse)?,
        clock,
        drawn: now,
        pulse: Pulse::new(now),
        due: None,
        looked: None,
        write_list,
        config,
        job: None,
        leaving: None,
        seats: Seats::default(),
        looks: looks.clone(),
        save_looks,
    };
    session.app.wear(&looks);
    if let Some(keys) = &mut keys.0 {
        forget(keys).await;
    }
    session.draw(now)?;
    session.seat(&mut fleet, at, &others);
    // No thread for keys is started before the first frame.
    let keys = keys.0.get_or_insert_with(EventStream::new);
    let ended = session.turn(&mut signals, keys).await;
    session.remember();
    for job in session.take_jobs() {
        tokio::select! { biased;
            () = job.end() => {}
            // Who asks twice does not want to wait.
            () = signals.end_us() => break,
        }
    }
    session.release_all(ended, &mut signals, keys).await
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
    /// When something is to be written that changes nothing.
    pulse: Pulse,
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
    /// All servers, and what belongs to those that are not looked at.
    seats: Seats,
    /// The choices about the screen that are written down.
    looks: Looks,
    /// Writes them.
    save_looks: SaveLooks,
}

impl Session {
    async fn turn(&mut self, signals: &mut Signals, input: &mut EventStream) -> io::Result<Outcome> {
        let mut handle = self.seats.handle();
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
                    return Ok(Outcome::Signal { number: signal.as_raw(), message: None });
                }
                Happened::FrameDue => {
                    // The latest snapshot, even one that woke nobody: its reading times are newer.
                    self.app.see(Arc::clone(&snapshots.borrow_and_update()));
                    self.look(&handle);
                    self.remember();
                    self.tell()?;
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
                    self.show_job();
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
            if let Some(Effect::Server(at)) = effect {
                self.change_server(at);
                handle = self.seats.handle();
                snapshots = handle.snapshots.clone();
                snapshots.mark_changed();
            } else if let Some(effect) = effect
                && let Some(outcome) = self.carry_out(effect, &handle)?
            {
                return Ok(outcome);
            }
            self.want(now);
        }
    }

    /// Shows how far what runs beside the keys is, unless the picture stands still.
    fn show_job(&mut self) {
        let app = &mut self.app;
        if let Some(job) = self.job.as_mut().filter(|job| app.frozen.is_none() && job.is_shown(app)) {
            job.show(app);
        }
    }

    fn input(&mut self, event: Event, now: Moment) -> Option<Effect> {
        match event {
            Event::Key(key) => {
                let was_frozen = self.app.frozen.is_some();
                let effect = self.app.key(key, now);
                if was_frozen {
                    self.show_job();
                }
                return effect;
            }
            Event::Mouse(mouse) => {
                let was_frozen = self.app.frozen.is_some();
                let effect = self.app.mouse(mouse, self.screen.area(), now);
                if was_frozen {
                    self.show_job();
                }
                return effect;
            }
            Event::Paste(text) => self.app.paste(&text),
            Event::Resize(..) => self.screen.redraw(),
            _ => {}
        }
        None
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

    /// Writes the choices about the screen down where they have changed; a filter only once it is typed.
    fn remember(&mut self) {
        let looks = self.app.looks();
        if looks == self.looks || self.app.context() == Context::Prompt {
            return;
        }
        if let Err(why) = (self.save_looks)(&looks) {
            self.app.notice = Some(why);
        }
        self.looks = looks;
    }

    /// Tells the end of a long load, where the user wants that.
    fn tell(&mut self) -> io::Result<()> {
        match self.app.take_alert() {
            Some(words) => self.screen.alert(self.app.settings.notify, &words),
            None => Ok(()),
        }
    }

    /// Asks for a frame: at once, but no sooner than a thirtieth of a second after the last. Requests merge.
    fn want(&mut self, now: Moment) {
        let soon = Instant::from_std((self.drawn.mono + FRAME).max(now.mono));
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    fn draw(&mut self, now: Moment) -> io::Result<()> {
        self.app.fleet = self.seats.fleet();
        let app = &self.app;
        let mut wrote = self.screen.draw(|buffer| view(buffer, app, now))?;
        if !wrote && self.pulse.left(now).is_zero() {
            self.screen.heartbeat()?;
            wrote = true;
        }
        if wrote {
            self.pulse.wrote(now);
        }
        self.drawn = now;
        let pulse = self.pulse.left(now).max(FRAME);
        let next = self.app.next_tick(now).map_or(pulse, |tick| tick.max(FRAME).min(pulse));
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
        self.pulse.wrote(self.drawn);
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

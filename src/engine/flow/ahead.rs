//! Lookahead at work: carries out the plan of [`crate::residency::lookahead`] move by move while a step works, and
//! counts what was read meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Config;
use crate::engine::{Command, Handle};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::budget::{self, Machine};
use crate::residency::bytes::Bytes;
use crate::residency::event::What;
use crate::residency::flow::{Ahead, AheadDid};
use crate::residency::lookahead::{Move, Outlook, Stock, plan};
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Server, Snapshot};
use crate::residency::timing::Moment;
use crate::residency::workflow::course::Course;

/// What lookahead does and is going to do.
#[derive(Default)]
pub(super) struct Lookahead {
    moves: VecDeque<Move>,
    going: Option<Going>,
}

/// One act of it.
struct Going {
    id: ActId,
    kind: ActKind,
    model: ModelName,
    /// While which step it was begun.
    during: usize,
    /// Events up to this one are older.
    seen: u64,
    /// What was read while work ran, as far as it was seen.
    read: (Bytes, Duration),
    /// How far it was at the last look.
    last: (Bytes, Moment),
    /// Work ran at every look.
    hidden: bool,
}

impl Lookahead {
    /// A step begins to work: plans what is read meanwhile.
    pub(super) fn plan(&mut self, course: &Course, snapshot: &Snapshot, config: &Config) {
        self.moves = plan(&outlook(course, snapshot, config)).into();
        if let Some(going) = &self.going {
            self.moves.retain(|one| *one != Move::Warm(going.model.clone()));
        }
    }

    /// Takes what the snapshot shows of the act under way, and begins the next one if a step works.
    pub(super) fn turn(&mut self, course: &mut Course, handle: &Handle, snapshot: &Snapshot, now: Moment) {
        if let Some(mut going) = self.going.take() {
            let act = snapshot.acts.iter().find(|act| act.id == going.id);
            going.look(act, course.working().is_some(), now);
            match act.map(|act| &act.state) {
                Some(ActState::Done { .. }) => going.done(course, snapshot),
                Some(ActState::Failed { why, .. }) => going.refused(course, why),
                Some(ActState::Queued { .. } | ActState::Running { .. }) | None => {
                    let percent = act.and_then(|act| act.progress).map(|progress| progress.percent());
                    course.warming(percent.map(|percent| (&going.model, percent)));
                    self.going = Some(going);
                }
            }
        }
        let Some(during) = course.working() else { return };
        while self.going.is_none() {
            let Some(next) = self.moves.pop_front() else { return };
            let (kind, model) = match next {
                Move::Keep(model) => {
                    course.ahead(Ahead { during, model, did: AheadDid::Kept });
                    continue;
                }
                Move::Refuse { model, why } => {
                    course.ahead(Ahead { during, model, did: AheadDid::Refused { why } });
                    continue;
                }
                Move::Warm(model) => (ActKind::Warm, model),
                Move::Drop(model) => (ActKind::Drop, model),
            };
            let Ok(id) = handle.act(kind, model.clone()) else {
                let again = if kind == ActKind::Warm { Move::Warm(model) } else { Move::Drop(model) };
                return self.moves.push_front(again);
            };
            let seen = snapshot.events.back().map_or(0, |event| event.number);
            let (read, last) = ((Bytes::ZERO, Duration::ZERO), (Bytes::ZERO, now));
            self.going = Some(Going { id, kind, model, during, seen, read, last, hidden: true });
        }
    }

    /// The run is over; what is still read is not for it any more.
    pub(super) fn end(&mut self, course: &mut Course, handle: &Handle) {
        self.moves.clear();
        course.warming(None);
        if let Some(going) = self.going.take() {
            // A queue that is full leaves it reading, which harms nobody.
            let _ = handle.send(Command::Cancel { model: going.model });
        }
    }
}

impl Going {
    /// Counts what was read since the last look, if work ran all the while.
    fn look(&mut self, act: Option<&Act>, works: bool, now: Moment) {
        let progress = act.filter(|act| act.is_live()).and_then(|act| act.progress);
        let read = progress.map_or(self.last.0, |progress| progress.read);
        if !works {
            self.hidden = false;
        } else if progress.is_some_and(|progress| !progress.paused) && read > self.last.0 {
            self.read.0 += read.minus(self.last.0);
            self.read.1 += now.since(self.last.1.mono);
        }
        self.last = (read, now);
    }

    fn done(self, course: &mut Course, snapshot: &Snapshot) {
        course.warming(None);
        if self.kind != ActKind::Warm {
            return;
        }
        let mut events = snapshot.events.iter().rev().take_while(|event| event.number > self.seen);
        let warmed = events.find_map(|event| match event.what {
            What::Warmed { took, read, .. } if event.model.as_ref() == Some(&self.model) => {
                Some((read, took))
            }
            _ => None,
        });
        let (read, took) = warmed.unwrap_or_default();
        // Where work ran from its beginning to its end, the reader's own figures are exact.
        let (hidden, hidden_took) = if self.hidden { (read, took) } else { self.read };
        course.read_ahead(&self.model, hidden, hidden_took);
        let did = if read > Bytes::ZERO { AheadDid::Warmed { read, took } } else { AheadDid::Kept };
        course.ahead(Ahead { during: self.during, model: self.model, did });
    }

    fn refused(self, course: &mut Course, why: &str) {
        course.warming(None);
        course.read_ahead(&self.model, self.read.0, self.read.1);
        let why = format!("{}: {why}", self.kind.verb());
        course.ahead(Ahead { during: self.during, model: self.model, did: AheadDid::Refused { why } });
    }
}

/// What the plan is made of, from what the snapshot shows.
fn outlook(course: &Course, snapshot: &Snapshot, config: &Config) -> Outlook {
    let (sure, perhaps) = (course.to_come(), course.may_come());
    let Some(server) = snapshot.servers.first() else {
        return Outlook { sure, perhaps, stock: Vec::new(), room: Bytes::ZERO, may_drop: false };
    };
    // Without a reading of the memory the engine alone can say why nothing is read.
    let room = snapshot.host.ram.map_or(Bytes(u64::MAX), |ram| {
        let locked = server.models.iter().filter_map(|model| model.kept.as_ref()?.files.as_ref());
        let runners = server.models.iter().filter_map(|model| model.loaded.as_ref()?.runner.as_ref());
        let machine = Machine {
            ram: ram.value,
            runners: runners.map(|runner| runner.anonymous).sum(),
            locked: locked.map(|files| files.locked).sum(),
        };
        budget::room(config.memory, &machine)
    });
    // The server's list may not show yet what was just made ready.
    let works = course.working().map(|step| &course.tasks()[step].model);
    let needed = |model: &Model| sure.contains(&model.name) || perhaps.contains(&model.name);
    let mut stock: Vec<Stock> = server
        .models
        .iter()
        .filter(|model| {
            needed(model) || (counts(model, config) && !is_counted_elsewhere(model, server, config))
        })
        .map(|model| Stock {
            model: model.name.clone(),
            size: size(model),
            in_ram: model.cached.bytes().unwrap_or_default().min(size(model)),
            counts: counts(model, config),
            stays: model.loaded.is_some()
                || works == Some(&model.name)
                || model.kept.as_ref().is_some_and(|kept| kept.held),
        })
        .collect();
    // What the workflow names and the server does not list is refused by the engine, with the way to get it.
    let missing = |name: &&ModelName| server.model(name).is_none();
    for name in sure.iter().filter(missing) {
        let (size, in_ram) = (Bytes::ZERO, Bytes::ZERO);
        stock.push(Stock { model: name.clone(), size, in_ram, counts: false, stays: false });
    }
    Outlook { stock, room, may_drop: config.preload.make_room, sure, perhaps }
}

/// All files of a model, as far as they are known.
fn size(model: &Model) -> Bytes {
    let files: Bytes = model.blobs.iter().map(|blob| blob.size).sum();
    if files > Bytes::ZERO { files } else { model.size }
}

/// Whether it is in RAM on purpose.
fn counts(model: &Model, config: &Config) -> bool {
    let listed = config.preload.enabled && model.listed.is_some();
    model.kept.is_some() || (listed && model.cached.bytes().is_some_and(|bytes| bytes > Bytes::ZERO))
}

/// Names of the same weights count once, under the first of them.
fn is_counted_elsewhere(model: &Model, server: &Server, config: &Config) -> bool {
    let before = |name: &ModelName| *name < model.name;
    let mut others = model.shared_with.iter().filter(|name| before(name));
    others.any(|name| server.model(name).is_some_and(|other| counts(other, config)))
}

//! What is told of a preload while it runs and at its end: a line for each model as it is there, or why it is not.

use std::io;

use super::{End, Request, Wanted};
use crate::cli::Exit;
use crate::cli::act::bar::Bar;
use crate::cli::act::moved;
use crate::cli::out::Out;
use crate::cli::swap::read_from;
use crate::residency::act::{ActKind, ActState};
use crate::residency::guard::startup::{Goal, Item, ItemState, Startup};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, Snapshot, State};
use crate::residency::text::printable;

/// What has been told so far.
pub(super) struct Teller<'a> {
    request: &'a Request,
    /// The state of each model when it was told of last.
    told: Vec<ItemState>,
    /// How far each was when all was cancelled.
    before: Option<Vec<ItemState>>,
    bar: Option<(ModelName, Bar)>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(request: &'a Request) -> Teller<'a> {
        Teller { request, told: Vec::new(), before: None, bar: None }
    }

    /// From now on what ends badly was cancelled.
    pub(super) fn is_cancelled(&mut self) {
        self.before = Some(self.told.clone());
        self.bar = None;
    }

    /// Tells what is new.
    pub(super) fn show(
        &mut self,
        snapshot: &Snapshot,
        startup: &Startup,
        out: &mut Out<'_>,
    ) -> io::Result<()> {
        for (at, item) in startup.items.iter().enumerate() {
            if self.told.get(at) == Some(&item.state) {
                continue;
            }
            match self.told.get_mut(at) {
                Some(told) => *told = item.state.clone(),
                None => self.told.push(item.state.clone()),
            }
            self.bar = None;
            if !self.request.json {
                self.tell(snapshot, item, out)?;
            }
        }
        self.show_progress(snapshot, startup);
        Ok(())
    }

    fn tell(&self, snapshot: &Snapshot, item: &Item, out: &mut Out<'_>) -> io::Result<()> {
        match &item.state {
            ItemState::Ready { .. } | ItemState::There => return out.result(&self.ready(snapshot, item)),
            ItemState::Waits(why) => out.remark(&format!("{} waits: {}", self.called(item), printable(why))),
            ItemState::Missing => {
                out.remark(&format!("{} is not installed: ollama pull {}", item.model, item.model));
            }
            ItemState::Failed(why) => {
                out.remark(&format!("{} not {}: {}", item.model, done(item), printable(why)));
            }
            // The last line says what was cancelled.
            ItemState::Queued | ItemState::Working | ItemState::Skipped => {}
        }
        Ok(())
    }

    fn is_primary(&self, item: &Item) -> bool {
        self.request.primary.as_ref() == Some(&item.model)
    }

    fn called(&self, item: &Item) -> String {
        if self.is_primary(item) { "primary".to_owned() } else { item.model.to_string() }
    }

    /// The line of a model that is where it was to be.
    fn ready(&self, snapshot: &Snapshot, item: &Item) -> String {
        let model = &item.model;
        let shown = snapshot.servers.first().and_then(|server| server.model(model));
        let in_vram = item.goal == Goal::Vram || shown.is_some_and(Model::has_runner);
        let ready = |how: &str| match (self.is_primary(item), in_vram) {
            (true, _) => format!("ready for {model} ({how})"),
            (false, true) => format!("{model} in VRAM ({how})"),
            (false, false) => format!("{model} in RAM ({how})"),
        };
        if shown.is_some_and(|model| model.state == State::Cloud) {
            return ready("it runs in the cloud");
        }
        let ItemState::Ready { took, .. } = &item.state else {
            return if self.is_primary(item) {
                ready("in VRAM already")
            } else {
                format!("{model} in {} already", if in_vram { "VRAM" } else { "RAM" })
            };
        };
        if item.goal == Goal::Ram {
            return match moved::words(snapshot, ActKind::Warm, model, 0) {
                Some(words) => format!("{model} {words}"),
                None => ready(&format!("{:.1} s", took.as_secs_f64())),
            };
        }
        let act = snapshot.acts.iter().rev().find(|act| act.model == *model && act.swap.is_some());
        let from = act.and_then(|act| act.swap.as_deref()).and_then(read_from);
        let from = from.map_or_else(String::new, |from| format!("   {from}"));
        format!("{}{from}", ready(&format!("{:.1} s", took.as_secs_f64())))
    }

    /// The bar of the one model that is moved.
    fn show_progress(&mut self, snapshot: &Snapshot, startup: &Startup) {
        let Some(item) = startup.items.iter().find(|item| item.state == ItemState::Working) else { return };
        if self.before.is_some() {
            return;
        }
        let act = snapshot.acts.iter().find(|act| act.model == item.model && act.is_live());
        if self.bar.as_ref().is_none_or(|(model, _)| *model != item.model) {
            self.bar = Some((item.model.clone(), Bar::new(&item.model, self.request.json)));
        }
        if let Some((_, bar)) = &mut self.bar {
            bar.show(act);
        }
    }

    /// Why a model is not where it was to be; `None` for one that is.
    pub(super) fn reason(&self, snapshot: &Snapshot, at: usize, item: &Item) -> Option<String> {
        let was = self.before.as_ref().and_then(|before| before.get(at)).unwrap_or(&item.state);
        Some(match (&item.state, was) {
            (ItemState::Ready { .. } | ItemState::There, _) => return None,
            (ItemState::Missing, _) => format!("not installed: ollama pull {}", item.model),
            (ItemState::Failed(why), _) | (_, ItemState::Waits(why)) => printable(why).into_owned(),
            (_, ItemState::Working) => under_way(snapshot, item),
            (ItemState::Skipped, _) => "not begun".to_owned(),
            _ => "its turn had not come".to_owned(),
        })
    }

    /// The last lines: that all is ready, or what is not and why.
    pub(super) fn close(
        &self,
        snapshot: &Snapshot,
        startup: Option<&Startup>,
        end: &End,
        exit: Exit,
        out: &mut Out<'_>,
    ) -> io::Result<()> {
        let why = match end {
            End::Over | End::Stuck => None,
            End::Interrupted => Some("cancelled"),
            End::TimedOut(why) | End::NoServer(why) | End::Failed(why) => Some(why.as_str()),
        };
        let Some(startup) = startup else {
            out.remark(&printable(why.unwrap_or("nothing was begun")));
            return Ok(());
        };
        let ready = startup.items.iter().filter(|item| item.state.is_ready()).count();
        let all = startup.items.len();
        let taken = startup.took.unwrap_or_else(|| snapshot.at.since(startup.began.mono));
        let took = format!("{:.1} s", taken.as_secs_f64());
        if exit != Exit::Done {
            let why = why.map_or_else(String::new, |why| format!("{}: ", printable(why)));
            let reasons = startup.items.iter().enumerate().filter_map(|(at, item)| {
                self.reason(snapshot, at, item).map(|reason| format!("{} ({reason})", item.model))
            });
            let reasons: Vec<String> = reasons.collect();
            out.remark(&format!("{why}{ready} of {all} ready ({took}); not ready: {}", reasons.join(", ")));
            return Ok(());
        }
        if self.request.wanted == Wanted::All {
            let plural = if all == 1 { "" } else { "s" };
            out.result(&format!("all ready ({all} model{plural}, {took})"))?;
        } else if self.request.list.iter().any(|model| Some(model) != self.request.primary.as_ref()) {
            out.remark("the preload list is not read: resident preload reads it too");
        }
        self.say_what_stays(startup, out);
        Ok(())
    }

    /// Nothing is held once the program has ended.
    fn say_what_stays(&self, startup: &Startup, out: &mut Out<'_>) {
        let in_vram = startup.items.iter().find(|item| item.goal == Goal::Vram);
        let is_read = startup.items.iter().any(|item| item.goal == Goal::Ram);
        let mut stays: Vec<String> = Vec::new();
        stays.extend(in_vram.map(|item| match self.request.keep_alive {
            Some(KeepAlive::Forever) => format!("{} stays in VRAM", item.model),
            Some(keep_alive) => format!("{} stays in VRAM for {keep_alive} after its last use", item.model),
            None => format!("{} stays in VRAM for the server's keep_alive", item.model),
        }));
        if is_read {
            stays.push(
                "what is in RAM is not held: a running dashboard or resident hold --all keeps it".to_owned(),
            );
        }
        if !stays.is_empty() {
            out.remark(&stays.join("; "));
        }
    }
}

/// What is done with a model, as it would be done.
fn done(item: &Item) -> &'static str {
    match item.goal {
        Goal::Vram => "loaded",
        Goal::Ram => "read",
    }
}

/// How far the act was that was cancelled, or goes on.
fn under_way(snapshot: &Snapshot, item: &Item) -> String {
    let act = snapshot.acts.iter().rev().find(|act| act.model == item.model);
    match (act.map(|act| &act.state), item.goal) {
        (Some(ActState::Failed { why, .. }), Goal::Vram) => printable(why).into_owned(),
        (_, Goal::Vram) => "its load was under way".to_owned(),
        (_, Goal::Ram) => match act.and_then(|act| act.progress) {
            Some(progress) => format!("{} % of it are in RAM and stay there for now", progress.percent()),
            None => "its reading was cancelled".to_owned(),
        },
    }
}

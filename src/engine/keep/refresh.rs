//! Refresh: models of the preload list that are in use stay in VRAM for the config's keep_alive, whatever their own is.

use std::collections::HashMap;
use std::time::Duration;

use crate::engine::manager::Manager;
use crate::residency::act::{ActKind, ActState};
use crate::residency::event::What;
use crate::residency::guard::refresh::{Fact, is_due};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::swap::Wish;
use crate::residency::timing::Moment;

/// What is known of models in VRAM.
#[derive(Default)]
pub(super) struct Refresh {
    lives: HashMap<ModelName, Life>,
    /// When the server's answer before this one came.
    looked: Option<Moment>,
}

/// One model's time in VRAM.
struct Life {
    /// When somebody else than us used it last, or it was loaded.
    used: Moment,
    /// When we touched it last.
    touched: Option<Moment>,
    /// The most that was seen left of its countdown.
    most: Duration,
}

impl Manager {
    /// Takes the uses that the latest answer shows, but for those that are acts of ours.
    pub(super) fn note_uses(&mut self, now: Moment) {
        let before = self.keep.refresh.looked.replace(now);
        let known = &self.known;
        let lives = &mut self.keep.refresh.lives;
        lives.retain(|model, _| known.running.contains_key(model));
        let mut acts = None;
        for (model, running) in &known.running {
            let left = running.expiry.remaining(now).unwrap_or_default();
            let Some(life) = lives.get_mut(model) else {
                // One that was there before we looked was used when the journal says.
                let is_new = before.is_some();
                let told = known.past.used.iter().find(|(used, _)| used == model).filter(|_| !is_new);
                let used = told.and_then(|(_, at)| {
                    let ago = Duration::try_from(now.wall.duration_since(*at)).ok()?;
                    Some(Moment { mono: now.mono.checked_sub(ago)?, wall: *at })
                });
                lives.insert(model.clone(), Life { used: used.unwrap_or(now), touched: None, most: left });
                continue;
            };
            life.most = life.most.max(left);
            if known.last_use.get(model).is_none_or(|used| used.mono != now.mono) {
                continue;
            }
            let is_lately = |at: &Moment| before.is_none_or(|before| at.mono >= before.mono);
            let is_ours = acts.get_or_insert_with(|| self.acts.list()).iter().any(|act| {
                act.model == *model
                    && match &act.state {
                        ActState::Queued { .. } => false,
                        ActState::Running { .. } => true,
                        ActState::Done { at, .. } | ActState::Failed { at, .. } => is_lately(at),
                    }
            });
            if !is_ours {
                (life.used, life.touched) = (now, None);
            }
        }
    }

    /// Touches what is due. A model must be in the latest answer: what is not loaded is never touched.
    pub(super) fn refresh_what_is_used(&mut self, now: Moment) {
        let config = &self.known.config;
        let preload = &config.preload;
        let may = self.acts_by_itself() && preload.enabled && preload.auto_refresh;
        if !may || self.known.load_pending().is_some() {
            return;
        }
        let interval = preload.refresh_interval;
        let mut due = Vec::new();
        for model in &preload.models {
            // Without a keep_alive of the user's own the server's is what he wants.
            let Some(keep_alive) = config.keep_alive.or_else(|| self.known.tuned(model)) else { continue };
            let Some(running) = self.known.running.get(model) else { continue };
            let Some(life) = self.keep.refresh.lives.get(model) else { continue };
            let whole = match running.keep_alive {
                Some(KeepAlive::For(whole)) => whole,
                Some(KeepAlive::Forever) => continue,
                None => life.most,
            };
            let left = running.expiry.remaining(now);
            let fact = Fact { used: life.used, touched: life.touched, left, whole };
            let is_idle = running.slides == 0 && !running.cut_short && !self.known.ghosts.contains(model);
            if is_idle && is_due(&fact, keep_alive, interval, now) {
                due.push((model.clone(), keep_alive));
            }
        }
        for (model, keep_alive) in due {
            if self.acts.is_live_for(&model) {
                continue;
            }
            let Some(life) = self.keep.refresh.lives.get_mut(&model) else { continue };
            if life.touched.replace(now).is_none() {
                self.tell(Some(model.clone()), What::Refreshes { until: keep_alive });
            }
            let id = self.own_id();
            self.take_act(id, ActKind::Touch, model, Wish::default());
        }
    }

    /// Whether that is only one more touch of a model that was told to be refreshed.
    pub(in crate::engine) fn is_refresh(&self, model: &ModelName, what: &What) -> bool {
        let touched = matches!(what, What::Touched { keep_alive: None });
        touched && {
            let acts = self.acts.list();
            let last = acts.iter().rev().find(|act| act.model == *model && act.kind == ActKind::Touch);
            last.is_some_and(|act| act.id.is_own())
        }
    }
}

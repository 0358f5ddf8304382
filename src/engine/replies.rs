//! Replies: what comes back from the server and from one-time questions, taken into what is known.
//!
//! Part of the manager.

use std::time::Duration;

use super::ask::{self, Reply};
use super::manager::Manager;
use super::observe;
use crate::ollama::{Error, Kind};
use crate::residency::event::What;
use crate::residency::snapshot::Reach;
use crate::residency::timing::Moment;

/// Between two `/api/ps` while an act of ours runs, on servers where that is safe: at most five a second.
const ACT_PERIOD: Duration = Duration::from_millis(250);
/// Between two `/api/tags`: the server re-reads all manifests for each.
const TAGS_PERIOD: Duration = Duration::from_secs(20);
/// The same after an answer that was none.
const TAGS_RETRY: Duration = Duration::from_secs(5);
/// Between two `/api/ps` of a server that nobody looks at.
const EASED: Duration = Duration::from_secs(5);

impl Manager {
    pub(super) fn reply(&mut self, reply: Reply) {
        let now = self.now();
        match reply {
            Reply::Ps { answer, at } => self.ps(answer, at),
            Reply::Version(answer) => {
                self.due.version_sent = false;
                match answer {
                    Ok(version) => self.known.version = Some(version),
                    Err(_) => self.due.version = Moment { mono: now.mono + TAGS_RETRY, ..now },
                }
            }
            Reply::Tags(answer) => self.tags(answer, now),
            Reply::Show { digest, answer } => {
                self.due.show_sent = false;
                // What cannot be shown is not asked again until its digest changes.
                self.known.shown.insert(digest, answer.unwrap_or_default());
            }
            Reply::Files(found) => {
                self.due.files_sent = false;
                (self.known.models_dir, self.known.models_dir_unknown) = match found.dir {
                    Ok(dir) => (Some(dir), None),
                    Err(why) => (None, Some(why)),
                };
                (self.known.files, self.known.files_owner) = (found.files, found.owner);
                self.due.pages = now;
                // The one that is looked at goes first; a command that waits for the others must not wait for a poll.
                if let Some(model) = self.known.looked_at.clone() {
                    self.look_at(&model);
                }
                self.ask_pages(now);
            }
            Reply::Asked { id, pids } => self.asked(id, &pids),
            Reply::Evicted { id, answer } => self.evicted(id, &answer),
            Reply::Act { id, answer } => {
                self.sent.retain(|(sent, _)| *sent != id);
                let jobs = self.acts.answered(id, answer, &mut self.known, now);
                self.carry_out(jobs);
                // The sooner the next poll, the sooner the act is seen done, within the rate that is allowed.
                self.due.ps = self.next_ps(now);
            }
        }
        self.end_acts();
    }

    fn tags(&mut self, answer: ask::TagsAnswer, now: Moment) {
        self.due.tags_sent = false;
        self.due.tags = Moment { mono: now.mono + TAGS_PERIOD, ..now };
        match answer {
            Ok(fresh) => {
                self.known.tags_trouble = None;
                for (model, what) in observe::tags(&mut self.known, fresh, now) {
                    self.tell(model, what);
                }
                // Files come, go and are replaced behind the server's back.
                self.due.files = true;
            }
            // Asked again in its own time: the server is busy.
            Err(Error { kind: Kind::Timeout { .. }, .. }) => {}
            // Nobody is there, which `/api/ps` tells; asked again when somebody is.
            Err(Error { kind: Kind::Unreachable(_) | Kind::BadAddress(_) | Kind::BrokenOff(_), .. })
                if !matches!(self.known.reach, Reach::Up { .. }) =>
            {
                self.due.tags = Moment { mono: now.mono + TAGS_RETRY, ..now };
            }
            Err(error) => {
                let why = error.to_string();
                if self.known.tags_trouble.replace(why.clone()).is_none() {
                    self.tell(None, What::Failed { verb: "list", why });
                }
                self.due.tags = Moment { mono: now.mono + TAGS_RETRY, ..now };
            }
        }
        self.no_list_is_no_server(now);
    }

    /// A server that never gave its list of models is no use, though it answers other questions: it is said to be
    /// down, with the reason. Once there was a list, the old one stays.
    fn no_list_is_no_server(&mut self, now: Moment) {
        if let Some(why) = self.known.tags_trouble.clone()
            && self.known.tags_at.is_none()
        {
            let since = match &self.known.reach {
                Reach::Down { since, .. } => *since,
                _ => now,
            };
            self.known.reach = Reach::Down { since, answers: true, why };
        }
    }

    fn ps(&mut self, answer: ask::PsAnswer, sent: Moment) {
        let now = self.now();
        (self.due.ps_sent, self.due.ps_ended) = (None, Some(now));
        // By the clock, also while the server is silent.
        self.let_go_what_is_over();
        self.due.ps_late = matches!(answer, Err(ask::Silence::Slow));
        match answer {
            Ok(fresh) => {
                let back =
                    matches!(self.known.reach, Reach::Down { .. }) && self.known.tags_trouble.is_none();
                if let Reach::Down { since, .. } = &self.known.reach
                    && back
                {
                    let after = now.since(since.mono);
                    // It may be another server now.
                    (self.known.version, self.due.tags) = (None, now);
                    self.tell(None, What::ServerBack { after });
                }
                if matches!(self.known.reach, Reach::Connecting) && self.known.tags_at.is_none() {
                    self.due.tags = now;
                }
                self.known.reach = Reach::Up { latency: now.since(sent.mono) };
                self.known.ps_asked = Some(sent);
                let (asked, mut moved) = (self.acts.asked(), false);
                for (model, what) in observe::ps(&mut self.known, fresh, &asked, back, now) {
                    if let (Some(model), What::Pinned) = (&model, &what) {
                        self.known.suspended_pins.remove(model);
                    }
                    moved |=
                        matches!(what, What::Loaded { .. } | What::Evicted { .. } | What::Unloaded { .. });
                    self.tell(model, what);
                }
                moved |= self.known.departures.values().any(|open| open.at == now);
                self.close_departures(now);
                // What the forecast goes by is read anew at once.
                self.cards.as_ref().filter(|_| moved).inspect(|cards| cards.wake());
                self.follow_if_keeping();
                self.known.learn_mode();
                for (model, what) in self.acts.settle(&mut self.known, now) {
                    self.tell(Some(model), what);
                }
                self.keep.is_due = true;
                self.no_list_is_no_server(now);
            }
            Err(ask::Silence::Slow) => {
                if let Reach::Up { .. } | Reach::Connecting = self.known.reach {
                    self.known.reach = Reach::Slow { since: sent };
                }
            }
            Err(ask::Silence::Gone { answers, why }) => {
                let since = if let Reach::Down { since, .. } = &self.known.reach {
                    *since
                } else {
                    self.tell(None, What::ServerGone { why: why.clone() });
                    now
                };
                self.known.reach = Reach::Down { since, answers, why };
                self.acts.give_up_looking(now);
            }
        }
        self.due.ps = self.next_ps(now);
    }

    /// A period after the last poll ended; shorter while an act runs on a server that can bear it.
    pub(super) fn next_ps(&self, now: Moment) -> Moment {
        let mut calm = self.known.config.ui.refresh.max(Duration::from_secs(1));
        if self.due.eased {
            calm = calm.max(EASED);
        }
        let busy = (self.acts.any_live() || self.acts.any_unseen()) && self.known.ps_is_safe();
        let ended = self.due.ps_ended.unwrap_or(now);
        let next = ended.mono + if busy { ACT_PERIOD.min(calm) } else { calm };
        Moment { mono: next.max(now.mono), ..now }
    }
}

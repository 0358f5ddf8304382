//! Goals: what `/api/ps` must show for an act to be done that is not done when it is answered.

use crate::engine::facts::Running;
use crate::residency::expiry::Expiry;
use crate::residency::timing::Moment;

/// What must be shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    Gone,
    Forever,
    NotForever,
    Renewed { from: Option<Expiry> },
}

impl Goal {
    /// Whether a model that is listed like this, or not at all, shows it.
    pub(super) fn is_shown(self, running: Option<&Running>, now: Moment) -> bool {
        let forever = running.is_some_and(|running| running.expiry == Expiry::Never);
        match self {
            Goal::Gone => running.is_none(),
            Goal::Forever => forever,
            Goal::NotForever => running.is_some() && !forever,
            Goal::Renewed { from } => running.is_some_and(|running| {
                Some(running.expiry) != from || forever || running.expiry.is_past(now.wall)
            }),
        }
    }
}

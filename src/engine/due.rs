//! What the manager has to ask next: what is due when, and what is under way.

use crate::residency::bytes::Bytes;
use crate::residency::timing::Moment;

/// What is due when, and what is under way.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one question under way each")]
pub(crate) struct Due {
    pub ps: Moment,
    pub ps_sent: Option<Moment>,
    pub ps_ended: Option<Moment>,
    pub ps_late: bool,
    /// Nobody looks at the server now.
    pub eased: bool,
    pub tags: Moment,
    pub tags_sent: bool,
    pub version: Moment,
    pub version_sent: bool,
    pub show_sent: bool,
    pub files: bool,
    pub files_sent: bool,
    pub pages: Moment,
    /// How large the machine's page cache was at the last round.
    pub page_cache: Option<Bytes>,
    pub runners: Moment,
    pub leaving: Moment,
    pub next_event: u64,
    pub next_own: u64,
}

impl Due {
    /// All is due at once.
    pub fn at_start(now: Moment) -> Due {
        Due {
            ps: now,
            ps_sent: None,
            ps_ended: None,
            ps_late: false,
            eased: false,
            tags: now,
            tags_sent: false,
            version: now,
            version_sent: false,
            show_sent: false,
            files: false,
            files_sent: false,
            pages: now,
            page_cache: None,
            runners: now,
            leaving: now,
            next_event: 1,
            next_own: 0,
        }
    }
}

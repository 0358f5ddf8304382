//! Facts: what the server said of one model, and what watching it taught.

use jiff::Timestamp;

use crate::residency::bytes::Bytes;
use crate::residency::expiry::Expiry;
use crate::residency::forecast::Shape;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::Details;
use crate::residency::timing::Moment;

/// One model of `/api/tags`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Installed {
    /// Digest of its manifest.
    pub digest: String,
    /// On disk.
    pub size: Bytes,
    /// What the server says of it.
    pub details: Details,
}

/// One model of `/api/ps`, and what was learned by watching it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Running {
    /// Digest of its manifest.
    pub digest: String,
    /// What the server says of it.
    pub details: Details,
    /// All its buffers.
    pub size: Bytes,
    /// Those on the card.
    pub size_vram: Bytes,
    /// Its context length.
    pub context: Option<u64>,
    /// When it will go.
    pub expiry: Expiry,
    /// Learned from jumps of `expires_at`.
    pub keep_alive: Option<KeepAlive>,
    /// How many polls in a row `expires_at` slid along with the time.
    pub slides: u32,
    /// `expires_at` moved into the past: somebody asked for its unload, or it works past its time.
    pub cut_short: bool,
    /// Its runner, once seen.
    pub pid: Option<u32>,
    /// Looks at the runners in a row that did not show one for it.
    pub unseen: u32,
}

impl Running {
    /// One that is wholly on the card and stays, of which nothing else was learned.
    #[cfg(test)]
    pub fn listed(digest: &str, size: Bytes) -> Running {
        Running {
            digest: digest.to_owned(),
            details: Details::default(),
            size,
            size_vram: size,
            context: None,
            expiry: Expiry::Never,
            keep_alive: None,
            slides: 0,
            cut_short: false,
            pid: None,
            unseen: 0,
        }
    }

    /// Whether somebody used it since it was `before`: then its time was set anew, or still slides.
    pub fn was_used_since(&self, before: &Running) -> bool {
        self.slides > 0
            || matches!((before.expiry, self.expiry), (Expiry::At(was), Expiry::At(is)) if is > was)
    }
}

/// What `/api/show` adds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shown {
    /// What it can do; 0.24 says so only here.
    pub capabilities: Vec<String>,
    /// The context it was trained for.
    pub train_context: Option<u64>,
    /// Inputs of the forecast; the file's size comes from the blobs.
    pub shape: Shape,
    /// Bytes of KV cache for one token, by the true dimensions of all layers.
    pub per_token: Option<u64>,
    /// Tokens that it knows, where that is said.
    pub vocabulary: Option<u64>,
    /// Its weights as the server sees them; may be a path inside a container.
    pub weights: Option<String>,
}

/// A load under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loading {
    /// Since when it is seen.
    pub since: Moment,
    /// Whether we asked for it.
    pub ours: bool,
    /// When the server answered ours; `/api/ps` is still to list it.
    pub answered: Option<Moment>,
    /// Percent that was in RAM then.
    pub from_ram: Option<u8>,
}

/// What a new `/api/ps` entry says against the one before, seen at polls `before` and `now`.
pub(crate) fn learn(fresh: &mut Running, old: Option<&Running>, before: Option<Timestamp>, now: Timestamp) {
    let Some(old) = old else {
        fresh.keep_alive = match fresh.expiry {
            Expiry::Never => Some(KeepAlive::Forever),
            _ => before.and_then(|before| fresh.expiry.betrays(before, now)),
        };
        return;
    };
    (fresh.keep_alive, fresh.slides) = (old.keep_alive, 0);
    (fresh.pid, fresh.unseen) = (old.pid, old.unseen);
    fresh.cut_short = old.cut_short && fresh.expiry.is_past(now);
    if fresh.expiry == old.expiry {
        return;
    }
    match (old.expiry, fresh.expiry) {
        (Expiry::At(was), Expiry::At(is)) if is < was && is <= now => fresh.cut_short = true,
        (_, Expiry::Never) => fresh.keep_alive = Some(KeepAlive::Forever),
        (Expiry::At(was), Expiry::At(is)) => {
            let moved = is.duration_since(was).as_millis();
            let passed = before.map_or(0, |before| now.duration_since(before).as_millis());
            if (moved - passed).abs() < 150 {
                fresh.slides = old.slides + 1;
            }
            fresh.keep_alive = before.and_then(|before| fresh.expiry.betrays(before, now)).or(old.keep_alive);
        }
        _ => {
            fresh.keep_alive = before.and_then(|before| fresh.expiry.betrays(before, now)).or(old.keep_alive);
        }
    }
}

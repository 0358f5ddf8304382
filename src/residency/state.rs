//! A model's state and tiers, decided from what is known of it.

use std::time::Duration;

use super::bytes::Bytes;
use super::expiry::Expiry;
use super::snapshot::State;
use super::tier::{Cached, Tiers};
use super::timing::Moment;

/// How long past its time an idle model may stay before it is overdue: an unload takes the server up to five
/// seconds (sched.go:101, the wait for VRAM to recover).
const GRACE: Duration = Duration::from_secs(6);

/// From this share on, a model that is not loaded counts as in RAM: one percent.
const LEAST_PERCENT: u8 = 1;

/// What the decision needs.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each from another source")]
pub struct Facts<'a> {
    /// It runs in the cloud.
    pub cloud: bool,
    /// A load of it is under way: since when, and whether it is ours.
    pub loading: Option<(Moment, bool)>,
    /// Where it is loaded: when it will go.
    pub expiry: Option<Expiry>,
    /// An unload of ours waits for it to go.
    pub unload_asked: bool,
    /// Its runner was seen and is gone.
    pub runner_gone: bool,
    /// The runner itself says whether it works; `None` where it cannot be asked.
    pub runner_busy: Option<bool>,
    /// `expires_at` slides with every poll: its first request still runs.
    pub sliding: bool,
    /// Its files are on this machine.
    pub here: bool,
    /// Its share in the page cache.
    pub cached: &'a Cached,
    /// Its size on disk.
    pub size: Bytes,
}

/// The state that follows from the facts, at `now`.
pub fn state(facts: &Facts<'_>, now: Moment) -> State {
    if facts.cloud {
        return State::Cloud;
    }
    let Some(expiry) = facts.expiry else { return unloaded(facts) };
    if facts.runner_gone {
        return State::Ghost;
    }
    if facts.unload_asked {
        return State::Unloading;
    }
    let past = expiry.is_past(now.wall);
    match (facts.runner_busy, past) {
        (Some(true), _) => State::Busy,
        (_, false) if facts.sliding => State::Busy,
        (_, false) => State::Idle,
        (Some(false), true) if overdue(expiry, now) => State::Overdue,
        (_, true) => State::BusyOrUnloading,
    }
}

fn overdue(expiry: Expiry, now: Moment) -> bool {
    matches!(expiry, Expiry::At(at)
        if Duration::try_from(now.wall.duration_since(at)).is_ok_and(|late| late > GRACE))
}

fn unloaded(facts: &Facts<'_>) -> State {
    if let Some((since, ours)) = facts.loading {
        return State::Loading { since, ours };
    }
    if !facts.here {
        return State::NotHere;
    }
    match facts.cached.bytes().map(|bytes| bytes.percent_of(facts.size)) {
        None => State::NotLoaded,
        Some(percent) if percent < LEAST_PERCENT => State::OnDisk,
        Some(percent) => State::InRam { percent, estimate: facts.cached.is_estimate() },
    }
}

/// Where the bytes of a model of `size` on disk are. A loaded model's split is the server's (`size_vram` of
/// `size`), scaled to the file; the rest is in the runner's RAM. An unloaded one's is the page cache's.
pub fn tiers(size: Bytes, loaded: Option<(Bytes, Bytes)>, cached: &Cached, here: bool) -> Tiers {
    if let Some((whole, vram)) = loaded {
        let vram = Bytes(vram.0.min(whole.0));
        let on_card = if whole.0 == 0 {
            Bytes::ZERO
        } else {
            Bytes(
                u64::try_from(u128::from(size.0) * u128::from(vram.0) / u128::from(whole.0))
                    .unwrap_or(size.0),
            )
        };
        return Tiers { vram: on_card, ram: size.minus(on_card), ..Tiers::default() };
    }
    match cached.bytes() {
        Some(bytes) if here => {
            let ram = Bytes(bytes.0.min(size.0));
            Tiers { ram, disk: size.minus(ram), ..Tiers::default() }
        }
        _ => Tiers { unknown: size, ..Tiers::default() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Moment {
        Moment { mono: Instant::now(), wall: "2026-11-23T12:00:00Z".parse().unwrap() }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is a field's value")]
    fn at(text: &str) -> Option<Expiry> {
        Some(Expiry::At(text.parse().unwrap()))
    }

    fn facts(cached: &Cached) -> Facts<'_> {
        Facts {
            cloud: false,
            loading: None,
            expiry: None,
            unload_asked: false,
            runner_gone: false,
            runner_busy: None,
            sliding: false,
            here: true,
            cached,
            size: Bytes(1000),
        }
    }

    #[test]
    fn the_state_of_a_loaded_model_by_what_is_known_of_it() {
        let cached = Cached::Unread;
        let later = at("2026-11-23T12:05:00Z");
        let just_past = at("2026-11-23T11:59:58Z");
        let long_past = at("2026-11-23T11:59:00Z");
        let base = facts(&cached);
        for (facts, expected) in [
            (Facts { expiry: later, ..base }, State::Idle),
            (Facts { expiry: Some(Expiry::Never), ..base }, State::Idle),
            (Facts { expiry: later, sliding: true, ..base }, State::Busy),
            (Facts { expiry: later, runner_busy: Some(true), ..base }, State::Busy),
            (Facts { expiry: just_past, ..base }, State::BusyOrUnloading),
            (Facts { expiry: long_past, ..base }, State::BusyOrUnloading),
            (Facts { expiry: long_past, runner_busy: Some(true), ..base }, State::Busy),
            (Facts { expiry: just_past, runner_busy: Some(false), ..base }, State::BusyOrUnloading),
            (Facts { expiry: long_past, runner_busy: Some(false), ..base }, State::Overdue),
            (Facts { expiry: later, unload_asked: true, ..base }, State::Unloading),
            (Facts { expiry: later, runner_gone: true, ..base }, State::Ghost),
            (Facts { cloud: true, ..base }, State::Cloud),
        ] {
            assert_eq!(state(&facts, now()), expected, "{facts:?}");
        }
    }

    #[test]
    fn the_state_of_an_unloaded_model_follows_the_page_cache() {
        for (cached, expected) in [
            (Cached::Exact(Bytes(0)), State::OnDisk),
            (Cached::Exact(Bytes(620)), State::InRam { percent: 62, estimate: false }),
            (Cached::Sampled(Bytes(1000)), State::InRam { percent: 100, estimate: true }),
            (Cached::Unknown("hidden".into()), State::NotLoaded),
            (Cached::Unread, State::NotLoaded),
        ] {
            assert_eq!(state(&facts(&cached), now()), expected);
        }
        let cached = Cached::Unread;
        assert_eq!(state(&Facts { here: false, ..facts(&cached) }, now()), State::NotHere);
    }

    #[test]
    fn tiers_always_sum_to_the_size() {
        let size = Bytes(1000);
        for (loaded, cached, here) in [
            (None, Cached::Exact(Bytes(400)), true),
            (None, Cached::Exact(Bytes(4000)), true),
            (None, Cached::Unknown(String::new()), true),
            (None, Cached::Exact(Bytes(1)), false),
            (Some((Bytes(1200), Bytes(1200))), Cached::Unread, true),
            (Some((Bytes(1200), Bytes(600))), Cached::Unread, true),
            (Some((Bytes(0), Bytes(0))), Cached::Unread, true),
            (Some((Bytes(10), Bytes(u64::MAX))), Cached::Unread, true),
        ] {
            assert_eq!(tiers(size, loaded, &cached, here).whole(), size);
        }
        assert_eq!(
            tiers(size, Some((Bytes(1200), Bytes(600))), &Cached::Unread, true),
            Tiers { vram: Bytes(500), ram: Bytes(500), ..Tiers::default() }
        );
    }
}

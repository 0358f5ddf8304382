//! Foreseeing: what is known of the models, the cards and the server, put as the forecast and the fit ask for it.

use std::time::Duration;

use super::facts::{Running, Shown};
use super::known::Known;
use crate::residency::bytes::Bytes;
use crate::residency::expiry::Expiry;
use crate::residency::fit::{Fit, Sizes, Wanted, fit};
use crate::residency::forecast::{Forecast, Resident, Room, Shape, forecast};
use crate::residency::host::{Card, Cards};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::timing::Moment;

/// What a load of any model would meet.
pub(crate) struct Prospect {
    residents: Vec<Resident>,
    rooms: Vec<Room>,
}

impl Prospect {
    /// `None` where the cards of the server's machine are not known, so that nothing can be foreseen.
    pub fn of(known: &Known, now: Moment) -> Option<Prospect> {
        Some(Prospect { rooms: rooms(known)?, residents: residents(known, now) })
    }

    /// What loading a model that is not loaded would do and come to.
    pub fn load(&self, known: &Known, name: &ModelName) -> Option<(Forecast, Fit)> {
        let shown = known.installed.get(name).and_then(|model| known.shown.get(&model.digest))?;
        let file = known
            .weights(name)
            .map(|blob| blob.size)
            .or_else(|| known.installed.get(name).map(|model| model.size))?;
        let asked =
            known.context_for(name).unwrap_or_else(|| default_context(known.version.as_deref(), &self.rooms));
        let context = shown.train_context.map_or(asked, |most| asked.min(most));
        let files: Bytes = known.blobs(name).iter().map(|blob| blob.size).sum();
        let nothing = Sizes::default();
        let wanted = Wanted {
            shape: Shape { file, context, ..shown.shape },
            per_token: shown.per_token,
            beside: files.minus(file) + batch(shown),
            sizes: known.sizes.get(name).unwrap_or(&nothing),
        };
        let forecast = forecast(&wanted.shape, &self.residents, &self.rooms);
        let fit = fit(&wanted, &forecast, &self.residents, &self.rooms);
        Some((forecast, fit))
    }
}

/// The compute buffer: llama.cpp makes room for the logits of one batch of 512 tokens, as 32-bit numbers.
fn batch(shown: &Shown) -> Bytes {
    Bytes(shown.vocabulary.unwrap_or(0).saturating_mul(512 * 4))
}

/// Who is in VRAM, as the victim's choice sees them; each runner once.
fn residents(known: &Known, now: Moment) -> Vec<Resident> {
    let cards = known.card_list();
    known
        .running
        .iter()
        .map(|(name, running)| Resident {
            name: name.clone(),
            vram: running.size_vram,
            on: by_card(known, name, cards),
            keep_alive: keep_alive(running, now),
            blob: blob(known, name, running),
            busy: is_busy(known, name, running, now),
        })
        .collect()
}

/// The digest of its weights, by which the server breaks ties: as its files have it, else as the server names them.
fn blob(known: &Known, name: &ModelName, running: &Running) -> String {
    if let Some(blob) = known.weights(name) {
        return blob.digest.clone();
    }
    let path = known.shown.get(&running.digest).and_then(|shown| shown.weights.as_deref());
    let file = path.and_then(|path| path.rsplit(['/', '\\']).next());
    file.map_or_else(|| running.digest.clone(), |file| file.replacen("sha256-", "sha256:", 1))
}

/// What a model has on each of several cards, where the driver tells it of its runner.
fn by_card(known: &Known, name: &ModelName, cards: &[Card]) -> Vec<Bytes> {
    let Some(runner) = known.runner(name).filter(|_| cards.len() > 1) else { return Vec::new() };
    let on: Vec<Bytes> = cards.iter().map(|card| card.used_by(runner.pid)).collect();
    if on.iter().all(|used| *used == Bytes::ZERO) { Vec::new() } else { on }
}

/// What a model has on one of several cards, as far as the driver tells.
fn on_card(known: &Known, name: &ModelName, cards: &[Card], at: usize) -> Bytes {
    by_card(known, name, cards).get(at).copied().unwrap_or_default()
}

/// The server sets the time of what is asked to go to nothing. Before one was learned, it is no less than what is left
/// of it.
fn keep_alive(running: &Running, now: Moment) -> Option<KeepAlive> {
    if running.cut_short {
        return Some(KeepAlive::For(Duration::ZERO));
    }
    let left = || running.expiry.remaining(now).filter(|left| *left > KeepAlive::SERVERS_DEFAULT);
    running.keep_alive.or_else(|| left().map(KeepAlive::For))
}

/// At work, as far as it can be seen: its runner says so, its time slides since its first request has not ended, or its
/// time is past and nobody asked it to go.
fn is_busy(known: &Known, name: &ModelName, running: &Running, now: Moment) -> bool {
    let is_past = matches!(running.expiry, Expiry::At(_)) && running.expiry.is_past(now.wall);
    let says = known.runner(name).and_then(|runner| runner.busy);
    running.slides >= 2 || says.unwrap_or(is_past && !running.cut_short)
}

/// The cards as the server counts them: what the driver says is free, and no more than its own runners leave
/// (sched.go:1295-1335). A reading from before a load's end shows what that load took as free still.
fn rooms(known: &Known) -> Option<Vec<Room>> {
    if !known.local {
        return None;
    }
    match &known.cards.as_ref()?.value {
        Cards::Known(cards) => {
            let leave = |at: usize, card: &Card| match cards.len() {
                1 => card.total.minus(known.runs().map(|(_, running)| running.size_vram).sum()),
                _ => card.total.minus(known.runs().map(|(name, _)| on_card(known, name, cards, at)).sum()),
            };
            let room =
                |(at, card): (usize, &Card)| Room { total: card.total, free: card.free.min(leave(at, card)) };
            Some(cards.iter().enumerate().map(room).collect())
        }
        Cards::Unread | Cards::Unknown(_) => {
            // Loaded without any VRAM: the server itself runs on the CPU.
            let on_cpu =
                !known.running.is_empty() && known.running.values().all(|r| r.size_vram == Bytes::ZERO);
            on_cpu.then(Vec::new)
        }
    }
}

/// The server's default context: by the VRAM of all cards since 0.15.5 (routes.go:2050-2057), 4096 before.
fn default_context(version: Option<&str>, rooms: &[Room]) -> u64 {
    if version.is_some_and(|version| parts(version) < [0, 15, 5]) {
        return 4_096;
    }
    match rooms.iter().map(|room| room.total).sum::<Bytes>().gib() {
        gib if gib >= 47.0 => 262_144,
        gib if gib >= 23.0 => 32_768,
        _ => 4_096,
    }
}

/// A version's first three numbers.
pub(super) fn parts(version: &str) -> [u32; 3] {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::GIB;
    use crate::residency::timing::Reading;

    #[test]
    fn a_reading_from_before_a_load_does_not_show_its_room_as_free() {
        let at = Moment {
            #[expect(clippy::disallowed_methods, reason = "any instant will do")]
            mono: std::time::Instant::now(),
            wall: jiff::Timestamp::UNIX_EPOCH,
        };
        let mut known = Known::new(std::sync::Arc::default(), "host".into(), true, None);
        let card = |free| Card { total: Bytes(8 * GIB), free: Bytes(free * GIB), ..Card::default() };
        let free = |known: &mut Known, free: u64| {
            known.cards = Some(Reading { value: Cards::Known(vec![card(free)]), at });
            rooms(known).unwrap()[0].free
        };
        assert_eq!(free(&mut known, 8), Bytes(8 * GIB));
        let running = Running::listed("", Bytes(5 * GIB));
        known.running.insert(ModelName::from_server("a"), running);
        assert_eq!(free(&mut known, 8), Bytes(3 * GIB));
        assert_eq!(free(&mut known, 2), Bytes(2 * GIB), "other programs hold some");
        known.ghosts.push(ModelName::from_server("a"));
        assert_eq!(free(&mut known, 8), Bytes(8 * GIB), "a ghost holds nothing");
    }

    #[test]
    fn the_default_context_follows_the_version_and_all_the_cards() {
        let cards = |gib: &[u64]| -> Vec<Room> {
            gib.iter().map(|gib| Room { total: Bytes(gib * GIB), free: Bytes::ZERO }).collect()
        };
        for (version, gib, context) in [
            (Some("0.32.15"), &[8][..], 4096),
            (Some("0.32.15"), &[12, 12], 32_768),
            (None, &[48], 262_144),
            (Some("0.15.4"), &[48], 4096),
            (Some("0.15.5-rc1"), &[24], 32_768),
            (Some("0.33.0"), &[], 4096),
        ] {
            assert_eq!(default_context(version, &cards(gib)), context, "{version:?} {gib:?}");
        }
    }
}

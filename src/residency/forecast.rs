//! The forecast: what the server will do when a model is loaded, computed by the rules of its own scheduler.
//!
//! Source of the rules: Ollama `server/sched.go` and `llm/llama_server.go` at v0.33.0-rc2. A forecast is never a
//! measurement: front ends mark it `~`.

use std::time::Duration;

use super::bytes::Bytes;
use super::keep_alive::KeepAlive;
use super::name::ModelName;

/// What loading a model would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Who would be evicted, in the server's order; empty if it fits.
    pub evicts: Vec<ModelName>,
    /// Why, in a few words.
    pub why: String,
}

/// What the formula needs of the model that is to be loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Size of the weights' file.
    pub file: Bytes,
    /// `block_count`.
    pub layers: u64,
    /// `attention.head_count_kv`, the smallest of all layers.
    pub kv_heads: u64,
    /// `attention.head_count`, the largest of all layers.
    pub heads: u64,
    /// `embedding_length`.
    pub embedding: u64,
    /// The context it will run with, cut to what it was trained for; 0 if unknown.
    pub context: u64,
}

impl Shape {
    /// What the server expects it to take in VRAM, one parallel slot, 16-bit cache (llama_server.go:2681-2700).
    pub fn predicted(&self) -> Bytes {
        let head = self.embedding.checked_div(self.heads).unwrap_or(0);
        let cache = [2, self.layers, self.kv_heads, head, self.context, 2]
            .into_iter()
            .fold(1_u64, u64::saturating_mul);
        self.file + Bytes(cache)
    }
}

/// A loaded model, as the victim's choice sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Its name.
    pub name: ModelName,
    /// What it frees on the cards.
    pub vram: Bytes,
    /// That by card; empty where only the sum is known.
    pub on: Vec<Bytes>,
    /// Its keep_alive; `None` where it was not learned: taken as the server's default.
    pub keep_alive: Option<KeepAlive>,
    /// Path or digest of its blob: the tie-break.
    pub blob: String,
    /// Whether it works on a request.
    pub busy: bool,
}

/// The card side: memory per card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub total: Bytes,
    /// Not in use by anybody now.
    pub free: Bytes,
}

impl Room {
    /// What a model can get there.
    pub(super) fn usable(&self) -> Bytes {
        Bytes(self.free.0.min(self.total.0))
    }
}

/// Whether a prediction is at most 80 % of what is free (sched.go:550-560).
pub(super) fn is_enough(needed: Bytes, room: Bytes) -> bool {
    u128::from(needed.0) * 10 <= u128::from(room.0) * 8
}

/// Models that a server holds at most when nobody set `OLLAMA_MAX_LOADED_MODELS`: three a card, at least three
/// (sched.go:280-291).
fn most_loaded(cards: usize) -> usize {
    3 * cards.max(1)
}

/// What the server will do when `shape` is loaded beside `residents` on `cards`.
///
/// Room is short when the prediction is above 80 % of what is free (sched.go:550-560); one card that is enough wins
/// over several together. Each victim is the first idle model by keep_alive, then blob (sched.go:1557-1578,
/// 1664-1693); room is looked at again after each.
pub fn forecast(shape: &Shape, residents: &[Resident], cards: &[Room]) -> Forecast {
    let mut left: Vec<&Resident> = residents.iter().collect();
    left.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.blob.cmp(&b.blob)));
    let mut freed = Bytes::ZERO;
    let mut evicts = Vec::new();
    let needed = shape.predicted();
    let mut why = None;
    loop {
        let short = if left.is_empty() {
            None
        } else if left.len() >= most_loaded(cards.len()) {
            Some(format!("{} models are loaded, the server's limit", left.len()))
        } else {
            short_of(needed, cards, freed)
        };
        let Some(reason) = short else { break };
        why.get_or_insert(reason);
        let at = left.iter().position(|resident| !resident.busy).unwrap_or(0);
        let victim = left.remove(at);
        freed += victim.vram;
        evicts.push(victim.name.clone());
    }
    let why = why.unwrap_or_else(|| match cards {
        [] => "no card: only the number of models counts".to_owned(),
        _ if residents.is_empty() => "nothing else is loaded".to_owned(),
        _ => format!("needs {:.1} GiB", needed.gib()),
    });
    Forecast { evicts, why }
}

/// The time by which victims are sorted; for ever comes last.
fn order(resident: &Resident) -> Duration {
    match resident.keep_alive {
        Some(KeepAlive::Forever) => Duration::MAX,
        Some(KeepAlive::For(time)) => time,
        None => KeepAlive::SERVERS_DEFAULT,
    }
}

/// Why it does not fit, or `None` if it does. The one card that is enough is looked for first, then all together: what
/// decides is all of them, wherever the room is freed.
fn short_of(needed: Bytes, cards: &[Room], freed: Bytes) -> Option<String> {
    if cards.is_empty() {
        return None;
    }
    let all = cards.iter().map(Room::usable).sum::<Bytes>() + freed;
    if is_enough(needed, all) {
        return None;
    }
    Some(format!("needs {:.1} GiB, the server fills {:.1} free GiB to 80 %", needed.gib(), all.gib()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::GIB;

    fn resident(name: &str, vram: u64, minutes: Option<u64>, blob: &str, busy: bool) -> Resident {
        let keep_alive = minutes
            .map(|m| if m == 0 { KeepAlive::Forever } else { KeepAlive::For(Duration::from_secs(m * 60)) });
        Resident {
            name: ModelName::from_server(name),
            vram: Bytes(vram * GIB),
            on: Vec::new(),
            keep_alive,
            blob: blob.into(),
            busy,
        }
    }

    fn of(gib: u64) -> Shape {
        Shape { file: Bytes(gib * GIB), ..Shape::default() }
    }

    fn card(total: u64, free: u64) -> Room {
        Room { total: Bytes(total * GIB), free: Bytes(free * GIB) }
    }

    fn names(forecast: &Forecast) -> Vec<String> {
        forecast.evicts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_cache_is_counted_as_the_server_counts_it() {
        let shape =
            Shape { file: Bytes(1000), layers: 28, kv_heads: 4, heads: 28, embedding: 3584, context: 4096 };
        assert_eq!(shape.predicted(), Bytes(1000 + 2 * 28 * 4 * 128 * 4096 * 2));
    }

    #[test]
    fn what_fits_evicts_nobody() {
        let loaded = [resident("a", 3, Some(5), "1", false)];
        assert_eq!(names(&forecast(&of(4), &loaded, &[card(8, 5)])), Vec::<String>::new());
    }

    #[test]
    fn above_eighty_percent_the_shortest_keep_alive_goes_first_then_the_smallest_blob() {
        let loaded = [
            resident("long", 2, Some(60), "1", false),
            resident("late", 2, Some(5), "9", false),
            resident("early", 2, Some(5), "2", false),
        ];
        assert_eq!(names(&forecast(&of(3), &loaded[..1], &[card(8, 4)])), Vec::<String>::new());
        assert_eq!(names(&forecast(&of(3), &loaded, &[card(8, 2)])), ["early"]);
        assert_eq!(names(&forecast(&of(4), &loaded, &[card(8, 2)])), ["early", "late"]);
    }

    #[test]
    fn an_idle_pinned_model_goes_before_a_busy_one() {
        let loaded = [resident("busy", 3, Some(5), "1", true), resident("pinned", 3, Some(0), "2", false)];
        assert_eq!(names(&forecast(&of(3), &loaded, &[card(8, 2)])), ["pinned"]);
    }

    #[test]
    fn a_model_too_large_for_the_card_evicts_all_and_then_loads() {
        let loaded = [resident("a", 3, Some(5), "1", false)];
        assert_eq!(names(&forecast(&of(9), &loaded, &[card(8, 5)])), ["a"]);
        assert_eq!(names(&forecast(&of(9), &[], &[card(8, 8)])), Vec::<String>::new());
    }

    #[test]
    fn without_a_card_only_the_number_of_models_counts() {
        let loaded = ["1", "2", "3"].map(|blob| resident(blob, 0, None, blob, false));
        assert_eq!(names(&forecast(&of(50), &loaded, &[])), ["1"]);
        assert_eq!(names(&forecast(&of(50), &loaded[..2], &[])), Vec::<String>::new());
    }
}

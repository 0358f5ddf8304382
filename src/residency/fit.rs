//! The fit: how much memory a model would take at a context, on which card it would lie, and what does not fit there.
//!
//! The server decides whom it evicts by a simple formula ([`Shape::predicted`]); how large a model really gets is
//! another matter, told here by its true dimensions and by what earlier loads showed. All of it is shown with `~`.

use std::collections::BTreeMap;

use super::bytes::{Bytes, GIB};
use super::forecast::{Forecast, Resident, Room, Shape, is_enough};

/// What loading a model would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// The context that the load would carry, or get where it carries none.
    pub context: u64,
    /// All its buffers.
    pub size: Bytes,
    /// The KV cache's part of that; `None` where its dimensions are not known.
    pub cache: Option<Bytes>,
    /// Told by the size of loads that were seen here.
    pub learned: bool,
    /// What the server expects it to take: by this it evicts.
    pub expected: Bytes,
    /// The most that it lets in beside others: 80 % of what is free; `None` without a card.
    pub limit: Option<Bytes>,
    /// Where it would lie.
    pub place: Place,
}

/// Where a model would lie once those have gone who must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The server has no card: it lies in RAM.
    NoCard,
    /// Whole on the card.
    Whole {
        /// What is then left there.
        left: Bytes,
        /// On which.
        card: OnCard,
    },
    /// Larger than what is left: the rest lies in RAM.
    Partly {
        /// The cards would not hold it either if they were empty.
        too_big: bool,
        /// This much of it on the card.
        on_card: Bytes,
        /// On which.
        card: OnCard,
    },
}

/// Which card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCard {
    /// There is but one.
    Only,
    /// The one with this number, from 0.
    Number(usize),
    /// Spread over all: no single one is enough.
    All,
    /// One of several; where the victims lie is not known, so nobody can say which.
    Unknown,
}

/// What is known of the model that would be loaded.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its weights and context, as the server reckons with them.
    pub shape: Shape,
    /// Bytes of KV cache for one token; `None` where its dimensions are not known.
    pub per_token: Option<u64>,
    /// What comes beside weights and cache, as far as that is known.
    pub beside: Bytes,
    /// What loads before showed.
    pub sizes: &'a Sizes,
}

/// The sizes of one model that the server reported, by context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes(BTreeMap<u64, Bytes>);

impl Sizes {
    /// Takes in what the server reports of it while it is loaded.
    pub fn note(&mut self, context: u64, size: Bytes) {
        self.0.insert(context, size);
    }

    /// Takes in what was reported before this process looked: what it has seen itself stays.
    pub fn remember(&mut self, context: u64, size: Bytes) {
        self.0.entry(context).or_insert(size);
    }

    /// Its size with `context`: what was seen with it, else on a line through the two nearest that were, else from the
    /// one that was by what a token costs.
    fn at(&self, context: u64, per_token: Option<u64>) -> Option<Bytes> {
        if let Some(seen) = self.0.get(&context) {
            return Some(*seen);
        }
        let mut nearest: Vec<(u64, Bytes)> = self.0.iter().map(|(of, size)| (*of, *size)).collect();
        nearest.sort_by_key(|(of, _)| of.abs_diff(context));
        let (of, size) = *nearest.first()?;
        let wide = |bytes: u64| i128::from(bytes);
        let steps = wide(context) - wide(of);
        let grown = match nearest.get(1) {
            Some((other, other_size)) => {
                steps * (wide(other_size.0) - wide(size.0)) / (wide(*other) - wide(of))
            }
            None => steps * wide(per_token?),
        };
        Some(Bytes(u64::try_from(wide(size.0) + grown).unwrap_or(0)))
    }
}

/// What loading `wanted` beside `residents` would come to, `forecast` being who must go for it.
pub fn fit(wanted: &Wanted<'_>, forecast: &Forecast, residents: &[Resident], cards: &[Room]) -> Fit {
    let shape = &wanted.shape;
    let cache = wanted.per_token.map(|bytes| Bytes(bytes.saturating_mul(shape.context)));
    let learned = wanted.sizes.at(shape.context, wanted.per_token);
    let reckoned = || cache.map_or_else(|| shape.predicted(), |cache| shape.file + cache) + wanted.beside;
    let size = learned.unwrap_or_else(reckoned);
    let all_free: Bytes = cards.iter().map(Room::usable).sum();
    Fit {
        context: shape.context,
        size,
        cache,
        learned: learned.is_some(),
        expected: shape.predicted(),
        limit: (!cards.is_empty()).then(|| Bytes(all_free.0 / 5 * 4)),
        place: place(size, shape, forecast, residents, cards),
    }
}

/// The one card that is enough and has most free, else all of them (sched.go:972-1031); what of the model is then on it.
fn place(size: Bytes, shape: &Shape, forecast: &Forecast, residents: &[Resident], cards: &[Room]) -> Place {
    if cards.is_empty() {
        return Place::NoCard;
    }
    let mut free: Vec<Bytes> = cards.iter().map(Room::usable).collect();
    let mut is_sure = true;
    for victim in residents.iter().filter(|resident| forecast.evicts.contains(&resident.name)) {
        if let [only] = free.as_mut_slice() {
            *only += victim.vram;
        } else if victim.on.len() == free.len() {
            free.iter_mut().zip(&victim.on).for_each(|(free, freed)| *free += *freed);
        } else {
            is_sure = victim.vram == Bytes::ZERO && is_sure;
            // Somewhere; the one that has most is as good a guess as any.
            if let Some(most) = free.iter_mut().max() {
                *most += victim.vram;
            }
        }
    }
    for (free, card) in free.iter_mut().zip(cards) {
        *free = Bytes(free.0.min(card.total.0));
    }
    // The first of those that have as much as any.
    let best = (0..free.len()).rev().max_by_key(|&at| free[at]).unwrap_or(0);
    let is_alone = is_enough(shape.predicted(), free[best]);
    let card = match (cards.len(), is_alone) {
        (1, _) => OnCard::Only,
        _ if !is_sure => OnCard::Unknown,
        (_, true) => OnCard::Number(best),
        (_, false) => OnCard::All,
    };
    let used = if is_alone { best..=best } else { 0..=free.len() - 1 };
    let room: Bytes = used.clone().map(|at| free[at]).sum();
    let margin: Bytes = used.map(|at| margin_of(cards[at].total)).sum();
    if size + margin <= room {
        return Place::Whole { left: room.minus(size), card };
    }
    // As many whole layers as leave the margin; the output matrix counts as one more.
    let layer = size.0 / (shape.layers + 1);
    let layers = room.minus(margin).0.checked_div(layer).unwrap_or(0).min(shape.layers);
    let most: Bytes = cards.iter().map(|card| card.total.minus(margin_of(card.total))).sum();
    Place::Partly { too_big: size > most, on_card: Bytes(layers * layer), card }
}

/// What the runner leaves free on a card (llama.cpp's `--fit-target`): 1 GiB, less on a small one.
fn margin_of(total: Bytes) -> Bytes {
    Bytes(GIB.min(total.0 / 8))
}

/// How forecasts turned out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hits {
    /// Loads of which a forecast had named those who went, and nobody else.
    pub right: u32,
    /// Loads that were compared.
    pub seen: u32,
    /// How far the size of the latest load was off, as a share of what it took; below zero where it took more.
    pub size_error: Option<f64>,
}

impl Hits {
    /// Takes in one more load, later than all before: whether who went was foreseen, if that was compared; what was
    /// said that it would take on the card, and what it took.
    pub fn note(&mut self, right: Option<bool>, said: Option<Bytes>, took: Bytes) {
        self.seen += u32::from(right.is_some());
        self.right += u32::from(right == Some(true));
        if let Some(said) = said.filter(|_| took > Bytes::ZERO) {
            #[expect(clippy::cast_precision_loss, reason = "a percentage is shown")]
            let (said, took) = (said.0 as f64, took.0 as f64);
            self.size_error = Some((said - took) / took);
        }
    }
}

impl Place {
    /// How much of a model of that size is on the cards.
    pub fn on_card(&self, size: Bytes) -> Bytes {
        match self {
            Place::NoCard => Bytes::ZERO,
            Place::Whole { .. } => size,
            Place::Partly { on_card, .. } => *on_card,
        }
    }

    /// On which card.
    pub fn card(&self) -> Option<OnCard> {
        match self {
            Place::NoCard => None,
            Place::Whole { card, .. } | Place::Partly { card, .. } => Some(*card),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::forecast::forecast;
    use crate::residency::name::ModelName;

    fn of(gib: u64, sizes: &Sizes) -> Wanted<'_> {
        let shape = Shape { file: Bytes(gib * GIB), layers: 31, context: 1024, ..Shape::default() };
        Wanted { shape, per_token: Some(1 << 20), beside: Bytes::ZERO, sizes }
    }

    fn card(total: u64, free: u64) -> Room {
        Room { total: Bytes(total * GIB), free: Bytes(free * GIB) }
    }

    fn resident(gib: u64, on: &[u64]) -> Resident {
        Resident {
            name: ModelName::from_server("a:1b"),
            vram: Bytes(gib * GIB),
            on: on.iter().map(|gib| Bytes(gib * GIB)).collect(),
            keep_alive: None,
            blob: String::new(),
            busy: false,
        }
    }

    fn fits(wanted: &Wanted<'_>, residents: &[Resident], cards: &[Room]) -> Fit {
        fit(wanted, &forecast(&wanted.shape, residents, cards), residents, cards)
    }

    #[test]
    fn what_was_seen_once_tells_the_rest_by_the_price_of_a_token() {
        let mut sizes = Sizes::default();
        sizes.note(1000, Bytes(5000));
        assert_eq!(sizes.at(1000, None), Some(Bytes(5000)));
        assert_eq!((sizes.at(2000, None), sizes.at(2000, Some(2))), (None, Some(Bytes(7000))));
        assert_eq!(sizes.at(0, Some(6)), Some(Bytes(0)), "never below nothing");
        sizes.note(3000, Bytes(11_000));
        assert_eq!(
            sizes.at(2000, Some(2)),
            Some(Bytes(8000)),
            "two that were seen are better than a formula"
        );
        assert_eq!(Sizes::default().at(1, Some(1)), None);
    }

    #[test]
    fn it_fits_with_so_much_left_or_lies_partly_in_ram() {
        let sizes = Sizes::default();
        let small = fits(&of(4, &sizes), &[], &[card(8, 8)]);
        assert_eq!(small.place, Place::Whole { left: Bytes(3 * GIB), card: OnCard::Only });
        assert_eq!((small.size, small.cache), (Bytes(5 * GIB), Some(Bytes(GIB))));
        // 31 layers and the output matrix take 16 GiB: half a GiB each, and 7 GiB are left of a card of 8.
        let big = fits(&of(15, &sizes), &[], &[card(8, 8)]);
        assert_eq!(big.place, Place::Partly { too_big: true, on_card: Bytes(7 * GIB), card: OnCard::Only });
        // What fits beside others by the server's reckoning may still find too little room.
        let tight = fits(&of(3, &sizes), &[resident(3, &[])], &[card(8, 5)]);
        assert_eq!(tight.place, Place::Whole { left: Bytes(GIB), card: OnCard::Only });
        let tighter = fits(&of(3, &sizes), &[], &[Room { free: Bytes(5 * GIB - 1), ..card(8, 0) }]);
        assert!(matches!(tighter.place, Place::Partly { too_big: false, .. }), "{tighter:?}");
        assert_eq!(fits(&of(15, &sizes), &[], &[]).place, Place::NoCard);
    }

    #[test]
    fn what_the_victim_frees_counts_and_the_learned_size_wins() {
        let mut sizes = Sizes::default();
        sizes.note(1024, Bytes(6 * GIB));
        let fit = fits(&of(4, &sizes), &[resident(6, &[])], &[card(8, 2)]);
        assert_eq!(fit.place, Place::Whole { left: Bytes(2 * GIB), card: OnCard::Only });
        assert!(fit.learned);
        assert_eq!(fit.limit, Some(Bytes(2 * GIB / 5 * 4)));
    }

    #[test]
    fn of_several_cards_the_one_that_is_enough_with_most_free_is_taken_else_all() {
        let sizes = Sizes::default();
        let on = |wanted: u64, residents: &[Resident], cards: &[Room]| {
            fits(&of(wanted, &sizes), residents, cards).place.card()
        };
        assert_eq!(on(2, &[], &[card(8, 5), card(8, 7)]), Some(OnCard::Number(1)));
        assert_eq!(on(2, &[], &[card(8, 8), card(8, 8)]), Some(OnCard::Number(0)));
        assert_eq!(on(8, &[], &[card(8, 8), card(8, 8)]), Some(OnCard::All));
        let cards = [card(8, 1), card(8, 2)];
        assert_eq!(on(4, &[resident(7, &[7, 0])], &cards), Some(OnCard::Number(0)));
        assert_eq!(on(4, &[resident(7, &[])], &cards), Some(OnCard::Unknown));
    }

    #[test]
    fn hits_count_what_was_compared_and_keep_the_latest_error() {
        let mut hits = Hits::default();
        hits.note(Some(true), Some(Bytes(110)), Bytes(100));
        hits.note(Some(false), None, Bytes(100));
        hits.note(None, Some(Bytes(1)), Bytes::ZERO);
        assert_eq!((hits.right, hits.seen), (1, 2));
        assert!((hits.size_error.unwrap() - 0.1).abs() < 1e-9);
    }
}

//! Lookahead: which models are read into RAM while a phase works, and which go for them, when the steps to come are
//! known.
//!
//! The order is the order of need. What does not fit takes the place of what is needed later, and of that the model
//! that is needed last, or never again, goes first (Belady's rule). What only comes if a step fails takes free room,
//! but nothing goes for it.

use super::bytes::Bytes;
use super::name::ModelName;

/// A model as the plan needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// Its name.
    pub model: ModelName,
    /// All its files.
    pub size: Bytes,
    /// What of them is in RAM.
    pub in_ram: Bytes,
    /// It is there on purpose, so it counts against the budget.
    pub counts: bool,
    /// It is in VRAM or held by a person: it is never dropped.
    pub stays: bool,
}

/// What is known when a phase begins to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The models of the steps to come, in order; one may be there more than once.
    pub sure: Vec<ModelName>,
    /// Those of steps that only come if one fails.
    pub perhaps: Vec<ModelName>,
    /// What there is.
    pub stock: Vec<Stock>,
    /// What all models in RAM may take together.
    pub room: Bytes,
    /// A model may be dropped for another one.
    pub may_drop: bool,
}

/// One thing to do; in this order no step of the plan exceeds the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Its files are read.
    Warm(ModelName),
    /// All of it is there and stays.
    Keep(ModelName),
    /// Its files go.
    Drop(ModelName),
    /// There is no room for it.
    Refuse {
        /// Which.
        model: ModelName,
        /// Why, with the figures.
        why: String,
    },
}

/// Plans what is done while a phase works.
pub fn plan(outlook: &Outlook) -> Vec<Move> {
    let mut plan = Plan { outlook, there: outlook.stock.iter().map(counted).collect(), moves: Vec::new() };
    let mut seen: Vec<&ModelName> = Vec::new();
    let sure = outlook.sure.iter().map(|model| (model, outlook.may_drop));
    for (model, may_drop) in sure.chain(outlook.perhaps.iter().map(|model| (model, false))) {
        if !seen.contains(&model) {
            seen.push(model);
            plan.bring(model, may_drop);
        }
    }
    plan.moves
}

struct Plan<'a> {
    outlook: &'a Outlook,
    /// What each model counts for, once the moves so far are made.
    there: Vec<Bytes>,
    moves: Vec<Move>,
}

fn counted(stock: &Stock) -> Bytes {
    if stock.counts { stock.in_ram } else { Bytes::ZERO }
}

impl Plan<'_> {
    fn bring(&mut self, model: &ModelName, may_drop: bool) {
        let Some(at) = self.outlook.stock.iter().position(|stock| stock.model == *model) else { return };
        let stock = &self.outlook.stock[at];
        let was_dropped = self.moves.contains(&Move::Drop(model.clone()));
        if stock.counts && stock.in_ram >= stock.size && !was_dropped {
            return self.moves.push(Move::Keep(model.clone()));
        }
        let mut drops = Vec::new();
        // Sums of hostile sizes must not saturate: they would fit.
        let mut all = self.sum() - wide(self.there[at]) + wide(stock.size);
        while all > wide(self.outlook.room) {
            let victim = may_drop.then(|| self.victim(model, &drops)).flatten();
            let Some(victim) = victim else {
                let why = format!(
                    "{} and the models that are needed before it do not fit into {}",
                    stock.size, self.outlook.room
                );
                return self.moves.push(Move::Refuse { model: model.clone(), why });
            };
            all -= wide(self.there[victim]);
            drops.push(victim);
        }
        for victim in drops {
            self.there[victim] = Bytes::ZERO;
            self.moves.push(Move::Drop(self.outlook.stock[victim].model.clone()));
        }
        self.there[at] = stock.size;
        self.moves.push(Move::Warm(model.clone()));
    }

    fn sum(&self) -> u128 {
        self.there.iter().map(|bytes| wide(*bytes)).sum()
    }

    /// Of what is there, what is needed last of all that is needed later than `model`.
    fn victim(&self, model: &ModelName, but: &[usize]) -> Option<usize> {
        let need = self.next_need(model);
        let may_go = |at: &usize| {
            let stock = &self.outlook.stock[*at];
            !stock.stays
                && !but.contains(at)
                && self.there[*at] > Bytes::ZERO
                && self.next_need(&stock.model) > need
        };
        let all = (0..self.there.len()).filter(may_go);
        // Of those that are needed at the same time (never), the largest: fewer have to go.
        all.max_by_key(|at| (self.next_need(&self.outlook.stock[*at].model), self.there[*at]))
    }

    fn next_need(&self, model: &ModelName) -> usize {
        self.outlook.sure.iter().position(|needed| needed == model).unwrap_or(usize::MAX)
    }
}

fn wide(bytes: Bytes) -> u128 {
    bytes.0.into()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ModelName {
        ModelName::from_server(text)
    }

    fn names(text: &str) -> Vec<ModelName> {
        text.split_whitespace().map(name).collect()
    }

    /// `a 4` is on disk, `a 4 kept` in RAM on purpose, `a 4 stray` there by chance, `a 4 vram` kept and not to be dropped.
    fn stock(text: &str) -> Vec<Stock> {
        let one = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let size = Bytes(words[1].parse().unwrap());
            let word = words.get(2).copied().unwrap_or_default();
            Stock {
                model: name(words[0]),
                size,
                in_ram: if word.is_empty() { Bytes::ZERO } else { size },
                counts: matches!(word, "kept" | "vram"),
                stays: word == "vram",
            }
        };
        text.split(',').map(one).collect()
    }

    fn said(moves: &[Move]) -> String {
        let word = |one: &Move| match one {
            Move::Warm(model) => format!("warm {model}"),
            Move::Keep(model) => format!("keep {model}"),
            Move::Drop(model) => format!("drop {model}"),
            Move::Refuse { model, .. } => format!("refuse {model}"),
        };
        moves.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_plan_is_the_order_of_need_within_the_room() {
        for (what, sure, perhaps, there, room, may_drop, expected) in [
            ("all fits", "b a", "", "a 4 vram,b 4", 8, false, "warm b, keep a"),
            ("what is there by chance is made to stay", "b", "", "b 4 stray", 8, false, "warm b"),
            ("each model once", "b a b a", "", "a 4 kept,b 4 kept", 8, false, "keep b, keep a"),
            ("the nearer one wins the room", "b c", "", "b 4,c 4", 4, true, "warm b, refuse c"),
            (
                "a small one fits where a large one does not",
                "c b",
                "",
                "b 4,c 9",
                8,
                true,
                "refuse c, warm b",
            ),
            ("never again goes first", "b c", "", "a 4 kept,c 4 kept,b 4", 8, true, "drop a, warm b, keep c"),
            (
                "needed last goes",
                "b c d",
                "",
                "d 4 kept,c 4 kept,b 4",
                8,
                true,
                "drop d, warm b, keep c, refuse d",
            ),
            ("never what is needed sooner", "a b", "", "a 4 kept,b 6", 8, true, "keep a, refuse b"),
            ("never what is in VRAM or held", "b", "", "a 6 vram,b 4", 8, true, "refuse b"),
            ("nothing goes unless the config says so", "b", "", "a 6 kept,b 4", 8, false, "refuse b"),
            ("nothing goes in vain", "b", "", "a 4 kept,c 4 vram,b 6", 9, true, "refuse b"),
            (
                "one large goes instead of two small",
                "b",
                "",
                "a 2 kept,c 6 kept,b 6",
                8,
                true,
                "drop c, warm b",
            ),
            ("perhaps takes free room", "b", "d", "b 4,d 4", 8, true, "warm b, warm d"),
            ("nothing goes for perhaps", "b", "d", "a 4 kept,b 4,d 4", 8, true, "warm b, refuse d"),
            ("what is not installed is left to the swap", "x", "", "a 4", 8, true, ""),
        ] {
            let outlook = Outlook {
                sure: names(sure),
                perhaps: names(perhaps),
                stock: stock(there),
                room: Bytes(room),
                may_drop,
            };
            assert_eq!(said(&plan(&outlook)), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn no_step_of_a_plan_exceeds_the_room_or_drops_what_is_needed_sooner(
            sizes in vec((0u64..12, 0u64..12, any::<bool>(), any::<bool>()), 1..7),
            sure in vec(0usize..7, 0..9),
            perhaps in vec(0usize..7, 0..3),
            room in 0u64..40,
            may_drop in any::<bool>(),
        ) {
            let model = |at: usize| name(&format!("m{at}"));
            let stock: Vec<Stock> = sizes.iter().enumerate().map(|(at, (size, there, counts, stays))| Stock {
                model: model(at),
                size: Bytes(*size),
                in_ram: Bytes(*there.min(size)),
                counts: *counts,
                stays: *stays,
            }).collect();
            let all = |list: &[usize]| list.iter().map(|at| model(*at)).collect::<Vec<_>>();
            let outlook =
                Outlook { sure: all(&sure), perhaps: all(&perhaps), stock, room: Bytes(room), may_drop };
            let mut there: Vec<Bytes> = outlook.stock.iter().map(counted).collect();
            let began: u64 = there.iter().map(|bytes| bytes.0).sum();
            let at = |model: &ModelName| outlook.stock.iter().position(|one| one.model == *model).unwrap();
            let need = |model: &ModelName| outlook.sure.iter().position(|one| one == model);
            let mut dropped: Vec<ModelName> = Vec::new();
            for one in plan(&outlook) {
                match one {
                    Move::Drop(model) => {
                        prop_assert!(may_drop && !outlook.stock[at(&model)].stays);
                        there[at(&model)] = Bytes::ZERO;
                        dropped.push(model);
                    }
                    Move::Warm(model) => {
                        let later = |gone: &ModelName| need(gone).is_none_or(|gone| Some(gone) > need(&model));
                        prop_assert!(dropped.iter().all(later), "{model} for {dropped:?}");
                        dropped.clear();
                        there[at(&model)] = outlook.stock[at(&model)].size;
                        let now: u64 = there.iter().map(|bytes| bytes.0).sum();
                        prop_assert!(now <= room, "{now} of {room}, {began} at first");
                    }
                    Move::Keep(model) => prop_assert_eq!(there[at(&model)], outlook.stock[at(&model)].size),
                    Move::Refuse { .. } => {}
                }
            }
            prop_assert!(dropped.is_empty(), "dropped in vain");
        }
    }
}

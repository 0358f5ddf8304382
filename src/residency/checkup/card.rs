//! The cards, and each one's way to the memory.

use super::{Check, Topic, Verdict};
use crate::residency::bytes::{Bytes, MIB};
use crate::residency::host::{Card, Cards};

/// Whether the driver tells of them.
pub(super) fn cards(cards: Option<&Cards>, demo: Option<u64>) -> Check {
    match cards {
        None | Some(Cards::Unread) => Check::unknown(Topic::Card, "the driver has not answered"),
        Some(Cards::Unknown(why)) => Check::unknown(Topic::Card, why.as_str())
            .advise("where there is a card: install its driver, in a container pass it on (--gpus all)"),
        Some(Cards::Known(list)) if list.is_empty() => {
            Check::ok(Topic::Card, "the driver answers and has no card: models run in RAM")
        }
        Some(Cards::Known(list)) => {
            let one = |card: &Card| match (card.asleep, card.total) {
                (true, _) => format!("{}, asleep", card.name),
                (false, Bytes::ZERO) if card.unified => format!("{}, in the machine's RAM", card.name),
                (false, total) => {
                    format!("{}, {:.1} of {:.1} GiB free", card.name, card.free.gib(), total.gib())
                }
            };
            let all: Vec<String> = list.iter().map(one).collect();
            let played = if demo.is_some() { ", played by RAM" } else { "" };
            Check::ok(Topic::Card, format!("{}{played}", all.join("; ")))
        }
    }
}

/// From this much a second on a card works over its link.
const BUSY: Bytes = Bytes(100 * MIB);

/// Its link against what card and slot can; none where the card has none. An idle link saves power, so only a busy
/// one that is slower than it could be says something.
pub(super) fn pcie(card: &Card) -> Option<Check> {
    if card.unified {
        return None;
    }
    let name = &card.name;
    let Some(link) = card.pcie else {
        let why =
            if card.asleep { "it sleeps, and is not woken to be asked" } else { "the driver does not tell" };
        return Some(Check::unknown(Topic::Pcie, format!("{name}: {why}")));
    };
    let (now, most) = (
        format!("gen {} x{}", link.generation, link.width),
        format!("gen {} x{}", link.max_generation, link.max_width),
    );
    if link.generation >= link.max_generation && link.width >= link.max_width {
        return Some(Check::ok(Topic::Pcie, format!("{name}: {now}, all that card and slot can")));
    }
    let works = card.utilisation.is_some_and(|percent| percent > 0)
        || card.receive_rate.is_some_and(|rate| rate >= BUSY);
    if !works {
        let fact = format!("{name}: {now} while idle, {most} at most; an idle link saves power");
        return Some(
            Check::unknown(Topic::Pcie, fact).advise("ask again during a load: only then does it count"),
        );
    }
    let fact = format!("{name}: {now} while it works, {most} at most");
    let advice = if link.width < link.max_width {
        "seat the card anew, or use the slot with all lanes; loads into VRAM are slower by as much"
    } else {
        "set the slot's generation in the firmware; a riser may not carry more"
    };
    Some(Check::new(Topic::Pcie, Verdict::Better, fact).advise(advice))
}

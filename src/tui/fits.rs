//! The fit in words: whether a model would fit now, whom it would evict, what of it would not be on the card.

use crate::residency::fit::{Fit, OnCard, Place};
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, State};
use crate::residency::text::printable;
use crate::tui::format::{self, Unit};

/// What loading it would come to, in at most so many columns; nothing for what is loaded, comes, or never will be.
pub(crate) fn words(model: &Model, columns: u16) -> String {
    if model.has_runner() || matches!(model.state, State::Loading { .. } | State::Cloud | State::Ghost) {
        return String::new();
    }
    let (Some(fit), Some(forecast)) = (&model.fit, &model.forecast) else { return "?".to_owned() };
    let names: Vec<String> = forecast.evicts.iter().map(ModelName::to_string).collect();
    let mut said = match (&fit.place, names.as_slice()) {
        // Where somebody goes for it that is said first, unless it would not be whole on an empty card either.
        (Place::Partly { on_card, too_big, .. }, victims) if *too_big || victims.is_empty() => {
            let unit = Unit::of(fit.size);
            let (what, on_card, size) = (partly(*too_big), unit.figure(*on_card), unit.figure(fit.size));
            let mut said = vec![
                format!("~{what}: {on_card} of {size} {} on the card", unit.name()),
                format!("~{what}: {on_card}/{size} {}", unit.name()),
                format!("~{what}: {on_card}/{size}"),
                format!("~{what}"),
            ];
            said.extend(too_big.then(|| "~big".to_owned()));
            said
        }
        (_, []) => {
            let card = card(fit).map(|card| format!("~fits {card}"));
            card.into_iter().chain(["~fits".to_owned()]).collect()
        }
        (_, [one]) => {
            let cut = format::fit(one, columns.saturating_sub(8)).into_owned();
            vec![format!("~evicts {one}"), format!("~evicts {cut}"), "~evicts".to_owned()]
        }
        (_, [first, rest @ ..]) => {
            vec![
                format!("~evicts {}", names.join(", ")),
                format!("~evicts {first} +{}", rest.len()),
                format!("~evicts {}", names.len()),
                "~evicts".to_owned(),
            ]
        }
    };
    // Of a name cut to a few letters nothing can be told.
    if columns < 14 {
        said.retain(|words| !words.contains('…'));
    }
    said.into_iter().find(|words| format::columns(words) <= columns).unwrap_or_else(|| "~".to_owned())
}

/// What one is that would not be whole on the card.
fn partly(too_big: bool) -> &'static str {
    if too_big { "too big" } else { "partly" }
}

/// Which card, where there are several.
fn card(fit: &Fit) -> Option<String> {
    match fit.place.card()? {
        OnCard::Only | OnCard::Unknown => None,
        OnCard::Number(number) => Some(format!("card {number}")),
        OnCard::All => Some("all cards".to_owned()),
    }
}

/// The details: each line's word and text.
pub(crate) fn details(model: &Model, columns: u16) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let (Some(fit), Some(forecast)) = (&model.fit, &model.forecast)
        && model.loaded.is_none()
    {
        let why = printable(&forecast.why);
        let evicts: Vec<String> = forecast.evicts.iter().map(ToString::to_string).collect();
        let text = match evicts.as_slice() {
            [] => format!("~ evicts nobody: {why}"),
            _ => format!("~ evicts {}: {why}", evicts.join(", ")),
        };
        lines.extend(wrapped("loading", &text, columns));
        lines.extend(wrapped("fits", &place(fit), columns));
        lines.extend(wrapped("takes", &size(fit), columns));
        if let Some(limit) = fit.limit {
            let unit = Unit::of(fit.expected);
            let text = format!(
                "~ {} {}; it evicts beyond {}, 80 % of what is free",
                unit.figure(fit.expected),
                unit.name(),
                unit.figure(limit)
            );
            lines.extend(wrapped("server", &text, columns));
        }
    }
    let hits = &model.hits;
    let right = (hits.seen > 0).then(|| format!("right {} of {}", hits.right, hits.seen));
    let size = hits.size_error.map(|error| match (error.abs() * 100.0).round() {
        0.0 => "size within 1 %".to_owned(),
        percent => format!("size {percent:.0} % too {}", if error > 0.0 { "large" } else { "small" }),
    });
    let said: Vec<String> = right.into_iter().chain(size).collect();
    lines.extend(wrapped("forecast", &said.join("   "), columns));
    lines
}

fn wrapped(word: &'static str, text: &str, columns: u16) -> Vec<(&'static str, String)> {
    let lines = if text.is_empty() { Vec::new() } else { format::wrap(text, columns, 3) };
    lines.into_iter().enumerate().map(|(i, line)| (if i == 0 { word } else { "" }, line)).collect()
}

fn place(fit: &Fit) -> String {
    let unit = Unit::of(fit.size);
    let on = card(fit).map_or_else(String::new, |card| format!("   {card}"));
    match fit.place {
        Place::NoCard => "in RAM: no card".to_owned(),
        Place::Whole { left, .. } => {
            let unit = Unit::of(left.max(crate::residency::bytes::Bytes(1)));
            format!("~ whole on the card, {} {} left{on}", unit.figure(left), unit.name())
        }
        Place::Partly { on_card, too_big, .. } => {
            format!(
                "~ {}: {} of {} {} on the card{on}",
                partly(too_big),
                unit.figure(on_card),
                unit.figure(fit.size),
                unit.name()
            )
        }
    }
}

fn size(fit: &Fit) -> String {
    let unit = Unit::of(fit.size);
    let cache = fit.cache.map_or_else(
        || "?".to_owned(),
        |cache| {
            let unit = Unit::of(cache);
            format!("{} {}", unit.figure(cache), unit.name())
        },
    );
    let how = if fit.learned { ", learned" } else { "" };
    format!("~ {} {} at context {}, KV cache {cache}{how}", unit.figure(fit.size), unit.name(), fit.context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::{Bytes, GIB};
    use crate::residency::fit::Hits;
    use crate::residency::forecast::Forecast;
    use crate::tui::fixture::{model, name};

    fn of(place: Place, evicts: &[&str]) -> Model {
        let mut model = model("a:1b", 9.0);
        model.forecast =
            Some(Forecast { evicts: evicts.iter().map(|text| name(text)).collect(), why: "so".into() });
        model.fit = Some(Fit {
            context: 4096,
            size: Bytes(9 * GIB),
            cache: Some(Bytes(GIB)),
            learned: false,
            expected: Bytes(8 * GIB),
            limit: Some(Bytes(6 * GIB)),
            place,
        });
        model
    }

    fn whole(card: OnCard) -> Place {
        Place::Whole { left: Bytes(GIB), card }
    }

    #[test]
    fn the_words_get_shorter_with_the_column() {
        let fits = of(whole(OnCard::Only), &[]);
        assert_eq!(words(&fits, 7), "~fits");
        let second = of(whole(OnCard::Number(1)), &[]);
        assert_eq!((words(&second, 24), words(&second, 7)), ("~fits card 1".into(), "~fits".into()));
        let one = of(whole(OnCard::Only), &["qwen2.5-coder:7b"]);
        assert_eq!(words(&one, 24), "~evicts qwen2.5-coder:7b");
        assert_eq!(words(&one, 18), "~evicts qwen2.5-c…");
        assert_eq!(words(&one, 7), "~evicts");
        let two = of(whole(OnCard::Only), &["qwen2.5-coder:7b", "b:1b"]);
        assert_eq!(words(&two, 40), "~evicts qwen2.5-coder:7b, b:1b");
        assert_eq!(
            (words(&two, 27), words(&two, 12)),
            ("~evicts qwen2.5-coder:7b +1".into(), "~evicts 2".into())
        );
        let big = of(Place::Partly { too_big: true, on_card: Bytes(7 * GIB), card: OnCard::Only }, &["b:1b"]);
        let said = [40, 24, 18, 8, 7].map(|columns| words(&big, columns));
        let full = "~too big: 7.0 of 9.0 GiB on the card";
        assert_eq!(said, [full, "~too big: 7.0/9.0 GiB", "~too big: 7.0/9.0", "~too big", "~big"]);
        let tight = |evicts| {
            of(Place::Partly { too_big: false, on_card: Bytes(7 * GIB), card: OnCard::Only }, evicts)
        };
        assert_eq!(words(&tight(&[]), 18), "~partly: 7.0/9.0");
        assert_eq!(
            (words(&tight(&[]), 7), words(&tight(&["b:1b"]), 7)),
            ("~partly".into(), "~evicts".into())
        );
    }

    #[test]
    fn nothing_is_said_of_what_is_loaded_and_what_is_not_known_is_a_question() {
        let mut unknown = model("a:1b", 9.0);
        assert_eq!(words(&unknown, 7), "?");
        unknown.state = State::Cloud;
        assert_eq!(words(&unknown, 7), "");
    }

    #[test]
    fn the_details_tell_sizes_threshold_and_hits() {
        let mut model = of(whole(OnCard::Only), &["b:1b"]);
        model.hits = Hits { right: 14, seen: 15, size_error: Some(-0.031) };
        let lines: Vec<String> =
            details(&model, 80).into_iter().map(|(word, text)| format!("{word}: {text}")).collect();
        assert_eq!(
            lines,
            [
                "loading: ~ evicts b:1b: so",
                "fits: ~ whole on the card, 1.0 GiB left",
                "takes: ~ 9.0 GiB at context 4096, KV cache 1.0 GiB",
                "server: ~ 8.0 GiB; it evicts beyond 6.0, 80 % of what is free",
                "forecast: right 14 of 15   size 3 % too small",
            ]
        );
    }
}

//! Folding: what goes to and fro between two models is one line, not twenty.

use std::ops::Range;

use crate::residency::name::ModelName;

/// From so many swaps to and fro they are folded.
const LEAST: usize = 4;

/// Divides a list into stretches: one of swaps that alternate between two models, or a single item.
///
/// `swap` says of an item which model it brought in, `part` whether it belongs to the swaps between those two. The
/// items may be in either order of time.
pub(crate) fn alternating<'a, T>(
    items: &'a [T],
    swap: impl Fn(&'a T) -> Option<&'a ModelName>,
    part: impl Fn(&'a T, [&ModelName; 2]) -> bool,
) -> Vec<Range<usize>> {
    let mut stretches = Vec::new();
    let mut from = 0;
    while from < items.len() {
        let end = stretch(&items[from..], &swap, &part).unwrap_or(1) + from;
        stretches.push(from..end);
        from = end;
    }
    stretches
}

/// How many items the stretch at the beginning has, if they are swaps to and fro.
fn stretch<'a, T>(
    items: &'a [T],
    swap: &impl Fn(&'a T) -> Option<&'a ModelName>,
    part: &impl Fn(&'a T, [&ModelName; 2]) -> bool,
) -> Option<usize> {
    let mut models = items.iter().filter_map(swap);
    let pair = [models.next()?, models.next()?];
    if pair[0] == pair[1] {
        return None;
    }
    let mut swaps = 0;
    let mut end = 0;
    for (i, item) in items.iter().enumerate() {
        match swap(item) {
            Some(model) if model == pair[swaps % 2] => {
                swaps += 1;
                end = i + 1;
            }
            None if part(item, pair) => {}
            _ => break,
        }
    }
    (swaps >= LEAST).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upper case brings in, lower case is about that model, all else is about none.
    fn folded(text: &str) -> Vec<String> {
        let items: Vec<(char, ModelName)> =
            text.chars().map(|c| (c, ModelName::from_server(&c.to_lowercase().to_string()))).collect();
        let swap = |item: &&'static (char, ModelName)| item.0.is_uppercase().then_some(&item.1);
        let items: &'static [(char, ModelName)] = items.leak();
        alternating(items, |item| swap(&item), |item, pair| item.0.is_lowercase() && pair.contains(&&item.1))
            .into_iter()
            .map(|range| items[range].iter().map(|item| item.0).collect())
            .collect()
    }

    #[test]
    fn swaps_to_and_fro_are_one_stretch_with_what_belongs_to_them_and_all_else_stands_alone() {
        assert_eq!(folded("ABABAB"), ["ABABAB"]);
        assert_eq!(folded("ABA"), ["A", "B", "A"]);
        assert_eq!(folded("AABABAC"), ["A", "ABABA", "C"]);
        assert_eq!(folded("aBbAaBbA.c"), ["aBbAaBbA", ".", "c"]);
        assert_eq!(folded("ABcABAB"), ["A", "B", "c", "ABAB"]);
        assert_eq!(folded("ABABab"), ["ABAB", "a", "b"]);
        assert_eq!(folded(""), Vec::<String>::new());
    }
}

//! Folding: swaps that go to and fro between two models are one line.

use std::time::Duration;

use super::name::ModelName;
use super::record::SwapRecord;
use super::swap::Ended;

/// So many swaps to and fro are folded.
const FEW: usize = 3;

/// One line: a swap, or many of them between two models.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded<T> {
    /// The swaps, in their order; two or fewer are never together.
    pub swaps: Vec<T>,
}

/// Puts swaps to and fro between two models together; the order is kept. `swap` finds the record in an item.
pub fn fold<T>(items: Vec<T>, swap: impl Fn(&T) -> &SwapRecord) -> Vec<Folded<T>> {
    let goes_on = |line: &[T], next: &SwapRecord| {
        let [.., second, last] = line else { return false };
        let (second, last) = (swap(second), swap(last));
        is_done(next) && second.model == next.model && last.model != next.model
    };
    let mut lines: Vec<Folded<T>> = Vec::new();
    // The last ones so far that alternate: they are a line of their own only once they are enough.
    let mut run: Vec<T> = Vec::new();
    for item in items {
        if goes_on(&run, swap(&item)) || run.len() == 1 && is_pair(swap(&run[0]), swap(&item)) {
            run.push(item);
            continue;
        }
        let next = swap(&item);
        // The last of a run that ends may begin the next one.
        let overlaps = run.len() < FEW && run.last().is_some_and(|last| is_pair(swap(last), next));
        let last = if overlaps { run.pop() } else { None };
        close(&mut run, &mut lines);
        run.extend(last);
        run.push(item);
    }
    close(&mut run, &mut lines);
    lines
}

fn is_done(swap: &SwapRecord) -> bool {
    swap.ended == Ended::Ready
}

fn is_pair(one: &SwapRecord, other: &SwapRecord) -> bool {
    is_done(one) && is_done(other) && one.model != other.model
}

fn close<T>(run: &mut Vec<T>, lines: &mut Vec<Folded<T>>) {
    if run.len() >= FEW {
        lines.push(Folded { swaps: std::mem::take(run) });
    } else {
        lines.extend(run.drain(..).map(|item| Folded { swaps: vec![item] }));
    }
}

impl<T> Folded<T> {
    /// The two models of a folded line, in the order of the first two swaps.
    pub fn pair<'a>(
        &'a self,
        swap: impl Fn(&'a T) -> &'a SwapRecord,
    ) -> Option<(&'a ModelName, &'a ModelName)> {
        match self.swaps.as_slice() {
            [one, other, _, ..] => Some((&swap(one).model, &swap(other).model)),
            _ => None,
        }
    }
}

/// The middle one; of two the mean.
pub fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort_unstable();
    let (low, high) = (all.get(all.len().checked_sub(1)? / 2)?, all.get(all.len() / 2)?);
    Some((*low + *high) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::host::LoadMode;
    use crate::residency::swap::{Before, Stages, Way};

    fn swap(model: char) -> SwapRecord {
        SwapRecord {
            model: ModelName::parse(&model.to_lowercase().to_string()).unwrap(),
            ours: true,
            displaced: Some(Vec::new()),
            before: Before::default(),
            way: Way::Off,
            mode: LoadMode::Unknown,
            num_ctx: None,
            stages: Stages::default(),
            ended: if model.is_uppercase() {
                Ended::Cancelled { stage: crate::residency::swap::Stage::Load }
            } else {
                Ended::Ready
            },
        }
    }

    #[test]
    fn to_and_fro_is_one_line_and_all_else_stays() {
        // A capital letter is a swap that did not end well.
        for (swaps, lines) in [
            ("", ""),
            ("a", "a"),
            ("ab", "a b"),
            ("aba", "aba"),
            ("ababab", "ababab"),
            ("aab", "a a b"),
            ("abcbcb", "a bcbcb"),
            ("ababcd", "abab c d"),
            ("abaBa", "aba B a"),
            ("abAb", "a b A b"),
            ("abababcbc", "ababab cbc"),
        ] {
            let folded = fold(swaps.chars().map(|c| (c, swap(c))).collect(), |(_, swap)| swap);
            let said: Vec<String> =
                folded.iter().map(|line| line.swaps.iter().map(|(c, _)| *c).collect()).collect();
            assert_eq!(said.join(" "), lines, "{swaps}");
        }
    }

    #[test]
    fn the_median_of_two_is_their_mean() {
        let seconds = |all: &[u64]| median(all.iter().map(|s| Duration::from_secs(*s)).collect());
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&[9, 1, 2]), Some(Duration::from_secs(2)));
        assert_eq!(seconds(&[4, 2]), Some(Duration::from_secs(3)));
    }
}

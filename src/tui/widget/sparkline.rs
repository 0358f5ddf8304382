//! A row of times as a line of columns.

use std::time::Duration;

use super::near::LEVELS;

/// The last of these times that go into so many columns, oldest left; a full column is `most`.
pub(crate) fn times(times: &[Duration], most: Duration, columns: u16) -> String {
    let shown = &times[times.len().saturating_sub(usize::from(columns))..];
    let most = most.as_millis().max(1);
    let top = LEVELS.len() - 1;
    shown
        .iter()
        .map(|time| {
            let level = (time.as_millis() * top as u128).div_ceil(most);
            LEVELS[usize::try_from(level).unwrap_or(top).min(top)]
        })
        .collect()
}

/// The one in the middle; of an even number the mean of the two.
pub(crate) fn median(times: &[Duration]) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some((sorted[sorted.len() / 2 - 1] + upper) / 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_columns_of_a_common_height_and_the_newest_stay() {
        let seconds = [0, 1, 2, 4, 8].map(Duration::from_secs);
        assert_eq!(times(&seconds, Duration::from_secs(8), 9), "▁▂▃▅█");
        assert_eq!(times(&seconds, Duration::from_secs(8), 2), "▅█");
        assert_eq!(times(&seconds, Duration::ZERO, 2), "██");
        assert_eq!(median(&seconds), Some(Duration::from_secs(2)));
        assert_eq!(median(&seconds[1..]), Some(Duration::from_secs(3)));
        assert_eq!(median(&[]), None);
    }
}

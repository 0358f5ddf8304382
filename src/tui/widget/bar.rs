//! Shares of a whole as columns of a bar.

/// Columns for each part of `whole` in a bar of `width`: rounded fairly, and what is there at all is seen, as long
/// as there is room. Parts that sum to more than `whole` fill the bar.
pub(crate) fn share_out(parts: &[u64], whole: u64, width: u16) -> Vec<u16> {
    let sum: u128 = parts.iter().map(|&part| u128::from(part)).sum();
    let whole = u128::from(whole).max(sum);
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let width = u128::from(width);
    let target = (sum * width + whole / 2) / whole;
    let seen = parts.iter().filter(|&&part| part > 0).count() as u128;
    let target = target.max(seen.min(width));
    let mut columns: Vec<u128> =
        parts.iter().map(|&part| (u128::from(part) * width / whole).max(u128::from(part > 0))).collect();
    let lost = |columns: &[u128], i: usize| (u128::from(parts[i]) * width).saturating_sub(columns[i] * whole);
    loop {
        let used: u128 = columns.iter().sum();
        let next = if used < target {
            (0..parts.len()).max_by_key(|&i| (lost(&columns, i), std::cmp::Reverse(i)))
        } else if used > target {
            (0..parts.len()).max_by_key(|&i| columns[i])
        } else {
            None
        };
        let Some(next) = next else { break };
        columns[next] = if used < target { columns[next] + 1 } else { columns[next] - 1 };
    }
    columns.into_iter().map(|columns| u16::try_from(columns).unwrap_or(u16::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_bar_is_shared_and_nothing_that_is_there_vanishes() {
        assert_eq!(share_out(&[50, 50], 100, 10), [5, 5]);
        assert_eq!(share_out(&[1, 99], 100, 10), [1, 9]);
        assert_eq!(share_out(&[0, 100], 100, 10), [0, 10]);
        assert_eq!(share_out(&[33, 33, 34], 100, 10), [3, 3, 4]);
        assert_eq!(share_out(&[30], 100, 10), [3]);
    }

    #[test]
    fn impossible_wholes_and_widths_are_drawn_all_the_same() {
        assert_eq!(share_out(&[], 0, 10), Vec::<u16>::new());
        assert_eq!(share_out(&[0, 0], 0, 10), [0, 0]);
        assert_eq!(share_out(&[5, 5], 1, 10), [5, 5]);
        assert_eq!(share_out(&[1, 1, 1], 3, 2).iter().sum::<u16>(), 2);
        assert_eq!(share_out(&[u64::MAX, u64::MAX], u64::MAX, u16::MAX).iter().sum::<u16>(), u16::MAX);
        assert_eq!(share_out(&[1], 1, 0), [0]);
    }
}

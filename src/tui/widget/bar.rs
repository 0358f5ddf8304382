//! Shares of a whole as columns of a bar.

/// Columns for each part of `whole` in a bar of `width`: rounded fairly, and what is there at all is seen, as long
/// as there is room. Parts that sum to more than `whole` fill the bar.
pub(crate) fn share_out(parts: &[u64], whole: u64, width: u16) -> Vec<u16> {
    let sum: u128 = parts.iter().map(|&part| u128::from(part)).sum();
    let whole = u128::from(whole).max(sum);
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let seen = u16::try_from(parts.iter().filter(|&&part| part > 0).count()).unwrap_or(u16::MAX);
    let narrow = |columns: u128| u16::try_from(columns).unwrap_or(u16::MAX);
    let target = narrow((sum * u128::from(width) + whole / 2) / whole).max(seen.min(width));
    let exact = |i: usize| u128::from(parts[i]) * u128::from(width);
    let mut columns: Vec<u16> =
        (0..parts.len()).map(|i| narrow(exact(i) / whole).max(u16::from(parts[i] > 0))).collect();
    let used = columns.iter().fold(0, |sum: u32, &columns| sum + u32::from(columns));
    let mut order: Vec<usize> = (0..parts.len()).collect();
    if used < u32::from(target) {
        // What was rounded off most is rounded up first; less than one column is missing for each part.
        order.sort_by_key(|&i| {
            (std::cmp::Reverse(exact(i).saturating_sub(u128::from(columns[i]) * whole)), i)
        });
        for &i in order.iter().take(usize::from(target) - used as usize) {
            columns[i] += 1;
        }
        return columns;
    }
    // Small parts were given a column they do not fill: the large ones pay, then the last ones.
    let mut excess = used - u32::from(target);
    order.sort_by_key(|&i| (std::cmp::Reverse(columns[i]), std::cmp::Reverse(i)));
    for least in [1, 0] {
        let mut paid = true;
        while excess > 0 && paid {
            paid = false;
            for &i in &order {
                if columns[i] > least && excess > 0 {
                    columns[i] -= 1;
                    excess -= 1;
                    paid = true;
                }
            }
        }
    }
    columns
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

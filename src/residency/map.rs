//! Which parts of a file are in RAM, not only how much: its map, and the maps of a model's files as one row.

use std::ops::Range;

use super::bytes::Bytes;
use super::tier::Cached;

/// Cells of a map; a file of fewer pages has one for each page.
pub const CELLS: usize = 64;

/// A cell of which nobody can say anything.
const UNKNOWN: u8 = u8::MAX;

/// What was read of one file in the page cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// How much of it is there.
    pub cached: Cached,
    /// Which parts of it, where that was read too.
    pub map: Option<Map>,
}

/// A file in equal stretches, each with its share in RAM. Small and of a fixed size: it is copied with every snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// Whole percents; what lies behind `used` is zero.
    shares: [u8; CELLS],
    used: u8,
}

impl Map {
    /// From how many are there of how many that were looked at, cell by cell; of none nobody can say.
    pub fn of(cells: impl IntoIterator<Item = (u64, u64)>) -> Map {
        let mut map = Map { shares: [0; CELLS], used: 0 };
        for (share, (there, all)) in map.shares.iter_mut().zip(cells) {
            *share = if all == 0 { UNKNOWN } else { percent(there.into(), all.into()) };
            map.used += 1;
        }
        map
    }

    /// Each cell's whole percent in RAM from the file's beginning on; 0 is said only of nothing, 100 only of all.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Option<u8>> {
        self.shares[..usize::from(self.used)].iter().map(|&share| (share != UNKNOWN).then_some(share))
    }

    /// Whether some of the file is in RAM and some is not, so that counting it tells less than its map.
    pub fn is_mixed(&self) -> bool {
        let mut known = self.cells().flatten();
        known.next().is_some_and(|first| (1..100).contains(&first) || known.any(|share| share != first))
    }
}

/// The cells of a file of so many pages, each as the pages it stands for.
pub fn stretches(pages: u64) -> impl Iterator<Item = Range<u64>> {
    let cells = pages.min(CELLS as u64);
    let edge = move |cell: u64| {
        let page = u128::from(pages) * u128::from(cell) / u128::from(cells.max(1));
        u64::try_from(page).unwrap_or(pages)
    };
    (0..cells).map(move |cell| edge(cell)..edge(cell + 1))
}

/// Files end to end, each by its size, as a row of so many columns: the percent of each in RAM. A column of which
/// more than half is unknown is unknown. Nothing to be drawn is an empty row.
pub fn row(files: &[(Bytes, Option<Map>)], columns: u16) -> Vec<Option<u8>> {
    let spans = spans(files);
    let whole = spans.last().map_or(0, |span| span.bytes.end);
    if whole == 0 {
        return Vec::new();
    }
    let edge = |column: u16| whole * u128::from(column) / u128::from(columns);
    let mut first = 0;
    (0..columns)
        .map(|column| {
            let start = edge(column);
            // Fewer bytes than columns: several columns stand for the same byte.
            let end = edge(column + 1).max(start + 1);
            while spans[first].bytes.end <= start {
                first += 1;
            }
            mean(spans[first..].iter().take_while(|span| span.bytes.start < end), &(start..end))
        })
        .collect()
}

/// A cell of one of several files that lie end to end.
struct Span {
    bytes: Range<u128>,
    share: Option<u8>,
}

fn spans(files: &[(Bytes, Option<Map>)]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    for (size, map) in files {
        let size = u128::from(size.0);
        let shares = match map {
            Some(map) if map.used > 0 => map.cells().collect(),
            _ => vec![None],
        };
        let mut begin = start;
        for (cells, share) in (1..).zip(&shares) {
            let end = start + size * cells / shares.len() as u128;
            spans.push(Span { bytes: begin..end, share: *share });
            begin = end;
        }
        start = begin;
    }
    spans
}

/// The share of `range`, weighted by the bytes that the spans have in it.
fn mean<'a>(spans: impl Iterator<Item = &'a Span>, range: &Range<u128>) -> Option<u8> {
    let (mut there, mut known, mut unknown) = (0, 0, 0);
    for span in spans {
        let bytes = span.bytes.end.min(range.end).saturating_sub(span.bytes.start.max(range.start));
        match span.share {
            Some(share) => {
                there += bytes * u128::from(share);
                known += bytes;
            }
            None => unknown += bytes,
        }
    }
    (known > 0 && known >= unknown).then(|| percent(there, known * 100))
}

fn percent(there: u128, all: u128) -> u8 {
    let percent = (there * 100 / all).max(u128::from(there > 0)).min(100);
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map with these percents.
    fn map(percents: &[u64]) -> Map {
        Map::of(percents.iter().map(|&percent| (percent, 100)))
    }

    /// A file of that size with such a map.
    fn file(size: u64, percents: &[u64]) -> (Bytes, Option<Map>) {
        (Bytes(size), Some(map(percents)))
    }

    /// A file of which the first half is there.
    fn half_warm(size: u64) -> (Bytes, Option<Map>) {
        (Bytes(size), Some(Map::of((0..64).map(|cell| (u64::from(cell < 32), 1)))))
    }

    #[test]
    fn a_cell_is_empty_only_of_nothing_and_full_only_of_all() {
        let cells = [(0, 1000), (1, 1000), (500, 1000), (999, 1000), (1000, 1000), (2000, 1000), (0, 0)];
        let shares: Vec<_> = Map::of(cells).cells().collect();
        assert_eq!(shares, [Some(0), Some(1), Some(50), Some(99), Some(100), Some(100), None]);
    }

    #[test]
    fn a_map_has_no_more_cells_than_it_can_hold_and_may_have_none() {
        assert_eq!(Map::of((0..1000).map(|_| (1, 1))).cells().len(), CELLS);
        assert_eq!(Map::of([]).cells().len(), 0);
    }

    #[test]
    fn a_map_is_mixed_when_its_file_is_neither_cold_nor_warm() {
        let cases: [(&[u64], bool); 6] = [
            (&[], false),
            (&[0, 0], false),
            (&[100, 100], false),
            (&[0, 100], true),
            (&[7], true),
            (&[100, 99], true),
        ];
        for (percents, is_mixed) in cases {
            assert_eq!(map(percents).is_mixed(), is_mixed, "{percents:?}");
        }
        assert!(!Map::of([(0, 0), (0, 1)]).is_mixed());
    }

    #[test]
    fn the_stretches_cover_every_page_once_and_are_equal() {
        for pages in [0, 1, 2, 63, 64, 65, 1000, 1 << 20, u64::MAX] {
            let all: Vec<_> = stretches(pages).collect();
            assert_eq!(all.len() as u64, pages.min(64));
            assert_eq!(all.last().map_or(0, |last| last.end), pages);
            assert!(all.windows(2).all(|two| two[0].end == two[1].start));
            let lengths = || all.iter().map(|stretch| stretch.end - stretch.start);
            let (least, most) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
            assert!((pages == 0 || least > 0) && most - least <= 1, "{pages}");
        }
    }

    #[test]
    fn a_file_is_drawn_as_wide_as_the_row() {
        assert_eq!(row(&[half_warm(1 << 30)], 4), [Some(100), Some(100), Some(0), Some(0)]);
        assert_eq!(row(&[half_warm(1 << 30)], 3), [Some(100), Some(50), Some(0)]);
        let wide = row(&[half_warm(1 << 30)], 200);
        assert_eq!((wide[99], wide[100], wide.len()), (Some(100), Some(0), 200));
    }

    #[test]
    fn files_lie_end_to_end_by_their_sizes() {
        let files = [file(300, &[100]), file(100, &[0, 100])];
        assert_eq!(row(&files, 4), [Some(100), Some(100), Some(100), Some(50)]);
        assert_eq!(row(&files, 1), [Some(87)]);
    }

    #[test]
    fn a_column_is_empty_or_full_only_if_all_of_it_is() {
        let files = [file(1 << 40, &[100]), file(1, &[0])];
        assert_eq!(row(&files, 1), [Some(99)]);
        let files = [file(1 << 40, &[0]), file(1, &[100])];
        assert_eq!(row(&files, 1), [Some(1)]);
    }

    #[test]
    fn a_column_is_unknown_where_most_of_it_is() {
        let files = [file(100, &[100]), (Bytes(100), None)];
        assert_eq!(row(&files, 4), [Some(100), Some(100), None, None]);
        assert_eq!(row(&files, 1), [Some(100)]);
        assert_eq!(row(&[file(100, &[100]), (Bytes(101), None)], 1), [None]);
        assert_eq!(row(&[(Bytes(100), Some(Map::of([(0, 0), (3, 4)])))], 2), [None, Some(75)]);
    }

    #[test]
    fn nothing_is_an_empty_row_and_little_is_drawn_all_the_same() {
        assert!(row(&[], 10).is_empty());
        assert!(row(&[file(0, &[100])], 10).is_empty());
        assert!(row(&[file(5, &[100])], 0).is_empty());
        assert_eq!(row(&[half_warm(2)], 4), [Some(100), Some(100), Some(0), Some(0)]);
        assert_eq!(row(&[(Bytes(4), Some(Map::of([])))], 1), [None]);
        let most = [half_warm(u64::MAX), half_warm(u64::MAX)];
        assert_eq!(row(&most, 4), [Some(100), Some(0), Some(100), Some(0)]);
    }
}

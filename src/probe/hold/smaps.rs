//! How much of our own mappings is in RAM: `Rss` of `/proc/self/smaps`, which is exact for the files of any user.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// The bytes in RAM of each range of addresses. One reading serves all: the kernel walks every mapping of the process
/// for it, 2.5 ms for each GiB that is in RAM (11 ms where that is in pages of 4 KiB).
pub(super) fn rss(ranges: &[(usize, usize)]) -> io::Result<Vec<u64>> {
    parse(BufReader::with_capacity(64 << 10, File::open("/proc/self/smaps")?), ranges)
}

/// A range may be several entries, as after a part of it was locked.
fn parse(mut smaps: impl BufRead, ranges: &[(usize, usize)]) -> io::Result<Vec<u64>> {
    let mut sums = vec![0; ranges.len()];
    let mut inside = None;
    let mut line = Vec::new();
    while smaps.read_until(b'\n', &mut line)? > 0 {
        // Paths need not be text; what matters stands before them and is.
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let word =
            |word: Option<&[u8]>| word.and_then(|word| std::str::from_utf8(word).ok().map(str::to_owned));
        let first = word(words.next()).unwrap_or_default();
        if let Some((from, to)) = addresses(&first) {
            inside = ranges.iter().position(|range| range.0 <= from && to <= range.1);
        } else if let (Some(range), "Rss:") = (inside, first.as_str()) {
            let kib = word(words.next()).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
            sums[range] += kib.saturating_mul(1024);
        }
        line.clear();
    }
    Ok(sums)
}

/// `7f2a4c000000-7f2a50000000`, with which an entry begins.
fn addresses(word: &str) -> Option<(usize, usize)> {
    let (from, to) = word.split_once('-')?;
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded: a file of 16 MiB of which the first MiB is locked and the last MiB is cut off, between two others.
    const RECORDED: &[u8] = b"7f8f1b000000-7f8f1b800000 r--s 00000000 fe:00 1835112                    /a/other-\xff\n\
Size:               8192 kB\nKernelPageSize:        4 kB\nRss:                8192 kB\nPss:                4096 kB\n\
VmFlags: rd sh mr mw me ms \n\
7f8f1b800000-7f8f1b900000 r--s 00000000 fe:00 1835113                    /a/blob with Rss: 99 kB\n\
Size:               1024 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\nRss:                1024 kB\n\
Pss:                1024 kB\nLocked:             1024 kB\nVmFlags: rd sh mr mw me ms lo \n\
7f8f1b900000-7f8f1c800000 r--s 00100000 fe:00 1835113                    /a/blob with Rss: 99 kB\n\
Size:              15360 kB\nRss:               14336 kB\nPss:               14336 kB\nAnonymous:             0 kB\n\
THPeligible:           0\nVmFlags: rd sh mr mw me ms \n\
7f8f1c800000-7f8f1c900000 rw-p 00000000 00:00 0 \nSize:               1024 kB\nRss:                   8 kB\n\
VmFlags: rd wr mr mw me ac \n\
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\nRss:                   0 kB\n";

    #[test]
    fn the_entries_of_a_mapping_are_summed_and_its_neighbours_are_not() {
        let blob = (0x7f8f_1b80_0000, 0x7f8f_1c80_0000);
        let other = (0x7f8f_1b00_0000, 0x7f8f_1b80_0000);
        let sums = |ranges: &[_]| parse(RECORDED, ranges).unwrap();
        assert_eq!(sums(&[blob]), [15 << 20]);
        assert_eq!(sums(&[other, blob, (0x1000, 0x2000)]), [8 << 20, 15 << 20, 0]);
        assert_eq!(sums(&[]), [0; 0]);
    }

    #[test]
    fn what_is_no_smaps_sums_to_nothing() {
        for text in ["", "\n\n", "Rss: 5 kB\n", "1-2 r--s\nRss: lots kB\n", "zz-1 r--s\nRss: 5 kB"] {
            assert_eq!(parse(text.as_bytes(), &[(0, usize::MAX)]).unwrap(), [0], "{text:?}");
        }
    }
}

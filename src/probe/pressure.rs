//! Memory pressure as the kernel counts it: the share of time in which something waited for memory.

use std::fs;
use std::path::Path;

/// What `/proc/pressure/memory` says of the last ten seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pressure {
    /// Percent of the time in which at least one task waited for memory.
    pub some_avg10: f32,
}

/// Reads it under `root`; `None` where the kernel does not count it.
pub fn memory(root: &Path) -> Option<Pressure> {
    parse(&fs::read_to_string(root.join("proc/pressure/memory")).ok()?)
}

fn parse(text: &str) -> Option<Pressure> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent = some.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
    let some_avg10 = percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
    Some(Pressure { some_avg10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_seconds_are_read() {
        let recorded = "some avg10=12.34 avg60=3.10 avg300=0.71 total=5231\n\
                        full avg10=9.99 avg60=2.00 avg300=0.50 total=4000\n";
        let cases = [
            (recorded, Some(12.34)),
            ("full avg10=9.99 avg60=2.00\n", None),
            ("some avg60=3.10\n", None),
            ("some avg10=lots\n", None),
            ("some avg10=NaN\n", None),
            ("some avg10=-1\n", None),
            ("", None),
        ];
        for (text, some_avg10) in cases {
            assert_eq!(parse(text), some_avg10.map(|some_avg10| Pressure { some_avg10 }), "{text:?}");
        }
    }

    #[test]
    fn a_kernel_that_does_not_count_it_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(memory(root.path()), None);
        let directory = root.path().join("proc/pressure");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("memory"), "some avg10=1.50 avg60=0.00 avg300=0.00 total=0\n").unwrap();
        assert_eq!(memory(root.path()), Some(Pressure { some_avg10: 1.5 }));
    }
}

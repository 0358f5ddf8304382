//! Holding: what keeps a file in RAM, how much of it is there, and why it would not be.

use super::bytes::{Bytes, GIB, MIB};

/// What keeps a file in RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A populated mapping: it survives what streams through the page cache, and gives way when memory runs short.
    Map,
    /// `mlock`: it never gives way.
    Lock,
}

/// One held file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What was asked.
    pub how: How,
    /// The file's size when it was mapped; zero before.
    pub size: Bytes,
    /// What our own mapping holds: exact, whoever owns the file. What others read while this one may not be populated
    /// (see `fading`) is in RAM too, and not in it.
    pub resident: Bytes,
    /// Locked so far; less than the size is a partial lock.
    pub locked: Bytes,
    /// Why it is not populated again now.
    pub fading: Option<String>,
    /// What does not work, and what to do.
    pub trouble: Option<String>,
}

impl Held {
    /// One of which nothing is mapped yet.
    pub fn new(how: How) -> Held {
        let (size, resident, locked) = (Bytes::ZERO, Bytes::ZERO, Bytes::ZERO);
        Held { how, size, resident, locked, fading: None, trouble: None }
    }
}

/// Memory pressure from which on nothing is populated, in percent of the time in which something waited for memory.
const PRESSURE: f32 = 5.0;

/// Why nothing should be read into RAM now, given what is available, what must stay so, and the kernel's
/// `some avg10`, where it tells.
pub fn why_not(available: Bytes, margin: Bytes, some_avg10: Option<f32>) -> Option<String> {
    if available <= margin {
        return Some(format!("only {:.1} GiB available", available.gib()));
    }
    let percent = some_avg10.filter(|percent| *percent >= PRESSURE)?;
    Some(format!("memory pressure {percent:.0} %"))
}

/// What to do so that `needed` can be locked where `limit` is all that `user` may lock: the numbers and the lines.
pub fn raise_limit(needed: Bytes, limit: Bytes, user: &str) -> String {
    format!(
        "{} may be locked and {} are needed; {}",
        binary(limit),
        binary(needed),
        limit_lines(needed, user)
    )
}

/// Only the lines with which `user` may lock `needed`.
pub fn limit_lines(needed: Bytes, user: &str) -> String {
    let kib = needed.0.div_ceil(1024);
    format!(
        "in a systemd unit, under [Service]: `LimitMEMLOCK=infinity` (systemctl edit UNIT); in a terminal, in \
         /etc/security/limits.conf: `{user} - memlock {kib}`, then log in again"
    )
}

/// `64 KiB`, `8.0 MiB`, `17.2 GiB`: limits are set in powers of two.
fn binary(bytes: Bytes) -> String {
    match bytes.0 {
        GIB.. => format!("{:.1} GiB", bytes.gib()),
        MIB.. => format!("{:.1} MiB", bytes.gib() * 1024.0),
        _ => format!("{} KiB", bytes.0 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_populated_when_memory_is_short_or_waited_for() {
        let gib = |gib: u64| Bytes(gib * GIB);
        let cases = [
            (gib(4), gib(2), Some(0.0), None),
            (gib(4), gib(2), None, None),
            (gib(4), gib(2), Some(4.99), None),
            (gib(4), gib(2), Some(5.0), Some("memory pressure 5 %")),
            (gib(4), gib(2), Some(12.34), Some("memory pressure 12 %")),
            (gib(4), gib(2), Some(f32::NAN), None),
            (Bytes(9 * GIB / 10), gib(2), Some(50.0), Some("only 0.9 GiB available")),
            (gib(2), gib(2), None, Some("only 2.0 GiB available")),
            (Bytes::ZERO, Bytes::ZERO, None, Some("only 0.0 GiB available")),
        ];
        for (available, margin, pressure, why) in cases {
            assert_eq!(why_not(available, margin, pressure).as_deref(), why, "{available} {pressure:?}");
        }
    }

    #[test]
    fn the_way_to_lock_more_names_the_numbers_and_the_lines() {
        assert_eq!(
            raise_limit(Bytes(18_400_000_001), Bytes(8 * MIB), "ann"),
            "8.0 MiB may be locked and 17.1 GiB are needed; in a systemd unit, under [Service]: \
             `LimitMEMLOCK=infinity` (systemctl edit UNIT); in a terminal, in /etc/security/limits.conf: \
             `ann - memlock 17968751`, then log in again"
        );
        assert!(
            raise_limit(Bytes(GIB), Bytes(64 << 10), ":1000").starts_with("64 KiB may be locked and 1.0 GiB")
        );
        assert!(raise_limit(Bytes(MIB), Bytes::ZERO, "ann").starts_with("0 KiB may be locked"));
    }
}

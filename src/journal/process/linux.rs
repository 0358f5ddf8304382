//! Linux: a process is known by its pid, its start, and the start of the machine.

use std::fs;
use std::io;

/// Field 22 of `/proc/PID/stat`, counted from the state, which is field 3.
const STARTED: usize = 22 - 3;

/// Which start of the machine this is.
pub(super) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// When a process began; `None` for one that is gone, or is dead and has only not been waited for.
pub(super) fn started(pid: u32) -> Option<i64> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in a stat line may hold anything, brackets and spaces too; the last bracket is its end.
fn parse(stat: &[u8]) -> Option<i64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X" | "x") {
        return None;
    }
    fields.get(STARTED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let line = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 1\n")
        };
        for name in ["sh", "a b", ") S 1 2", "((", "\u{fffd}"] {
            assert_eq!(parse(line(name, "S").as_bytes()), Some(4711), "{name}");
        }
        assert_eq!(parse(line("sh", "Z").as_bytes()), None);
        for cut in ["", "7 (sh", "7 (sh)", "7 (sh) S 1 7"] {
            assert_eq!(parse(cut.as_bytes()), None, "{cut}");
        }
    }
}

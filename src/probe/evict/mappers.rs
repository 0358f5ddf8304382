//! Which processes have a file mapped, as far as their maps may be read: those of our own user, or all for root.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Stat, major, minor};

use crate::residency::text::printable;

/// So many are named.
const MOST: usize = 3;

/// How a line of `/proc/PID/maps` shows a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    device: String,
    inode: String,
    path: Vec<u8>,
}

impl Mark {
    pub(super) fn of(stat: &Stat, path: &Path) -> Mark {
        let device = format!("{:02x}:{:02x}", major(stat.st_dev), minor(stat.st_dev));
        Mark { device, inode: stat.st_ino.to_string(), path: path.as_os_str().as_bytes().to_owned() }
    }

    /// Whether a line names it. Some file systems (btrfs) show a device of their own there, so the path will do too.
    fn is_in(&self, line: &[u8]) -> bool {
        let mut words = line.splitn(6, |byte| *byte == b' ');
        let (Some(device), Some(inode)) = (words.nth(3), words.next()) else { return false };
        let path = words.next().unwrap_or_default().trim_ascii();
        inode == self.inode.as_bytes() && (device == self.device.as_bytes() || path == self.path)
    }
}

/// `ollama (pid 12)` for each process that has the file mapped; a few, and how many more there are.
pub(super) fn find(proc: &Path, mark: &Mark) -> Vec<String> {
    let pids = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<u32> =
        pids.filter(|pid| maps(&proc.join(pid.to_string()), mark).unwrap_or(false)).collect();
    found.sort_unstable();
    let mut names: Vec<String> = found.iter().take(MOST).map(|pid| name(proc, *pid)).collect();
    if found.len() > MOST {
        names.push(format!("{} more", found.len() - MOST));
    }
    names
}

/// Whether the process has it mapped; an error where we may not know.
fn maps(process: &Path, mark: &Mark) -> io::Result<bool> {
    let mut maps = BufReader::new(File::open(process.join("maps"))?);
    let mut line = Vec::new();
    while maps.read_until(b'\n', &mut line)? > 0 {
        if mark.is_in(&line) {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

fn name(proc: &Path, pid: u32) -> String {
    if pid == std::process::id() {
        return format!("this program (pid {pid})");
    }
    let name = fs::read_to_string(proc.join(pid.to_string()).join("comm")).unwrap_or_default();
    match printable(name.trim()).as_ref() {
        "" => format!("pid {pid}"),
        name => format!("{name} (pid {pid})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { device: "fe:00".to_owned(), inode: "1835113".to_owned(), path: b"/a/blob x".to_vec() }
    }

    #[test]
    fn a_file_is_known_by_device_and_inode_or_by_inode_and_path() {
        let cases: [(&[u8], bool); 8] = [
            (b"7f8f1b-7f8f1c r--s 00000000 fe:00 1835113                    /elsewhere/blob\n", true),
            (b"7f8f1b-7f8f1c r--s 00000000 00:2f 1835113                    /a/blob x\n", true),
            (b"7f8f1b-7f8f1c r--s 00000000 fe:00 1835113 /a/blob\xff\n", true),
            (b"7f8f1b-7f8f1c r--s 00000000 00:2f 1835113                    /a/blob\n", false),
            (b"7f8f1b-7f8f1c r--s 00000000 fe:00 1835114                    /a/blob x\n", false),
            (b"7f8f1b-7f8f1c rw-p 00000000 00:00 0 \n", false),
            (b"fe:00 1835113\n", false),
            (b"\n", false),
        ];
        for (line, is_it) in cases {
            assert_eq!(mark().is_in(line), is_it, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn processes_that_map_it_are_named_in_printable_letters_and_not_without_end() {
        let proc = tempfile::tempdir().unwrap();
        let line = "7f8f1b-7f8f1c r--s 00000000 fe:00 1835113                    /a/blob x\n";
        let write = |pid: &str, comm: Option<&str>, maps: &str| {
            let process = proc.path().join(pid);
            fs::create_dir(&process).unwrap();
            fs::write(process.join("maps"), maps).unwrap();
            if let Some(comm) = comm {
                fs::write(process.join("comm"), comm).unwrap();
            }
        };
        let other = "7f8f1b-7f8f1c rw-p 00000000 00:00 0 \n";
        write("4000000012", Some("ollama\n"), &format!("{other}{line}{line}"));
        write("4000000013", Some("\u{1b}[31mx\n"), line);
        write("4000000014", None, line);
        write("4000000015", Some("other\n"), other);
        write("self", Some("not a pid\n"), line);
        let named = ["ollama (pid 4000000012)", "\u{fffd}[31mx (pid 4000000013)", "pid 4000000014"];
        assert_eq!(find(proc.path(), &mark()), named);
        write("4000000016", Some("fourth\n"), line);
        write("4000000017", Some("fifth\n"), line);
        assert_eq!(find(proc.path(), &mark())[3..], ["2 more"]);
        assert_eq!(find(&proc.path().join("none"), &mark()), [""; 0]);
    }
}

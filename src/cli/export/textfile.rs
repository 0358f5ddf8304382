//! A file that another exporter reads, such as the textfile collector of node_exporter: whole at any moment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Puts a text where the file is, all at once: a new file beside it takes its place. Everybody may read it: who
/// collects it is another user.
pub fn put(path: &Path, text: &str) -> Result<(), String> {
    let failed =
        |what: &str, error: &io::Error| format!("{} is not written: {what}: {error}", path.display());
    if path.is_dir() {
        return Err(format!("{} is a directory: name a file in it", path.display()));
    }
    let (file, beside) = new_beside(path).map_err(|error| failed("no file can be made beside it", &error))?;
    let placed = fill(file, text).and_then(|()| fs::rename(&beside, path));
    placed.map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed("it cannot be replaced", &error)
    })
}

/// Not among what collectors read: its name has another ending. What a crash left there is made anew.
fn new_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    match options.open(&beside) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(&beside)?;
            Ok((options.open(&beside)?, beside))
        }
        opened => Ok((opened?, beside)),
    }
}

fn fill(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    // Whatever the umask of a service says.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_new_text_takes_the_place_of_the_old_whole_and_readable_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resident.prom");
        put(&path, "old\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Who reads the old file goes on reading it whole.
        let mut reader = File::open(&path).unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        put(&path, "new\n").unwrap();
        let mut old = String::new();
        io::Read::read_to_string(&mut reader, &mut old).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((old.as_str(), fs::read_to_string(&path).unwrap().as_str()), ("old\n", "new\n"));
        assert_ne!(after.ino(), before);
        assert_eq!(after.mode() & 0o777, 0o644);
        assert_eq!(names(folder.path()), ["resident.prom"]);
    }

    #[test]
    fn what_a_crash_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resident.prom");
        let left = folder.path().join(format!(".resident.prom.{}.new", std::process::id()));
        fs::write(left, "half").unwrap();
        put(&path, "new\n").unwrap();
        assert_eq!(names(folder.path()), ["resident.prom"]);
    }

    #[test]
    fn where_it_cannot_be_written_the_reason_is_told_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let why = put(&folder.path().join("nowhere/resident.prom"), "x").unwrap_err();
        assert!(why.contains("nowhere/resident.prom is not written: no file can be made beside it"), "{why}");
        let why = put(folder.path(), "x").unwrap_err();
        assert!(why.ends_with("is a directory: name a file in it"), "{why}");
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

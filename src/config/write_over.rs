//! A file written over, all or nothing: a new file beside it takes its place.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::residency::text::printable;

/// More unfinished files than this beside one are somebody's mistake.
const MOST_LEFT_OVER: u32 = 16;

/// Replaces the text of the file at `path`, or of what a link there leads to: by the new text whole, or not at all. It
/// keeps owner and mode. Refused if the file is no longer `old_text`, as it was when it was read.
pub fn write_over(path: &Path, old_text: &str, new_text: &str) -> Result<(), String> {
    let shown = &printable(&path.to_string_lossy()).into_owned();
    let failed =
        |what: &'static str| move |error: io::Error| format!("{shown} stays as it is: {what}: {error}");
    let target = fs::canonicalize(path).map_err(failed("it cannot be found"))?;
    let old = fs::metadata(&target).map_err(failed("it cannot be read"))?;
    if !old.is_file() {
        return Err(format!("{shown} is no file"));
    }
    if other_links(&old) {
        return Err(format!("{shown} stays as it is: it has another name, which would keep the old text"));
    }
    // The folder's rights decide over a rename; the file's own are to be kept all the same.
    OpenOptions::new().write(true).open(&target).map_err(failed("it may not be written"))?;
    let unchanged = || match fs::read(&target).map_err(failed("it cannot be read"))? {
        now if now == old_text.as_bytes() => Ok(()),
        _ => Err(format!("{shown} stays as it is: it was changed meanwhile; try again")),
    };
    unchanged()?;
    let (file, beside) = new_beside(&target).map_err(failed("no file can be made beside it"))?;
    let written = fill(file, &old, new_text)
        .map_err(failed("the new text cannot be written"))
        // Between this look and the next line it can still change: no system offers more.
        .and_then(|()| unchanged())
        .and_then(|()| fs::rename(&beside, &target).map_err(failed("it cannot be replaced")));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    // The new name is there at once; that it outlives a power cut is as good as the file system has it.
    if let Some(folder) = target.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn new_beside(target: &Path) -> io::Result<(File, PathBuf)> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut last = io::Error::from(ErrorKind::AlreadyExists);
    for number in 0..MOST_LEFT_OVER {
        let beside = target.with_file_name(format!(".{name}.{}.{number}.new", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        // Until it has the old one's mode, nobody else may read it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&beside) {
            Ok(file) => return Ok((file, beside)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn fill(mut file: File, old: &Metadata, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    keep_owner(&file, old)?;
    // After the owner: a change of owner takes away parts of the mode.
    file.set_permissions(old.permissions())?;
    file.sync_all()
}

#[cfg(unix)]
fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = file.metadata()?;
    let differs = |old: u32, new: u32| (old != new).then_some(old);
    match (differs(old.uid(), new.uid()), differs(old.gid(), new.gid())) {
        (None, None) => Ok(()),
        (uid, gid) => fchown(file, uid, gid),
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn other_links(old: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(old) > 1
}

#[cfg(not(unix))]
fn other_links(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_text_takes_the_place_of_the_old_with_its_mode_and_owner() {
        let folder = folder();
        let path = folder.path().join("config.yaml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Only root may give a file away; all others keep their own.
        let _ = std::os::unix::fs::chown(&path, Some(65534), Some(65534));
        let before = fs::metadata(&path).unwrap();
        write_over(&path, "old", "new").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino(), "the old file was never open for half a text");
        assert_eq!(names(folder.path()), ["config.yaml"]);
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_written() {
        let folder = folder();
        let (real, link) = (folder.path().join("dotfiles.yaml"), folder.path().join("config.yaml"));
        fs::write(&real, "old").unwrap();
        symlink("dotfiles.yaml", &link).unwrap();
        write_over(&link, "old", "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    }

    #[test]
    fn what_was_changed_meanwhile_or_is_gone_stays_as_it_is() {
        let folder = folder();
        let path = folder.path().join("config.yaml");
        let told = write_over(&path, "old", "new").unwrap_err();
        assert!(told.contains("cannot be found"), "{told}");
        fs::write(&path, "other").unwrap();
        let told = write_over(&path, "old", "new").unwrap_err();
        assert!(told.ends_with("stays as it is: it was changed meanwhile; try again"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        assert!(write_over(folder.path(), "old", "new").unwrap_err().ends_with("is no file"));
        assert_eq!(names(folder.path()), ["config.yaml"]);
    }

    #[test]
    fn a_second_name_of_the_file_is_never_left_with_the_old_text() {
        let folder = folder();
        let path = folder.path().join("config.yaml");
        fs::write(&path, "old").unwrap();
        fs::hard_link(&path, folder.path().join("second")).unwrap();
        assert!(write_over(&path, "old", "new").unwrap_err().contains("another name"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn files_left_over_from_a_crash_are_in_nobodys_way_and_stay() {
        let folder = folder();
        let path = folder.path().join("config.yaml");
        fs::write(&path, "old").unwrap();
        let left = folder.path().join(format!(".config.yaml.{}.0.new", std::process::id()));
        fs::write(&left, "half").unwrap();
        write_over(&path, "old", "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_to_string(&left).unwrap(), "half");
        for number in 0..MOST_LEFT_OVER {
            let name = format!(".config.yaml.{}.{number}.new", std::process::id());
            fs::write(folder.path().join(name), "half").unwrap();
        }
        let told = write_over(&path, "new", "newer").unwrap_err();
        assert!(told.contains("no file can be made beside it"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}

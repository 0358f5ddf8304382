//! Who may read the models' files: whose the directory is, and which files open.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::regular;
use crate::residency::checkup::Access;

/// Looks at the directory of the blobs and tries to open each file; `None` where the directory cannot be looked at.
pub fn look(models: &Path, files: &[PathBuf]) -> Option<Access> {
    let found = fs::metadata(models.join("blobs")).or_else(|_| fs::metadata(models)).ok()?;
    let name = |table: &str, number: u32| {
        let table = fs::read_to_string(table).unwrap_or_default();
        named(&table, number).unwrap_or_else(|| format!("#{number}"))
    };
    let mut access = Access {
        mode: found.mode() & 0o7777,
        owner: name("/etc/passwd", found.uid()),
        group: name("/etc/group", found.gid()),
        ..Access::default()
    };
    for file in files {
        match regular::open(file) {
            Ok(_) => access.readable += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => access.missing += 1,
            Err(_) => access.refused += 1,
        }
    }
    Some(access)
}

/// The name of a number in `/etc/passwd` or `/etc/group`; one that no shell takes for a word is none.
fn named(table: &str, number: u32) -> Option<String> {
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, found) = (fields.next()?, fields.next()?, fields.next()?);
        (found.parse() == Ok(number)).then_some(name)
    })?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!name.is_empty() && name.chars().all(is_plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_whether_they_open() {
        let models = tempfile::tempdir().unwrap();
        let blobs = models.path().join("blobs");
        fs::create_dir(&blobs).unwrap();
        fs::write(blobs.join("one"), "x").unwrap();
        let files = ["one", "two", "."].map(|name| blobs.join(name));
        let access = look(models.path(), &files).unwrap();
        assert_eq!((access.readable, access.missing, access.refused), (1, 1, 1));
        assert_eq!(access.mode & 0o700, 0o700);
        assert_eq!(look(Path::new("/no/such/place"), &[]), None);
    }

    #[test]
    fn a_number_has_the_name_that_the_table_gives_it() {
        let table = "root:x:0:\nollama:x:998:ann\nodd name:x:7:\n:x:8:\n";
        for (number, name) in [(0, Some("root")), (998, Some("ollama")), (7, None), (8, None), (9, None)] {
            assert_eq!(named(table, number).as_deref(), name, "{number}");
        }
    }
}

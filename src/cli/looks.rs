//! Where the choices about the screen are remembered: a small file beside the journal.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::state;
use crate::residency::text::printable;
use crate::tui::looks::Looks;

/// No choices are longer than this.
const LONGEST: u64 = 64 * 1024;

/// `screen.json` beside the journal; `None` without a home directory.
pub fn place() -> Option<PathBuf> {
    state::journal_path(false).map(|journal| journal.with_file_name("screen.json"))
}

/// What is remembered; nothing where the file is absent or is not one of ours.
pub fn read(path: &Path) -> Looks {
    let text = || {
        // A pipe would wait for ever.
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        fs::File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        Some(text)
    };
    text().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Writes it: whole or not at all, for the owner only.
pub fn write(path: &Path, looks: &Looks) -> Result<(), String> {
    whole(path, looks).map_err(|error| {
        format!("what was chosen is not remembered: {}: {error}", printable(&path.to_string_lossy()))
    })
}

fn whole(path: &Path, looks: &Looks) -> io::Result<()> {
    let text = serde_json::to_string_pretty(looks)? + "\n";
    if let Some(folder) = path.parent() {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // One that a crash left behind.
    let _ = fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_is_nobody_elses() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state/resident/screen.json");
        assert_eq!(read(&path), Looks::default());
        for filter in ["qwen", ""] {
            let looks =
                Looks { filter: filter.to_owned(), sort: Some("size".to_owned()), ..Looks::default() };
            write(&path, &looks).unwrap();
            assert_eq!(read(&path), looks);
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn bad_content_is_nothing_and_is_written_over() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("screen.json");
        for bad in ["", "{", "[1]", "{\"sort\": 5}", "\u{0}"] {
            fs::write(&path, bad).unwrap();
            assert_eq!(read(&path), Looks::default(), "{bad}");
        }
        fs::write(&path, "{\"sort\": \"name\", \"from_a_later_version\": 1}").unwrap();
        assert_eq!(read(&path).sort.as_deref(), Some("name"));
        write(&path, &Looks::default()).unwrap();
        assert_eq!(read(&path), Looks::default());
        assert_eq!(read(home.path()), Looks::default(), "a directory");
    }

    #[test]
    fn where_it_cannot_be_written_that_is_said() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file/screen.json");
        fs::write(home.path().join("file"), "").unwrap();
        let why = write(&path, &Looks::default()).unwrap_err();
        assert!(why.contains("not remembered") && why.contains("screen.json"), "{why}");
    }
}

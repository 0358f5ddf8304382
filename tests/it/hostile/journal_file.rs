//! A journal whose file is damaged: it is used, or moved aside for a fresh one, or the reason is told.
//!
//! An odd first byte: the rest is the file. Else each four bytes are a place in a good file and what stands there.

use std::fs;

use resident::journal::Opened;

use super::journal::{read, template};

pub fn holds(data: &[u8]) {
    let file = match data.split_first() {
        None => return,
        Some((first, rest)) if first % 2 == 1 => rest.to_vec(),
        Some((_, rest)) => {
            let mut file = template().to_vec();
            for [low, middle, high, byte] in rest.as_chunks().0 {
                let place = u32::from_le_bytes([*low, *middle, *high, 0]) as usize % file.len();
                file[place] = *byte;
            }
            file
        }
    };
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("journal.sqlite");
    fs::write(&path, &file).expect("a file");
    let (opened, state) = read(&path);
    if let Ok(Opened::MovedAside { to, .. }) = opened {
        assert_eq!(fs::read(to).expect("the old file").len(), file.len(), "nothing is thrown away");
        assert_eq!(state.trouble, None, "a fresh file has no trouble");
    }
}

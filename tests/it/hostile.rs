//! What must hold whatever comes from outside: one property a file, tried here with good beginnings gone wrong; a fuzz
//! target of the same name (fuzz/) tries it for as long as you let it.
#![expect(clippy::expect_used, reason = "what the properties share is no test function")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

mod amounts;
mod config;
mod config_edit;
mod expires_at;
mod host;
mod journal;
mod journal_file;
mod journal_rows;
mod keys;
mod manifests;
mod names;
mod safe;
mod screen;
mod stream;
mod text;
mod theme;
mod wire;

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile");

/// What to begin with, and what once broke something, by name.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fs::read_dir(Path::new(SEEDS).join(target)).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// What happens to bytes on their way.
#[derive(Debug, Clone)]
enum Harm {
    Byte(Index, u8),
    Cut(Index),
    Twice(Index, Index),
    Between(Index, &'static [u8]),
}

impl Harm {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Harm::Byte(at, byte) if !data.is_empty() => *at.get_mut(data) = *byte,
            Harm::Byte(_, byte) => data.push(*byte),
            Harm::Cut(at) => data.truncate(at.index(data.len() + 1)),
            Harm::Twice(from, to) => {
                let [from, to] = [from, to].map(|at| at.index(data.len() + 1));
                let piece = data[from.min(to)..from.max(to)].to_vec();
                data.splice(to..to, piece);
            }
            Harm::Between(at, scrap) => {
                let at = at.index(data.len() + 1);
                data.splice(at..at, scrap.iter().copied());
            }
        }
    }
}

/// What stands in no good file.
const SCRAPS: &[&[u8]] = &[
    b"\x1b[2J",
    b"\xff",
    b"\0",
    b"-1",
    b"1e999",
    b"9223372036854775808",
    b"null",
    b"[",
    b"{",
    b"\"",
    b"'",
    b"\\",
    b": ",
    b"\n",
    b"\r\n",
    b"\t",
    b"#",
    b"- ",
    b"&a ",
    b"*a",
    b"<<",
    b"../",
    b"0001-01-01T00:00:00Z",
    "\u{202e}".as_bytes(),
    "\u{200b}".as_bytes(),
    "\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}".as_bytes(),
    "日本".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{9b}".as_bytes(),
];

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
        any::<Index>().prop_map(Harm::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Harm::Twice(from, to)),
        (any::<Index>(), select(SCRAPS)).prop_map(|(at, scrap)| Harm::Between(at, scrap)),
    ]
}

/// Holds the property to each seed as it is, then to so many that came to harm.
#[expect(clippy::print_stdout, reason = "which seed it was, should it panic")]
fn tried(target: &str, cases: u32, holds: fn(&[u8])) {
    let seeds = seeds(target);
    for (path, data) in &seeds {
        println!("{}", path.display());
        holds(data);
    }
    let begin = select(seeds.into_iter().map(|(_, data)| data).collect::<Vec<_>>());
    let begin = prop_oneof![4 => begin, 1 => vec(any::<u8>(), 0..64), 1 => ".*".prop_map(String::into_bytes)];
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(&(begin, vec(harm(), 0..5)), |(mut data, harms)| {
        for harm in harms {
            harm.apply(&mut data);
        }
        holds(&data);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn times_and_sizes_are_read_within_bounds_or_refused() {
    tried("amounts", 256, amounts::holds);
}

#[test]
fn any_settings_file_is_read_or_every_problem_has_its_place() {
    tried("config", 48, config::holds);
}

#[test]
fn a_list_is_written_as_told_and_nothing_else_changes() {
    tried("config_edit", 48, config_edit::holds);
}

#[test]
fn any_expiry_at_any_time_is_consistent() {
    tried("expires_at", 256, expires_at::holds);
}

#[test]
fn an_address_that_is_taken_can_be_called() {
    tried("host", 128, host::holds);
}

#[test]
fn a_damaged_journal_is_used_or_moved_aside_or_told_of() {
    tried("journal_file", 4, journal_file::holds);
}

#[test]
fn no_row_of_a_journal_is_trouble() {
    tried("journal_rows", 6, journal_rows::holds);
}

#[test]
fn keys_mean_one_thing_or_the_line_is_named() {
    tried("keys", 128, keys::holds);
}

#[test]
fn no_manifest_leads_out_of_the_blobs() {
    tried("manifests", 24, manifests::holds);
}

#[test]
fn a_name_is_normal_once_and_shown_safely() {
    tried("names", 256, names::holds);
}

#[test]
fn no_word_from_outside_reaches_a_cell_unsafely() {
    tried("screen", 12, screen::holds);
}

#[test]
fn where_a_stream_is_cut_makes_no_difference() {
    tried("stream", 256, stream::holds);
}

#[test]
fn what_may_not_reach_a_terminal_does_not() {
    tried("text", 256, text::holds);
}

#[test]
fn a_colour_reads_back_as_it_is_shown() {
    tried("theme", 64, theme::holds);
}

#[test]
fn every_answer_is_read_within_bounds_or_refused() {
    tried("wire", 96, wire::holds);
}

#[test]
fn every_property_has_seeds_and_all_seeds_have_a_property() {
    let source = include_str!("hostile.rs");
    let mut names: Vec<String> =
        fs::read_dir(SEEDS).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in &names {
        assert!(source.contains(&format!("{name}::holds")), "{name}");
        assert!(!seeds(name).is_empty(), "{name}");
    }
    assert_eq!(names.len(), source.matches("    tried(\"").count());
    // Where the package is not all there is.
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    if targets.exists() {
        let targets = fs::read_dir(targets).unwrap().map(|entry| entry.unwrap().path());
        let mut targets: Vec<String> =
            targets.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        targets.sort();
        assert_eq!(targets, names);
    }
}

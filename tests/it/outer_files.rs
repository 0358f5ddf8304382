//! The README and the files around the code: what they promise is what the program does.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;

use resident::cli::{Cli, Exit};
use resident::tui::action::ACTIONS;

fn file(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The lines of each block of commands.
fn blocks(markdown: &str) -> Vec<Vec<&str>> {
    markdown
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default().lines().collect())
        .collect()
}

#[test]
fn the_readme_begins_with_exactly_two_commands() {
    let readme = file("README.md");
    assert_eq!(blocks(&readme)[0], ["cargo run --release -- --demo", "cargo test"]);
    let before = readme.split("```").next().unwrap();
    assert!(before.lines().count() < 8, "the commands stand up front:\n{before}");
}

#[test]
fn every_command_line_in_the_readme_is_a_right_one() {
    let readme = file("README.md");
    let mut seen = 0;
    for line in blocks(&readme).concat() {
        let line = line.replace("cargo run --release -- ", "resident ");
        if line == "resident" || line.starts_with("resident ") {
            Cli::read(line.split_whitespace().map(OsString::from)).unwrap_or_else(|e| panic!("{line}: {e}"));
            seen += 1;
        }
    }
    assert!(seen > 12, "{seen}");
}

#[test]
fn the_readme_tells_every_exit_code() {
    let readme = file("README.md");
    for (exit, meaning) in [
        (Exit::Done, "done"),
        (Exit::Failed, "failed"),
        (Exit::Usage, "usage or config"),
        (Exit::Refused, "refused without `--yes`"),
        (Exit::TimedOut, "timed out"),
        (Exit::NoServer, "no server"),
    ] {
        let row = format!("| {} | {meaning} |", exit as u8);
        assert!(readme.lines().any(|line| line == row), "{row}");
    }
}

/// Whether a line is the heading that a link within the page names.
fn is_heading(line: &str, named: &str) -> bool {
    line.starts_with('#')
        && line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-").eq_ignore_ascii_case(named)
}

#[test]
fn all_that_the_readme_links_to_is_there() {
    let readme = file("README.md");
    let mut links = 0;
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !link.contains("://") {
            let is_there = match link.strip_prefix('#') {
                Some(heading) => readme.lines().any(|line| is_heading(line, heading)),
                None => fs::exists(format!("{}/{link}", env!("CARGO_MANIFEST_DIR"))).unwrap(),
            };
            assert!(is_there, "{link}");
            links += 1;
        }
    }
    assert!(links >= 3, "{links}");
}

#[test]
fn one_version_of_the_terminal_library_is_in_the_lock() {
    assert_eq!(file("Cargo.lock").lines().filter(|line| *line == "name = \"crossterm\"").count(), 1);
}

/// The keys table, made from the keymap's own.
fn keys_table() -> String {
    let mut table = String::new();
    let mut context = None;
    for entry in ACTIONS {
        if context != Some(entry.context) {
            context = Some(entry.context);
            writeln!(table, "\n**{}**\n\n| key | name | what it does |\n|---|---|---|", entry.context)
                .unwrap();
        }
        let keys: Vec<String> = entry.keys.iter().map(|key| format!("`{key}`")).collect();
        writeln!(table, "| {} | `{}` | {} |", keys.join(" "), entry.name, entry.sentence).unwrap();
    }
    table
}

#[test]
fn the_keys_table_in_the_readme_is_the_keymaps() {
    let readme = file("README.md");
    let (before, rest) = readme.split_once("<!-- keys -->\n").unwrap();
    let (table, after) = rest.split_once("\n<!-- /keys -->").unwrap();
    let right = keys_table();
    if std::env::var_os("UPDATE_README").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        fs::write(path, format!("{before}<!-- keys -->\n{right}\n<!-- /keys -->{after}")).unwrap();
        return;
    }
    assert_eq!(table, right, "run: UPDATE_README=1 cargo test keys_table");
}

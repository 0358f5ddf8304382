//! The arrows between the rooms of `src/`, and the rules that each file keeps.

use std::fs;
use std::path::Path;

use crate::rust_text::tokens;

const ROOMS: [&str; 9] = ["cli", "config", "engine", "journal", "ollama", "probe", "residency", "sim", "tui"];
const MOST_LINES: usize = 400;
const UNSAFE: [&str; 2] = ["probe/sys.rs", "sim/huge.rs"];

/// Whether code of `from` may name the path `to` (a room, then what is named in it).
fn may(from: &str, to: &[String]) -> bool {
    let Some(room) = to.first().map(String::as_str) else { return false };
    let inside = to.get(1).map(String::as_str);
    if from == room {
        return true;
    }
    match from {
        "main" => room == "cli",
        "cli" => ROOMS.contains(&room),
        "tui" => ["engine", "residency", "config"].contains(&room),
        "engine" => ["residency", "ollama", "probe", "journal", "config"].contains(&room),
        "ollama" | "probe" | "journal" | "config" => room == "residency",
        // Named module by module, so that what is forbidden cannot come in under the room's own name.
        "sim" => match room {
            "residency" => inside.is_some_and(|inside| inside != "forecast" && inside != "*"),
            "ollama" => inside == Some("wire"),
            _ => false,
        },
        _ => false,
    }
}

/// The room of a file and its module path: `tui/panel/log.rs` is `tui::panel::log`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(ToOwned::to_owned).collect()
}

/// What is wrong with one file of `src/`.
fn wrongs(file: &str, source: &str) -> Vec<String> {
    let mut wrongs = Vec::new();
    if !source.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 4) {
        wrongs.push("the first line must be `//! ` and say what the file is about".to_owned());
    }
    let lines = source.lines().collect::<Vec<_>>();
    let tests = lines
        .iter()
        .enumerate()
        .position(|(at, line)| {
            let next = lines[at + 1..].iter().find(|line| !line.trim_start().starts_with("#["));
            line.trim() == "#[cfg(test)]" && next.is_some_and(|next| next.trim_start().starts_with("mod "))
        })
        .unwrap_or(lines.len());
    if tests > MOST_LINES {
        wrongs.push(format!("{tests} lines before its tests, {MOST_LINES} at most: find the second subject"));
    }
    let tokens = tokens(source);
    if !UNSAFE.contains(&file) && tokens.iter().any(|token| token == "unsafe") {
        wrongs.push(format!("unsafe stands only in {}", UNSAFE.join(" and ")));
    }
    if tokens.windows(3).any(|three| three[0] == "[" && three[1] == "path" && three[2] == "=") {
        wrongs.push("#[path] hides which room a file is in".to_owned());
    }
    if tokens.windows(2).any(|two| two[0] == "include" && two[1] == "!") {
        wrongs.push("include! hides which room code is in".to_owned());
    }
    let own = module(file);
    let room = own.first().map_or("lib", String::as_str);
    if !ROOMS.contains(&room) && !["lib", "main"].contains(&room) {
        wrongs.push(format!("{room} is no room: add it to the arrows"));
    }
    for path in paths(&own, &tokens) {
        if !may(room, &path) {
            wrongs.push(format!("{room} → {}", path.join("::")));
        }
    }
    wrongs
}

/// All paths from the root of the crate that the code of module `own` names, `use` trees spread out. A root that is
/// given another name, so that what it leads to cannot be seen, is the path `[root]`.
fn paths(own: &[String], tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at].as_str();
        let before = at.checked_sub(1).map(|at| tokens[at].as_str());
        match token {
            "{" => depth += 1,
            "}" => {
                depth -= usize::from(depth > 0);
                inline.retain(|(_, opened)| *opened < depth);
            }
            "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                inline.push((tokens[at + 1].clone(), depth));
            }
            "crate" | "resident" | "super" | "self" if before != Some("::") || is_absolute(tokens, at) => {
                let here = own.iter().cloned().chain(inline.iter().map(|(name, _)| name.clone()));
                spread(here.collect(), &tokens[at..], before, &mut found);
                at += step_over(&tokens[at..]);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether the `::` before `at` begins a path: `::resident::cli`.
fn is_absolute(tokens: &[String], at: usize) -> bool {
    let word = |token: &String| token.chars().all(|c| c.is_alphanumeric() || c == '_') || token == ">";
    at < 2
        || !word(&tokens[at - 2])
        || ["use", "in", "return", "as", "dyn", "impl"].contains(&tokens[at - 2].as_str())
}

/// The tokens of the plain path at the start: what comes after them, such as a use tree, holds no roots of its own
/// that matter.
fn step_over(tokens: &[String]) -> usize {
    let mut at = 1;
    while tokens.get(at).is_some_and(|token| token == "::")
        && tokens.get(at + 1).is_some_and(|token| token != "{" && token != "*" && token != "<")
    {
        at += 2;
    }
    at
}

/// Follows the path that begins at `tokens[0]`, a root word, in module `here`; adds where it leads from the crate's
/// root. Paths that stay inside the room are added too; they are always allowed.
fn spread(mut here: Vec<String>, tokens: &[String], before: Option<&str>, found: &mut Vec<Vec<String>>) {
    let mut at = 0;
    match tokens[0].as_str() {
        "crate" | "resident" => here.clear(),
        "super" => {
            here.pop();
        }
        _ => {}
    }
    at += 1;
    while tokens.get(at).is_some_and(|token| token == "::")
        && tokens.get(at + 1).is_some_and(|token| token == "super")
    {
        here.pop();
        at += 2;
    }
    if tokens.get(at).is_some_and(|token| token == "::") {
        leaves(&here, &tokens[at + 1..], found);
        return;
    }
    // No path: `pub(crate)`, `&self`, `pub(super)`; but a root under another name hides what it leads to. `resident`
    // may be a variable, `self` is one.
    let is_renamed = tokens.get(at).is_some_and(|token| token == "as");
    let is_root = here.is_empty() && tokens[0] != "self";
    if is_root && (before == Some("use") || is_renamed && tokens[0] != "resident") || before == Some("crate")
    {
        found.push(vec![format!("[{} as a name]", tokens[0])]);
    }
}

/// Adds the ends of the path or use tree that begins at `tokens[0]`; gives how many tokens it took.
fn leaves(stem: &[String], tokens: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = stem.to_vec();
    let mut at = 0;
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at += match tokens[at].as_str() {
                        "," => 1,
                        _ => leaves(&path, &tokens[at..], found).max(1),
                    };
                }
                return at + 1;
            }
            Some("self") => {}
            Some("super") => {
                path.pop();
            }
            Some("<") | None => break,
            Some(segment) => path.push(segment.to_owned()),
        }
        at += 1;
        if tokens.get(at).is_some_and(|token| token == "::") {
            at += 1;
        } else {
            break;
        }
    }
    if tokens.get(at).is_some_and(|token| token == "as") {
        at += 2;
    }
    if path.is_empty() {
        path.push("[the root as a name]".to_owned());
    }
    found.push(path);
    at
}

fn sources(dir: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path.to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn every_file_keeps_the_arrows_and_the_rules() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    let mut files = Vec::new();
    sources(Path::new(root), &mut files);
    files.sort();
    assert!(files.len() > 20, "{files:?}");
    let mut all = Vec::new();
    for file in files {
        let short = file.strip_prefix(root).unwrap();
        all.extend(
            wrongs(short, &fs::read_to_string(&file).unwrap())
                .iter()
                .map(|wrong| format!("{short}: {wrong}")),
        );
    }
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

fn arrows(file: &str, code: &str) -> Vec<String> {
    wrongs(file, &format!("//! A sample.\n{code}"))
}

#[test]
fn each_room_names_its_neighbours_and_nobody_else() {
    let neighbours = |room: &str| -> Vec<&str> {
        let file = format!("{room}/x.rs");
        ROOMS
            .into_iter()
            .chain(["main"])
            .filter(|to| *to != room && arrows(&file, &format!("use crate::{to}::bytes::Bytes;")).is_empty())
            .collect()
    };
    assert_eq!(neighbours("residency"), [""; 0]);
    for room in ["ollama", "probe", "journal", "config", "sim"] {
        assert_eq!(neighbours(room), ["residency"], "{room}");
    }
    assert_eq!(neighbours("engine"), ["config", "journal", "ollama", "probe", "residency"]);
    assert_eq!(neighbours("tui"), ["config", "engine", "residency"]);
    assert_eq!(
        neighbours("cli"),
        ["config", "engine", "journal", "ollama", "probe", "residency", "sim", "tui"]
    );
}

#[test]
fn every_way_to_write_a_path_is_seen() {
    for (file, code, wrong) in [
        ("tui/panel/log.rs", "use crate::ollama::wire::Tags;", "tui → ollama::wire::Tags"),
        ("tui.rs", "fn f() { crate::probe::read(); }", "tui → probe::read"),
        ("tui.rs", "use crate::{engine::Handle, probe::{ram, gpu::{self, Nvml as N}}};", "tui → probe::ram"),
        (
            "tui.rs",
            "use crate::{engine::Handle, probe::{ram, gpu::{self, Nvml as N}}};",
            "tui → probe::gpu::Nvml",
        ),
        ("tui/app.rs", "use super::super::sim::Server;", "tui → sim::Server"),
        ("tui/app.rs", "mod tests { use super::super::super::cli::Exit; }", "tui → cli::Exit"),
        ("tui/app.rs", "fn a() {} mod b { fn c() {} } use super::super::sim;", "tui → sim"),
        ("tui.rs", "use self::super::sim::Server;", "tui → sim::Server"),
        ("tui.rs", "macro_rules! m { () => { $crate::sim::start() } }", "tui → sim::start"),
        ("tui.rs", "fn f() { assert!(matches!(x, crate::sim::State::Up)); }", "tui → sim::State::Up"),
        ("tui.rs", "type T = Vec<::resident::sim::Server>;", "tui → sim::Server"),
        ("tui.rs", "pub(in crate::sim) fn f() {}", "tui → sim"),
        ("tui.rs", "use crate as all;", "tui → [crate as a name]"),
        ("tui.rs", "use crate::{self as all};", "tui → [the root as a name]"),
        ("tui.rs", "use super as all;", "tui → [super as a name]"),
        ("tui.rs", "use super::*;", "tui → *"),
        ("tui.rs", "extern crate self as all;", "tui → [self as a name]"),
        ("main.rs", "use resident as all;", "main → [resident as a name]"),
        ("residency/plan.rs", "use crate::config::Config;", "residency → config::Config"),
        ("engine.rs", "use crate::tui::App;", "engine → tui::App"),
        ("sim.rs", "use crate::residency::forecast::forecast;", "sim → residency::forecast::forecast"),
        ("sim.rs", "use crate::residency::{bytes, forecast};", "sim → residency::forecast"),
        ("sim.rs", "use crate::residency;", "sim → residency"),
        ("sim.rs", "use crate::residency::*;", "sim → residency::*"),
        ("sim.rs", "use crate::ollama::client::Client;", "sim → ollama::client::Client"),
        ("main.rs", "use resident::engine::Engine;", "main → engine::Engine"),
        ("lib.rs", "pub use self::engine::Engine;", "lib → engine::Engine"),
        ("metrics.rs", "", "metrics is no room: add it to the arrows"),
    ] {
        let wrongs = arrows(file, code);
        assert!(wrongs.iter().any(|said| said == wrong), "{file}: {code}\n{wrongs:?}");
    }
}

#[test]
fn what_is_allowed_stays_quiet() {
    for (file, code) in [
        (
            "tui/app.rs",
            "use super::theme::Theme; pub(crate) fn f(&self) -> Self { self.a.b() } pub(super) use x as y;",
        ),
        (
            "tui/app.rs",
            "use crate::{engine::Handle, residency::{act::Act, tier}}; mod tests { use super::*; }",
        ),
        ("tui/app.rs", "mod a { mod b { use super::super::super::keymap; } }"),
        ("sim/card.rs", "use crate::ollama::wire::Ps; use crate::residency::{bytes::Bytes, name};"),
        (
            "engine/poll.rs",
            "//! crate::tui::App\nlet text = \"crate::tui::App\"; let c = '\"'; // crate::cli\n",
        ),
        ("config.rs", "use std::{fs, io::{self, Read}}; use crate::residency::bytes::Bytes;"),
        ("main.rs", "fn main() { resident::cli::main() }"),
        ("lib.rs", "pub mod cli; pub mod engine;"),
        (
            "ollama.rs",
            "impl X { fn f(self: Arc<Self>) { resident.len(); resident as u64; self::name::g(); other::resident::x(); } }",
        ),
    ] {
        assert_eq!(arrows(file, code), Vec::<String>::new(), "{file}: {code}");
    }
}

#[test]
fn the_rules_for_files_can_be_broken() {
    let long = "let a = 1;\n".repeat(MOST_LINES);
    assert_eq!(wrongs("engine.rs", "use std::fs;").len(), 1);
    assert_eq!(wrongs("engine.rs", "//! \n").len(), 1);
    assert_eq!(arrows("engine.rs", "fn f() { unsafe { g() } }").len(), 1);
    assert_eq!(arrows("probe/sys.rs", "fn f() { unsafe { g() } } // unsafe\n").len(), 0);
    assert_eq!(arrows("engine.rs", "// unsafe\n#![expect(unsafe_code, reason = \"unsafe\")]").len(), 0);
    assert_eq!(arrows("engine.rs", "#[path = \"../tui/app.rs\"] mod app;").len(), 1);
    assert_eq!(arrows("engine.rs", "include!(\"../x.rs\");").len(), 1);
    assert_eq!(arrows("engine.rs", &long).len(), 1);
    assert_eq!(arrows("engine.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}")).len(), 0);
    assert_eq!(arrows("engine.rs", &format!("#[cfg(test)]\nuse std::fs;\n{long}")).len(), 1);
}

//! `warm`, `hold` and `drop` as processes on a demo server of their own: what they print, how they end, and what two
//! of them know of each other.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_resident");

/// A home with a demo server in it.
pub struct Home {
    pub dir: TempDir,
    server: Child,
    pub url: String,
}

impl Drop for Home {
    fn drop(&mut self) {
        end(&mut self.server);
    }
}

fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let _ = child.wait();
}

/// The program in a home of its own, with these arguments.
pub fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().current_dir(home).stdin(Stdio::null());
    for (name, place) in [
        ("HOME", ""),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_STATE_HOME", "state"),
    ] {
        command.env(name, home.join(place));
    }
    command
}

fn first_line(stream: impl std::io::Read) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

impl Home {
    pub fn new() -> Home {
        let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        let mut server = command(dir.path(), &["demo", "--serve", "--demo-scale", "1024"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = first_line(server.stdout.take().unwrap());
        Home { dir, server, url }
    }

    /// The program in this home, asked about no server yet.
    pub fn bare(&self, args: &[&str]) -> Command {
        command(self.dir.path(), args)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(self.dir.path(), args);
        command.args(["--host", &self.url]);
        command
    }

    pub fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    /// Ends the server; its address stays.
    pub fn end_server(&mut self) {
        end(&mut self.server);
    }

    /// What `status --json` says of a model.
    pub fn model(&self, name: &str) -> Value {
        let (_, json, _) = self.run(&["status", "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        json["models"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap().clone()
    }

    pub fn config(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("config/resident/config.yaml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

const QWEN: &str = "qwen2.5-coder:7b";

#[test]
fn a_model_is_dropped_warmed_and_said_not_to_be_held() {
    let home = Home::new();
    let (exit, out, said) = home.run(&["drop", QWEN]);
    assert_eq!((exit, out.as_str()), (Some(3), ""), "{said}");
    assert!(said.contains("--yes"), "{said}");
    let (exit, out, said) = home.run(&["drop", "--yes", QWEN]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(out.starts_with("qwen2.5-coder:7b dropped from RAM"), "{out}");
    let (exit, out, said) = home.run(&["warm", QWEN]);
    assert_eq!(exit, Some(0), "{said}");
    assert!(out.contains("% in RAM: read 4.6 MB in ") || out.contains("% in RAM: read 5 MB in "), "{out}");
    assert_eq!(said, "not held: the kernel may take it back; resident hold qwen2.5-coder:7b keeps it\n");
    let (exit, out, _) = home.run(&["warm", "--json", QWEN]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &json["act"], &json["outcome"]), (Some(0), &"warm".into(), &"done".into()), "{out}");
}

#[test]
fn the_list_is_warmed_whole_and_an_empty_one_is_wrong_usage() {
    let home = Home::new();
    let (exit, _, said) = home.run(&["warm", "--all"]);
    assert_eq!(exit, Some(2));
    assert!(said.contains("the preload list is empty"), "{said}");
    home.config("ollama:\n  preload:\n    models: [qwen2.5-coder:7b, gemma3:270m]\n");
    let (exit, out, said) = home.run(&["warm", "--all"]);
    assert_eq!((exit, out.lines().count()), (Some(0), 2), "{out} {said}");
}

#[test]
fn what_one_process_holds_another_asks_for_before_it_drops_it() {
    let home = Home::new();
    let mut holder = home
        .command(&["hold", "--foreground", QWEN])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stderr.take().unwrap()).lines().map(Result::unwrap);
    let holding = said.find(|line| line.starts_with("holding ")).unwrap();
    assert!(holding.contains("1 model"), "{holding}");
    let (exit, out, why) = home.run(&["drop", "--yes", QWEN]);
    assert_eq!(exit, Some(0), "{out} {why}");
    assert!(said.any(|line| line == "qwen2.5-coder:7b no longer held: another resident asked for it"));
    let gone = home.model(QWEN);
    assert_eq!(gone["state"], "on_disk", "{gone}");
    end(&mut holder);
}

#[test]
fn a_hold_ends_well_when_it_is_told_to() {
    let home = Home::new();
    let mut holder =
        home.command(&["hold", QWEN]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(holder.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("holding ")));
    let pid = Pid::from_raw(i32::try_from(holder.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(holder.wait().unwrap().code(), Some(0));
}

//! The binary itself: help, wrong usage, and a reader that has gone.

use assert_cmd::Command;
use predicates::prelude::predicate::str::{contains, is_empty};

fn resident(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_resident")).args(args).assert()
}

#[test]
fn help_and_version_are_answers() {
    resident(&["--help"]).code(0).stdout(contains("Exit codes:")).stderr(is_empty());
    resident(&["load", "-h"]).code(0).stdout(contains("--timeout")).stderr(is_empty());
    resident(&["--version"]).code(0).stdout(contains(env!("CARGO_PKG_VERSION"))).stderr(is_empty());
}

#[test]
fn wrong_usage_is_two_and_says_why_on_stderr() {
    resident(&["load", "../etc/passwd"]).code(2).stdout(is_empty()).stderr(contains("invalid model name"));
    resident(&["--demo", "--host", "box", "status"])
        .code(2)
        .stdout(is_empty())
        .stderr(contains("one of them"));
}

#[test]
fn help_into_a_closed_pipe_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_resident"))
        .arg("--help")
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

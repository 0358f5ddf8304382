//! `doctor` as a process: the whole check-up on the embedded server, without a server, and as another user.

use std::process::Output;

use serde_json::Value;

use crate::cli_ram::Home;

fn doctor(home: &Home, args: &[&str]) -> Output {
    let args: Vec<&str> = ["doctor"].iter().chain(args).copied().collect();
    home.command(&args).env("TERM", "xterm").env("LANG", "C.UTF-8").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_whole_check_up_is_one_aligned_line_for_each_thing() {
    let home = Home::new();
    let Output { status, stdout, stderr } = doctor(&home, &[]);
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    let (setup, findings) = stdout.rsplit_once("\n\n").unwrap();
    assert!(setup.starts_with("set-up: "), "{setup}");
    assert!(findings.starts_with("nothing is wrong, as far as can be seen from here"), "{findings}");
    let lines: Vec<&str> = setup.lines().skip(2).collect();
    // A line begins with its verdict and its topic; what belongs to it stands below its fact.
    let heads: Vec<&str> =
        lines.iter().map(|line| line[..21].trim_end()).filter(|head| !head.is_empty()).collect();
    let said = |topic: &str| heads.iter().find(|head| head[9..] == *topic).map(|head| head[..9].trim());
    for topic in ["config", "acts", "server", "models", "memlock", "budget", "colours", "unicode"] {
        assert!(said(topic).is_some_and(|verdict| verdict != "broken"), "{topic}: {stdout}");
    }
    for (topic, verdict) in
        [("config", "ok"), ("server", "ok"), ("models", "ok"), ("load mode", "unknown"), ("unicode", "ok")]
    {
        assert_eq!(said(topic), Some(verdict), "{topic}: {stdout}");
    }
    let too_long =
        |line: &&&str| line.chars().count() > 80 && line[21..].trim_start_matches("do: ").contains(' ');
    let too_long: Vec<&&str> = lines.iter().filter(too_long).collect();
    assert!(too_long.iter().all(|line| line.contains("/target/")), "{too_long:?}");
}

#[test]
fn scripts_are_told_the_same_with_a_word_for_each_verdict() {
    let home = Home::new();
    let Output { status, stdout, .. } = doctor(&home, &["--json", "--quick"]);
    let said: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!((status.code(), &said["schema_version"]), (Some(0), &Value::from(1)));
    let checks = said["checks"].as_array().unwrap();
    let of = |topic: &str| checks.iter().find(|check| check["check"] == topic).unwrap();
    assert_eq!(of("disk")["verdict"], "unknown");
    assert_eq!(of("disk")["fact"], "not measured: --quick");
    assert_eq!(of("server")["verdict"], "ok");
    assert!(of("config")["advice"].as_str().unwrap().contains("config --init"));
    let keys = ["ok", "could_be_better", "broken", "unknown"];
    assert!(checks.iter().all(|check| keys.contains(&check["verdict"].as_str().unwrap())));
}

#[test]
fn without_a_server_the_rest_is_told_and_the_exit_code_says_so() {
    let home = Home::new();
    let gone = ["--host", "127.0.0.1:1"];
    let run = |args: &[&str]| {
        let mut command = home.bare(&["doctor"]);
        command.args(gone).args(args).env("TERM", "xterm").output().unwrap()
    };
    let Output { status, stdout, stderr } = run(&[]);
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(5), "{stdout}{stderr}");
    assert!(stdout.contains("\nbroken   server      http://127.0.0.1:1 does not answer"), "{stdout}");
    assert!(stdout.contains("\nunknown  version     the server has not said it"), "{stdout}");
    assert!(stderr.starts_with("no server at http://127.0.0.1:1"), "{stderr}");
    let Output { status, stdout, .. } = run(&["--json"]);
    let said: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(
        (status.code(), &said["exit_code"], &said["findings"]),
        (Some(5), &Value::from(5), &Value::Null)
    );
    assert_eq!(said["outcome"], "no_server");
    assert!(!said["checks"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_broken_ends_with_one() {
    let home = Home::new();
    let status = |term: &str| home.command(&["doctor", "--quick"]).env("TERM", term).output().unwrap().status;
    assert_eq!((status("xterm").code(), status("dumb").code()), (Some(0), Some(1)));
}

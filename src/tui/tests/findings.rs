//! What is wrong: the page, its key, and the word in the header.

use std::sync::Arc;

use crate::residency::finding::{Finding, Kind, Severity};
use crate::residency::snapshot::Snapshot;
use crate::tui::fixture::{after, app, name, picture, press, usual};

fn with(findings: Option<Vec<Finding>>) -> Snapshot {
    let mut snapshot = usual();
    snapshot.servers[0].findings = findings.map(Arc::from);
    snapshot
}

fn findings() -> Vec<Finding> {
    vec![
        Finding {
            kind: Kind::StuckScheduler,
            model: Some(name("deepseek-r1:14b")),
            severity: Severity::Broken,
            since: Some(after(-75)),
            evidence: "its load waits for more than 30 s, no runner was started for it, and no model works"
                .into(),
            advice: "restart the server; loads hang until then".into(),
        },
        Finding {
            kind: Kind::OtherPrograms,
            model: None,
            severity: Severity::Costs,
            since: None,
            evidence:
                "1.9 GiB of 8.0 GiB on RTX 2070 are held by other programs: evil\u{1b}[2J (pid 7) 1.9 GiB"
                    .into(),
            advice: "what they hold is missing for models".into(),
        },
    ]
}

#[test]
fn the_header_says_that_something_is_wrong_only_where_it_is() {
    for (findings, said) in [
        (None, None),
        (Some(Vec::new()), None),
        (Some(findings()), Some("! 2 findings")),
        (Some(findings().split_off(1)), Some("! 1 finding ")),
    ] {
        for (width, height) in [(80, 24), (160, 50)] {
            let shown = picture(&app(with(findings.clone())), width, height);
            let header = shown.lines().next().unwrap();
            assert_eq!(header.contains("finding"), said.is_some(), "{header}");
            assert!(said.is_none_or(|said| header.contains(said)), "{header}");
        }
    }
}

#[test]
fn a_key_opens_what_is_wrong_and_what_to_do_and_leaves_it() {
    let mut app = app(with(Some(findings())));
    press(&mut app, "!");
    insta::assert_snapshot!(picture(&app, 80, 24), @r"
    127.0.0.1:11434   ● 2 ms   ! 2 findings             preload 2/3 in RAM   12:04
    VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
    RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

    FINDINGS

    !  stuck scheduler   deepseek-r1:14b   for 1 min
       its load waits for more than 30 s, no runner was started for it, and no
       model works
       do: restart the server; loads hang until then

    !  other programs
       1.9 GiB of 8.0 GiB on RTX 2070 are held by other programs: evil�[2J (pid 7)
       1.9 GiB
       do: what they hold is missing for models








    j down   k up   esc close
    ");
    press(&mut app, "esc");
    assert!(picture(&app, 80, 24).contains("STATE"));
    for (findings, words) in [(None, "has to answer twice"), (Some(Vec::new()), "nothing is wrong")] {
        let mut app = crate::tui::fixture::app(with(findings));
        press(&mut app, "!");
        assert!(picture(&app, 80, 24).contains(words));
    }
}

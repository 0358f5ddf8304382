//! What a step's command says, in the panel of its workflow.

use std::sync::Arc;

use super::flows::{agent, flow};
use super::phases::with_phases;
use crate::engine::flow::Output;
use crate::residency::flow::StepState;
use crate::tui::app::App;
use crate::tui::fixture::{now, picture, press};

/// The third step is a command that has said these lines.
fn saying(lines: &[&str]) -> App {
    let mut app = with_phases(|_| ());
    app.see_flow(Arc::new(flow()));
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    app.output = Arc::new(Output { command: 1, step: 2, gone: 0, lines });
    app
}

/// The rows between the steps and the totals, as far as the table is wide.
fn below_the_steps(app: &App, width: u16, height: u16) -> Vec<String> {
    let shown = picture(app, width, height);
    let rows = shown.lines().skip_while(|line| !line.trim().starts_with("debugging"));
    rows.skip(1)
        .take_while(|line| !line.trim().starts_with("work "))
        .map(|line| line.chars().take(106).collect::<String>().trim_end().to_owned())
        .collect()
}

#[test]
fn the_last_line_stands_below_the_steps_where_there_is_little_room_and_several_where_there_is_more() {
    let none = below_the_steps(&saying(&[]), 80, 24);
    assert_eq!(none, [""; 0]);
    let app = saying(&["running 12 tests", "test a ... ok", "", "test b ... ok", " "]);
    assert_eq!(below_the_steps(&app, 80, 24), [" verification  test b ... ok"]);
    insta::assert_snapshot!(below_the_steps(&app, 160, 50).join("\n"), @r"
    verification  running 12 tests
                  test a ... ok
                  test b ... ok
    execution     unload 0.14 │ card free 0.21 │ RAM 100 % │ load 0.38 = 0.52 s
    verification  meanwhile llama3.1:8b   not read ahead: 2.1 GB more than the budget
    execution     meanwhile deepseek-r1:14b   read 9.0 GB in 4.90 s   1.8 GB/s
    context       meanwhile in RAM already: qwen2.5-coder:7b
    ");
    let numbers: Vec<String> = (1..=30).map(|number| format!("line {number}")).collect();
    let app = saying(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
    let shown = below_the_steps(&app, 160, 50);
    assert!(shown[0].ends_with("verification  line 23") && shown[7].ends_with("line 30"), "{shown:?}");
    assert!(shown[8].contains("unload 0.14"), "what is told of the rest stands below it: {shown:?}");
}

#[test]
fn with_the_keys_it_shares_the_room_with_what_is_told_of_the_rest() {
    let mut app = saying(&["one", "two", "three", "four", "five", "six", "seven"]);
    press(&mut app, "tab tab");
    let shown = below_the_steps(&app, 80, 24);
    assert!(
        shown[0].contains("verification  ") && shown.iter().any(|line| line.ends_with(" seven")),
        "{shown:?}"
    );
    assert!(shown.iter().any(|line| line.contains("unload 0.14")), "{shown:?}");
}

#[test]
fn it_stays_when_the_command_has_failed_and_goes_with_the_next_round() {
    let mut app = saying(&["no such test"]);
    let with = |app: &mut App, state: StepState| {
        let mut flow = flow();
        flow.steps[2].state = state;
        app.see_flow(Arc::new(flow));
        picture(app, 80, 24).contains("no such test")
    };
    assert!(with(&mut app, StepState::Failed { why: "exit status 1".into() }));
    assert!(!with(&mut app, StepState::Waiting));
    assert!(!with(&mut app, StepState::Swapping(now())));
    app.flow = None;
    app.see(Arc::new(agent(3, "verification")));
    assert!(!picture(&app, 80, 24).contains("no such test"), "it is not that agent's");
}

#[test]
fn nothing_in_it_can_steer_the_terminal() {
    let app = saying(&["\u{1b}[2J\u{1b}]0;title\u{7}red \u{202e}txt\u{9b}31m\r"]);
    for (width, height) in [(80, 24), (160, 50), (30, 8)] {
        let shown = picture(&app, width, height);
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n') && !shown.contains('\u{202e}'));
    }
    assert!(picture(&app, 80, 24).contains("red "), "{}", picture(&app, 80, 24));
}

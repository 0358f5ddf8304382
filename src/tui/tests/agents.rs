//! Runs of others on the screen: an agent's and another instance's, live and to their end.

use std::sync::Arc;
use std::time::Duration;

use super::flows::{agent, flow};
use crate::residency::event::{Event, What};
use crate::residency::record::PhaseRecord;
use crate::residency::snapshot::{Snapshot, State};
use crate::tui::action::Context;
use crate::tui::app::App;
use crate::tui::fixture::{after, app, name, now, picture, press, usual, wall};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn of_a_long_run_of_an_agent_the_latest_phases_are_shown_and_all_are_summed() {
    let mut snapshot = agent(3, "verification");
    let mut past = (*snapshot.past).clone();
    let phases = &mut past.runs[0].phases;
    let last = phases.pop().unwrap();
    phases.truncate(1);
    phases[0].0 = wall(-300);
    for i in 0..20 {
        phases.push((wall(-200 + 5 * i), PhaseRecord { phase: format!("step-{i}"), ..last.1.clone() }));
    }
    phases.push(last);
    snapshot.past = Arc::new(past);
    let shown = picture(&app(snapshot), 120, 40);
    assert!(!shown.contains("step-12") && shown.contains("step-13"), "{shown}");
    assert!(shown.contains("ticket-17   5:00   an agent's run"), "{shown}");
    assert!(shown.contains("swaps 10.5 s"), "{shown}");
}

#[test]
fn an_agents_run_is_shown_live_until_it_is_over_or_forgotten() {
    insta::assert_snapshot!(picture(&app(agent(3, "verification")), 80, 24), @r"
     127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
     VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
     RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

       MODEL               SIZE  █VRAM ▒RAM ░    STAYS  STATE       FITS     TO VRAM
    ▸* openthinker3-7b   4.7 GB  ▒▒▒▒▒▒▒▒▒▒▒▒           in RAM      ~evicts   ~0.6 s
     * qwen2.5-coder:7b  4.7 GB  ████████████    42:10  idle                    here
     * deepseek-r1:14b   9.0 GB  ▒▒▒▒▒▒▒░░░░░           in RAM 62%  ~big      ~2.3 s
       llama3.1:8b       4.9 GB  ░░░░░░░░░░░░           on disk     ~fits     ~5.4 s
       mistral:7b        4.1 GB  ????????????           not loaded  ?              ?
       nomic-embed-text  274 MB  ████████████   pinned  idle                    here

     ticket-17   15 s   an agent's run                                   swap   work
     context       openthinker3-7b   ━━━━━━━━                                   5.00
     execution     openthinker3-7b           ▚━━━━━━━━━━━                0.60   6.40
     verification  qwen2.5-coder:7b                      ▚━━━╸           0.50    2.5
     work 13.9 s   swaps 1.10 s

     12:03:03  nomic-embed-text    pinned
     12:04:27  openthinker3-7b     evicted: made room for qwen2.5-coder:7b
     12:04:27  qwen2.5-coder:7b    loading
     12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s

     enter swap   l load   tab panel   / filter   q quit   o sort   b bench   ? help
    ");
    let mut over = app(agent(3, ""));
    let shown = picture(&over, 80, 24);
    assert!(shown.contains("ticket-17   done in 12.0 s   an agent's run"), "{shown}");
    press(&mut over, "esc");
    assert!(!picture(&over, 80, 24).contains("ticket-17"), "put away");
    assert!(!picture(&app(agent(11, "")), 80, 24).contains("ticket-17"), "it is over");
    let titled = |run: &str| {
        let mut snapshot = agent(3, "verification");
        let mut past = (*snapshot.past).clone();
        past.runs[0].run = run.into();
        snapshot.past = Arc::new(past);
        picture(&app(snapshot), 80, 24)
    };
    assert!(titled("7").contains(" run 7   15 s   an agent's run"));
    assert!(titled("cmd-flow-1795570211949").contains(" cmd-flow   15 s   another instance's run"));
    assert!(!picture(&app(agent(700, "verification")), 80, 24).contains("ticket-17"), "nothing more came");
    let mut looked = app(agent(3, "verification"));
    press(&mut looked, "tab tab");
    assert_eq!(looked.context(), Context::Main, "it is only looked at");
    assert_eq!(looked.next_tick(now()), Some(ms(100)));
    looked.see(Arc::new(usual()));
    assert_eq!(looked.panel, crate::tui::app::Panel::Models);
    looked.see(Arc::new(agent(3, "verification")));
    looked.see_flow(Arc::new(flow()));
    let shown = picture(&looked, 80, 24);
    assert!(shown.contains("react-dashboard") && !shown.contains("ticket-17"), "ours comes first\n{shown}");
}

/// An agent's run of a minute, whose last phase's model is no longer in VRAM; it left so long ago, if that was seen.
fn left(seconds: Option<i64>) -> Snapshot {
    let mut snapshot = agent(361, "execution");
    let model = &mut snapshot.servers[0].models[1];
    model.loaded = None;
    model.state = State::InRam { percent: 100, estimate: false };
    if let Some(seconds) = seconds {
        let by = Some(name("openthinker3-7b"));
        let what = What::Evicted { by };
        let event = Event { number: 5, at: after(-seconds), model: Some(name("qwen2.5-coder:7b")), what };
        snapshot.events.push_back(Arc::new(event));
    }
    snapshot
}

/// The rows of the panel.
fn panel(app: &App, width: u16, height: u16) -> String {
    let shown = picture(app, width, height);
    let rows = shown.lines().skip_while(|line| !line.starts_with(" ticket-17"));
    rows.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_phase_whose_model_has_left_vram_counts_no_further() {
    let mut seen = app(left(Some(300)));
    insta::assert_snapshot!(panel(&seen, 80, 24), @r"
     ticket-17   qwen2.5-coder:7b left VRAM at 11:59   an agent's run    swap   work
     context    openthinker3-7b   ━━                                            5.00
     execution  openthinker3-7b     ▚━                                   0.60   6.40
     execution  qwen2.5-coder:7b      ▚━━━━━━━━━━━━━━━━━━━━━             0.50   60.5
     work 71.9 s   swaps 1.10 s
    ");
    assert_eq!(seen.next_tick(after(1)), None, "nothing of it moves");
    assert!(!picture(&seen, 40, 12).contains("execution works"), "{}", picture(&seen, 40, 12));
    // It comes back, or its phase was told after the server's last answer: it is at work.
    let mut back = left(Some(300));
    back.servers[0].models[1].state = State::Loading { since: after(-1), ours: false };
    seen.see(Arc::new(back));
    assert!(panel(&seen, 80, 24).contains("6:00"), "{}", panel(&seen, 80, 24));
    let mut early = left(Some(300));
    early.servers[0].ps_at = Some(after(-400));
    seen.see(Arc::new(early));
    assert!(!panel(&seen, 80, 24).contains("left VRAM"), "{}", panel(&seen, 80, 24));
}

#[test]
fn of_a_model_that_nobody_saw_leave_vram_only_that_is_said() {
    // What is in the log is of before the phase.
    for long_ago in [None, Some(362)] {
        let shown = panel(&app(left(long_ago)), 80, 24);
        assert!(shown.contains("ticket-17   qwen2.5-coder:7b is not in VRAM   an agent's run"), "{shown}");
        let row = shown.lines().rfind(|line| line.starts_with(" execution ")).unwrap();
        assert!(row.trim_end().ends_with("0.50"), "no time of work\n{shown}");
    }
}

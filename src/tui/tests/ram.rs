//! The RAM tier on the screen: keys that warm, hold and drop, how far a reading is, and how long a model stays in RAM.

use std::time::Duration;

use crate::config::{Hold, Strategy};
use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::bytes::{Bytes, GB};
use crate::residency::snapshot::{Kept, Snapshot};
use crate::residency::warm::Progress;
use crate::tui::app::Effect;
use crate::tui::fixture::{after, app, name, now, on, picture, press, usual};

fn act(kind: ActKind, model: &str) -> Effect {
    Effect::Act(kind, name(model))
}

fn keep(snapshot: &mut Snapshot, model: &str, held: bool, seconds: i64) {
    let kept = Kept {
        held,
        ends: (!held).then(|| after(seconds)),
        total: (!held).then_some(Duration::from_secs(3600)),
        files: None,
    };
    snapshot.servers[0].models.iter_mut().find(|m| m.name == name(model)).unwrap().kept = Some(kept);
}

#[test]
fn keys_warm_hold_release_and_drop_and_a_drop_asks_first() {
    let mut app = on("llama3.1:8b", |_| ());
    assert_eq!(press(&mut app, "w"), Some(act(ActKind::Warm, "llama3.1:8b")));
    assert_eq!(press(&mut app, "h"), Some(act(ActKind::Hold, "llama3.1:8b")));
    let mut held = on("llama3.1:8b", |snapshot| keep(snapshot, "llama3.1:8b", true, 0));
    assert_eq!(press(&mut held, "h"), Some(act(ActKind::Release, "llama3.1:8b")));
    let mut full = on("openthinker3-7b", |_| ());
    assert_eq!(press(&mut full, "x"), None);
    assert!(
        picture(&full, 100, 24)
            .contains("drop 4.7 GB of openthinker3-7b from RAM? its next load reads the disk")
    );
    assert_eq!(press(&mut full, "y"), Some(act(ActKind::Drop, "openthinker3-7b")));
    let listed = ["openthinker3-7b", "qwen2.5-coder:7b", "deepseek-r1:14b"].map(name).to_vec();
    assert_eq!(press(&mut app, "W"), Some(Effect::Acts(ActKind::Warm, listed)));
}

#[test]
fn a_lock_says_first_what_the_server_will_see() {
    let mut app = on("llama3.1:8b", |_| ());
    app.settings.preload.hold = Hold::Mlock;
    assert_eq!(press(&mut app, "h"), None);
    let shown = picture(&app, 120, 24);
    assert!(shown.contains("lock 4.9 GB of llama3.1:8b in RAM?") && shown.contains("will see"), "{shown}");
    assert_eq!(press(&mut app, "y"), Some(act(ActKind::Hold, "llama3.1:8b")));
}

#[test]
fn the_list_is_changed_at_once_and_written_only_when_asked() {
    let mut app = on("llama3.1:8b", |_| ());
    app.settings.list_place = Some("/home/me/.config/resident/config.yaml".into());
    let list: Vec<_> =
        ["openthinker3-7b", "qwen2.5-coder:7b", "deepseek-r1:14b", "llama3.1:8b"].map(name).to_vec();
    assert_eq!(press(&mut app, "a"), Some(Effect::List(list.clone())));
    let shown = picture(&app, 120, 24);
    assert!(shown.contains("llama3.1:8b is on the preload list. write that to /home/me"), "{shown}");
    assert_eq!(press(&mut app, "y"), Some(Effect::WriteListed(name("llama3.1:8b"), true)));
    assert_eq!(press(&mut app, "a"), Some(Effect::List(list)));
    assert_eq!(press(&mut app, "n"), None);
    let mut off = on("qwen2.5-coder:7b", |_| ());
    let rest = ["openthinker3-7b", "deepseek-r1:14b"].map(name).to_vec();
    assert_eq!(press(&mut off, "a"), Some(Effect::List(rest)));
}

#[test]
fn for_another_machine_a_load_is_offered_where_the_config_says_so() {
    let remote = |snapshot: &mut Snapshot| snapshot.servers[0].local = false;
    let mut app = on("llama3.1:8b", remote);
    assert_eq!(press(&mut app, "w"), None);
    assert!(app.notice.as_deref().unwrap().contains("preload.strategy: request"));
    app.settings.preload.strategy = Strategy::Request;
    assert_eq!(press(&mut app, "w"), Some(act(ActKind::Load, "llama3.1:8b")));
    assert_eq!(press(&mut app, "W"), None, "one of them evicts a pinned model");
    assert!(matches!(press(&mut app, "y"), Some(Effect::Acts(ActKind::Load, models)) if models.len() == 3));
    assert_eq!(press(&mut app, "x"), None);
}

#[test]
fn read_only_moves_nothing_in_ram_either() {
    let mut app = on("openthinker3-7b", |_| ());
    app.settings.read_only = true;
    for key in ["w", "W", "h", "x", "a"] {
        assert_eq!(press(&mut app, key), None, "{key}");
        assert!(app.notice.as_deref().unwrap().starts_with("read-only"), "{key}");
    }
}

#[test]
fn a_model_in_ram_shows_how_long_it_stays_there_and_counts_down() {
    let mut snapshot = usual();
    keep(&mut snapshot, "openthinker3-7b", false, 3062);
    keep(&mut snapshot, "deepseek-r1:14b", true, 0);
    snapshot.servers[0].models.iter_mut().for_each(|model| model.loaded = None);
    let app = app(snapshot);
    let shown = picture(&app, 240, 40);
    let line = |model: &str| {
        shown.lines().find(|line| line.contains(model) && line.contains('▒')).unwrap().to_owned()
    };
    assert!(
        line("* openthinker3-7b").contains("RAM ━━") && line("* openthinker3-7b").contains("51:02"),
        "{shown}"
    );
    assert!(line("* deepseek-r1:14b").contains("held"), "{shown}");
    assert!(app.next_tick(now()).is_some(), "it counts down each second");
}

#[test]
fn a_reading_shows_bytes_percent_rate_and_time_left() {
    let mut snapshot = usual();
    let gb = |tenths: u64| Bytes(tenths * GB / 10);
    let progress = Progress {
        total: gb(90),
        there: gb(10),
        read: gb(54),
        rate: Some(gb(26)),
        paused: false,
        readers: 1,
    };
    let state = ActState::Running { stage: "reading", since: now() };
    let act = |id, model, state, progress| Act {
        swap: None,
        first_token: None,
        id: ActId(id),
        kind: ActKind::Warm,
        model: name(model),
        state,
        progress,
    };
    let waits = ActState::Queued { why: "waits for the warm of deepseek-r1:14b".into(), since: now() };
    snapshot.acts =
        vec![act(1, "deepseek-r1:14b", state.clone(), Some(progress)), act(2, "llama3.1:8b", waits, None)];
    let shown = picture(&app(snapshot.clone()), 120, 24);
    assert!(
        shown.contains(
            "warm deepseek-r1:14b   6.4 GB of 9.0 GB   71 %   2.6 GB/s   1.0 s left   then 1 more, 4.9 GB"
        ),
        "{shown}"
    );
    assert!(shown.contains("warm 71%"), "{shown}");
    snapshot.acts = vec![act(1, "deepseek-r1:14b", state, Some(Progress { paused: true, ..progress }))];
    let shown = picture(&app(snapshot), 120, 24);
    assert!(shown.contains("warm 71% paused"), "{shown}");
}

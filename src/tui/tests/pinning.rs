//! Pins on their way, which count as pins where a question is to be asked.

use std::sync::Arc;
use std::time::Duration;

use crate::residency::act::{Act, ActId, ActKind, ActState};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::State;
use crate::tui::app::Effect;
use crate::tui::fixture::{name, now, on, picture, press, running};

#[test]
fn a_pin_that_waits_or_was_only_just_asked_for_counts_as_one_where_a_load_would_take_its_model_away() {
    // In one go: no snapshot shows the pin yet.
    let mut app = on("qwen2.5-coder:7b", |_| ());
    let Some(Effect::Act(kind, model)) = press(&mut app, "p") else { panic!("a pin") };
    app.asked.push((ActId(1), kind, model));
    assert_eq!(press(&mut app, "k enter"), None);
    let shown = picture(&app, 120, 24);
    assert!(
        shown.contains("swap openthinker3-7b: ~ evicts qwen2.5-coder:7b, which is being pinned"),
        "{shown}"
    );
    assert_eq!(press(&mut app, "y"), Some(Effect::Act(ActKind::Swap, name("openthinker3-7b"))));
    assert_eq!(press(&mut app, "j u"), None, "an unload too");
    press(&mut app, "n");

    // It waits for a load; a keep_alive without an end is a pin too.
    let forever = ActKind::KeepAlive(KeepAlive::Forever);
    for kind in [ActKind::Pin, forever] {
        let mut app = on("openthinker3-7b", |snapshot| {
            let state = ActState::Queued { why: "waits for the load of z".into(), since: now() };
            snapshot.acts = vec![Act { state, ..running(kind, "qwen2.5-coder:7b", 0) }];
        });
        assert_eq!(press(&mut app, "enter"), None, "{kind:?}");
        press(&mut app, "n");
        // One that is over is in the snapshot or failed.
        let mut over = (*app.snapshot).clone();
        over.acts[0].state = ActState::Done { took: Duration::ZERO, at: now() };
        app.see(Arc::new(over));
        assert!(press(&mut app, "enter").is_some(), "{kind:?}");
    }
}

#[test]
fn a_pin_on_its_way_takes_its_room() {
    let mut app = on("qwen2.5-coder:7b", |snapshot| {
        let loaded = snapshot.servers[0].models[1].loaded.clone();
        snapshot.servers[0].models[0].loaded = loaded;
        snapshot.servers[0].models[0].state = State::Idle;
        snapshot.servers[0].models[5].pinned = false;
    });
    assert!(press(&mut app, "p").is_some());
    app.asked.push((ActId(1), ActKind::Pin, name("qwen2.5-coder:7b")));
    assert_eq!(press(&mut app, "k p"), None);
    let shown = picture(&app, 160, 24);
    assert!(shown.contains("pin openthinker3-7b anyway?") && shown.contains("(qwen2.5-coder:7b)"), "{shown}");
}

//! What keys do: what runs, what asks first, what is refused, and how the screen is left.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Confirm;
use crate::residency::act::{ActId, ActKind};
use crate::residency::bytes::Bytes;
use crate::residency::event::{Event, What};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::snapshot::{Reach, Snapshot, State};
use crate::tui::app::{App, Effect};
use crate::tui::fixture::{app, name, now, on, picture, press, running, usual};
use crate::tui::{Outcome, Proposal};

fn act(kind: ActKind, model: &str) -> Effect {
    Effect::Act(kind, name(model))
}

fn asked(app: &App) -> bool {
    app.context() == crate::tui::action::Context::Confirm
}

#[test]
fn a_swap_that_displaces_an_idle_model_says_its_plan_and_runs() {
    let mut app = on("openthinker3-7b", |_| ());
    assert_eq!(press(&mut app, "enter"), Some(act(ActKind::Swap, "openthinker3-7b")));
    let plan = "~ evicts qwen2.5-coder:7b (needs 5.2 GiB, 2.6 are free)";
    let shown = picture(&app, 120, 24);
    assert!(shown.contains(&format!("openthinker3-7b   {plan}")), "{shown}");
    // While it runs its time stands before the plan; with its end the plan is gone.
    let mut snapshot = usual();
    snapshot.acts = vec![running(ActKind::Swap, "openthinker3-7b", 2)];
    app.see(Arc::new(snapshot));
    let shown = picture(&app, 120, 24);
    assert!(shown.contains("2.0 s   ~ evicts qwen2.5-coder:7b"), "{shown}");
    app.see(Arc::new(usual()));
    assert!(!picture(&app, 120, 24).contains("~ evicts"));
}

#[test]
fn a_quit_in_the_same_breath_as_an_act_asks() {
    let mut app = on("openthinker3-7b", |_| ());
    let Some(Effect::Act(kind, model)) = press(&mut app, "l") else { panic!("an act") };
    app.asked.push((ActId(1), kind, model));
    assert_eq!(press(&mut app, "q"), None);
    assert!(picture(&app, 120, 24).contains("load openthinker3-7b was only just asked for. leave?"));
    assert!(matches!(press(&mut app, "q"), Some(Effect::Leave(Outcome::Quit { .. }))));
}

#[test]
fn what_failed_is_said_whole_in_the_servers_own_words() {
    let mut app = app(usual());
    let mut failed = usual();
    let why = "loading: model requires more system memory (99 GiB) than is available (1 GiB)".to_owned();
    let number = failed.events.back().unwrap().number + 1;
    let what = What::Failed { verb: "load", why };
    failed.events.push_back(Arc::new(Event { number, at: now(), model: Some(name("llama3.1:8b")), what }));
    app.see(Arc::new(failed));
    let shown = picture(&app, 60, 24);
    assert!(shown.contains("than is available (1 GiB)") || shown.contains("available (1 GiB)"), "{shown}");
    press(&mut app, "tab tab");
    let shown = picture(&app, 60, 24);
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("than is available (1 GiB)"), "{shown}");
}

#[test]
fn a_load_that_displaces_a_pinned_or_busy_model_asks_first_and_names_it() {
    let mut app = on("deepseek-r1:14b", |_| ());
    assert_eq!(press(&mut app, "l"), None);
    assert!(asked(&app));
    let shown = picture(&app, 80, 24);
    assert!(shown.contains("~ evicts qwen2.5-coder:7b, nomic-embed-text, which is"), "{shown}");
    assert_eq!(press(&mut app, "y"), Some(act(ActKind::Load, "deepseek-r1:14b")));
    assert!(!asked(&app));

    let mut app = on("openthinker3-7b", |snapshot| snapshot.servers[0].models[1].state = State::Busy);
    assert_eq!(press(&mut app, "enter"), None);
    assert_eq!(press(&mut app, "enter"), Some(act(ActKind::Swap, "openthinker3-7b")));
}

#[test]
fn a_model_that_the_config_wants_pinned_asks_like_a_pinned_one() {
    let wished = |snapshot: &mut Snapshot| snapshot.servers[0].models[1].wished = true;
    let mut app = on("openthinker3-7b", wished);
    assert_eq!(press(&mut app, "enter"), None);
    let shown = picture(&app, 160, 24);
    assert!(shown.contains("which is listed as pinned"), "{shown}");
    assert_eq!(press(&mut app, "y"), Some(act(ActKind::Swap, "openthinker3-7b")));
    let mut app = on("qwen2.5-coder:7b", wished);
    assert_eq!(press(&mut app, "u"), None);
    assert!(asked(&app), "an unload too");
}

#[test]
fn a_load_that_cannot_be_foreseen_asks_while_a_pinned_or_busy_model_is_loaded() {
    for key in ["l", "enter"] {
        let mut app = on("llama3.1:8b", |snapshot| snapshot.servers[0].models[3].forecast = None);
        assert_eq!(press(&mut app, key), None);
        let shown = picture(&app, 160, 24);
        assert!(shown.contains("cannot be foreseen; nomic-embed-text is pinned   go on?"), "{shown}");

        let mut app = on("llama3.1:8b", |snapshot| {
            let models = &mut snapshot.servers[0].models;
            models[3].forecast = None;
            models.pop();
        });
        assert!(press(&mut app, key).is_some() && !asked(&app), "only an idle model is loaded");
    }
}

#[test]
fn a_question_takes_yes_and_no_and_ignores_all_else() {
    let mut app = on("nomic-embed-text", |_| ());
    for other in ["u", "l", "x", "j", "?", "/"] {
        assert_eq!(press(&mut app, &format!("u {other}")), None);
        assert!(asked(&app), "{other}");
        assert_eq!(press(&mut app, "n"), None);
        assert!(!asked(&app));
    }
    assert_eq!(app.selected(), Some(&name("nomic-embed-text")));
    assert_eq!(press(&mut app, "u enter"), Some(act(ActKind::Unload, "nomic-embed-text")));
}

#[test]
fn the_config_says_when_acts_ask() {
    let asks = |confirm, model, keys| {
        let mut app = on(model, |_| ());
        app.settings.confirm = confirm;
        press(&mut app, keys);
        asked(&app)
    };
    assert!(!asks(Confirm::Risky, "qwen2.5-coder:7b", "u"));
    assert!(asks(Confirm::Always, "qwen2.5-coder:7b", "u"));
    assert!(asks(Confirm::Always, "qwen2.5-coder:7b", "t"));
    assert!(!asks(Confirm::Never, "nomic-embed-text", "u"));
    assert!(!asks(Confirm::Never, "deepseek-r1:14b", "l"));
}

#[test]
fn each_key_asks_for_its_act() {
    let mut loaded = on("qwen2.5-coder:7b", |_| ());
    assert_eq!(press(&mut loaded, "u"), Some(act(ActKind::Unload, "qwen2.5-coder:7b")));
    assert_eq!(press(&mut loaded, "p"), Some(act(ActKind::Pin, "qwen2.5-coder:7b")));
    assert_eq!(press(&mut loaded, "t"), Some(act(ActKind::Touch, "qwen2.5-coder:7b")));
    assert_eq!(
        press(&mut on("nomic-embed-text", |_| ()), "p"),
        Some(act(ActKind::Unpin, "nomic-embed-text"))
    );
    assert_eq!(press(&mut on("llama3.1:8b", |_| ()), "l"), Some(act(ActKind::Load, "llama3.1:8b")));
    assert_eq!(press(&mut on("llama3.1:8b", |_| ()), "ctrl-z"), Some(Effect::Suspend));
    assert_eq!(press(&mut on("llama3.1:8b", |_| ()), "ctrl-l"), Some(Effect::Redraw));
}

#[test]
fn what_makes_no_sense_is_said_and_not_done() {
    for (model, key, said) in [
        ("llama3.1:8b", "u", "llama3.1:8b is not loaded; l loads it"),
        ("llama3.1:8b", "t", "llama3.1:8b is not loaded; l loads it"),
        ("llama3.1:8b", "K", "llama3.1:8b is not loaded; a keep_alive counts only in VRAM"),
        ("qwen2.5-coder:7b", "enter", "qwen2.5-coder:7b is in VRAM already"),
        ("llama3.1:8b", "c", "nothing of ours runs or waits for llama3.1:8b"),
        ("llama3.1:8b", "C", "nothing of ours runs or waits"),
    ] {
        let mut app = on(model, |_| ());
        assert_eq!((press(&mut app, key), app.notice.as_deref()), (None, Some(said)));
    }
}

#[test]
fn read_only_changes_nothing_and_says_so() {
    for key in ["enter", "l", "u", "p", "t", "K"] {
        let mut app = on("qwen2.5-coder:7b", |_| ());
        app.settings.read_only = true;
        assert_eq!(press(&mut app, key), None);
        assert!(app.notice.as_ref().unwrap().starts_with("read-only"), "{key}");
        assert!(!asked(&app) && picture(&app, 80, 24).contains("read-only"));
    }
    let mut app = app(usual());
    app.settings.read_only = true;
    assert_eq!(press(&mut app, "I enter"), None);
}

#[test]
fn a_model_in_the_cloud_is_never_moved() {
    for key in ["enter", "l", "u", "p", "t", "K"] {
        let mut app = on("llama3.1:8b", |snapshot| snapshot.servers[0].models[3].state = State::Cloud);
        assert_eq!(press(&mut app, key), None);
        assert_eq!(
            app.notice.as_deref(),
            Some("llama3.1:8b runs in the cloud: it is never loaded or unloaded here")
        );
    }
}

#[test]
fn an_act_is_not_asked_for_twice_and_can_be_cancelled() {
    let with = |snapshot: &mut Snapshot| snapshot.acts = vec![running(ActKind::Load, "llama3.1:8b", 1)];
    let mut app = on("llama3.1:8b", with);
    assert_eq!(press(&mut app, "l"), None);
    assert_eq!(app.notice.as_deref(), Some("load llama3.1:8b is under way already"));
    assert_eq!(press(&mut app, "c"), Some(Effect::Cancel(name("llama3.1:8b"))));
    assert_eq!(press(&mut app, "C"), Some(Effect::CancelAll));
}

#[test]
fn quitting_says_what_stays_and_asks_once_while_a_load_runs() {
    let leave =
        || Some(Effect::Leave(Outcome::Quit { message: Some("nomic-embed-text stays pinned".into()) }));
    assert_eq!(press(&mut app(usual()), "q"), leave());
    assert_eq!(press(&mut app(usual()), "? ctrl-c"), leave());
    for (again, left) in [("q", true), ("y", true), ("ctrl-c", true), ("n", false), ("x", false)] {
        let mut busy = usual();
        busy.acts = vec![running(ActKind::Load, "llama3.1:8b", 2)];
        let mut app = app(busy);
        assert_eq!(press(&mut app, "q"), None);
        let shown = picture(&app, 80, 24);
        assert!(shown.contains("load llama3.1:8b runs for 2.0 s; leaving aborts it. leave?"), "{shown}");
        assert_eq!(press(&mut app, again), if left { leave() } else { None }, "{again}");
    }
}

#[test]
fn a_filter_acts_while_it_is_typed_and_its_letters_are_no_keys() {
    let mut app = app(usual());
    let shown = |app: &App| app.models().iter().map(|model| model.name.to_string()).collect::<Vec<_>>();
    assert_eq!(press(&mut app, "/ q"), None);
    assert_eq!(shown(&app), ["qwen2.5-coder:7b"]);
    press(&mut app, "backspace L l");
    assert_eq!(shown(&app), ["llama3.1:8b"]);
    assert_eq!(app.selected(), Some(&name("llama3.1:8b")));
    press(&mut app, "esc");
    assert_eq!(shown(&app).len(), 6);
    press(&mut app, "/ 7 b enter");
    assert_eq!(shown(&app).len(), 3);
    press(&mut app, "esc");
    assert_eq!(shown(&app).len(), 6);
}

#[test]
fn pasted_text_goes_into_a_prompt_and_nowhere_else() {
    let mut app = app(usual());
    app.paste("uuu\nq");
    assert_eq!((app.context(), &app.filter), (crate::tui::action::Context::Main, &String::new()));
    press(&mut app, "/");
    app.paste("ll\u{1b}ama\n");
    assert_eq!(app.filter, "llama");
}

#[test]
fn a_keep_alive_is_typed_checked_and_sent_and_zero_asks_like_an_unload() {
    let mut app = on("qwen2.5-coder:7b", |_| ());
    press(&mut app, "K");
    assert!(
        picture(&app, 80, 24).contains("keep_alive of qwen2.5-coder:7b  1h█"),
        "{}",
        picture(&app, 80, 24)
    );
    press(&mut app, "ctrl-u x enter");
    assert!(picture(&app, 160, 24).contains("not a duration; write 60m"), "{}", picture(&app, 160, 24));
    let half = KeepAlive::For(Duration::from_secs(1800));
    assert_eq!(
        press(&mut app, "backspace 3 0 m enter"),
        Some(act(ActKind::KeepAlive(half), "qwen2.5-coder:7b"))
    );

    let mut app = on("nomic-embed-text", |_| ());
    assert_eq!(press(&mut app, "K ctrl-u 0 enter"), None);
    assert!(asked(&app));
    let zero = KeepAlive::For(Duration::ZERO);
    assert_eq!(press(&mut app, "y"), Some(act(ActKind::KeepAlive(zero), "nomic-embed-text")));
}

#[test]
fn without_a_server_the_demo_is_offered_with_its_place_and_size_and_never_else() {
    let mut down = usual();
    down.servers[0].models.clear();
    down.servers[0].reach = Reach::Down { since: now(), answers: false, why: "connection refused".into() };
    let mut app = app(down);
    app.settings.demo_place = Some(("/home/me/.cache/resident".into(), Bytes(1_500_000_000)));
    assert_eq!(press(&mut app, "d"), None);
    let shown = picture(&app, 100, 24);
    assert!(shown.contains("it writes 1.5 GB of model files to /home/me/.cache/resident"), "{shown}");
    assert_eq!(press(&mut app, "y"), Some(Effect::Leave(Outcome::Demo)));

    let mut up = on("llama3.1:8b", |_| ());
    up.settings.demo_place = Some(("/home/me/.cache/resident".into(), Bytes(1_500_000_000)));
    assert_eq!(press(&mut up, "d"), None);
    assert!(!asked(&up));
}

#[test]
fn a_proposed_config_is_shown_written_on_enter_and_never_over_another() {
    let mut app = app(usual());
    press(&mut app, "I");
    let shown = picture(&app, 100, 24);
    assert!(shown.contains("proposed for /home/me/.config/resident/config.yaml"), "{shown}");
    assert!(shown.contains("    models: [qwen2.5-coder:7b]"), "{shown}");
    let path: std::path::PathBuf = "/home/me/.config/resident/config.yaml".into();
    let written = press(&mut app, "enter");
    assert!(
        matches!(&written, Some(Effect::Leave(Outcome::WriteConfig { path: p, text })) if *p == path && text.contains("preload:")),
        "{written:?}"
    );
    app.settings.propose =
        Box::new(move |_| Ok(Proposal { path: path.clone(), text: String::new(), exists: true }));
    assert_eq!(press(&mut app, "esc I enter"), None);
    assert!(picture(&app, 100, 24).contains("is there already and is never overwritten"));
}

#[test]
fn the_footer_shows_keys_that_apply_to_the_selection() {
    let footer = |app: &App| picture(app, 100, 24).lines().last().unwrap().to_owned();
    let loaded = footer(&on("nomic-embed-text", |_| ()));
    assert!(loaded.starts_with(" u unload   p unpin   t touch   K keep_alive") && loaded.ends_with("? help"));
    let on_disk = footer(&on("llama3.1:8b", |_| ()));
    assert!(on_disk.starts_with(" enter swap   l load") && !on_disk.contains("unload"), "{on_disk}");
    let mut asking = on("nomic-embed-text", |_| ());
    press(&mut asking, "u");
    assert_eq!(footer(&asking), " y yes   n no");
}

#[test]
fn the_footer_offers_nothing_that_a_server_which_is_down_cannot_do() {
    for model in ["nomic-embed-text", "llama3.1:8b"] {
        let app = on(model, |snapshot| {
            snapshot.servers[0].reach =
                Reach::Down { since: now(), answers: false, why: "connection refused".into() };
        });
        let footer = picture(&app, 100, 24).lines().last().unwrap().to_owned();
        for word in ["load", "swap", "pin", "touch", "keep_alive"] {
            assert!(!footer.contains(word), "{footer}");
        }
        assert!(footer.contains("quit"), "{footer}");
    }
}

#[test]
fn rebound_keys_are_the_ones_that_act_and_that_are_shown() {
    let mut app = on("qwen2.5-coder:7b", |_| ());
    let setting = crate::config::KeySetting {
        action: "unload".into(),
        keys: vec!["X".into()],
        place: crate::config::Place::default(),
    };
    app.keymap = crate::tui::keymap::Keymap::new(&[setting]).unwrap();
    assert_eq!(press(&mut app, "u"), None);
    assert_eq!(press(&mut app, "X"), Some(act(ActKind::Unload, "qwen2.5-coder:7b")));
    assert!(picture(&app, 80, 24).contains(" X unload"));
}

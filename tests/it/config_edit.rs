//! The preload list written into settings files: what changes, what stays byte for byte, and what is left to the user.

use std::fs;

use proptest::prelude::*;
use proptest::sample::select;
use resident::config::{Config, DEMO, Sources, load, render, with_preload, write_new, write_over};
use resident::residency::name::ModelName;

const EARLIER: &str = include_str!("../data/idea-earlier.yaml");
const UPDATED: &str = include_str!("../data/idea-updated.yaml");

fn models(names: &[&str]) -> Vec<ModelName> {
    names.iter().map(|name| ModelName::parse(name).expect("a good name")).collect()
}

fn edited(text: &str, names: &[&str]) -> String {
    with_preload(Some(text), &models(names)).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// The settings of a text, as a named file.
fn loaded(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yaml");
    fs::write(&path, text).unwrap();
    let mut sources = Sources::default();
    sources.flags.config = Some(path);
    load(&sources).map_err(|problems| render(&problems)).expect(text).config
}

/// The text without its lines `from..to` (from 1), and with others in their place.
fn spliced(text: &str, from: usize, to: usize, new: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines[..from - 1].concat() + new + &lines[to - 1..].concat()
}

#[test]
fn a_model_comes_and_goes_in_the_ideas_own_files_and_nothing_else_changes() {
    let three = ["openthinker3-7b", "qwen2.5-coder:7b", "deepseek-r1:14b"];
    for text in [EARLIER, UPDATED, DEMO] {
        let first = text.lines().position(|line| line.starts_with("      - \"openthinker3-7b\""));
        let first = 1 + first.expect("the list's first item");
        let two = edited(text, &three[..2]);
        assert_eq!(two, spliced(text, first + 2, first + 3, ""));
        assert_eq!(edited(text, &three[1..]), spliced(text, first, first + 1, ""));
        let four = edited(text, &[three[0], three[1], three[2], "phi3"]);
        assert_eq!(four, spliced(text, first + 3, first + 3, "      - \"phi3\"\n"));
        assert_eq!(edited(&four, &three), text);
        let between = edited(text, &[three[0], "phi3", three[1], three[2]]);
        assert_eq!(between, spliced(text, first + 1, first + 1, "      - \"phi3\"\n"));
        assert_eq!(edited(text, &three), text);
        assert_eq!(edited(&edited(text, &[]), &[]), edited(text, &[]));
    }
}

#[test]
fn in_another_order_every_item_keeps_what_stands_behind_it() {
    let turned = edited(UPDATED, &["deepseek-r1:14b", "phi3", "openthinker3-7b"]);
    let expected =
        "      - \"deepseek-r1:14b\"  # 9GB\n      - \"phi3\"\n      - \"openthinker3-7b\"  # 5GB\n";
    assert_eq!(turned, spliced(UPDATED, 15, 18, expected));
}

#[test]
fn every_style_is_kept() {
    for (text, names, expected) in [
        // Blocks.
        (
            "ollama:\n  preload:\n    models:\n    - a # x\n    # why\n    - 'b'\n\n    - c\n",
            &["a", "c", "d:1"][..],
            "ollama:\n  preload:\n    models:\n    - a # x\n    # why\n\n    - c\n    - d:1\n",
        ),
        ("ollama:\n preload:\n - 'a'\n", &["a", "b"], "ollama:\n preload:\n - 'a'\n - 'b'\n"),
        ("ollama:\n preload:\n - a", &["true", "a", "7"], "ollama:\n preload:\n - \"true\"\n - a\n - \"7\""),
        (
            "ollama:\n  preload:\n    models:  # the list\n      - \"a\"\n      # - \"big\"  # does not fit\n",
            &[],
            "ollama:\n  preload:\n    models: []  # the list\n      # - \"big\"  # does not fit\n",
        ),
        (
            "ollama:\n  preload:\n    models: []  # the list\n    strategy: warm\n",
            &["a", "b"],
            "ollama:\n  preload:\n    models:  # the list\n      - \"a\"\n      - \"b\"\n    strategy: warm\n",
        ),
        ("ollama:\n  preload: [ ]", &["a"], "ollama:\n  preload:\n    - \"a\""),
        (
            "ollama:\n  'preload' :\n    \"models\":\n      - a\n",
            &["b"],
            "ollama:\n  'preload' :\n    \"models\":\n      - b\n",
        ),
        // Brackets.
        ("ollama: {preload: [a, b], model: m}", &["b", "c"], "ollama: {preload: [b, c], model: m}"),
        ("ollama: {preload: []}\n", &["a", "b"], "ollama: {preload: [\"a\", \"b\"]}\n"),
        ("ollama: {preload: [ 'a' ]}\n", &[], "ollama: {preload: []}\n"),
        (
            "ollama:\n  preload:\n    models: [ 'a','b:7b' ]  # two\n    make_room: true\n",
            &["c", "b:7b", "a"],
            "ollama:\n  preload:\n    models: [ 'c','b:7b','a' ]  # two\n    make_room: true\n",
        ),
        (
            "ollama:\n  preload:\n    models: [\n      a,  # 5GB\n      # and\n      b   # 9GB\n    ]\n",
            &["b", "c"],
            "ollama:\n  preload:\n    models: [\n      # and\n      b,   # 9GB\n      c\n    ]\n",
        ),
        (
            "ollama:\n  preload:\n    models: [\n      \"a\",\n    ]\n",
            &["a", "b"],
            "ollama:\n  preload:\n    models: [\n      \"a\",\n      \"b\",\n    ]\n",
        ),
        (
            "ollama:\n  preload:\n    models: [  # none yet\n    ]\n",
            &["a", "b"],
            "ollama:\n  preload:\n    models: [  # none yet\n      \"a\",\n      \"b\"\n    ]\n",
        ),
    ] {
        assert_eq!(edited(text, names), expected, "{text}");
        assert_eq!(loaded(expected).preload.models, models(names));
    }
}

#[test]
fn what_is_missing_is_added_where_it_belongs_with_the_files_own_indentation() {
    for (text, expected) in [
        ("", "ollama:\n  preload:\n    models:\n      - \"a\"\n"),
        ("# words\n", "# words\n\nollama:\n  preload:\n    models:\n      - \"a\"\n"),
        (
            "agent:\n    name: x",
            "agent:\n    name: x\n\nollama:\n    preload:\n        models:\n            - \"a\"\n",
        ),
        (
            "agent:\n  text: |+\n    x\n\n\n",
            "agent:\n  text: |+\n    x\n\n\nollama:\n  preload:\n    models:\n      - \"a\"\n",
        ),
        ("ollama:\nui: {}\n", "ollama:\n  preload:\n    models:\n      - \"a\"\nui: {}\n"),
        (
            "ollama:\n   model: m  # mine\n   # models_dir: ~/m\n\n# the rest\nui: {}\n",
            "ollama:\n   model: m  # mine\n   # models_dir: ~/m\n   preload:\n      models:\n         - \"a\"\n\n# the rest\nui: {}\n",
        ),
        (
            "ollama:\n  preload:\n    on_startup: true\n    # more\n  model: m",
            "ollama:\n  preload:\n    on_startup: true\n    # more\n    models:\n      - \"a\"\n  model: m",
        ),
        (
            "ollama:\n  preload:\n    on_startup: true",
            "ollama:\n  preload:\n    on_startup: true\n    models:\n      - \"a\"\n",
        ),
        (
            "ollama:\n  preload:  # to come\n  model: m\n",
            "ollama:\n  preload:  # to come\n    models:\n      - \"a\"\n  model: m\n",
        ),
        (
            "ollama:\n  preload_models:\n    enabled: false\n    models:\n\n    # last\n",
            "ollama:\n  preload_models:\n    enabled: false\n    models:\n      - \"a\"\n\n    # last\n",
        ),
        ("ollama: {model: m}\n", "ollama: {preload: {models: [\"a\"]}, model: m}\n"),
        ("ollama: {}\n", "ollama: {preload: {models: [\"a\"]}}\n"),
        ("ollama: {preload: {strategy: warm}}\n", "ollama: {preload: {models: [\"a\"], strategy: warm}}\n"),
    ] {
        assert_eq!(edited(text, &["a"]), expected, "{text}");
    }
    let new = with_preload(None, &models(&["a"])).unwrap();
    assert!(
        new.starts_with("# Settings of resident.")
            && new.ends_with("\n\nollama:\n  preload:\n    models:\n      - \"a\"\n")
    );
    let preload = loaded(&new).preload;
    assert!(preload.enabled && !preload.on_startup && !preload.auto_refresh);
}

#[test]
fn what_is_not_understood_is_left_to_the_user_with_the_line_to_write() {
    for (text, why) in [
        ("ollama:\r\n  model: m\r\n", "line 1 ends as on Windows"),
        ("ollama:\n  preload:\n    models:\t[a]\n", "line 3 has a tab"),
        ("ollama:\n  preload:\n    models: [a]\t# x\n", "line 3 has a tab"),
        ("ollama:\n  preload: &p\n    models: [a]\nagent: *p\n", "the key preload stands in"),
        ("ollama:\n  preload:\n    models: &m [a]\nagent: *m\n", "the key models stands in"),
        ("ollama:\n  preload:\n    models:\n      - &m a\nagent: *m\n", "line 4 is no item"),
        ("agent: &m [a]\nollama:\n  preload:\n    models: *m\n", "the key models stands in"),
        ("agent: &m a\nollama:\n  preload:\n    models:\n    - *m\n", "line 1 is no item"),
        ("agent: &p\n  models:\n  - a\nollama:\n  preload:\n    <<: *p\n", "the key models stands in"),
        ("agent: &o\n  preload: [a]\nollama:\n  <<: *o\n", "the key preload stands in"),
        ("agent: &o\n  preload: [a]\nollama: *o\n", "the key ollama stands in"),
        (
            "ollama:\n  preload:\n    models: [a,\n      c]\n",
            "the list in line 3 has more than one item a line",
        ),
        ("ollama:\n  preload:\n    models:\n      [a]\n", "line 4 is no item"),
        ("ollama:\n  preload:\n    models:\n      - \"a\\\n        x\"\n", "line 4 is no item"),
        ("ollama:\n  preload:\n    models:\n      -\n        a\n", "line 5 is no item"),
        ("ollama:\n  ? preload\n  : [a]\n", "the key preload stands in"),
        ("ollama: ~\n", "the key ollama stands in"),
        ("ollama: {preload: }\n", "the key preload stands in"),
        ("{ui: {}}\n", "the file is written in a way that resident cannot change"),
        ("ui: {}\n...\n", "the file is written in a way that resident cannot change"),
    ] {
        let told = with_preload(Some(text), &models(&["b:7b", "a"])).expect_err(text);
        assert!(told.starts_with(why), "{told}\n{text}");
        assert!(
            told.ends_with(": write it yourself, in ollama: preload: as models: [\"b:7b\", \"a\"]"),
            "{told}"
        );
    }
}

#[test]
fn a_file_with_problems_and_names_that_are_none_are_refused() {
    let refused = |text, models: &[ModelName]| with_preload(Some(text), models).unwrap_err();
    let problems = "the config has problems: resident config --check lists them";
    for text in ["ollama: {modle: a}\n", "ollama: [", "olama: {}\n", "just text"] {
        assert_eq!(refused(text, &models(&["a"])), problems);
    }
    let evil = ModelName::from_server("evil\u{1b}[2J\nui: {}");
    assert!(refused("", &[evil]).starts_with("a config cannot hold the name evil"));
    assert_eq!(refused("", &models(&["a", "A:latest"])), "A is in the list twice");
}

#[test]
fn a_file_is_edited_and_written_over_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resident/config.yaml");
    let first = with_preload(None, &models(&["a"])).unwrap();
    write_new(&path, &first).unwrap();
    let second = with_preload(Some(&first), &models(&["a", "b"])).unwrap();
    write_over(&path, &first, &second).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), second);
    assert!(write_over(&path, &first, &second).is_err());
    assert_eq!(loaded(&second).preload.models, models(&["a", "b"]));
}

/// A name that people and registries give, also such that YAML takes for something else.
fn name() -> impl Strategy<Value = String> {
    let plain = "[a-z0-9_][a-zA-Z0-9._-]{0,8}(:[a-z0-9_][a-zA-Z0-9._-]{0,5})?";
    let odd = select(vec![
        "true",
        "null",
        "y",
        "7",
        "007",
        "1e5",
        "0x1f",
        "1_000",
        "1:30",
        "nan",
        "hf.co/x/Y.z:Q4",
    ]);
    prop_oneof![4 => plain.prop_map(|name| name), 1 => odd.prop_map(ToOwned::to_owned)]
}

fn list() -> impl Strategy<Value = Vec<ModelName>> {
    proptest::collection::vec(name(), 0..8).prop_map(|names| {
        let mut models: Vec<ModelName> = Vec::new();
        for name in names.iter().filter_map(|name| ModelName::parse(name).ok()) {
            if !models.contains(&name) {
                models.push(name);
            }
        }
        models
    })
}

/// Files in every style, with a section of somebody else.
fn file() -> impl Strategy<Value = String> {
    let styles = vec![
        EARLIER.to_owned(),
        UPDATED.to_owned(),
        DEMO.to_owned(),
        "ollama: {model: m}".to_owned(),
        "ollama:\n  preload: [a, 'b', \"c\"]  # three\n".to_owned(),
        "ollama:\n  preload:\n  - a # x\n  - b\n".to_owned(),
        "ollama:\n preload:\n  models: [\n   a, # x\n   b\n  ]\n".to_owned(),
        "ollama:\n  preload_models:\n    strategy: startup\n".to_owned(),
        "ui: {}\n".to_owned(),
        String::new(),
    ];
    (select(styles), any::<bool>()).prop_map(|(text, foreign)| {
        if foreign {
            // A tab, an anchor, a tag and a list of the same name: none of ours.
            format!("agent: &x\n  models: [a, !t b]\t# é\n  preload: {{models: []}}\n{text}")
        } else {
            text
        }
    })
}

proptest! {
    #[test]
    fn random_lists_come_back_as_they_were_written_and_the_way_back_restores_the_rest(
        text in file(), one in list(), other in list(),
    ) {
        let before = loaded(&text);
        let new = with_preload(Some(&text), &one).expect("an edit");
        let config = loaded(&new);
        prop_assert_eq!(&config.preload.models, &one);
        let again = with_preload(Some(&new), &other).expect("a second edit");
        prop_assert_eq!(&loaded(&again).preload.models, &other);
        // Every line that names none of the list's models is still there, in its order.
        let mut rest = again.lines();
        for line in text.lines() {
            let names = before.preload.models.iter().any(|model| line.contains(&model.to_string()));
            if names || line.contains("models:") || line.contains("ollama:") || line.contains("preload:") {
                continue;
            }
            prop_assert!(rest.any(|still| still == line), "{line:?} is gone from\n{again}");
        }
        let mut expected = before.clone();
        expected.preload.models = other;
        let mut after = loaded(&again);
        (expected.file, after.file) = (None, None);
        expected.preload.enabled |= after.preload.enabled;
        prop_assert_eq!(after, expected);
    }

    #[test]
    fn any_text_is_changed_as_told_or_not_at_all(text in ".*", list in list()) {
        if let Ok(new) = with_preload(Some(&text), &list) {
            prop_assert_eq!(loaded(&new).preload.models, list);
        }
    }
}

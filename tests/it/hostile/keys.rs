//! Keys in the config: each line of the text is an action and its keys.

use std::collections::HashSet;

use resident::config::{KeySetting, Place, render};
use resident::tui::action::ACTIONS;
use resident::tui::key::Key;
use resident::tui::keymap::Keymap;

use super::safe;

pub fn holds(data: &[u8]) {
    let text = safe::text(data);
    for word in text.split([' ', '\n']).chain([&*text]) {
        if let Some(key) = Key::parse(word) {
            assert_eq!(Key::parse(&key.to_string()), Some(key), "{word:?} is {key}");
            safe::assert_safe(&key.to_string());
        }
    }
    let lines = text.lines().zip(1..);
    let settings: Vec<KeySetting> = lines
        .filter_map(|(text, line)| {
            let (action, keys) = text.split_once(": ")?;
            Some(KeySetting {
                action: action.to_owned(),
                keys: keys.split(' ').filter(|key| !key.is_empty()).map(ToOwned::to_owned).collect(),
                place: Place { file: "config.yaml".into(), line, column: 1 },
            })
        })
        .collect();
    match Keymap::new(&settings) {
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                let place = problem.place.as_ref().expect("a place");
                let set =
                    settings.iter().find(|setting| setting.place == *place).expect("a line that is there");
                assert_eq!(problem.key, format!("keys.{}", set.action));
                safe::assert_safe(&problem.to_string());
            }
            render(&problems).lines().for_each(safe::assert_safe);
        }
        Ok(keymap) => {
            // No key means two things in one context.
            let mut seen = HashSet::new();
            for entry in ACTIONS {
                for key in keymap.keys(entry.action) {
                    assert!(seen.insert((entry.context, key.clone())), "{key} twice in {}", entry.context);
                }
            }
        }
    }
}

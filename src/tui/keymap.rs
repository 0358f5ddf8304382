//! Which key means which action where: the defaults with the user's own keys laid over them, checked for conflicts.

use crossterm::event::KeyEvent;

use super::action::{ACTIONS, Action, Context, Entry};
use super::key::Key;
use crate::config::{KeySetting, Problem};

/// All bindings.
#[derive(Debug, Clone)]
pub struct Keymap {
    bindings: Vec<Binding>,
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    key: Key,
    entry: &'static Entry,
}

impl Default for Keymap {
    /// The keys without any setting.
    fn default() -> Keymap {
        let bindings = ACTIONS.iter().flat_map(|entry| {
            entry.keys.iter().filter_map(|text| Key::parse(text)).map(move |key| Binding { key, entry })
        });
        Keymap { bindings: bindings.collect() }
    }
}

impl Keymap {
    /// Lays the user's keys over the defaults; all problems are reported at once, each with its place.
    pub fn new(settings: &[KeySetting]) -> Result<Keymap, Vec<Problem>> {
        let mut keymap = Keymap::default();
        let mut problems = Vec::new();
        for setting in settings {
            match read(setting) {
                Ok(bound) => {
                    let Some(entry) = find(&setting.action) else { continue };
                    keymap.bindings.retain(|binding| binding.entry.action != entry.action);
                    keymap.bindings.extend(bound.into_iter().map(|key| Binding { key, entry }));
                }
                Err(messages) => {
                    problems.extend(messages.into_iter().map(|message| problem(setting, message)));
                }
            }
        }
        for setting in settings {
            let conflicts = keymap.conflicts(&setting.action);
            problems.extend(conflicts.into_iter().map(|message| problem(setting, message)));
        }
        if problems.is_empty() { Ok(keymap) } else { Err(problems) }
    }

    /// What is wrong with the keys of the action of that name: another one of its context has them too.
    fn conflicts(&self, action: &str) -> Vec<String> {
        let mine = self.bindings.iter().filter(|binding| binding.entry.name == action);
        mine.flat_map(|mine| {
            self.bindings
                .iter()
                .filter(|other| {
                    other.key == mine.key
                        && other.entry.context == mine.entry.context
                        && other.entry.action != mine.entry.action
                })
                .map(|other| {
                    let name = other.entry.name;
                    format!("{} is also bound to {name}; give one of the two another key", mine.key)
                })
        })
        .collect()
    }

    /// What a key event means in that context; Control keys of the main screen act everywhere, and all
    /// of them beside those of a workflow's panel.
    pub fn action(&self, event: KeyEvent, context: Context) -> Option<Action> {
        let key = Key::of(event)?;
        let find = |context| self.bindings.iter().find(|b| b.key == key && b.entry.context == context);
        let everywhere = |b: &&Binding| {
            key.is_control() && matches!(b.entry.action, Action::Quit | Action::Suspend | Action::Redraw)
        };
        let main = || find(Context::Main).filter(|b| context == Context::Flow || everywhere(b));
        find(context).or_else(main).map(|b| b.entry.action)
    }

    /// The keys of an action, as they are written.
    pub fn keys(&self, action: Action) -> impl Iterator<Item = String> + '_ {
        self.bindings.iter().filter(move |b| b.entry.action == action).map(|b| b.key.to_string())
    }

    /// The first key of an action, for a hint; `None` if the user took all of them away.
    pub fn first(&self, action: Action) -> Option<String> {
        self.keys(action).next()
    }
}

fn find(name: &str) -> Option<&'static Entry> {
    ACTIONS.iter().find(|entry| entry.name == name)
}

/// The keys of one setting, or everything that is wrong with it.
fn read(setting: &KeySetting) -> Result<Vec<Key>, Vec<String>> {
    let Some(entry) = find(&setting.action) else {
        let near = ACTIONS
            .iter()
            .map(|entry| (strsim::damerau_levenshtein(entry.name, &setting.action), entry.name))
            .min()
            .filter(|(distance, _)| *distance <= 3);
        return Err(vec![match near {
            Some((_, name)) => format!("no such action; did you mean {name}?"),
            None => "no such action; `?` on the screen lists them".to_owned(),
        }]);
    };
    let mut wrong = Vec::new();
    let mut keys = Vec::new();
    for text in &setting.keys {
        match Key::parse(text) {
            None => wrong.push(format!("{text:?} is no key; write one such as j, G, enter, ctrl-l or f5")),
            Some(key) if entry.context == Context::Prompt && key.typed().is_some() => {
                wrong.push(format!("{key} is text in a prompt; use a key that types nothing"));
            }
            Some(key) if keys.contains(&key) => wrong.push(format!("{key} is written twice")),
            Some(key) => keys.push(key),
        }
    }
    let needed = matches!(
        entry.action,
        Action::Quit | Action::Yes | Action::No | Action::Accept | Action::Dismiss | Action::Close
    );
    if setting.keys.is_empty() && needed {
        wrong.push("needs at least one key, or there is no way out".to_owned());
    }
    if wrong.is_empty() { Ok(keys) } else { Err(wrong) }
}

fn problem(setting: &KeySetting, message: String) -> Problem {
    Problem { place: Some(setting.place.clone()), key: format!("keys.{}", setting.action), message }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;
    use crate::config::Place;

    fn setting(line: usize, action: &str, keys: &[&str]) -> KeySetting {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        KeySetting {
            action: action.to_owned(),
            keys,
            place: Place { file: "c.yaml".into(), line, column: 3 },
        }
    }

    fn problems(settings: &[KeySetting]) -> Vec<(usize, String, String)> {
        let problems = Keymap::new(settings).map(|_| ()).unwrap_err();
        problems.into_iter().map(|p| (p.place.unwrap().line, p.key, p.message)).collect()
    }

    #[test]
    fn every_action_has_a_name_a_sentence_and_a_key_that_can_be_read() {
        let mut names = HashSet::new();
        for entry in ACTIONS {
            assert!(names.insert(entry.name), "{} twice", entry.name);
            assert!(
                !entry.sentence.is_empty() && !entry.word.is_empty() && !entry.keys.is_empty(),
                "{}",
                entry.name
            );
            assert_eq!(entry.action.entry().name, entry.name);
            for key in entry.keys {
                assert_eq!(Key::parse(key).map(|key| key.to_string()).as_deref(), Some(*key));
            }
        }
    }

    #[test]
    fn the_defaults_have_no_conflict() {
        let keymap = Keymap::default();
        for entry in ACTIONS {
            assert_eq!(keymap.conflicts(entry.name), Vec::<String>::new(), "{}", entry.name);
        }
    }

    #[test]
    fn a_key_bound_twice_in_one_context_is_an_error_and_in_two_contexts_is_none() {
        assert_eq!(
            problems(&[setting(7, "load", &["u"])]),
            [(7, "keys.load".into(), "u is also bound to unload; give one of the two another key".into())]
        );
        assert!(Keymap::new(&[setting(7, "load", &["u"]), setting(8, "unload", &["l"])]).is_ok());
        assert!(Keymap::new(&[setting(7, "load", &["n"])]).is_ok());
    }

    #[test]
    fn all_problems_are_reported_with_their_places() {
        assert_eq!(
            problems(&[
                setting(1, "laod", &["x"]),
                setting(2, "pin", &["hyper-x", "p p"]),
                setting(3, "accept", &["a"]),
                setting(4, "quit", &[]),
                setting(5, "fly to the moon", &["f"]),
                setting(6, "touch", &["T", "shift-t"]),
            ]),
            [
                (1, "keys.laod".into(), "no such action; did you mean load?".into()),
                (
                    2,
                    "keys.pin".into(),
                    r#""hyper-x" is no key; write one such as j, G, enter, ctrl-l or f5"#.to_owned()
                ),
                (
                    2,
                    "keys.pin".into(),
                    r#""p p" is no key; write one such as j, G, enter, ctrl-l or f5"#.into()
                ),
                (3, "keys.accept".into(), "a is text in a prompt; use a key that types nothing".into()),
                (4, "keys.quit".into(), "needs at least one key, or there is no way out".into()),
                (5, "keys.fly to the moon".into(), "no such action; `?` on the screen lists them".into()),
                (6, "keys.touch".into(), "T is written twice".into()),
            ]
        );
    }

    #[test]
    fn a_setting_replaces_the_default_keys() {
        let keymap = Keymap::new(&[setting(1, "unload", &["X", "f8"])]).unwrap();
        let means = |code| keymap.action(KeyEvent::new(code, KeyModifiers::NONE), Context::Main);
        assert_eq!(
            [means(KeyCode::Char('X')), means(KeyCode::F(8)), means(KeyCode::Char('u'))],
            [Some(Action::Unload), Some(Action::Unload), None]
        );
    }

    #[test]
    fn the_panel_of_a_workflow_has_its_own_keys_and_all_of_the_main_screen() {
        let keymap = Keymap::default();
        let means = |c| keymap.action(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE), Context::Flow);
        assert_eq!(
            [' ', 'n', 'F', 'c', 'u', '1'].map(means),
            [
                Action::Pause,
                Action::Skip,
                Action::MarkFailed,
                Action::CancelFlow,
                Action::Unload,
                Action::Phase(1)
            ]
            .map(Some)
        );
    }

    #[test]
    fn control_keys_act_whatever_is_on_top_and_letters_do_not() {
        let keymap = Keymap::default();
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let letter = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::NONE);
        for context in [Context::Confirm, Context::Prompt, Context::Page] {
            assert_eq!(keymap.action(control, context), Some(Action::Quit));
            assert_eq!(keymap.action(letter, context), None);
        }
    }
}

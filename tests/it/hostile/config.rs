//! The settings file: any text is read, or every problem says where it is; what was read can be shown and read again.

use std::io::Write as _;
use std::path::Path;

use resident::config::{Config, Loaded, Place, Problem, Sources, render, show, survey};
use resident::tui::keymap::Keymap;
use resident::tui::theme::{self, Depth};

use super::safe;

pub fn holds(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(data).expect("a text in it");
    let (loaded, problems) = survey(&of(file.path()));
    if !problems.is_empty() {
        // All that YAML takes for the end of a line; a problem may be that the text ends.
        let ends = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
        let lines = safe::text(data).matches(ends).count() + 2;
        for problem in &problems {
            told(problem, file.path(), lines);
        }
        render(&problems).lines().for_each(safe::assert_safe);
        return;
    }
    used(&loaded);
    let shown = show(&loaded);
    shown.lines().for_each(safe::assert_safe);
    let mut again = tempfile::NamedTempFile::new().expect("another file");
    again.write_all(shown.as_bytes()).expect("a text in it");
    let (read, problems) = survey(&of(again.path()));
    assert_eq!((problems, plain(read.config)), (vec![], plain(loaded.config)), "shown:\n{shown}");
}

/// Only this file: no environment, no other place.
fn of(file: &Path) -> Sources {
    let mut sources =
        Sources { cwd: "/nonexistent".into(), home: Some("/home/me".into()), ..Sources::default() };
    sources.flags.config = Some(file.to_owned());
    sources
}

fn told(problem: &Problem, file: &Path, lines: usize) {
    safe::assert_safe(&problem.to_string());
    let place = problem.place.as_ref().expect("a place");
    assert_eq!(place.file, file);
    // Of the file as a whole there is nothing more to say, nor of a key that is an empty text.
    let is_whole = problem.key == "--config"
        || ["not YAML", "expected a map", "written twice"]
            .iter()
            .any(|whole| problem.message.starts_with(whole));
    assert!(is_whole || !problem.key.is_empty(), "{problem}");
    assert!(place.line <= lines && (place.line > 0 || is_whole), "{problem}: of {lines} lines");
}

/// What the program then asks of the settings.
fn used(loaded: &Loaded) {
    let config = &loaded.config;
    for (name, one) in loaded.fleet() {
        assert!(!name.is_empty() && one.url.starts_with("http"), "{name:?} at {:?}", one.url);
    }
    assert!(!loaded.fleet().is_empty());
    for workflow in &config.workflows {
        let steps: usize = workflow.steps.iter().map(|step| 1 + step.on_failure.len()).sum();
        assert_eq!(config.tasks(workflow).len(), steps, "every step has a model");
        assert_eq!(config.why_not_run(workflow), None, "a config that was named may run all of it");
    }
    for depth in [Depth::None, Depth::Sixteen, Depth::All] {
        let _ = theme::choose(&config.ui.theme, depth);
    }
    if let Err(problems) = Keymap::new(&config.keys) {
        assert!(problems.iter().all(|problem| problem.place.is_some() && problem.key.starts_with("keys.")));
        render(&problems).lines().for_each(safe::assert_safe);
    }
}

fn plain(mut config: Config) -> Config {
    config.file = None;
    config.keys.iter_mut().for_each(|key| key.place = Place::default());
    config
}

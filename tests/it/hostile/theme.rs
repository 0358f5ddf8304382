//! Colours in the config: each line is a role and its colour, which reads back as it is shown.

use std::fmt::Write as _;
use std::io::Write as _;

use resident::config::{Sources, Theme, survey};

use super::safe;

pub fn holds(data: &[u8]) {
    let text = safe::text(data);
    let mut written = "ui:\n  theme:\n".to_owned();
    for line in text.lines().filter_map(|line| line.split_once('=')) {
        // JSON's quotes are YAML's.
        let [role, colour] = [line.0, line.1].map(|text| serde_json::Value::from(text).to_string());
        let _ = writeln!(written, "    {role}: {colour}");
    }
    let Some(theme) = read(&written) else { return };
    let mut again = "ui:\n  theme:\n".to_owned();
    let _ = writeln!(again, "    base: {}", theme.base.name());
    for (role, hue) in &theme.own {
        let _ = writeln!(again, "    {}: \"{hue}\"", role.name());
        safe::assert_safe(&hue.to_string());
    }
    assert_eq!(read(&again), Some(theme), "{again}");
}

fn read(text: &str) -> Option<Theme> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a text in it");
    let mut sources = Sources { cwd: "/nonexistent".into(), ..Sources::default() };
    sources.flags.config = Some(file.path().to_owned());
    let (loaded, problems) = survey(&sources);
    for problem in &problems {
        safe::assert_safe(&problem.to_string());
        assert!(problem.place.as_ref().is_some_and(|place| place.line > 0), "{problem}");
    }
    problems.is_empty().then_some(loaded.config.ui.theme)
}

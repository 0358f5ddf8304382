//! Problems as a person reads them: place, key, what is wrong, and the nearest thing that would be right.

use std::fmt;
use std::fmt::Write;

use super::{Place, Problem};
use crate::residency::text::printable;

/// More lines than this help nobody.
const MOST_LINES: usize = 50;

impl fmt::Display for Place {
    /// `file:line:column`, or the file alone where the line is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file.to_string_lossy()))?;
        if self.line > 0 { write!(f, ":{}:{}", self.line, self.column) } else { Ok(()) }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: key: message`, safe for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", printable(&self.key))?;
        }
        f.write_str(&printable(&self.message))
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// Problems are told in the order of the file; what stands in none comes last.
    pub(super) fn order(&self) -> (usize, usize) {
        self.place.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column))
    }
}

/// All problems, one a line in the order of the file, whoever found them; the caller adds what it wants around them.
pub fn render(problems: &[Problem]) -> String {
    let mut text = String::new();
    let mut problems: Vec<&Problem> = problems.iter().collect();
    problems.sort_by_key(|problem| problem.order());
    for problem in problems.iter().take(MOST_LINES) {
        let _ = writeln!(text, "{problem}");
    }
    if problems.len() > MOST_LINES {
        let _ = writeln!(text, "… and {} more", problems.len() - MOST_LINES);
    }
    text
}

/// The nearest of the valid words and how many letters away it is; case does not count.
pub(super) fn nearest<'a>(word: &str, valid: &[&'a str]) -> Option<(usize, &'a str)> {
    let word = word.to_lowercase();
    valid
        .iter()
        .map(|valid| (strsim::osa_distance(&word, &valid.to_lowercase()), *valid))
        .min_by_key(|(distance, _)| *distance)
}

/// `did you mean x?` if one is near, else what is valid.
pub(super) fn suggestion(word: &str, valid: &[&str]) -> String {
    match nearest(word, valid) {
        Some((distance, near)) if distance <= (near.len() / 2).clamp(1, 3) => format!("did you mean {near}?"),
        None => "nothing is valid here".to_owned(),
        _ if valid.len() <= 12 => format!("valid here: {}", valid.join(", ")),
        Some((_, near)) => format!("the nearest is {near}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_safe_line() {
        let place = Some(Place { file: "c.yaml".into(), line: 3, column: 5 });
        let problem = Problem { place, key: "ollama.hst\u{1b}[2J".into(), message: "unknown\nkey".into() };
        assert_eq!(problem.to_string(), "c.yaml:3:5: ollama.hst\u{fffd}[2J: unknown\u{fffd}key");
        let problem = Problem { place: None, key: "OLLAMA_HOST".into(), message: "no host".into() };
        assert_eq!(problem.to_string(), "OLLAMA_HOST: no host");
    }

    #[test]
    fn many_problems_are_counted_not_scrolled() {
        let problem = Problem { place: None, key: "k".into(), message: "m".into() };
        let text = render(&vec![problem; 60]);
        assert_eq!((text.lines().count(), text.lines().last()), (51, Some("… and 10 more")));
    }

    #[test]
    fn problems_of_config_and_keymap_are_told_in_the_order_of_the_file() {
        let problem = |line: Option<usize>, key: &str| Problem {
            place: line.map(|line| Place { file: "c".into(), line, column: 1 }),
            key: key.into(),
            message: "m".into(),
        };
        let found = [
            problem(Some(2), "b"),
            problem(Some(9), "d"),
            problem(None, "e"),
            problem(Some(1), "a"),
            problem(Some(4), "c"),
        ];
        assert_eq!(render(&found), "c:1:1: a: m\nc:2:1: b: m\nc:4:1: c: m\nc:9:1: d: m\ne: m\n");
    }

    #[test]
    fn the_nearest_word_is_named_else_all_are() {
        assert_eq!(suggestion("kepalive", &["host", "keep_alive"]), "did you mean keep_alive?");
        assert_eq!(suggestion("Host", &["host", "keep_alive"]), "did you mean host?");
        assert_eq!(suggestion("zzzzz", &["host", "port"]), "valid here: host, port");
    }
}

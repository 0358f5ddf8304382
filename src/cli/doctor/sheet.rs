//! The check-up as it is printed: a line for each check, what to do below it; and the same for scripts.

use serde_json::{Value, json as object};
use unicode_width::UnicodeWidthStr;

use crate::residency::checkup::{Check, Verdict};
use crate::residency::text::printable;

/// No line is longer, unless a word of it is.
const COLUMNS: usize = 80;
/// Where facts begin: behind the verdict, the topic and two blanks each.
const FACTS: usize = 21;

/// For eyes.
pub(super) fn words(checks: &[Check]) -> String {
    let count = |verdict: Verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let counts = [
        (Verdict::Ok, "ok"),
        (Verdict::Better, "could be better"),
        (Verdict::Broken, "broken"),
        (Verdict::Unknown, "unknown"),
    ];
    let counts = counts.map(|(verdict, word)| (count(verdict), word));
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let mut lines = vec![format!("set-up: {}", counts.join(", ")), String::new()];
    for check in checks {
        let head = format!("{:<7}  {:<10}  ", check.verdict.word(), check.topic.word());
        wrap(&head, FACTS, &printable(&check.fact), &mut lines);
        if let Some(advice) = &check.advice {
            let head = format!("{:FACTS$}do: ", "");
            wrap(&head, head.len(), &printable(advice), &mut lines);
        }
    }
    lines.join("\n")
}

/// The text behind `head`, its further lines behind `indent` blanks, broken at blanks.
fn wrap(head: &str, indent: usize, text: &str, lines: &mut Vec<String>) {
    let mut line = head.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.width() + 1 + word.width() > COLUMNS {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
}

/// For scripts.
pub(super) fn json(checks: &[Check]) -> Value {
    let one = |check: &Check| {
        object!({
            "check": check.topic.key(),
            "fact": check.fact,
            "verdict": check.verdict.key(),
            "advice": check.advice,
        })
    };
    checks.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::checkup::Topic;

    #[test]
    fn lines_are_aligned_and_broken_at_blanks() {
        let check = Check {
            topic: Topic::PageCache,
            fact: "one two three four five six seven eight nine ten eleven twelve \u{1b}[2J".to_owned(),
            verdict: Verdict::Better,
            advice: Some(
                "do this and that and then something else that takes more words than one line".to_owned(),
            ),
        };
        let plain =
            Check { topic: Topic::Disk, verdict: Verdict::Ok, fact: "3.1 GB/s".to_owned(), advice: None };
        assert_eq!(
            words(&[check, plain]),
            "set-up: 1 ok, 1 could be better\n\n\
             better   page cache  one two three four five six seven eight nine ten eleven\n\
             \u{20}                    twelve \u{fffd}[2J\n\
             \u{20}                    do: do this and that and then something else that takes\n\
             \u{20}                        more words than one line\n\
             ok       disk        3.1 GB/s"
        );
    }

    #[test]
    fn a_word_that_is_longer_than_a_line_stays_whole() {
        let path = "/a".repeat(50);
        let check =
            Check { topic: Topic::Models, verdict: Verdict::Ok, fact: format!("{path} x"), advice: None };
        let text = words(&[check]);
        assert!(text.ends_with(&format!("models      {path}\n{:FACTS$}x", "")), "{text}");
    }
}

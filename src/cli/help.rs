//! What `--help` says: the subcommands in groups, and examples of each. The man pages are made of the same.
//!
//! clap knows no headings for subcommands: the list is put into its template. [`tree`] is the one tree that the command
//! line is read with.

mod topics;

use std::fmt::Write as _;

use clap::builder::Styles;
use clap::{Command, CommandFactory};

pub(super) use self::topics::{ROOT, TOPICS};
use super::Cli;

/// Under which heading a subcommand is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Look,
    Move,
    Keep,
    Prove,
    Agents,
    SetUp,
}

impl Group {
    /// In the order of the list.
    pub(super) const ALL: [Group; 6] =
        [Group::Look, Group::Move, Group::Keep, Group::Prove, Group::Agents, Group::SetUp];

    pub(super) fn heading(self) -> &'static str {
        match self {
            Group::Look => "Look",
            Group::Move => "Move",
            Group::Keep => "Keep",
            Group::Prove => "Run and prove",
            Group::Agents => "Agents",
            Group::SetUp => "Set up",
        }
    }
}

/// A command line, and what it does.
pub(super) type Example = (&'static str, &'static str);

/// What is told of a subcommand beside what clap knows of it.
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) group: Group,
    /// What options do not say; paragraphs, each one line that is wrapped where it is shown.
    pub(super) notes: &'static str,
    pub(super) examples: &'static [Example],
}

/// What the numbers mean that the program ends with.
pub(super) const EXIT_CODES: [(u8, &str); 6] = [
    (0, "done"),
    (1, "failed"),
    (2, "usage or config"),
    (3, "refused without --yes"),
    (4, "timed out"),
    (5, "no server"),
];

/// The whole tree, with its help.
pub(super) fn tree() -> Command {
    let tree = TOPICS.iter().fold(Cli::command(), |tree, topic| {
        tree.mut_subcommand(topic.name, |sub| sub.after_long_help(after(topic.notes, topic.examples)))
    });
    let template = template(&tree);
    tree.help_template(template)
        .after_help("resident COMMAND --help shows examples of it.")
        .after_long_help(after("", ROOT) + &exit_codes())
}

/// clap's usual page, with the list of subcommands in groups.
fn template(tree: &Command) -> String {
    let styles = Styles::styled();
    let (header, name) = (styles.get_header(), styles.get_literal());
    let width = tree.get_subcommands().map(|sub| sub.get_name().len()).max().unwrap_or_default();
    let mut page = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for group in Group::ALL {
        // Writing to a string cannot fail.
        let _ = write!(page, "\n{header}{}:{header:#}\n", group.heading());
        for topic in TOPICS.iter().filter(|topic| topic.group == group) {
            let about = tree.find_subcommand(topic.name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(page, "  {name}{:width$}{name:#}  {about}", topic.name);
        }
    }
    page + &format!("\n{header}Options:{header:#}\n{{options}}{{after-help}}")
}

/// Below the options: what is to be known, then the examples, one below the other.
fn after(notes: &str, examples: &[Example]) -> String {
    let said = examples.iter().filter(|(_, what)| !what.is_empty());
    let width = said.map(|(line, _)| line.len()).max().unwrap_or_default();
    let mut text = if notes.is_empty() { String::new() } else { format!("{notes}\n\n") };
    text.push_str("Examples:");
    for (line, what) in examples {
        let _ = write!(text, "\n  {}", format!("{line:width$}   {what}").trim_end());
    }
    text
}

fn exit_codes() -> String {
    let codes = EXIT_CODES.map(|(code, what)| format!("{code} {what}"));
    let signals = "129, 130 and 143: the screen, ended by a signal (terminal closed, SIGINT, SIGTERM)";
    format!("\n\nExit codes:\n  {}\n  {signals}", codes.join("   "))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::error::ErrorKind;

    use super::*;

    fn help(line: &str) -> String {
        let error = Cli::read(line.split_whitespace().map(OsString::from)).expect_err(line);
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0), "{line}");
        error.to_string()
    }

    /// A line of a shell without what the shell does with it.
    fn words(line: &str) -> impl Iterator<Item = OsString> {
        line.split_whitespace().take_while(|word| !["|", ">", ">>", "<"].contains(word)).map(OsString::from)
    }

    #[test]
    fn the_tree_is_sound() {
        tree().debug_assert();
    }

    #[test]
    fn each_subcommand_stands_once_under_a_heading_with_one_line_that_fits() {
        let page = help("resident -h");
        let tree = tree();
        for sub in tree.get_subcommands() {
            let about = sub.get_about().unwrap_or_default().to_string();
            let is_its = |line: &&str| {
                let rest = line.strip_prefix("  ").and_then(|line| line.strip_prefix(sub.get_name()));
                rest.is_some_and(|rest| rest.starts_with("  ") && rest.trim_start() == about)
            };
            let line = page.lines().find(is_its).unwrap_or_else(|| panic!("{about}\n{page}"));
            assert_eq!((page.lines().filter(is_its).count(), line.len().max(80)), (1, 80), "{line}");
            assert_eq!(TOPICS.iter().filter(|topic| topic.name == sub.get_name()).count(), 1, "{line}");
        }
        assert_eq!(TOPICS.len(), tree.get_subcommands().count());
        for group in Group::ALL {
            assert!(page.contains(&format!("\n{}:\n  ", group.heading())), "{page}");
        }
    }

    #[test]
    fn the_short_help_is_short_and_the_long_one_has_examples() {
        let (short, long) = (help("resident -h"), help("resident --help"));
        assert!(long.contains("\nExamples:\n  resident") && long.contains("5 no server"), "{long}");
        assert!(!short.contains("Examples:") && short.contains("--yes"), "{short}");
        for Topic { name, examples, .. } in TOPICS {
            let (short, long) =
                (help(&format!("resident {name} -h")), help(&format!("resident {name} --help")));
            assert!(!short.contains("Examples:"), "{short}");
            assert!(examples.iter().all(|(line, what)| long.contains(line) && long.contains(what)), "{long}");
            assert!(long.lines().all(|line| line.chars().count() <= 100), "{long}");
        }
    }

    #[test]
    fn every_example_is_a_right_command_line_of_its_subcommand() {
        let all = TOPICS.iter().map(|topic| (Some(topic.name), topic.examples)).chain([(None, ROOT)]);
        for (name, examples) in all {
            assert!(!examples.is_empty(), "{name:?} has no examples");
            for (line, _) in examples {
                Cli::read(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(name.is_none_or(|name| line.split_whitespace().any(|word| word == name)), "{line}");
            }
        }
    }
}

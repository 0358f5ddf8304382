//! The preload list written into a settings file: the list changes and nothing else. What is not fully understood is left
//! to the user, with the line to write; what was written is read again and must say the same but for the list.

mod list;
mod page;

use std::ops::Range;

use list::{Change, Edited, block, brackets};
use page::{Key, Page, Value};

use super::load::{Loaded, of_text};
use super::schema::SECTIONS;
use super::tree::{self, Entry, Kind, Node};
use super::{Config, Place};
use crate::residency::name::ModelName;

/// What a new file begins with.
const NEW: &str =
    "# Settings of resident. Every key is optional; `resident config` prints the merged result.\n";

/// The text of a settings file with `models` as its preload list, everything else byte for byte as it was; `None` is no
/// file yet. The error says what to write by hand. A section that was not there comes with its list enabled, as every
/// written one is that does not say otherwise.
pub fn with_preload(text: Option<&str>, models: &[ModelName]) -> Result<String, String> {
    if let Some(bad) = models.iter().find(|model| model.parts().is_none()) {
        return Err(format!("a config cannot hold the name {bad}"));
    }
    if let Some((_, twice)) = models.iter().enumerate().find(|(at, model)| models[..*at].contains(model)) {
        return Err(format!("{twice} is in the list twice"));
    }
    let text = text.unwrap_or(NEW);
    let before = of_text(text)
        .map_err(|_| "the config has problems: resident config --check lists them".to_owned())?;
    let old = &before.config.preload.models;
    if old == models {
        return Ok(text.to_owned());
    }
    let by_hand = |why: String| {
        format!("{why}: write it yourself, in ollama: preload: as models: {}", brackets(models))
    };
    let edit = Edit { page: Page::new(text), old, new: models };
    let (lines, had_section) = edit.run(text).map_err(by_hand)?;
    let new = lines.join("\n");
    let mut expected = before.clone();
    expected.config.preload.models = models.to_vec();
    expected.config.preload.enabled |= !had_section;
    match of_text(&new) {
        Ok(after) if told(after.clone()) == told(expected) => Ok(new),
        _ => Err(by_hand("the file is written in a way that resident cannot change".to_owned())),
    }
}

/// What two files that say the same have in common.
fn told(loaded: Loaded) -> (Config, Vec<String>, Vec<String>) {
    let mut config = loaded.config;
    config.keys.iter_mut().for_each(|key| key.place = Place::default());
    (config, loaded.ignored, loaded.notes)
}

fn unknown(key: Key) -> String {
    format!("line {} is written in a way that is not understood", key.line + 1)
}

struct Edit<'a> {
    page: Page<'a>,
    old: &'a [ModelName],
    new: &'a [ModelName],
}

impl Edit<'_> {
    /// The new lines, and whether there was a section for the list.
    fn run(&self, text: &str) -> Result<(Vec<String>, bool), String> {
        if let Some(line) = self.page.lines.iter().position(|line| line.contains('\r')) {
            return Err(format!("line {} ends as on Windows", line + 1));
        }
        let root = tree::read(text, &|key| SECTIONS.contains(&key)).map_err(|broken| broken.message)?;
        let entries = match &root.kind {
            Kind::Null => &[][..],
            Kind::Map(entries) => entries,
            _ => return Err("the file is no map".to_owned()),
        };
        let Some(ollama) = entries.iter().find(|entry| entry.key == "ollama") else {
            return Ok((self.appended(), false));
        };
        let key = self.key(ollama, &(0..self.page.lines.len()))?;
        let end = self.page.end_of_block(key.line, 0, 1);
        if let Some(line) = self.page.lines[key.line..end].iter().position(|line| line.contains('\t')) {
            return Err(format!("line {} has a tab", key.line + line + 1));
        }
        let Kind::Map(entries) = &ollama.value.kind else {
            return Ok((self.filled(key, "preload")?, false));
        };
        let sections = ["preload", "preload_models"];
        let mut written = entries.iter().filter(|entry| sections.contains(&entry.key.as_str()));
        let first = written.clone().next();
        let preload = written.find(|entry| entry.value.kind != Kind::Null).or(first);
        let Some(preload) = preload else { return Ok((self.added(key, &ollama.value, "preload")?, false)) };
        let key = self.key(preload, &(key.line..end))?;
        let lines = match &preload.value.kind {
            Kind::List(nodes) => self.changed(key, nodes),
            Kind::Map(entries) => match entries.iter().find(|entry| entry.key == "models") {
                None => self.added(key, &preload.value, "models"),
                Some(models) => {
                    let key = self.key(models, &(key.line..end))?;
                    let Kind::List(nodes) = &models.value.kind else {
                        return Ok((self.filled(key, "")?, true));
                    };
                    self.changed(key, nodes)
                }
            },
            _ => self.filled(key, "models"),
        };
        Ok((lines?, preload.value.kind != Kind::Null))
    }

    /// The key of an entry that stands in these lines, not lent by an anchor from elsewhere. One that has an anchor
    /// itself may be used a second time, where nothing must change.
    fn key(&self, entry: &Entry, within: &Range<usize>) -> Result<Key, String> {
        let key = self.page.key(entry.at, &entry.key);
        let key = key.filter(|key| within.contains(&key.line) && self.page.value(*key).is_some());
        key.ok_or_else(|| format!("the key {} stands in a place that is not understood", entry.key))
    }

    fn lines(&self) -> Vec<String> {
        self.page.lines.iter().map(ToString::to_string).collect()
    }

    fn changed(&self, key: Key, nodes: &[Node]) -> Edited {
        let step = self.page.step();
        Change { old: self.old, new: self.new, nodes, step }.apply(&self.page, key)
    }

    /// The lines of `preload:`, `models:` and the list, of those that `from` names on, `indent` columns in.
    fn section(&self, from: &str, indent: usize) -> Vec<String> {
        let step = self.page.step();
        let keys: &[&str] = match from {
            "preload" => &["preload", "models"],
            "models" => &["models"],
            _ => &[],
        };
        let mut lines = Vec::new();
        for (depth, key) in keys.iter().enumerate() {
            let nothing = if *key == "models" && self.new.is_empty() { " []" } else { "" };
            lines.push(format!("{:1$}{key}:{nothing}", "", indent + depth * step));
        }
        lines.extend(block(self.new, indent + keys.len() * step));
        lines
    }

    /// All of it, behind the last line of the file.
    fn appended(&self) -> Vec<String> {
        let mut lines = self.lines();
        // The text behind the last newline; a file may end without one.
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        // A text block that keeps its last blank lines would get one more.
        let is_open = lines.iter().any(|line| line.trim_end().ends_with('+'));
        if lines.last().is_some_and(|line| !line.is_empty()) && !is_open {
            lines.push(String::new());
        }
        lines.push("ollama:".to_owned());
        lines.extend(self.section("preload", self.page.step()));
        lines.push(String::new());
        lines
    }

    /// A key that has nothing yet: what is missing comes below it.
    fn filled(&self, key: Key, from: &str) -> Edited {
        let indent = self.page.indent(key).filter(|_| self.page.value(key) == Some(Value::Below));
        let indent = indent.ok_or_else(|| unknown(key))?;
        let mut lines = self.lines();
        let new = self.section(from, indent + self.page.step());
        let below = key.line + 1;
        lines.splice(below..below, new);
        Ok(lines)
    }

    /// A map that lacks a key: it comes last in a block, first in braces.
    fn added(&self, key: Key, map: &Node, from: &str) -> Edited {
        let mut lines = self.lines();
        match (self.page.value(key), &map.kind) {
            (Some(Value::Brackets(open)), Kind::Map(entries)) if lines[key.line][open..].starts_with('{') => {
                let list = format!("models: {}", brackets(self.new));
                let new = if from == "preload" { format!("preload: {{{list}}}") } else { list };
                let comma = if entries.is_empty() { "" } else { ", " };
                lines[key.line].insert_str(open + 1, &format!("{new}{comma}"));
            }
            (Some(Value::Below), Kind::Map(entries)) => {
                let first = entries.first().and_then(|first| self.page.key(first.at, &first.key));
                let first = first.filter(|first| first.line > key.line);
                let first = first.and_then(|first| self.page.indent(first));
                let (Some(inner), Some(indent)) = (first, self.page.indent(key)) else {
                    return Err(unknown(key));
                };
                let end = self.page.end_of_block(key.line, indent, inner);
                if end == lines.len() {
                    lines.push(String::new());
                }
                lines.splice(end..end, self.section(from, inner));
            }
            _ => return Err(unknown(key)),
        }
        Ok(lines)
    }
}

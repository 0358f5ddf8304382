//! Values read out of the tree by type: what does not fit is collected as a problem with its place, never thrown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::suggestion;
use super::tree::{At, Entry, Kind, Node};
use super::{Origin, Place, Problem};
use crate::residency::bytes::Bytes;
use crate::residency::keep_alive::{KeepAlive, parse_duration};
use crate::residency::name::ModelName;

/// What reads one file: it gathers the problems, and where each good value stood.
pub(super) struct Reader {
    file: PathBuf,
    pub problems: Vec<Problem>,
    pub origins: BTreeMap<String, Origin>,
}

/// The known keys of one map, each once.
pub(super) struct Fields<'n> {
    pub path: String,
    entries: Vec<&'n Entry>,
}

impl<'n> Fields<'n> {
    /// The value of a key; one that is left empty is not set.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (entry.value.kind != Kind::Null).then_some(&entry.value)
    }

    /// All of them, in the user's order.
    pub(super) fn all(&self) -> impl Iterator<Item = &'n Entry> + '_ {
        self.entries.iter().copied().filter(|entry| entry.value.kind != Kind::Null)
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Reader {
    pub(super) fn new(file: &Path) -> Reader {
        Reader { file: file.to_owned(), problems: Vec::new(), origins: BTreeMap::new() }
    }

    pub(super) fn place(&self, at: At) -> Place {
        Place { file: self.file.clone(), line: at.line, column: at.column }
    }

    pub(super) fn wrong(&mut self, at: At, key: &str, message: impl Into<String>) {
        let place = Some(self.place(at));
        self.problems.push(Problem { place, key: key.to_owned(), message: message.into() });
    }

    /// Notes where a value came from.
    pub(super) fn found(&mut self, key: String, at: At) {
        let place = self.place(at);
        self.origins.insert(key, Origin::File(place));
    }

    fn mismatch<T>(&mut self, node: &Node, key: &str, expected: &str) -> Option<T> {
        self.wrong(node.at, key, format!("expected {expected}, found {}", describe(&node.kind)));
        None
    }

    /// A map whose keys the user chooses.
    pub(super) fn map<'n>(&mut self, path: &str, node: &'n Node) -> Option<Fields<'n>> {
        let Kind::Map(all) = &node.kind else { return self.mismatch(node, path, "a map of keys and values") };
        let mut fields = Fields { path: path.to_owned(), entries: Vec::new() };
        let mut first = BTreeMap::new();
        for entry in all {
            if let Some(line) = first.get(&entry.key) {
                let message = format!("written twice; the first is in line {line}");
                self.wrong(entry.at, &fields.path_of(&entry.key), message);
            } else {
                first.insert(&entry.key, entry.at.line);
                fields.entries.push(entry);
            }
        }
        Some(fields)
    }

    /// A map whose keys are these.
    pub(super) fn fields<'n>(&mut self, path: &str, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let mut fields = self.map(path, node)?;
        let (ours, unknown): (Vec<_>, Vec<_>) =
            fields.entries.iter().partition(|entry| known.contains(&entry.key.as_str()));
        fields.entries = ours;
        for entry in unknown {
            let message = format!("unknown key; {}", suggestion(&entry.key, known));
            self.wrong(entry.at, &fields.path_of(&entry.key), message);
        }
        Some(fields)
    }

    /// The value of one key, read by `read`, if it is there and fits.
    pub(super) fn field<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        read: impl FnOnce(&mut Reader, &str, &Node) -> Option<T>,
    ) -> Option<T> {
        let node = fields.get(key)?;
        let path = fields.path_of(key);
        let value = read(self, &path, node)?;
        self.found(path, node.at);
        Some(value)
    }

    /// Puts the value of one key into its slot, if it is there and fits.
    pub(super) fn set<T>(
        &mut self,
        slot: &mut T,
        fields: &Fields<'_>,
        key: &str,
        read: impl FnOnce(&mut Reader, &str, &Node) -> Option<T>,
    ) {
        if let Some(value) = self.field(fields, key, read) {
            *slot = value;
        }
    }

    pub(super) fn switch(&mut self, key: &str, node: &Node) -> Option<bool> {
        match node.kind {
            Kind::Bool(value) => Some(value),
            _ => self.mismatch(node, key, "true or false"),
        }
    }

    /// A text; a bare number is taken as it is written.
    pub(super) fn text(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Int(number) => Some(number.to_string()),
            _ => self.mismatch(node, key, "a text"),
        }
    }

    /// A text that no number stands for.
    pub(super) fn words(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => self.mismatch(node, key, "a text"),
        }
    }

    pub(super) fn path(&mut self, key: &str, node: &Node) -> Option<PathBuf> {
        match &node.kind {
            Kind::Text(text) if text.contains('\0') => self.mismatch(node, key, "a path without a zero byte"),
            Kind::Text(text) if !text.trim().is_empty() => Some(PathBuf::from(text)),
            _ => self.mismatch(node, key, "a path"),
        }
    }

    pub(super) fn whole(&mut self, key: &str, node: &Node, least: u64, most: u64) -> Option<u64> {
        let Kind::Int(number) = node.kind else { return self.mismatch(node, key, "a whole number") };
        let number = u64::try_from(number).ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(node.at, key, format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    /// A context length.
    pub(super) fn num_ctx(&mut self, key: &str, node: &Node) -> Option<u64> {
        self.whole(key, node, 1, i32::MAX.unsigned_abs().into())
    }

    pub(super) fn bytes(&mut self, key: &str, node: &Node) -> Option<Bytes> {
        let Some(text) = written(node) else {
            return self.mismatch(node, key, "a size such as 4GB or 9 GiB");
        };
        let size = Bytes::parse(&text);
        size.map_err(|error| self.wrong(node.at, key, error.to_string())).ok()
    }

    /// A duration of at least `least`.
    pub(super) fn duration(&mut self, key: &str, node: &Node, least: Duration) -> Option<Duration> {
        let expected = "a duration such as 30m, 1h30m or 1800 (seconds)";
        let Some(text) = written(node) else { return self.mismatch(node, key, expected) };
        match parse_duration(&text) {
            None if text.starts_with('-') => {
                self.wrong(node.at, key, "a duration cannot be negative here");
                None
            }
            None => {
                self.wrong(node.at, key, format!("not a duration; write {expected}"));
                None
            }
            Some(time) if time < least => {
                self.wrong(node.at, key, format!("too short; the least is {}", KeepAlive::For(least)));
                None
            }
            Some(time) => Some(time),
        }
    }

    /// A keep_alive that is not `auto`.
    pub(super) fn keep_alive(&mut self, key: &str, node: &Node) -> Option<KeepAlive> {
        let Some(text) = written(node) else {
            return self.mismatch(node, key, "a duration such as 60m, -1, or auto");
        };
        KeepAlive::parse(&text).map_err(|error| self.wrong(node.at, key, format!("{error}, or auto"))).ok()
    }

    pub(super) fn model(&mut self, key: &str, node: &Node) -> Option<ModelName> {
        // A number would be a name, and is hardly meant as one.
        let text = self.words(key, node)?;
        ModelName::parse(&text).map_err(|error| self.wrong(node.at, key, error.to_string())).ok()
    }

    /// A list of models, none of them twice.
    pub(super) fn models(&mut self, key: &str, node: &Node) -> Option<Vec<ModelName>> {
        let Kind::List(nodes) = &node.kind else { return self.mismatch(node, key, "a list of models") };
        let mut models = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let Some(model) = self.model(&key, node) else { continue };
            if models.contains(&model) {
                self.wrong(node.at, &key, format!("{model} is in the list already"));
            } else {
                models.push(model);
            }
        }
        Some(models)
    }

    /// A text or a list of texts.
    pub(super) fn texts(&mut self, key: &str, node: &Node) -> Option<Vec<String>> {
        let Kind::List(nodes) = &node.kind else { return self.text(key, node).map(|text| vec![text]) };
        let texts = nodes.iter().enumerate().map(|(index, node)| self.text(&format!("{key}[{index}]"), node));
        texts.collect::<Vec<_>>().into_iter().collect()
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&mut self, key: &str, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key, node)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let valid: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(node.at, key, format!("unknown value; {}", suggestion(&text, &valid)));
        }
        found
    }
}

/// A number or a text as the user wrote it.
fn written(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Text(text) => Some(text.clone()),
        Kind::Int(number) => Some(number.to_string()),
        Kind::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Null => "nothing".to_owned(),
        Kind::Bool(value) => value.to_string(),
        Kind::Int(number) => format!("the number {number}"),
        Kind::Float(number) => format!("the number {number}"),
        Kind::Text(text) => {
            let short: String = text.chars().take(40).collect();
            let mark = if short.len() < text.len() { "…" } else { "" };
            format!("the text \"{short}{mark}\"")
        }
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a map".to_owned(),
        Kind::Tagged(tag) => format!("a value with the tag !{tag}"),
    }
}

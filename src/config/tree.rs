//! A YAML text as a tree in which every key and value knows its line and column; repeated keys are kept.
//!
//! `yaml_serde` tells a place only through an error. So a scalar puts itself into the tree and *then* fails: the
//! caller reads the place from that error and goes on, since the parser stands behind the scalar by then. One pass
//! finds all places; the tests below hold the parser to it.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
};

/// More values than this are no settings: a file of aliases that multiply must not take memory.
const MOST_VALUES: usize = 20_000;
/// The longest key; the parser copies the path of keys for each place.
const LONGEST_KEY: usize = 200;
/// More open brackets than this are no settings.
const DEEPEST: usize = 1_000;

/// Line and column, each from 1; zero is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub line: usize,
    pub column: usize,
}

/// One value and where it stands; a list or a map of a key stands where its key does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub at: At,
    pub kind: Kind,
}

impl Node {
    /// What told no place in a list, such as an empty list or a tag, stands where the list does.
    fn settle(&mut self) {
        let Kind::List(nodes) = &mut self.kind else { return };
        for node in nodes {
            if node.at == At::default() {
                node.at = self.at;
            }
            node.settle();
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A value with a tag of its own, such as `!secret x`.
    Tagged(String),
}

impl Kind {
    fn is_scalar(&self) -> bool {
        !matches!(self, Kind::List(_) | Kind::Map(_) | Kind::Tagged(_))
    }
}

/// One line of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub at: At,
    pub value: Node,
}

/// The text is no YAML, or more than we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub at: At,
    pub message: String,
}

/// Reads a text. A top-level section that is not `ours` is skipped, whatever is in it; its key is kept.
pub(super) fn read(text: &str, ours: &dyn Fn(&str) -> bool) -> Result<Node, Broken> {
    too_deep(text)?;
    let mut kind = None;
    let mut left = MOST_VALUES;
    let seed = Seed { out: &mut kind, left: &mut left, skip: Some(ours) };
    let result = seed.deserialize(serde_yaml::Deserializer::from_str(text));
    let broken = |error: &serde_yaml::Error| {
        let at = error.location().map_or(At::default(), |l| At { line: l.line(), column: l.column() });
        Broken { at, message: without_place(&error.to_string()).to_owned() }
    };
    let whole = At { line: 1, column: 1 };
    match (result, kind) {
        (Ok(()), kind) => {
            let kind = kind.unwrap_or(Kind::Null);
            Ok(Node { at: first_place(&kind).unwrap_or(whole), kind })
        }
        (Err(_), Some(kind)) if kind.is_scalar() => {
            // A value alone in the file told its place by failing: what follows it has not been looked at.
            serde_yaml::from_str::<IgnoredAny>(text).map_err(|error| broken(&error))?;
            Ok(Node { at: whole, kind })
        }
        (Err(error), _) => Err(broken(&error)),
    }
}

/// Refuses what opens brackets without end: the parser's time grows with the square of their depth, so 1 MiB of them
/// takes minutes. Brackets in texts and comments count too, hence far more are let pass than the parser takes.
fn too_deep(text: &str) -> Result<(), Broken> {
    let mut open = 0usize;
    for (index, line) in text.lines().enumerate() {
        for (column, byte) in line.bytes().enumerate() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > DEEPEST {
                let at = At { line: index + 1, column: column + 1 };
                return Err(Broken { at, message: "too many brackets that are not closed".to_owned() });
            }
        }
    }
    Ok(())
}

/// The place that the parser wrote behind a message; none behind it means the very first character.
fn place_of(message: &str) -> At {
    let numbers = message.rsplit_once(" at line ").and_then(|(_, rest)| rest.split_once(" column "));
    let place = numbers
        .and_then(|(line, column)| Some(At { line: line.parse().ok()?, column: column.parse().ok()? }));
    place.unwrap_or(At { line: 1, column: 1 })
}

fn without_place(message: &str) -> &str {
    message.split_once(" at line ").map_or(message, |(message, _)| message)
}

fn first_place(kind: &Kind) -> Option<At> {
    match kind {
        Kind::Map(entries) => entries.first().map(|entry| entry.at),
        Kind::List(nodes) => nodes.first().map(|node| node.at),
        _ => None,
    }
}

struct Seed<'a> {
    out: &'a mut Option<Kind>,
    left: &'a mut usize,
    /// At the top: which sections are read; below: `None`, all are.
    skip: Option<&'a dyn Fn(&str) -> bool>,
}

impl Seed<'_> {
    fn spend<E: de::Error>(&mut self) -> Result<(), E> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| E::custom("more values than settings have"))?;
        Ok(())
    }

    fn scalar<E: de::Error>(mut self, kind: Kind) -> Result<(), E> {
        self.spend()?;
        *self.out = Some(kind);
        Err(E::custom("place"))
    }
}

/// Reads one value with `next`: the place it told, `None` where it told none (a list, a map), or a real error.
fn placed<T, E: de::Error>(kind: Option<&Kind>, result: Result<T, E>) -> Result<(Option<T>, Option<At>), E> {
    match result {
        Ok(value) => Ok((Some(value), kind.and_then(first_place))),
        Err(error) if kind.is_some() => Ok((None, Some(place_of(&error.to_string())))),
        Err(error) => Err(error),
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        *self.out = Some(Kind::Null);
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar(Kind::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Kind::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Kind::Int(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Kind::Int(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<(), E> {
        self.scalar(Kind::Int(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<(), E> {
        self.scalar(Kind::Int(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Kind::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Kind::Text(value.to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let (tag, value) = data.variant::<String>()?;
        value.newtype_variant::<IgnoredAny>()?;
        *self.out = Some(Kind::Tagged(tag));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.spend()?;
        let mut nodes = Vec::new();
        loop {
            let mut kind = None;
            let result = list.next_element_seed(Seed { out: &mut kind, left: self.left, skip: None });
            if matches!(result, Ok(None)) {
                break;
            }
            let (_, at) = placed(kind.as_ref(), result)?;
            nodes.push(Node { at: at.unwrap_or_default(), kind: kind.unwrap_or(Kind::Null) });
        }
        *self.out = Some(Kind::List(nodes));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.spend()?;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let mut kind = None;
            let result = map.next_key_seed(Seed { out: &mut kind, left: self.left, skip: None });
            if matches!(result, Ok(None)) {
                break;
            }
            let (_, at) = placed(kind.as_ref(), result)?;
            let key = key_text(kind)?;
            let at = at.unwrap_or_default();
            if self.skip.is_some_and(|ours| !ours(&key)) {
                map.next_value::<IgnoredAny>()?;
                entries.push(Entry { key, at, value: Node { at, kind: Kind::Null } });
                continue;
            }
            let mut kind = None;
            let result = map.next_value_seed(Seed { out: &mut kind, left: self.left, skip: None });
            let (told_none, value_at) = placed(kind.as_ref(), result)?;
            let value_at = if told_none.is_some() { at } else { value_at.unwrap_or(at) };
            let mut value = Node { at: value_at, kind: kind.unwrap_or(Kind::Null) };
            value.settle();
            entries.push(Entry { key, at, value });
        }
        *self.out = Some(Kind::Map(merged(entries)));
        Ok(())
    }
}

fn key_text<E: de::Error>(kind: Option<Kind>) -> Result<String, E> {
    let key = match kind {
        Some(Kind::Text(text)) => text,
        Some(Kind::Int(number)) => number.to_string(),
        Some(Kind::Float(number)) => number.to_string(),
        Some(Kind::Bool(value)) => value.to_string(),
        Some(Kind::Null) => "null".to_owned(),
        _ => return Err(E::custom("a key must be a text")),
    };
    if key.len() > LONGEST_KEY { Err(E::custom("a key is too long")) } else { Ok(key) }
}

/// YAML's merge key: `<<: *base` lends what is not set here.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    if !entries.iter().any(|entry| entry.key == "<<") {
        return entries;
    }
    let (lent, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key == "<<");
    for entry in lent {
        let maps = match entry.value.kind {
            Kind::List(nodes) => nodes,
            _ => vec![entry.value],
        };
        for node in maps {
            if let Kind::Map(more) = node.kind {
                let new: Vec<_> =
                    more.into_iter().filter(|new| own.iter().all(|old| old.key != new.key)).collect();
                own.extend(new);
            } else {
                own.push(Entry { key: "<<".to_owned(), at: entry.at, value: node });
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Node, Broken> {
        read(text, &|_| true)
    }

    /// Every key and scalar with its place, in order.
    fn places(node: &Node, path: &str, out: &mut Vec<(String, usize, usize)>) {
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    let path = format!("{path}/{}", entry.key);
                    out.push((path.clone(), entry.at.line, entry.at.column));
                    places(&entry.value, &path, out);
                }
            }
            Kind::List(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    places(node, &format!("{path}/{index}"), out);
                }
            }
            _ => out.push((format!("{path}="), node.at.line, node.at.column)),
        }
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text = "a: 1\nb:\n  c: [x, true]\n  d:\n    - {e: 'y'}\n    - |\n      z\nf: # nothing\ng: &g 1.5\nh: *g\n";
        let mut found = Vec::new();
        places(&all(text).unwrap(), "", &mut found);
        let found: Vec<_> =
            found.iter().map(|(path, line, column)| (path.as_str(), *line, *column)).collect();
        assert_eq!(
            found,
            [
                ("/a", 1, 1),
                ("/a=", 1, 4),
                ("/b", 2, 1),
                ("/b/c", 3, 3),
                ("/b/c/0=", 3, 7),
                ("/b/c/1=", 3, 10),
                ("/b/d", 4, 3),
                ("/b/d/0/e", 5, 8),
                ("/b/d/0/e=", 5, 11),
                ("/b/d/1=", 6, 7),
                ("/f", 8, 1),
                ("/f=", 8, 3),
                ("/g", 9, 1),
                ("/g=", 9, 4),
                ("/h", 10, 1),
                ("/h=", 9, 4),
            ]
        );
    }

    #[test]
    fn an_item_without_a_place_of_its_own_stands_where_its_list_does() {
        let Kind::Map(entries) = all("a: 1\nb:\n  - [[], !t x]\n").unwrap().kind else { panic!() };
        let Kind::List(outer) = &entries[1].value.kind else { panic!() };
        let Kind::List(inner) = &outer[0].kind else { panic!() };
        assert!(inner.iter().chain(outer).all(|node| node.at.line == 2), "{outer:?}");
    }

    #[test]
    fn a_key_that_looks_like_a_place_is_none() {
        let node = all("' at line 7 column 7': {b: 1}").unwrap();
        let mut found = Vec::new();
        places(&node, "", &mut found);
        assert_eq!(found[1], ("/ at line 7 column 7/b".to_owned(), 1, 25));
        assert_eq!(found[2], ("/ at line 7 column 7/b=".to_owned(), 1, 28));
    }

    #[test]
    fn an_empty_text_is_nothing_and_a_scalar_is_itself() {
        assert_eq!(all("").unwrap().kind, Kind::Null);
        assert_eq!(all("# only words\n").unwrap().kind, Kind::Null);
        assert_eq!(all("hello").unwrap().kind, Kind::Text("hello".into()));
    }

    #[test]
    fn sections_of_others_are_skipped_whatever_they_hold() {
        let text = "agent:\n  key: !secret {a: 1, a: 2}\n  ? [x]\n  : y\nollama: 1\n";
        let Kind::Map(entries) = read(text, &|key| key == "ollama").unwrap().kind else { panic!() };
        let found: Vec<_> =
            entries.iter().map(|e| (e.key.as_str(), e.at.line, e.value.kind.clone())).collect();
        assert_eq!(found, [("agent", 1, Kind::Null), ("ollama", 5, Kind::Int(1))]);
    }

    #[test]
    fn a_merge_key_lends_what_is_not_set() {
        let text = "base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\n";
        let Kind::Map(entries) = all(text).unwrap().kind else { panic!() };
        let Kind::Map(own) = &entries[1].value.kind else { panic!() };
        let found: Vec<_> = own.iter().map(|e| (e.key.as_str(), e.value.kind.clone())).collect();
        assert_eq!(found, [("y", Kind::Int(3)), ("x", Kind::Int(1))]);
    }

    #[test]
    fn broken_text_says_where() {
        let broken = all("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert_eq!((broken.at.line, broken.message.is_empty()), (3, false));
        assert!(all("a: 1\n---\nb: 2\n").is_err());
        assert!(all("? [a]\n: b\n").is_err());
        assert!(all("~\n---\nb: 2\n").is_err());
        assert!(all("~\n...\n]").is_err());
    }

    #[test]
    fn texts_made_to_exhaust_are_refused_quickly() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let list = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb = format!("{bomb}a{i}: &a{i} [{list}]\n");
        }
        assert!(all(&bomb).is_err());
        assert!(all(&"[".repeat(1 << 20)).is_err());
        assert!(all(&"- ".repeat(1 << 19)).is_err());
        assert!(all(&"[\n".repeat(1 << 19)).is_err());
        assert!(all(&"{a: ".repeat(1 << 18)).is_err());
        assert!(all(&"{a: {a:\n".repeat(1 << 17)).is_err());
        assert!(all(&"? ".repeat(1 << 19)).is_err());
        assert!(all(&format!("{}{}", "[".repeat(1_000), "{},".repeat(1 << 18))).is_err());
        assert!(all(&"{a: ".repeat(900)).is_err());
        assert!(all(&format!("{}: 1", "k".repeat(1 << 19))).is_err());
        assert!(all("a: &a [*a]").is_err());
    }
}

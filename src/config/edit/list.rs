//! A list in a file changed to another one, in the style it has: a block, brackets in one line, or brackets with one item
//! a line. What an item that stays has behind it stays with it.

use super::page::{Key, Page, Value, indent_of, is_blank_or_remark, is_remark, scalar};
use crate::config::show::quoted;
use crate::config::tree::Node;
use crate::residency::name::ModelName;

/// What an edit gives: the new lines, or why the file is not understood.
pub(super) type Edited = Result<Vec<String>, String>;

/// A list as it is and as it is to be.
pub(super) struct Change<'a> {
    pub old: &'a [ModelName],
    pub new: &'a [ModelName],
    pub nodes: &'a [Node],
    /// How far the file indents.
    pub step: usize,
}

/// An item in a line of its own.
#[derive(Debug, Clone)]
struct Item {
    line: usize,
    /// Blanks, and in a block the dash.
    before: String,
    text: String,
    comma: bool,
    /// Blanks and a remark.
    behind: String,
}

/// How new items are quoted: as the last one is.
#[derive(Debug, Clone, Copy)]
enum Quotes {
    Double,
    Single,
    Plain,
}

impl Quotes {
    fn of(text: Option<&str>) -> Quotes {
        match text.and_then(|text| text.chars().next()) {
            None | Some('"') => Quotes::Double,
            Some('\'') => Quotes::Single,
            Some(_) => Quotes::Plain,
        }
    }

    fn write(self, model: &ModelName) -> String {
        let name = model.to_string();
        // What YAML takes for something else than a text needs quotes.
        let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
        let is_text = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && !words.contains(&name.to_ascii_lowercase().as_str());
        match self {
            Quotes::Single => format!("'{name}'"),
            Quotes::Plain if is_text => name,
            Quotes::Double | Quotes::Plain => quoted(&name),
        }
    }
}

/// Items of a list that is new, in a block `indent` columns in.
pub(super) fn block(models: &[ModelName], indent: usize) -> Vec<String> {
    models.iter().map(|model| format!("{:indent$}- {}", "", Quotes::Double.write(model))).collect()
}

/// A list that is new, in brackets.
pub(super) fn brackets(models: &[ModelName]) -> String {
    format!("[{}]", models.iter().map(|model| Quotes::Double.write(model)).collect::<Vec<_>>().join(", "))
}

impl Change<'_> {
    /// Changes the list of `key`.
    pub(super) fn apply(&self, page: &Page, key: Key) -> Edited {
        match page.value(key) {
            Some(Value::Below) => self.in_block(page, key),
            Some(Value::Brackets(open)) => match self.in_line(page, key, open) {
                Some(lines) => Ok(lines),
                None => self.in_lines(page, key, open),
            },
            None => Err(format!("line {} is written in a way that is not understood", key.line + 1)),
        }
    }

    fn in_block(&self, page: &Page, key: Key) -> Edited {
        let mut items = Vec::new();
        for node in self.nodes {
            let unknown = format!("line {} is no item that is understood", node.at.line);
            let item = item(page, node, false)
                .filter(|item| item.line > key.line && item.before.trim() == "-")
                .ok_or(unknown)?;
            items.push(item);
        }
        let mut lines: Vec<String> = page.lines.iter().map(ToString::to_string).collect();
        if self.new.is_empty() {
            lines[key.line].insert_str(key.after, " []");
        }
        let indent = page.indent(key).ok_or_else(|| format!("line {} is not understood", key.line + 1))?;
        let fresh = format!("{:1$}- ", "", indent + self.step);
        Ok(self.laid_out(lines, &items, key.line + 1, &fresh, false))
    }

    /// Brackets that open and close in the key's line; `None` if they do not.
    fn in_line(&self, page: &Page, key: Key, open: usize) -> Option<Vec<String>> {
        let line = page.lines[key.line];
        let mut items = Vec::new();
        let mut at = open + 1;
        let close = loop {
            at += indent_of(&line[at..]);
            if line[at..].starts_with(']') {
                break at;
            }
            let end = at + scalar(&line[at..], true)?;
            items.push((at, end));
            at = end + indent_of(&line[end..]);
            match line.as_bytes().get(at)? {
                b',' => at += 1,
                b']' => break at,
                _ => return None,
            }
        };
        if items.len() != self.nodes.len() {
            return None;
        }
        let mut lines: Vec<String> = page.lines.iter().map(ToString::to_string).collect();
        if let (true, Some(indent)) = (items.is_empty(), page.indent(key)) {
            lines[key.line].replace_range(key.after..=close, "");
            let below = key.line + 1;
            lines.splice(below..below, block(self.new, indent + self.step));
            return Some(lines);
        }
        let texts: Vec<&str> = items.iter().map(|(start, end)| &line[*start..*end]).collect();
        let quotes = Quotes::of(texts.last().copied());
        let text = |model: &ModelName| match self.old.iter().position(|old| old == model) {
            Some(at) => texts[at].to_owned(),
            None => quotes.write(model),
        };
        let between = match items[..] {
            [(_, end), (start, _), ..] => &line[end..start],
            _ => ", ",
        };
        let (before, behind) = match (items.first(), items.last()) {
            _ if self.new.is_empty() => ("", ""),
            (Some((start, _)), Some((_, end))) => (&line[open + 1..*start], &line[*end..close]),
            _ => ("", ""),
        };
        let inner = self.new.iter().map(text).collect::<Vec<_>>().join(between);
        lines[key.line].replace_range(open + 1..close, &format!("{before}{inner}{behind}"));
        Some(lines)
    }

    /// Brackets with one item a line.
    fn in_lines(&self, page: &Page, key: Key, open: usize) -> Edited {
        let unknown = |line: usize| format!("the list in line {} has more than one item a line", line + 1);
        let line = page.lines[key.line];
        if !line[open..].starts_with('[') || !is_remark(&line[open + 1..]) {
            return Err(unknown(key.line));
        }
        let items: Option<Vec<Item>> = self.nodes.iter().map(|node| item(page, node, true)).collect();
        let items = items
            .filter(|items| items.iter().all(|item| item.line > key.line && item.before.trim().is_empty()));
        let items = items.ok_or_else(|| unknown(key.line))?;
        let mut close = key.line + 1;
        while items.iter().any(|item| item.line == close)
            || page.lines.get(close).is_some_and(|line| is_blank_or_remark(line))
        {
            close += 1;
        }
        let closing = page.lines.get(close).filter(|line| line.trim_start().starts_with(']'));
        let closing = closing.ok_or_else(|| unknown(key.line))?;
        if items.iter().any(|item| item.line > close) {
            return Err(unknown(key.line));
        }
        let lines = page.lines.iter().map(ToString::to_string).collect();
        let fresh = format!("{:1$}", "", indent_of(closing) + self.step);
        Ok(self.laid_out(lines, &items, close, &fresh, true))
    }

    /// The lines with the new list where the old one was. An item that stays keeps its line, and what is new follows the
    /// one that it follows in the list; in another order, the old lines are filled anew. Remarks in lines of their own
    /// stay where they are. A list without items begins at line `first`, each item behind `fresh`.
    fn laid_out(
        &self,
        mut lines: Vec<String>,
        items: &[Item],
        first: usize,
        fresh: &str,
        commas: bool,
    ) -> Vec<String> {
        let quotes = Quotes::of(items.last().map(|item| item.text.as_str()));
        let before = items.last().map_or(fresh, |item| item.before.as_str());
        let trailing = items.last().is_some_and(|item| item.comma);
        let stays = |model: &ModelName| self.old.iter().position(|old| old == model);
        let kept: Vec<usize> = self.new.iter().filter_map(stays).collect();
        let in_order = kept.is_sorted();
        let mut slots: Vec<Vec<String>> = vec![Vec::new(); items.len().max(1)];
        let mut slot = 0;
        for (at, model) in self.new.iter().enumerate() {
            let item = stays(model).and_then(|at| items.get(at).cloned()).unwrap_or_else(|| Item {
                line: 0,
                before: before.to_owned(),
                text: quotes.write(model),
                comma: false,
                behind: String::new(),
            });
            let comma = if commas && (at + 1 < self.new.len() || trailing) { "," } else { "" };
            slot = match stays(model) {
                Some(old) if in_order => old,
                None if in_order => slot,
                _ => at.min(slots.len() - 1),
            };
            slots[slot].push(format!("{}{}{comma}{}", item.before, item.text, item.behind));
        }
        if items.is_empty() {
            lines.splice(first..first, slots.concat());
        }
        for (item, slot) in items.iter().zip(slots).rev() {
            lines.splice(item.line..=item.line, slot);
        }
        lines
    }
}

/// The item at a node's place, if it is a scalar in a line that holds nothing else.
fn item(page: &Page, node: &Node, in_brackets: bool) -> Option<Item> {
    let (line, start) = page.locate(node.at)?;
    let whole = page.lines[line];
    let end = start + scalar(&whole[start..], in_brackets)?;
    let comma = in_brackets && whole[end..].starts_with(',');
    let behind = &whole[end + usize::from(comma)..];
    let (before, text) = (whole[..start].to_owned(), whole[start..end].to_owned());
    let is_plain = before.bytes().all(|byte| byte == b' ' || byte == b'-');
    (is_plain && is_remark(behind)).then(|| Item { line, before, text, comma, behind: behind.to_owned() })
}

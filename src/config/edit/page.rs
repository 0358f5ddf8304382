//! A settings file by lines, and what stands at a place that the parser told: a key, a value, a scalar.

use crate::config::tree::At;

/// The lines, without their ends; joined by newlines they are the text again.
pub(super) struct Page<'t> {
    pub lines: Vec<&'t str>,
}

/// A key in a line: byte positions of where it begins and of what follows its colon. Lines count from 0 here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub line: usize,
    pub start: usize,
    pub after: usize,
}

/// Where the value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// In the lines below, or nowhere.
    Below,
    /// In brackets that open at this byte of the key's line.
    Brackets(usize),
}

impl<'t> Page<'t> {
    pub(super) fn new(text: &'t str) -> Page<'t> {
        Page { lines: text.split('\n').collect() }
    }

    /// The line and the byte in it of a parser's place.
    pub(super) fn locate(&self, at: At) -> Option<(usize, usize)> {
        let number = at.line.checked_sub(1)?;
        let line = self.lines.get(number)?;
        let mut starts = line.char_indices().map(|(byte, _)| byte).chain([line.len()]);
        Some((number, starts.nth(at.column.checked_sub(1)?)?))
    }

    /// The key that the parser told to be at `at`, if it is really written there: not lent by an anchor, not `? key`.
    pub(super) fn key(&self, at: At, key: &str) -> Option<Key> {
        let (line, start) = self.locate(at)?;
        let rest = &self.lines[line][start..];
        let written = [key.to_owned(), format!("\"{key}\""), format!("'{key}'")];
        let written = written.iter().find(|written| rest.starts_with(written.as_str()))?;
        let colon = rest[written.len()..].trim_start_matches(' ');
        let after = colon.strip_prefix(':')?;
        (after.is_empty() || after.starts_with(' ')).then(|| Key {
            line,
            start,
            after: self.lines[line].len() - after.len(),
        })
    }

    pub(super) fn value(&self, key: Key) -> Option<Value> {
        let line = self.lines[key.line];
        let rest = &line[key.after..];
        let value = rest.trim_start_matches(' ');
        match value.chars().next() {
            Some('[' | '{') => Some(Value::Brackets(line.len() - value.len())),
            _ => is_remark(rest).then_some(Value::Below),
        }
    }

    /// The columns before a key that begins its line; `None` for one that does not.
    pub(super) fn indent(&self, key: Key) -> Option<usize> {
        self.lines[key.line][..key.start].bytes().all(|byte| byte == b' ').then_some(key.start)
    }

    /// The line behind the last one that belongs to a block `indent` columns in, whose key is in `line`; what stands in
    /// it stands at least `inner` columns in. Blank lines and remarks further left belong to what follows.
    pub(super) fn end_of_block(&self, line: usize, indent: usize, inner: usize) -> usize {
        let is_inside = |text: &&&str| is_blank_or_remark(text) || indent_of(text) > indent;
        let mut end = line + 1 + self.lines[line + 1..].iter().take_while(is_inside).count();
        while end > line + 1 {
            let text = self.lines[end - 1];
            let is_ours = !text.trim().is_empty() && (!is_blank_or_remark(text) || indent_of(text) >= inner);
            if is_ours {
                break;
            }
            end -= 1;
        }
        end
    }

    /// How far the file indents.
    pub(super) fn step(&self) -> usize {
        let indents = self.lines.iter().filter(|line| !is_blank_or_remark(line)).map(|line| indent_of(line));
        indents.into_iter().find(|indent| (1..=8).contains(indent)).unwrap_or(2)
    }
}

pub(super) fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A line without anything but a remark.
pub(super) fn is_blank_or_remark(line: &str) -> bool {
    let line = line.trim_start_matches(' ');
    line.is_empty() || line.starts_with('#')
}

/// What follows a value in its line: nothing, or blanks and a remark.
pub(super) fn is_remark(rest: &str) -> bool {
    let text = rest.trim_start_matches(' ');
    text.is_empty() || (text.starts_with('#') && text.len() < rest.len())
}

/// The bytes of the scalar that `text` begins with, which must end in this line; in brackets it ends at `,` too.
/// `None` for all that is more than a plain or a quoted text.
pub(super) fn scalar(text: &str, in_brackets: bool) -> Option<usize> {
    let mut chars = text.char_indices();
    match chars.next()?.1 {
        '"' => {
            let mut escaped = false;
            let end = chars.find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map(|(at, _)| at + 1)
        }
        '\'' => {
            let mut from = 1;
            loop {
                let end = from + text[from..].find('\'')?;
                if !text[end + 1..].starts_with('\'') {
                    return Some(end + 1);
                }
                from = end + 2;
            }
        }
        first if first.is_ascii_alphanumeric() || first == '_' => {
            let ends = |c: char| c == ' ' || in_brackets && matches!(c, ',' | '[' | ']' | '{' | '}');
            Some(text.find(ends).unwrap_or(text.len()))
        }
        _ => None,
    }
}

//! Rust source cut into words and signs, without comments and texts: enough to see which paths a file names.

/// Identifiers, and signs of one character, save `::`, which is one token. Comments, strings and characters are gone.
pub fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        match c {
            '/' if next == Some('/') => at = line_end(&chars, at),
            '/' if next == Some('*') => at = comment_end(&chars, at),
            '"' => at = text_end(&chars, at + 1),
            '\'' => at = quote_end(&chars, at),
            ':' if next == Some(':') => {
                tokens.push("::".to_owned());
                at += 2;
            }
            _ if c.is_alphanumeric() || c == '_' => {
                let end = (at..chars.len())
                    .find(|i| !(chars[*i].is_alphanumeric() || chars[*i] == '_'))
                    .unwrap_or(chars.len());
                let word: String = chars[at..end].iter().collect();
                if let Some(end) = raw_text_end(&chars, end, &word) {
                    at = end;
                } else {
                    tokens.push(word);
                    at = end;
                }
            }
            _ => {
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len())
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn text_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// After a character, or after the sign of a lifetime.
fn quote_end(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        return (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |end| end + 1);
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}

/// After `r"…"`, `br#"…"#` and their like, if `word` begins one.
fn raw_text_end(chars: &[char], from: usize, word: &str) -> Option<usize> {
    if !matches!(word, "r" | "br" | "cr") {
        return None;
    }
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    if chars.get(from + hashes) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let end = (from + hashes + 1..chars.len()).find(|i| closes(*i)).unwrap_or(chars.len());
    Some(end + hashes + 1)
}

#[test]
fn comments_and_texts_name_nothing() {
    let source = r##"
        //! crate::a
        /* crate::b /* crate::c */ crate::d */
        let a = "crate::e \" crate::f"; let b = r#"crate::g " crate::h"#; let c = b"crate::i";
        let d = 'x'; let e = '\''; let f = '"'; fn g<'a>(h: &'a str) {} crate::real
    "##;
    let joined = tokens(source).join(" ");
    assert!(joined.ends_with("fn g < a > ( h : & a str ) { } crate :: real"), "{joined}");
    assert_eq!(joined.matches("crate").count(), 1, "{joined}");
}

//! An answer that streams: how it is cut on its way changes nothing of what is read.
//!
//! The first byte says how long the pieces are.

use resident::ollama::{Kind, Tokens};

use super::safe;

pub fn holds(data: &[u8]) {
    let Some((length, text)) = data.split_first() else { return };
    let whole = read(text, text.len().max(1));
    assert_eq!(read(text, usize::from(*length) % 64 + 1), whole);
    if let (Err(kind), _) = &whole {
        safe::assert_safe(&kind.to_string());
        assert!(kind.to_string().len() < 4000, "{kind}");
    }
    if let (Ok(Some(count)), heard) = whole {
        let lines = text.split(|byte| *byte == b'\n').count();
        assert!(heard <= lines as u64, "{heard} tokens of {lines} lines");
        // The server has counted, or nobody has.
        assert!(count == heard || has(text, b"eval_count") || has(text, b"\\u"), "{count} of {heard}");
    }
}

/// What comes of it, and how many tokens were told on the way.
fn read(text: &[u8], length: usize) -> (Result<Option<u64>, Kind>, u64) {
    let (mut tokens, mut heard) = (Tokens::default(), 0);
    for piece in text.chunks(length) {
        match tokens.take(piece, || heard += 1) {
            Ok(None) => {}
            over => return (over, heard),
        }
    }
    (Ok(None), heard)
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|piece| piece == word)
}

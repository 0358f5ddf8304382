//! What a step's command says: the last lines of it, bounded and safe for a terminal.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

use crate::residency::text::printable;

/// Lines that are kept.
const LINES: usize = 200;
/// Bytes of one line; a longer one is cut into several.
const LINE: usize = 2048;

/// Bytes that are read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// The last lines of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Which command of the run this is, from 1.
    pub command: u64,
    /// Which step's it is.
    pub step: usize,
    /// How many lines came before those that are kept.
    pub gone: u64,
    /// The last lines, oldest first; standard output and error as they came.
    pub lines: VecDeque<String>,
}

impl Output {
    /// Nothing was said yet by the command after this one, which is that step's.
    pub(super) fn next(&self, step: usize) -> Output {
        Output { command: self.command + 1, step, ..Output::default() }
    }

    /// Takes many lines; only those that stay are looked at.
    fn extend(&mut self, lines: &[&[u8]]) {
        let passed = lines.len().saturating_sub(LINES);
        if passed > 0 {
            self.gone += (self.lines.len() + passed) as u64;
            self.lines.clear();
        }
        for line in &lines[passed..] {
            self.push(line);
        }
    }

    fn push(&mut self, line: &[u8]) {
        if self.lines.len() >= LINES {
            self.lines.pop_front();
            self.gone += 1;
        }
        let text = String::from_utf8_lossy(line);
        self.lines.push_back(printable(text.trim_end().replace('\t', "    ").as_str()).into_owned());
    }
}

/// Reads until the other end is closed by all who have it.
pub(super) async fn follow(mut from: impl AsyncRead + Unpin, tell: &watch::Sender<Arc<Output>>) {
    let mut pending: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        // A pipe that cannot be read has nothing more to say.
        let count = from.read(&mut chunk).await.unwrap_or(0);
        pending.extend_from_slice(&chunk[..count]);
        let whole = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = pending.split_off(whole);
        let is_cut = rest.len() > LINE || (count == 0 && !rest.is_empty());
        let mut lines: Vec<&[u8]> = pending.split_inclusive(|byte| *byte == b'\n').collect();
        if is_cut {
            lines.extend(rest.chunks(LINE));
        }
        if !lines.is_empty() {
            tell.send_modify(|output| Arc::make_mut(output).extend(&lines));
        }
        pending = if is_cut { Vec::new() } else { rest };
        if count == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_last_lines_are_kept_and_none_can_steer_a_terminal() {
        let (tell, said) = watch::channel(Arc::default());
        let lines: Vec<String> = (1..=250).map(|number| format!("line {number}")).collect();
        let text = lines.join("\n") + "\n\u{1b}[2Jend";
        follow(text.as_bytes(), &tell).await;
        let output = said.borrow().clone();
        assert_eq!((output.gone, output.lines.len(), output.lines[0].as_str()), (51, 200, "line 52"));
        assert_eq!(output.lines[199], "\u{fffd}[2Jend");
    }

    #[tokio::test]
    async fn a_line_without_an_end_does_not_grow_for_ever() {
        let (tell, said) = watch::channel(Arc::default());
        follow(vec![b'x'; 100_000].as_slice(), &tell).await;
        assert!(said.borrow().lines.iter().all(|line| line.len() <= LINE));
        assert_eq!(said.borrow().lines.iter().map(String::len).sum::<usize>(), 100_000);
    }
}

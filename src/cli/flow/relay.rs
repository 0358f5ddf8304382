//! What is passed on of a command's output: its first lines as they come and its last ones at its end, each cut; what
//! lies between is counted.

use std::collections::VecDeque;

use crate::engine::flow::Output;
use crate::tui::format::fit;

/// Columns of one line.
const WIDE: u16 = 400;
/// Bytes of one command that are passed on as they come: less than a pipe holds, so that nobody is kept waiting who
/// is not read at once.
const MOST: usize = 16 * 1024;
/// Lines of its end that follow once it has ended.
const LAST: usize = 10;

/// How far a command's output is passed on.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Which command, and which step's.
    command: u64,
    step: usize,
    /// Lines of it that were seen.
    seen: u64,
    bytes: usize,
    left_out: u64,
    /// The last of those that were left out.
    last: VecDeque<String>,
}

impl Relay {
    /// Takes what was said since; gives what is to be shown of it.
    pub(super) fn take(&mut self, output: &Output) -> Vec<String> {
        if self.command != output.command {
            *self = Relay { command: output.command, step: output.step, ..Relay::default() };
        }
        let mut shown = Vec::new();
        let was_cut = self.left_out > 0;
        // What went by between two looks is not kept anywhere.
        self.left_out += output.gone.saturating_sub(self.seen);
        let known = usize::try_from(self.seen.saturating_sub(output.gone)).unwrap_or(usize::MAX);
        for line in output.lines.iter().skip(known) {
            let line = fit(line, WIDE);
            self.bytes += line.len() + 1;
            if self.left_out == 0 && self.bytes <= MOST {
                shown.push(line.into_owned());
                continue;
            }
            self.left_out += 1;
            if self.last.len() == LAST {
                self.last.pop_front();
            }
            self.last.push_back(line.into_owned());
        }
        self.seen = output.gone + output.lines.len() as u64;
        if !was_cut && self.left_out > 0 {
            shown.push("… it says more than is shown here; its last lines follow at its end".to_owned());
        }
        shown
    }

    /// The command of that step has ended: gives what is to be shown beside what was.
    pub(super) fn end(&mut self, step: usize) -> Vec<String> {
        if self.left_out == 0 || self.step != step {
            return Vec::new();
        }
        let last = std::mem::take(&mut self.last);
        let hidden = std::mem::take(&mut self.left_out) - last.len() as u64;
        let lines = if hidden == 1 { "line" } else { "lines" };
        let note =
            format!("… {hidden} {lines} left out; to keep all, let the command write a file of its own");
        (hidden > 0).then_some(note).into_iter().chain(last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command has said so far: lines from `from` to `to`, those before `kept` are gone.
    fn output(command: u64, kept: u64, to: u64) -> Output {
        let lines = (kept..to).map(|number| format!("line {number}")).collect();
        Output { command, step: 3, gone: kept, lines }
    }

    #[test]
    fn what_fits_is_passed_on_once_and_as_it_comes() {
        let mut relay = Relay::default();
        assert_eq!(relay.take(&output(1, 0, 2)), ["line 0", "line 1"]);
        assert_eq!(relay.take(&output(1, 0, 2)), [""; 0]);
        assert_eq!(relay.take(&output(1, 1, 3)), ["line 2"]);
        assert_eq!(relay.end(3), [""; 0]);
        assert_eq!(relay.take(&output(2, 0, 1)), ["line 0"], "the next command's");
    }

    #[test]
    fn a_flood_is_cut_after_its_first_lines_and_its_last_ones_follow_at_its_end() {
        let mut relay = Relay::default();
        let mut shown = Vec::new();
        let whole: u64 = 100_000;
        for to in (0..=whole).step_by(50) {
            shown.extend(relay.take(&output(1, to.saturating_sub(200), to)));
        }
        let told = shown.pop().unwrap();
        assert!(told.starts_with("… it says more"), "{told}");
        assert!(shown.iter().map(|line| line.len() + 1).sum::<usize>() <= MOST);
        assert_eq!(relay.end(2), [""; 0], "another step's end");
        let end = relay.end(3);
        assert_eq!(end.len(), LAST + 1);
        let hidden = whole - shown.len() as u64 - LAST as u64;
        assert!(end[0].starts_with(&format!("… {hidden} lines left out")), "{}", end[0]);
        assert_eq!(end[LAST], "line 99999");
        assert_eq!(relay.end(3), [""; 0], "it is said once");
    }

    #[test]
    fn what_went_by_unseen_counts_as_left_out() {
        let mut relay = Relay::default();
        let shown = relay.take(&output(1, 1000, 1200));
        assert_eq!(shown.len(), 1, "{shown:?}");
        let end = relay.end(3);
        assert!(end[0].starts_with("… 1190 lines left out"), "{}", end[0]);
    }

    #[test]
    fn a_long_line_is_cut() {
        let lines = VecDeque::from(["x".repeat(2048)]);
        let shown = Relay::default().take(&Output { command: 1, step: 0, gone: 0, lines });
        assert_eq!((shown[0].chars().count(), shown[0].ends_with('…')), (usize::from(WIDE), true));
    }
}

//! The two streams: results to one, remarks to the other; a reader that has gone away is no error.

use std::io::{self, ErrorKind, Write};

use serde_json::json;

use super::Exit;
use super::status::SCHEMA_VERSION;
use crate::residency::text::printable;

/// Where a subcommand writes: `stdout` and `stderr`, or two buffers in a test.
pub struct Out<'a> {
    results: &'a mut dyn Write,
    remarks: &'a mut dyn Write,
    closed: bool,
}

impl<'a> Out<'a> {
    /// Results go to the first, remarks to the second.
    pub fn new(results: &'a mut dyn Write, remarks: &'a mut dyn Write) -> Out<'a> {
        Out { results, remarks, closed: false }
    }

    /// Writes one result and a line's end at once, so that a reader of a pipe has it now. When the reader has gone
    /// (`| head`) this and all later results are dropped without an error.
    pub fn result(&mut self, text: &str) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        match write!(self.results, "{text}{end}").and_then(|()| self.results.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Writes a remark. There is nobody left to tell when that fails, so it may.
    pub fn remark(&mut self, text: &str) {
        drop(writeln!(self.remarks, "{text}"));
    }

    /// Says why nothing came of what was asked: in words, or to a script as its one object. Gives how that ends.
    pub fn refuse(&mut self, as_json: bool, exit: Exit, why: &str) -> Exit {
        if !as_json {
            self.remark(why);
            return exit;
        }
        let outcome = match exit {
            Exit::Done => "done",
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Refused => "refused",
            Exit::TimedOut => "timed_out",
            Exit::NoServer => "no_server",
        };
        let object = json!({
            "schema_version": SCHEMA_VERSION, "outcome": outcome, "exit_code": exit as u8, "error": printable(why),
        });
        // Who cannot be written to is told by the exit code alone.
        drop(self.result(&object.to_string()));
        exit
    }

    /// Whether the reader of the results has gone away.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `lines` writes, then fails with `kind`.
    struct Fails {
        lines: usize,
        kind: ErrorKind,
        taken: Vec<u8>,
    }

    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.taken.split(|byte| *byte == b'\n').count() > self.lines {
                return Err(self.kind.into());
            }
            self.taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_gets_nothing_more() {
        let mut pipe = Fails { lines: 1, kind: ErrorKind::BrokenPipe, taken: Vec::new() };
        let mut remarks = Vec::new();
        let mut out = Out::new(&mut pipe, &mut remarks);
        out.result("one").unwrap();
        assert!(!out.is_closed());
        out.result("two").unwrap();
        assert!(out.is_closed());
        out.result("three").unwrap();
        assert_eq!((pipe.taken.as_slice(), remarks.len()), (b"one\n".as_slice(), 0));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut disk = Fails { lines: 0, kind: ErrorKind::StorageFull, taken: Vec::new() };
        let error = Out::new(&mut disk, &mut Vec::new()).result("one").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}

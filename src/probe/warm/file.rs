//! One file on its way into the page cache: its legs, its second reader, and what can befall it meanwhile.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Source;
use super::leg::{Leg, Means, Step};
use super::second::{Next, Second, Trial};
use crate::probe::page_cache::read::identity;
use crate::residency::bytes::Bytes;
use crate::residency::text::printable;
use crate::residency::timing::Clock;

/// Whether a second reader gains on a device, by its number, where that was tried.
pub(super) type Verdicts = HashMap<u64, bool>;

/// A file shorter than this many of the trial's stretches has one reader.
const WORTH: u64 = 4;
/// With nothing left but what the second reader still reads, this long passes between looks at the mail.
const PATIENCE: Duration = Duration::from_millis(20);

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    path: PathBuf,
    size: u64,
    identity: (u64, u64),
    front: Leg,
    /// What is read after `front`, while no second reader has it.
    back: Option<Leg>,
    second: Option<Second>,
    trial: Trial,
}

impl Reading {
    /// Opens it; the errors of this and all others here are words for the user.
    pub(super) fn open(source: &Source, means: Means) -> Result<Reading, String> {
        let (path, size) = (source.path.clone(), source.size.0);
        let opened = Leg::open(&path, size, means).and_then(|leg| {
            let identity = identity(&leg.blob().file.metadata()?);
            Ok((leg, identity))
        });
        let (front, identity) = opened.map_err(|error| no_opening(&path, &error))?;
        let found = front.blob().size;
        if found != size {
            let (found, size) = (in_words(found, size), in_words(size, found));
            return Err(format!("{} has {found}, not the {size} that the model says", name(&path)));
        }
        Ok(Reading { path, size, identity, front, back: None, second: None, trial: Trial::default() })
    }

    /// An error if it is not what it was when it was opened.
    pub(super) fn check(&self) -> Result<(), String> {
        let name = name(&self.path);
        let ours = self.front.blob().file.metadata().map_err(|error| self.no_reading(&error))?;
        let now = match fs::metadata(&self.path) {
            Ok(now) => now,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(format!("{name} was removed while it was read"));
            }
            Err(error) => return Err(self.no_reading(&error)),
        };
        if identity(&now) != self.identity {
            return Err(format!("{name} was replaced while it was read"));
        }
        let size = in_words(ours.len(), self.size);
        match ours.len() {
            shorter if shorter < self.size => Err(format!("{name} was cut to {size} while it was read")),
            longer if longer > self.size => Err(format!("{name} grew to {size} while it was read")),
            _ => Ok(()),
        }
    }

    /// How many threads read it.
    pub(super) fn readers(&self) -> u8 {
        1 + u8::from(self.second.is_some())
    }

    /// Reads or steps over the next of it, and says how long that took; `None` when all of it is through.
    pub(super) fn step(
        &mut self,
        buffer: &mut Vec<u8>,
        verdicts: &mut Verdicts,
        clock: &Clock,
    ) -> Result<Option<(Step, Duration)>, String> {
        let mut step = self.second_reader(verdicts)?;
        let began = clock();
        let two = self.second.is_some();
        let mut patience = Duration::ZERO;
        if self.front.left() > 0 {
            step += self.front.step(buffer).map_err(|error| self.no_reading(&error))?;
        } else if two {
            patience = PATIENCE;
        } else if let Some(back) = self.back.take() {
            self.front = back;
        } else {
            self.check()?;
            return Ok(None);
        }
        if let Some(second) = &self.second {
            let ended = second.ended(patience);
            step += second.news();
            if let Some(ended) = ended {
                self.second = None;
                self.take_back(ended)?;
            }
        }
        let took = clock().since(began.mono);
        self.trial.note(two, step.read, took);
        Ok(Some((step, took)))
    }

    /// Others come first: one thread less, and what is cached is counted anew afterwards.
    pub(super) fn rest(&mut self) -> Step {
        // What went wrong in the second reader goes wrong again in what it leaves.
        let step = self.halt().unwrap_or_default();
        self.front.look_again();
        if let Some(back) = &mut self.back {
            back.look_again();
        }
        step
    }

    /// Begins with a second reader, or ends with it, as the device's verdict and the trial have it.
    fn second_reader(&mut self, verdicts: &mut Verdicts) -> Result<Step, String> {
        let (device, tuning) = (self.identity.0, self.front.means().tuning);
        let next = match verdicts.get(&device) {
            Some(verdict) => Next::Verdict(*verdict),
            None => self.trial.next(tuning.stretch, tuning.gain),
        };
        let wants_two = match next {
            Next::One => false,
            Next::Two => true,
            Next::Verdict(verdict) => {
                verdicts.insert(device, verdict);
                verdict
            }
        };
        if !wants_two {
            return self.halt();
        }
        let is_worth = self.back.is_some() || self.front.left() >= WORTH.saturating_mul(tuning.stretch);
        if self.second.is_none() && is_worth {
            self.begin(verdicts)?;
        }
        Ok(Step::default())
    }

    /// Gives the back of it to a second reader.
    fn begin(&mut self, verdicts: &mut Verdicts) -> Result<(), String> {
        let back = match self.back.take() {
            Some(back) => Some(back),
            None => self.front.split(&self.path).map_err(|error| no_opening(&self.path, &error))?,
        };
        let Some(back) = back else { return Ok(()) };
        let opened = back.blob().file.metadata().map_err(|error| self.no_reading(&error))?;
        if identity(&opened) != self.identity {
            return Err(format!("{} was replaced while it was read", name(&self.path)));
        }
        match Second::spawn(back) {
            Ok(second) => self.second = Some(second),
            Err(back) => {
                self.back = Some(*back);
                verdicts.insert(self.identity.0, false);
            }
        }
        Ok(())
    }

    /// Ends the second reader within its block; gives the last of what it did.
    fn halt(&mut self) -> Result<Step, String> {
        let Some(second) = self.second.take() else { return Ok(Step::default()) };
        let ended = second.halt();
        self.take_back(ended)?;
        Ok(second.news())
    }

    fn take_back(&mut self, ended: io::Result<Leg>) -> Result<(), String> {
        let leg = ended.map_err(|error| self.no_reading(&error))?;
        self.back = (leg.left() > 0).then_some(leg);
        Ok(())
    }

    fn no_reading(&self, error: &io::Error) -> String {
        let name = name(&self.path);
        if error.kind() == ErrorKind::UnexpectedEof {
            let left = self.front.blob().file.metadata().map_or(0, |now| now.len());
            return format!("{name} was cut to {} while it was read", in_words(left, self.size));
        }
        format!("{name} cannot be read: {error}")
    }
}

/// A path that a terminal may be sent.
fn name(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// A size, to the byte where it would else read like the other.
fn in_words(size: u64, other: u64) -> String {
    let (short, others) = (Bytes(size).to_string(), Bytes(other).to_string());
    if short == others { format!("{size} bytes") } else { short }
}

fn no_opening(path: &Path, error: &io::Error) -> String {
    let name = name(path);
    match error.kind() {
        ErrorKind::NotFound => format!("{name} is not there"),
        ErrorKind::PermissionDenied => format!("no permission to read {name}"),
        ErrorKind::InvalidInput => format!("{name} is not a regular file"),
        _ => format!("{name} cannot be opened: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::Tuning;
    use super::super::leg::tests::{BLOCK, Cold, SIZE, cold, means};
    use super::*;
    use crate::residency::timing::Moment;

    #[expect(clippy::disallowed_methods, reason = "the tests' clock")]
    fn clock() -> Clock {
        Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
    }

    fn source(cold: &Cold, size: u64) -> Source {
        Source { digest: "a".to_owned(), path: cold.path.clone(), size: Bytes(size) }
    }

    fn reading(cold: &Cold) -> Reading {
        Reading::open(&source(cold, SIZE), means()).unwrap()
    }

    /// Two readers from the second block on, where the verdict or the trial lets them.
    fn tried(cold: &Cold, gain: f64) -> Reading {
        let tuning = Tuning { stretch: 1, ahead: BLOCK, gain, ..means().tuning };
        Reading::open(&source(cold, SIZE), Means { tuning, ..means() }).unwrap()
    }

    /// A clock that goes on by a millisecond whenever it is asked.
    fn ticking() -> Clock {
        let (began, asked) = (clock()(), AtomicU64::new(0));
        Arc::new(move || {
            let later = Duration::from_millis(asked.fetch_add(1, Ordering::Relaxed));
            Moment { mono: began.mono + later, ..began }
        })
    }

    /// Reads on, at most so many steps; gives what was done, and the most readers seen.
    fn read(reading: &mut Reading, verdicts: &mut Verdicts, steps: usize) -> (Step, u8) {
        let (mut all, mut most, mut buffer, clock) = (Step::default(), 0, Vec::new(), ticking());
        for _ in 0..steps {
            // So that each block comes from the disk, however far the kernel reads ahead.
            let file = &reading.front.blob().file;
            rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let Some((step, _)) = reading.step(&mut buffer, verdicts, &clock).unwrap() else { break };
            all += step;
            most = most.max(reading.readers());
        }
        (all, most)
    }

    type Change<'a> = (&'a dyn Fn(&Cold), &'a str);

    /// What is said when `change` comes after the first block.
    fn said(change: impl Fn(&Cold)) -> String {
        let cold = cold();
        let mut reading = reading(&cold);
        let (mut verdicts, mut buffer) = (Verdicts::new(), Vec::new());
        reading.step(&mut buffer, &mut verdicts, &clock()).unwrap();
        change(&cold);
        let error = (0..999).find_map(|_| match reading.step(&mut buffer, &mut verdicts, &clock()) {
            Ok(Some(_)) => None,
            Ok(None) => Some("nothing".to_owned()),
            Err(why) => Some(why),
        });
        let checked = reading.check().unwrap_err();
        let error = error.unwrap();
        assert_eq!(checked, error, "it is found out before the end too");
        error.strip_prefix(&*cold.path.to_string_lossy()).unwrap().to_owned()
    }

    #[test]
    fn what_befalls_a_file_while_it_is_read_is_told_in_words() {
        let writer = |cold: &Cold| OpenOptions::new().write(true).open(&cold.path).unwrap();
        let cases: [Change; 5] = [
            (&|cold| writer(cold).set_len(2_000_000).unwrap(), " was cut to 2 MB while it was read"),
            (&|cold| writer(cold).set_len(0).unwrap(), " was cut to 0 B while it was read"),
            (&|cold| writer(cold).set_len(SIZE + 1).unwrap(), " grew to 8389843 bytes while it was read"),
            (&|cold| fs::remove_file(&cold.path).unwrap(), " was removed while it was read"),
            (
                &|cold| {
                    let other = cold.directory.path().join("other");
                    fs::write(&other, "new").unwrap();
                    fs::rename(other, &cold.path).unwrap();
                },
                " was replaced while it was read",
            ),
        ];
        for (change, words) in cases {
            assert_eq!(said(change), words);
        }
    }

    #[test]
    fn a_file_of_another_size_is_not_begun() {
        let cold = cold();
        let path = cold.path.display();
        let why = Reading::open(&source(&cold, 20_000_000), means()).unwrap_err();
        assert_eq!(why, format!("{path} has 8 MB, not the 20 MB that the model says"));
        let why = Reading::open(&source(&cold, SIZE - 1), means()).unwrap_err();
        assert_eq!(why, format!("{path} has {SIZE} bytes, not the {} bytes that the model says", SIZE - 1));
    }

    #[test]
    fn a_path_cannot_move_the_cursor() {
        let source = Source { digest: String::new(), path: "/none/\u{1b}[2J".into(), size: Bytes(1) };
        let why = Reading::open(&source, means()).unwrap_err();
        assert_eq!(why, "/none/\u{fffd}[2J is not there");
    }

    #[test]
    fn a_second_reader_that_gains_stays_and_the_device_is_remembered() {
        let (first, second, mut verdicts) = (cold(), cold(), Verdicts::new());
        if !(first.is_on_disk() && second.is_on_disk()) {
            return;
        }
        let mut reading = tried(&first, 0.0);
        let device = reading.identity.0;
        let (step, most) = read(&mut reading, &mut verdicts, usize::MAX);
        assert_eq!((step.there + step.read, most, verdicts.get(&device)), (SIZE, 2, Some(&true)));
        let mut reading = tried(&second, 0.0);
        read(&mut reading, &mut verdicts, 1);
        assert_eq!(reading.readers(), 2, "from the first block on");
    }

    #[test]
    fn a_second_reader_that_does_not_gain_goes_and_none_is_tried_again_there() {
        let (first, second, mut verdicts) = (cold(), cold(), Verdicts::new());
        if !first.is_on_disk() {
            return;
        }
        let mut reading = tried(&first, 1e12);
        let device = reading.identity.0;
        let (step, most) = read(&mut reading, &mut verdicts, usize::MAX);
        assert_eq!((step.there + step.read, most, verdicts.get(&device)), (SIZE, 2, Some(&false)));
        assert_eq!(read(&mut tried(&second, 1e12), &mut verdicts, usize::MAX).1, 1);
    }

    #[test]
    fn a_rest_between_two_readers_loses_nothing() {
        let (cold, mut verdicts) = (cold(), Verdicts::new());
        let mut reading = tried(&cold, 0.0);
        verdicts.insert(reading.identity.0, true);
        let mut all = Step::default();
        for _ in 0..3 {
            all += read(&mut reading, &mut verdicts, 2).0;
            all += reading.rest();
            assert_eq!(reading.readers(), 1);
        }
        all += read(&mut reading, &mut verdicts, usize::MAX).0;
        assert_eq!(all.there + all.read, SIZE);
    }

    #[test]
    fn a_file_that_was_replaced_has_no_second_reader() {
        let (cold, mut verdicts) = (cold(), Verdicts::new());
        let mut reading = tried(&cold, 0.0);
        verdicts.insert(reading.identity.0, true);
        let other = cold.directory.path().join("other");
        fs::write(&other, "new").unwrap();
        fs::rename(other, &cold.path).unwrap();
        let why = reading.step(&mut Vec::new(), &mut verdicts, &clock()).unwrap_err();
        assert!(why.ends_with("was replaced while it was read"), "{why}");
    }
}

//! The reader that brings files into the page cache, on real files.
//!
//! The guard is asked before each block, and the thread waits for its answer: so a test decides between which two
//! blocks something happens, and nothing depends on time.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use resident::probe::page_cache::PageCache;
use resident::probe::warm::{Job, Source, Tuning, Warmer};
use resident::residency::bytes::Bytes;
use resident::residency::timing::{Clock, Moment};
use resident::residency::warm::{Progress, Warming};
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const BLOCK: u64 = 256 << 10;
const SIZE: u64 = 32 * BLOCK + 1234;
/// Names the file for the test that runs as another user.
const FILE: &str = "RESIDENT_TEST_WARM_FILE";

#[expect(clippy::disallowed_methods, reason = "the tests' clock")]
fn clock() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

/// A directory beside the build, since /tmp may be RAM; `None` where the build lies in RAM too: nothing is ever cold
/// there, so nothing would be read.
fn directory() -> Option<TempDir> {
    let directory = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
    let is_ram = [0x0102_1994, 0x8584_58f6].contains(&rustix::fs::statfs(directory.path()).unwrap().f_type);
    (!is_ram).then_some(directory)
}

/// A file on disk and not in the page cache.
fn cold(directory: &TempDir, digest: &str) -> Source {
    let path = directory.path().join(digest);
    fs::write(&path, vec![1; usize::try_from(SIZE).unwrap()]).unwrap();
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    Source { digest: digest.to_owned(), path, size: Bytes(SIZE) }
}

fn job(id: u64, priority: u32, files: &[&Source]) -> Job {
    Job { id, priority, files: files.iter().copied().cloned().collect() }
}

/// Whole percent of the first `length` bytes that can be read without the disk, page by page; asking for a page that
/// is not there makes the kernel read it, so this is asked once.
fn resident_percent(path: &Path, length: u64) -> u64 {
    let file = File::open(path).unwrap();
    fadvise(&file, 0, None, Advice::Random).unwrap();
    let page = rustix::param::page_size() as u64;
    let pages = length.div_ceil(page);
    let is_there = |page_number: &u64| {
        preadv2(&file, &mut [IoSliceMut::new(&mut [0])], page_number * page, ReadWriteFlags::NOWAIT).is_ok()
    };
    (0..pages).filter(is_there).count() as u64 * 100 / pages
}

/// The test's side of the guard.
struct Gate {
    asked: Receiver<()>,
    answer: Sender<Option<String>>,
}

impl Gate {
    /// Waits until the guard is asked.
    fn reached(&self) {
        self.asked.recv().unwrap();
    }

    fn open(&self) {
        self.answer.send(None).unwrap();
    }

    /// Lets so many blocks be read, and waits until the guard is asked before the next.
    fn pass(&self, blocks: usize) {
        self.reached();
        for _ in 0..blocks {
            self.open();
            self.reached();
        }
    }
}

fn tuning() -> Tuning {
    Tuning { block: BLOCK, guard: BLOCK, ..Tuning::default() }
}

/// A warmer that waits for the gate before each block; it is open for good when the gate is gone.
fn gated() -> (Warmer, Gate) {
    let (ask, asked) = channel();
    let (answer, answers) = channel();
    let guard = move || {
        let _ = ask.send(());
        answers.recv().unwrap_or(None)
    };
    let warmer = Warmer::tuned(clock(), CancellationToken::new(), Box::new(guard), tuning());
    (warmer, Gate { asked, answer })
}

fn free() -> Warmer {
    Warmer::tuned(clock(), CancellationToken::new(), Box::new(|| None), tuning())
}

/// Waits until a job is in a state, and gives that.
async fn until(warmer: &Warmer, id: u64, is: impl Fn(&Warming) -> bool) -> Warming {
    let mut progress = warmer.progress.clone();
    progress.wait_for(|all| all.get(&id).is_some_and(&is)).await.unwrap()[&id].clone()
}

async fn over(warmer: &Warmer, id: u64) -> Warming {
    until(warmer, id, Warming::is_over).await
}

async fn done(warmer: &Warmer, id: u64) -> Progress {
    match over(warmer, id).await {
        Warming::Done { progress, .. } => progress,
        other => panic!("{other:?}"),
    }
}

async fn why(warmer: &Warmer, id: u64) -> String {
    match over(warmer, id).await {
        Warming::Failed { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

/// Next to all: other programs and the kernel move pages too.
fn is_most(part: u64, whole: u64) -> bool {
    part * 100 >= whole * 95 && part <= whole
}

#[tokio::test]
async fn a_dropped_file_is_made_resident_and_a_second_time_nothing_is_read() {
    let Some(directory) = directory() else { return };
    let (file, warmer) = (cold(&directory, "a"), free());
    warmer.warm(job(1, 0, &[&file]));
    let first = done(&warmer, 1).await;
    assert!(resident_percent(&file.path, SIZE) >= 95);
    let mut cache = PageCache::spawn(clock(), CancellationToken::new());
    cache.ask(vec![(file.digest.clone(), file.path.clone(), file.size)]);
    let counted =
        cache.readings.wait_for(|all| !all.is_empty()).await.unwrap()["a"].value.cached.bytes().unwrap();
    assert!(is_most(counted.0, SIZE), "{counted:?}");
    let calls = warmer.calls();
    assert!(is_most(first.read.0, SIZE) && calls >= 32, "{first:?} {calls}");
    assert_eq!((first.percent(), first.total, first.readers), (100, Bytes(SIZE), 0));

    warmer.warm(job(2, 0, &[&file]));
    let second = done(&warmer, 2).await;
    assert!(is_most(second.there.0, SIZE) && second.percent() == 100, "{second:?}");
    assert!(warmer.calls() - calls <= 1, "{} calls", warmer.calls() - calls);
}

#[tokio::test]
async fn of_a_half_resident_file_only_the_rest_is_read() {
    let Some(directory) = directory() else { return };
    let (file, warmer) = (cold(&directory, "a"), free());
    let half = File::open(&file.path).unwrap();
    fadvise(&half, 0, None, Advice::Random).unwrap();
    let mut buffer = vec![0; usize::try_from(16 * BLOCK).unwrap()];
    std::os::unix::fs::FileExt::read_exact_at(&half, &mut buffer, 0).unwrap();
    warmer.warm(job(1, 0, &[&file]));
    let progress = done(&warmer, 1).await;
    assert!(is_most(progress.there.0.min(16 * BLOCK), 16 * BLOCK), "{progress:?}");
    assert!(progress.read.0.abs_diff(16 * BLOCK) <= 2 * BLOCK, "{progress:?}");
    assert!((16..=18).contains(&warmer.calls()), "{}", warmer.calls());
    assert!(resident_percent(&file.path, SIZE) >= 95);
}

#[tokio::test]
async fn a_cancelled_job_leaves_what_it_read() {
    let Some(directory) = directory() else { return };
    let (a, b) = (cold(&directory, "a"), cold(&directory, "b"));
    let (warmer, gate) = gated();
    warmer.warm(job(1, 0, &[&a]));
    warmer.warm(job(2, 0, &[&b]));
    gate.pass(4);
    warmer.cancel(1);
    gate.open();
    let Warming::Cancelled(progress) = over(&warmer, 1).await else { panic!("not cancelled") };
    assert_eq!((progress.done(), progress.total), (Bytes(4 * BLOCK), Bytes(SIZE)));
    assert!(resident_percent(&a.path, 4 * BLOCK) >= 95);
    drop(gate);
    assert_eq!(done(&warmer, 2).await.percent(), 100);
}

#[tokio::test]
async fn jobs_are_cancelled_while_one_reads_and_forgotten_one_by_one() {
    let Some(directory) = directory() else { return };
    let file = cold(&directory, "a");
    let (warmer, gate) = gated();
    warmer.warm(job(1, 0, &[&file]));
    warmer.warm(job(2, 0, &[&file]));
    gate.pass(1);
    warmer.cancel(1);
    warmer.cancel(2);
    // One that is not over cannot be forgotten, and one that never was cannot be cancelled.
    warmer.warm(job(3, 0, &[&file]));
    warmer.forget(3);
    warmer.cancel(9);
    drop(gate);
    assert!(matches!(over(&warmer, 1).await, Warming::Cancelled(_)));
    assert_eq!(
        over(&warmer, 2).await,
        Warming::Cancelled(Progress { total: Bytes(SIZE), ..Progress::default() })
    );
    assert_eq!(done(&warmer, 3).await.percent(), 100);
    warmer.forget(1);
    let mut progress = warmer.progress.clone();
    let mut left: Vec<u64> =
        progress.wait_for(|all| !all.contains_key(&1)).await.unwrap().keys().copied().collect();
    left.sort_unstable();
    assert_eq!(left, [2, 3]);
}

#[tokio::test]
async fn a_more_urgent_job_takes_over_and_the_other_goes_on_afterwards() {
    let Some(directory) = directory() else { return };
    let (slow, urgent) = (cold(&directory, "slow"), cold(&directory, "urgent"));
    let (warmer, gate) = gated();
    warmer.warm(job(1, 5, &[&slow]));
    gate.pass(3);
    warmer.warm(job(2, 1, &[&urgent]));
    gate.open();
    // Asked anew, for the other.
    gate.reached();
    assert_eq!(warmer.progress.borrow()[&1], Warming::Waiting);
    while !warmer.progress.borrow()[&2].is_over() {
        assert_eq!(warmer.progress.borrow()[&1], Warming::Waiting);
        gate.open();
        gate.reached();
    }
    assert_eq!(done(&warmer, 2).await.percent(), 100);
    let Warming::Reading(resumed) = warmer.progress.borrow()[&1].clone() else { panic!("not reading") };
    assert!(resumed.done() >= Bytes(3 * BLOCK), "{resumed:?}");
    drop(gate);
    let progress = done(&warmer, 1).await;
    assert_eq!(progress.done(), Bytes(SIZE));
    assert!(resident_percent(&slow.path, SIZE) >= 95);
}

#[tokio::test]
async fn a_waiting_job_that_becomes_more_urgent_takes_over() {
    let Some(directory) = directory() else { return };
    let (a, b) = (cold(&directory, "a"), cold(&directory, "b"));
    let (warmer, gate) = gated();
    warmer.warm(job(1, 5, &[&a]));
    warmer.warm(job(2, 9, &[&b]));
    gate.pass(1);
    warmer.reprioritise(2, 4);
    gate.open();
    gate.reached();
    assert_eq!(warmer.progress.borrow()[&1], Warming::Waiting);
    drop(gate);
    assert_eq!(done(&warmer, 2).await.percent(), 100);
    assert_eq!(done(&warmer, 1).await.percent(), 100);
}

#[tokio::test]
async fn a_pause_stops_the_reading_until_it_ends() {
    let Some(directory) = directory() else { return };
    let file = cold(&directory, "a");
    let (warmer, gate) = gated();
    warmer.warm(job(1, 0, &[&file]));
    gate.pass(2);
    warmer.pause(true);
    gate.open();
    let is_paused = |warming: &Warming| matches!(warming, Warming::Reading(Progress { paused: true, .. }));
    let paused = until(&warmer, 1, is_paused).await;
    assert_eq!(paused.progress().unwrap().done(), Bytes(2 * BLOCK));
    // A job that comes meanwhile waits as well, even if it is more urgent.
    let other = cold(&directory, "b");
    warmer.warm(job(2, 0, &[&other]));
    assert_eq!(until(&warmer, 2, |_| true).await, Warming::Waiting);
    assert_eq!(warmer.calls(), 2);
    warmer.pause(false);
    drop(gate);
    assert_eq!(done(&warmer, 1).await.done(), Bytes(SIZE));
    assert_eq!(done(&warmer, 2).await.done(), Bytes(SIZE));
}

#[tokio::test]
async fn the_guard_stops_a_job_with_its_words_and_the_next_goes_on() {
    let Some(directory) = directory() else { return };
    let (a, b) = (cold(&directory, "a"), cold(&directory, "b"));
    let (warmer, gate) = gated();
    warmer.warm(job(1, 0, &[&a]));
    warmer.warm(job(2, 0, &[&b]));
    gate.pass(2);
    gate.answer.send(Some("memory ran short".to_owned())).unwrap();
    gate.reached();
    let Warming::Failed { why, progress } = over(&warmer, 1).await else { panic!("not failed") };
    assert_eq!((why.as_str(), progress.done()), ("memory ran short", Bytes(2 * BLOCK)));
    drop(gate);
    assert_eq!(done(&warmer, 2).await.percent(), 100);
}

#[tokio::test]
async fn a_job_of_several_files_reads_each_digest_once() {
    let Some(directory) = directory() else { return };
    let (a, b) = (cold(&directory, "a"), cold(&directory, "b"));
    let warmer = free();
    warmer.warm(job(1, 0, &[&a, &b, &a]));
    let progress = done(&warmer, 1).await;
    assert_eq!((progress.total, progress.done()), (Bytes(2 * SIZE), Bytes(2 * SIZE)));
    assert!(warmer.calls() <= 68, "{}", warmer.calls());
    // Again under the same id, and one of no files at all.
    warmer.warm(job(1, 0, &[&a]));
    warmer.warm(job(3, 0, &[]));
    assert_eq!(done(&warmer, 3).await.percent(), 100);
    assert_eq!(done(&warmer, 1).await.total, Bytes(SIZE));
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_next_job_is_read() {
    let Some(directory) = directory() else { return };
    let warmer = free();
    let at = |name: &str| directory.path().join(name);
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    fs::write(at("short"), "short").unwrap();
    let cases: [(PathBuf, &str); 4] = [
        (at("none"), " is not there"),
        (at("fifo"), " is not a regular file"),
        (directory.path().to_owned(), " is not a regular file"),
        (at("short"), " has 5 B, not the 8 MB that the model says"),
    ];
    for (id, (path, words)) in (1..).zip(cases) {
        let source = Source { digest: id.to_string(), path: path.clone(), size: Bytes(SIZE) };
        warmer.warm(job(id, 0, &[&source]));
        let why = why(&warmer, id).await;
        assert!(why.ends_with(words) && why.contains(&*path.to_string_lossy()), "{why}");
    }
    warmer.warm(job(9, 0, &[&cold(&directory, "a")]));
    assert_eq!(done(&warmer, 9).await.percent(), 100);
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_read_ends_its_job_and_no_more() {
    let Some(directory) = directory() else { return };
    let (a, b) = (cold(&directory, "a"), cold(&directory, "b"));
    let (warmer, gate) = gated();
    warmer.warm(job(1, 0, &[&a]));
    gate.pass(2);
    File::options().write(true).open(&a.path).unwrap().set_len(1_000_000).unwrap();
    drop(gate);
    let why = why(&warmer, 1).await;
    assert!(why.ends_with("was cut to 1 MB while it was read"), "{why}");
    warmer.warm(job(2, 0, &[&b]));
    assert_eq!(done(&warmer, 2).await.percent(), 100);
}

#[tokio::test]
async fn the_thread_ends_with_the_last_who_asks_also_while_it_reads() {
    let Some(directory) = directory() else { return };
    let (warmer, gate) = gated();
    warmer.warm(job(1, 0, &[&cold(&directory, "a")]));
    gate.pass(1);
    let mut progress = warmer.progress.clone();
    drop(warmer);
    gate.open();
    while progress.changed().await.is_ok() {}
    assert!(!progress.borrow()[&1].is_over());
}

#[tokio::test]
async fn the_thread_ends_when_all_is_stopped() {
    let stop = CancellationToken::new();
    let warmer = Warmer::spawn(clock(), stop.clone(), Box::new(|| None));
    let mut progress = warmer.progress.clone();
    stop.cancel();
    warmer.pause(false);
    while progress.changed().await.is_ok() {}
}

/// Runs a test of this binary as a user who owns nothing; `None` where that may not be done.
fn as_nobody(test: &str, file: &Path) -> Option<bool> {
    use std::os::unix::process::CommandExt as _;

    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored"]).env(FILE, file).uid(65534).gid(65534);
    command.output().ok().map(|output| output.status.success())
}

#[test]
fn a_file_of_another_user_is_read_if_it_may_be() {
    use std::os::unix::fs::PermissionsExt as _;

    let Some(directory) = directory() else { return };
    let file = cold(&directory, "a").path;
    let open = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    open(0o644);
    let Some(is_read) = as_nobody("probe_warm::as_another_user_it_is_read", &file) else { return };
    assert!(is_read);
    assert!(resident_percent(&file, SIZE) >= 95);
    open(0o600);
    assert_eq!(as_nobody("probe_warm::as_another_user_it_is_refused", &file), Some(true));
}

/// The file that the test which runs this one names; `None` if a person runs it.
fn others() -> Option<Source> {
    Some(Source { digest: "a".to_owned(), path: std::env::var_os(FILE)?.into(), size: Bytes(SIZE) })
}

#[tokio::test]
#[ignore = "run as another user by the test above"]
async fn as_another_user_it_is_read() {
    let (Some(file), warmer) = (others(), free()) else { return };
    assert!(File::options().write(true).open(&file.path).is_err());
    warmer.warm(job(1, 0, &[&file]));
    let progress = done(&warmer, 1).await;
    assert_eq!((progress.done(), warmer.calls()), (Bytes(SIZE), 33));
    assert!(is_most(progress.read.0, SIZE), "{progress:?}");
    warmer.warm(job(2, 0, &[&file]));
    let progress = done(&warmer, 2).await;
    assert!(is_most(progress.there.0, SIZE), "{progress:?}");
}

#[tokio::test]
#[ignore = "run as another user by the test above"]
async fn as_another_user_it_is_refused() {
    let (Some(file), warmer) = (others(), free()) else { return };
    warmer.warm(job(1, 0, &[&file]));
    let why = why(&warmer, 1).await;
    assert!(why.starts_with("no permission to read "), "{why}");
}

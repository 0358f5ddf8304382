//! The journal on real files: two handles stand for two processes, the second for a child that only waits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command as Start, Stdio};

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::*;
use crate::residency::timing::Moment;

#[expect(clippy::disallowed_methods, reason = "the tests' clock")]
fn clock() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Place {
        // Beside the build, since /tmp may be RAM.
        Place(tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("resident").join("journal.sqlite")
    }

    pub(super) fn open(&self) -> Journal {
        Journal::open(&self.path(), clock(), &CancellationToken::new()).unwrap()
    }

    pub(super) fn open_as(&self, other: &Other) -> Journal {
        let pid = other.0.id();
        Journal::open_as(&self.path(), clock(), &CancellationToken::new(), move || Process::of(pid)).unwrap()
    }

    /// A connection beside the journal's.
    pub(super) fn raw(&self) -> Connection {
        let raw = Connection::open(self.path()).unwrap();
        raw.pragma_update(None, "foreign_keys", true).unwrap();
        raw
    }

    /// What lies there, by name.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().parent().unwrap()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A journal that holds some blobs, closed; its rows are those of a dead process.
    async fn filled(&self) {
        let other = Other::new();
        let journal = self.open_as(&other);
        journal.hold((0..200).map(|number| format!("blob-{number}")).collect()).unwrap();
        holding(&journal, 200).await;
        // What is written now stays when it closes.
        let raw = self.raw();
        raw.execute_batch("CREATE TRIGGER stay BEFORE DELETE ON process BEGIN SELECT RAISE(IGNORE); END")
            .unwrap();
        drop(raw);
        journal.close().await;
        self.raw().execute_batch("DROP TRIGGER stay").unwrap();
        assert_eq!(self.names(), ["journal.sqlite", "journal.sqlite.lock"]);
    }
}

/// Another living process.
pub(super) struct Other(Child);

impl Other {
    pub(super) fn new() -> Other {
        Other(Start::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn blobs(digests: &[&str]) -> Vec<String> {
    digests.iter().map(|digest| (*digest).to_owned()).collect()
}

/// The leases in words, once they are as wanted.
async fn seen(journal: &Journal, wanted: &[(&str, u32, bool)]) {
    let mut leases = journal.leases.clone();
    let is_so = |all: &Arc<Vec<Lease>>| {
        all.iter().map(|l| (l.digest.as_str(), l.pid, l.asked_to_let_go)).eq(wanted.iter().copied())
    };
    assert!(leases.wait_for(is_so).await.is_ok(), "{:?}", journal.state);
}

async fn holding(journal: &Journal, count: usize) {
    assert!(journal.leases.clone().wait_for(|all| all.len() == count).await.is_ok(), "{:?}", journal.state);
}

pub(super) async fn opened(journal: &Journal) -> Result<Opened, String> {
    let mut state = journal.state.clone();
    state.wait_for(|state| state.opened.is_some()).await.unwrap().opened.clone().unwrap()
}

async fn moved_aside(place: &Place, ending: &str) -> (String, String) {
    let journal = place.open();
    // Damage deep inside shows at the first reading; both ways it is said once, at the opening.
    let Ok(Opened::MovedAside { to, why }) = opened(&journal).await else {
        panic!("{:?}", journal.state);
    };
    let name = to.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with(&format!("journal.sqlite.{ending}-2")), "{name}");
    assert!(place.names().contains(&name));
    journal.hold(blobs(&["a"])).unwrap();
    seen(&journal, &[("a", std::process::id(), false)]).await;
    journal.close().await;
    (name, why)
}

#[tokio::test]
async fn two_processes_see_what_each_other_holds() {
    let (place, other) = (Place::new(), Other::new());
    let (here, there) = (place.open(), place.open_as(&other));
    let (this, that) = (std::process::id(), other.0.id());
    there.watch(true).unwrap();
    here.hold(blobs(&["b", "a"])).unwrap();
    seen(&there, &[("a", this, false), ("b", this, false)]).await;
    there.hold(blobs(&["c"])).unwrap();
    seen(&here, &[("a", this, false), ("b", this, false), ("c", that, false)]).await;
    here.release(blobs(&["b", "never held"])).unwrap();
    seen(&there, &[("a", this, false), ("c", that, false)]).await;
    here.release(blobs(&["a"])).unwrap();
    seen(&there, &[("c", that, false)]).await;
}

#[tokio::test]
async fn a_hold_said_twice_is_one_hold_since_the_first() {
    let place = Place::new();
    let journal = place.open();
    journal.hold(blobs(&["a", "a"])).unwrap();
    seen(&journal, &[("a", std::process::id(), false)]).await;
    let first = journal.leases.borrow().clone();
    journal.hold(blobs(&["a"])).unwrap();
    // Answered after the hold is written.
    assert_eq!(journal.ask_release(blobs(&["a"])).unwrap().await.unwrap(), Ok(vec![]));
    assert_eq!(*journal.leases.borrow(), first);
    let rows: i64 = place.raw().query_row("SELECT count(*) FROM lease", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn who_is_asked_to_let_go_sees_it_and_its_next_hold_is_not_asked_for() {
    let (place, other) = (Place::new(), Other::new());
    let (asker, holder) = (place.open(), place.open_as(&other));
    let (this, that) = (std::process::id(), other.0.id());
    asker.watch(true).unwrap();
    asker.hold(blobs(&["a"])).unwrap();
    holder.hold(blobs(&["a", "b"])).unwrap();
    seen(&asker, &[("a", this, false), ("a", that, false), ("b", that, false)]).await;
    let answer = asker.ask_release(blobs(&["a", "nobody's"])).unwrap().await.unwrap();
    assert_eq!(answer, Ok(vec![that]));
    seen(&holder, &[("a", this, false), ("a", that, true), ("b", that, false)]).await;
    holder.hold(blobs(&["a"])).unwrap();
    holder.release(blobs(&["a"])).unwrap();
    seen(&asker, &[("a", this, false), ("b", that, false)]).await;
    holder.hold(blobs(&["a"])).unwrap();
    seen(&asker, &[("a", this, false), ("a", that, false), ("b", that, false)]).await;
}

#[tokio::test]
async fn stop_and_the_last_handles_end_give_up_what_is_held() {
    let (place, other, stop) = (Place::new(), Other::new(), CancellationToken::new());
    let watcher = place.open_as(&other);
    watcher.watch(true).unwrap();
    let journal = Journal::open(&place.path(), clock(), &stop).unwrap();
    journal.hold(blobs(&["a"])).unwrap();
    holding(&watcher, 1).await;
    stop.cancel();
    holding(&watcher, 0).await;
    let mut leases = journal.leases.clone();
    while leases.changed().await.is_ok() {}
    assert_eq!(journal.hold(blobs(&["a"])), Err(NotTaken::Gone));

    let journal = place.open();
    let second = journal.clone();
    journal.hold(blobs(&["b"])).unwrap();
    holding(&watcher, 1).await;
    drop(journal);
    second.hold(blobs(&["c"])).unwrap();
    holding(&watcher, 2).await;
    drop(second);
    holding(&watcher, 0).await;
}

#[tokio::test]
async fn rows_of_the_dead_do_not_count_and_go() {
    let place = Place::new();
    opened(&place.open()).await.unwrap();
    let other = Other::new();
    let living = Process::of(other.0.id()).unwrap();
    let raw = place.raw();
    let strangers = [
        ("a pid given to another since", &living.boot[..], living.pid, living.started - 1),
        ("an earlier start of the machine", "earlier", living.pid, living.started),
        ("a pid that is gone", &living.boot, u32::MAX, living.started),
        ("a living one", &living.boot, living.pid, living.started),
    ];
    for (digest, boot, pid, started) in strangers {
        raw.execute(
            "INSERT INTO process (boot, pid, started) VALUES (?1, ?2, ?3)",
            params![boot, pid, started],
        )
        .unwrap();
        let row = raw.last_insert_rowid();
        raw.execute("INSERT INTO lease VALUES (?1, ?2, 0, 0)", params![row, digest]).unwrap();
    }
    let journal = place.open();
    seen(&journal, &[("a living one", living.pid, false)]).await;
    opened(&journal).await.unwrap();
    let left: Vec<String> = raw
        .prepare("SELECT digest FROM lease")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(left, ["a living one"]);
    // The file does not change when it dies.
    journal.watch(true).unwrap();
    drop(other);
    holding(&journal, 0).await;
}

#[tokio::test]
async fn a_fresh_file_is_its_owners_alone() {
    let place = Place::new();
    let journal = place.open();
    assert_eq!(opened(&journal).await, Ok(Opened::Fresh));
    journal.hold(blobs(&["a"])).unwrap();
    holding(&journal, 1).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = place.path().parent().unwrap().to_owned();
    assert_eq!(mode(&folder), 0o700);
    let names = place.names();
    assert_eq!(names, ["journal.sqlite", "journal.sqlite-shm", "journal.sqlite-wal", "journal.sqlite.lock"]);
    for name in names {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
    }
    journal.close().await;
    assert_eq!(opened(&place.open()).await, Ok(Opened::Existing));
}

#[tokio::test]
async fn the_file_says_what_it_is() {
    let place = Place::new();
    opened(&place.open()).await.unwrap();
    let raw = place.raw();
    let number = |name: &str| raw.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((number("application_id"), number("user_version")), (0x7273_6474, 7));
    let mode: String = raw.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_file_that_is_none_is_moved_aside() {
    let place = Place::new();
    fs::create_dir(place.path().parent().unwrap()).unwrap();
    let noise: Vec<u8> = (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs::write(place.path(), &noise).unwrap();
    let (name, why) = moved_aside(&place, "corrupt").await;
    assert_eq!(why, "file is not a database");
    assert_eq!(fs::read(place.path().with_file_name(name)).unwrap(), noise);
    // A second one in the same second gets another name.
    fs::write(place.path(), &noise).unwrap();
    moved_aside(&place, "corrupt").await;
}

#[tokio::test]
async fn a_cut_journal_is_moved_aside() {
    for keep in [100, 4096, 6000] {
        let place = Place::new();
        place.filled().await;
        fs::OpenOptions::new().write(true).open(place.path()).unwrap().set_len(keep).unwrap();
        moved_aside(&place, "corrupt").await;
    }
}

#[tokio::test]
async fn damage_behind_a_good_head_is_found_and_moved_aside() {
    let place = Place::new();
    place.filled().await;
    let mut bytes = fs::read(place.path()).unwrap();
    assert!(bytes.len() > 8192);
    bytes[4096..].fill(0xa5);
    fs::write(place.path(), bytes).unwrap();
    moved_aside(&place, "corrupt").await;
}

#[tokio::test]
async fn another_programs_database_is_moved_aside() {
    let place = Place::new();
    fs::create_dir(place.path().parent().unwrap()).unwrap();
    place.raw().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let (_, why) = moved_aside(&place, "corrupt").await;
    assert_eq!(why, "it is no journal of resident");
}

#[tokio::test]
async fn a_newer_journal_is_moved_aside_whole_unless_it_is_in_use() {
    let place = Place::new();
    place.filled().await;
    let newer = place.raw();
    newer.pragma_update(None, "user_version", 8).unwrap();
    let journal = place.open();
    let why = opened(&journal).await.unwrap_err();
    assert!(why.contains("a newer resident is using it (version 8; this one knows "), "{why}");
    assert_eq!(journal.hold(blobs(&["a"])), Err(NotTaken::Gone));
    let rows = |raw: &Connection| {
        raw.query_row("SELECT count(*) FROM lease", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(rows(&newer), 200);

    drop(newer);
    let (name, why) = moved_aside(&place, "newer").await;
    assert!(why.starts_with("it is of version 8, and this resident knows "), "{why}");
    let aside = Connection::open(place.path().with_file_name(name)).unwrap();
    assert_eq!(rows(&aside), 200);
}

#[tokio::test]
async fn where_no_file_can_be_there_is_no_journal_and_the_reason() {
    let place = Place::new();
    fs::write(place.path().parent().unwrap(), "a file").unwrap();
    let nowhere = Path::new("/sys/resident/journal.sqlite");
    let in_the_way = Place::new();
    fs::create_dir_all(in_the_way.path()).unwrap();
    for path in [&place.path(), nowhere, &in_the_way.path()] {
        let journal = Journal::open(path, clock(), &CancellationToken::new()).unwrap();
        let why = opened(&journal).await.unwrap_err();
        assert!(why.starts_with(&format!("no journal: {}: ", path.display())), "{why}");
        assert_eq!(journal.watch(true), Err(NotTaken::Gone));
        journal.close().await;
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_never_waits() {
    let place = Place::new();
    let journal = place.open();
    opened(&journal).await.unwrap();
    let raw = place.raw();
    // The thread waits for this one to end.
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut taken = 0;
    let refused = loop {
        match journal.hold(vec![format!("blob-{taken}")]) {
            Ok(()) => taken += 1,
            Err(why) => break why,
        }
    };
    assert_eq!(refused, NotTaken::Full);
    assert!(taken >= QUEUE);
    raw.execute_batch("COMMIT").unwrap();
    holding(&journal, taken).await;
}

#[tokio::test]
async fn what_is_held_is_said_again_in_the_file_that_takes_the_place_of_a_moved_one() {
    let (place, other) = (Place::new(), Other::new());
    let holder = place.open();
    holder.hold(blobs(&["a"])).unwrap();
    holding(&holder, 1).await;
    let aside = place.path().with_file_name("aside");
    for end in ["-wal", "-shm", ""] {
        let named = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        fs::rename(named(&place.path()), named(&aside)).unwrap();
    }
    let second = place.open_as(&other);
    second.watch(true).unwrap();
    seen(&second, &[("a", std::process::id(), false)]).await;
    holder.release(blobs(&["a"])).unwrap();
    holding(&second, 0).await;
}

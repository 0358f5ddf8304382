//! The journal between real processes: this test binary starts itself, and kills what it started.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use resident::journal::history::{self, Kind, Query};
use resident::journal::{self, Journal, Opened, Seen, State};
use resident::residency::bytes::Bytes;
use resident::residency::guard::claim::{Claim, Idle, Onlooker};
use resident::residency::host::LoadMode;
use resident::residency::name::ModelName;
use resident::residency::record::{Happened, Past, Record, SwapRecord};
use resident::residency::swap::{Before, Ended, Stages, Way};
use resident::residency::timing::{Clock, Moment};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What a child is to do, and with which file.
const DO: &str = "RESIDENT_TEST_JOURNAL_DO";
const FILE: &str = "RESIDENT_TEST_JOURNAL_FILE";
/// The server that is written of.
const SERVER: &str = "http://127.0.0.1:11434";
/// What a child says begins with this: the test runner says things too.
const MARK: &str = "journal: ";

#[expect(clippy::disallowed_methods, reason = "the tests' clock")]
fn clock() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

fn open(path: &Path) -> Journal {
    Journal::open(path, clock(), &CancellationToken::new()).unwrap()
}

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        // Beside the build, since /tmp may be RAM.
        Place(tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal.sqlite")
    }

    fn start(&self, what: &str) -> Another {
        self.start_by(what, Command::new(std::env::current_exe().unwrap())).unwrap()
    }

    fn start_by(&self, what: &str, mut program: Command) -> io::Result<Another> {
        let mut child = program
            .args(["--exact", "journal::another_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(DO, what)
            .env(FILE, self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = BufReader::new(child.stdout.take().unwrap());
        Ok(Another { child, out })
    }
}

/// Another process with a journal.
struct Another {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Another {
    /// The next thing it says; `None` if it ended.
    fn says(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            // The runner begins a line that the child then ends.
            if let Some(at) = line.find(MARK) {
                return Some(line[at + MARK.len()..].trim().to_owned());
            }
            line.clear();
        }
        None
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{MARK}{what}").unwrap();
    out.flush().unwrap();
}

fn time(second: i64) -> jiff::Timestamp {
    // Later than any clock that this runs by: what is too old is not kept.
    jiff::Timestamp::from_second(4_070_908_800 + second).unwrap()
}

/// A swap that was asked for in a second.
fn swap(second: i64) -> Record {
    let what = Happened::Swap(SwapRecord {
        model: ModelName::parse("qwen2.5-coder:7b").unwrap(),
        ours: true,
        displaced: Some(vec![ModelName::parse("deepseek-r1:14b").unwrap()]),
        before: Before { whole: Bytes(4_700_000_000), in_vram: false, ram: Some(Bytes(12)), estimate: true },
        way: Way::Beside,
        mode: LoadMode::Buffered,
        num_ctx: Some(8192),
        stages: Stages { total: Some(Duration::from_millis(1234)), ..Stages::default() },
        ended: Ended::Ready,
    });
    Record { at: time(second), server: SERVER.to_owned(), what }
}

async fn opened(journal: &Journal) -> Result<Opened, String> {
    let mut state = journal.state.clone();
    state.wait_for(|state| state.opened.is_some()).await.unwrap().opened.clone().unwrap()
}

async fn holders(journal: &Journal, mut wanted: Vec<u32>) {
    wanted.sort_unstable();
    let mut leases = journal.leases.clone();
    let held = leases.wait_for(|all| {
        let mut pids: Vec<u32> = all.iter().map(|lease| lease.pid).collect();
        pids.sort_unstable();
        pids == wanted
    });
    assert!(held.await.is_ok(), "{:?}", journal.state);
}

/// What the child does. Started alone it does nothing.
#[tokio::test]
#[ignore = "the other tests start it"]
async fn another_process() {
    let (Ok(what), Some(path)) = (std::env::var(DO), std::env::var_os(FILE)) else { return };
    let path = PathBuf::from(path);
    match what.as_str() {
        "hold" => {
            let journal = open(&path);
            journal.hold(vec!["blob".to_owned()]).unwrap();
            let us = std::process::id();
            let mut leases = journal.leases.clone();
            let held = leases.wait_for(|all| all.iter().any(|lease| lease.pid == us)).await.is_ok();
            say(if held { "held" } else { "not held" });
            let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
            journal.close().await;
        }
        "hold ever more" => {
            let journal = open(&path);
            for count in 1.. {
                journal.hold(vec![format!("blob-{count}")]).unwrap();
                journal.leases.clone().wait_for(|all| all.len() == count).await.unwrap();
                say(&format!("blob-{count}"));
            }
        }
        "keep" => {
            let journal = open(&path);
            journal.keep(SERVER, Claim::All).unwrap();
            journal.state.clone().wait_for(|state| state.roles.acts && state.roles.records).await.unwrap();
            say("keeps");
            let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
        }
        "record ever more" => {
            let journal = open(&path);
            journal.recall(SERVER, jiff::tz::TimeZone::UTC).unwrap();
            for second in 1.. {
                journal.record(vec![swap(second)]).unwrap();
                let is_written =
                    |past: &Arc<Past>| past.swaps.first().is_some_and(|(at, _)| *at == time(second));
                journal.past.clone().wait_for(is_written).await.unwrap();
                say(&second.to_string());
            }
        }
        _ => {
            let journal = open(&path);
            let said = match opened(&journal).await {
                Ok(_) => "opened".to_owned(),
                Err(why) => why,
            };
            say(&said);
        }
    }
}

#[tokio::test]
async fn a_killed_process_holds_nothing() {
    let place = Place::new();
    let mut other = place.start("hold");
    assert_eq!(other.says().unwrap(), "held");
    let journal = open(&place.path());
    journal.watch(true).unwrap();
    holders(&journal, vec![other.child.id()]).await;
    other.child.kill().unwrap();
    // Not waited for: dead, but its pid is still its own.
    holders(&journal, vec![]).await;
    journal.close().await;
    let raw = Connection::open(place.path()).unwrap();
    let left: i64 = raw.query_row("SELECT count(*) FROM process", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_process_that_ends_lets_go_first() {
    let place = Place::new();
    let mut other = place.start("hold");
    assert_eq!(other.says().unwrap(), "held");
    drop(other.child.stdin.take());
    assert!(other.child.wait().unwrap().success());
    let raw = Connection::open(place.path()).unwrap();
    let left: i64 = raw.query_row("SELECT count(*) FROM process", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn all_that_was_said_to_be_held_is_in_the_file_after_a_kill() {
    for lines in [1, 7, 40] {
        let place = Place::new();
        let mut other = place.start("hold ever more");
        let mut said: Vec<String> = (0..lines).map(|_| other.says().unwrap()).collect();
        // It writes on all the while.
        other.child.kill().unwrap();
        said.extend(std::iter::from_fn(|| other.says()));
        other.child.wait().unwrap();
        let raw = Connection::open(place.path()).unwrap();
        let sound: String = raw.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let mut statement = raw.prepare("SELECT digest FROM lease").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        let rows: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
        assert!(said.iter().all(|digest| rows.contains(digest)), "{said:?}\n{rows:?}");
        assert_eq!(opened(&open(&place.path())).await, Ok(Opened::Existing));
    }
}

#[tokio::test]
async fn all_that_was_said_to_be_recorded_is_read_after_a_kill() {
    for lines in [1, 7, 40] {
        let place = Place::new();
        let mut other = place.start("record ever more");
        let mut said: Vec<String> = (0..lines).map(|_| other.says().unwrap()).collect();
        // It writes on all the while; this is SIGKILL.
        other.child.kill().unwrap();
        said.extend(std::iter::from_fn(|| other.says()));
        other.child.wait().unwrap();
        let query = Query {
            server: SERVER.to_owned(),
            models: Vec::new(),
            since: None,
            kind: Kind::Swaps,
            limit: usize::MAX,
        };
        let records = history::records(&place.path(), query).unwrap().await.unwrap().unwrap();
        let expected = |second: &String| swap(second.parse().unwrap());
        assert!(said.iter().all(|second| records.contains(&expected(second))), "{said:?}\n{records:?}");
        let raw = Connection::open(place.path()).unwrap();
        let sound: String = raw.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        assert_eq!(opened(&open(&place.path())).await, Ok(Opened::Existing));
    }
}

/// The pid of the keeper of a server, as who only looks sees it.
fn keeper(place: &Place, server: &str) -> Option<u32> {
    journal::roles(&place.path(), server).keeper
}

#[tokio::test]
async fn the_keeper_that_is_killed_has_a_successor_in_both_roles() {
    let place = Place::new();
    assert_eq!(journal::roles(&place.path(), SERVER), Seen::default());
    let mut other = place.start("keep");
    assert_eq!(other.says().unwrap(), "keeps");
    assert_eq!(keeper(&place, SERVER), Some(other.child.id()));
    assert_eq!(keeper(&place, "another server"), None);
    let journal = open(&place.path());
    journal.keep(SERVER, Claim::All).unwrap();
    let knows = |state: &State| state.roles.keeper == Some(other.child.id());
    journal.state.clone().wait_for(knows).await.unwrap();
    let roles = journal.state.borrow().roles.clone();
    assert!(!roles.acts && !roles.records && !roles.is_next, "{roles:?}");
    other.child.kill().unwrap();
    journal.state.clone().wait_for(|state| state.roles.acts && state.roles.records).await.unwrap();
    assert_eq!(keeper(&place, SERVER), Some(std::process::id()));
    journal.close().await;
    assert_eq!(journal::roles(&place.path(), SERVER), Seen::default(), "it lives, and has no role");
}

#[tokio::test]
async fn who_may_not_act_records_and_says_why_while_another_acts_and_gives_back() {
    let place = Place::new();
    let (first, second) = (open(&place.path()), open(&place.path()));
    let pid = std::process::id();
    let looks_on = |why| Seen { keeper: None, idle: Some(Onlooker { pid, why }) };
    first.keep(SERVER, Claim::Nothing(Idle::ReadOnly)).unwrap();
    first.state.clone().wait_for(|state| state.roles.records).await.unwrap();
    assert_eq!(journal::roles(&place.path(), SERVER), looks_on(Idle::ReadOnly));
    second.keep(SERVER, Claim::All).unwrap();
    second.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
    assert!(!second.state.borrow().roles.records, "the other one does");
    assert_eq!(journal::roles(&place.path(), SERVER), Seen { keeper: Some(pid), idle: None });
    first.keep(SERVER, Claim::All).unwrap();
    second.keep(SERVER, Claim::Nothing(Idle::HandsOff)).unwrap();
    first.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
    second.state.clone().wait_for(|state| !state.roles.acts).await.unwrap();
    second.keep(SERVER, Claim::All).unwrap();
    first.keep(SERVER, Claim::Nothing(Idle::HandsOff)).unwrap();
    second.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
    second.close().await;
    first.state.clone().wait_for(|state| state.roles.keeper.is_none()).await.unwrap();
    assert_eq!(journal::roles(&place.path(), SERVER), looks_on(Idle::HandsOff));
}

#[tokio::test]
async fn who_only_enforces_pins_made_by_hand_makes_way_for_one_whose_config_says_more() {
    let place = Place::new();
    let (less, more) = (open(&place.path()), open(&place.path()));
    less.keep(SERVER, Claim::Pins).unwrap();
    less.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
    more.keep(SERVER, Claim::All).unwrap();
    more.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
    assert!(!less.state.borrow().roles.acts, "it said so before it gave the role back");
    more.close().await;
    less.state.clone().wait_for(|state| state.roles.acts).await.unwrap();
}

#[tokio::test]
async fn processes_that_begin_at_once_share_one_fresh_file() {
    for damaged in [false, true] {
        let place = Place::new();
        if damaged {
            fs::write(place.path(), [0xa5; 10_000]).unwrap();
        }
        let mut others: Vec<Another> = (0..4).map(|_| place.start("hold")).collect();
        for other in &mut others {
            assert_eq!(other.says().unwrap(), "held");
        }
        let journal = open(&place.path());
        assert_eq!(opened(&journal).await, Ok(Opened::Existing));
        holders(&journal, others.iter().map(|other| other.child.id()).collect()).await;
        let names = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = names.filter(|name| name.to_str().unwrap().contains("corrupt")).count();
        assert_eq!(aside, usize::from(damaged));
    }
}

#[tokio::test]
async fn a_journal_that_lacks_a_column_is_moved_aside_and_a_fresh_one_takes_what_happened() {
    let place = Place::new();
    let journal = open(&place.path());
    assert_eq!(opened(&journal).await, Ok(Opened::Fresh));
    journal.close().await;
    // As a byte that was flipped would have it: no check of the file finds that.
    let raw = Connection::open(place.path()).unwrap();
    raw.execute_batch("ALTER TABLE swap RENAME COLUMN server_load TO servdr_load").unwrap();
    raw.close().unwrap();
    let journal = open(&place.path());
    assert_eq!(opened(&journal).await, Ok(Opened::Existing));
    journal.record(vec![swap(0)]).unwrap();
    let mut state = journal.state.clone();
    let is_aside = |state: &journal::State| matches!(state.opened, Some(Ok(Opened::MovedAside { .. })));
    let state = state.wait_for(is_aside).await.unwrap().clone();
    let Some(Ok(Opened::MovedAside { why, .. })) = state.opened else { panic!("{state:?}") };
    assert_eq!((why.as_str(), state.trouble), ("its tables are not those of a journal", None));
    journal.close().await;
    let query = Query { server: SERVER.to_owned(), models: vec![], since: None, kind: Kind::Swaps, limit: 9 };
    let found = history::records(&place.path(), query).unwrap().await.unwrap().unwrap();
    assert_eq!(found, [swap(0)]);
}

#[tokio::test]
async fn a_directory_or_file_that_may_not_be_written_is_said() {
    let place = Place::new();
    let folder = place.0.path();
    let mode = |path: &Path, bits| fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
    let is_root = fs::metadata(folder).is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    // Root may write anywhere; then somebody else tries, with a program that they can read.
    let program = folder.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    let attempt = || {
        let mut program = Command::new(&program);
        if is_root {
            program.uid(65534).gid(65534);
        }
        place.start_by("open", program).map(|mut child| child.says().unwrap())
    };
    mode(folder, 0o555);
    let why = match attempt() {
        // The build lies where nobody else may go.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_root => return,
        said => said.unwrap(),
    };
    assert!(why.starts_with("no journal: ") && why.ends_with("Permission denied (os error 13)"), "{why}");

    mode(folder, 0o755);
    let journal = open(&place.path());
    opened(&journal).await.unwrap();
    journal.close().await;
    for name in ["journal.sqlite", "journal.sqlite.lock"] {
        mode(&folder.join(name), if name.ends_with("lock") { 0o666 } else { 0o444 });
    }
    mode(folder, 0o555);
    let why = attempt().unwrap();
    assert!(why.starts_with("no journal: ") && why.ends_with("readonly database"), "{why}");
    mode(folder, 0o755);
}

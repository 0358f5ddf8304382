//! Holding and dropping real files, as ourselves and as another user.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resident::probe::evict::{self, Evicted};
use resident::probe::hold::{Gate, Holder, lock_limit};
use resident::probe::page_cache::PageCache;
use resident::residency::bytes::{Bytes, MIB};
use resident::residency::hold::{Held, How};
use resident::residency::tier::Cached;
use resident::residency::timing::{Clock, Moment};
use rustix::fs::{Advice, fadvise};
use rustix::process::{Resource, Rlimit, setrlimit};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::other_user;

/// Not a whole number of pages.
const SIZE: u64 = 4 * MIB + 1234;
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "the tests' clock")]
fn clock() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

/// A file on disk, written and not in RAM.
fn cold(directory: &TempDir, name: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, vec![1; usize::try_from(SIZE).unwrap()]).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    File::open(&path).unwrap().sync_all().unwrap();
    drop_pages(&path);
    path
}

fn drop_pages(path: &Path) {
    fadvise(File::open(path).unwrap(), 0, None, Advice::DontNeed).unwrap();
}

/// Whether files there can be cold: not where they are RAM, or lie in a container's image.
fn can_be_cold(path: &Path) -> bool {
    ![0x0102_1994, 0x8584_58f6, 0x794c_7630, 0x2fc1_2fc1].contains(&rustix::fs::statfs(path).unwrap().f_type)
}

/// Most of it: other programs and the kernel move pages too.
fn is_most(bytes: Bytes) -> bool {
    bytes.percent_of(Bytes(SIZE)) >= 95 && bytes <= Bytes(SIZE)
}

fn is_little(bytes: Bytes) -> bool {
    bytes.percent_of(Bytes(SIZE)) <= 5
}

/// What the page-cache probe says, which knows nothing of holding.
async fn cached(path: &Path) -> Cached {
    let mut cache = PageCache::spawn(clock(), CancellationToken::new());
    cache.ask(vec![("a".to_owned(), path.to_owned(), Bytes(SIZE))]);
    let all = cache.readings.wait_for(|all| all.contains_key("a")).await.unwrap();
    all["a"].value.cached.clone()
}

fn holder(gate: Gate) -> Holder {
    Holder::spawn(clock(), CancellationToken::new(), gate)
}

fn open_gate() -> Gate {
    Box::new(|| None)
}

/// Waits until what is held as `a` is so.
async fn until(holder: &mut Holder, is_so: impl Fn(&Held) -> bool) -> Held {
    let all = holder.readings.wait_for(|all| all.get("a").is_some_and(|held| is_so(&held.value)));
    let all = tokio::time::timeout(PATIENCE, all).await.expect("it never comes to that").unwrap();
    all["a"].value.clone()
}

async fn until_gone(holder: &mut Holder) {
    let all = holder.readings.wait_for(|all| all.is_empty());
    tokio::time::timeout(PATIENCE, all).await.expect("it is never let go").unwrap();
}

async fn held(holder: &mut Holder, path: &Path, how: How) -> Held {
    holder.hold("a".to_owned(), path.to_owned(), how);
    until(holder, |held| is_most(held.resident)).await
}

async fn dropped(path: &Path) -> Evicted {
    let files = vec![("a".to_owned(), path.to_owned(), Bytes(SIZE))];
    evict::spawn(files, clock()).await.unwrap().remove(0)
}

#[tokio::test]
async fn a_held_file_survives_a_drop_and_leaves_once_it_is_released() {
    let directory = other_user::directory();
    let path = cold(&directory, "a");
    let mut holder = holder(open_gate());
    let seen = held(&mut holder, &path, How::Map).await;
    let whole = Held { size: Bytes(SIZE), resident: seen.resident, ..Held::new(How::Map) };
    assert_eq!(seen, whole);
    drop_pages(&path);
    assert!(is_most(cached(&path).await.bytes().unwrap()));
    holder.release("a");
    until_gone(&mut holder).await;
    drop_pages(&path);
    assert!(!can_be_cold(&path) || is_little(cached(&path).await.bytes().unwrap()));
}

#[tokio::test]
async fn nothing_is_populated_while_the_gate_is_closed_and_fading_says_why() {
    let directory = other_user::directory();
    let path = cold(&directory, "a");
    let open = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&open);
    let gate = move || (!state.load(Ordering::Relaxed)).then(|| "memory pressure 12 %".to_owned());
    let mut holder = holder(Box::new(gate));
    holder.hold("a".to_owned(), path.clone(), How::Lock);
    let fading = until(&mut holder, |held| held.fading.is_some()).await;
    let why = Some("memory pressure 12 %".to_owned());
    assert_eq!(fading, Held { size: Bytes(SIZE), fading: why, ..Held::new(How::Lock) });
    assert!(!can_be_cold(&path) || is_little(cached(&path).await.bytes().unwrap()));

    open.store(true, Ordering::Relaxed);
    holder.check();
    assert_eq!(until(&mut holder, |held| is_most(held.resident)).await.fading, None);

    // What is there stays mapped, and is still measured.
    open.store(false, Ordering::Relaxed);
    holder.hold("a".to_owned(), path, How::Map);
    let fading = until(&mut holder, |held| held.fading.is_some()).await;
    assert!(is_most(fading.resident), "{fading:?}");
}

#[tokio::test]
async fn two_holds_of_a_digest_are_one_and_can_change_how() {
    let directory = other_user::directory();
    let path = cold(&directory, "a");
    let mut holder = holder(open_gate());
    held(&mut holder, &path, How::Map).await;
    holder.hold("a".to_owned(), path.clone(), How::Map);
    holder.hold("a".to_owned(), path.clone(), How::Lock);
    let locked =
        until(&mut holder, |held| held.how == How::Lock && (held.locked.0 > 0 || held.trouble.is_some()));
    let locked = locked.await;
    match lock_limit() {
        Some(limit) if limit < Bytes(2 * SIZE) => assert!(locked.locked <= limit, "{locked:?}"),
        _ => assert_eq!((locked.locked, locked.trouble), (Bytes(SIZE), None)),
    }
    holder.hold("a".to_owned(), path, How::Map);
    let mapped = until(&mut holder, |held| held.how == How::Map).await;
    assert!(mapped.locked == Bytes::ZERO && is_most(mapped.resident), "{mapped:?}");
    assert_eq!(holder.readings.borrow().len(), 1);
    holder.release("a");
    until_gone(&mut holder).await;
}

#[tokio::test]
async fn a_file_that_is_cut_while_held_is_said_and_kills_nobody() {
    let directory = other_user::directory();
    for how in [How::Map, How::Lock] {
        let path = cold(&directory, "a");
        let mut holder = holder(open_gate());
        held(&mut holder, &path, how).await;
        let writer = File::options().write(true).open(&path).unwrap();
        writer.set_len(MIB).unwrap();
        holder.check();
        let cut =
            until(&mut holder, |held| held.trouble.as_ref().is_some_and(|why| why.contains("cut"))).await;
        let why = "the file was cut from 4 MB to 1 MB: hold it again";
        assert_eq!(cut.trouble.as_deref(), Some(why));
        assert!(cut.resident <= Bytes(MIB), "{cut:?}");

        holder.hold("a".to_owned(), path.clone(), how);
        until(&mut holder, |held| held.size == Bytes(MIB) && held.resident > Bytes::ZERO).await;
        writer.write_all_at(b"more", SIZE).unwrap();
        holder.check();
        until(&mut holder, |held| held.trouble.as_ref().is_some_and(|why| why.contains("grew"))).await;
        fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_removed_moved_or_replaced_is_let_go_with_the_reason() {
    type Act<'a> = &'a dyn Fn(&Path);
    let directory = other_user::directory();
    let (beside, other) = (directory.path().join("beside"), directory.path().join("other"));
    let replace = |path: &Path| {
        fs::hard_link(path, &other).unwrap();
        fs::rename(cold(&directory, "new"), path).unwrap();
    };
    let cases: [(&str, Act); 3] = [
        ("the file was removed, and is released so that its disk space is free", &|path| {
            fs::remove_file(path).unwrap();
        }),
        ("the file was moved away, and is released", &|path| fs::rename(path, &beside).unwrap()),
        ("another file lies in its place, and the old one is released: hold it again", &replace),
    ];
    for (why, act) in cases {
        let path = cold(&directory, "a");
        let mut holder = holder(open_gate());
        held(&mut holder, &path, How::Map).await;
        act(&path);
        holder.check();
        let lost = until(&mut holder, |held| held.trouble.is_some()).await;
        let size = Bytes(SIZE);
        assert_eq!(lost, Held { size, trouble: Some(why.to_owned()), ..Held::new(How::Map) });
        assert!(!fs::read_to_string("/proc/self/maps").unwrap().contains(path.to_str().unwrap()));
        if path.exists() {
            let again = held(&mut holder, &path, How::Map).await;
            assert_eq!(again.trouble, None);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_held_says_why() {
    let directory = other_user::directory();
    let empty = directory.path().join("empty");
    File::create(&empty).unwrap();
    let missing = directory.path().join("missing");
    let mut holder = holder(open_gate());
    for (path, why) in [
        (missing.as_path(), "the file is not on this machine"),
        (directory.path(), "not a regular file"),
        (empty.as_path(), "the file is empty"),
    ] {
        holder.hold("a".to_owned(), path.to_owned(), How::Map);
        let refused = Held { trouble: Some(why.to_owned()), ..Held::new(How::Map) };
        until(&mut holder, |held| *held == refused).await;
    }
}

#[tokio::test]
async fn each_is_let_go_by_its_name_and_the_last_handle_takes_everything_with_it() {
    let directory = other_user::directory();
    let (path, other) = (cold(&directory, "a"), cold(&directory, "b"));
    let mut holder = holder(open_gate());
    holder.hold("b".to_owned(), other, How::Map);
    held(&mut holder, &path, How::Map).await;
    holder.release("b");
    holder.release("a");
    until_gone(&mut holder).await;

    held(&mut holder, &path, How::Map).await;
    let mut readings = holder.readings.clone();
    drop(holder);
    while readings.changed().await.is_ok() {}
    drop_pages(&path);
    assert!(!can_be_cold(&path) || is_little(cached(&path).await.bytes().unwrap()));
}

#[tokio::test]
async fn a_dropped_file_is_gone_and_what_stays_has_a_reason() {
    let directory = other_user::directory();
    let path = cold(&directory, "a");
    if !can_be_cold(&path) {
        return;
    }
    fs::read(&path).unwrap();
    let gone = dropped(&path).await;
    assert!(is_most(gone.before.bytes().unwrap()) && is_little(gone.after.bytes().unwrap()), "{gone:?}");
    assert_eq!(gone.why_stays, None);

    let mut holder = holder(open_gate());
    held(&mut holder, &path, How::Map).await;
    let stays = dropped(&path).await;
    assert!(is_most(stays.after.bytes().unwrap()), "{stays:?}");
    let why = format!("mapped or locked by this program (pid {})", std::process::id());
    assert_eq!(stays.why_stays, Some(why));

    let unknown = dropped(&directory.path().join("none")).await;
    let nowhere = Cached::Unknown("the file is not on this machine".to_owned());
    let digest = "a".to_owned();
    assert_eq!(unknown, Evicted { digest, before: nowhere.clone(), after: nowhere, why_stays: None });
}

#[tokio::test]
async fn who_keeps_a_file_in_ram_is_named() {
    let directory = other_user::directory();
    let path = cold(&directory, "a");
    if !can_be_cold(&path) {
        return;
    }
    let mut child = other_user::start("probe_hold::child_keeps_a_file_until_it_is_told_to_end", &path);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("it is held")));
    let stays = dropped(&path).await;
    assert!(is_most(stays.after.bytes().unwrap()), "{stays:?}");
    let why = stays.why_stays.unwrap();
    assert!(
        why.starts_with("mapped or locked by ") && why.contains(&format!("(pid {})", child.id())),
        "{why}"
    );
    // `wait` closes the child's stdin, on which it waits.
    child.wait().unwrap();
    assert_eq!(dropped(&path).await.why_stays, None);
}

#[tokio::test]
#[ignore = "the child of another test"]
async fn child_keeps_a_file_until_it_is_told_to_end() {
    let Some(path) = other_user::file() else { return };
    let mut holder = holder(open_gate());
    held(&mut holder, &path, How::Map).await;
    writeln!(std::io::stdout(), "it is held").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

#[tokio::test]
async fn a_file_of_another_user_is_held_measured_and_dropped() {
    let directory = other_user::directory();
    let path = cold(&directory, "a");
    other_user::run("probe_hold::child_holds_a_file_of_another_user", &path);
    assert!(!can_be_cold(&path) || is_little(cached(&path).await.bytes().unwrap()));
}

#[tokio::test]
#[ignore = "the child of another test"]
async fn child_holds_a_file_of_another_user() {
    let Some(path) = other_user::file() else { return };
    let cold = cached(&path).await;
    assert!(!can_be_cold(&path) || cold.bytes().is_none_or(is_little), "{cold:?}");

    let mut holder = holder(open_gate());
    let seen = held(&mut holder, &path, How::Map).await;
    assert_eq!((seen.size, seen.trouble), (Bytes(SIZE), None));
    // The cache beside it, by another way of looking.
    drop_pages(&path);
    let warm = cached(&path).await;
    assert!(warm.bytes().is_none_or(is_most), "{warm:?}");

    holder.release("a");
    until_gone(&mut holder).await;
    let gone = dropped(&path).await;
    assert!(!can_be_cold(&path) || gone.after.bytes().is_none_or(is_little), "{gone:?}");
    assert!(!can_be_cold(&path) || gone.why_stays.is_none(), "{gone:?}");
}

#[test]
fn a_limit_makes_a_partial_lock_that_says_how_to_raise_it() {
    let directory = other_user::directory();
    let path = cold(&directory, "a");
    other_user::run("probe_hold::child_locks_within_a_limit", &path);
    other_user::run("probe_hold::child_may_lock_nothing", &path);
}

fn limit_locks(bytes: u64) {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Memlock, limit).unwrap();
    assert_eq!(lock_limit(), Some(Bytes(bytes)));
}

#[tokio::test]
#[ignore = "the child of another test"]
async fn child_locks_within_a_limit() {
    let Some(path) = other_user::file() else { return };
    limit_locks(MIB);
    let mut holder = holder(open_gate());
    holder.hold("a".to_owned(), path.clone(), How::Lock);
    let partial = until(&mut holder, |held| is_most(held.resident)).await;
    assert_eq!(partial.locked, Bytes(MIB));
    let why = partial.trouble.unwrap();
    let kib = SIZE.next_multiple_of(64 << 10) / 1024;
    assert!(why.starts_with("1.0 MiB may be locked and 4.1 MiB are needed"), "{why}");
    assert!(why.contains("LimitMEMLOCK=infinity") && why.contains(&format!(" - memlock {kib}`")), "{why}");

    // The rest is mapped all the same, and a second turn finds no more to lock.
    holder.check();
    let again = until(&mut holder, |held| is_most(held.resident)).await;
    assert_eq!((again.locked, again.trouble), (Bytes(MIB), Some(why)));
}

#[tokio::test]
#[ignore = "the child of another test"]
async fn child_may_lock_nothing() {
    let Some(path) = other_user::file() else { return };
    limit_locks(0);
    let mut holder = holder(open_gate());
    holder.hold("a".to_owned(), path, How::Lock);
    let refused = until(&mut holder, |held| held.trouble.is_some() && is_most(held.resident)).await;
    assert_eq!(refused.locked, Bytes::ZERO);
    assert!(refused.trouble.unwrap().starts_with("0 KiB may be locked"));
}

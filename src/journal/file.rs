//! The journal's file: made, opened, brought to this version, and moved aside where it cannot be used.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Opened;
use super::row::text;
use super::steps::STEPS;
use crate::residency::text::printable;

/// "rsdt": what tells our file from any other program's.
const APPLICATION: i64 = 0x7273_6474;
/// How long one operation waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open file.
#[derive(Debug)]
pub(super) struct Book {
    /// The one connection.
    pub connection: Connection,
    /// How it was found.
    pub opened: Opened,
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Book {
    /// Whether the path still leads to the file that is open: another process may have moved it aside.
    pub(super) fn is_in_place(&self) -> bool {
        identity(&self.path) == self.identity
    }

    /// A number that changes when another process has written.
    pub(super) fn version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "data_version", |row| row.get(0))
    }
}

/// Whether an error says that the file itself is damaged, be it by a value of a kind that its column cannot have.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
        || matches!(error, rusqlite::Error::InvalidColumnType(..))
}

/// Whether an error may come of damage that it does not tell of: a table or a column that is called something else, an
/// index that says what the rows do not. Only a thorough look can tell.
pub(super) fn is_suspect(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, Unknown};
    is_damage(error) || matches!(error.sqlite_error_code(), Some(ConstraintViolation | Unknown))
}

/// Opens the file, in which `thorough` looks for damage everywhere. One process at a time: what one finds damaged and
/// moves aside, the next must not mistake for the fresh file in its place.
pub(super) fn open(path: &Path, now: Timestamp, thorough: bool) -> io::Result<Book> {
    let folder = path.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
    private_directory(folder)?;
    let lock = owner_only().create(true).truncate(false).open(beside(path, ".lock"))?;
    // A file system without locks leaves two processes that begin at once to SQLite's own.
    let _ = lock.lock();
    let mut opened = if create(path)? { Opened::Fresh } else { Opened::Existing };
    let connection = match connect(path, thorough) {
        Ok(connection) => connection,
        Err(Unusable::For(why)) => return Err(why),
        Err(Unusable::MoveAside { ending, why }) => {
            let to = move_aside(path, ending, now)?;
            opened = Opened::MovedAside { to, why };
            create(path)?;
            connect(path, false).map_err(|unusable| match unusable {
                Unusable::For(why) => why,
                Unusable::MoveAside { why, .. } => io::Error::other(why),
            })?
        }
    };
    Ok(Book { connection, opened, path: path.to_owned(), identity: identity(path) })
}

/// Why there is no connection.
enum Unusable {
    /// The file must stay where it is.
    For(io::Error),
    /// It is in the way.
    MoveAside { ending: &'static str, why: String },
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Unusable {
        if is_damage(&error) { Unusable::damaged(&error) } else { Unusable::For(io::Error::other(error)) }
    }
}

impl Unusable {
    fn damaged(why: &impl ToString) -> Unusable {
        Unusable::MoveAside { ending: "corrupt", why: in_short(&why.to_string()) }
    }
}

/// The first thing that SQLite says, on one short line: a check of the file may say hundreds, over a headline of its
/// own, and an error brings the whole statement along.
pub(super) fn in_short(why: &str) -> String {
    const LONGEST: usize = 80;
    let mut lines = why.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.find(|line| !line.starts_with("***")).unwrap_or("its check fails");
    let first = printable(first);
    if first.chars().count() <= LONGEST {
        return first.into_owned();
    }
    first.chars().take(LONGEST).chain(['…']).collect()
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOurs {
    /// It is something else.
    #[error("it is no journal of resident")]
    Strange,
    /// It is of a later version.
    #[error("it is of version {0}, and this resident knows {known}", known = STEPS.len())]
    Newer(i64),
}

/// How many steps a file has gone, if it is one of ours.
pub(super) fn version_of(connection: &Connection) -> rusqlite::Result<Result<usize, NotOurs>> {
    // All of one moment: another process may be making it.
    let moment = connection.unchecked_transaction()?;
    let number = |name: &str| moment.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    moment.finish()?;
    if (application, version) != (0, 0) && application != APPLICATION || version == 0 && tables > 0 {
        return Ok(Err(NotOurs::Strange));
    }
    let known = usize::try_from(version).ok().filter(|version| *version <= STEPS.len());
    Ok(known.ok_or(NotOurs::Newer(version)))
}

/// Connects, checks whose file it is, and brings it to this version.
fn connect(path: &Path, thorough: bool) -> Result<Connection, Unusable> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let version = match version_of(&connection)? {
        Ok(version) => version,
        Err(NotOurs::Strange) => return Err(Unusable::damaged(&NotOurs::Strange)),
        Err(NotOurs::Newer(version)) => return Err(newer(&connection, version)),
    };
    let steps = &STEPS[version..];
    if connection.is_readonly("main")? {
        return Err(Unusable::For(io::Error::new(ErrorKind::PermissionDenied, "it cannot be written")));
    }
    if thorough {
        let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(Unusable::damaged(&found));
        }
    }
    // A file system that cannot have it says so by keeping another mode, which does as well.
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if !steps.is_empty() {
        migrate(&mut connection)?;
    }
    if thorough && !has_all(&connection)? {
        return Err(Unusable::damaged(&"its tables are not those of a journal"));
    }
    Ok(connection)
}

/// Whether everything is there that the steps make.
fn has_all(connection: &Connection) -> rusqlite::Result<bool> {
    let fresh = Connection::open_in_memory()?;
    STEPS.iter().try_for_each(|step| fresh.execute_batch(step))?;
    let schema = |of: &Connection| -> rusqlite::Result<BTreeSet<(Option<String>, Option<String>)>> {
        let mut statement = of.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
        statement.query_map([], |row| Ok((text(row, 0)?, text(row, 1)?)))?.collect()
    };
    Ok(schema(connection)?.is_superset(&schema(&fresh)?))
}

/// What becomes of a file that a newer `resident` made: it goes aside whole, unless one has it open.
fn newer(connection: &Connection, version: i64) -> Unusable {
    let known = STEPS.len();
    // Leaving the WAL mode puts everything into the one file, and is refused while another has it open.
    let left = connection.busy_timeout(Duration::ZERO).and_then(|()| {
        connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))
    });
    match left {
        Ok(mode) if mode == "delete" => {
            Unusable::MoveAside { ending: "newer", why: NotOurs::Newer(version).to_string() }
        }
        Ok(_) => Unusable::For(io::Error::other(in_use(version, known))),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Unusable::For(io::Error::other(in_use(version, known)))
        }
        Err(error) => error.into(),
    }
}

fn in_use(version: i64, known: usize) -> String {
    format!("a newer resident is using it (version {version}; this one knows {known})")
}

/// Goes the steps that are missing, all or none.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have gone them by now.
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (step, number) in STEPS.iter().zip(1..) {
        if number > version {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()
}

/// Gives the file a name that tells when and why, and takes along what SQLite keeps beside it: the log of a file must
/// never be found beside another.
fn move_aside(path: &Path, ending: &str, now: Timestamp) -> io::Result<PathBuf> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let named = |number| match number {
        1 => beside(path, &format!(".{ending}-{stamp}")),
        _ => beside(path, &format!(".{ending}-{stamp}-{number}")),
    };
    let to = (1..1000).map(named).find(|to| fs::symlink_metadata(to).is_err());
    let to = to.ok_or_else(|| io::Error::other("too many were moved aside already"))?;
    for companion in ["-wal", "-shm"] {
        match fs::rename(beside(path, companion), beside(&to, companion)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, &to)?;
    Ok(to)
}

/// The path with something at its end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// Makes an empty file that only its owner may read, and says whether it was missing. One that is there is not touched:
/// closing it here would undo the locks that another connection of this process has on it.
fn create(path: &Path) -> io::Result<bool> {
    match owner_only().create_new(true).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// To write a file that, if it is made, only its owner may read.
pub(super) fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the directory and those above it, for the owner only, where they are missing.
fn private_directory(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// What tells one file from another that has its name.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Not told; a file that is open cannot be moved there either.
#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_says_is_told_in_one_short_line() {
        let why =
            "*** in database main ***\nTree 15 page 4: btreeInitPage() returns error code 11\nPage 2: x";
        assert_eq!(in_short(why), "Tree 15 page 4: btreeInitPage() returns error code 11");
        assert_eq!(in_short(&"\u{1b}".repeat(200)), "\u{fffd}".repeat(80) + "…");
        assert_eq!(in_short("*** in database main ***\n"), "its check fails");
    }
}

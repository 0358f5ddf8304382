//! A journal whose rows say anything: sizes below zero, times beyond the calendar, names that are none.
//!
//! Each row is a byte for its table, then for each column a byte that chooses the value and what that takes.

use std::fs;

use resident::journal::Opened;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::journal::{SERVER, read, template};

const TABLES: [&str; 9] = ["process", "lease", "name", "swap", "gone", "used", "phase", "forecast", "tally"];

/// Numbers at which something ends.
const NUMBERS: [i64; 10] = [
    0,
    1,
    -1,
    i64::MAX,
    i64::MIN,
    253_402_207_200_999_999,
    -377_705_023_201_000_000,
    1 << 32,
    1 << 53,
    86_400_000_000,
];

/// Words that the columns have.
const WORDS: [&str; 8] =
    ["ready", "failed", "evicted", "user", "released", "swap", "\u{1b}[2J", "[\"a\", 1]"];

pub fn holds(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("journal.sqlite");
    fs::write(&path, template()).expect("a file");
    let written = Connection::open(&path).expect("a database");
    fill(&written, data).expect("rows");
    written.close().map_err(|(_, why)| why).expect("a database that is closed");
    let (opened, state) = read(&path);
    assert_eq!(opened, Ok(Opened::Existing), "rows are no damage");
    assert_eq!((state.trouble, state.lost), (None, 0), "rows are no trouble");
}

/// Writes the rows; one that breaks a table's rules is left out.
fn fill(connection: &Connection, mut data: &[u8]) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "OFF")?;
    let server: i64 =
        connection.query_row("SELECT id FROM name WHERE text = ?1", [SERVER], |row| row.get(0))?;
    let all = connection.unchecked_transaction()?;
    while let Some(table) = next(&mut data) {
        let table = TABLES.get(usize::from(table) % (TABLES.len() + 1)).copied().unwrap_or("pin");
        let columns: Vec<(String, String)> = all
            .prepare(&format!("SELECT name, type FROM pragma_table_info('{table}')"))?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let values = columns.iter().map(|(name, kind)| match name.as_str() {
            "server" => Value::Integer(server),
            "id" => Value::Null,
            _ if kind == "TEXT" => words(&mut data),
            _ => number(&mut data),
        });
        let values: Vec<Value> = values.collect();
        // So that it need not be UTF-8.
        let place = |(_, kind): &(String, String)| if kind == "TEXT" { "CAST(? AS TEXT)" } else { "?" };
        let places = columns.iter().map(place).collect::<Vec<_>>().join(", ");
        // Two rows that may be there once only, or a column that may not be empty.
        let _ =
            all.prepare(&format!("INSERT INTO {table} VALUES ({places})"))?.execute(params_from_iter(values));
    }
    all.commit()
}

fn next(data: &mut &[u8]) -> Option<u8> {
    let (first, rest) = data.split_first()?;
    *data = rest;
    Some(*first)
}

fn number(data: &mut &[u8]) -> Value {
    match next(data).unwrap_or(0) {
        choice @ 0..=9 => Value::Integer(NUMBERS[usize::from(choice)]),
        10 => Value::Null,
        11 => {
            let mut bytes = [0; 8];
            bytes.fill_with(|| next(data).unwrap_or(0));
            Value::Integer(i64::from_le_bytes(bytes))
        }
        // The number of a name, of some microseconds or bytes.
        choice => Value::Integer(i64::from(choice) - 12),
    }
}

fn words(data: &mut &[u8]) -> Value {
    match next(data).unwrap_or(0) {
        choice @ 0..=7 => Value::Blob(WORDS[usize::from(choice)].into()),
        8 => Value::Null,
        length => {
            let (text, rest) = data.split_at(usize::from(length - 8).min(data.len()));
            *data = rest;
            Value::Blob(text.to_vec())
        }
    }
}

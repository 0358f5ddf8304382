//! A runner's own life: the hidden child process that reads one blob, keeps it, and answers `/health` and `/slots`.
//!
//! `main` calls [`main`] when [`MARK`] is set; the command line then is a real runner's and never reaches clap. Its
//! stdin is the server (end of it is the end of the runner), its stdout says `READY` or what went wrong, and its
//! stderr *is* the listening socket.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::huge::huge_pages;
use super::memory::Place;

/// The environment variable that makes the program a runner.
pub const MARK: &str = "RESIDENT_RUNNER";
/// The environment variable with the bytes it holds beyond the weights: KV cache and compute buffer.
pub(crate) const HOLD: &str = "RESIDENT_RUNNER_HOLD";
/// The environment variable with the path of the card's memory.
pub(crate) const CARD: &str = "RESIDENT_RUNNER_CARD";
/// The environment variable with its places there: `offset+length`, with spaces between.
pub(crate) const PLACES: &str = "RESIDENT_RUNNER_PLACES";
/// What a runner says when all is read.
pub(crate) const READY: &str = "ready";

/// How much is read at once.
const STEP: usize = 1 << 20;
/// How many of these steps may be made ready ahead of the reading.
const AHEAD: usize = 64;
/// How many of them are on their way to the card.
const IN_FLIGHT: usize = 6;
/// How many threads write to the card: one would be slower than reading what is in RAM.
const WRITERS: usize = 2;
/// A request longer than this, or slower than that, is hung up on.
const REQUEST: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(1);

/// What the runner tells over HTTP.
struct State {
    model: PathBuf,
    context: u64,
    ready: AtomicBool,
    busy: AtomicBool,
}

/// Lives as a runner until stdin ends. Called by `main` before anything else.
pub fn main() -> ExitCode {
    match live() {
        Ok(never) => match never {},
        Err(why) => {
            // The server reads one line and reports it; if it is gone there is nobody to tell.
            let _ = writeln!(std::io::stdout(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn live() -> Result<std::convert::Infallible, String> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let model = PathBuf::from(value_of(&arguments, "--model").ok_or("no --model")?);
    let context = value_of(&arguments, "-c").and_then(|c| c.to_str()?.parse().ok()).unwrap_or(0);
    let beyond = std::env::var(HOLD).ok().and_then(|hold| hold.parse::<usize>().ok()).unwrap_or(0);
    let socket = std::io::stderr().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let state = Arc::new(State {
        model: model.clone(),
        context,
        ready: AtomicBool::new(false),
        busy: AtomicBool::new(false),
    });
    let listening = Arc::clone(&state);
    std::thread::spawn(move || obey(&listening));
    let answering = Arc::clone(&state);
    std::thread::spawn(move || serve(&TcpListener::from(socket), &answering));

    let places = places(&std::env::var(PLACES).unwrap_or_default()).ok_or("its places cannot be read")?;
    let card = std::env::var_os(CARD).filter(|_| !places.is_empty());
    let memory = read(&model, beyond, card.map(PathBuf::from).as_deref(), &places)
        .map_err(|error| format!("cannot read the model: {error}"))?;
    state.ready.store(true, Ordering::Release);
    writeln!(std::io::stdout(), "{READY}").map_err(|error| error.to_string())?;
    loop {
        std::thread::park();
        // Read, so that the bytes are really kept.
        std::hint::black_box(&memory);
    }
}

/// Ends the process when the server is gone; until then hears whether there is work.
fn obey(state: &State) {
    for line in std::io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("busy") => state.busy.store(true, Ordering::Relaxed),
            Ok(_) => state.busy.store(false, Ordering::Relaxed),
            Err(_) => break,
        }
    }
    std::process::exit(0);
}

fn value_of<'a>(arguments: &'a [OsString], name: &str) -> Option<&'a OsString> {
    arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
}

/// The places that a text names; `None` if it is not one of ours.
fn places(text: &str) -> Option<Vec<Place>> {
    let place = |word: &str| {
        let (offset, length) = word.split_once('+')?;
        Some((offset.parse().ok()?, length.parse().ok()?))
    };
    text.split_whitespace().map(place).collect()
}

/// Reads the whole blob, fills what is held beyond it, and gives back what does not lie on the card: all of it goes to
/// its places there first, in their order, and the rest into fresh memory.
fn read(model: &Path, beyond: usize, card: Option<&Path>, places: &[Place]) -> std::io::Result<Vec<u8>> {
    let file = File::open(model)?;
    let weights = file.metadata()?.len();
    let mut on_card = 0;
    if let Some(card) = card {
        let card = File::options().write(true).open(card)?;
        on_card = fill(&file, weights, &card, places)?;
    }
    let whole = usize::try_from(weights).map_err(std::io::Error::other)?.saturating_add(beyond);
    let rest = whole.saturating_sub(usize::try_from(on_card).map_err(std::io::Error::other)?);
    keep(&file, on_card, weights, rest)
}

/// A part of what is to lie on the card: its bytes, how many of them count, and how far it is from the beginning.
type Part = (Vec<u8>, u64, u64);

/// Reads the file into places of the card, and zeros after its end; says how many bytes that are. Others write what one
/// reads, so that a load takes as long as its reading, as where a card's own engine copies.
fn fill(file: &File, weights: u64, card: &File, places: &[Place]) -> std::io::Result<u64> {
    let whole: u64 = places.iter().map(|(_, length)| length).sum();
    let (empty, emptied) = sync_channel(IN_FLIGHT);
    for _ in 0..IN_FLIGHT {
        // There is room for all of them.
        let _ = empty.send(vec![0; STEP]);
    }
    std::thread::scope(|scope| {
        let mut writing = Vec::new();
        let mut full = Vec::new();
        for _ in 0..WRITERS {
            let (send, parts) = sync_channel::<Part>(IN_FLIGHT);
            let empty = empty.clone();
            writing.push(scope.spawn(move || write(card, places, &parts, &empty)));
            full.push(send);
        }
        drop(empty);
        let mut offset = 0;
        for full in full.iter().cycle() {
            // A writer that has failed says why itself.
            let Some(mut step) = (offset < whole).then(|| emptied.recv().ok()).flatten() else { break };
            let length = (whole - offset).min(STEP as u64);
            let read = usize::try_from(weights.saturating_sub(offset).min(length));
            let (of_blob, beyond) = step.split_at_mut(read.map_err(std::io::Error::other)?);
            file.read_exact_at(of_blob, offset)?;
            beyond.fill(0);
            if full.send((step, length, offset)).is_err() {
                break;
            }
            offset += length;
        }
        drop(full);
        writing.into_iter().try_for_each(|writing| match writing.join() {
            Ok(written) => written,
            Err(_) => Err(std::io::Error::other("a writer has died")),
        })
    })?;
    Ok(whole)
}

/// Writes what comes to its places, and gives the buffers back.
fn write(
    card: &File,
    places: &[Place],
    parts: &Receiver<Part>,
    empty: &SyncSender<Vec<u8>>,
) -> std::io::Result<()> {
    for (bytes, length, offset) in parts {
        let end = offset + length;
        let mut begin = 0;
        for (place, room) in places {
            // The bytes of this place that this part has.
            let (from, to) = (offset.max(begin), end.min(begin + room));
            if from < to {
                let index = |at: u64| usize::try_from(at - offset).map_err(std::io::Error::other);
                card.write_all_at(&bytes[index(from)?..index(to)?], place + (from - begin))?;
            }
            begin += room;
        }
        // The reader may have read all by now.
        let _ = empty.send(bytes);
    }
    Ok(())
}

/// Reads the file from `offset` into fresh memory of `length` bytes; what is left of that is filled, page by page.
fn keep(file: &File, offset: u64, weights: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(length).map_err(std::io::Error::other)?;
    drop(memory);
    // From the allocator as fresh zero pages: nothing is touched yet.
    let mut memory = vec![0_u8; length];
    huge_pages(&mut memory);
    let of_blob = usize::try_from(weights.saturating_sub(offset)).map_err(std::io::Error::other)?;
    let (blob, rest) = memory.split_at_mut(of_blob.min(length));
    // Fresh pages are made by one thread while another reads into those that are there: else a load that needs no disk
    // spends half of its time on zeroing memory.
    let (made, ready) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for step in blob.chunks_mut(STEP) {
                touch(step);
                if made.send(step).is_err() {
                    return;
                }
            }
            touch(rest);
        });
        let mut offset = offset;
        for step in ready {
            file.read_exact_at(step, offset)?;
            offset += step.len() as u64;
        }
        std::io::Result::Ok(())
    })?;
    Ok(memory)
}

/// Makes the pages of fresh memory real.
fn touch(memory: &mut [u8]) {
    for byte in memory.iter_mut().step_by(4096) {
        *byte = 1;
    }
}

fn serve(listener: &TcpListener, state: &State) {
    // One at a time is enough for a probe that asks once a second; a slow one is hung up on.
    for stream in listener.incoming().flatten() {
        let _ = answer(&stream, state);
    }
}

fn answer(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = std::io::BufReader::new(stream.take(REQUEST));
    let mut first = String::new();
    request.read_line(&mut first)?;
    let mut header = String::new();
    while request.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or("");
    let (status, body) = reply(path, state);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn reply(path: &str, state: &State) -> (&'static str, String) {
    let ready = state.ready.load(Ordering::Acquire);
    let body = match path {
        "/health" if ready => serde_json::json!({"status": "ok"}),
        "/slots" if ready => serde_json::json!([{
            "id": 0,
            "n_ctx": state.context,
            "is_processing": state.busy.load(Ordering::Relaxed),
        }]),
        "/props" if ready => serde_json::json!({"model_path": state.model, "total_slots": 1}),
        "/health" | "/slots" | "/props" => {
            let error = serde_json::json!({
                "error": {"message": "Loading model", "type": "unavailable_error", "code": 503},
            });
            return ("503 Service Unavailable", error.to_string());
        }
        _ => {
            let error = serde_json::json!({
                "error": {"message": "File Not Found", "type": "not_found_error", "code": 404},
            });
            return ("404 Not Found", error.to_string());
        }
    };
    ("200 OK", body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ready: bool, busy: bool) -> State {
        State { model: "/m".into(), context: 4096, ready: ready.into(), busy: busy.into() }
    }

    #[test]
    fn it_says_loading_then_ready_and_busy() {
        assert_eq!(reply("/health", &state(false, false)).0, "503 Service Unavailable");
        assert_eq!(reply("/health", &state(true, false)), ("200 OK", r#"{"status":"ok"}"#.to_owned()));
        assert_eq!(reply("/slots", &state(true, true)).1, r#"[{"id":0,"is_processing":true,"n_ctx":4096}]"#);
        assert_eq!(reply("/other", &state(true, true)).0, "404 Not Found");
    }

    /// A blob of a step and a bit, and its bytes.
    fn blob() -> (tempfile::NamedTempFile, Vec<u8>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..STEP + 77).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn it_keeps_every_byte_of_the_blob() {
        let (file, bytes) = blob();
        let memory = read(file.path(), 5000, None, &[]).unwrap();
        assert_eq!(memory.len(), bytes.len() + 5000);
        assert!(memory[..bytes.len()] == bytes);
    }

    #[test]
    fn what_has_a_place_on_the_card_is_there_and_the_rest_in_its_own_memory() {
        let (file, bytes) = blob();
        let card = tempfile::NamedTempFile::new().unwrap();
        let places = [(4000, 10), (100, 3000), (1 << 21, STEP as u64)];
        let memory = read(file.path(), 5000, Some(card.path()), &places).unwrap();
        let filled = std::fs::read(card.path()).unwrap();
        assert_eq!(filled[4000..4010], bytes[..10]);
        assert_eq!(filled[100..3100], bytes[10..3010]);
        let there = bytes.len() - 3010;
        assert!(filled[1 << 21..(1 << 21) + there] == bytes[3010..]);
        assert_eq!(filled.len(), (1 << 21) + STEP, "zeros after the blob's end");
        assert_eq!(memory.len(), bytes.len() + 5000 - 3010 - STEP);
        assert_eq!(read(file.path(), 0, Some(card.path()), &[(0, 9)]).unwrap(), bytes[9..]);
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        assert_eq!(places("0+5 17+3"), Some(vec![(0, 5), (17, 3)]));
        assert_eq!((places(""), places("5"), places("a+b")), (Some(Vec::new()), None, None));
    }
}

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
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::huge::huge_pages;

/// The environment variable that makes the program a runner.
pub const MARK: &str = "RESIDENT_RUNNER";
/// The environment variable with the bytes it holds beyond the weights: KV cache and compute buffer.
pub(crate) const HOLD: &str = "RESIDENT_RUNNER_HOLD";
/// What a runner says when all is read.
pub(crate) const READY: &str = "ready";

/// How much is read at once.
const STEP: usize = 1 << 20;
/// How many of these steps may be made ready ahead of the reading.
const AHEAD: usize = 64;
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

    let memory = read(&model, beyond).map_err(|error| format!("cannot read the model: {error}"))?;
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

/// Reads the whole blob into fresh memory and fills what is held beyond it, page by page.
fn read(model: &PathBuf, beyond: usize) -> std::io::Result<Vec<u8>> {
    let file = File::open(model)?;
    let weights = usize::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(weights.saturating_add(beyond)).map_err(std::io::Error::other)?;
    drop(memory);
    // From the allocator as fresh zero pages: nothing is touched yet.
    let mut memory = vec![0_u8; weights.saturating_add(beyond)];
    huge_pages(&mut memory);
    let (blob, rest) = memory.split_at_mut(weights);
    // Fresh pages are made by one thread while another reads into those that are there: else a load that needs no disk
    // spends half of its time on zeroing memory, which is no part of a real load into VRAM.
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
        let mut offset = 0;
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

    #[test]
    fn it_keeps_every_byte_of_the_blob() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..STEP + 77).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let memory = read(&file.path().to_path_buf(), 5000).unwrap();
        assert_eq!(memory.len(), bytes.len() + 5000);
        assert!(memory[..bytes.len()] == bytes);
    }
}

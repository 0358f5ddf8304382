//! The loader of real processes: one child per model that reads the blob and keeps it, as a runner does.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::card::{CardReader, Seat};
use super::loader::{LoadError, Plan, Reins, Runner};
use super::memory::Places;
use super::runner::{CARD, HOLD, MARK, PLACES, READY};
use crate::residency::bytes::Bytes;

/// What the child calls itself, so that it is found as a real server's runner is.
const CALLED: &str = "/usr/lib/ollama/llama-server";
/// The longest line that is read from a child.
const LINE: u64 = 4096;

/// Starts a child and waits until it has read the blob. Dropping the future kills it.
pub(crate) async fn load(program: &Path, plan: &Plan, card: &CardReader) -> Result<Runner, LoadError> {
    check(plan)?;
    let places = card.places(Bytes(plan.placement.vram));
    let mut child = start(program, plan, places.as_ref()).map_err(|error| failed(&error))?;
    let (Some(pid), Some(stdin), Some(stdout)) = (child.id(), child.stdin.take(), child.stdout.take()) else {
        return Err(failed(&"it ended at once"));
    };
    // While it loads it holds its place already: a reader of the card sees the use grow.
    let seat = card.seat(Some(pid), plan.placement.on);
    let mut said = String::new();
    let read = BufReader::new(stdout.take(LINE)).read_line(&mut said).await;
    match (read, said.trim()) {
        (Ok(_), READY) => {
            let (runner, reins) = Runner::new(Some(pid));
            tokio::spawn(own(child, stdin, reins, (seat, places)));
            Ok(runner)
        }
        (Ok(_), "") => {
            let how = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(failed(&how))
        }
        (Ok(_), why) => Err(failed(&why)),
        (Err(error), _) => Err(failed(&error)),
    }
}

/// What a server finds before it starts a runner: a blob that is missing or too short.
fn check(plan: &Plan) -> Result<(), LoadError> {
    match std::fs::metadata(&plan.blob) {
        Ok(metadata) if metadata.len() >= plan.weights.0 => Ok(()),
        Ok(metadata) => Err(LoadError::Runner(format!(
            "tensor \"blk.{}.ffn_up.weight\" offset+size ({}) exceeds file size ({})",
            plan.last_layer,
            plan.weights.0,
            metadata.len()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(LoadError::Missing),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(why: &dyn std::fmt::Display) -> LoadError {
    LoadError::Runner(format!("llama-server process has terminated: {why}"))
}

fn start(program: &Path, plan: &Plan, places: Option<&Places>) -> std::io::Result<Child> {
    // The listener is made here and handed over as the child's stderr: no other process can take the port between
    // the choice and the bind.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let beyond_weights = plan.placement.size.saturating_sub(plan.weights.0);
    let ranges: Vec<String> = places
        .iter()
        .flat_map(|places| places.ranges())
        .map(|(offset, length)| format!("{offset}+{length}"))
        .collect();
    Command::new(program)
        .arg0(CALLED)
        .arg("--model")
        .arg(&plan.blob)
        .args(["--port", &port.to_string(), "--host", "127.0.0.1", "--no-webui"])
        .args(["-c", &plan.context.to_string(), "-np", "1", "--load-mode", "none"])
        .env(MARK, "1")
        .env(HOLD, beyond_weights.to_string())
        .env(PLACES, ranges.join(" "))
        .env(CARD, places.map(Places::path).unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(OwnedFd::from(listener)))
        // A Ctrl-C in the terminal goes to the foreground group; the server ends its children itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Owns a ready child: tells it when it is busy, kills it when it is stopped, says when it is gone.
async fn own(mut child: Child, mut stdin: ChildStdin, reins: Reins, of_card: (Seat, Option<Places>)) {
    let Reins { stop, gone, mut busy } = reins;
    loop {
        tokio::select! {
            _ = child.wait() => break,
            () = stop.cancelled() => {
                // An error means that it is dead already.
                let _ = child.kill().await;
                break;
            }
            changed = busy.changed() => {
                let line: &[u8] = if changed.is_ok() && *busy.borrow_and_update() { b"busy\n" } else { b"idle\n" };
                // A runner that died is noticed by `wait`. One that hangs must not hold up its own end.
                tokio::select! {
                    _ = stdin.write_all(line) => {}
                    () = stop.cancelled() => {}
                }
                if changed.is_err() {
                    stop.cancelled().await;
                }
            }
        }
    }
    drop(of_card);
    gone.cancel();
}

/// Kills a child behind its owner's back; false if there is no such process.
pub(crate) fn kill(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok())
}

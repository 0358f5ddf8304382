//! Asks a runner over loopback whether it is ready and whether it is working.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

use crate::residency::host::Runner;
use crate::residency::timing::Clock;

/// A question that is not answered within this has no answer this time.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
/// `/slots` may carry whole prompts; what is longer is not read.
const BODY_MOST: u64 = 1 << 20;

/// What was learned of each runner, so that a ready one is asked one question only.
pub(super) struct Health {
    clock: Clock,
    patience: Duration,
    known: HashMap<u32, Known>,
}

#[derive(Default)]
struct Known {
    ready: bool,
    /// It has no `/slots`.
    slotless: bool,
}

impl Health {
    pub(super) fn new(clock: Clock, patience: Duration) -> Health {
        Health { clock, patience, known: HashMap::new() }
    }

    /// Fills in `ready` and `busy`; `None` where there was no answer.
    pub(super) fn ask(&mut self, runners: &mut [Runner]) {
        self.known.retain(|pid, _| runners.iter().any(|runner| runner.pid == *pid));
        for runner in runners {
            let known = self.known.entry(runner.pid).or_default();
            let Some(port) = runner.port else { continue };
            let get = |path| get(port, path, self.patience, &self.clock);
            if !known.ready || known.slotless {
                let health = get("/health").ok().and_then(|answer| health(&answer));
                runner.ready = health.map(|health| health.ready);
                runner.busy = health.and_then(|health| health.busy);
                runner.told = health.and_then(|health| health.percent);
                known.ready = runner.ready == Some(true);
            }
            if known.ready && !known.slotless {
                runner.ready = Some(true);
                match get("/slots") {
                    Ok(answer) if answer.status == 200 => runner.busy = busy(&answer.body),
                    // Switched off, or an engine without it: that does not change.
                    Ok(answer) => known.slotless = (400..=501).contains(&answer.status),
                    // Another process may have the port now.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => known.ready = false,
                    Err(_) => {}
                }
            }
        }
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// What `/health` tells.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Said {
    ready: bool,
    busy: Option<bool>,
    /// How far its load is.
    percent: Option<u8>,
}

/// The in-tree engines answer with a number (0 ready, 1 no free slot, 2 and 3 on the way) and how far they are,
/// llama-server with `ok`, and 503 while it loads.
fn health(answer: &Answer) -> Option<Said> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Status {
        Word(String),
        Number(i64),
    }
    #[derive(Deserialize)]
    struct Body {
        status: Status,
        progress: Option<f64>,
    }
    if answer.status == 503 {
        return Some(Said::default());
    }
    let body = serde_json::from_slice::<Body>(&answer.body).ok().filter(|_| answer.status == 200)?;
    match body.status {
        Status::Word(word) => (word == "ok").then_some(Said { ready: true, ..Said::default() }),
        Status::Number(number @ (0 | 1)) => {
            Some(Said { ready: true, busy: Some(number == 1), percent: None })
        }
        Status::Number(_) => Some(Said { percent: body.progress.and_then(percent), ..Said::default() }),
    }
}

/// A share in whole percents; `None` if it is none.
fn percent(share: f64) -> Option<u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share lies in 0 to 1")]
    (0.0..=1.0).contains(&share).then_some((share * 100.0) as u8)
}

/// Whether any slot is working.
fn busy(slots: &[u8]) -> Option<bool> {
    #[derive(Deserialize)]
    struct Slot {
        is_processing: bool,
    }
    let slots: Vec<Slot> = serde_json::from_slice(slots).ok()?;
    Some(slots.iter().any(|slot| slot.is_processing))
}

/// One request to our own machine; the answer's length and the time it takes are bounded.
fn get(port: u16, path: &str, patience: Duration, clock: &Clock) -> io::Result<Answer> {
    let began = clock().mono;
    let left = || {
        let left = patience.saturating_sub(clock().since(began));
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    // Version 1.0: no chunks come back.
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 8192];
    loop {
        if let Some(answer) = whole(&answer)? {
            return Ok(answer);
        }
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut piece)? {
            // An answer without a length ends with its connection.
            0 => return parse(&answer).map(|(answer, _)| answer).ok_or(ErrorKind::InvalidData.into()),
            read => answer.extend_from_slice(&piece[..read]),
        }
        if answer.len() as u64 > BODY_MOST {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}

/// The answer, if all of the announced length is there.
fn whole(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some((answer, Some(length))) = parse(bytes) else { return Ok(None) };
    if length > BODY_MOST {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok((answer.body.len() as u64 >= length).then_some(answer))
}

/// Status, what there is of the body, and its announced length.
fn parse(bytes: &[u8]) -> Option<(Answer, Option<u64>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let mut first = lines.next()?.split_whitespace();
    let status = first.next().filter(|version| version.starts_with("HTTP/1.")).and(first.next())?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((Answer { status: status.parse().ok()?, body: bytes[end + 4..].to_vec() }, length))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::*;
    use crate::residency::timing::Moment;

    #[expect(clippy::disallowed_methods, reason = "the tests' clock")]
    fn clock() -> Clock {
        Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
    }

    /// No answer comes late on a busy machine.
    const LONG: Duration = Duration::from_secs(600);

    /// A runner that answers each path with these bytes, and notes what it was asked.
    fn serve(answers: &[(&str, &str)]) -> (Runner, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<(String, String)> =
            answers.iter().map(|(path, answer)| ((*path).to_owned(), (*answer).to_owned())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = answers.iter().find(|(known, _)| *known == path);
                note.lock().unwrap().push(path.clone());
                // The asker may have hung up already.
                let _ = stream.write_all(answer.map_or("", |(_, answer)| answer).as_bytes());
            }
        });
        (runner(Some(port)), asked)
    }

    fn runner(port: Option<u16>) -> Runner {
        Runner { pid: 7, blob: "/b/x".to_owned(), port, ..Runner::default() }
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn said(answers: &[(&str, &str)]) -> (Option<bool>, Option<bool>) {
        let (runner, _) = serve(answers);
        let mut runners = [runner];
        Health::new(clock(), LONG).ask(&mut runners);
        (runners[0].ready, runners[0].busy)
    }

    #[test]
    fn ready_and_busy_are_what_the_runner_says() {
        let ok = http("200 OK", r#"{"status":"ok"}"#);
        let slots = |busy: &str| {
            let prompt = r#"[{"id":0,"is_processing":false},{"id":1,"is_processing":BUSY,"prompt":"x"}]"#;
            http("200 OK", &prompt.replace("BUSY", busy))
        };
        let loading = http("503 Service Unavailable", r#"{"error":{"message":"Loading model","code":503}}"#);
        let health = |answer: &str| said(&[("/health", answer)]);
        assert_eq!(said(&[("/health", &ok), ("/slots", &slots("true"))]), (Some(true), Some(true)));
        assert_eq!(said(&[("/health", &ok), ("/slots", &slots("false"))]), (Some(true), Some(false)));
        assert_eq!(said(&[("/health", &ok), ("/slots", &http("200 OK", "junk"))]), (Some(true), None));
        assert_eq!(said(&[("/health", &ok), ("/slots", "\0\u{1}")]), (Some(true), None));
        assert_eq!(health(&loading), (Some(false), None));
        // The in-tree engines.
        assert_eq!(health(&http("200 OK", r#"{"status":0,"progress":1}"#)), (Some(true), Some(false)));
        assert_eq!(health(&http("200 OK", r#"{"status":1,"progress":1}"#)), (Some(true), Some(true)));
        assert_eq!(health(&http("200 OK", r#"{"status":3,"progress":0.4}"#)), (Some(false), None));
        // Somebody else's port.
        assert_eq!(health(&http("404 Not Found", "no")), (None, None));
        assert_eq!(health(&http("200 OK", "<html>")), (None, None));
        assert_eq!(health("SSH-2.0-OpenSSH\r\n\r\n\r\n"), (None, None));
        assert_eq!(health("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), (None, None));
        assert_eq!(health(""), (None, None));
    }

    #[test]
    fn an_answer_without_end_is_not_read_to_its_end() {
        let flood = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(3 << 20));
        assert_eq!(said(&[("/health", &flood)]), (None, None));
    }

    #[test]
    fn a_ready_runner_is_asked_one_question_only_and_none_that_it_does_not_know() {
        let ok = http("200 OK", r#"{"status":0}"#);
        let missing = http("404 Not Found", "");
        let (runner, asked) = serve(&[("/health", &ok), ("/slots", &missing)]);
        let mut health = Health::new(clock(), LONG);
        for _ in 0..3 {
            health.ask(&mut [runner.clone()]);
        }
        assert_eq!(*asked.lock().unwrap(), ["/health", "/slots", "/health", "/health"]);

        let (ok, slots) =
            (http("200 OK", r#"{"status":"ok"}"#), http("200 OK", r#"[{"is_processing":true}]"#));
        let (runner, asked) = serve(&[("/health", &ok), ("/slots", &slots)]);
        let mut health = Health::new(clock(), LONG);
        for _ in 0..3 {
            let mut runners = [runner.clone()];
            health.ask(&mut runners);
            assert_eq!((runners[0].ready, runners[0].busy), (Some(true), Some(true)));
        }
        assert_eq!(*asked.lock().unwrap(), ["/health", "/slots", "/slots", "/slots"]);
    }

    #[test]
    fn a_runner_that_never_answers_is_left_after_its_time() {
        // Nobody accepts: the connection stands, and no byte comes.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut runners = [runner(Some(listener.local_addr().unwrap().port())), runner(None)];
        Health::new(clock(), Duration::from_millis(10)).ask(&mut runners);
        assert_eq!(runners.map(|runner| (runner.ready, runner.busy)), [(None, None), (None, None)]);
    }
}

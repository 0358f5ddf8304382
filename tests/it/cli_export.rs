//! `export`: once, as a server that is scraped, and as a file; with a server, and without.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures::FutureExt;
use resident::cli::export::host::Names;
use resident::cli::export::http::{Limits, Page, serve};
use resident::cli::export::{self, Asked};
use resident::cli::out::Out;
use resident::cli::{Cli, Exit, Sub};
use resident::residency::snapshot::{Reach, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::cli_fake::{engine, noon, stopped};
use crate::export_world::{SERVER, all_known, looker};

fn asked(line: &str) -> Asked {
    let cli = Cli::try_parse_from(format!("resident export {line}").split(' ')).unwrap();
    let Some(Sub::Export(asked)) = cli.command else { panic!("{line}") };
    asked
}

fn gone() -> Snapshot {
    let mut gone = all_known(noon());
    gone.servers[0].reach = Reach::Down { since: gone.at, answers: false, why: "connection refused".into() };
    gone
}

fn up(is: u8) -> String {
    format!("resident_up{{server=\"{SERVER}\"}} {is}\n")
}

async fn ran(line: &str, first: Snapshot) -> (Exit, String, String) {
    let at = first.at;
    let (handle, mut fake) = engine(first);
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let looker = looker(handle, stopped(at), None);
    let mut out = Out::new(&mut results, &mut remarks);
    let exit = export::run(&asked(line), None, looker, pending(), &mut out).await;
    assert_eq!(fake.commands.recv().await, None, "it only looks");
    (exit, String::from_utf8(results).unwrap(), String::from_utf8(remarks).unwrap())
}

#[tokio::test]
async fn once_it_is_printed_in_the_form_that_was_asked_for() {
    let (exit, text, remarks) = ran("--prometheus", all_known(noon())).await;
    assert_eq!((exit, remarks.as_str()), (Exit::Done, ""));
    assert!(text.contains(&up(1)) && !text.contains("# EOF"), "{text}");
    let (exit, text, _) = ran("--openmetrics", all_known(noon())).await;
    assert_eq!(exit, Exit::Done);
    assert!(text.contains(&up(1)) && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn without_a_server_it_says_so_in_every_way() {
    let (exit, text, remarks) = ran("--prometheus", gone()).await;
    assert_eq!(exit, Exit::NoServer);
    assert!(text.contains(&up(0)), "{text}");
    assert!(remarks.starts_with("no server at http://127.0.0.1:11434"), "{remarks}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resident.prom");
    std::fs::write(&path, "old").unwrap();
    let (exit, text, _) = ran(&format!("--textfile {}", path.display()), gone()).await;
    assert_eq!((exit, text.as_str()), (Exit::NoServer, ""));
    assert!(std::fs::read_to_string(&path).unwrap().contains(&up(0)), "the old file would say it is up");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_not_up() {
    let mut silent = all_known(noon());
    let server = &mut silent.servers[0];
    (server.reach, server.ps_at, server.tags_at) = (Reach::Connecting, None, None);
    let (exit, text, remarks) = ran("--prometheus", silent).await;
    assert_eq!(exit, Exit::TimedOut);
    assert!(text.contains(&up(0)) && !text.contains("resident_model"), "{text}");
    assert!(remarks.contains("did not answer in time"), "{remarks}");
}

#[tokio::test]
async fn a_file_is_written_once_and_what_does_not_work_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resident.prom");
    let (exit, text, remarks) = ran(&format!("--textfile {}", path.display()), all_known(noon())).await;
    assert_eq!((exit, text.as_str(), remarks.as_str()), (Exit::Done, "", ""));
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.contains(&up(1)) && !written.contains("# EOF"), "{written}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let nowhere = folder.path().join("nowhere/resident.txt");
    let (exit, _, remarks) = ran(&format!("--textfile {}", nowhere.display()), all_known(noon())).await;
    assert_eq!(exit, Exit::Failed);
    assert!(remarks.contains("only files that end in .prom"), "{remarks}");
    assert!(remarks.contains("resident.txt is not written: no file can be made beside it"), "{remarks}");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_written_again_and_again_until_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resident.prom");
    let first = all_known(noon());
    let at = first.at;
    let (handle, fake) = engine(first);
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let mut out = Out::new(&mut results, &mut remarks);
    let (stop, stopping) = oneshot::channel::<()>();
    let asked = asked(&format!("--textfile {} --every 30s", path.display()));
    let interrupt = async { stopping.await.unwrap() };
    let says = async |wanted: &str| {
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains(wanted)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let looker = looker(handle, stopped(at), None);
    let (exit, ()) = tokio::join!(export::run(&asked, None, looker, interrupt, &mut out), async {
        says(&up(1)).await;
        fake.change(|snapshot| *snapshot = gone());
        says(&up(0)).await;
        // The directory goes and comes back: told once each.
        std::fs::remove_dir_all(folder.path()).unwrap();
        tokio::time::sleep(Duration::from_secs(300)).await;
        std::fs::create_dir(folder.path()).unwrap();
        fake.change(|snapshot| *snapshot = all_known(at));
        says(&up(1)).await;
        stop.send(()).unwrap();
    });
    let remarks = String::from_utf8(remarks).unwrap();
    assert_eq!(exit, Exit::Done);
    assert_eq!(remarks.lines().count(), 2, "{remarks}");
    assert!(remarks.ends_with("resident.prom is written again\n"), "{remarks}");
}

#[test]
fn it_is_said_how_and_what_goes_with_what() {
    let wrong = |line: &str| Cli::read(line.split(' ').map(Into::into)).unwrap_err().to_string();
    assert!(wrong("resident export").contains("--prometheus"));
    assert!(wrong("resident export --prometheus --listen 9736").contains("cannot be used with"));
    assert!(wrong("resident export --prometheus --every 30s").contains("cannot be used with"));
    assert!(wrong("resident export --textfile a.prom --name box").contains("cannot be used with"));
    assert!(wrong("resident export --textfile a.prom --every 10ms").contains("at least 1s"));
    assert!(wrong("resident export --every 30s").contains("--textfile"));
    assert!(wrong("resident export --listen box").contains("write a port, or ADDRESS:PORT"));
    assert!(wrong("resident --json export --prometheus").contains("resident status --json"));
    assert_eq!(asked("--listen 9736").listen, Some(SocketAddr::from(([127, 0, 0, 1], 9736))));
}

/// Sends it whole and reads the answer whole.
async fn request(to: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

/// What comes until the end; nothing from a connection that was closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn get(host: &str) -> String {
    format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn status(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default().strip_prefix("HTTP/1.1 ").unwrap_or_default()
}

/// What becomes of `scrape`, which is handed where it listens; then it is interrupted. What it said comes too.
async fn scraped<F: Future<Output = ()>>(
    line: &str,
    at: SocketAddr,
    scrape: impl FnOnce(SocketAddr) -> F,
) -> (String, String) {
    let first = all_known(noon());
    let (looking, now) = (first.clone(), first.at);
    let (handle, mut fake) = engine(looking);
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut results, mut remarks) = (Vec::new(), Vec::new());
    let mut out = Out::new(&mut results, &mut remarks);
    let (stop, stopping) = oneshot::channel::<()>();
    let interrupt = async { stopping.await.unwrap() };
    let (asked, looker) = (asked(line), looker(handle, stopped(now), None));
    let (exit, ()) = tokio::join!(export::run(&asked, Some(listener), looker, interrupt, &mut out), async {
        scrape(address).await;
        stop.send(()).unwrap();
    });
    assert_eq!(exit, Exit::Done);
    assert_eq!(fake.commands.try_recv().ok(), None, "it only looks");
    (String::from_utf8(results).unwrap(), String::from_utf8(remarks).unwrap())
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn metrics_are_scraped_in_the_form_that_the_client_takes() {
    let mut url = String::new();
    let (said, remarks) = scraped("--listen 0", LOOPBACK, async |to| {
        url = format!("http://{to}/metrics\n");
        let plain = request(to, &get("127.0.0.1:9736")).await;
        assert_eq!(status(&plain), "200 OK");
        assert!(plain.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
        assert!(plain.contains(&up(1)) && !plain.contains("# EOF"), "{plain}");
        let open = get("localhost").replace(
            "\r\n\r\n",
            "\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3\r\n\r\n",
        );
        let open = request(to, &open).await;
        assert!(
            open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n")
        );
        assert!(open.contains(&up(1)) && open.ends_with("# EOF\n"), "{open}");
        let head = request(to, &get("[::1]").replace("GET", "HEAD")).await;
        assert_eq!(status(&head), "200 OK");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    })
    .await;
    assert_eq!((said, remarks.as_str()), (url, "end it with Ctrl-C\n"));
}

#[tokio::test]
async fn all_else_is_refused() {
    scraped("--listen 0 --name gpu.lan", LOOPBACK, async |to| {
        for (text, answered) in [
            (get("evil.example"), "403 Forbidden"),
            (get("127.0.0.1.evil.example:9736"), "403 Forbidden"),
            (get("gpu.lan:9736"), "200 OK"),
            // The line names another host than the header.
            (get("127.0.0.1").replace("/metrics", "http://evil.example/metrics"), "403 Forbidden"),
            (get("127.0.0.1").replace("/metrics", "/"), "404 Not Found"),
            (get("127.0.0.1").replace("/metrics", "/metrics/../api/ps"), "404 Not Found"),
            (get("127.0.0.1").replace("GET", "POST"), "405 Method Not Allowed"),
            (get("127.0.0.1").replace("GET", "OPTIONS"), "405 Method Not Allowed"),
            (get("evil.example").replace("/metrics", "/api/ps"), "403 Forbidden"),
            ("GET /metrics HTTP/1.0\r\n\r\n".to_owned(), ""),
            ("no request\r\n\r\n".to_owned(), "400 Bad Request"),
            (get("127.0.0.1").replace("\r\n\r\n", &format!("\r\nx: {}\r\n\r\n", "y".repeat(60_000))), ""),
        ] {
            let answer = request(to, &text).await;
            let line: String = text.chars().take(80).collect();
            if answered.is_empty() {
                assert!(!status(&answer).starts_with("200"), "{line}: {answer}");
            } else {
                assert_eq!(status(&answer), answered, "{line}");
            }
            assert!(!answer.contains("access-control-allow"), "no page of another origin may read it");
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_slow_keeps_nobody_else_waiting() {
    scraped("--listen 0", LOOPBACK, async |to| {
        let whole = get("127.0.0.1");
        let (first, last) = whole.split_at(20);
        let mut slow = TcpStream::connect(to).await.unwrap();
        slow.write_all(first.as_bytes()).await.unwrap();
        assert_eq!(status(&request(to, &whole).await), "200 OK");
        slow.write_all(last.as_bytes()).await.unwrap();
        assert_eq!(status(&rest(&mut slow).await), "200 OK");
    })
    .await;
}

#[tokio::test]
async fn where_others_can_read_it_that_is_said() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let (_, remarks) = scraped("--listen 0.0.0.0:0", everywhere, async |to| {
        let here = SocketAddr::from(([127, 0, 0, 1], to.port()));
        assert_eq!(status(&request(here, &get("10.0.0.5:9736")).await), "200 OK");
        assert_eq!(status(&request(here, &get("evil.example")).await), "403 Forbidden");
    })
    .await;
    assert!(remarks.contains("other machines can read it, without a password"), "{remarks}");
}

/// Serves a short page to at most so many at once; where it listens.
async fn short_page(limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    let page: Page = Arc::new(|_| async { Ok("short\n".to_owned()) }.boxed());
    tokio::spawn(serve(listener, page, Names::new(address, None, &[]), limits));
    address
}

#[tokio::test]
async fn more_connections_than_there_are_places_are_closed() {
    let to = short_page(Limits { connections: 1, ..Limits::default() }).await;
    let whole = get("127.0.0.1");
    let (first, last) = whole.split_at(20);
    let mut only = TcpStream::connect(to).await.unwrap();
    only.write_all(first.as_bytes()).await.unwrap();
    assert_eq!(request(to, &whole).await, "");
    only.write_all(last.as_bytes()).await.unwrap();
    assert_eq!(status(&rest(&mut only).await), "200 OK");
    // Its place is free again as soon as the server sees that it has gone.
    while status(&request(to, &whole).await) != "200 OK" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_ends_his_request_is_let_go() {
    let to = short_page(Limits::default()).await;
    let mut silent = TcpStream::connect(to).await.unwrap();
    silent.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127").await.unwrap();
    assert!(!status(&rest(&mut silent).await).starts_with("200"));
}

#[test]
fn the_program_itself_ends_with_five_where_there_is_no_server_and_prints_all_the_same() {
    let state = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_resident"))
        .args(["export", "--prometheus", "--host", "127.0.0.1:1"])
        .env("XDG_STATE_HOME", state.path())
        .env("XDG_CONFIG_HOME", state.path())
        .current_dir(state.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("resident_up{server=\"http://127.0.0.1:1\"} 0\n"), "{text}");
    // Who only looks makes no journal.
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

//! The client against a socket that does all that a server should not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use resident::ollama::{Access, Client, Error, Kind, Load, Operation, Options, Prompt, Unreachable};
use resident::residency::keep_alive::KeepAlive;
use resident::residency::name::ModelName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// What the socket does once it has read a request.
#[derive(Clone)]
enum Deed {
    /// Says this and closes.
    Say(String),
    /// Says this, then resets the connection.
    Reset(String),
    /// Says this, then the filler again and again until the client goes.
    Endless(String, String),
    /// Says this, then a byte now and then until the client goes.
    Trickle(String),
    /// Says nothing until the client goes.
    Silence,
}

/// A server on a free port that does one deed for every request.
struct Socket {
    url: String,
    client: Client,
    /// Every request that came.
    requests: Arc<Mutex<Vec<String>>>,
    /// Told each time a request is there, and each time a client has gone.
    told: mpsc::Receiver<&'static str>,
}

impl Socket {
    async fn that(deed: Deed) -> Socket {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = mpsc::channel(64);
        let noted = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, deed.clone(), Arc::clone(&noted), tell.clone()));
            }
        });
        let client = Client::new(&url, hasty()).unwrap();
        Socket { url, client, requests, told }
    }

    async fn says(status: &str, kind: &str, body: &str) -> Socket {
        Self::that(Deed::Say(answer(status, kind, body))).await
    }

    /// The path and the body of the only request.
    fn only_request(&self) -> (String, Value) {
        let requests = self.requests.lock().unwrap();
        let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

async fn serve(
    mut stream: TcpStream,
    deed: Deed,
    noted: Arc<Mutex<Vec<String>>>,
    tell: mpsc::Sender<&'static str>,
) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    noted.lock().unwrap().push(String::from_utf8(request).unwrap());
    let _ = tell.send("asked").await;
    match deed {
        Deed::Say(text) => drop(stream.write_all(text.as_bytes()).await),
        Deed::Reset(text) => {
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            stream.set_zero_linger().unwrap();
        }
        Deed::Endless(text, filler) => {
            let mut going = stream.write_all(text.as_bytes()).await;
            while going.is_ok() {
                going = stream.write_all(filler.as_bytes()).await;
            }
        }
        Deed::Trickle(text) => {
            let mut going = stream.write_all(text.as_bytes()).await;
            while going.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                going = stream.write_all(b" ").await;
            }
        }
        Deed::Silence => {
            let _ = stream.read(&mut [0; 16]).await;
        }
    }
    let _ = tell.send("gone").await;
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn chunked(kind: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// Limits short enough to wait for; a test that must not run into one never does, however slow the machine.
fn hasty() -> Options {
    let long = Duration::from_secs(60);
    Options { connect: long, quick: long, disk: long, act: long }
}

fn impatient(socket: &Socket) -> Client {
    let short = Duration::from_millis(150);
    Client::new(&socket.url, Options { quick: short, disk: short, act: short, ..hasty() }).unwrap()
}

const JSON: &str = "application/json; charset=utf-8";
const LOADED: &str =
    r#"{"model":"m","created_at":"2026-11-23T06:44:50Z","response":"","done":true,"done_reason":"load"}"#;

fn model() -> ModelName {
    ModelName::parse("m").unwrap()
}

fn plain(model: &ModelName) -> Load<'_> {
    Load { model, keep_alive: None, num_ctx: None, embed: false }
}

#[tokio::test]
async fn a_load_sends_no_prompt_and_only_what_was_given() {
    let socket = Socket::says("200 OK", JSON, LOADED).await;
    let answer = socket.client.load(&plain(&model())).await.unwrap();
    assert_eq!(answer.done_reason.as_deref(), Some("load"));
    let (line, body) = socket.only_request();
    assert_eq!((line.as_str(), body), ("POST /api/generate HTTP/1.1", json!({"model": "m:latest"})));
}

#[tokio::test]
async fn a_loads_keep_alive_is_a_number_and_its_context_an_option() {
    let socket = Socket::says("200 OK", JSON, LOADED).await;
    let (model, keep_alive) = (model(), Some(KeepAlive::Forever));
    socket.client.load(&Load { keep_alive, num_ctx: Some(8192), ..plain(&model) }).await.unwrap();
    let expected = json!({"model": "m:latest", "keep_alive": -1, "options": {"num_ctx": 8192}});
    assert_eq!(socket.only_request().1, expected);
}

#[tokio::test]
async fn a_model_that_can_only_embed_is_loaded_where_the_server_lets_it() {
    let socket = Socket::says("200 OK", JSON, r#"{"model":"m","embeddings":[]}"#).await;
    let answer = socket.client.load(&Load { embed: true, ..plain(&model()) }).await.unwrap();
    assert_eq!(answer.embeddings, Some(vec![]));
    let (line, body) = socket.only_request();
    assert_eq!((line.as_str(), body), ("POST /api/embed HTTP/1.1", json!({"model": "m:latest"})));
}

#[tokio::test]
async fn a_touch_carries_the_context_that_the_model_runs_with() {
    let socket = Socket::says("200 OK", JSON, LOADED).await;
    socket.client.touch(&Load { num_ctx: Some(4096), ..plain(&model()) }).await.unwrap();
    assert_eq!(socket.only_request().1, json!({"model": "m:latest", "options": {"num_ctx": 4096}}));
}

#[tokio::test]
async fn an_unload_is_a_keep_alive_of_zero_through_generate() {
    let socket = Socket::says("200 OK", JSON, r#"{"model":"m","done":true,"done_reason":"unload"}"#).await;
    socket.client.unload(&model()).await.unwrap();
    let (line, body) = socket.only_request();
    let expected = json!({"model": "m:latest", "keep_alive": 0});
    assert_eq!((line.as_str(), body), ("POST /api/generate HTTP/1.1", expected));
}

#[tokio::test]
async fn a_name_that_breaks_the_rules_is_sent_back_as_it_came() {
    let socket = Socket::says("200 OK", JSON, LOADED).await;
    let odd = "a b\"\n\u{1b}[2J/日本";
    socket.client.unload(&ModelName::from_server(odd)).await.unwrap();
    assert_eq!(socket.only_request().1["model"], odd);
}

#[tokio::test]
async fn the_lists_are_asked_for_and_read() {
    let body = r#"{"models":[{"name":"a:b","size":5},7]}"#;
    let socket = Socket::says("200 OK", JSON, body).await;
    assert_eq!(socket.client.tags().await.unwrap().iter().map(|m| m.size).collect::<Vec<_>>(), [5]);
    assert_eq!(
        socket.client.ps().await.unwrap().iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
        ["a:b"]
    );
    let lines: Vec<_> =
        socket.requests.lock().unwrap().iter().map(|r| r.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["GET /api/tags HTTP/1.1", "GET /api/ps HTTP/1.1"]);
}

#[tokio::test]
async fn a_living_server_is_known_by_its_words() {
    let socket = Socket::says("200 OK", "text/plain; charset=utf-8", "Ollama is running").await;
    assert_eq!(socket.client.alive().await, Ok(()));
    let other = Socket::says("200 OK", "text/html", "<h1>It works!</h1>").await;
    let kind = Kind::NotOllama("it says \"<h1>It works!</h1>\"".into());
    assert_eq!(other.client.alive().await, Err(Error { operation: Operation::Alive, kind }));
}

#[tokio::test]
async fn what_answers_without_being_ollama_is_said_to_be_another() {
    for (status, kind, body) in [
        ("200 OK", "text/html", "<html>"),
        ("200 OK", "text/plain", "{\"version\":\"1\"}"),
        ("200 OK", JSON, "{}"),
        ("404 Not Found", "text/plain", "404 page not found"),
        ("404 Not Found", "text/html", "<html>"),
    ] {
        let error = Socket::says(status, kind, body).await.client.version().await.unwrap_err();
        assert!(matches!(error.kind, Kind::NotOllama(_)), "{status} {kind} {body}: {error}");
    }
}

#[tokio::test]
async fn a_broken_answer_is_an_error_and_names_the_operation() {
    for body in [r#"{"models":[{"name":"a""#, "", "[]", "null", "{}{}", "\u{0}"] {
        let error = Socket::says("200 OK", JSON, body).await.client.ps().await.unwrap_err();
        assert!(
            matches!(error, Error { operation: Operation::Ps, kind: Kind::BadAnswer(_) }),
            "{body:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_number_that_no_machine_holds_does_not_cost_the_list() {
    let body = r#"{"models":[{"name":"a","size":1e999},{"name":"b","size":7}]}"#;
    let socket = Socket::says("200 OK", JSON, body).await;
    let sizes: Vec<_> = socket.client.ps().await.unwrap().iter().map(|model| model.size).collect();
    assert_eq!(sizes, [0, 7]);
    assert_eq!(socket.client.tags().await.unwrap().len(), 2);
    // NaN is no JSON at all.
    let error = Socket::says("200 OK", JSON, r#"{"models":[NaN]}"#).await.client.ps().await.unwrap_err();
    assert!(matches!(error.kind, Kind::BadAnswer(_)), "{error}");
}

#[tokio::test]
async fn an_answer_of_endless_depth_is_an_error() {
    let deep = format!(r#"{{"models":{}"#, "[".repeat(500_000));
    let error = Socket::says("200 OK", JSON, &deep).await.client.ps().await.unwrap_err();
    assert!(matches!(error.kind, Kind::BadAnswer(_)), "{error}");
}

#[tokio::test]
async fn a_redirect_is_refused_and_never_followed() {
    let text = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\u{9b}\r\nContent-Length: 0\r\n\r\n";
    let socket = Socket::that(Deed::Say(text.into())).await;
    let error = socket.client.tags().await.unwrap_err();
    assert_eq!(error.kind, Kind::Redirected { to: "/elsewhere\u{fffd}".into() });
    assert_eq!(socket.only_request().0, "GET /api/tags HTTP/1.1");
}

#[tokio::test]
async fn an_answer_of_a_gigabyte_is_refused_before_it_is_read() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: 1000000000\r\n\r\n{{");
    for status in ["200 OK", "500 Internal Server Error"] {
        let socket = Socket::that(Deed::Endless(text.replace("200 OK", status), " ".repeat(65_536))).await;
        let kind = socket.client.ps().await.unwrap_err().kind;
        if status == "200 OK" {
            assert_eq!(kind, Kind::TooLarge { limit: 1 << 20 });
        } else {
            assert_eq!(kind, Kind::Status { status: 500, words: "internal server error".into() });
        }
    }
}

#[tokio::test]
async fn an_endless_answer_ends_in_an_error() {
    let socket =
        Socket::that(Deed::Endless(chunked(JSON), format!("10000\r\n{}\r\n", " ".repeat(65_536)))).await;
    assert_eq!(socket.client.ps().await.unwrap_err().kind, Kind::TooLarge { limit: 1 << 20 });
    assert_eq!(socket.client.tags().await.unwrap_err().kind, Kind::TooLarge { limit: 16 << 20 });
    assert_eq!(
        socket.client.load(&plain(&model())).await.unwrap_err().kind,
        Kind::TooLarge { limit: 1 << 20 }
    );
}

#[tokio::test]
async fn an_endless_head_ends_in_an_error() {
    let socket =
        Socket::that(Deed::Endless("HTTP/1.1 200 OK\r\n".into(), "X-Filler: yes\r\n".repeat(1000))).await;
    let error = socket.client.ps().await.unwrap_err();
    assert!(matches!(error.kind, Kind::BrokenOff(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_trickles_ends_with_the_time_limit() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: 100000\r\n\r\n{{");
    let socket = Socket::that(Deed::Trickle(text)).await;
    let after = Duration::from_millis(150);
    assert_eq!(impatient(&socket).ps().await.unwrap_err().kind, Kind::Timeout { after });
}

#[tokio::test]
async fn a_silent_server_ends_with_the_time_limit() {
    let socket = Socket::that(Deed::Silence).await;
    let client = impatient(&socket);
    let after = Duration::from_millis(150);
    let model = model();
    assert_eq!(
        client.ps().await.unwrap_err(),
        Error { operation: Operation::Ps, kind: Kind::Timeout { after } }
    );
    assert_eq!(client.show(&model).await.unwrap_err().kind, Kind::Timeout { after });
    assert_eq!(client.unload(&model).await.unwrap_err().kind, Kind::Timeout { after });
    assert_eq!(client.touch(&plain(&model)).await.unwrap_err().kind, Kind::Timeout { after });
}

#[tokio::test]
async fn a_load_outlasts_every_limit_and_dropping_it_closes_the_connection() {
    let mut socket = Socket::that(Deed::Silence).await;
    let client = impatient(&socket);
    let load = tokio::spawn(async move { client.load(&plain(&model())).await });
    assert_eq!(socket.told.recv().await, Some("asked"));
    // Longer than each of its limits.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!load.is_finished());
    assert!(socket.told.try_recv().is_err());
    load.abort();
    assert_eq!(socket.told.recv().await, Some("gone"));
}

#[tokio::test]
async fn a_connection_that_ends_amid_the_answer_has_broken_off() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: 100\r\n\r\n{{\"mod");
    for deed in
        [Deed::Say(text.clone()), Deed::Reset(text), Deed::Say(String::new()), Deed::Say("HTTP/1.1 2".into())]
    {
        let error = Socket::that(deed).await.client.ps().await.unwrap_err();
        assert!(matches!(error.kind, Kind::BrokenOff(_)), "{error:?}");
        assert!(error.is_unreachable());
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    let error =
        Socket::that(Deed::Say("SSH-2.0-OpenSSH_9.6\r\n".into())).await.client.ps().await.unwrap_err();
    assert!(matches!(error.kind, Kind::BrokenOff(_)), "{error:?}");
}

#[cfg(feature = "https")]
#[tokio::test]
async fn an_https_address_of_a_plain_server_says_what_to_try() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let error = Client::new(&url, hasty()).unwrap().version().await.unwrap_err();
    let told = Unreachable::Other("it does not speak TLS; try http://".to_owned());
    assert_eq!(error.kind, Kind::Unreachable(told));
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    // Bound but not listening: nobody else can take the port meanwhile.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = Client::new(&format!("http://{}", held.local_addr().unwrap()), hasty()).unwrap();
    let error = client.version().await.unwrap_err();
    let kind = Kind::Unreachable(Unreachable::Refused);
    assert_eq!(error, Error { operation: Operation::Version, kind });
    assert_eq!(
        error.to_string(),
        "asking for the version: no connection: nobody listens there (connection refused)"
    );
}

#[tokio::test]
async fn the_servers_own_words_are_kept_and_decide_the_kind() {
    let words = |words: &str| words.to_owned();
    for (status, kind, body, expected) in [
        (
            "404 Not Found",
            JSON,
            r#"{"error":"model 'x' not found"}"#,
            Kind::NotFound { words: words("model 'x' not found") },
        ),
        (
            "503 Service Unavailable",
            JSON,
            r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
            Kind::ServerBusy {
                words: words("server busy, please try again. maximum pending requests exceeded"),
            },
        ),
        (
            "500 Internal Server Error",
            JSON,
            r#"{"error":"llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory"}"#,
            Kind::OutOfMemory {
                status: 500,
                words: words(
                    "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory",
                ),
            },
        ),
        (
            "400 Bad Request",
            JSON,
            r#"{"error":"\"m\" does not support \u001b[2Jgenerate"}"#,
            Kind::Status { status: 400, words: words("\"m\" does not support \u{fffd}[2Jgenerate") },
        ),
        (
            "405 Method Not Allowed",
            "text/plain",
            "405 method not allowed",
            Kind::Status { status: 405, words: words("405 method not allowed") },
        ),
        (
            "502 Bad Gateway",
            "text/html",
            "<html>nginx</html>",
            Kind::Status { status: 502, words: words("bad gateway") },
        ),
        (
            "500 Internal Server Error",
            JSON,
            "{",
            Kind::Status { status: 500, words: words("internal server error") },
        ),
        (
            "500 Internal Server Error",
            "",
            "\r\n  panic: no\u{1b}[2J runner\ngoroutine 1 [running]",
            Kind::Status { status: 500, words: words("panic: no\u{fffd}[2J runner") },
        ),
        (
            "500 Internal Server Error",
            JSON,
            "upstream is gone",
            Kind::Status { status: 500, words: words("upstream is gone") },
        ),
        (
            "500 Internal Server Error",
            "text/plain",
            "load failed\ncudaMalloc failed: out of memory",
            Kind::OutOfMemory { status: 500, words: words("cudaMalloc failed: out of memory") },
        ),
        (
            "502 Bad Gateway",
            "text/plain",
            "<!doctype html>\n<h1>nginx",
            Kind::Status { status: 502, words: words("bad gateway") },
        ),
        (
            "403 Forbidden",
            "",
            "",
            Kind::Status {
                status: 403,
                words: words("refused; the server may not accept this host name, try 127.0.0.1"),
            },
        ),
        (
            "200 OK",
            JSON,
            r#"{"error":"failed to allocate compute buffers"}"#,
            Kind::OutOfMemory { status: 200, words: words("failed to allocate compute buffers") },
        ),
    ] {
        let error = Socket::says(status, kind, body).await.client.load(&plain(&model())).await.unwrap_err();
        assert_eq!(error, Error { operation: Operation::Load, kind: expected });
    }
}

#[tokio::test]
async fn every_recorded_refusal_keeps_the_servers_words() {
    let recording = include_str!("../data/recorded/ollama-0.32.15.jsonl");
    let mut seen = 0;
    for case in recording.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let response = &case["response"];
        let (Some(status @ 400..), Some(words)) =
            (response["status"].as_u64(), response["json"]["error"].as_str())
        else {
            continue;
        };
        let socket = Socket::says(&format!("{status} x"), JSON, &response["json"].to_string()).await;
        let error = socket.client.load(&plain(&model())).await.unwrap_err();
        let one_line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(error.words(), Some(one_line.as_str()), "{}", case["case"]);
        let as_expected = match status {
            404 => matches!(error.kind, Kind::NotFound { .. }),
            503 => matches!(error.kind, Kind::ServerBusy { .. }),
            other => matches!(error.kind, Kind::Status { status, .. } if u64::from(status) == other),
        };
        assert!(as_expected, "{}: {error:?}", case["case"]);
        seen += 1;
    }
    assert_eq!(seen, 20);
}

async fn prompted(body: &str) -> (Result<u64, Error>, u32, (String, Value)) {
    let socket = Socket::says("200 OK", "application/x-ndjson", body).await;
    let model = ModelName::parse("a:b").unwrap();
    let prompt = Prompt { model: &model, text: "why?", max_tokens: Some(3), num_ctx: Some(2048) };
    let mut heard = 0;
    let answer = socket.client.prompt(&prompt, || heard += 1).await;
    (answer, heard, socket.only_request())
}

#[tokio::test]
async fn a_prompt_counts_its_tokens_as_they_come_and_asks_with_the_loaded_context() {
    let body = "{\"response\":\"\",\"thinking\":\"hm\"}\n{\"response\":\"so\"}\n{\"response\":\"\"}\n\
                {\"response\":\"\",\"done\":true,\"eval_count\":5}\n";
    let (answer, heard, (first, request)) = prompted(body).await;
    assert_eq!((answer.unwrap(), heard), (5, 2));
    assert!(first.starts_with("POST /api/generate"), "{first}");
    assert_eq!(
        request,
        json!({"model": "a:b", "prompt": "why?", "stream": true, "options": {"num_predict": 3, "num_ctx": 2048}})
    );
}

#[tokio::test]
async fn a_prompt_whose_answer_breaks_off_or_fails_midway_is_an_error() {
    for (body, kind) in [
        ("{\"response\":\"so\"}\n", Kind::BrokenOff("the answer has no end".into())),
        (
            "{\"response\":\"so\"}\n{\"error\":\"the runner died\"}\n",
            Kind::Status { status: 200, words: "the runner died".into() },
        ),
    ] {
        let (answer, heard, _) = prompted(body).await;
        assert_eq!((answer.unwrap_err(), heard), (Error { operation: Operation::Prompt, kind }, 1));
    }
    let (answer, ..) = prompted("{\"response\":7}\n").await;
    assert!(matches!(answer.unwrap_err().kind, Kind::BadAnswer(_)));
}

#[tokio::test]
async fn a_token_and_headers_go_with_each_request_and_in_no_errors_words() {
    let socket = Socket::says("401 Unauthorized", "application/json", r#"{"error":"unauthorized"}"#).await;
    let mut access = Access::default();
    access.token("s3cret").unwrap();
    access.header("X-Team", "blue").unwrap();
    let client = Client::with(&socket.url, hasty(), &access).unwrap();
    let error = client.version().await.unwrap_err();
    let request = socket.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        request.contains("authorization: bearer s3cret") && request.contains("x-team: blue"),
        "{request}"
    );
    for text in [error.to_string(), format!("{error:?}"), format!("{client:?}")] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

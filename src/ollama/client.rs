//! The client: each question of the API as one method, with its timeout and its bound.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Method, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{Error, Operation};
use super::wire;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::text::printable;

/// A list of ten thousand models has under 10 MB; more is no list.
const LIST_LIMIT: usize = 16 << 20;
/// `/api/show` carries licences and templates.
const SHOW_LIMIT: usize = 4 << 20;
/// All other answers are a few hundred bytes.
const SMALL_LIMIT: usize = 256 << 10;
/// The longest part of the server's own words that is shown.
const WORDS: usize = 300;

const CONNECT: Duration = Duration::from_secs(3);
const PS: Duration = Duration::from_secs(3);
const QUICK: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

/// The way to one server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// What a load or a touch carries.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// Which model.
    pub model: &'a ModelName,
    /// None leaves the server's own.
    pub keep_alive: Option<KeepAlive>,
    /// None leaves the server's own.
    pub num_ctx: Option<u64>,
    /// Through `/api/embed`: the only door of an embedding-only model.
    pub embed: bool,
}

impl Client {
    /// A client for the server at `url` (scheme, host, port); nothing is sent yet.
    pub fn new(url: &str) -> Result<Client, Error> {
        let address = |why: &str| Error::Address(printable(url).into_owned(), why.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|error| address(&error.to_string()))?;
        let host = parsed.host_str().ok_or_else(|| address("it has no host"))?.to_owned();
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(2)
            .user_agent(concat!("resident/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&host) {
            // A proxy from the environment must never see loopback.
            http = http.no_proxy();
        }
        install_tls();
        #[cfg(feature = "https")]
        if parsed.scheme() == "http" {
            http = http.tls_certs_only([]);
        }
        match parsed.scheme() {
            "http" => {}
            "https" if cfg!(feature = "https") => {}
            "https" => return Err(address("this build has no https")),
            _ => return Err(address("it must begin with http:// or https://")),
        }
        let http = http.build().map_err(|error| address(&error.to_string()))?;
        Ok(Client { http, base: url.trim_end_matches('/').to_owned() })
    }

    /// `GET /`: whether anything is there.
    pub async fn alive(&self) -> Result<(), Error> {
        let (_, body) = self.ask(Operation::Alive, Method::GET, "/", None, Some(PS), SMALL_LIMIT).await?;
        if body.starts_with(b"Ollama") {
            Ok(())
        } else {
            Err(Error::NotOllama { operation: Operation::Alive, why: "another greeting".to_owned() })
        }
    }

    /// `GET /api/version`.
    pub async fn version(&self) -> Result<String, Error> {
        let answer: wire::Version = self.get(Operation::Version, "/api/version", QUICK, SMALL_LIMIT).await?;
        Ok(answer.version)
    }

    /// `GET /api/tags`: all installed models.
    pub async fn tags(&self) -> Result<Vec<wire::Installed>, Error> {
        let answer: wire::Tags = self.get(Operation::Tags, "/api/tags", ANSWER, LIST_LIMIT).await?;
        Ok(answer.models)
    }

    /// `GET /api/ps`: all loaded models. Never more than one of these at a time.
    pub async fn ps(&self) -> Result<Vec<wire::Running>, Error> {
        let answer: wire::Ps = self.get(Operation::Ps, "/api/ps", PS, LIST_LIMIT).await?;
        Ok(answer.models)
    }

    /// `POST /api/show`: reads only, restarts no timer.
    pub async fn show(&self, model: &ModelName) -> Result<wire::Shown, Error> {
        let body = json!({ "model": model.as_str() });
        let post = self.ask(Operation::Show, Method::POST, "/api/show", Some(&body), Some(QUICK), SHOW_LIMIT);
        parse(Operation::Show, &post.await?.1)
    }

    /// Loads a model by an empty prompt. No timeout: dropping the future is the cancel, the server then aborts.
    pub async fn load(&self, load: &Load<'_>) -> Result<(), Error> {
        self.empty_prompt(Operation::Load, load, None).await
    }

    /// Restarts (or changes) the keep_alive of a loaded model; `num_ctx` must be the one it runs with.
    pub async fn touch(&self, touch: &Load<'_>) -> Result<(), Error> {
        self.empty_prompt(Operation::Touch, touch, None).await
    }

    /// Asks for an unload; the answer comes before the model is gone.
    pub async fn unload(&self, model: &ModelName) -> Result<(), Error> {
        let now = Some(KeepAlive::For(Duration::ZERO));
        let load = Load { model, keep_alive: now, num_ctx: None, embed: false };
        self.empty_prompt(Operation::Unload, &load, Some(ANSWER)).await
    }

    async fn empty_prompt(
        &self,
        operation: Operation,
        load: &Load<'_>,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let mut body = json!({ "model": load.model.as_str() });
        if let Some(keep_alive) = load.keep_alive {
            body["keep_alive"] = seconds(keep_alive);
        }
        if let Some(num_ctx) = load.num_ctx {
            body["options"] = json!({ "num_ctx": num_ctx });
        }
        let path = if load.embed { "/api/embed" } else { "/api/generate" };
        let (_, answer) = self.ask(operation, Method::POST, path, Some(&body), limit, SMALL_LIMIT).await?;
        // A failure in the middle of a stream comes as a line under status 200.
        let answer: wire::Refusal =
            parse(operation, answer.split(|b| *b == b'\n').next().unwrap_or_default())?;
        match answer.error {
            Some(words) => Err(Error::Refused { operation, status: 200, words: bounded(&words) }),
            None => Ok(()),
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &str,
        time: Duration,
        limit: usize,
    ) -> Result<T, Error> {
        parse(operation, &self.ask(operation, Method::GET, path, None, Some(time), limit).await?.1)
    }

    /// One request; the time covers the whole of it, body included, so that a trickle ends too.
    async fn ask(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<&Value>,
        time: Option<Duration>,
        limit: usize,
    ) -> Result<(StatusCode, Vec<u8>), Error> {
        let exchange = self.exchange(operation, method, path, body, limit);
        match time {
            None => exchange.await,
            Some(after) => tokio::time::timeout(after, exchange)
                .await
                .unwrap_or(Err(Error::Timeout { operation, after })),
        }
    }

    async fn exchange(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: usize,
    ) -> Result<(StatusCode, Vec<u8>), Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.failed(operation, &error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(Error::NotOllama { operation, why: format!("it redirects with {status}") });
        }
        let bytes = read(response, operation, if status.is_success() { limit } else { SMALL_LIMIT }).await?;
        if status.is_success() {
            return Ok((status, bytes));
        }
        let words = serde_json::from_slice::<wire::Refusal>(&bytes).ok().and_then(|answer| answer.error);
        let words = words.map_or_else(String::new, |words| bounded(&words));
        Err(Error::Refused { operation, status: status.as_u16(), words })
    }

    fn failed(&self, operation: Operation, error: &reqwest::Error) -> Error {
        let why = innermost(error);
        if error.is_timeout() && !error.is_connect() {
            Error::Timeout { operation, after: ANSWER }
        } else if error.is_connect() {
            let why = if error.is_timeout() { "no answer to the connection".to_owned() } else { why };
            Error::Unreachable { url: printable(&self.base).into_owned(), why }
        } else {
            Error::Broken { operation, why }
        }
    }
}

async fn read(response: Response, operation: Operation, limit: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Error::Broken { operation, why: innermost(&error) })?;
        if bytes.len() + chunk.len() > limit {
            return Err(Error::TooLarge { operation, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(operation: Operation, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        let why = if error.is_eof() {
            "its answer ends too soon"
        } else {
            "its answer is not the JSON of that API"
        };
        Error::NotOllama { operation, why: why.to_owned() }
    })
}

/// Whole seconds as an integer, as the server's own clients write them.
fn seconds(keep_alive: KeepAlive) -> Value {
    let seconds = keep_alive.to_wire();
    #[expect(clippy::cast_possible_truncation, reason = "bounded to ten years by keep_alive")]
    let whole = seconds as i64;
    if seconds.fract() == 0.0 { json!(whole) } else { json!(seconds) }
}

/// The words at the bottom of an error's chain: those that say what happened.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    bounded(&last.to_string())
}

/// The server's words, short and safe to print.
fn bounded(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(WORDS).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    printable(&short).into_owned()
}

/// Whether a URL's host is this machine by its address alone.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(feature = "https")]
fn install_tls() {
    // Fails only if one is installed already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(not(feature = "https"))]
fn install_tls() {}

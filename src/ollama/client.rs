//! The client: one function per operation of the server; no answer is trusted, none may take memory or time without bound.
//!
//! The engine calls it. A load alone has no time limit: it takes as long as the disk needs, and dropping its future
//! closes the connection, at which the server aborts the load.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::access::Access;
use super::error::{Error, Kind, Operation, bounded, telling_line};
use super::request::{Load, Named, Request};
use super::wire::{self, Answer, ErrorBody, Installed, Ps, Running, Shown, Tags, Version};
use crate::residency::name::ModelName;

/// A list of ten thousand models is shorter.
const TAGS_LIMIT: usize = 16 << 20;
/// `/api/show` lists all tensors, some hundred bytes each, and the licences.
const SHOW_LIMIT: usize = 4 << 20;
/// All other answers.
const LIMIT: usize = 1 << 20;

/// How long the server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Until a connection is there.
    pub connect: Duration,
    /// For `/` and `/api/ps`, which the server answers from memory: it is busy if it takes longer.
    pub quick: Duration,
    /// For `/api/tags` and `/api/show`, which read the disk, and all that a slow server may take its time for.
    pub disk: Duration,
    /// For an unload and a touch.
    pub act: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            quick: Duration::from_secs(3),
            disk: Duration::from_secs(15),
            act: Duration::from_secs(30),
        }
    }
}

/// A server's address and the connections to it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    options: Options,
}

impl Client {
    /// A client of the server at `url`; sends nothing yet.
    pub fn new(url: &str, options: Options) -> Result<Client, Error> {
        Self::with(url, options, &Access::default())
    }

    /// The same of one that asks for something before it answers.
    pub fn with(url: &str, options: Options, access: &Access) -> Result<Client, Error> {
        Self::build(url, options, access).map_err(|kind| kind.during(Operation::Connect))
    }

    fn build(url: &str, options: Options, access: &Access) -> Result<Client, Kind> {
        let bad = |why: &str| Kind::BadAddress(format!("{} is no server's address: {why}", bounded(url)));
        let mut base = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        match base.scheme() {
            "http" => {}
            "https" if cfg!(feature = "https") => {}
            "https" => return Err(bad("this program was built without https")),
            _ => return Err(bad("it begins with neither http:// nor https://")),
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(bad("it has a ? or #"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("resident/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(options.connect)
            // A load waits without limit: a peer that vanished is noticed by these alone.
            .tcp_keepalive(Duration::from_secs(30))
            .pool_max_idle_per_host(2);
        #[cfg(feature = "https")]
        {
            // Fails only if one is installed already, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        if is_loopback(&base) {
            // A proxy of the environment would be asked for our own machine.
            http = http.no_proxy();
        }
        #[cfg(feature = "https")]
        if base.scheme() == "http" {
            // Reading the system's certificates takes 15 ms and is for nothing here; redirects are refused.
            http = http.tls_certs_only([]);
        }
        let http =
            access.equip(http).build().map_err(|error| bad(&bounded(&error.without_url().to_string())))?;
        Ok(Client { http, base, options })
    }

    /// Whether the server's address is this machine's own, so that its files and processes may be read here.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.base)
    }

    /// The port of its address.
    pub fn port(&self) -> Option<u16> {
        self.base.port_or_known_default()
    }

    /// Whether something that calls itself Ollama answers.
    pub async fn alive(&self) -> Result<(), Error> {
        let answer = self.text().await.map_err(|kind| kind.during(Operation::Alive))?;
        if answer.contains("Ollama is running") {
            return Ok(());
        }
        let said: String = answer.chars().take(60).collect();
        Err(Kind::NotOllama(format!("it says {:?}", bounded(&said))).during(Operation::Alive))
    }

    /// What the server calls itself.
    pub async fn version(&self) -> Result<String, Error> {
        let version =
            self.get::<Version>(Operation::Version, "api/version", self.options.disk, LIMIT).await?.version;
        if version.is_empty() {
            return Err(Kind::NotOllama("it has no version".to_owned()).during(Operation::Version));
        }
        Ok(version)
    }

    /// All installed models.
    pub async fn tags(&self) -> Result<Vec<Installed>, Error> {
        Ok(self.get::<Tags>(Operation::Tags, "api/tags", self.options.disk, TAGS_LIMIT).await?.models)
    }

    /// All loaded models. Ask at most once a second, one question at a time.
    pub async fn ps(&self) -> Result<Vec<Running>, Error> {
        Ok(self.get::<Ps>(Operation::Ps, "api/ps", self.options.quick, LIMIT).await?.models)
    }

    /// The same of a server that did not answer in time just now: it may take as long as for the disk.
    pub async fn ps_patiently(&self) -> Result<Vec<Running>, Error> {
        Ok(self.get::<Ps>(Operation::Ps, "api/ps", self.options.disk, LIMIT).await?.models)
    }

    /// What the server knows of a model; neither loads it nor restarts its `keep_alive`.
    pub async fn show(&self, model: &ModelName) -> Result<Shown, Error> {
        let body = Named { model: model.as_str() };
        self.post(Operation::Show, "api/show", &body, Some(self.options.disk), SHOW_LIMIT).await
    }

    /// Loads a model and returns when it is ready. Without a time limit; dropping the future cancels the load.
    pub async fn load(&self, load: &Load<'_>) -> Result<Answer, Error> {
        self.run(Operation::Load, load, None).await
    }

    /// Lets a *loaded* model say one token; `first` is called as its first line comes.
    pub async fn one_token(&self, load: &Load<'_>, first: impl FnOnce()) -> Result<Answer, Error> {
        let limit = Some(self.options.act);
        let body = load.one_token();
        self.speak(&body, limit, first).await.map_err(|kind| kind.during(Operation::FirstToken))
    }

    async fn speak(
        &self,
        body: &impl Serialize,
        limit: Option<Duration>,
        first: impl FnOnce(),
    ) -> Result<Answer, Kind> {
        let mut response = self.send(Method::POST, "api/generate", Some(body), limit).await?;
        let begin = response.chunk().await.map_err(|error| Kind::of_transport(&error, limit))?;
        first();
        let text = read_on(begin.unwrap_or_default().to_vec(), response, limit, LIMIT).await?;
        // Each line is an answer; an error comes as the last one.
        let last = text.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        let answer: Answer =
            wire::read(last).map_err(|error| Kind::BadAnswer(bounded(&error.to_string())))?;
        match &answer.error {
            Some(words) => Err(Kind::of_words(StatusCode::OK.as_u16(), words)),
            None => Ok(answer),
        }
    }

    /// Restarts the `keep_alive` of a *loaded* model. If it is not loaded after all, the load that begins is cut off
    /// with the time limit.
    pub async fn touch(&self, touch: &Load<'_>) -> Result<Answer, Error> {
        self.run(Operation::Touch, touch, Some(self.options.act)).await
    }

    /// Asks the server to let a model go. The answer comes before it is gone, also for one that was not loaded.
    ///
    /// Never for a cloud model: the request would be passed on.
    pub async fn unload(&self, model: &ModelName) -> Result<Answer, Error> {
        let request = Request::unload(model);
        // Through generate for all: embed would load the model first.
        let limit = Some(self.options.act);
        let answer = self.post(Operation::Unload, "api/generate", &request, limit, LIMIT).await?;
        whole(answer, Operation::Unload)
    }

    async fn run(
        &self,
        operation: Operation,
        load: &Load<'_>,
        limit: Option<Duration>,
    ) -> Result<Answer, Error> {
        let answer = self.post(operation, load.path(), &load.request(), limit, LIMIT).await?;
        whole(answer, operation)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &str,
        limit: Duration,
        most: usize,
    ) -> Result<T, Error> {
        self.ask(Method::GET, path, None::<&()>, Some(limit), most)
            .await
            .map_err(|kind| kind.during(operation))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &str,
        body: &impl Serialize,
        limit: Option<Duration>,
        most: usize,
    ) -> Result<T, Error> {
        self.ask(Method::POST, path, Some(body), limit, most).await.map_err(|kind| kind.during(operation))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        limit: Option<Duration>,
        most: usize,
    ) -> Result<T, Kind> {
        let response = self.send(method, path, body, limit).await?;
        let kind = content_type(&response);
        if !matches!(kind.as_str(), "application/json" | "application/x-ndjson") {
            let said = if kind.is_empty() {
                "without a type".to_owned()
            } else {
                format!("of type {}", bounded(&kind))
            };
            return Err(Kind::NotOllama(format!("it gives an answer {said}")));
        }
        let text = read(response, limit, most).await?;
        wire::read(&text).map_err(|error| Kind::BadAnswer(bounded(&error.to_string())))
    }

    async fn text(&self) -> Result<String, Kind> {
        let limit = Some(self.options.quick);
        let response = self.send(Method::GET, "", None::<&()>, limit).await?;
        read(response, limit, LIMIT).await
    }

    /// Sends a request; what comes back is a success, but its body is not read yet.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        limit: Option<Duration>,
    ) -> Result<Response, Kind> {
        let url = self.base.join(path).map_err(|error| Kind::BadAddress(error.to_string()))?;
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        let response = request.send().await.map_err(|error| Kind::of_transport(&error, limit))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(failure(response, limit).await)
    }
}

/// An error that came after the answer had begun stands in the answer.
fn whole(answer: Answer, operation: Operation) -> Result<Answer, Error> {
    match &answer.error {
        Some(words) => Err(Kind::of_words(StatusCode::OK.as_u16(), words).during(operation)),
        None => Ok(answer),
    }
}

/// What an answer that is no success means.
async fn failure(response: Response, limit: Option<Duration>) -> Kind {
    let status = response.status();
    if status.is_redirection() {
        let to =
            response.headers().get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        return Kind::Redirected { to: bounded(&to.unwrap_or_default()) };
    }
    let kind = content_type(&response);
    let text = match read(response, limit, LIMIT).await {
        Ok(text) => text,
        // The status says more than an endless text does.
        Err(Kind::TooLarge { .. }) => String::new(),
        Err(kind) => return kind,
    };
    if kind == "application/json" {
        if let Ok(ErrorBody { error }) = serde_json::from_str(&text)
            && !error.is_empty()
        {
            return Kind::of_words(status.as_u16(), &error);
        }
    } else if status == StatusCode::NOT_FOUND {
        return Kind::NotOllama("it does not know the API (404)".to_owned());
    }
    let own = if kind.contains("html") { None } else { telling_line(&text) };
    let said = if let Some(own) = own {
        own.to_owned()
    } else if status == StatusCode::FORBIDDEN {
        "refused; the server may not accept this host name, try 127.0.0.1".to_owned()
    } else {
        status.canonical_reason().unwrap_or("failed without a word").to_lowercase()
    };
    Kind::of_words(status.as_u16(), &said)
}

/// Reads a body as it comes, and no more of it than `most` bytes.
async fn read(response: Response, limit: Option<Duration>, most: usize) -> Result<String, Kind> {
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(Kind::TooLarge { limit: most });
    }
    read_on(Vec::new(), response, limit, most).await
}

/// The same of one that has begun.
async fn read_on(
    mut body: Vec<u8>,
    mut response: Response,
    limit: Option<Duration>,
    most: usize,
) -> Result<String, Kind> {
    let too_large = Kind::TooLarge { limit: most };
    while let Some(chunk) = response.chunk().await.map_err(|error| Kind::of_transport(&error, limit))? {
        if body.len() + chunk.len() > most {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(body)
        .unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned()))
}

/// The media type alone, in small letters.
fn content_type(response: &Response) -> String {
    let value =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether the address is of this very machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_before_anything_is_sent() {
        for bad in [
            "",
            "localhost",
            "127.0.0.1:11434",
            "ftp://x",
            "http://",
            "http://x/?a",
            "http://x/#a",
            "unix:/x",
        ] {
            let error = Client::new(bad, Options::default()).unwrap_err();
            assert!(
                matches!(error, Error { operation: Operation::Connect, kind: Kind::BadAddress(_) }),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_path_before_the_api_is_kept() {
        for base in ["http://gate:8080/ollama", "http://gate:8080/ollama/"] {
            let client = Client::new(base, Options::default()).unwrap();
            assert_eq!(client.base.join("api/ps").unwrap().as_str(), "http://gate:8080/ollama/api/ps");
        }
    }

    #[test]
    fn no_proxy_is_asked_for_our_own_machine() {
        let loopback = |url| is_loopback(&Url::parse(url).unwrap());
        for own in [
            "http://127.0.0.1:1",
            "http://localhost",
            "http://LOCALHOST.",
            "http://[::1]:3",
            "http://127.9.9.9",
        ] {
            assert!(loopback(own), "{own}");
        }
        for other in
            ["http://192.168.1.2", "http://localhost.example.com", "http://notlocalhost", "http://[fe80::1]"]
        {
            assert!(!loopback(other), "{other}");
        }
    }

    #[cfg(feature = "https")]
    #[tokio::test]
    async fn an_https_server_gets_a_client_that_knows_the_systems_certificates() {
        assert!(Client::new("https://example.invalid", Options::default()).is_ok());
    }
}

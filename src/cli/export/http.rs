//! The server that is scraped: `GET /metrics` and nothing else, for few at a time, and none of them for long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::accept::form;
use super::exposition::Form;
use super::host::Names;

/// The one path.
pub const PATH: &str = "/metrics";

/// How much of whom.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; one more is closed.
    pub connections: usize,
    /// How long a request's head may take to come.
    pub head: Duration,
    /// How long a connection lasts at most.
    pub whole: Duration,
    /// A request's head has at most so many bytes.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 32,
            head: Duration::from_secs(5),
            whole: Duration::from_secs(30),
            bytes: 16 * 1024,
        }
    }
}

/// Makes the text that is scraped; the error is why it cannot.
pub type Page = Arc<dyn Fn(Form) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// After an error of the system, such as too many open files, it is waited this long.
const BREATH: Duration = Duration::from_millis(200);

/// Answers until it is dropped, which ends all connections.
pub async fn serve(listener: TcpListener, page: Page, names: Names, limits: Limits) {
    let (names, places) = (Arc::new(names), Arc::new(Semaphore::new(limits.connections)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Closed at once: who scrapes sees an error and comes again.
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let answered = connection(stream, Arc::clone(&page), Arc::clone(&names), limits);
                    connections.spawn(async move {
                        // A connection that fails or lasts too long concerns nobody else.
                        let _ = timeout(limits.whole, answered).await;
                        drop(place);
                    });
                }
                Err(_) => sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, page: Page, names: Arc<Names>, limits: Limits) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let (page, names) = (Arc::clone(&page), Arc::clone(&names));
        async move { Ok::<_, Infallible>(answer(&request, &page, &names).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.bytes)
        // A scrape comes every few seconds; a connection that waits for it would take a place.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer<B>(request: &Request<B>, page: &Page, names: &Names) -> Response<Body> {
    let headers = request.headers();
    // A browser that a foreign page has led here by its own name tells that name.
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    let target = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let all: Vec<&str> = host.into_iter().chain(target).collect();
    if all.is_empty() {
        return said(StatusCode::BAD_REQUEST, "the request names no host");
    }
    if let Some(strange) = all.iter().find(|host| !names.contain(host)) {
        let strange: String = strange.chars().take(100).collect();
        let words = format!("{strange:?} is no name of this machine; resident export --name lets it be one");
        return said(StatusCode::FORBIDDEN, &words);
    }
    if request.uri().path() != PATH {
        return said(StatusCode::NOT_FOUND, "there is only /metrics");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, "only GET");
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = form(accepted);
    match page(form).await {
        Ok(text) => text_of(StatusCode::OK, form.content_type(), text),
        Err(why) => said(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

fn said(status: StatusCode, words: &str) -> Response<Body> {
    text_of(status, "text/plain; charset=utf-8", format!("{words}\n"))
}

fn text_of(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Where it is scraped.
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}{PATH}")
}

//! Who may ask: a server on loopback refuses foreign `Host` and `Origin` headers, as a real one does.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::residency::text::without_port;

pub(super) async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !value(headers, &header::HOST).is_none_or(host_is_allowed)
        || !value(headers, &header::ORIGIN).is_none_or(origin_is_allowed)
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    if request.method() == Method::OPTIONS {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, "POST")]).into_response();
    }
    next.run(request).await
}

fn value<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    // A header that is no text is refused like a foreign one.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn host_is_allowed(host: &str) -> bool {
    let host = without_port(host).to_ascii_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unspecified(),
        };
    }
    host.is_empty()
        || host == "localhost"
        || [".localhost", ".local", ".internal"].iter().any(|end| host.ends_with(end))
}

fn origin_is_allowed(origin: &str) -> bool {
    match origin.split_once("://") {
        Some(("http" | "https", host)) => matches!(without_port(host), "localhost" | "127.0.0.1" | "0.0.0.0"),
        Some(("app" | "file" | "tauri" | "vscode-webview" | "vscode-file", _)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_and_its_network_pass() {
        for host in [
            "localhost",
            "LOCALHOST:11434",
            "127.0.0.1:80",
            "192.168.1.5:11434",
            "a.local:1",
            "[::1]:5",
            "::1",
        ] {
            assert!(host_is_allowed(host), "{host}");
        }
        for host in ["evil.example", "mybox:11434", "8.8.8.8", "localhost.evil.example"] {
            assert!(!host_is_allowed(host), "{host}");
        }
    }

    #[test]
    fn origins_of_this_machine_pass() {
        assert!(origin_is_allowed("http://localhost:3000") && origin_is_allowed("app://x"));
        assert!(!origin_is_allowed("http://evil.example") && !origin_is_allowed("null"));
    }
}

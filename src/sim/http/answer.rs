//! Answers as a real server words them.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

const JSON: &str = "application/json; charset=utf-8";

pub(super) fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, JSON)], value.to_string()).into_response()
}

/// A refusal in the server's words; small, where a response is large.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) words: String,
}

pub(super) fn error(status: StatusCode, words: impl Into<String>) -> Failure {
    Failure { status, words: words.into() }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, JSON)], json!({"error": self.words}).to_string())
            .into_response()
    }
}

pub(super) fn text(status: StatusCode, words: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], words).into_response()
}

/// The router's own answers carry no charset.
pub(super) fn plain(status: StatusCode, words: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")], words).into_response()
}

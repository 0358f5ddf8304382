//! Bodies of requests, read with a real server's tolerance and its error texts.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::answer::{Failure, error};
use crate::sim::keep_alive;
use crate::sim::place::RunnerOptions;
use crate::sim::umpire::Whose;

/// A request's body. Fields that only a real model needs are ignored.
#[derive(Debug)]
pub(super) struct Request {
    /// As it was written; answers echo it.
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) messages: Vec<Value>,
    pub(super) input: Option<Value>,
    pub(super) stream: bool,
    pub(super) keep_alive: Option<i64>,
    pub(super) options: RunnerOptions,
    /// Tokens to generate; `None` until the model stops by itself.
    pub(super) tokens: Option<u64>,
    pub(super) whose: Whose,
}

impl Request {
    pub(super) fn read(body: &[u8], whose: Whose) -> Result<Request, Failure> {
        let bad = |words: &str| error(StatusCode::BAD_REQUEST, words);
        if body.is_empty() {
            return Err(bad("missing request body"));
        }
        let value: Value = serde_json::from_slice(body).map_err(|why| bad(&syntax(body, &why)))?;
        let Value::Object(fields) = value else {
            return Err(bad(&format!(
                "json: cannot unmarshal {} into Go value of type api.GenerateRequest",
                kind(&value)
            )));
        };
        let text = |name: &str| text(&fields, name).map_err(|words| bad(&words));
        let model = text("model")?;
        let options = fields.get("options");
        Ok(Request {
            model: if model.is_empty() { text("name")? } else { model },
            prompt: text("prompt")?,
            messages: fields.get("messages").and_then(Value::as_array).cloned().unwrap_or_default(),
            input: fields.get("input").cloned(),
            stream: fields.get("stream").and_then(Value::as_bool).unwrap_or(true),
            keep_alive: keep_alive::read(fields.get("keep_alive")).map_err(|words| bad(&words))?,
            options: RunnerOptions::read(options).map_err(|words| bad(&words))?,
            tokens: options
                .and_then(|options| options.get("num_predict"))
                .and_then(Value::as_i64)
                .and_then(|n| u64::try_from(n).ok()),
            whose,
        })
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!(
            "json: cannot unmarshal {} into Go struct field GenerateRequest.{name} of type string",
            kind(other)
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Go's words for JSON that is none.
fn syntax(body: &[u8], why: &serde_json::Error) -> String {
    if why.is_eof() {
        return "unexpected EOF".to_owned();
    }
    let line = body.split(|byte| *byte == b'\n').nth(why.line().saturating_sub(1)).unwrap_or_default();
    let found = line.get(why.column().saturating_sub(1)).map_or('?', |byte| char::from(*byte));
    format!("invalid character '{found}' looking for beginning of value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_has_the_servers_default() {
        let request = Request::read(br#"{"model":"m"}"#, Whose::Others).unwrap();
        assert_eq!((request.model.as_str(), request.prompt.as_str(), request.stream), ("m", "", true));
        assert_eq!((request.keep_alive, request.tokens), (None, None));
    }

    #[test]
    fn bodies_of_every_wrong_kind_are_refused_with_400() {
        for body in ["", "{", "[]", "1", "{\"model\":1}", "{\"keep_alive\":\"1\"}", "nul", "{]", "\u{feff}{}"]
        {
            let answer = Request::read(body.as_bytes(), Whose::Others).unwrap_err();
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        }
    }
}

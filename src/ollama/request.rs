//! What is sent: the bodies of a load, a touch, an unload, a question, and of one token to time.

use serde::Serialize;

use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;

/// A load or a touch: an empty request that carries what the model shall run with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load<'a> {
    /// The model.
    pub model: &'a ModelName,
    /// How long it stays after its last use; `None` leaves that to the server.
    pub keep_alive: Option<KeepAlive>,
    /// The context it runs with. A touch must give the one it was loaded with, or the server may load it anew.
    pub num_ctx: Option<u64>,
    /// It can only embed: other endpoints refuse it.
    pub embed: bool,
}

/// The body of a load, a touch or an unload; never with a prompt.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<RunOptions>,
}

#[derive(Serialize)]
struct RunOptions {
    num_ctx: u64,
}

/// The body of a generation of one token: the shortest that makes a model speak.
#[derive(Serialize)]
pub(super) struct OneToken<'a> {
    model: &'a str,
    prompt: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<Seconds>,
    options: OneTokenOptions,
}

#[derive(Serialize)]
struct OneTokenOptions {
    num_predict: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_ctx: Option<u64>,
}

/// The body of a question about a model.
#[derive(Serialize)]
pub(super) struct Named<'a> {
    pub(super) model: &'a str,
}

/// Always a JSON number: the server refuses the strings `"-1"` and `"300"`.
#[derive(Serialize)]
#[serde(untagged)]
enum Seconds {
    Whole(i64),
    Fraction(f64),
}

impl Seconds {
    #[expect(clippy::cast_possible_truncation, reason = "KeepAlive::to_wire bounds it to ten years")]
    fn of(keep_alive: KeepAlive) -> Self {
        let seconds = keep_alive.to_wire();
        if seconds.fract() == 0.0 { Seconds::Whole(seconds as i64) } else { Seconds::Fraction(seconds) }
    }
}

impl<'a> Request<'a> {
    pub(super) fn unload(model: &'a ModelName) -> Self {
        Request { model: model.as_str(), keep_alive: Some(Seconds::Whole(0)), options: None }
    }
}

impl Load<'_> {
    pub(super) fn request(&self) -> Request<'_> {
        Request {
            model: self.model.as_str(),
            keep_alive: self.keep_alive.map(Seconds::of),
            options: self.num_ctx.filter(|&context| context > 0).map(|num_ctx| RunOptions { num_ctx }),
        }
    }

    pub(super) fn one_token(&self) -> OneToken<'_> {
        OneToken {
            model: self.model.as_str(),
            prompt: "Hi",
            keep_alive: self.keep_alive.map(Seconds::of),
            // The context as the load's: with another one the server would load it anew.
            options: OneTokenOptions { num_predict: 1, num_ctx: self.num_ctx.filter(|&context| context > 0) },
        }
    }

    /// Where it is sent.
    pub(super) fn path(&self) -> &'static str {
        if self.embed { "api/embed" } else { "api/generate" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_is_always_a_number() {
        let body = |text: &str| {
            let model = ModelName::parse("a:b").unwrap();
            let keep_alive = Some(KeepAlive::parse(text).unwrap());
            let load = Load { model: &model, keep_alive, num_ctx: None, embed: false };
            serde_json::to_string(&load.request()).unwrap()
        };
        assert_eq!(body("-1"), r#"{"model":"a:b","keep_alive":-1}"#);
        assert_eq!(body("forever"), r#"{"model":"a:b","keep_alive":-1}"#);
        assert_eq!(body("30m"), r#"{"model":"a:b","keep_alive":1800}"#);
        assert_eq!(body("90.5s"), r#"{"model":"a:b","keep_alive":90.5}"#);
    }
}

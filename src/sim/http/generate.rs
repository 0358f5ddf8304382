//! `/api/generate` and `/api/chat`: load, unload, touch, and a generation that takes the time its tokens take.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};

use super::answer::{Failure, error, json};
use super::request::Request;
use super::{Face, whose};
use crate::residency::timing::Moment;
use crate::sim::scheduler::Lease;
use crate::sim::umpire::{Broken, Whose};

/// How many tokens a generation has that is not told a number.
const ANSWER: u64 = 64;
/// What it says, over and over: the runner's bytes are random, so there is no model to speak.
const WORDS: [&str; 8] = ["This", " is", " the", " demo", " server", " speaking", " without", " a model."];

/// The two endpoints, which differ in how they wrap the text.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Generate,
    Chat,
}

pub(super) async fn generate(
    state: State<Face>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    respond(state.0, whose(&headers), &body, Kind::Generate).await
}

pub(super) async fn chat(state: State<Face>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    respond(state.0, whose(&headers), &body, Kind::Chat).await
}

async fn respond(face: Face, whose: Whose, body: &[u8], kind: Kind) -> Result<Response, Failure> {
    let answer = answer(&face, whose, body, kind).await;
    if whose.is_ours() && answer.as_ref().is_err_and(|failure| failure.status == StatusCode::BAD_REQUEST) {
        face.umpire.foul(None, Broken::Refused, (face.clock)());
    }
    answer
}

async fn answer(face: &Face, whose: Whose, body: &[u8], kind: Kind) -> Result<Response, Failure> {
    let began = (face.clock)();
    let request = Request::read(body, whose)?;
    let model = face.find(&request.model)?;
    let empty = match kind {
        Kind::Generate => request.prompt.is_empty(),
        Kind::Chat => request.messages.is_empty(),
    };
    if empty && request.keep_alive == Some(0) {
        face.scheduler.unload(model, whose).await;
        return Ok(json(&kind.only(face, &request, "unload")));
    }
    if !face.models[model].spec.completes() {
        let verb = if kind == Kind::Generate { "generate" } else { "chat" };
        let words = format!("\"{}\" does not support {verb}", request.model);
        return Err(error(StatusCode::BAD_REQUEST, words));
    }
    let lease = face.acquire(&request, model).await?;
    if empty {
        return Ok(json(&kind.only(face, &request, "load")));
    }
    let loaded = (face.clock)();
    let stream = request.stream;
    let generation = Generation::new(face.clone(), request, kind, began, loaded, lease);
    if stream { Ok(generation.stream()) } else { Ok(generation.whole().await) }
}

impl Kind {
    /// The answer to an empty prompt: no durations.
    fn only(self, face: &Face, request: &Request, reason: &str) -> Value {
        let mut answer = self.part(face, &request.model, "");
        answer["done"] = true.into();
        answer["done_reason"] = reason.into();
        answer
    }

    fn part(self, face: &Face, model: &str, text: &str) -> Value {
        let mut part = json!({"model": model, "created_at": face.now(), "done": false});
        match self {
            Kind::Generate => part["response"] = text.into(),
            Kind::Chat => part["message"] = json!({"role": "assistant", "content": text}),
        }
        part
    }
}

/// A generation under way. Dropping it (the client has gone) gives the runner back.
struct Generation {
    face: Face,
    request: Request,
    kind: Kind,
    began: Moment,
    loaded: Moment,
    tokens: u64,
    done: u64,
    ended: bool,
    /// Given back before the last line is sent, so that a client that has read it sees its time restarted.
    lease: Option<Lease>,
}

impl Generation {
    fn new(
        face: Face,
        request: Request,
        kind: Kind,
        began: Moment,
        loaded: Moment,
        lease: Lease,
    ) -> Generation {
        let tokens = request.tokens.unwrap_or(ANSWER);
        Generation { face, request, kind, began, loaded, tokens, done: 0, ended: false, lease: Some(lease) }
    }

    /// The next line: a token after its time, or the last one.
    async fn next(&mut self) -> Option<Value> {
        if self.ended {
            return None;
        }
        if self.done < self.tokens {
            // The only time that is made up here is the speed of speech: loads take what they take.
            let pace = Duration::from_secs_f64(1.0 / self.face.tokens_per_second.max(0.001));
            tokio::select! {
                () = tokio::time::sleep(pace) => {}
                () = self.face.stop.cancelled() => return None,
            }
            self.done += 1;
            return Some(self.kind.part(&self.face, &self.request.model, word(self.done - 1)));
        }
        self.ended = true;
        self.lease = None;
        Some(self.last(""))
    }

    fn last(&self, text: &str) -> Value {
        let now = (self.face.clock)();
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mut last = self.kind.part(&self.face, &self.request.model, text);
        last["done"] = true.into();
        last["done_reason"] = if self.request.tokens.is_some() { "length" } else { "stop" }.into();
        if self.kind == Kind::Generate {
            let context: Vec<u64> = (0..self.done).collect();
            last["context"] = context.into();
        }
        let prompt = self.request.prompt.split_whitespace().count() + self.request.messages.len();
        let loading = self.loaded.since(self.began.mono);
        let talking = now.since(self.loaded.mono);
        last["total_duration"] = nanos(now.since(self.began.mono)).into();
        last["load_duration"] = nanos(loading).into();
        last["prompt_eval_count"] = prompt.max(1).into();
        // There is no prompt to evaluate, so the whole of it is the tokens' time.
        last["prompt_eval_duration"] = 1.into();
        last["eval_count"] = self.done.into();
        last["eval_duration"] = nanos(talking).into();
        last
    }

    async fn whole(mut self) -> Response {
        let mut text = String::new();
        while let Some(part) = self.next().await {
            let piece = match self.kind {
                Kind::Generate => part["response"].as_str(),
                Kind::Chat => part["message"]["content"].as_str(),
            };
            text.push_str(piece.unwrap_or_default());
            if self.ended {
                return json(&self.last(&text));
            }
        }
        error(StatusCode::INTERNAL_SERVER_ERROR, "the server stops").into_response()
    }

    fn stream(self) -> Response {
        let lines = stream::unfold(self, |mut generation| async move {
            let mut line = generation.next().await?.to_string();
            line.push('\n');
            Some((Ok::<_, Infallible>(line), generation))
        });
        ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
    }
}

fn word(number: u64) -> &'static str {
    let at = number % WORDS.len() as u64;
    usize::try_from(at).ok().and_then(|at| WORDS.get(at)).copied().unwrap_or_default()
}

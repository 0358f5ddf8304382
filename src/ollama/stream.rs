//! A prompt and its answer as it streams: tokens are counted as they come, their text is not kept.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::{Error, Kind, Operation, bounded};
use crate::residency::name::ModelName;

/// More than any line of a stream has; the last one lists the whole context in numbers.
const LINE_LIMIT: usize = 16 << 20;

/// What a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// The model.
    pub model: &'a ModelName,
    /// What it is asked.
    pub text: &'a str,
    /// How many tokens it may answer; `None` until it stops by itself.
    pub max_tokens: Option<u64>,
    /// The context that the model is loaded with: with another one the server would load it anew.
    pub num_ctx: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: &'a str,
    stream: bool,
    options: Options,
}

#[derive(Serialize)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_ctx: Option<u64>,
}

/// One line of the stream; all else in it is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    response: Option<String>,
    thinking: Option<String>,
    done: bool,
    eval_count: Option<u64>,
    error: Option<String>,
}

impl Client {
    /// Asks and returns how many tokens came; `token` is called at each one. Without a time limit; dropping the future
    /// stops the model.
    pub async fn prompt(&self, prompt: &Prompt<'_>, token: impl FnMut()) -> Result<u64, Error> {
        self.stream(prompt, token).await.map_err(|kind| kind.during(Operation::Prompt))
    }

    async fn stream(&self, prompt: &Prompt<'_>, mut token: impl FnMut()) -> Result<u64, Kind> {
        let Prompt { model, text, max_tokens, num_ctx } = *prompt;
        let options = Options { num_predict: max_tokens, num_ctx };
        let body = Body { model: model.as_str(), prompt: text, stream: true, options };
        let mut response = self.send(Method::POST, "api/generate", Some(&body), None).await?;
        let (mut pending, mut tokens) = (Vec::new(), 0);
        while let Some(chunk) = response.chunk().await.map_err(|error| Kind::of_transport(&error, None))? {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let line = read(&line)?;
                if let Some(words) = &line.error {
                    return Err(Kind::of_words(200, words));
                }
                if [&line.response, &line.thinking].into_iter().flatten().any(|text| !text.is_empty()) {
                    tokens += 1;
                    token();
                }
                if line.done {
                    // A line may hold more than one token; the server has counted.
                    return Ok(line.eval_count.unwrap_or(tokens));
                }
            }
            if pending.len() > LINE_LIMIT {
                return Err(Kind::TooLarge { limit: LINE_LIMIT });
            }
        }
        Err(Kind::BrokenOff("the answer has no end".to_owned()))
    }
}

fn read(line: &[u8]) -> Result<Line, Kind> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(Line::default());
    }
    serde_json::from_slice(line).map_err(|error| Kind::BadAnswer(bounded(&error.to_string())))
}

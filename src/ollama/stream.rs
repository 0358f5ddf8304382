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
        let mut tokens = Tokens::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| Kind::of_transport(&error, None))? {
            if let Some(count) = tokens.take(&chunk, &mut token)? {
                return Ok(count);
            }
        }
        Err(Kind::BrokenOff("the answer has no end".to_owned()))
    }
}

/// The tokens of an answer that arrives in pieces, cut anywhere.
#[derive(Debug, Default)]
pub struct Tokens {
    /// The beginning of a line whose end has not come.
    pending: Vec<u8>,
    count: u64,
}

impl Tokens {
    /// Takes the next piece, each byte of it once; `token` is called at each token. Once the answer is over, how many
    /// there were.
    pub fn take(&mut self, piece: &[u8], mut token: impl FnMut()) -> Result<Option<u64>, Kind> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = if self.pending.is_empty() {
                read(&rest[..end])?
            } else {
                self.keep(&rest[..end])?;
                read(&std::mem::take(&mut self.pending))?
            };
            rest = &rest[end + 1..];
            if let Some(words) = &line.error {
                return Err(Kind::of_words(200, words));
            }
            if [&line.response, &line.thinking].into_iter().flatten().any(|text| !text.is_empty()) {
                self.count += 1;
                token();
            }
            if line.done {
                // A line may hold more than one token; the server has counted.
                return Ok(Some(line.eval_count.unwrap_or(self.count)));
            }
        }
        self.keep(rest)?;
        Ok(None)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Kind> {
        if self.pending.len() + bytes.len() > LINE_LIMIT {
            return Err(Kind::TooLarge { limit: LINE_LIMIT });
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }
}

fn read(line: &[u8]) -> Result<Line, Kind> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(Line::default());
    }
    serde_json::from_slice(line).map_err(|error| Kind::BadAnswer(bounded(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_is_refused_however_small_the_pieces() {
        let mut tokens = Tokens::default();
        let piece = [b'x'; 64];
        let refused = (0..=LINE_LIMIT / piece.len()).find_map(|_| tokens.take(&piece, || {}).err());
        assert_eq!(refused, Some(Kind::TooLarge { limit: LINE_LIMIT }));
    }

    #[test]
    fn a_piece_of_nothing_but_line_ends_is_no_token() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.take(&vec![b'\n'; 1 << 20], || panic!("a token")), Ok(None));
        assert_eq!(tokens.take(b"{\"response\":\"a\"}\n{\"done\":tr", || {}), Ok(None));
        assert_eq!(tokens.take(b"ue}\n", || panic!("a token")), Ok(Some(1)));
    }
}

//! `/api/embed` and the old `/api/embeddings`: how an embedding-only model is loaded.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Failure, error, json};
use super::request::Request;
use super::{Face, whose};

pub(super) async fn embed(
    State(face): State<Face>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let began = (face.clock)();
    let request = Request::read(&body, whose(&headers))?;
    let model = face.find(&request.model)?;
    let inputs = match &request.input {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if text.is_empty() => Vec::new(),
        Some(Value::String(text)) => vec![text.as_str()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(_) => return Err(error(StatusCode::BAD_REQUEST, "invalid input type")),
    };
    let lease = face.acquire(&request, model).await?;
    if inputs.is_empty() {
        return Ok(json(&json!({"model": request.model, "embeddings": []})));
    }
    supported(&face, model)?;
    let loaded = (face.clock)();
    let vectors: Vec<Vec<f64>> = inputs.iter().map(|text| vector(text, &face, model)).collect();
    let tokens: usize = inputs.iter().map(|text| text.split_whitespace().count()).sum();
    let took = |to: crate::residency::timing::Moment| {
        u64::try_from(to.since(began.mono).as_nanos()).unwrap_or(u64::MAX).max(1)
    };
    let answer = json!({
        "model": request.model,
        "embeddings": vectors,
        "total_duration": took((face.clock)()),
        "load_duration": took(loaded),
        "prompt_eval_count": tokens,
    });
    drop(lease);
    Ok(json(&answer))
}

pub(super) async fn embeddings(
    State(face): State<Face>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let request = Request::read(&body, whose(&headers))?;
    let model = face.find(&request.model)?;
    let lease = face.acquire(&request, model).await?;
    if request.prompt.is_empty() {
        return Ok(json(&json!({"embedding": []})));
    }
    supported(&face, model)?;
    let answer = json!({"embedding": vector(&request.prompt, &face, model)});
    drop(lease);
    Ok(json(&answer))
}

fn supported(face: &Face, model: usize) -> Result<(), Failure> {
    if face.models[model].spec.embeds() {
        return Ok(());
    }
    let words = "This server does not support embeddings. Start it with `--embeddings`";
    Err(error(StatusCode::NOT_IMPLEMENTED, words))
}

/// A unit vector that depends on the text: the right shape, since the weights are random bytes.
#[expect(clippy::cast_precision_loss, reason = "any spread will do")]
fn vector(text: &str, face: &Face, model: usize) -> Vec<f64> {
    let length = face.models[model].spec.shape.embedding.max(1);
    let sum = text.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let raw: Vec<f64> = (0..length).map(|at| ((sum >> (at % 48)) % 1000) as f64 / 1000.0 + 0.001).collect();
    let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    raw.into_iter().map(|x| x / norm).collect()
}

//! The embedded server's HTTP face: the routes of a real Ollama with its statuses, shapes and error texts.

mod answer;
mod embed;
mod generate;
mod guard;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::scheduler::{Lease, Model, Refusal, Running, Scheduler};
use super::umpire::{Umpire, Whose};
use crate::residency::name::ModelName;
use crate::residency::timing::Clock;
use answer::{Failure, error, json};
use request::Request;

/// What every route needs.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) scheduler: Scheduler,
    pub(crate) models: Arc<Vec<Model>>,
    pub(crate) clock: Clock,
    pub(crate) version: Arc<str>,
    /// Of a generation.
    pub(crate) tokens_per_second: f64,
    pub(crate) umpire: Umpire,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn router(face: Face) -> Router {
    Router::new()
        .route("/", get(|| async { answer::text(StatusCode::OK, "Ollama is running") }))
        .route("/api/version", get(version))
        .route("/api/status", get(|| async { json(&json!({"cloud": {"disabled": true, "source": "env"}})) }))
        .route("/api/tags", get(tags))
        .route("/v1/models", get(openai_models))
        .route("/api/ps", get(ps))
        .route("/api/show", post(show))
        .route("/api/generate", post(generate::generate))
        .route("/api/chat", post(generate::chat))
        .route("/api/embed", post(embed::embed))
        .route("/api/embeddings", post(embed::embeddings))
        .fallback(|| async { answer::plain(StatusCode::NOT_FOUND, "404 page not found") })
        .method_not_allowed_fallback(|| async {
            answer::plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed")
        })
        .layer(axum::middleware::from_fn(guard::guard))
        .with_state(face)
}

impl Face {
    /// The model a request names, or the answer that it is not there.
    fn find(&self, written: &str) -> Result<usize, Failure> {
        if written.is_empty() {
            return Err(error(StatusCode::NOT_FOUND, "model '' not found"));
        }
        let name =
            ModelName::parse(written).map_err(|_| error(StatusCode::BAD_REQUEST, "invalid model name"))?;
        self.models
            .iter()
            .position(|model| model.spec.name == name)
            .ok_or_else(|| error(StatusCode::NOT_FOUND, format!("model '{written}' not found")))
    }

    /// A runner for the request, or the answer why there is none.
    async fn acquire(&self, request: &Request, model: usize) -> Result<Lease, Failure> {
        match self.scheduler.acquire(model, request.options.clone(), request.keep_alive, request.whose).await
        {
            Some(Ok(lease)) => Ok(lease),
            Some(Err(refusal)) => Err(self.refused(&refusal, model)),
            None => {
                let gone = StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Err(error(gone, "request canceled"))
            }
        }
    }

    fn refused(&self, refusal: &Refusal, model: usize) -> Failure {
        use super::loader::LoadError;
        match refusal {
            Refusal::Busy => error(
                StatusCode::SERVICE_UNAVAILABLE,
                "server busy, please try again.  maximum pending requests exceeded",
            ),
            Refusal::Load(LoadError::Missing) => {
                let name = self.models[model].spec.name.as_str();
                error(StatusCode::NOT_FOUND, format!("model \"{name}\" not found, try pulling it first"))
            }
            Refusal::Load(LoadError::Runner(words)) => {
                error(StatusCode::INTERNAL_SERVER_ERROR, words.as_str())
            }
        }
    }

    /// The wall clock as answers carry it.
    fn now(&self) -> String {
        (self.clock)().wall.to_string()
    }

    fn newest_first(&self) -> Vec<&Model> {
        let mut models: Vec<&Model> = self.models.iter().collect();
        models.sort_by_key(|model| std::cmp::Reverse(model.modified));
        models
    }
}

/// Whose request it is, by its headers.
fn whose(headers: &HeaderMap) -> Whose {
    Whose::of(headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()))
}

async fn version(State(face): State<Face>) -> Response {
    json(&json!({"version": &*face.version}))
}

async fn tags(State(face): State<Face>) -> Response {
    let models: Vec<Value> = face
        .newest_first()
        .into_iter()
        .map(|model| {
            let mut details = model.spec.details();
            details["context_length"] = model.spec.shape.context.into();
            details["embedding_length"] = model.spec.shape.embedding.into();
            json!({
                "name": model.spec.name.as_str(),
                "model": model.spec.name.as_str(),
                "modified_at": model.modified.to_string(),
                "size": model.size,
                "digest": model.digest,
                "details": details,
                "capabilities": model.spec.capabilities,
            })
        })
        .collect();
    json(&json!({"models": models}))
}

async fn openai_models(State(face): State<Face>) -> Response {
    let models: Vec<Value> = face
        .newest_first()
        .into_iter()
        .map(|model| {
            json!({
                "id": model.spec.name.as_str(),
                "object": "model",
                "created": model.modified.as_second(),
                "owned_by": "library",
            })
        })
        .collect();
    let body = json!({"object": "list", "data": models}).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn ps(State(face): State<Face>, headers: HeaderMap) -> Response {
    face.umpire.asked(whose(&headers), (face.clock)());
    let line = |running: Running| {
        let model = &face.models[running.model];
        json!({
            "name": model.spec.name.as_str(),
            "model": model.spec.name.as_str(),
            "size": running.size,
            "digest": model.digest,
            "details": model.spec.details(),
            "expires_at": running.expires_at.to_string(),
            "size_vram": running.vram,
            "context_length": running.context,
        })
    };
    let models: Vec<Value> = face.scheduler.list().await.into_iter().map(line).collect();
    json(&json!({"models": models}))
}

async fn show(State(face): State<Face>, body: Bytes) -> Result<Response, Failure> {
    let request = Request::read(&body, Whose::Others)?;
    if request.model.is_empty() {
        return Err(error(StatusCode::BAD_REQUEST, "model is required"));
    }
    let model = &face.models[face.find(&request.model)?];
    let name = model.spec.name.as_str();
    Ok(json(&json!({
        "modelfile": format!(
            "# Modelfile generated by \"ollama show\"\n# To build a new Modelfile based on this, replace FROM with:\n\
             # FROM {name}\n\nFROM {}\nTEMPLATE {}\n",
            model.blob.display(), super::files::TEMPLATE
        ),
        "template": super::files::TEMPLATE,
        "details": model.spec.details(),
        "model_info": model.spec.model_info(),
        "tensors": model.spec.tensors(),
        "capabilities": model.spec.capabilities,
        "modified_at": model.modified.to_string(),
    })))
}

//! The short way: the model is in VRAM already, so all there is to do is to restart its countdown.
//!
//! An agent pays for this way at every step, so nothing else is started: no engine, no probe, one question to the
//! server and one touch. Whatever is not plain is left to the longer way, which also has the words for it.

use tokio::time::sleep_until;

use super::report::Ready;
use super::wanted::Wanted;
use crate::cli::act::Limits;
use crate::cli::act::ending::Ending;
use crate::ollama::wire::Running;
use crate::ollama::{Client, Error, Load};
use crate::residency::expiry::Expiry;
use crate::residency::host::{Runner, Runners};
use crate::residency::name::ModelName;
use crate::residency::timing::Moment;

/// Restarts the countdown of a model that is loaded as it is wanted; `None` if it is not, or if that cannot be told.
/// `look` reads the runners of the server on a port, and may block.
pub(super) async fn touch<F: Future<Output = ()>>(
    client: &Client,
    wanted: &Wanted,
    now: Moment,
    look: impl FnOnce(Option<u16>) -> Runners + Send + 'static,
    limits: &mut Limits<'_, F>,
) -> Option<Ready> {
    let deadline = limits.deadline;
    let too_late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        there = touch_loaded(client, wanted, now, look) => there,
        () = limits.interrupt.as_mut() => Some(Ready::not(Ending::Interrupted)),
        () = too_late => Some(Ready::not(Ending::TimedOut { why: "the server did not answer in time".to_owned() })),
    }
}

async fn touch_loaded(
    client: &Client,
    wanted: &Wanted,
    now: Moment,
    look: impl FnOnce(Option<u16>) -> Runners + Send + 'static,
) -> Option<Ready> {
    let port = client.port();
    let runners = client.is_local().then(|| tokio::task::spawn_blocking(move || look(port)));
    let loaded = client.ps().await.ok()?;
    // What a touch has to carry, so that the server does not load it anew.
    let context = as_wanted(&loaded, wanted, now)?.context_length;
    let runners = match runners {
        Some(look) => look.await.ok()?,
        None => Runners::default(),
    };
    // While a load is pending nothing but a load may be sent. It may be another server's: the longer way tells.
    if runners.iter().any(is_loading) || lacks_one(&runners, &loaded) {
        return None;
    }
    let mut touch = Load { model: &wanted.model, keep_alive: None, num_ctx: context, embed: false };
    let mut answer = client.touch(&touch).await;
    if answer.as_ref().is_err_and(only_embeds) {
        touch.embed = true;
        answer = client.touch(&touch).await;
    }
    answer.ok().map(|_| Ready::already(context))
}

/// The model if it is loaded as it is wanted and stays. One whose time is past is busy or already going.
fn as_wanted<'a>(loaded: &'a [Running], wanted: &Wanted, now: Moment) -> Option<&'a Running> {
    let running = loaded.iter().find(|running| ModelName::from_server(&running.name) == wanted.model)?;
    let stays = !Expiry::read(running.expires_at.as_deref(), now.wall).is_past(now.wall);
    let fits = wanted.num_ctx.is_none() || wanted.num_ctx == running.context_length;
    (stays && fits).then_some(running)
}

fn is_loading(runner: &Runner) -> bool {
    runner.ready == Some(false)
}

/// Whether more is listed than there are runners: a model without one is a ghost, and a touch would load it unsaid.
/// Which one it is, is not told without the models' files. Other formats have runners of other kinds.
fn lacks_one(runners: &Runners, loaded: &[Running]) -> bool {
    let listed = loaded.iter().filter(|running| running.details.format == "gguf").count();
    let alive = runners.iter().filter(|runner| !runner.left_behind).count();
    runners.server.is_some() && alive < listed
}

fn only_embeds(error: &Error) -> bool {
    error.words().is_some_and(|words| words.contains("does not support generate"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    use super::*;
    use crate::ollama::Options;

    type Asked = Arc<Mutex<Vec<String>>>;

    /// A server where `a:1b` is loaded with 16384 tokens of context; it notes what it is asked. One that only embeds
    /// says so of what it is asked elsewhere.
    async fn server(only_embeds: bool) -> (Client, Asked) {
        let asked = Asked::default();
        let note = Arc::clone(&asked);
        let answer = move |request: axum::extract::Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let path = parts.uri.path().to_owned();
            note.lock().unwrap().push(format!("{path} {}", String::from_utf8_lossy(&body)));
            match path.as_str() {
                "/api/ps" => axum::Json(json!({"models": [loaded()]})).into_response(),
                "/api/generate" if only_embeds => {
                    let error = json!({"error": "\"a:1b\" does not support generate"});
                    (axum::http::StatusCode::BAD_REQUEST, axum::Json(error)).into_response()
                }
                _ => axum::Json(json!({"model": "a:1b", "done": true})).into_response(),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        (Client::new(&url, Options::default()).unwrap(), asked)
    }

    fn loaded() -> Value {
        json!({"name": "a:1b", "model": "a:1b", "context_length": 16384, "expires_at": "2026-11-23T12:05:00Z",
               "details": {"format": "gguf"}})
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Moment {
        Moment { mono: std::time::Instant::now(), wall: "2026-11-23T12:00:00Z".parse().unwrap() }
    }

    fn wanted(model: &str, num_ctx: Option<u64>) -> Wanted {
        Wanted {
            run: "agent".to_owned(),
            phase: "context".to_owned(),
            model: ModelName::parse(model).unwrap(),
            num_ctx,
            next: None,
            instead: None,
            next_instead: None,
        }
    }

    fn runner(ready: Option<bool>) -> Runner {
        Runner { pid: 1, blob: "/b".to_owned(), ready, ..Runner::default() }
    }

    async fn touched(client: &Client, wanted: &Wanted, list: Vec<Runner>) -> Option<Ready> {
        seen(client, wanted, Runners { list, server: None }).await
    }

    async fn seen(client: &Client, wanted: &Wanted, runners: Runners) -> Option<Ready> {
        let mut limits = Limits { interrupt: std::pin::pin!(std::future::pending()), deadline: None };
        touch(client, wanted, now(), move |_| runners, &mut limits).await
    }

    fn body(path: &str) -> String {
        format!(r#"{path} {{"model":"a:1b","options":{{"num_ctx":16384}}}}"#)
    }

    #[tokio::test]
    async fn what_is_loaded_is_touched_once_with_the_context_that_the_server_reports() {
        for num_ctx in [None, Some(16384)] {
            let (client, asked) = server(false).await;
            let runners = vec![runner(Some(true)), runner(None)];
            assert_eq!(
                touched(&client, &wanted("A:1b", num_ctx), runners).await,
                Some(Ready::already(Some(16384)))
            );
            assert_eq!(
                *asked.lock().unwrap(),
                ["/api/ps ".to_owned(), body("/api/generate").replace("a:1b", "A:1b")]
            );
        }
    }

    #[tokio::test]
    async fn a_model_that_only_embeds_is_touched_through_the_other_door() {
        let (client, asked) = server(true).await;
        assert!(touched(&client, &wanted("a:1b", None), Vec::new()).await.is_some());
        assert_eq!(asked.lock().unwrap()[1..], [body("/api/generate"), body("/api/embed")]);
    }

    #[tokio::test]
    async fn nothing_is_touched_that_is_not_as_wanted_or_while_a_load_is_pending() {
        let (client, asked) = server(false).await;
        for (wanted, runners) in [
            (wanted("b:1b", None), Vec::new()),
            (wanted("a:1b", Some(8192)), Vec::new()),
            (wanted("a:1b", None), vec![runner(Some(true)), runner(Some(false))]),
        ] {
            assert_eq!(touched(&client, &wanted, runners).await, None);
        }
        assert_eq!(*asked.lock().unwrap(), ["/api/ps ", "/api/ps ", "/api/ps "]);
    }

    #[tokio::test]
    async fn what_is_listed_without_a_runner_is_left_to_the_longer_way_where_the_server_itself_is_seen() {
        let (client, asked) = server(false).await;
        let wanted = wanted("a:1b", None);
        let left_behind = Runner { left_behind: true, ..runner(Some(true)) };
        let of_server = |list| Runners { list, server: Some(7) };
        assert_eq!(seen(&client, &wanted, of_server(vec![left_behind])).await, None);
        assert_eq!(*asked.lock().unwrap(), ["/api/ps "]);
        assert!(seen(&client, &wanted, of_server(vec![runner(Some(true))])).await.is_some());
        assert!(
            touched(&client, &wanted, Vec::new()).await.is_some(),
            "where none can be seen none is missed"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_left_to_the_longer_way_and_a_time_that_is_up_is_said() {
        let gone = Client::new("http://127.0.0.1:1", Options::default()).unwrap();
        assert_eq!(touched(&gone, &wanted("a:1b", None), Vec::new()).await, None);
        // Connections are taken by the kernel, and nobody answers.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", listener.local_addr().unwrap());
        let silent = Client::new(&silent, Options::default()).unwrap();
        let deadline = Some(tokio::time::Instant::now());
        let mut limits = Limits { interrupt: std::pin::pin!(std::future::pending()), deadline };
        let ready =
            touch(&silent, &wanted("a:1b", None), now(), |_| Runners::default(), &mut limits).await.unwrap();
        assert!(matches!(ready.ending, Ending::TimedOut { .. }), "{ready:?}");
    }

    #[test]
    fn one_whose_time_is_past_is_busy_or_going_and_is_left_alone() {
        let loaded: Running = serde_json::from_value(loaded()).unwrap();
        let later = Moment { wall: now().wall + Duration::from_secs(300), ..now() };
        let list = [loaded];
        assert_eq!(as_wanted(&list, &wanted("a:1b", None), now()), list.first());
        assert_eq!(as_wanted(&list, &wanted("a:1b", None), later), None);
    }
}

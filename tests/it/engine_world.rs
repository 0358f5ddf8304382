//! An engine on a server, for the tests: it acts, waits for what snapshots show, and plays another client.

use std::sync::Arc;
use std::time::Duration;

use resident::config::Config;
use resident::engine::{Handle, Journals, Parts, clock, start};
use resident::ollama::{Client, Options};
use resident::residency::act::{Act, ActKind, ActState};
use resident::residency::event::What;
use resident::residency::name::ModelName;
use resident::residency::snapshot::{Model, Snapshot};
use resident::residency::timing::Clock;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes that works at all; no test passes because of it.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct World {
    pub handle: Handle,
    pub url: String,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

/// What an engine is started with that has neither probes nor a journal, on the config's server.
pub fn parts(config: Config, clock: Clock, stop: &CancellationToken) -> Parts {
    Parts {
        client: Client::new(&config.url, Options::default()).unwrap(),
        config: Arc::new(config),
        clock,
        host_name: "test".to_owned(),
        home: None,
        local: false,
        demo_scale: None,
        ram: Box::new(|| None),
        cards: None,
        pages: None,
        runners: None,
        tier: None,
        journal: Journals::none(),
        stop: stop.clone(),
    }
}

impl World {
    /// An engine without probes on the server at `url`, as `config` says.
    pub fn new(url: &str, config: Config) -> World {
        World::with(url, config, Journals::none())
    }

    /// The same with a way to a journal.
    pub fn with(url: &str, config: Config, journal: Journals) -> World {
        let stop = CancellationToken::new();
        let config = Config { url: url.to_owned(), ..config };
        let handle = start(Parts { journal, ..parts(config, clock::system(), &stop) });
        World { handle, url: url.to_owned(), stop }
    }

    /// An engine that was started otherwise.
    pub fn of(handle: Handle, url: String, stop: CancellationToken) -> World {
        World { handle, url, stop }
    }

    /// Waits for a snapshot in which `found` finds what it looks for.
    pub async fn until<T>(&mut self, what: &str, mut found: impl FnMut(&Snapshot) -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(found) = found(&self.handle.snapshots.borrow_and_update()) {
                    return found;
                }
                self.handle.snapshots.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(found) => found,
            Err(tokio::time::error::Elapsed { .. }) => {
                panic!("no snapshot shows {what}: {:#?}", self.handle.snapshot())
            }
        }
    }

    /// Waits until a model is as `is` says.
    pub async fn until_model(&mut self, text: &str, is: impl Fn(&Model) -> bool) -> Model {
        let wanted = name(text);
        let found = |s: &Snapshot| s.servers[0].model(&wanted).filter(|model| is(model)).cloned();
        self.until(text, found).await
    }

    /// Waits until the installed models are known.
    pub async fn ready(&mut self) {
        self.until("the installed models", |s| {
            (s.servers[0].tags_at.is_some() && s.servers[0].ps_at.is_some() && s.servers[0].version.is_some())
                .then_some(())
        })
        .await;
    }

    /// Acts and waits for the end.
    pub async fn act(&mut self, kind: ActKind, text: &str) -> Act {
        let id = self.handle.act(kind, name(text)).unwrap();
        let ended = |s: &Snapshot| s.acts.iter().find(|act| act.id == id && !act.is_live()).cloned();
        self.until(&format!("the end of {kind:?} {text}"), ended).await
    }

    /// Acts and expects it to be done.
    pub async fn done(&mut self, kind: ActKind, text: &str) {
        let act = self.act(kind, text).await;
        assert!(matches!(act.state, ActState::Done { .. }), "{act:?}");
    }

    /// Waits for an event of a model.
    pub async fn event(&mut self, text: &str, is: impl Fn(&What) -> bool) -> What {
        let wanted = name(text);
        let found = |s: &Snapshot| {
            let mut events = s.events.iter().filter(|event| event.model.as_ref() == Some(&wanted));
            events.find(|event| is(&event.what)).map(|event| event.what.clone())
        };
        self.until(&format!("the event of {text}"), found).await
    }

    /// Another client's request.
    pub async fn other(&self, path: &str, body: Value) -> Value {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap().json().await.unwrap()
    }
}

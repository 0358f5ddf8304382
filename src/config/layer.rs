//! The layers above the file: what the environment sets, then what the flags set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, Ports};
use super::find::{Flags, Sources};
use super::{Config, Origin, Problem};
use crate::residency::keep_alive::KeepAlive;

/// What the layers are laid over.
pub(super) struct Below<'a> {
    pub config: &'a mut Config,
    pub origins: &'a mut BTreeMap<String, Origin>,
    pub problems: &'a mut Vec<Problem>,
    pub notes: &'a mut Vec<String>,
}

impl Below<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem { place: None, key: key.to_owned(), message: message.into() });
    }

    fn from(&mut self, key: &str, origin: Origin) {
        self.origins.insert(key.to_owned(), origin);
    }

    fn host(&mut self, text: &str, ports: Ports, name: &'static str, origin: Origin) {
        match Address::parse(text, ports) {
            Ok(address) => {
                self.config.url = address.url();
                if address.port_is_default {
                    let note = "the port is not a number from 1 to 65535; the default is used";
                    self.notes.push(format!("{name}: {note}: {}", self.config.url));
                }
                self.origins.remove("ollama.port");
                self.from("ollama.host", origin);
            }
            Err(message) => self.wrong(name, message),
        }
    }

    /// The environment. An empty variable is not set, as for Ollama.
    pub(super) fn environment(&mut self, sources: &Sources) {
        let text = |name: &str| {
            let value = sources.env.get(name)?.to_str().map(|text| text.trim().trim_matches(['"', '\'']));
            value.filter(|text| !text.is_empty())
        };
        for name in ["OLLAMA_HOST", "OLLAMA_KEEP_ALIVE"] {
            if sources.env.get(name).is_some_and(|value| value.to_str().is_none()) {
                self.wrong(name, "not UTF-8 text");
            }
        }
        if let Some(host) = text("OLLAMA_HOST") {
            self.host(host, Ports::AsOllama, "OLLAMA_HOST", Origin::Env("OLLAMA_HOST"));
        }
        // A path need not be text; if it is, Ollama drops quotes around it.
        let models = sources.env.get("OLLAMA_MODELS").filter(|dir| !dir.is_empty());
        let models = models.and_then(|dir| match dir.to_str() {
            None => Some(PathBuf::from(dir)),
            Some(_) => text("OLLAMA_MODELS").map(PathBuf::from),
        });
        if let Some(dir) = models {
            self.config.models_dir = Some(dir);
            self.from("ollama.models_dir", Origin::Env("OLLAMA_MODELS"));
        }
        match text("OLLAMA_KEEP_ALIVE").map(KeepAlive::parse) {
            None => {}
            Some(Ok(keep_alive)) => {
                (self.config.keep_alive, self.config.keep_alive_auto) = (Some(keep_alive), false);
                self.from("ollama.keep_alive", Origin::Env("OLLAMA_KEEP_ALIVE"));
            }
            Some(Err(error)) => self.wrong("OLLAMA_KEEP_ALIVE", error.to_string()),
        }
    }

    /// The flags. A switch that is not given changes nothing.
    pub(super) fn flags(&mut self, flags: &Flags) {
        if let Some(host) = &flags.host {
            self.host(host, Ports::Strict, "--host", Origin::Flag("--host"));
        }
        match flags.refresh {
            None => {}
            Some(time) if time >= Duration::from_secs(1) => {
                self.config.ui.refresh = time;
                self.from("ui.refresh", Origin::Flag("--refresh"));
            }
            Some(_) => self.wrong("--refresh", "too short; the least is 1s"),
        }
        if flags.read_only {
            self.config.ui.read_only = true;
            self.from("ui.read_only", Origin::Flag("--read-only"));
        }
        if flags.ascii {
            self.config.ui.ascii = true;
            self.from("ui.ascii", Origin::Flag("--ascii"));
        }
    }
}

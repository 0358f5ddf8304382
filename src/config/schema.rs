//! Our sections of the file: which there are, what is in each, and what does not go together.

use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::Duration;

use super::address::{Address, Ports};
use super::reader::{Fields, Reader};
use super::report::nearest;
use super::tree::{At, Kind, Node};
use super::{
    Config, Hold, KeySetting, Memory, ModelSettings, OnExit, Pins, Preload, Strategy, server, ui, workflow,
};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::tune::histogram::{BIN, RANGE};
use crate::residency::tune::policy::{Bounds, Rule};

/// Our top-level sections; all others belong to the user's agent.
pub(super) const SECTIONS: [&str; 9] =
    ["ollama", "memory", "phases", "workflows", "models", "ui", "keys", "pins", "servers"];

const SECOND: Duration = Duration::from_secs(1);

/// What the file holds beside settings.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Top-level sections that are not ours.
    pub ignored: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Lays the file's settings over `config`. `home` and `folder` say what `~` and a relative path mean.
pub(super) fn apply(
    config: &mut Config,
    root: &Node,
    reader: &mut Reader,
    home: Option<&Path>,
    folder: &Path,
) -> Beside {
    let mut beside = Beside::default();
    if root.kind == Kind::Null {
        return beside;
    }
    let Some(top) = reader.map("", root) else { return beside };
    strangers(&top, root, reader, &mut beside);
    if let Some(node) = top.get("ollama") {
        ollama(config, node, reader);
    }
    let whole = |path: &Path| match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => folder.join(path),
    };
    config.models_dir = config.models_dir.take().map(|dir| whole(&dir));
    reader.set(&mut config.memory, &top, "memory", memory);
    if let Some(node) = top.get("phases") {
        config.phases = workflow::phases(node, reader);
    }
    if let Some(node) = top.get("workflows") {
        config.workflows = workflow::workflows(node, reader, &names(top.get("phases")));
    }
    if let Some(node) = top.get("models") {
        models(config, node, reader);
    }
    if let Some(node) = top.get("ui") {
        ui::read(&mut config.ui, node, reader);
    }
    if let Some(node) = top.get("keys") {
        keys(config, node, reader);
    }
    if let Some(node) = top.get("pins") {
        pins(&mut config.pins, node, reader);
    }
    if let Some(node) = top.get("servers") {
        config.servers = server::servers(node, reader, &whole);
    }
    beside
}

/// The keys of a map as they are written, also of entries that are wrong.
fn names(node: Option<&Node>) -> Vec<&str> {
    match node.map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// Sections that are not ours: ignored, unless they look like a typo of ours.
fn strangers(top: &Fields<'_>, root: &Node, reader: &mut Reader, beside: &mut Beside) {
    let Kind::Map(entries) = &root.kind else { return };
    for entry in entries.iter().filter(|entry| !SECTIONS.contains(&entry.key.as_str())) {
        match typo_of(&entry.key) {
            Some(near) => {
                let message =
                    format!("unknown section; did you mean {near}? (other programs' sections are ignored)");
                reader.wrong(entry.at, &top.path_of(&entry.key), message);
            }
            None => beside.ignored.push(entry.key.clone()),
        }
    }
}

/// The section that a name is within two letters of. Of a short name two letters are most of it (`db` is no typo of
/// `ui`), so one must do for four letters, and for two only a swap or one letter too many. An agent may well have a
/// `server`.
fn typo_of(key: &str) -> Option<&'static str> {
    let (distance, near) = nearest(key, &SECTIONS[..8])?;
    let near_enough = match near.len() {
        0..=2 => distance == 0 || (distance == 1 && near.chars().all(|c| key.to_lowercase().contains(c))),
        3..=4 => distance <= 1,
        _ => distance <= 2,
    };
    near_enough.then_some(near)
}

fn ollama(config: &mut Config, node: &Node, reader: &mut Reader) {
    let known = [
        "host",
        "port",
        "model",
        "keep_alive",
        "tuning",
        "return_to_primary",
        "models_dir",
        "preload",
        "preload_models",
    ];
    let Some(fields) = reader.fields("ollama", node, &known) else { return };
    address(config, &fields, reader);
    if let Some(model) = reader.field(&fields, "model", Reader::model) {
        config.primary = Some(model);
    }
    match fields.get("keep_alive") {
        Some(node) if node.kind == Kind::Text("auto".to_owned()) => {
            config.keep_alive_auto = true;
            reader.found("ollama.keep_alive".to_owned(), node.at);
        }
        _ => config.keep_alive = reader.field(&fields, "keep_alive", Reader::keep_alive),
    }
    if let Some(node) = fields.get("tuning") {
        tuning(&mut config.tuning, node, reader);
    }
    if let Some(after) =
        reader.field(&fields, "return_to_primary", |r, key, node| r.duration(key, node, SECOND))
    {
        config.return_to_primary = Some(after);
        if fields.get("model").is_none() {
            let at = fields.get("return_to_primary").map_or(At::default(), |node| node.at);
            reader.wrong(
                at,
                "ollama.return_to_primary",
                "there is no primary model to return to: set ollama.model",
            );
        }
    }
    if let Some(dir) = reader.field(&fields, "models_dir", Reader::path) {
        config.models_dir = Some(dir);
    }
    match (fields.get("preload"), fields.get("preload_models")) {
        (Some(_), Some(old)) => {
            reader.wrong(
                old.at,
                "ollama.preload_models",
                "the older name of preload; write only one of the two",
            );
        }
        (Some(node), None) => config.preload = preload("ollama.preload", node, reader),
        (None, Some(node)) => config.preload = preload("ollama.preload_models", node, reader),
        (None, None) => {}
    }
}

/// How a keep_alive is made from uses: whole minutes of the histogram, so that its bounds lie within it.
fn tuning(rule: &mut Rule, node: &Node, reader: &mut Reader) {
    let path = "ollama.tuning";
    let Some(fields) = reader.fields(path, node, &["percent", "min", "max"]) else { return };
    let percent = |r: &mut Reader, key: &str, node: &Node| r.whole(key, node, 1, 100)?.try_into().ok();
    reader.set(&mut rule.percent, &fields, "percent", percent);
    let bound = |r: &mut Reader, key: &str, node: &Node| {
        let time = r.duration(key, node, BIN)?;
        if time > RANGE {
            r.wrong(node.at, key, format!("too long; the most is {}", KeepAlive::For(RANGE)));
            return None;
        }
        Some(time)
    };
    reader.set(&mut rule.bounds.min, &fields, "min", bound);
    reader.set(&mut rule.bounds.max, &fields, "max", bound);
    let Bounds { min, max } = rule.bounds;
    if min > max {
        let key = if fields.get("max").is_some() { "max" } else { "min" };
        let at = fields.get(key).map_or(node.at, |node| node.at);
        let (min, max) = (KeepAlive::For(min), KeepAlive::For(max));
        reader.wrong(at, &fields.path_of(key), format!("the least, {min}, is more than the most, {max}"));
    }
}

fn address(config: &mut Config, fields: &Fields<'_>, reader: &mut Reader) {
    let read = |reader: &mut Reader, key: &str, node: &Node| {
        let text = reader.words(key, node)?;
        Address::parse(&text, Ports::Strict).map_err(|message| reader.wrong(node.at, key, message)).ok()
    };
    let host = reader.field(fields, "host", read);
    let port = reader.field(fields, "port", |reader, key, node| {
        reader.whole(key, node, 1, 65535).and_then(|port| u16::try_from(port).ok())
    });
    if host.is_none() && port.is_none() {
        return;
    }
    let Ok(mut address) = host.map_or_else(|| Address::parse("", Ports::Strict), Ok) else { return };
    match (address.port, port) {
        (Some(one), Some(other)) if one != other => {
            let at = fields.get("port").map_or(At::default(), |node| node.at);
            reader.wrong(at, "ollama.port", format!("host already names port {one}"));
        }
        (None, Some(port)) => address.port = Some(port),
        _ => {}
    }
    config.url = address.url();
}

/// `preload`, or the idea's older `preload_models`; a bare list is the list, enabled.
fn preload(path: &str, node: &Node, reader: &mut Reader) -> Preload {
    let mut preload = Preload { enabled: true, ..Preload::default() };
    // The merged result has one name for it, whatever the file calls it.
    let known = [
        "enabled",
        "on_startup",
        "models",
        "strategy",
        "auto_refresh",
        "refresh_interval",
        "hold",
        "make_room",
        "mend_below",
    ];
    if matches!(node.kind, Kind::List(_)) {
        preload.models = reader.models(path, node).unwrap_or_default();
        reader.found("ollama.preload.models".to_owned(), node.at);
        return preload;
    }
    let Some(fields) = reader.fields(path, node, &known) else { return preload };
    reader.set(&mut preload.enabled, &fields, "enabled", Reader::switch);
    reader.set(&mut preload.models, &fields, "models", Reader::models);
    let words = [
        ("warm", (Strategy::Warm, false)),
        ("request", (Strategy::Request, false)),
        ("startup", (Strategy::Warm, true)),
    ];
    if let Some((strategy, on_startup)) =
        reader.field(&fields, "strategy", |r, key, node| r.one_of(key, node, &words))
    {
        preload.strategy = strategy;
        preload.on_startup = on_startup;
    }
    reader.set(&mut preload.on_startup, &fields, "on_startup", Reader::switch);
    reader.set(&mut preload.auto_refresh, &fields, "auto_refresh", Reader::switch);
    let interval = |r: &mut Reader, key: &str, node: &Node| r.duration(key, node, SECOND);
    reader.set(&mut preload.refresh_interval, &fields, "refresh_interval", interval);
    let words = [("map", Hold::Map), ("mlock", Hold::Mlock), ("none", Hold::None)];
    reader.set(&mut preload.hold, &fields, "hold", |r, key, node| r.one_of(key, node, &words));
    reader.set(&mut preload.make_room, &fields, "make_room", Reader::switch);
    let percent = |r: &mut Reader, key: &str, node: &Node| r.whole(key, node, 0, 100)?.try_into().ok();
    reader.set(&mut preload.mend_below, &fields, "mend_below", percent);
    for key in known {
        if let Some(node) = fields.get(key) {
            reader.found(format!("ollama.preload.{key}"), node.at);
        }
    }
    preload
}

/// `auto`, or four sizes of which the three parts fit into the whole; without a total their sum is it.
fn memory(reader: &mut Reader, key: &str, node: &Node) -> Option<Memory> {
    if node.kind == Kind::Text("auto".to_owned()) {
        return Some(Memory::Auto);
    }
    if !matches!(node.kind, Kind::Map(_)) {
        let message = "expected auto, or a map with system, models_preload, context_cache and total";
        reader.wrong(node.at, key, message);
        return None;
    }
    let parts = ["system", "models_preload", "context_cache"];
    let fields = reader.fields(key, node, &["system", "models_preload", "context_cache", "total"])?;
    let [system, models_preload, context_cache] =
        parts.map(|part| reader.field(&fields, part, Reader::bytes));
    let total = reader.field(&fields, "total", Reader::bytes);
    for part in parts {
        if fields.get(part).is_none() {
            reader.wrong(
                node.at,
                &fields.path_of(part),
                "missing; a budget needs it (or write memory: auto)",
            );
        }
    }
    let (system, models_preload, context_cache) = (system?, models_preload?, context_cache?);
    let sum = system + models_preload + context_cache;
    let total = match (fields.get("total"), total) {
        (None, _) => sum,
        (Some(_), total) => total?,
    };
    if sum > total {
        let at = fields.get("total").map_or(node.at, |node| node.at);
        let message = format!(
            "does not add up: {system} system + {models_preload} models + {context_cache} context = {sum}, \
             more than {total}"
        );
        reader.wrong(at, &fields.path_of("total"), message);
        return None;
    }
    Some(Memory::Set { system, models_preload, context_cache, total })
}

fn models(config: &mut Config, node: &Node, reader: &mut Reader) {
    let Some(all) = reader.map("models", node) else { return };
    for entry in all.all() {
        let path = all.path_of(&entry.key);
        let name = match ModelName::parse(&entry.key) {
            Ok(name) => name,
            Err(error) => {
                reader.wrong(entry.at, &path, error.to_string());
                continue;
            }
        };
        let Some(fields) = reader.fields(&path, &entry.value, &["num_ctx"]) else { continue };
        let settings = ModelSettings { num_ctx: reader.field(&fields, "num_ctx", Reader::num_ctx) };
        match config.models.entry(name) {
            Entry::Occupied(old) => {
                let message = format!("{} is set already under another spelling", old.key());
                reader.wrong(entry.at, &path, message);
            }
            Entry::Vacant(free) => {
                free.insert(settings);
                reader.found(path, entry.at);
            }
        }
    }
}

/// A list of models, or a map that says more.
fn pins(pins: &mut Pins, node: &Node, reader: &mut Reader) {
    match &node.kind {
        Kind::List(_) => {
            if let Some(models) = reader.models("pins", node) {
                reader.found("pins.models".to_owned(), node.at);
                pins.models = models;
            }
        }
        Kind::Map(_) => {
            let Some(fields) = reader.fields("pins", node, &["models", "on_exit"]) else { return };
            reader.set(&mut pins.models, &fields, "models", Reader::models);
            let words = [("keep", OnExit::Keep), ("release", OnExit::Release)];
            reader.set(&mut pins.on_exit, &fields, "on_exit", |r, key, node| r.one_of(key, node, &words));
        }
        _ => reader.wrong(node.at, "pins", "expected a list of models, or a map with models and on_exit"),
    }
}

/// Which actions and keys there are, and which clash, only the keymap knows.
fn keys(config: &mut Config, node: &Node, reader: &mut Reader) {
    let Some(all) = reader.map("keys", node) else { return };
    for entry in all.all() {
        let path = all.path_of(&entry.key);
        if let Some(keys) = reader.texts(&path, &entry.value) {
            let place = reader.place(entry.at);
            config.keys.push(KeySetting { action: entry.key.clone(), keys, place });
            reader.found(path, entry.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_near_ours_is_a_typo_and_one_of_an_agent_is_not() {
        for (written, near) in [
            ("olama", "ollama"),
            ("ollma", "ollama"),
            ("Ollama", "ollama"),
            ("memry", "memory"),
            ("phase", "phases"),
            ("workflow", "workflows"),
            ("model", "models"),
            ("kyes", "keys"),
            ("key", "keys"),
            ("pin", "pins"),
            ("iu", "ui"),
            ("uix", "ui"),
        ] {
            assert_eq!(typo_of(written), Some(near), "{written}");
        }
        for foreign in
            ["agent", "db", "ai", "server", "tools", "logging", "apis", "deps", "llm", "prompts", "u", ""]
        {
            assert_eq!(typo_of(foreign), None, "{foreign}");
        }
    }
}

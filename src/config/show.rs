//! The merged settings as YAML that could be loaded again, with the origin of each value beside it.

use std::fmt::{Display, Write};
use std::time::Duration;

use super::{Config, Confirm, Hold, Loaded, Memory, OnExit, Preload, Source, Step, Strategy, Theme, Work};
use crate::residency::keep_alive::KeepAlive;
use crate::residency::name::ModelName;
use crate::residency::text::printable;

/// The merged result; behind each value, in a comment, where it came from.
pub fn show(loaded: &Loaded) -> String {
    let mut page = Page { loaded, text: String::new() };
    let config = &loaded.config;
    match &config.file {
        Some(file) => page.line(0, &format!("# {}", printable(&file.to_string_lossy()))),
        None => page.line(0, "# no file"),
    }
    if config.file.is_some() && !config.may_act {
        page.line(
            0,
            "# merely found: nothing in it acts by itself until --config or $RESIDENT_CONFIG names it",
        );
    }
    page.ollama(config);
    page.memory(config);
    page.work(config);
    page.ui(config);
    page.rest(config);
    for name in &loaded.ignored {
        page.line(0, &format!("# ignored, not ours: {}", printable(name)));
    }
    for note in &loaded.notes {
        page.line(0, &format!("# {}", printable(note)));
    }
    page.text
}

struct Page<'a> {
    loaded: &'a Loaded,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.text, "{:1$}{text}", "", depth * 2);
    }

    /// `key: value  # origin`; the last part of `path` is the key.
    fn value(&mut self, depth: usize, path: &str, value: impl Display) {
        let key = path.rsplit_once('.').map_or(path, |(_, key)| key);
        let line = format!("{key}: {value}  # {}", self.origin(path));
        self.line(depth, &line);
    }

    /// As `value`, for a key that the user chose.
    fn named(&mut self, depth: usize, section: &str, name: &str, value: impl Display) {
        let line = format!("{}: {value}  # {}", quoted(name), self.origin(&format!("{section}.{name}")));
        self.line(depth, &line);
    }

    /// A key that is not set has no value to show.
    fn unset(&mut self, depth: usize, key: &str) {
        self.line(depth, &format!("# {key}: not set"));
    }

    fn origin(&self, path: &str) -> String {
        self.loaded.origins.get(path).map_or_else(|| "default".to_owned(), ToString::to_string)
    }

    fn ollama(&mut self, config: &Config) {
        self.line(0, "ollama:");
        let path =
            if self.loaded.origins.contains_key("ollama.host") { "ollama.host" } else { "ollama.port" };
        let line = format!("host: {}  # {}", quoted(&config.url), self.origin(path));
        // Beside a list it would be one more server.
        if config.servers.is_empty() || self.loaded.names_host() {
            self.line(1, &line);
        } else {
            self.unset(1, "host");
        }
        match &config.primary {
            Some(model) => self.value(1, "ollama.model", quoted(model.as_str())),
            None => self.unset(1, "model"),
        }
        match config.keep_alive {
            Some(keep_alive) => self.value(1, "ollama.keep_alive", keep_alive_text(keep_alive)),
            None if config.keep_alive_auto => self.value(1, "ollama.keep_alive", "auto"),
            None => self.unset(1, "keep_alive"),
        }
        match config.return_to_primary {
            Some(after) => self.value(1, "ollama.return_to_primary", seconds(after)),
            None => self.unset(1, "return_to_primary"),
        }
        match &config.models_dir {
            Some(dir) => self.value(1, "ollama.models_dir", quoted(&dir.to_string_lossy())),
            None => self.unset(1, "models_dir"),
        }
        self.line(1, "tuning:");
        self.value(2, "ollama.tuning.percent", config.tuning.percent);
        self.value(2, "ollama.tuning.min", seconds(config.tuning.bounds.min));
        self.value(2, "ollama.tuning.max", seconds(config.tuning.bounds.max));
        self.preload(&config.preload);
    }

    fn preload(&mut self, preload: &Preload) {
        let strategy = match preload.strategy {
            Strategy::Warm => "warm",
            Strategy::Request => "request",
        };
        let hold = match preload.hold {
            Hold::Map => "map",
            Hold::Mlock => "mlock",
            Hold::None => "none",
        };
        self.line(1, "preload:");
        self.value(2, "ollama.preload.enabled", preload.enabled);
        self.value(2, "ollama.preload.on_startup", preload.on_startup);
        self.value(2, "ollama.preload.models", list(preload.models.iter().map(ModelName::as_str)));
        // `strategy: startup` set on_startup too, so it may be the origin of both; here it has its real name.
        self.value(2, "ollama.preload.strategy", strategy);
        self.value(2, "ollama.preload.auto_refresh", preload.auto_refresh);
        self.value(2, "ollama.preload.refresh_interval", seconds(preload.refresh_interval));
        self.value(2, "ollama.preload.hold", hold);
        self.value(2, "ollama.preload.make_room", preload.make_room);
        self.value(2, "ollama.preload.mend_below", preload.mend_below);
    }

    fn memory(&mut self, config: &Config) {
        let Memory::Set { system, models_preload, context_cache, total } = config.memory else {
            return self.value(0, "memory", "auto");
        };
        self.line(0, "memory:  # bytes");
        self.value(1, "memory.system", system.0);
        self.value(1, "memory.models_preload", models_preload.0);
        self.value(1, "memory.context_cache", context_cache.0);
        let summed = !self.loaded.origins.contains_key("memory.total");
        if summed {
            self.line(1, &format!("total: {}  # the sum", total.0));
        } else {
            self.value(1, "memory.total", total.0);
        }
    }

    fn work(&mut self, config: &Config) {
        self.line(0, if config.phases.is_empty() { "phases: {}" } else { "phases:" });
        for phase in &config.phases {
            let context = phase.num_ctx.map_or_else(String::new, |n| format!(", num_ctx: {n}"));
            let value = format!("{{model: {}{context}}}", quoted(phase.model.as_str()));
            self.named(1, "phases", &phase.name, value);
        }
        self.line(0, if config.workflows.is_empty() { "workflows: {}" } else { "workflows:" });
        for workflow in &config.workflows {
            self.named(1, "workflows", &workflow.name, "");
            self.line(2, &format!("repeat: {}", workflow.repeat));
            self.line(2, "steps:");
            for step in &workflow.steps {
                self.line(3, &format!("- {}", step_text(step)));
            }
        }
    }

    fn ui(&mut self, config: &Config) {
        let confirm = match config.ui.confirm {
            Confirm::Risky => "risky",
            Confirm::Always => "always",
            Confirm::Never => "never",
        };
        self.line(0, "ui:");
        self.value(1, "ui.refresh", seconds(config.ui.refresh));
        self.value(1, "ui.ascii", config.ui.ascii);
        self.theme(&config.ui.theme);
        self.value(1, "ui.mouse", config.ui.mouse);
        self.value(1, "ui.notify", config.ui.notify.word());
        self.value(1, "ui.confirm", confirm);
        self.value(1, "ui.read_only", config.ui.read_only);
        self.value(1, "ui.gpu", config.ui.gpu);
    }

    fn theme(&mut self, theme: &Theme) {
        if theme.own.is_empty() {
            return self.value(1, "ui.theme", theme.base.name());
        }
        self.line(1, "theme:");
        self.value(2, "ui.theme.base", theme.base.name());
        for (role, hue) in &theme.own {
            self.value(2, &format!("ui.theme.{}", role.name()), quoted(&hue.to_string()));
        }
    }

    fn rest(&mut self, config: &Config) {
        self.line(0, if config.models.is_empty() { "models: {}" } else { "models:" });
        for (name, settings) in &config.models {
            let value = settings.num_ctx.map_or_else(|| "{}".to_owned(), |n| format!("{{num_ctx: {n}}}"));
            // The user may have spelled the name in another way than its normal form.
            let written = self.loaded.origins.iter().find(|(path, _)| {
                path.strip_prefix("models.").is_some_and(|rest| ModelName::parse(rest).as_ref() == Ok(name))
            });
            let origin = written.map_or_else(|| "default".to_owned(), |(_, origin)| origin.to_string());
            self.line(1, &format!("{}: {value}  # {origin}", quoted(name.as_str())));
        }
        self.servers(config);
        self.line(0, "pins:");
        self.value(1, "pins.models", list(config.pins.models.iter().map(ModelName::as_str)));
        let on_exit = match config.pins.on_exit {
            OnExit::Keep => "keep",
            OnExit::Release => "release",
        };
        self.value(1, "pins.on_exit", on_exit);
        self.line(0, if config.keys.is_empty() { "keys: {}" } else { "keys:" });
        for setting in &config.keys {
            self.named(1, "keys", &setting.action, list(setting.keys.iter().map(String::as_str)));
        }
    }
}

impl Page<'_> {
    fn servers(&mut self, config: &Config) {
        self.line(0, if config.servers.is_empty() { "servers: []" } else { "servers:" });
        for (index, server) in config.servers.iter().enumerate() {
            let origin = self.origin(&format!("servers[{index}].name"));
            self.line(1, &format!("- name: {}  # {origin}", quoted(&server.name)));
            self.line(2, &format!("url: {}", quoted(&server.url)));
            let access = &server.access;
            if let Some(token) = &access.token {
                self.line(2, &format!("token: {}", source(token)));
            }
            if let Some(ca) = &access.ca {
                self.line(2, &format!("ca: {}", quoted(&ca.to_string_lossy())));
            }
            if !access.headers.is_empty() {
                self.line(2, "headers:");
            }
            for (name, value) in &access.headers {
                self.line(3, &format!("{}: {}", quoted(name), source(value)));
            }
        }
    }
}

/// Where a text comes from; never the text itself.
fn source(source: &Source) -> String {
    match source {
        Source::Env(name) => format!("{{env: {}}}", quoted(name)),
        Source::File(path) => format!("{{file: {}}}", quoted(&path.to_string_lossy())),
        Source::Here(_) => "\"(not shown)\"".to_owned(),
    }
}

/// A step as a map on one line.
fn step_text(step: &Step) -> String {
    let mut text = format!("{{phase: {}", quoted(&step.phase));
    if let Some(model) = &step.model {
        let _ = write!(text, ", model: {}", quoted(model.as_str()));
    }
    if let Some(num_ctx) = step.num_ctx {
        let _ = write!(text, ", num_ctx: {num_ctx}");
    }
    match &step.work {
        None => {}
        Some(Work::For(time)) => {
            let _ = write!(text, ", work: {}", seconds(*time));
        }
        Some(Work::Prompt { text: prompt, max_tokens }) => {
            let _ = write!(text, ", prompt: {}", quoted(prompt));
            if let Some(most) = max_tokens {
                let _ = write!(text, ", max_tokens: {most}");
            }
        }
        Some(Work::Command(argv)) => {
            let _ = write!(text, ", command: {}", list(argv.iter().map(String::as_str)));
        }
    }
    if !step.on_failure.is_empty() {
        let steps: Vec<String> = step.on_failure.iter().map(step_text).collect();
        let _ = write!(text, ", on_failure: [{}]", steps.join(", "));
    }
    text + "}"
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", texts.map(quoted).collect::<Vec<_>>().join(", "))
}

fn keep_alive_text(keep_alive: KeepAlive) -> String {
    match keep_alive {
        KeepAlive::Forever => "-1".to_owned(),
        KeepAlive::For(time) => seconds(time),
    }
}

/// A duration that reads back as the same: whole seconds as people write them, a fraction in seconds.
fn seconds(time: Duration) -> String {
    if time.subsec_nanos() == 0 {
        KeepAlive::For(time).to_string()
    } else {
        format!("{}s", time.as_secs_f64())
    }
}

/// A text in double quotes, every character that could harm a terminal or end the quotes escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let mut one = [0; 4];
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if printable(c.encode_utf8(&mut one)) == "\u{fffd}" => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out + "\""
}

//! `servers`: where each one listens, and what opens its door: where a token comes from, never the token itself.

use std::fmt;
use std::path::{Path, PathBuf};

use super::address::{Address, Ports};
use super::reader::Reader;
use super::tree::{Kind, Node};

/// One server of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What it is called on the screen and by `--server`.
    pub name: String,
    /// Where it listens, with scheme and port.
    pub url: String,
    /// What it asks for before it answers.
    pub access: Access,
}

/// What a server asks for before it answers: nothing, unless the user says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The bearer token that each request carries.
    pub token: Option<Source>,
    /// Other headers that each request carries.
    pub headers: Vec<(String, Source)>,
    /// The certificates, as PEM, that its own must be signed by, beside the system's.
    pub ca: Option<PathBuf>,
}

/// Where a text comes from that not everybody is to see.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// An environment variable.
    Env(String),
    /// A file; blanks and line ends around its text do not count.
    File(PathBuf),
    /// The config itself.
    Here(String),
}

impl Access {
    fn settle(&mut self, whole: &dyn Fn(&Path) -> PathBuf) {
        let values = self.headers.iter_mut().map(|(_, value)| value);
        for source in self.token.iter_mut().chain(values) {
            if let Source::File(path) = source {
                *path = whole(path);
            }
        }
        self.ca = self.ca.take().map(|path| whole(&path));
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Env(name) => write!(f, "the environment variable {name}"),
            Source::File(path) => write!(f, "the file {}", path.display()),
            Source::Here(_) => f.write_str("the config"),
        }
    }
}

/// Reads the whole list; what is wrong with one is told, and the others are read.
/// `whole` makes a path one from the root.
pub(super) fn servers(node: &Node, reader: &mut Reader, whole: &dyn Fn(&Path) -> PathBuf) -> Vec<Server> {
    let Kind::List(nodes) = &node.kind else {
        reader.wrong(node.at, "servers", "expected a list of servers, each with name and url");
        return Vec::new();
    };
    let mut servers: Vec<Server> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("servers[{index}]");
        let Some(mut server) = server(&path, node, reader) else { continue };
        server.access.settle(whole);
        if servers.iter().any(|other| other.name == server.name) {
            reader.wrong(node.at, &format!("{path}.name"), format!("{} is in the list already", server.name));
        } else {
            servers.push(server);
        }
    }
    servers
}

fn server(path: &str, node: &Node, reader: &mut Reader) -> Option<Server> {
    let fields = reader.fields(path, node, &["name", "url", "token", "ca", "headers"])?;
    for key in ["name", "url"] {
        if fields.get(key).is_none() {
            reader.wrong(node.at, &fields.path_of(key), "missing; a server needs it");
        }
    }
    let name = reader.field(&fields, "name", name);
    let url = reader.field(&fields, "url", |reader, key, node| {
        let text = reader.text(key, node)?;
        match Address::parse(&text, Ports::Strict) {
            Ok(address) => Some(address.url()),
            Err(why) => {
                reader.wrong(node.at, key, why);
                None
            }
        }
    });
    let token = reader.field(&fields, "token", |reader, key, node| {
        let found = source(reader, key, node)?;
        if let Source::Here(_) = found {
            let message = "a token does not stand in a config; write {env: NAME} or {file: PATH}";
            reader.wrong(node.at, key, message);
            return None;
        }
        Some(found)
    });
    let headers = reader.field(&fields, "headers", headers).unwrap_or_default();
    let ca = reader.field(&fields, "ca", Reader::path);
    Some(Server { name: name?, url: url?, access: Access { token, headers, ca } })
}

/// A name that can be typed in a shell and stands on one line of the screen.
fn name(reader: &mut Reader, key: &str, node: &Node) -> Option<String> {
    let name = reader.text(key, node)?;
    let is_good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.chars().count() > 32 || !name.chars().all(is_good) {
        reader.wrong(node.at, key, "must be 1 to 32 letters, digits, -, _ or .");
        return None;
    }
    Some(name)
}

fn headers(reader: &mut Reader, key: &str, node: &Node) -> Option<Vec<(String, Source)>> {
    let all = reader.map(key, node)?;
    let mut headers = Vec::new();
    for entry in all.all() {
        let path = all.path_of(&entry.key);
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if entry.key.is_empty() || !entry.key.chars().all(is_token) {
            reader.wrong(entry.at, &path, "a header's name may hold letters, digits, - and _ only");
        } else if let Some(source) = source(reader, &path, &entry.value) {
            headers.push((entry.key.clone(), source));
        }
    }
    Some(headers)
}

/// A text, or a map that says where it is.
fn source(reader: &mut Reader, key: &str, node: &Node) -> Option<Source> {
    if !matches!(node.kind, Kind::Map(_)) {
        return reader.text(key, node).map(Source::Here);
    }
    let fields = reader.fields(key, node, &["env", "file"])?;
    let env = reader.field(&fields, "env", Reader::text).map(Source::Env);
    let file = reader.field(&fields, "file", Reader::path).map(Source::File);
    match (env, file) {
        (Some(found), None) | (None, Some(found)) => Some(found),
        (Some(_), Some(_)) => {
            reader.wrong(node.at, key, "either env or file, not both");
            None
        }
        (None, None) => {
            reader.wrong(node.at, key, "expected {env: NAME} or {file: PATH}");
            None
        }
    }
}

//! What a server asks for before it answers, fetched from where the config says that it is.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::config::{self, Config, Source};
use crate::ollama::Access;

/// A token or a header is shorter, a bundle of certificates too.
const LIMIT: u64 = 1 << 20;

/// Fetches it. A config that was merely found gives no token away. An error says which thing of which server and where it
/// was looked for, never its text.
pub fn fetch(config: &Config) -> Result<Access, String> {
    let (wanted, url) = (&config.access, &config.url);
    let mut access = Access::default();
    if *wanted == config::Access::default() {
        return Ok(access);
    }
    if !config.may_act {
        let file = config.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
        return Err(format!(
            "{url} asks for a token or headers, which a config that was merely found may not give: --config {file}"
        ));
    }
    if let Some(source) = &wanted.token {
        let token = read(source).map_err(|why| format!("the token of {url}: {source}: {why}"))?;
        access.token(&token).map_err(|why| format!("the token of {url}: {source}: {why}"))?;
    }
    for (name, source) in &wanted.headers {
        let said = |why: &str| format!("the header {name} of {url}: {source}: {why}");
        let value = read(source).map_err(|why| said(&why))?;
        access.header(name, &value).map_err(said)?;
    }
    if let Some(path) = &wanted.ca {
        let said = |why: &str| format!("the certificates of {url}: {}: {why}", path.display());
        let pem = bytes(path).map_err(|why| said(&why))?;
        access.certificates(&pem).map_err(said)?;
    }
    Ok(access)
}

fn read(source: &Source) -> Result<String, String> {
    match source {
        Source::Env(name) => {
            let value = std::env::var_os(name).ok_or("it is not set")?;
            value.into_string().map(|text| text.trim().to_owned()).map_err(|_| "it is no text".to_owned())
        }
        Source::File(path) => {
            let text = String::from_utf8(bytes(path)?).map_err(|_| "it is no text")?;
            Ok(text.trim().to_owned())
        }
        Source::Here(text) => Ok(text.clone()),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LIMIT).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

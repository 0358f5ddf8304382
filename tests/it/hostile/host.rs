//! `OLLAMA_HOST` and `--host`: what is taken can be called, what is not says why.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use resident::config::{Flags, Sources, load};

use super::safe;

pub fn holds(data: &[u8]) {
    let of = |host: OsString| Sources {
        env: [("OLLAMA_HOST".to_owned(), host)].into(),
        cwd: "/nonexistent".into(),
        ..Sources::default()
    };
    let by_env = url(&of(OsString::from_vec(data.to_vec())), "OLLAMA_HOST");
    if let Some(url) = &by_env {
        assert_eq!(self::url(&of(url.into()), "OLLAMA_HOST").as_ref(), Some(url), "an address is itself");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let flags = Flags { host: Some(text.to_owned()), ..Flags::default() };
    let by_flag = Sources { flags, cwd: "/nonexistent".into(), ..Sources::default() };
    // The flag is stricter of ports, and means nothing else.
    if let Some(url) = url(&by_flag, "--host") {
        assert_eq!(Some(url), by_env);
    }
}

fn url(sources: &Sources, key: &str) -> Option<String> {
    match load(sources) {
        Ok(loaded) => {
            let url = loaded.config.url;
            assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url:?}");
            let read = reqwest::Url::parse(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert!(["http", "https"].contains(&read.scheme()) && read.has_host(), "{url}");
            assert!(read.username().is_empty() && read.password().is_none(), "{url}");
            assert!(read.query().is_none() && read.fragment().is_none(), "{url}");
            assert_ne!(read.port_or_known_default(), Some(0), "{url}");
            loaded.notes.iter().for_each(|note| safe::assert_safe(note));
            Some(url)
        }
        Err(problems) => {
            for problem in &problems {
                assert_eq!(problem.key, key);
                safe::assert_safe(&problem.to_string());
            }
            None
        }
    }
}

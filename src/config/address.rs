//! A server's address in every form that Ollama accepts for `OLLAMA_HOST` (envconfig/config.go), as a URL to call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Ollama's own port.
const PORT: u16 = 11434;

/// An address; what was not written is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    scheme: Option<&'static str>,
    host: String,
    pub port: Option<u16>,
    /// A port was written that is none, and the default is taken for it.
    pub port_is_default: bool,
    path: String,
}

/// How a port that is none is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// An error: the user wrote it for us.
    Strict,
    /// The default, as Ollama itself takes it.
    AsOllama,
}

impl Address {
    /// Reads `host`, `host:port`, `:port`, `[v6]:port`, `http(s)://…/path`, with quotes and spaces around it.
    pub(super) fn parse(text: &str, ports: Ports) -> Result<Address, String> {
        let text = text.trim().trim_matches(['"', '\'']).trim();
        let (scheme, rest) = match text.split_once("://") {
            None if text == "ollama.com" => (Some("https"), text),
            None => (None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some("http"), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some("https"), rest),
            Some((scheme, _)) => return Err(format!("{scheme}:// is not served; write http:// or https://")),
        };
        let (host_port, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let path = path.trim_end_matches('/');
        if host_port.contains('@') {
            return Err("a user name or password cannot stand in the address".to_owned());
        }
        if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b)) {
            return Err("the path may hold letters, digits and / - . _ ~ % only".to_owned());
        }
        let (host, port) = split(host_port)?;
        let written = port.map(str::parse::<u16>);
        let port_is_default = matches!(written, Some(Err(_)));
        let port = match written {
            None => None,
            Some(Ok(0)) => return Err("port 0 cannot be called".to_owned()),
            Some(Ok(port)) => Some(port),
            Some(Err(_)) if ports == Ports::AsOllama => None,
            Some(Err(_)) => return Err("the port must be a number from 1 to 65535".to_owned()),
        };
        let address =
            Address { scheme, host: reachable(host)?, port, port_is_default, path: path.to_owned() };
        // What looks like a number must be one: 1.2.3.999 is no host.
        match Url::parse(&address.url()) {
            Ok(_) => Ok(address),
            Err(error) => Err(format!("cannot be called: {error}")),
        }
    }

    /// The address as a URL with scheme and port: a written scheme brings its own port, none is Ollama's.
    pub(super) fn url(&self) -> String {
        let port = self.port.unwrap_or(match self.scheme {
            None => PORT,
            Some("https") => 443,
            Some(_) => 80,
        });
        let scheme = self.scheme.unwrap_or("http");
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("{scheme}://{}:{port}{slash}{}", self.host, self.path)
    }
}

fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else { return Err("a ] is missing".to_owned()) };
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("write [address]:port".to_owned()),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err("an IPv6 address needs brackets: [::1]:11434".to_owned())
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// The host to call: an address that means all of this machine's is called on its loopback.
fn reachable(host: &str) -> Result<String, String> {
    match host.parse::<IpAddr>() {
        _ if host.is_empty() => Ok(Ipv4Addr::LOCALHOST.to_string()),
        Ok(IpAddr::V4(v4)) if v4.is_unspecified() => Ok(Ipv4Addr::LOCALHOST.to_string()),
        Ok(IpAddr::V6(v6)) if v6.is_unspecified() => Ok("[::1]".to_owned()),
        Ok(IpAddr::V4(v4)) => Ok(v4.to_string()),
        Ok(IpAddr::V6(v6)) => Ok(format!("[{v6}]")),
        Err(_)
            if host.len() > 253
                || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) =>
        {
            Err("not a host name; write host, host:port or http://host:port".to_owned())
        }
        Err(_) => Ok(host.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_ollama_accepts_becomes_a_url() {
        for (text, url) in [
            ("", "http://127.0.0.1:11434"),
            ("1.2.3.4", "http://1.2.3.4:11434"),
            ("1.2.3.4:5678", "http://1.2.3.4:5678"),
            (":1234", "http://127.0.0.1:1234"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("http://0.0.0.0", "http://127.0.0.1:80"),
            ("[::]", "http://[::1]:11434"),
            ("::", "http://[::1]:11434"),
            ("[::]:1337", "http://[::1]:1337"),
            ("::1", "http://[::1]:11434"),
            ("[2001:db8::1]:1", "http://[2001:db8::1]:1"),
            ("localhost", "http://localhost:11434"),
            ("example.com:443", "http://example.com:443"),
            ("http://example.com", "http://example.com:80"),
            ("https://example.com", "https://example.com:443"),
            ("HTTPS://example.com", "https://example.com:443"),
            ("https://example.com:8443/", "https://example.com:8443"),
            ("example.com/ollama", "http://example.com:11434/ollama"),
            ("https://example.com/a/b/", "https://example.com:443/a/b"),
            ("ollama.com", "https://ollama.com:443"),
            (" \"1.2.3.4\" ", "http://1.2.3.4:11434"),
            ("'host:1'", "http://host:1"),
            ("example.com:", "http://example.com:11434"),
            ("host:66000", "http://host:11434"),
            ("https://host:-1", "https://host:443"),
        ] {
            assert_eq!(
                Address::parse(text, Ports::AsOllama).map(|a| a.url()),
                Ok(url.to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_called_says_why() {
        for bad in [
            "ftp://x",
            "a b",
            "x:0",
            "[::1",
            "[::1]x",
            "1::2:3:4:5:6:7:8:9",
            "u:p@host",
            "me@host",
            "h/a b",
            "日本",
            "a\u{1b}",
            "1.2.3.999",
            "1127.0..1",
            "xn--:80",
        ] {
            assert!(Address::parse(bad, Ports::AsOllama).is_err(), "{bad:?}");
        }
        assert!(Address::parse("host:66000", Ports::Strict).is_err());
        assert!(Address::parse("host:", Ports::Strict).is_err());
    }
}

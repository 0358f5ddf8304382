//! Where it listens, and by which names it lets itself be called: a foreign page must not reach it by a name
//! that it made to lead here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::residency::text::without_port;

/// Where `--listen` says: a port alone is on loopback.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    const WRONG: &str = "write a port, or ADDRESS:PORT such as 0.0.0.0:9736 or [::1]:9736";
    let on_loopback = |port: &str| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)));
    let alone = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    on_loopback(alone).or_else(|| text.parse().ok()).ok_or(WRONG)
}

/// The names of this machine.
#[derive(Debug, Clone)]
pub struct Names(Vec<String>);

impl Names {
    /// The machine's own name, where others may ask it, and those that the user gave.
    pub fn new(address: SocketAddr, machine: Option<&str>, more: &[String]) -> Names {
        let machine = machine.filter(|machine| !machine.is_empty() && !address.ip().is_loopback());
        let own = machine.into_iter().flat_map(|name| [name.to_owned(), format!("{name}.local")]);
        Names(own.chain(more.iter().cloned()).map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a request to `host`, with or without a port, is meant for this machine. Nobody can make an
    /// address or `localhost` lead elsewhere than it does.
    pub fn contain(&self, host: &str) -> bool {
        let host = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.contains(&host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback_and_elsewhere_only_what_is_said() {
        for (text, at) in [
            ("9736", Some("127.0.0.1:9736")),
            (":9736", Some("127.0.0.1:9736")),
            ("localhost:9736", Some("127.0.0.1:9736")),
            ("0", Some("127.0.0.1:0")),
            ("0.0.0.0:9736", Some("0.0.0.0:9736")),
            ("[::1]:9736", Some("[::1]:9736")),
            ("10.0.0.5:80", Some("10.0.0.5:80")),
            ("10.0.0.5", None),
            ("box:9736", None),
            ("70000", None),
            ("", None),
        ] {
            assert_eq!(address(text).ok(), at.map(|at| at.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn addresses_and_own_names_pass_and_foreign_names_do_not() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 9736));
        let names = Names::new(everywhere, Some("Box"), &["metrics.lan".to_owned()]);
        for host in [
            "127.0.0.1:9736",
            "10.0.0.5",
            "[::1]:9736",
            "::1",
            "LOCALHOST",
            "a.localhost:1",
            "box:9736",
            "BOX.local",
            "metrics.lan.:9736",
        ] {
            assert!(names.contain(host), "{host}");
        }
        for host in
            ["evil.example", "box.evil.example:9736", "localhost.evil.example", "127.0.0.1.evil.example", ""]
        {
            assert!(!names.contain(host), "{host}");
        }
        // On loopback nobody else has a reason to come by the machine's name.
        assert!(!Names::new(SocketAddr::from(([127, 0, 0, 1], 1)), Some("box"), &[]).contain("box"));
    }
}

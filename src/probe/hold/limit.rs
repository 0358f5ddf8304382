//! How much this process may lock, and how to let it lock more.

use std::fs;

use rustix::process::{Resource, geteuid, getrlimit};

use crate::probe::privilege::{self, Capability};
use crate::residency::bytes::Bytes;
use crate::residency::hold::{limit_lines, raise_limit};

/// How much this process may lock in all; `None` is no limit.
pub fn lock_limit() -> Option<Bytes> {
    if privilege::holds(Capability::IpcLock) {
        return None;
    }
    getrlimit(Resource::Memlock).current.map(Bytes)
}

/// What to do so that this user can lock `needed` where `limit` is the limit.
pub fn lock_advice(needed: Bytes, limit: Bytes) -> String {
    raise_limit(needed, limit, &user())
}

/// Only the lines with which this user can lock `needed`.
pub fn lock_lines(needed: Bytes) -> String {
    limit_lines(needed, &user())
}

/// Who we are, as limits.conf takes it.
fn user() -> String {
    name(&fs::read_to_string("/etc/passwd").unwrap_or_default(), geteuid().as_raw())
}

/// The user's name, or the form of its number that limits.conf takes.
fn name(passwd: &str, uid: u32) -> String {
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then_some(name)
    });
    let is_plain = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic());
    named.filter(is_plain).map_or_else(|| format!(":{uid}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_limits_conf_takes_it() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n\nann:x:1000:1000::/home/ann:/bin/sh\n\u{1b}[m:x:7:7::/:\n+\n";
        for (uid, user) in [(0, "root"), (1000, "ann"), (1001, ":1001"), (7, ":7")] {
            assert_eq!(name(passwd, uid), user);
        }
    }
}

//! Who acts by itself on the server, and what of it: the keeper is another process, `status` only looks.

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::journal::Seen;
use crate::residency::guard::claim::Onlooker;
use crate::residency::guard::{Auto, Keeper, Keeping};

/// What is shown, from who has which role, what the config lets it do, and the pins that are known.
pub fn keeping(config: &Config, roles: &Seen, own: &Keeping) -> Keeping {
    let acts = config.may_act;
    let all = [
        (Auto::Refresh, acts && config.preload.enabled && config.preload.auto_refresh),
        (Auto::Pins, own.pins.as_ref().is_some_and(|pins| !pins.is_empty())),
        (Auto::Return, acts && config.return_to_primary.is_some() && config.primary.is_some()),
    ];
    Keeping {
        keeper: roles.keeper.map(Keeper::Other),
        idle: roles.idle,
        auto: all.into_iter().filter_map(|(auto, is_on)| is_on.then_some(auto)).collect(),
        ..own.clone()
    }
}

/// The line of the table; `None` where nobody keeps and nobody would.
pub(super) fn line(keeping: &Keeping) -> Option<String> {
    let words: Vec<&str> = keeping.auto.iter().map(|auto| auto.word()).collect();
    let words = words.join(" ");
    match (pid(keeping), words.as_str()) {
        (Some(pid), "") => Some(format!("KEEPER  pid {pid}  nothing acts by itself")),
        (Some(pid), words) => Some(format!("KEEPER  pid {pid}  may act by itself: {words}")),
        (None, _) if keeping.idle.is_some() => keeping.idle.map(|Onlooker { pid, why }| {
            format!("KEEPER  none: nothing acts by itself; pid {pid} only looks on ({})", why.words())
        }),
        (None, "") => None,
        (None, words) => Some(format!("KEEPER  none: nothing acts by itself; a dashboard would: {words}")),
    }
}

fn pid(keeping: &Keeping) -> Option<u32> {
    match keeping.keeper {
        Some(Keeper::Other(pid)) => Some(pid),
        Some(Keeper::This) => Some(std::process::id()),
        None => None,
    }
}

/// The keys for scripts.
pub(super) fn put(keeping: &Keeping, into: &mut Map<String, Value>) {
    let auto = keeping.auto.iter().map(|auto| Value::from(auto.word()));
    into.insert("keeper_pid".to_owned(), pid(keeping).into());
    into.insert("looks_on".to_owned(), looks_on(keeping.idle));
    into.insert("may_act".to_owned(), auto.collect());
}

/// The instance that watches while nobody acts, for scripts.
pub(in crate::cli) fn looks_on(idle: Option<Onlooker>) -> Value {
    idle.map_or(Value::Null, |Onlooker { pid, why }| json!({"pid": pid, "why": why.words()}))
}

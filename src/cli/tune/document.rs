//! The tuning for scripts: JSON; times in seconds, what is unknown null.

use serde_json::{Value, json as object};

use crate::cli::status::{script_name, seconds};
use crate::residency::tune::Tuning;
use crate::residency::tune::policy::{Advice, Policy, Rule};

/// The version of the JSON; it rises when a key changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// What is made of each model's uses.
pub fn json(server: &str, rule: Rule, tunings: &[Tuning]) -> Value {
    object!({
        "schema_version": SCHEMA_VERSION,
        "server": server,
        "percent": rule.percent,
        "min_seconds": seconds(rule.bounds.min),
        "max_seconds": seconds(rule.bounds.max),
        "models": tunings.iter().map(model).collect::<Vec<_>>(),
    })
}

fn model(tuning: &Tuning) -> Value {
    let verdict = match tuning.advice {
        Advice::TooFew { .. } => "too_few",
        Advice::Scattered { .. } => "scattered",
        Advice::Away { .. } => "away",
        Advice::Keep { .. } => "keep",
    };
    let histogram = tuning.histogram.stretches().into_iter();
    let policies = tuning.rows.iter().map(|(policy, outcome)| {
        object!({
            "policy": policy.to_string(),
            "keep_alive_seconds": if let Policy::Fixed(time) = policy { Some(seconds(*time)) } else { None },
            "uses": outcome.uses,
            "cold_starts": outcome.loads,
            "held_seconds": seconds(outcome.held),
            "wasted_seconds": seconds(outcome.wasted),
            "held_gib_hours": tuning.size.map(|size| outcome.gib_hours(size)),
        })
    });
    object!({
        "model": script_name(&tuning.model),
        "size_bytes": tuning.size.map(|size| size.0),
        "uses": tuning.uses,
        "span_seconds": seconds(tuning.span),
        "returns": tuning.histogram.returns(),
        "returns_within_max": tuning.histogram.within(tuning.rule.bounds.max),
        "verdict": verdict,
        "keep_alive_seconds": tuning.keep_alive().map(seconds),
        "histogram": histogram.map(|stretch| object!({
            "until_seconds": stretch.until.map(seconds),
            "count": stretch.count,
        })).collect::<Vec<_>>(),
        "policies": policies.collect::<Vec<_>>(),
    })
}

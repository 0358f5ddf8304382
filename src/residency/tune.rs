//! Tuning: what a model's uses say about its keep_alive, and what each policy would have cost on them.
//!
//! | file | subject |
//! |---|---|
//! | `trace` | the uses of a model and the idle times between them |
//! | `histogram` | how often it came back after how long |
//! | `policy` | how long it stays in VRAM: fixed, by its histogram, by foresight |
//! | `replay` | a trace under a policy: loads, and VRAM held |
//! | `words` | the same for the eye |
//! | `generate` | seeded traces of a known shape |
//!
//! The policy is the hybrid histogram policy of Shahrad et al., "Serverless in the Wild: Characterizing and Optimizing
//! the Serverless Workload at a Large Cloud Provider", USENIX ATC 2020, section 4, with what a model server makes of it
//! ([`policy`] says where it differs). The engine asks the journal for the uses; `resident tune` and the screen show
//! what is made of them here.

pub mod generate;
pub mod histogram;
pub mod policy;
pub mod replay;
pub mod trace;
mod words;

use std::time::Duration;

use super::bytes::Bytes;
use super::name::ModelName;
use histogram::Histogram;
use policy::{Advice, Bounds, FIXED_LONG, FIXED_SHORT, Policy, Rule, advise};
use replay::{Outcome, replay};
use trace::Trace;

/// All that is made of one model's uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Which model.
    pub model: ModelName,
    /// Its files, which its weights in VRAM are about as large as; `None` if no load of it was seen.
    pub size: Option<Bytes>,
    /// How many uses are known.
    pub uses: usize,
    /// The time from the first use to now.
    pub span: Duration,
    /// After how long it came back.
    pub histogram: Histogram,
    /// What follows by the rule.
    pub advice: Advice,
    /// The rule.
    pub rule: Rule,
    /// Each policy replayed on the model's own uses, the cheapest fixed one first.
    pub rows: Vec<(Policy, Outcome)>,
}

impl Tuning {
    /// Makes it.
    pub fn of(trace: &Trace, rule: Rule) -> Tuning {
        let histogram = Histogram::of(trace.idle_times());
        let advice = advise(&histogram, rule);
        let rows = policies(rule, advice.keep_alive()).into_iter();
        Tuning {
            model: trace.model.clone(),
            size: trace.size,
            uses: trace.uses.len(),
            span: trace.span(),
            rows: rows.map(|policy| (policy, replay(trace, policy))).collect(),
            histogram,
            advice,
            rule,
        }
    }

    /// The keep_alive that a load of it carries under `keep_alive: auto`; `None` leaves it to the server.
    pub fn keep_alive(&self) -> Option<Duration> {
        self.advice.keep_alive()
    }

    /// What that would have come to, had it been set from the first use on.
    pub fn cost(&self) -> Option<Outcome> {
        let advised = Policy::Fixed(self.keep_alive()?);
        self.rows.iter().find(|(policy, _)| *policy == advised).map(|(_, outcome)| *outcome)
    }
}

/// The policies that are put beside each other; `advised` is the keep_alive known in hindsight.
pub fn policies(rule: Rule, advised: Option<Duration>) -> Vec<Policy> {
    let mut all = vec![Policy::Fixed(FIXED_SHORT), Policy::Fixed(FIXED_LONG)];
    all.extend(advised.map(Policy::Fixed).filter(|policy| !all.contains(policy)));
    all.extend([Policy::Auto(rule), Policy::Ahead(rule), Policy::Foresight(rule.bounds.max)]);
    all
}

/// The rule of a user who set nothing.
impl Default for Rule {
    fn default() -> Rule {
        Rule { percent: policy::PERCENT, bounds: Bounds::default() }
    }
}

//! Replay: what a policy would have cost on a trace. It decides after each use, from what was seen until then.
//!
//! Models are replayed one by one: how much the card holds at once is not known, so that nothing is evicted for another
//! one. A load takes no time. A first use, and one after a time that nobody watched, is a load under every policy.

use std::ops::AddAssign;
use std::time::Duration;

use super::histogram::Histogram;
use super::policy::Policy;
use super::trace::{Then, Trace};
use crate::residency::bytes::Bytes;

/// What a policy costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Uses.
    pub uses: u32,
    /// Of these, so many had to wait for a load into VRAM: cold starts.
    pub loads: u32,
    /// How long it was in VRAM, in use or idle.
    pub held: Duration,
    /// Of that, idle until it went without being used again.
    pub wasted: Duration,
}

impl Outcome {
    /// GiB·h of a model of this size.
    pub fn gib_hours(&self, size: Bytes) -> f64 {
        gib_hours(self.held, size)
    }

    /// Whole percent of the uses that found it in VRAM.
    pub fn percent_kept(&self) -> u8 {
        super::policy::percent_of(self.uses - self.loads, self.uses)
    }
}

/// How much VRAM for how long.
pub fn gib_hours(held: Duration, size: Bytes) -> f64 {
    held.as_secs_f64() / 3600.0 * size.gib()
}

/// The same over several models, whose sizes differ.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Total {
    /// Uses.
    pub uses: u32,
    /// Cold starts.
    pub loads: u32,
    /// GiB·h held.
    pub held: f64,
    /// GiB·h held for nothing.
    pub wasted: f64,
}

impl AddAssign<(Outcome, Bytes)> for Total {
    fn add_assign(&mut self, (outcome, size): (Outcome, Bytes)) {
        self.uses += outcome.uses;
        self.loads += outcome.loads;
        self.held += gib_hours(outcome.held, size);
        self.wasted += gib_hours(outcome.wasted, size);
    }
}

/// What the policy would have cost on all these traces; one of unknown size counts no GiB·h.
pub fn total(traces: &[Trace], policy: Policy) -> Total {
    let mut total = Total::default();
    for trace in traces {
        total += (replay(trace, policy), trace.size.unwrap_or_default());
    }
    total
}

/// What the policy would have cost.
pub fn replay(trace: &Trace, policy: Policy) -> Outcome {
    let mut outcome = Outcome::default();
    let mut past = Histogram::default();
    let mut is_there = false;
    for turn in trace.turns() {
        outcome.uses += 1;
        outcome.loads += u32::from(!is_there);
        let next = if let Then::Back(idle) = turn.then { Some(idle) } else { None };
        let window = policy.window(&past, next);
        let (Then::Back(idle) | Then::Unwatched(idle) | Then::Nothing(idle)) = turn.then;
        is_there = next.is_some_and(|next| window.covers(next));
        let held = window.held(idle);
        outcome.held += turn.used + held;
        outcome.wasted += if is_there { Duration::ZERO } else { held };
        if let Some(idle) = next {
            past.note(idle);
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::generate::{SHAPES, generate};
    use super::super::policy::{FIXED_LONG, FIXED_SHORT, Rule};
    use super::super::trace::tests::{trace, used};
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn loads_and_time_are_counted_by_hand() {
        // Used for 10 minutes, back after 4, then after 30, then nobody watched, then nothing for an hour.
        let uses = vec![used(0, None), used(14, Some(4)), used(44, Some(30)), used(144, None)];
        let trace = trace(uses, 204);
        let fixed = |m| replay(&trace, Policy::Fixed(minutes(m)));
        let outcome =
            |loads, held, wasted| Outcome { uses: 4, loads, held: minutes(held), wasted: minutes(wasted) };
        assert_eq!(fixed(5), outcome(3, 10 + 4 + 5 + 5 + 5, 15));
        assert_eq!(fixed(60), outcome(2, 10 + 4 + 30 + 60 + 60, 120));
        assert_eq!(replay(&trace, Policy::Foresight(minutes(60))), outcome(2, 10 + 4 + 30, 0));
        assert!((fixed(60).gib_hours(Bytes(2 << 30)) - 164.0 / 30.0).abs() < 1e-9);
        assert_eq!(fixed(60).percent_kept(), 50);
    }

    #[test]
    fn what_is_learned_is_only_what_was_seen_before() {
        let every = |idle: u64, times: i64, from: i64| {
            (0..times).map(move |i| used(from + i * i64::try_from(idle).unwrap(), Some(idle)))
        };
        let auto = Policy::Auto(Rule::default());
        let mut uses = vec![used(0, None)];
        uses.extend(every(20, 30, 20));
        let known = trace(uses.clone(), 10_000);
        // The first, the twenty that teach it; then all are kept.
        assert_eq!(replay(&known, auto).loads, 21);
        // What comes later changes nothing of before.
        uses.extend(every(3, 500, 603));
        let longer = replay(&trace(uses, 10_000), auto);
        assert_eq!((longer.uses, longer.loads), (531, 21));
    }

    #[test]
    fn on_every_shape_fewer_cold_starts_than_fixed_5m_and_fewer_gib_hours_than_fixed_60m() {
        let rule = Rule::default();
        for shape in SHAPES {
            for seed in 1..=5 {
                let traces = generate(shape, seed);
                let of = |policy| total(&traces, policy);
                let (short, long) = (of(Policy::Fixed(FIXED_SHORT)), of(Policy::Fixed(FIXED_LONG)));
                let best = of(Policy::Foresight(rule.bounds.max));
                for policy in [Policy::Auto(rule), Policy::Ahead(rule)] {
                    let hybrid = of(policy);
                    let said = format!("{shape:?} {seed} {policy:?}: {short:?} {long:?} {hybrid:?}");
                    assert!(hybrid.loads < short.loads && hybrid.held < long.held, "{said}");
                    assert_eq!(hybrid.uses, short.uses);
                }
                assert!(best.loads == long.loads && best.held < long.held && best.wasted == 0.0);
            }
        }
    }
}

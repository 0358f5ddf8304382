//! Traces of a known shape, made from a seed: for the benchmark, the tests, and for trying the policies without a
//! journal of one's own. The same seed gives the same trace on every machine and in every version.
//!
//! Four weeks of uses of a few models, sizes as of models that people run (7B to 32B in 4 bits). The shapes follow what
//! is published of serverless functions (Shahrad et al., USENIX ATC 2020, section 3): timers are nearly regular, people
//! come in bursts with heavy-tailed pauses, and most functions are called rarely.
//!
//! | shape | uses |
//! |---|---|
//! | periodic | one period a model, 10 to 50 minutes (uniform), each interval off by 5 % (normal), ten hours of each weekday |
//! | bursty | sessions 5 h apart (exponential) of 15 uses (geometric), 2 minutes apart (the median; log-normal, σ 1.1) |
//! | rare | visits 9 h apart (exponential), and after each use with 60 % a second look 8 minutes later (log-normal, σ 0.7) |
//! | mix | one model of each |
//!
//! A use takes no time: it would be the same under every policy.

use std::f64::consts::TAU;
use std::time::Duration;

use jiff::Timestamp;

use super::trace::{Trace, Use};
use crate::residency::bytes::{Bytes, GB};
use crate::residency::name::ModelName;

/// A shape of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A timer.
    Periodic,
    /// A person's sessions.
    Bursty,
    /// A few visits a day.
    Rare,
    /// One model of each.
    Mix,
}

/// All of them.
pub const SHAPES: [Shape; 4] = [Shape::Periodic, Shape::Bursty, Shape::Rare, Shape::Mix];

impl Shape {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Shape::Periodic => "periodic",
            Shape::Bursty => "bursty",
            Shape::Rare => "rare",
            Shape::Mix => "mix",
        }
    }
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;
const DAYS: u32 = 28;
/// A Monday, 2026-01-05.
const BEGIN: i64 = 1_767_571_200;

/// Names and sizes in tenths of a GB.
const MODELS: [(&str, u64); 4] = [("small:3b", 20), ("medium:7b", 47), ("large:14b", 90), ("huge:32b", 200)];

/// The uses of a few models, always the same for a seed.
pub fn generate(shape: Shape, seed: u64) -> Vec<Trace> {
    let mut dice = Dice(seed);
    let shapes = match shape {
        Shape::Mix => vec![Shape::Periodic, Shape::Bursty, Shape::Rare],
        shape => vec![shape; MODELS.len()],
    };
    MODELS.iter().zip(shapes).map(|(model, shape)| trace(*model, &times(shape, &mut dice))).collect()
}

/// When one model is used, in seconds from the beginning.
fn times(shape: Shape, dice: &mut Dice) -> Vec<f64> {
    let end = DAY * f64::from(DAYS);
    let mut times = Vec::new();
    match shape {
        Shape::Periodic => {
            let period = MINUTE * (10.0 + 40.0 * dice.even());
            for day in (0..DAYS).filter(|day| day % 7 < 5) {
                let morning = DAY * f64::from(day) + 8.0 * HOUR;
                let mut at = morning + period * dice.even();
                while at < morning + 10.0 * HOUR {
                    times.push(at);
                    at += (period * (1.0 + 0.05 * dice.normal())).max(MINUTE);
                }
            }
        }
        Shape::Bursty => {
            let mut at = dice.exponential(5.0 * HOUR);
            while at < end {
                times.push(at);
                // One in fifteen is a session's last.
                at += if dice.even() < 1.0 / 15.0 {
                    dice.exponential(5.0 * HOUR)
                } else {
                    dice.log_normal(2.0 * MINUTE, 1.1)
                };
            }
        }
        Shape::Rare | Shape::Mix => {
            let mut at = dice.exponential(9.0 * HOUR);
            while at < end {
                times.push(at);
                at += if dice.even() < 0.6 {
                    dice.log_normal(8.0 * MINUTE, 0.7)
                } else {
                    dice.exponential(9.0 * HOUR)
                };
            }
        }
    }
    times
}

fn trace((name, size): (&str, u64), times: &[f64]) -> Trace {
    let time = |seconds: f64| {
        let begin = Timestamp::from_second(BEGIN).unwrap_or_default();
        begin.saturating_add(Duration::from_secs_f64(seconds)).unwrap_or(begin)
    };
    let idle = |i: usize| {
        let before = i.checked_sub(1)?;
        Some(Duration::from_secs_f64((times[i] - times[before]).max(0.0)))
    };
    Trace {
        model: ModelName::from_server(name),
        size: Some(Bytes(size * GB / 10)),
        uses: times.iter().enumerate().map(|(i, at)| Use { at: time(*at), idle: idle(i) }).collect(),
        until: time(DAY * f64::from(DAYS)),
    }
}

/// `SplitMix64` (Steele et al., OOPSLA 2014) and what is made of its numbers.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1, neither of them.
    fn even(&mut self) -> f64 {
        let top = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        (f64::from(top) + 0.5) / (f64::from(u32::MAX) + 1.0)
    }

    /// With mean 0 and deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.even().ln()).sqrt() * (TAU * self.even()).cos()
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.even().ln()
    }

    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_trace_and_another_one_another() {
        for shape in SHAPES {
            assert_eq!(generate(shape, 7), generate(shape, 7));
            assert_ne!(generate(shape, 7), generate(shape, 8));
        }
        // The first numbers of the reference implementation.
        let mut dice = Dice(1_234_567);
        assert_eq!([dice.next(), dice.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn each_shape_is_as_it_says() {
        let median = |trace: &Trace| {
            let mut idle: Vec<f64> = trace.idle_times().map(|idle| idle.as_secs_f64() / MINUTE).collect();
            idle.sort_by(f64::total_cmp);
            idle[idle.len() / 2]
        };
        for seed in 1..=5 {
            for trace in generate(Shape::Periodic, seed) {
                assert!((9.0..55.0).contains(&median(&trace)), "{}", median(&trace));
                // Ten hours of twenty days.
                let most = 20.0 * 600.0 / median(&trace) * 1.1;
                assert!(f64::from(u32::try_from(trace.uses.len()).unwrap()) < most);
            }
            for trace in generate(Shape::Bursty, seed) {
                assert!((1.5..3.5).contains(&median(&trace)), "{}", median(&trace));
            }
            for trace in generate(Shape::Rare, seed) {
                assert!((50..350).contains(&trace.uses.len()), "{}", trace.uses.len());
            }
            let mix = generate(Shape::Mix, seed);
            assert_eq!(mix.len(), 3);
            assert!(mix.iter().all(|trace| trace.uses.windows(2).all(|two| two[0].at <= two[1].at)));
        }
    }
}

//! Policies: for how long after a use a model is in VRAM.
//!
//! The hybrid histogram policy (Shahrad et al., USENIX ATC 2020, section 4.2) learns two windows for each application
//! from the histogram of its idle times: after a use it is unloaded, loaded again shortly before the head of the
//! histogram (the pre-warming window), and kept until the tail (the keep-alive window), with a margin of 10 % on both.
//! Where the histogram does not represent anything (the coefficient of variation of its bins is below 2), it is kept
//! for a standard time; where most idle times are out of the histogram's bounds, an ARIMA model forecasts the next.
//! Here:
//!
//! - Only keep_alive can be set on a model server, and a load ahead of need would evict what others use. So what is
//!   *applied* ([`Policy::Auto`]) is the tail alone; with loads ahead ([`Policy::Ahead`]) it is only replayed, to say
//!   what they would be worth. Warming files in RAM before the head costs no VRAM, and is what the head is good for.
//! - The tail is that of the idle times within the upper bound, by default 60 minutes: what comes later cannot be
//!   waited for, and must not make the wait for the others longer. A model that hardly ever comes back within it gets
//!   the lower bound. So no model is ever held longer than under a fixed keep_alive of the upper bound.
//! - The percentile of the tail is 95, not 99: a card has room for a model or two, a data centre for thousands.
//! - Instead of an ARIMA model the forecast is the median of the latest nine idle times out of bounds: a few numbers a
//!   model, where habits decide and not trends. The margin is the paper's, 15 % on both sides. Only loads ahead can make
//!   use of it: keep_alive reaches no return after more than four hours, so that for what is applied the idle times
//!   within bounds decide, however few of all they are.
//! - The standard time is the server's own keep_alive, 5 minutes by its default: then none is sent.

use std::fmt;
use std::time::Duration;

use super::histogram::{BIN, Histogram, RANGE};
use crate::residency::keep_alive::KeepAlive;

/// The fixed keep_alive that is compared with: the server's default.
pub const FIXED_SHORT: Duration = Duration::from_secs(5 * 60);
/// The longer one: what people set who are tired of waiting.
pub const FIXED_LONG: Duration = Duration::from_secs(60 * 60);
/// Of the returns within bounds so many percent find the model in VRAM, unless the user says otherwise.
pub const PERCENT: u8 = 95;
/// From so many known idle times on they say something.
pub const FEW: u32 = 20;
/// The first so many percent of the returns come before the head.
const HEAD: u8 = 5;
/// A histogram whose bins vary less represents nothing.
const REPRESENTATIVE: f64 = 2.0;

/// Between which times a tuned keep_alive lies; the upper one is at most [`RANGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// At least.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { min: FIXED_SHORT, max: FIXED_LONG }
    }
}

/// How a keep_alive is made from a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Of the returns within bounds so many percent are to find the model in VRAM.
    pub percent: u8,
    /// Between which times it lies.
    pub bounds: Bounds,
}

/// What follows from a histogram by a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Advice {
    /// Too few idle times are known: the server's own keep_alive.
    TooFew {
        /// So many.
        returns: u32,
    },
    /// They are spread so evenly that no keep_alive is better than another: the server's own.
    Scattered {
        /// The coefficient of variation.
        variation: f64,
    },
    /// It hardly ever comes back within the upper bound: the lower one.
    Away {
        /// That.
        keep_alive: Duration,
        /// Of all returns so many percent come within the upper bound.
        within: u8,
    },
    /// The tail with its margin, in bounds.
    Keep {
        /// That.
        keep_alive: Duration,
        /// It hardly ever comes back sooner than this.
        head: Duration,
    },
}

impl Advice {
    /// The keep_alive to set; `None` leaves it to the server.
    pub fn keep_alive(&self) -> Option<Duration> {
        match self {
            Advice::TooFew { .. } | Advice::Scattered { .. } => None,
            Advice::Away { keep_alive, .. } | Advice::Keep { keep_alive, .. } => Some(*keep_alive),
        }
    }
}

/// What these idle times say.
pub fn advise(histogram: &Histogram, rule: Rule) -> Advice {
    let Bounds { min, max } = rule.bounds;
    let returns = histogram.returns();
    let variation = histogram.variation();
    let within = percent_of(histogram.within(max), returns);
    match histogram.tail(rule.percent, max) {
        _ if returns < FEW => Advice::TooFew { returns },
        Some(tail) if within > HEAD => {
            if variation < REPRESENTATIVE {
                return Advice::Scattered { variation };
            }
            let head = histogram.head(HEAD).unwrap_or_default();
            Advice::Keep { keep_alive: later(tail).clamp(min, max.max(min)), head }
        }
        _ => Advice::Away { keep_alive: min, within },
    }
}

/// Whole percent, rounded down; 0 of nothing.
pub fn percent_of(part: u32, whole: u32) -> u8 {
    let percent = u64::from(part) * 100 / u64::from(whole.max(1));
    u8::try_from(percent.min(100)).unwrap_or(100)
}

/// A tenth more, in whole minutes.
fn later(tail: Duration) -> Duration {
    let minutes = (tail * 11 / 10).as_secs().div_ceil(BIN.as_secs());
    Duration::from_secs(minutes * BIN.as_secs())
}

/// How long a model stays in VRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// So long after each use.
    Fixed(Duration),
    /// By the histogram of what was seen so far; what `keep_alive: auto` does.
    Auto(Rule),
    /// The same, and unloaded at once and loaded ahead where its head allows: the policy of the paper.
    Ahead(Rule),
    /// By knowing the future: exactly until it is back, if that is within this time, else not at all.
    Foresight(Duration),
}

impl fmt::Display for Policy {
    /// `fixed 5m`, `auto`, `auto, loads ahead`, `best possible`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Fixed(time) => write!(f, "fixed {}", KeepAlive::For(*time)),
            Policy::Auto(_) => f.write_str("auto"),
            Policy::Ahead(_) => f.write_str("auto, loads ahead"),
            Policy::Foresight(_) => f.write_str("best possible"),
        }
    }
}

/// When a model is in VRAM, counted from its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From here on; zero is without a break.
    pub from: Duration,
    /// Until here.
    pub until: Duration,
}

impl Window {
    fn staying(until: Duration) -> Window {
        Window { from: Duration::ZERO, until }
    }

    /// Whether it is in VRAM after so long.
    pub fn covers(self, idle: Duration) -> bool {
        (self.from..=self.until).contains(&idle)
    }

    /// How long it was in VRAM within so long.
    pub fn held(self, idle: Duration) -> Duration {
        idle.min(self.until).saturating_sub(self.from)
    }
}

impl Policy {
    /// What it does after a use, when `past` is known, and (for who foresees) the next one comes after `next`.
    pub fn window(self, past: &Histogram, next: Option<Duration>) -> Window {
        match self {
            Policy::Fixed(time) => Window::staying(time),
            Policy::Auto(rule) => Window::staying(advise(past, rule).keep_alive().unwrap_or(FIXED_SHORT)),
            Policy::Ahead(rule) => ahead(past, rule),
            Policy::Foresight(most) => Window::staying(next.filter(|next| *next <= most).unwrap_or_default()),
        }
    }
}

/// Out of bounds: shortly before the forecast until shortly after, where most idle times are that long.
fn foreseen(past: &Histogram, most: Duration) -> Option<Window> {
    let is_usual = past.returns() >= FEW && past.beyond() > past.returns() / 2;
    let next = past.far().filter(|_| is_usual)?;
    let margin = (next * 15 / 100).min(most / 2);
    Some(Window { from: next.saturating_sub(margin), until: next + margin })
}

/// Both windows: the head may lie anywhere in the range, and from there on the bounds count.
fn ahead(past: &Histogram, rule: Rule) -> Window {
    let (advice, Bounds { min, max }) = (advise(past, rule), rule.bounds);
    if let Some(window) = foreseen(past, max) {
        return window;
    }
    let (Some(head), Some(tail)) = (past.head(HEAD), past.tail(rule.percent, RANGE)) else {
        return Window::staying(FIXED_SHORT);
    };
    // Of a model that hardly ever comes back within the range nothing is expected.
    let is_known = past.returns() >= FEW && past.variation() >= REPRESENTATIVE;
    let is_expected = percent_of(past.within(RANGE), past.returns()) > HEAD;
    let from = head * 9 / 10;
    if !is_known || !is_expected || from < min {
        return Window::staying(advice.keep_alive().unwrap_or(FIXED_SHORT));
    }
    Window { from, until: from + (later(tail).saturating_sub(from)).clamp(min, max.max(min)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn of(idle: &[(u64, usize)]) -> Histogram {
        Histogram::of(idle.iter().flat_map(|(idle, times)| vec![minutes(*idle); *times]))
    }

    const RULE: Rule = Rule {
        percent: 95,
        bounds: Bounds { min: Duration::from_secs(300), max: Duration::from_secs(3600) },
    };

    #[test]
    fn the_rule_in_words() {
        for (name, histogram, advice) in [
            ("nothing", of(&[]), Advice::TooFew { returns: 0 }),
            ("one too few", of(&[(10, 19)]), Advice::TooFew { returns: 19 }),
            // 21 minutes is the end of the bin, a tenth more is 23.1.
            ("all at 20", of(&[(20, 20)]), Advice::Keep { keep_alive: minutes(24), head: minutes(20) }),
            (
                "the last of a hundred is left out",
                of(&[(6, 99), (40, 1)]),
                Advice::Keep { keep_alive: minutes(8), head: minutes(6) },
            ),
            (
                "not under the lower bound",
                of(&[(0, 50)]),
                Advice::Keep { keep_alive: minutes(5), head: minutes(0) },
            ),
            (
                "not over the upper bound",
                of(&[(59, 50)]),
                Advice::Keep { keep_alive: minutes(60), head: minutes(59) },
            ),
            (
                "what is out of reach does not count",
                of(&[(8, 30), (90, 30), (999, 30)]),
                Advice::Keep { keep_alive: minutes(10), head: minutes(8) },
            ),
            ("away", of(&[(90, 40)]), Advice::Away { keep_alive: minutes(5), within: 0 }),
            ("hardly here", of(&[(9, 1), (300, 39)]), Advice::Away { keep_alive: minutes(5), within: 2 }),
        ] {
            assert_eq!(advise(&histogram, RULE), advice, "{name}");
        }
    }

    #[test]
    fn what_is_spread_evenly_says_nothing() {
        let even: Vec<(u64, usize)> = (0..240).map(|minute| (minute, 2)).collect();
        assert_eq!(advise(&of(&even), RULE), Advice::Scattered { variation: 0.0 });
    }

    #[test]
    fn a_higher_percentage_keeps_longer() {
        let histogram = of(&[(2, 90), (20, 8), (50, 2)]);
        let kept = |percent| advise(&histogram, Rule { percent, ..RULE }).keep_alive();
        assert_eq!([90, 95, 99].map(kept), [5, 24, 57].map(|m| Some(minutes(m))));
    }

    #[test]
    fn with_loads_ahead_it_is_away_until_shortly_before_it_comes_back() {
        let window = |histogram: &Histogram| Policy::Ahead(RULE).window(histogram, None);
        let regular = of(&[(100, 30)]);
        assert_eq!(window(&regular), Window { from: minutes(90), until: minutes(112) });
        assert!(window(&regular).covers(minutes(100)) && !window(&regular).covers(minutes(89)));
        assert_eq!(window(&regular).held(minutes(100)), minutes(10));
        assert_eq!(window(&regular).held(minutes(300)), minutes(22));
        assert_eq!(window(&regular).held(minutes(50)), Duration::ZERO);
        assert_eq!(window(&of(&[(3, 30)])), Window::staying(minutes(5)));
        assert_eq!(window(&of(&[(100, 3)])), Window::staying(minutes(5)));
    }

    #[test]
    fn with_loads_ahead_what_mostly_stays_away_for_long_is_back_in_time() {
        let window = |histogram: &Histogram| Policy::Ahead(RULE).window(histogram, None);
        // 15 % of 10 hours are more than half the upper bound to each side.
        let half = Window { from: minutes(570), until: minutes(630) };
        assert_eq!(window(&of(&[(3, 14), (600, 15)])), half);
        assert_eq!(window(&of(&[(3, 15), (600, 15)])), Window::staying(minutes(5)));
        assert_eq!(window(&of(&[(600, 19)])), Window::staying(minutes(5)));
        assert_eq!(Policy::Auto(RULE).window(&of(&[(600, 20)]), None), Window::staying(minutes(5)));
    }

    #[test]
    fn who_foresees_holds_what_comes_back_and_nothing_else() {
        let window = |next| Policy::Foresight(minutes(60)).window(&Histogram::default(), next);
        assert_eq!(window(Some(minutes(60))), Window::staying(minutes(60)));
        assert_eq!(window(Some(minutes(61))), Window::staying(Duration::ZERO));
        assert_eq!(window(None), Window::staying(Duration::ZERO));
    }
}

//! Refresh: when the countdown of a model of the preload list is restarted, so that it stays for the config's keep_alive
//! after its last use, and no longer.

use std::time::Duration;

use super::pins::TOO_LATE;
use crate::residency::keep_alive::KeepAlive;
use crate::residency::timing::Moment;

/// Touches of one model are at least this far apart.
const APART: Duration = Duration::from_secs(10);
/// A short countdown is restarted with this much left: two looks at the server, and the answer's way.
const LOOKS: Duration = Duration::from_secs(4);

/// What is known of a loaded model of the list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fact {
    /// When it was last used by somebody, or loaded; our own touches are no uses.
    pub used: Moment,
    /// When we touched it last.
    pub touched: Option<Moment>,
    /// What the server's countdown has left; `None` for ever, or unknown.
    pub left: Option<Duration>,
    /// The whole of that countdown: learned, or the most that was seen left of it.
    pub whole: Duration,
}

/// Whether it is to be touched now, under this keep_alive of the config and its `refresh_interval`.
pub fn is_due(fact: &Fact, keep_alive: KeepAlive, interval: Duration, now: Moment) -> bool {
    let Some(left) = fact.left.filter(|left| *left > TOO_LATE) else { return false };
    let restarted = fact.touched.map_or(fact.used.mono, |touched| touched.mono.max(fact.used.mono));
    let since = now.since(restarted);
    if since < APART {
        return false;
    }
    let soon = (fact.whole / 4).max(LOOKS);
    let is_time = left < soon || since >= interval;
    let KeepAlive::For(most) = keep_alive else { return is_time };
    // So long after the last use a touch lets it live to the end of the config's keep_alive, and no longer.
    let Some(last) = most.checked_sub(fact.whole) else { return false };
    // The answer's way counts too.
    let (used, last) = (now.since(fact.used.mono), last.saturating_sub(LOOKS / 8));
    if used > last {
        return false;
    }
    // The last one is worth it only if the model would not live as long anyway.
    let gains = fact.whole.saturating_sub(left) >= fact.whole / 10;
    gains && (is_time || used + LOOKS / 2 >= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Moment {
        Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::UNIX_EPOCH }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Looks once a second at a model that is used at 0 and never again: when it was touched, and when it went.
    fn life(whole: u64, keep_alive: KeepAlive, interval: u64, until: u64) -> (Vec<u64>, Option<u64>) {
        let begin = start();
        let at = |second| Moment { mono: begin.mono + seconds(second), ..begin };
        let (mut ends, mut touches) = (whole, Vec::new());
        for second in 0..until {
            if second >= ends {
                return (touches, Some(second));
            }
            let fact = Fact {
                used: begin,
                touched: touches.last().map(|second| at(*second)),
                left: Some(seconds(ends - second)),
                whole: seconds(whole),
            };
            if is_due(&fact, keep_alive, seconds(interval), at(second)) {
                touches.push(second);
                ends = second + whole;
            }
        }
        (touches, None)
    }

    fn minutes(minutes: u64) -> KeepAlive {
        KeepAlive::For(seconds(60 * minutes))
    }

    #[test]
    fn an_idle_model_lives_as_long_as_the_config_says_and_no_longer() {
        let (touches, gone) = life(300, minutes(60), 1800, 10_000);
        assert_eq!(touches[..3], [226, 452, 678]);
        assert!(gone.is_some_and(|gone| (3595..=3606).contains(&gone)), "{gone:?} {touches:?}");
        let gaps = touches.windows(2).all(|pair| pair[1] - pair[0] >= 10);
        assert!(gaps, "{touches:?}");
    }

    #[test]
    fn where_the_interval_is_sooner_it_counts() {
        let (touches, _) = life(3600, minutes(600), 600, 2000);
        assert_eq!(touches, [600, 1200, 1800]);
    }

    #[test]
    fn a_server_that_keeps_it_as_long_or_longer_is_left_alone() {
        for whole in [3600, 7200] {
            assert_eq!(life(whole, minutes(60), 1800, 10_000), (vec![], Some(whole)));
        }
    }

    #[test]
    fn with_no_end_it_stays() {
        let (touches, gone) = life(300, KeepAlive::Forever, 1800, 3000);
        assert_eq!((touches.len(), gone), (13, None));
    }

    #[test]
    fn what_is_about_to_go_or_has_no_countdown_is_not_touched() {
        let now = start();
        let used = Moment { mono: now.mono.checked_sub(seconds(290)).unwrap(), ..now };
        for left in [None, Some(seconds(1)), Some(seconds(2)), Some(Duration::ZERO)] {
            let fact = Fact { used, touched: None, left, whole: seconds(300) };
            assert!(!is_due(&fact, minutes(60), seconds(1800), now), "{left:?}");
        }
    }
}

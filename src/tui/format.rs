//! Numbers, times and texts as a person reads them; every name is cut here, by columns and with a mark.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::residency::bytes::{Bytes, GIB};
use crate::residency::text::printable;

/// The columns that `text` takes.
pub(crate) fn columns(text: &str) -> u16 {
    let wide = if is_plain(text) { text.len() } else { text.width() };
    u16::try_from(wide).unwrap_or(u16::MAX)
}

/// `text` in at most `columns` columns; what is cut is marked with `…`, and a wide glyph is never halved.
pub(crate) fn fit(text: &str, columns: u16) -> Cow<'_, str> {
    let most = usize::from(columns);
    if is_plain(text) {
        return match most {
            _ if text.len() <= most => Cow::Borrowed(text),
            0 => Cow::Borrowed(""),
            _ => Cow::Owned(format!("{}…", &text[..most - 1])),
        };
    }
    let text = printable(text);
    if text.width() <= most {
        return text;
    }
    let mut kept = String::new();
    let mut used = 1;
    for glyph in text.graphemes(true) {
        used += glyph.width();
        if used > most {
            break;
        }
        kept.push_str(glyph);
    }
    if most > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// Whether each byte is one column: the usual case, and the fast one.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// `text` broken at spaces into lines of at most `columns`; of more than `most` lines the last one is cut.
pub(crate) fn wrap(text: &str, columns: u16, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut words = text.split(' ');
    let mut line = String::new();
    while let Some(word) = words.next() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if self::columns(&longer) <= columns || line.is_empty() {
            line = longer;
        } else if lines.len() + 1 >= most {
            line = words.by_ref().fold(longer, |line, word| format!("{line} {word}"));
        } else {
            lines.push(std::mem::replace(&mut line, word.to_owned()));
        }
    }
    lines.push(line);
    lines.iter().map(|line| fit(line, columns).into_owned()).collect()
}

/// Seconds left: `4:59`, `1:02:03`, `12d 4h`.
pub(crate) fn countdown(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60);
    match seconds {
        0..3600 => format!("{minutes}:{:02}", seconds % 60),
        3600..360_000 => format!("{hours}:{:02}:{:02}", minutes % 60, seconds % 60),
        _ if days < 1000 => format!("{days}d {}h", hours % 24),
        _ => format!("{}y", days / 365),
    }
}

/// How long something took: `0.61 s`, `12.3 s`, `2:05`.
pub(crate) fn took(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match seconds {
        0.0..9.995 => format!("{seconds:.2} s"),
        0.0..99.95 => format!("{seconds:.1} s"),
        _ => countdown(took.as_secs()),
    }
}

/// Seconds in a row of several, without the unit: `0.61`, `12.3`, `2:05`.
pub(crate) fn seconds(took: Duration) -> String {
    let text = self::took(took);
    text.strip_suffix(" s").map_or_else(|| text.clone(), str::to_owned)
}

/// A prediction, no finer than it can be: `~0.6 s`, `~0.04 s`, `~12 s`, `~2:05`.
pub(crate) fn about(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match seconds {
        0.0..0.095 => format!("~{seconds:.2} s"),
        0.0..9.95 => format!("~{seconds:.1} s"),
        0.0..99.5 => format!("~{seconds:.0} s"),
        _ => format!("~{}", countdown(took.as_secs())),
    }
}

/// How long something runs already, calmer: tenths up to ten seconds, then whole ones.
pub(crate) fn running(since: Duration) -> String {
    match since.as_secs() {
        seconds @ 0..10 => format!("{seconds}.{} s", since.subsec_millis() / 100),
        10..100 => format!("{} s", since.as_secs()),
        seconds => countdown(seconds),
    }
}

/// A latency in steps, so that the figure is still while the server is: `1 ms`, `2 ms`, `5 ms`, `10 ms` …
pub(crate) fn latency(latency: Duration) -> &'static str {
    const STEPS: [(u128, &str); 10] = [
        (1, "1 ms"),
        (2, "2 ms"),
        (5, "5 ms"),
        (10, "10 ms"),
        (20, "20 ms"),
        (50, "50 ms"),
        (100, "100 ms"),
        (200, "200 ms"),
        (500, "500 ms"),
        (1000, "1 s"),
    ];
    let ms = latency.as_millis();
    STEPS.iter().find(|(step, _)| ms <= *step).map_or("over 1 s", |(_, text)| text)
}

/// An age in steps of 5 s, then minutes, hours, days.
pub(crate) fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{} s", seconds - seconds % 5),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// The time of day, `12:04`.
pub(crate) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    let at = zone.to_datetime(at);
    format!("{:02}:{:02}", at.hour(), at.minute())
}

/// The time of day to the second, `12:04:31`.
pub(crate) fn clock_seconds(at: Timestamp, zone: &TimeZone) -> String {
    let at = zone.to_datetime(at);
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

/// The time of day, with the day where that is another one: `12:04`, `11-21 12:04`.
pub(crate) fn when(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let then = zone.to_datetime(at);
    if then.date() == zone.to_datetime(now).date() {
        return clock(at, zone);
    }
    format!("{:02}-{:02} {}", then.month(), then.day(), clock(at, zone))
}

/// The unit of memory for figures that stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Gib,
    /// For what is smaller than one GiB all in all, as in a demo.
    Mib,
}

impl Unit {
    /// The unit in which `whole` and its parts are shown.
    pub(crate) fn of(whole: Bytes) -> Unit {
        if whole.0 > 0 && whole.0 < GIB { Unit::Mib } else { Unit::Gib }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Gib => "GiB",
            Unit::Mib => "MiB",
        }
    }

    /// The figure without the unit: `4.9`, `374`, `0.04` where one digit would say nothing.
    pub(crate) fn figure(self, bytes: Bytes) -> String {
        let figure = match self {
            Unit::Gib => bytes.gib(),
            Unit::Mib => bytes.gib() * 1024.0,
        };
        match figure {
            _ if self == Unit::Mib && figure >= 99.95 => format!("{figure:.0}"),
            _ if figure > 0.0 && figure < 0.095 => format!("{figure:.2}"),
            _ => format!("{figure:.1}"),
        }
    }
}

/// Bytes over seconds, `7.7 GB/s`; nothing of no time.
pub(crate) fn rate(size: Bytes, seconds: f64) -> Option<String> {
    let rate = size.gb() / seconds;
    (seconds >= 0.01 && rate >= 0.001).then(|| match rate {
        0.0..0.1 => format!("{:.0} MB/s", rate * 1e3),
        _ => format!("{rate:.1} GB/s"),
    })
}

/// One size with its unit: `4.9 GiB`, `374 MiB`.
pub(crate) fn memory(bytes: Bytes) -> String {
    let unit = Unit::of(bytes);
    format!("{} {}", unit.figure(bytes), unit.name())
}

/// A server's address without its scheme and closing slash.
pub(crate) fn address(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/')
}

/// A model's name in one word, for the inside of a gauge: `qwen` of `qwen2.5-coder:7b`.
pub(crate) fn short_name(shown: &str) -> &str {
    let last = shown.rsplit('/').next().unwrap_or(shown);
    let end = last.find(|c: char| !c.is_alphabetic()).unwrap_or(last.len());
    if end == 0 { last } else { &last[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_by_columns_with_a_mark_and_a_wide_glyph_is_never_halved() {
        for (text, columns, fitted) in [
            ("日本語:7b", 4, "日…"),
            ("日本語:7b", 9, "日本語:7b"),
            ("日本語:7b", 1, "…"),
            ("日本語:7b", 0, ""),
            ("qwen", 4, "qwen"),
            ("qwen2", 4, "qwe…"),
            ("qwen", 0, ""),
            ("a\u{1b}[2Jb", 9, "a\u{fffd}[2Jb"),
            ("🇩🇪x", 2, "…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
        ] {
            assert_eq!(fit(text, columns), fitted, "{text} in {columns}");
        }
    }

    #[test]
    fn long_text_is_wrapped_and_what_is_left_over_is_marked() {
        assert_eq!(wrap("one two three", 7, 3), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 7, 2), ["one two", "three …"]);
        assert_eq!(wrap("incomprehensible", 7, 2), ["incomp…"]);
        assert_eq!(wrap("a b", 0, 1), [""]);
    }

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!(
            [0, 299, 3723, 360_000, 86_400_000].map(countdown),
            ["0:00", "4:59", "1:02:03", "4d 4h", "2y"]
        );
        assert_eq!(
            [610, 12_340, 125_000].map(|ms| took(Duration::from_millis(ms))),
            ["0.61 s", "12.3 s", "2:05"]
        );
        assert_eq!(
            [40, 610, 12_340, 125_000].map(|ms| about(Duration::from_millis(ms))),
            ["~0.04 s", "~0.6 s", "~12 s", "~2:05"]
        );
        assert_eq!([610, 125_000].map(|ms| seconds(Duration::from_millis(ms))), ["0.61", "2:05"]);
        assert_eq!(
            [2, 3, 700, 5000].map(|ms| latency(Duration::from_millis(ms))),
            ["2 ms", "5 ms", "1 s", "over 1 s"]
        );
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let when = |then: &str| super::when(at(then), at("2026-11-23T12:04:31Z"), &TimeZone::UTC);
        assert_eq!([when("2026-11-23T00:00:00Z"), when("2026-11-22T23:59:59Z")], ["00:00", "11-22 23:59"]);
        assert_eq!([4, 41, 200, 9000].map(|s| age(Duration::from_secs(s))), ["0 s", "40 s", "3 min", "2 h"]);
    }

    #[test]
    fn figures_that_stand_together_have_the_unit_of_their_whole() {
        let mib = |mib: u64| Bytes(mib << 20);
        assert_eq!((Unit::of(Bytes::ZERO), Unit::of(mib(1024))), (Unit::Gib, Unit::Gib));
        assert_eq!((Unit::of(mib(1023)), Unit::of(Bytes(1))), (Unit::Mib, Unit::Mib));
        assert_eq!([0, 51, 97, 5018].map(|part| Unit::Gib.figure(mib(part))), ["0.0", "0.05", "0.09", "4.9"]);
        assert_eq!([0, 5, 384].map(|part| Unit::Mib.figure(mib(part))), ["0.0", "5.0", "384"]);
        assert_eq!([374, 5018].map(|size| memory(mib(size))), ["374 MiB", "4.9 GiB"]);
    }

    #[test]
    fn a_short_name_is_the_first_word_of_the_model() {
        assert_eq!(
            ["qwen2.5-coder:7b", "hf.co/me/Some-GGUF:Q4", "7b", "日本語"].map(short_name),
            ["qwen", "Some", "7b", "日本語"]
        );
    }
}

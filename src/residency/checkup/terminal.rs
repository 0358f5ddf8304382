//! The terminal that the screen is drawn on: its size, its colours, its characters.

use super::{Check, Topic, Verdict};

/// What is known of it; each as the environment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Columns and rows; `None` where the output is no terminal.
    pub size: Option<(u16, u16)>,
    /// `TERM`.
    pub term: Option<String>,
    /// `COLORTERM`.
    pub colorterm: Option<String>,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// What counts of `LC_ALL`, `LC_CTYPE` and `LANG`.
    pub locale: Option<String>,
    /// ASCII characters were asked for.
    pub ascii: bool,
}

/// All of it.
pub(super) fn terminal(terminal: &Terminal) -> [Check; 3] {
    [size(terminal.size), colours(terminal), unicode(terminal)]
}

fn size(size: Option<(u16, u16)>) -> Check {
    match size {
        None => Check::unknown(Topic::Terminal, "the output is no terminal"),
        Some((0, _) | (_, 0)) => Check::unknown(Topic::Terminal, "it does not tell its size"),
        Some((columns, rows)) if columns < 80 || rows < 24 => {
            let fact = format!("{columns}x{rows}: the screen leaves parts out");
            Check::new(Topic::Terminal, Verdict::Better, fact)
                .advise("80x24 shows all, 120x30 the details beside")
        }
        Some((columns, rows)) => Check::ok(Topic::Terminal, format!("{columns}x{rows}")),
    }
}

fn colours(terminal: &Terminal) -> Check {
    let term = terminal.term.as_deref().unwrap_or_default();
    let better = |fact: &str| Check::new(Topic::Colours, Verdict::Better, fact);
    match (terminal.colorterm.as_deref(), term) {
        (_, "") => Check::unknown(Topic::Colours, "TERM is not set").advise("set it: TERM=xterm-256color"),
        (_, "dumb") => {
            Check::new(Topic::Colours, Verdict::Broken, "TERM is dumb: the screen cannot be drawn")
                .advise("use another terminal, or the subcommands: resident status")
        }
        _ if terminal.no_color => Check::ok(Topic::Colours, "none, as NO_COLOR says"),
        (Some("truecolor" | "24bit"), _) => Check::ok(Topic::Colours, format!("all ({term})")),
        (_, term) if term.contains("256color") => Check::ok(Topic::Colours, format!("256 ({term})")),
        (_, "linux" | "vt100" | "vt220" | "ansi") => {
            better(&format!("8 or fewer ({term})")).advise("all that matters differs by words and glyphs too")
        }
        (_, term) => Check::ok(Topic::Colours, format!("16 at least ({term})")),
    }
}

fn unicode(terminal: &Terminal) -> Check {
    if terminal.ascii {
        return Check::ok(Topic::Unicode, "not used: ascii is on");
    }
    let Some(locale) = terminal.locale.as_deref().filter(|locale| !locale.is_empty()) else {
        return Check::unknown(Topic::Unicode, "no locale is set: LANG, LC_ALL")
            .advise("set one: LANG=C.UTF-8; if glyphs look broken: --ascii");
    };
    let plain: String = locale.to_ascii_lowercase().chars().filter(|c| *c != '-').collect();
    if plain.contains("utf8") {
        return Check::ok(Topic::Unicode, format!("yes ({locale})"));
    }
    Check::new(
        Topic::Unicode,
        Verdict::Better,
        format!("{locale} is no UTF-8 locale: glyphs may look broken"),
    )
    .advise("set LANG=C.UTF-8, or use --ascii")
}

//! The stages of a swap in words: on one line when it is over, the one it is in with its clock while it runs.

use std::time::Duration;

use crate::residency::act::{Act, ActState};
use crate::residency::swap::{Before, Plan, Stage, Stages, Swapping, Way};
use crate::residency::timing::Moment;
use crate::tui::format;

/// All that is known: `unload 0.14 │ card free 0.21 │ read 0 (RAM 100 %) │ load 0.38 │ first token 0.09 = 0.82 s`.
pub(crate) fn line(stages: &Stages, before: &Before) -> String {
    let parts = known(stages, before).join(" │ ");
    match stages.total {
        Some(total) if parts.is_empty() => format::took(total),
        Some(total) => format!("{parts} = {}", format::took(total)),
        None => parts,
    }
}

/// Each stage that is known, in its order.
fn known(stages: &Stages, before: &Before) -> Vec<String> {
    let timed =
        |word: &str, took: Option<Duration>| took.map(|took| format!("{word} {}", format::seconds(took)));
    // Where the driver tells when the memory is back, "gone" says nothing more; nor where its work was waited for.
    let gone = stages.gone.filter(|_| stages.waited.is_none());
    let free = timed("card free", stages.card_free).or_else(|| timed("gone", gone));
    // What the list shows gone ends the unload for the log too, not the server's answer before it.
    let unload = stages.unload.filter(|_| stages.card_free.is_some() || gone.is_none());
    let all = [
        timed("waited", stages.waited),
        timed("unload", unload),
        free,
        read(stages, before),
        timed("load", stages.load),
        timed("first token", stages.first_token),
    ];
    all.into_iter().flatten().collect()
}

/// What our own reader brought, and how much of it was in RAM before: `read 4.2 GB in 1.90 (RAM 12 %)`.
fn read(stages: &Stages, before: &Before) -> Option<String> {
    let ram = from_ram(before).map(|ram| format!("RAM {ram}"));
    let Some(read) = stages.read else { return ram };
    let bytes = if read.0 == 0 { "0".to_owned() } else { read.to_string() };
    let took = stages.read_took.filter(|_| read.0 > 0);
    let took = took.map_or_else(String::new, |took| format!(" in {}", format::seconds(took)));
    Some(format!("read {bytes}{took}{}", ram.map_or_else(String::new, |ram| format!(" ({ram})"))))
}

/// How much of a model was in RAM when it began: `100 %`, `~62 %`.
pub(crate) fn from_ram(before: &Before) -> Option<String> {
    let about = if before.estimate { "~" } else { "" };
    before.ram.filter(|_| before.whole.0 > 0).map(|ram| format!("{about}{} %", ram.percent_of(before.whole)))
}

/// The stage that a running swap is in, and for how long.
pub(crate) fn now(act: &Act, now: Moment) -> Option<(Stage, Duration)> {
    let ActState::Running { since, .. } = act.state else { return None };
    let swapping = act.swap.as_deref()?;
    let stage = swapping.stage?;
    Some((stage, now.since(since.mono).saturating_sub(passed(swapping, stage))))
}

/// What the stages before that one took together.
fn passed(swapping: &Swapping, stage: Stage) -> Duration {
    let stages = &swapping.stages;
    // Beside the load, reading takes no time of its own.
    let read = stages.read_took.filter(|_| swapping.plan.way == Way::First);
    let before: &[Option<Duration>] = match stage {
        Stage::Read => &[],
        Stage::Unload => &[read],
        Stage::Wait | Stage::Load => &[stages.unload, read],
        Stage::FirstToken => &[stages.unload, read, stages.load],
    };
    before.iter().chain([&stages.waited]).flatten().sum()
}

/// A running swap in a line: what it did, what it does and for how long, and what it is going to do.
pub(crate) fn running(act: &Act, at: Moment) -> Option<String> {
    let (stage, clock) = now(act, at)?;
    let swapping = act.swap.as_deref()?;
    let mut parts = known(&Stages { read: None, ..swapping.stages }, &Before::default());
    parts.push(format!("{} {}", stage.word(), format::running(clock)));
    Some(format!("{}   {}", parts.join(" │ "), plan(&swapping.plan)).trim_end().to_owned())
}

/// A plan in words: `qwen2.5-coder:7b goes, nomic-embed-text stays, read beside the load`.
fn plan(plan: &Plan) -> String {
    let names = |names: &[crate::residency::name::ModelName], one: &str, many: &str| {
        let verb = if names.len() == 1 { one } else { many };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("{} {verb}", names.join(", ")))
    };
    let way = match plan.way {
        Way::Off => None,
        Way::First => Some("read before the load".to_owned()),
        Way::Beside => Some("read beside the load".to_owned()),
    };
    let parts = [names(&plan.goes, "goes", "go"), names(&plan.stays, "stays", "stay"), way];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A shorter word for a stage, for the table.
pub(crate) fn short(stage: Stage) -> &'static str {
    if stage == Stage::FirstToken { "token" } else { stage.word() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::bytes::{Bytes, GB};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn all_stages_stand_on_one_line_and_what_is_not_known_is_left_out() {
        let before = Before { whole: Bytes(4 * GB), ram: Some(Bytes(4 * GB)), ..Before::default() };
        let stages = Stages {
            unload: Some(ms(140)),
            gone: Some(ms(180)),
            card_free: Some(ms(210)),
            read: Some(Bytes::ZERO),
            load: Some(ms(380)),
            first_token: Some(ms(90)),
            total: Some(ms(820)),
            ..Stages::default()
        };
        assert_eq!(
            line(&stages, &before),
            "unload 0.14 │ card free 0.21 │ read 0 (RAM 100 %) │ load 0.38 │ first token 0.09 = 0.82 s"
        );
        let cold = Stages {
            read: Some(Bytes(3 * GB)),
            read_took: Some(ms(1900)),
            load: Some(ms(2400)),
            total: Some(ms(2400)),
            ..Stages::default()
        };
        let quarter = Before { ram: Some(Bytes(GB)), estimate: true, ..before };
        assert_eq!(line(&cold, &quarter), "read 3.0 GB in 1.90 (RAM ~25 %) │ load 2.40 = 2.40 s");
        assert_eq!(
            line(&Stages { gone: Some(ms(180)), ..Stages::default() }, &Before::default()),
            "gone 0.18"
        );
        let both = Stages { unload: Some(ms(1)), gone: Some(ms(250)), ..Stages::default() };
        assert_eq!(line(&both, &Before::default()), "gone 0.25");
        let waited = Stages {
            waited: Some(ms(3100)),
            unload: Some(ms(10)),
            gone: Some(ms(3110)),
            load: Some(ms(400)),
            total: Some(ms(3510)),
            ..Stages::default()
        };
        let adds_up = "waited 3.10 │ unload 0.01 │ load 0.40 = 3.51 s";
        assert_eq!(line(&waited, &Before::default()), adds_up, "it was gone when the waiting was over");
        assert_eq!(line(&Stages { total: Some(ms(900)), ..Stages::default() }, &Before::default()), "0.90 s");
    }
}

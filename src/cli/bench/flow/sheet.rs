//! A comparison's results: the table of the idea, measured; as Markdown, one CSV line a step, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::bench::grid::{Grid, csv_cell};
use crate::cli::bench::loads::{mode as mode_word, spread_json};
use crate::cli::bench::setting::Setting;
use crate::cli::status::{SCHEMA_VERSION, script_name, seconds, thousandths};
use crate::residency::bench::BenchState;
use crate::residency::bytes::Bytes;
use crate::residency::compare::{Comparison, FlowTimes, Spread, StepTimes, flows};
use crate::residency::flow::{FlowStep, Manner};
use crate::residency::text::printable;

/// For a person.
pub fn table(comparison: &Comparison, setting: &Setting) -> String {
    let times = flows(&comparison.runs);
    let mut text = String::new();
    for (what, words) in heading(comparison, setting) {
        let _ = writeln!(text, "{what:<8} {words}");
    }
    let _ = write!(text, "\n{}\n", grid(&times).text());
    for claim in times.claims() {
        let _ = writeln!(text, "{claim}");
    }
    text
}

/// To paste.
pub fn markdown(comparison: &Comparison, setting: &Setting) -> String {
    let times = flows(&comparison.runs);
    let mut text = grid(&times).markdown();
    text.push('\n');
    for claim in times.claims() {
        let _ = writeln!(text, "- {claim}");
    }
    for (what, words) in heading(comparison, setting) {
        let _ = writeln!(text, "- {what}: {words}");
    }
    text
}

/// One line a step and run, thrown away or not.
pub fn csv(comparison: &Comparison, setting: &Setting) -> String {
    let mut text =
        "run,manner,second_round,valid,step,phase,model,swap_seconds,gb_per_second,work_seconds,size_bytes,\
                    ram_bytes_before,read_seconds,work_before_seconds,work_longer_than_read,reason,load_mode,"
            .to_owned();
    let _ = writeln!(text, "{}", Setting::COLUMNS);
    let times = flows(&comparison.runs);
    for (number, run) in comparison.runs.iter().enumerate() {
        let reason = run.thrown.as_deref().map(printable).unwrap_or_default();
        let (number, manner) = ((number + 1).to_string(), run.flow.manner.word().to_owned());
        let valid = run.thrown.is_none().to_string();
        let again = run.again.to_string();
        let mut line = |cells: [String; 11]| {
            let all = [number.clone(), manner.clone(), again.clone(), valid.clone()].into_iter().chain(cells);
            let cells: Vec<String> = all
                .chain([reason.clone().into_owned(), mode_word(comparison.mode).to_owned()])
                .chain(setting.cells())
                .map(|cell| csv_cell(&cell))
                .collect();
            let _ = writeln!(text, "{}", cells.join(","));
        };
        if run.flow.steps.is_empty() {
            line(std::array::from_fn(|_| String::new()));
        }
        for (at, step) in run.flow.steps.iter().enumerate() {
            let took = |time: Option<(_, std::time::Duration)>| {
                time.map(|(_, took)| format!("{:.4}", took.as_secs_f64())).unwrap_or_default()
            };
            let (size, ram) = bytes(step);
            let rate = step.swap.zip(size).and_then(|((_, took), size)| Spread::of([took])?.rate(size));
            let medians = times.steps.iter().find(|step| step.at == at);
            let median = |time: Option<std::time::Duration>| {
                time.map(|time| format!("{:.4}", time.as_secs_f64())).unwrap_or_default()
            };
            let text = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0.to_string()).unwrap_or_default();
            line([
                (at + 1).to_string(),
                printable(&step.phase).into_owned(),
                script_name(&step.model).to_owned(),
                took(step.swap),
                rate.map(|rate| format!("{rate:.3}")).unwrap_or_default(),
                took(step.work),
                text(size),
                text(ram),
                median(medians.and_then(|step| step.read)),
                median(medians.and_then(|step| step.room)),
                medians.and_then(StepTimes::has_room).map(|longer| longer.to_string()).unwrap_or_default(),
            ]);
        }
    }
    text
}

/// A step's model, and what of it was in RAM when its swap began.
fn bytes(step: &FlowStep) -> (Option<Bytes>, Option<Bytes>) {
    let before = step.swapping.as_ref().map(|swapping| swapping.plan.before);
    (before.map(|before| before.whole), before.and_then(|before| before.ram))
}

/// For scripts.
pub fn json(comparison: &Comparison, setting: &Setting) -> Value {
    let times = flows(&comparison.runs);
    let (outcome, why) = match &comparison.state {
        BenchState::Done => ("done", None),
        BenchState::Failed { why } => ("failed", Some(why)),
        BenchState::Cancelled => ("cancelled", None),
        BenchState::Running | BenchState::PuttingBack => ("running", None),
    };
    let three = |three: &[Option<Spread>; 3], size: Option<Bytes>| -> Value {
        let named = Manner::ALL.iter().zip(three);
        named
            .map(|(manner, one)| {
                let said = one.map(|one| spread_json(&one, size.and_then(|size| one.rate(size))));
                (manner.word().to_owned(), said.into())
            })
            .collect::<serde_json::Map<String, Value>>()
            .into()
    };
    json!({
        "schema_version": SCHEMA_VERSION,
        "outcome": outcome,
        "error": why,
        "workflow": comparison.name,
        "setting": setting.json(),
        "load_mode": mode_word(comparison.mode),
        "work_scale": comparison.runs.first().map(|run| run.flow.scale),
        "runs_each": comparison.rounds,
        "steps": times.steps.iter().map(|step| json!({
            "phase": step.phase,
            "model": script_name(&step.model),
            "swap": three(&step.swap, step.size),
            "work": step.work.map(|work| spread_json(&work, None)),
            "size_bytes": step.size,
            "read_seconds": step.read.map(seconds),
            "work_before_seconds": step.room.map(seconds),
            "work_longer_than_read": step.has_room(),
            "hidden_share": step.hidden.map(thousandths),
        })).collect::<Vec<_>>(),
        "swaps": three(&times.swaps, None),
        "totals": three(&times.totals, None),
        "cold_over_lookahead": times.times.map(thousandths),
        "swaps_cold_over_lookahead": times.swap_times.map(thousandths),
        "hidden_share": times.hidden.map(thousandths),
        "hidden_share_where_work_is_longer": times.hidden_with_room.map(thousandths),
        "equal_to_warm_within_noise": times.as_warm,
        "lookahead_over_warm": times.beside_warm.map(thousandths),
        "second_round": {
            "swaps": times.again.map(|again| spread_json(&again, None)),
            "equal_to_warm_within_noise": times.again_as_warm,
            "over_warm": times.again_beside_warm.map(thousandths),
        },
        "runs": comparison.runs.iter().map(|run| json!({
            "manner": run.flow.manner.word(),
            "second_round": run.again,
            "thrown_away": run.thrown,
            "swap_seconds": seconds(run.flow.swaps),
            "work_seconds": seconds(run.flow.work),
            "steps": run.flow.steps.iter().map(|step| json!({
                "phase": step.phase,
                "model": script_name(&step.model),
                "swap_seconds": step.swap.map(|(_, took)| seconds(took)),
                "work_seconds": step.work.map(|(_, took)| seconds(took)),
                "size_bytes": bytes(step).0,
                "ram_bytes_before": bytes(step).1,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "not_put_back": comparison.left,
    })
}

fn heading(comparison: &Comparison, setting: &Setting) -> Vec<(&'static str, String)> {
    let mut lines = setting.lines();
    let flows = || comparison.runs.iter().map(|run| &run.flow);
    let mut models: Vec<String> = Vec::new();
    for step in flows().flat_map(|flow| &flow.steps) {
        let Some(size) = bytes(step).0 else { continue };
        let model = format!("{} {size}", step.model);
        if !models.contains(&model) {
            models.push(model);
        }
    }
    let mut what = printable(&comparison.name).into_owned();
    let planned = flows().flat_map(|flow| flow.steps.iter().map(|step| (flow.scale, step)));
    let planned =
        planned.filter(|(scale, _)| *scale > 1).find_map(|(scale, step)| Some((scale, step.planned?)));
    if let Some((scale, planned)) = planned {
        let scaled = planned.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a scale is small")]
        let whole = scaled * scale as f64;
        let _ =
            write!(what, "; fixed work is scaled like the models: {whole:.1} s at 1:{scale} = {scaled:.2} s");
    }
    lines.push(("workflow", what));
    if !models.is_empty() {
        lines.push(("models", models.join(", ")));
    }
    lines.push(("load", format!("mode {}", mode_word(comparison.mode))));
    let thrown = comparison.runs.iter().filter(|run| run.thrown.is_some()).count();
    lines.push((
        "runs",
        format!(
            "{} of each manner, interleaved; median (least to most); thrown away: {thrown}",
            comparison.rounds
        ),
    ));
    lines
}

fn grid(times: &FlowTimes) -> Grid {
    let mut grid = Grid::new([
        "step",
        "model",
        "work",
        "swap cold",
        "swap warm",
        "swap lookahead",
        "GB/s cold, warm",
        "work before, read",
        "disk hidden",
    ]);
    let cell = |one: &Option<Spread>| one.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let percent =
        |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    for step in &times.steps {
        let mut cells = vec![printable(&step.phase).into_owned(), step.model.to_string(), cell(&step.work)];
        cells.extend(step.swap.iter().map(cell));
        cells.extend([rates(step), room(step), percent(step.hidden)]);
        grid.row(cells);
    }
    let again = [None, None, times.again];
    let mut sums = vec![("all swaps", &times.swaps, times.hidden), ("total", &times.totals, None)];
    sums.extend(times.again.map(|_| ("swaps, second round", &again, None)));
    for (what, three, hidden) in sums {
        let mut cells = vec![what.to_owned(), String::new(), String::new()];
        cells.extend(three.iter().map(cell));
        cells.extend([String::new(), String::new(), percent(hidden)]);
        grid.row(cells);
    }
    grid
}

/// How fast the model came, cold and warm.
fn rates(step: &StepTimes) -> String {
    let rate = |one: &Option<Spread>| {
        let rate = one.as_ref().zip(step.size).and_then(|(one, size)| one.rate(size));
        rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}"))
    };
    format!("{}, {}", rate(&step.swap[0]), rate(&step.swap[1]))
}

/// The work before a step beside the read that it has to hide: `0.75 s < 1.30 s`.
fn room(step: &StepTimes) -> String {
    let (Some(room), Some(read), Some(longer)) = (step.room, step.read, step.has_room()) else {
        return "-".to_owned();
    };
    let sign = if longer { ">" } else { "<" };
    format!("{:.2} s {sign} {:.2} s", room.as_secs_f64(), read.as_secs_f64())
}

#[cfg(test)]
mod tests;

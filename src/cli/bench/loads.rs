//! A bench's results: as a table, as Markdown, one CSV line a run, and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::grid::{Grid, csv_cell};
use super::setting::Setting;
use crate::cli::status::{SCHEMA_VERSION, script_name, seconds, thousandths};
use crate::residency::bench::{Bench, BenchRun, BenchState, Kind};
use crate::residency::compare::{ModelLoads, NO_TWO_LOADS, Spread, loads};
use crate::residency::host::LoadMode;
use crate::residency::swap::Way;
use crate::residency::text::printable;

/// For a person.
pub fn table(bench: &Bench, setting: &Setting, cooldown: Duration) -> String {
    let mut text = String::new();
    for (what, words) in heading(bench, setting, cooldown) {
        let _ = writeln!(text, "{what:<8} {words}");
    }
    let all = loads(&bench.runs);
    if !all.is_empty() {
        let _ = write!(text, "\n{}", grid(bench, &all).text());
    }
    if !all.iter().any(|loads| loads.times.is_some()) {
        let _ = write!(text, "\n{NO_TWO_LOADS}\n");
    }
    text
}

/// To paste.
pub fn markdown(bench: &Bench, setting: &Setting, cooldown: Duration) -> String {
    let all = loads(&bench.runs);
    let mut text = grid(bench, &all).markdown();
    text.push('\n');
    for (what, words) in heading(bench, setting, cooldown) {
        let _ = writeln!(text, "- {what}: {words}");
    }
    if !all.iter().any(|loads| loads.times.is_some()) {
        let _ = write!(text, "\n{NO_TWO_LOADS}\n");
    }
    text
}

/// One line a run, thrown away or not.
pub fn csv(bench: &Bench, setting: &Setting) -> String {
    let mut text = format!(
        "model,kind,round,valid,load_seconds,gb_per_second,size_bytes,ram_bytes_before,load_mode,reason,{}\n",
        Setting::COLUMNS
    );
    for run in &bench.runs {
        let took = run.took.as_ref().ok();
        let cells = [
            script_name(&run.model).to_owned(),
            run.kind.word().to_owned(),
            run.round.to_string(),
            took.is_some().to_string(),
            took.map(|took| format!("{:.4}", took.as_secs_f64())).unwrap_or_default(),
            took.and_then(|took| rate(run, *took)).map(|rate| format!("{rate:.3}")).unwrap_or_default(),
            run.size().0.to_string(),
            run.before.and_then(|before| before.ram).map(|ram| ram.0.to_string()).unwrap_or_default(),
            mode(run.mode).to_owned(),
            run.took.as_ref().err().map(|why| printable(why).into_owned()).unwrap_or_default(),
        ];
        let _ = writeln!(
            text,
            "{}",
            cells
                .into_iter()
                .chain(setting.cells())
                .map(|cell| csv_cell(&cell))
                .collect::<Vec<_>>()
                .join(",")
        );
    }
    text
}

fn rate(run: &BenchRun, took: Duration) -> Option<f64> {
    Spread::of([took])?.rate(run.size())
}

/// For scripts.
pub fn json(bench: &Bench, setting: &Setting) -> Value {
    let (state, why) = match &bench.state {
        BenchState::Done => ("done", None),
        BenchState::Failed { why } => ("failed", Some(why)),
        BenchState::Cancelled => ("cancelled", None),
        BenchState::Running | BenchState::PuttingBack => ("running", None),
    };
    json!({
        "schema_version": SCHEMA_VERSION,
        "outcome": state,
        "error": why,
        "setting": setting.json(),
        "runs_each": bench.rounds,
        "models": loads(&bench.runs).iter().map(|loads| json!({
            "model": script_name(&loads.model),
            "size_bytes": loads.size,
            "load_mode": mode(loads.mode),
            "cold_over_warm": loads.times.map(thousandths),
            "kinds": loads.kinds.iter().map(|(kind, spread)| {
                (kind.word().to_owned(), spread_json(spread, spread.rate(loads.size)))
            }).collect::<serde_json::Map<_, _>>(),
        })).collect::<Vec<_>>(),
        "runs": bench.runs.iter().map(|run| json!({
            "model": script_name(&run.model),
            "kind": run.kind.word(),
            "round": run.round,
            "load_seconds": run.took.as_ref().ok().map(|took| seconds(*took)),
            "thrown_away": run.took.as_ref().err(),
            "size_bytes": run.size(),
            "ram_bytes_before": run.before.and_then(|before| before.ram),
            "estimate": run.before.map(|before| before.estimate),
        })).collect::<Vec<_>>(),
        "not_put_back": bench.left,
    })
}

/// A spread as scripts get it.
pub fn spread_json(spread: &Spread, rate: Option<f64>) -> Value {
    json!({
        "median_seconds": seconds(spread.median),
        "least_seconds": seconds(spread.least),
        "most_seconds": seconds(spread.most),
        "runs": spread.runs,
        "gb_per_second": rate.map(thousandths),
    })
}

fn heading(bench: &Bench, setting: &Setting, cooldown: Duration) -> Vec<(&'static str, String)> {
    let thrown = bench.runs.iter().filter(|run| run.took.is_err()).count();
    let mut lines = setting.lines();
    let sizes: Vec<String> =
        loads(&bench.runs).iter().map(|loads| format!("{} {}", loads.model, loads.size)).collect();
    if !sizes.is_empty() {
        lines.push(("models", sizes.join(", ")));
    }
    lines.push((
        "runs",
        format!(
            "{} of each, interleaved, {} s pause before each; median (least to most); thrown away: {thrown}",
            bench.rounds,
            cooldown.as_secs_f64()
        ),
    ));
    lines
}

fn grid(bench: &Bench, all: &[ModelLoads]) -> Grid {
    let extra: Vec<Kind> = [Kind::Cold(Way::First), Kind::Cold(Way::Beside)]
        .into_iter()
        .filter(|kind| bench.kinds.contains(kind))
        .collect();
    let heads = ["model", "size", "cold"].into_iter().chain(extra.iter().map(|kind| kind.word()));
    let mut grid = Grid::new(heads.chain(["warm", "×", "cold GB/s", "warm GB/s", "load mode"]));
    for loads in all {
        let cell = |kind: Kind| loads.of(kind).map_or_else(|| "-".to_owned(), ToString::to_string);
        let rate = |kind: Kind| {
            let rate = loads.of(kind).and_then(|spread| spread.rate(loads.size));
            rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}"))
        };
        let cold = Kind::Cold(Way::Off);
        let mut cells = vec![loads.model.to_string(), loads.size.to_string(), cell(cold)];
        cells.extend(extra.iter().map(|kind| cell(*kind)));
        cells.push(cell(Kind::Warm));
        cells.push(loads.times.map_or_else(|| "-".to_owned(), |times| format!("{times:.1}×")));
        cells.extend([rate(cold), rate(Kind::Warm), mode(loads.mode).to_owned()]);
        grid.row(cells);
    }
    grid
}

pub(super) fn mode(mode: LoadMode) -> &'static str {
    match mode {
        LoadMode::Mmap => "mmap",
        LoadMode::Buffered => "buffered",
        LoadMode::Direct => "direct",
        LoadMode::InTree => "in tree",
        LoadMode::Unknown => "?",
    }
}

#[cfg(test)]
mod tests;

//! The panel of a measurement: what it is at, the table of what was measured, and what was thrown away and why.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::flow;
use crate::residency::bench::{Bench, BenchState, Kind};
use crate::residency::compare::{Comparison, FlowTimes, ModelLoads, NO_TWO_LOADS, Spread, flows, loads};
use crate::residency::flow::{Flow, StepState};
use crate::residency::text::printable;
use crate::residency::timing::Moment;
use crate::tui::app::{App, Panel, Proof};
use crate::tui::format;
use crate::tui::theme::Theme;
use crate::tui::widget::page;
use crate::tui::widget::strip::{Strip, row};

/// From here the spread of each figure of a workflow has room.
const SPREADS: u16 = 130;

/// From here the models of a workflow have room.
const MODELS: u16 = 70;

/// A line of the body.
enum Line<'a> {
    /// A row of the table.
    Cells(Vec<String>, Style),
    /// Words.
    Text(String, Style),
    /// The head of the run under way, above its steps.
    Now(&'a Flow),
    /// One of its steps.
    Step(&'a Flow, usize),
}

/// Rows that the panel would like; none without a measurement.
pub(crate) fn rows(app: &App, width: u16) -> u16 {
    let Some(proof) = &app.proof else { return 0 };
    u16::try_from(lines(proof, width, &app.settings.theme).len() + 1).unwrap_or(u16::MAX)
}

/// Draws it.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App, now: Moment) {
    let Some(proof) = app.proof.as_ref().filter(|_| area.height > 1) else { return };
    let theme = &app.settings.theme;
    let has_keys = app.panel == Panel::Flow;
    title(&mut Strip::new(buffer, row(area, 0)), proof, has_keys, theme);
    let lines = lines(proof, area.width, theme);
    let widths = widths(&lines);
    // Steps and models are names, all else is figures.
    let lefts = if matches!(proof, Proof::Comparison(_)) && area.width >= MODELS { 2 } else { 1 };
    let rest = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let down = app.flow_down;
    page::lines(buffer, rest, lines.len(), down, theme.faint, |buffer, area, i| match &lines[i] {
        Line::Cells(cells, style) => {
            let mut strip = Strip::new(buffer, area);
            strip.skip(1);
            for (at, (cell, wide)) in cells.iter().zip(&widths).enumerate() {
                if at > 0 && at < lefts {
                    strip.skip(2);
                }
                if at < lefts {
                    strip.cell(cell, *wide, *style);
                } else if *wide > 0 && wide + 2 <= strip.left() {
                    strip.skip(2).cell_right(cell, *wide, *style);
                }
            }
        }
        Line::Text(words, style) => {
            Strip::new(buffer, area).skip(1).put(words, *style);
        }
        Line::Now(flow) => flow::render_head(buffer, area, flow, "the run under way", theme),
        Line::Step(flow, step) => flow::render_step(buffer, area, flow, *step, theme, now),
    });
}

/// The columns of each cell.
fn widths(lines: &[Line]) -> Vec<u16> {
    let mut widths = Vec::new();
    for line in lines {
        let Line::Cells(cells, _) = line else { continue };
        widths.resize(widths.len().max(cells.len()), 0);
        for (wide, cell) in widths.iter_mut().zip(cells) {
            *wide = format::columns(cell).max(*wide);
        }
    }
    widths
}

fn title(strip: &mut Strip, proof: &Proof, has_keys: bool, theme: &Theme) {
    let (valid, all) = match proof {
        Proof::Bench(bench) => bench.progress(),
        Proof::Comparison(comparison) => comparison.progress(),
    };
    let (words, style) = match proof.state() {
        BenchState::Running => (at_now(proof), theme.work),
        BenchState::PuttingBack => ("putting back what was loaded".to_owned(), theme.work),
        BenchState::Done => ("done".to_owned(), theme.good),
        BenchState::Failed { why } => (format!("failed: {}", printable(why)), theme.bad),
        BenchState::Cancelled => ("cancelled".to_owned(), theme.warn),
    };
    let name = proof.name();
    let half = strip.left() / 2;
    let wide = format::columns(&name).min(half);
    strip.skip(1).cell(&name, wide, if has_keys { theme.title } else { theme.selected });
    strip.skip(3).put(&format!("{valid} of {all} runs"), theme.text).skip(3).put(&words, style);
}

/// Which run of which kind it is at, and what is done for it.
fn at_now(proof: &Proof) -> String {
    match proof {
        Proof::Bench(bench) => bench.doing.as_ref().map_or_else(String::new, |doing| {
            format!("{} {}: {}", doing.kind.word(), doing.round, doing.stage)
        }),
        // The run of before is shown until the next begins.
        Proof::Comparison(comparison) => match &comparison.now {
            Some(flow) if !comparison.runs.iter().any(|run| run.flow.began == flow.began) => under_way(flow),
            _ => "making all cold".to_owned(),
        },
    }
}

/// `lookahead 2: execution swaps`.
fn under_way(flow: &Flow) -> String {
    let run = format!("{} {}", flow.manner.word(), flow.run);
    let active = flow.steps.iter().find_map(|step| match step.state {
        StepState::Swapping(_) => Some((step, "swaps")),
        StepState::Working(_) => Some((step, "works")),
        _ => None,
    });
    active.map_or_else(|| run.clone(), |(step, does)| format!("{run}: {} {does}", printable(&step.phase)))
}

fn lines<'a>(proof: &'a Proof, width: u16, theme: &Theme) -> Vec<Line<'a>> {
    let (mut lines, thrown, left) = match proof {
        Proof::Bench(bench) => (of_bench(bench, theme), thrown_loads(bench), &bench.left),
        Proof::Comparison(comparison) => {
            (of_comparison(comparison, width, theme), thrown_runs(comparison), &comparison.left)
        }
    };
    let mut say = |words: String, style: Style| {
        let wrapped = format::wrap(&printable(&words), width.saturating_sub(2), 3);
        lines.extend(wrapped.into_iter().map(|words| Line::Text(words, style)));
    };
    for left in left {
        say(format!("not put back: {left}"), theme.bad);
    }
    for thrown in thrown.into_iter().rev() {
        say(thrown, theme.warn);
    }
    lines
}

fn thrown_loads(bench: &Bench) -> Vec<String> {
    let thrown = bench.runs.iter().filter_map(|run| Some((run, run.took.as_ref().err()?)));
    thrown.map(|(run, why)| format!("{} {} thrown away: {why}", run.kind.word(), run.round)).collect()
}

fn thrown_runs(comparison: &Comparison) -> Vec<String> {
    let thrown = comparison.runs.iter().filter_map(|run| Some((&run.flow, run.thrown.as_ref()?)));
    thrown.map(|(flow, why)| format!("{} {} thrown away: {why}", flow.manner.word(), flow.run)).collect()
}

/// A model's kinds beside each other; the model only where there are several.
fn of_bench<'a>(bench: &Bench, theme: &Theme) -> Vec<Line<'a>> {
    let all = loads(&bench.runs);
    if all.is_empty() {
        return Vec::new();
    }
    let heads = ["", "median", "×", "rate", "least to most", "runs"].map(ToOwned::to_owned);
    let mut lines = vec![Line::Cells(heads.into(), theme.faint)];
    for loads in &all {
        lines.extend(bench.kinds.iter().filter_map(|kind| load(bench, loads, *kind, theme)));
    }
    let is_over = bench.state.is_over();
    if is_over && !all.iter().any(|loads| loads.times.is_some()) {
        lines.push(Line::Text(NO_TWO_LOADS.to_owned(), theme.warn));
    }
    lines
}

fn load<'a>(bench: &Bench, loads: &ModelLoads, kind: Kind, theme: &Theme) -> Option<Line<'a>> {
    let spread = loads.of(kind)?;
    let what = if bench.models.len() > 1 {
        format!("{} {}", loads.model, kind.word())
    } else {
        kind.word().to_owned()
    };
    let times = loads.times.filter(|_| kind == Kind::Warm);
    let [least, most] = [spread.least, spread.most].map(format::seconds);
    let cells = vec![
        what,
        format::took(spread.median),
        times.map_or_else(String::new, |times| format!("{times:.1}×")),
        format::rate(loads.size, spread.median.as_secs_f64()).unwrap_or_else(|| "-".to_owned()),
        if spread.runs > 1 { format!("{least} to {most}") } else { String::new() },
        format!("{} of {}", spread.runs, bench.rounds),
    ];
    Some(Line::Cells(cells, if kind == Kind::Warm { theme.ram } else { theme.text }))
}

fn of_comparison<'a>(comparison: &'a Comparison, width: u16, theme: &Theme) -> Vec<Line<'a>> {
    let times = flows(&comparison.runs);
    let mut lines = Vec::new();
    if !times.steps.is_empty() {
        lines.extend(table(&times, width, theme));
    }
    if let Some(flow) = comparison.now.as_deref().filter(|_| comparison.state == BenchState::Running) {
        lines.push(Line::Now(flow));
        lines.extend((0..flow.steps.len()).map(|step| Line::Step(flow, step)));
    }
    // What may be said of all runs is said once they are all there.
    if comparison.state.is_over() {
        let wrap = |claim: String| format::wrap(&claim, width.saturating_sub(2), 2);
        let claims = times.claims().into_iter().flat_map(wrap);
        let style = if times.times.is_some() || times.swap_times.is_some() { theme.good } else { theme.text };
        lines.extend(claims.map(|claim| Line::Text(claim, style)));
    }
    let scale = comparison.runs.iter().map(|run| run.flow.scale).find(|scale| *scale > 1);
    lines.extend(
        scale.map(|scale| Line::Text(format!("fixed work at 1:{scale}, as the models"), theme.faint)),
    );
    lines
}

/// A row for each step: the wait for its model in each manner, and of the disk's part what lookahead hid.
fn table<'a>(times: &FlowTimes, width: u16, theme: &Theme) -> Vec<Line<'a>> {
    let with_models = width >= MODELS;
    let cell = |one: &Option<Spread>| {
        let Some(one) = one else { return "-".to_owned() };
        if width >= SPREADS { one.to_string() } else { format::seconds(one.median) }
    };
    let percent =
        |share: Option<f64>| share.map_or_else(String::new, |share| format!("{:.0} %", share * 100.0));
    let cells = |what: &str, model: String, three: &[Option<Spread>; 3], work, hidden| {
        let mut cells = vec![format::fit(what, 14).into_owned()];
        cells.extend(with_models.then(|| format::fit(&model, 24).into_owned()));
        cells.extend(three.iter().map(cell));
        cells.extend([hidden, work]);
        cells
    };
    let mut heads = vec!["wait for"];
    heads.extend(with_models.then_some(""));
    heads.extend(["cold", "warm", "lookahead", "disk hidden", "work"]);
    let mut lines = vec![Line::Cells(heads.into_iter().map(ToOwned::to_owned).collect(), theme.faint)];
    lines.extend(times.steps.iter().map(|step| {
        let model = step.model.to_string();
        let cells = cells(&step.phase, model, &step.swap, cell(&step.work), percent(step.hidden));
        Line::Cells(cells, theme.text)
    }));
    let sum = |what, three, hidden| {
        Line::Cells(cells(what, String::new(), three, String::new(), hidden), theme.text)
    };
    lines.push(sum("all swaps", &times.swaps, percent(times.hidden)));
    lines.push(sum("whole run", &times.totals, String::new()));
    let again = [None, None, times.again];
    lines.extend(times.again.map(|_| sum("second round", &again, String::new())));
    lines
}

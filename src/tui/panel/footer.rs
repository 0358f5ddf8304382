//! The last row: the keys that apply to what is selected or open, made from the keymap.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::welcome;
use crate::residency::act::ActKind;
use crate::residency::bytes::Bytes;
use crate::residency::flow::FlowState;
use crate::residency::snapshot::{Reach, State};
use crate::tui::action::{Action, Context};
use crate::tui::app::{App, Layer, Panel};
use crate::tui::format;
use crate::tui::widget::strip::Strip;

/// Draws as many as fit whole; help is always among them.
pub(crate) fn render(buffer: &mut Buffer, area: Rect, app: &App) {
    let theme = &app.settings.theme;
    let mut strip = Strip::new(buffer, area);
    strip.skip(BEFORE);
    for Hint { key, word, .. } in hints(area.width, app) {
        strip.put(&key, theme.key).skip(1).put(&word, theme.text).skip(GAP);
    }
}

/// The action whose key stands at that place.
pub(crate) fn at(area: Rect, app: &App, place: Position) -> Option<Action> {
    if !area.contains(place) {
        return None;
    }
    let mut from = area.x + BEFORE;
    hints(area.width, app).into_iter().find_map(|hint| {
        let is_it = (from..from + hint.columns()).contains(&place.x);
        from += hint.columns() + GAP;
        is_it.then_some(hint.action)
    })
}

/// Blanks before the first key.
const BEFORE: u16 = 1;
/// Blanks between two keys.
const GAP: u16 = 3;

/// A key and what it does.
struct Hint<'a> {
    action: Action,
    key: String,
    word: Cow<'a, str>,
}

impl Hint<'_> {
    fn columns(&self) -> u16 {
        format::columns(&self.key) + format::columns(&self.word) + 1
    }
}

fn hints(width: u16, app: &App) -> Vec<Hint<'_>> {
    let (actions, last) = actions(app);
    let hint =
        |action: Action| Some(Hint { action, key: app.keymap.first(action)?, word: word(action, app) });
    let last = last.and_then(hint);
    let mut left = width.saturating_sub(BEFORE + last.as_ref().map_or(0, Hint::columns));
    let mut shown = Vec::new();
    for hint in actions.into_iter().filter_map(hint) {
        let wide = hint.columns() + GAP;
        if wide > left {
            break;
        }
        left -= wide;
        shown.push(hint);
    }
    shown.extend(last);
    shown
}

fn word(action: Action, app: &App) -> Cow<'_, str> {
    if let Action::Phase(number) = action {
        let phase = app.settings.phases.get(usize::from(number) - 1);
        return phase.map_or("phase".into(), |phase| format::fit(&phase.name, PHASE));
    }
    let paused = || app.running_flow().is_some_and(|flow| flow.state == FlowState::Paused);
    let word = match action {
        Action::Choose if matches!(app.layer, Layer::Flows(_)) => "run",
        Action::Pause if paused() => "go on",
        Action::Hold if app.model().and_then(|model| model.kept.as_ref()).is_some_and(|kept| kept.held) => {
            "release"
        }
        Action::Zoom if app.zoomed => "all panels",
        Action::Freeze if app.frozen.is_some() => "go on",
        Action::HandsOff if app.snapshot.keeping.hands_off => "hands on",
        Action::Pin if app.model().and_then(|model| app.pin_does(model)) == Some(ActKind::Unpin) => "unpin",
        Action::Choose if matches!(&app.layer, Layer::Setup(proposal, _) if proposal.exists) => {
            "(there already)"
        }
        action => action.entry().word,
    };
    word.into()
}

/// Columns of a phase's name.
const PHASE: u16 = 14;

/// What applies, the most useful first, and the one that is always at the end.
fn actions(app: &App) -> (Vec<Action>, Option<Action>) {
    match app.context() {
        Context::Confirm => return (vec![Action::Yes, Action::No], None),
        Context::Prompt => return (vec![Action::Accept, Action::Dismiss, Action::EraseAll], None),
        Context::Page => {
            let mut actions = vec![Action::ScrollDown, Action::ScrollUp, Action::Close];
            if matches!(app.layer, Layer::Setup(..)) {
                actions.insert(0, Action::Choose);
            }
            if matches!(app.layer, Layer::Columns(_)) {
                actions.insert(0, Action::Toggle);
            }
            if matches!(app.layer, Layer::Flows(_)) {
                actions = vec![
                    Action::Choose,
                    Action::Compare,
                    Action::ScrollDown,
                    Action::ScrollUp,
                    Action::Close,
                ];
            }
            return (actions, None);
        }
        Context::Main | Context::Flow => {}
    }
    let mut actions = Vec::new();
    if app.frozen.is_some() && app.context() == Context::Main {
        actions.push(Action::Freeze);
    }
    if app.zoomed {
        actions.push(Action::Zoom);
    }
    if app.offers_demo() {
        actions.push(Action::Demo);
    }
    if welcome::applies(app) {
        // There is nothing to sort, to filter or to look at.
        actions.push(Action::Quit);
        return (actions, Some(Action::Help));
    }
    if app.context() == Context::Flow {
        if app.running_flow().is_some() {
            actions.extend([Action::Pause, Action::Skip, Action::MarkFailed]);
        }
        actions.push(Action::CancelFlow);
    }
    let keeping = &app.snapshot.keeping;
    if app.panel == Panel::Models || app.panel == Panel::Details {
        actions.extend(for_model(app));
    }
    let can_close = (app.flow.is_some() || app.proof.is_some()) && !app.is_running();
    if app.panel != Panel::Models || !app.filter.is_empty() || can_close {
        actions.push(Action::Back);
    }
    if !app.settings.workflows.is_empty() && !app.settings.read_only && !app.is_running() {
        actions.push(Action::Flows);
    }
    actions.extend([Action::NextPanel, Action::Filter, Action::Quit]);
    if app.live_acts().count() > 1 || app.live_startup().is_some() {
        actions.push(Action::CancelAll);
    }
    if !app.settings.read_only && (keeping.hands_off || !keeping.auto.is_empty()) {
        actions.push(Action::HandsOff);
    }
    actions.push(Action::Sort);
    if !app.snapshot.past.swaps.is_empty() {
        actions.push(Action::History);
    }
    if app.snapshot.tunings.as_ref().is_some_and(|tunings| !tunings.is_empty()) {
        actions.push(Action::Tune);
    }
    if !app.settings.read_only {
        actions.extend((1..=9).zip(&app.settings.phases).map(|(number, _)| Action::Phase(number)));
    }
    let local = app.server().is_some_and(|server| server.local);
    if local && !app.settings.read_only && !app.is_running() && app.model().is_some() {
        actions.push(Action::Bench);
    }
    if !app.settings.has_config {
        actions.push(Action::Setup);
    }
    // Once more where they are first does no good.
    let looks = [Action::Zoom, Action::Freeze, Action::Columns, Action::Theme, Action::Mouse].into_iter();
    actions.extend(looks.filter(|action| !actions.contains(action)).collect::<Vec<_>>());
    (actions, Some(Action::Help))
}

fn for_model(app: &App) -> Vec<Action> {
    let mut actions = Vec::new();
    let Some(model) = app.model() else { return actions };
    if app.live_act(&model.name).is_some() || app.is_in_startup(&model.name) {
        actions.push(Action::Cancel);
    }
    let answers =
        app.server().is_some_and(|server| matches!(server.reach, Reach::Up { .. } | Reach::Slow { .. }));
    if app.settings.read_only || app.running_proof().is_some() || !answers || model.state == State::Cloud {
        return actions;
    }
    match model.loaded {
        Some(_) if model.state == State::Ghost => {
            actions.extend([Action::Swap, Action::Load, Action::Unload]);
        }
        Some(_) => actions.extend([Action::Unload, Action::Pin, Action::Touch, Action::KeepAlive]),
        None => {
            actions.extend([Action::Swap, Action::Load]);
            actions.extend(app.pin_does(model).map(|_| Action::Pin));
        }
    }
    if app.server().is_some_and(|server| server.local) && !model.blobs.is_empty() {
        let whole = model.cached.bytes().is_some_and(|bytes| bytes.percent_of(model.tiers.whole()) == 100);
        if !whole {
            actions.push(Action::Warm);
        }
        actions.push(Action::Hold);
        if model.cached.bytes() != Some(Bytes::ZERO) {
            actions.push(Action::Drop);
        }
    }
    actions
}

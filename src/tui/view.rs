//! The whole picture, drawn from the state and the time into a buffer; nothing is changed and nobody is asked.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::action::Action;
use super::app::{App, Layer, Panel, Sort};
use super::layout::{self, Areas, SMALLEST, Wants};
use super::panel::{
    columns, details, findings, flow, flows, footer, gauges, header, help, history, log, message, proof,
    servers, setup, startup, table, tuning, welcome,
};
use super::theme;
use super::widget::strip::Strip;
use crate::residency::timing::Moment;

/// Draws the screen into `buffer`, whatever its size; the buffer is blank when it comes.
pub fn view(buffer: &mut Buffer, app: &App, now: Moment) {
    let screen = buffer.area;
    let now = app.frozen.as_ref().map_or(now, |frozen| frozen.since);
    if screen.width < SMALLEST.0 || screen.height < SMALLEST.1 {
        let words = format!("too small: needs {}x{}", SMALLEST.0, SMALLEST.1);
        Strip::new(buffer, screen).put(&words, app.settings.theme.text);
        return;
    }
    let (said, areas) = areas(app, screen, now);
    header::render(buffer, areas.header, app, now);
    servers::render(buffer, areas.servers, app);
    gauges::render(buffer, areas.gauges, app, now);
    match &app.layer {
        Layer::Help(down) => help::render(buffer, areas.body, app, *down),
        Layer::Setup(proposal, down) => setup::render(buffer, areas.body, app, proposal, *down),
        Layer::Flows(selected) => flows::render(buffer, areas.body, app, *selected),
        Layer::Findings(down) => findings::render(buffer, areas.body, app, now, *down),
        Layer::Tuning(down) => tuning::render(buffer, areas.body, app, *down),
        Layer::Columns(selected) => columns::render(buffer, areas.body, areas.table.width, app, *selected),
        Layer::History(down) => history::render(buffer, areas.body, app, now, *down),
        _ if welcome::applies(app) => welcome::render(buffer, areas.body, app),
        _ => {
            table::render(buffer, areas.table, app, now);
            details::render(buffer, areas.details, app, now);
            startup::render(buffer, areas.startup, app, now);
            flow::render(buffer, areas.flow, app, now);
            proof::render(buffer, areas.flow, app, now);
            log::render(buffer, areas.log, areas.day, app);
        }
    }
    message::render(buffer, &areas, app, &said);
    footer::render(buffer, areas.footer, app);
    if app.settings.ascii {
        theme::to_ascii(buffer);
    }
}

/// What the message says on a screen of that size, and where each panel is.
fn areas(app: &App, screen: Rect, now: Moment) -> (message::Lines, Areas) {
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let cards = app.snapshot.host.cards.as_ref().map_or(1, |cards| cards.value.list().len());
    let wants = |message: usize| Wants {
        cards: count(cards),
        models: count(app.models().len()),
        servers: servers::rows(app),
        flow: flow::rows(app, screen.height, now).max(proof::rows(app, screen.width)),
        startup: startup::rows(app, now),
        events: count(app.snapshot.events.len()),
        message: count(message),
        zoomed: app.zoomed,
        panel: app.panel,
    };
    let mut said = message::lines(app, now, screen.width, 0);
    let mut areas = layout::areas(screen, wants(said.0.len()));
    if !areas.startup.is_empty() && !app.is_covered() {
        // What its panel says need not be said once more; with fewer lines there is no less room for it.
        said = message::lines(app, now, screen.width, areas.startup.height);
        areas = layout::areas(screen, wants(said.0.len()));
    }
    (said, areas)
}

/// What is drawn at that place of a screen of that size.
pub(crate) fn under(app: &App, screen: Rect, place: Position, now: Moment) -> Under {
    if screen.width < SMALLEST.0 || screen.height < SMALLEST.1 {
        return Under::Nothing;
    }
    let now = app.frozen.as_ref().map_or(now, |frozen| frozen.since);
    let (_, areas) = areas(app, screen, now);
    if let Some(action) = footer::at(areas.footer, app, place) {
        return Under::Key(action);
    }
    match app.layer {
        Layer::None => {}
        Layer::Ask(_) | Layer::Prompt(_) => return Under::Nothing,
        _ if areas.body.contains(place) => return Under::Page,
        _ => return Under::Nothing,
    }
    if let Some(server) = servers::at(areas.servers, app, place) {
        return Under::Server(server);
    }
    if let Some(hit) = table::at(areas.table, app, place) {
        return match hit {
            table::Hit::Row(row) => Under::Row(row),
            table::Hit::Heading(sort) => Under::Heading(sort),
        };
    }
    let panels = [
        (areas.table, Panel::Models),
        (areas.details, Panel::Details),
        (areas.flow, Panel::Flow),
        (areas.log, Panel::Events),
    ];
    let panel = panels.into_iter().find(|(area, _)| area.contains(place));
    panel.map_or(Under::Nothing, |(_, panel)| Under::Panel(panel))
}

/// What can lie under the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Under {
    /// A key of the footer.
    Key(Action),
    /// A server's name.
    Server(usize),
    /// A model's row.
    Row(usize),
    /// A heading of the table, and what it sorts by, if it does.
    Heading(Option<Sort>),
    /// A panel, but nothing of it that can be meant.
    Panel(Panel),
    /// A page that lies over the panels.
    Page,
    Nothing,
}

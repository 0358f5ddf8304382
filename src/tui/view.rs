//! The whole picture, drawn from the state and the time into a buffer; nothing is changed and nobody is asked.

use ratatui::buffer::Buffer;

use super::app::{App, Layer};
use super::layout::{self, SMALLEST, Wants};
use super::panel::{
    details, findings, flow, flows, footer, gauges, header, help, history, log, message, proof, servers,
    setup, startup, table, tuning, welcome,
};
use super::theme;
use super::widget::strip::Strip;
use crate::residency::timing::Moment;

/// Draws the screen into `buffer`, whatever its size; the buffer is blank when it comes.
pub fn view(buffer: &mut Buffer, app: &App, now: Moment) {
    let screen = buffer.area;
    if screen.width < SMALLEST.0 || screen.height < SMALLEST.1 {
        let words = format!("too small: needs {}x{}", SMALLEST.0, SMALLEST.1);
        Strip::new(buffer, screen).put(&words, app.settings.theme.text);
        return;
    }
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
        panel: app.panel,
    };
    let mut said = message::lines(app, now, screen.width, 0);
    let mut areas = layout::areas(screen, wants(said.0.len()));
    if !areas.startup.is_empty() && !app.is_covered() {
        // What its panel says need not be said once more; with fewer lines there is no less room for it.
        said = message::lines(app, now, screen.width, areas.startup.height);
        areas = layout::areas(screen, wants(said.0.len()));
    }
    header::render(buffer, areas.header, app, now);
    servers::render(buffer, areas.servers, app);
    gauges::render(buffer, areas.gauges, app, now);
    match &app.layer {
        Layer::Help(down) => help::render(buffer, areas.body, app, *down),
        Layer::Setup(proposal, down) => setup::render(buffer, areas.body, app, proposal, *down),
        Layer::Flows(selected) => flows::render(buffer, areas.body, app, *selected),
        Layer::Findings(down) => findings::render(buffer, areas.body, app, now, *down),
        Layer::Tuning(down) => tuning::render(buffer, areas.body, app, *down),
        Layer::History(down) => history::render(buffer, areas.body, app, *down),
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

//! The panels: each file draws one part of the screen from the state, and changes nothing.

pub(crate) mod columns;
pub(crate) mod details;
pub(crate) mod findings;
pub(crate) mod flow;
pub(crate) mod flows;
pub(crate) mod footer;
pub(crate) mod gauges;
pub(crate) mod header;
pub(crate) mod help;
pub(crate) mod history;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod proof;
pub(crate) mod servers;
pub(crate) mod setup;
pub(crate) mod startup;
pub(crate) mod table;
pub(crate) mod tuning;
pub(crate) mod welcome;

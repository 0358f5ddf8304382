//! The domain: what residency is, without async, I/O, a clock or a screen. Everybody names it, it names nobody.

pub mod act;
pub mod budget;
pub mod bytes;
pub mod event;
pub mod expiry;
pub mod flow;
pub mod forecast;
pub mod history;
pub mod hold;
pub mod host;
pub mod keep_alive;
pub mod lookahead;
pub mod map;
pub mod name;
pub mod predict;
pub mod record;
pub mod snapshot;
pub mod state;
pub mod swap;
pub mod text;
pub mod tier;
pub mod timing;
pub mod warm;
pub mod workflow;

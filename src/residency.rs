//! The domain: what residency is, without async, I/O, a clock or a screen. Everybody names it, it names nobody.

pub mod act;
pub mod budget;
pub mod bytes;
pub mod event;
pub mod expiry;
pub mod forecast;
pub mod host;
pub mod keep_alive;
pub mod name;
pub mod snapshot;
pub mod state;
pub mod text;
pub mod tier;
pub mod timing;

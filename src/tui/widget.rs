//! Reusable pieces of the screen.

pub(crate) mod bar;
pub(crate) mod fold;
pub(crate) mod near;
pub(crate) mod page;
pub(crate) mod sparkline;
pub(crate) mod stages;
pub(crate) mod strip;

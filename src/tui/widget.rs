//! Reusable pieces of the screen.

pub(crate) mod bar;
pub(crate) mod near;
pub(crate) mod page;
pub(crate) mod strip;

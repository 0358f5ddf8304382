//! Predictions: how long a model takes to be in VRAM from where its bytes are now, learned from loads before.

use std::time::Duration;

/// A prediction: never a measurement, so it is shown with `~`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// From asking to ready.
    pub took: Duration,
    /// How far such predictions were off lately, as a share of what was measured (0.1 is 10 %, the median); `None`
    /// until there is one to compare with.
    pub error: Option<f64>,
}

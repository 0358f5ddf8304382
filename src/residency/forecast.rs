//! The forecast: what the server will do when a model is loaded, computed by its own published rules.

use super::name::ModelName;

/// What loading a model would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Who would be evicted, in the server's order; empty if it fits.
    pub evicts: Vec<ModelName>,
    /// Why, in a few words.
    pub why: String,
}

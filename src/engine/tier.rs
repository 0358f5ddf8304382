//! What the engine is handed for the RAM tier: the reader and the holder.

use crate::probe::hold::Holder;
use crate::probe::warm::Warmer;

/// What moves and keeps files in RAM, where the server's files are on this machine.
pub struct RamTier {
    /// Reads them.
    pub warmer: Warmer,
    /// Keeps them.
    pub holder: Holder,
}

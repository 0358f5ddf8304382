//! Snapshots for the tests of the screen.

//! `resident` shows where every Ollama model lives (VRAM, RAM, disk) and moves it there fast.
//!
//! # The map
//!
//! | module | room | neighbours it may name |
//! |---|---|---|
//! | [`config`] | the user's settings: found, merged, validated | `residency` |
//! | [`residency`] | the domain: no async, no I/O, no clock, no ratatui | nothing of ours |
//! | [`ollama`] | adapter: the server's API and its models on disk | `residency` |
//! | [`probe`] | adapter: RAM, cards, page cache, runner processes | `residency` |
//! | [`journal`] | adapter: what instances know of each other, in an SQLite file | `residency` |
//! | [`sim`] | the embedded server of the demo and the tests | `residency`, `ollama::wire` |
//! | [`engine`] | the manager: polls, joins, acts; the only owner of I/O | `residency`, `ollama`, `probe`, `journal`, `config` |
//! | [`tui`] | front end 1: the screen | `engine`, `residency`, `config` |
//! | [`cli`] | front end 2: one file per subcommand; starts all the others | all |
//!
//! Data flows one way: adapters → engine → one immutable [`residency::snapshot::Snapshot`] → front ends;
//! a front end sends [`engine::Command`]s back and never waits. A test reads `src/` and fails on any other arrow.

pub mod cli;
pub mod config;
pub mod engine;
pub mod journal;
pub mod ollama;
pub mod probe;
pub mod residency;
pub mod sim;
pub mod tui;

//! The properties of `tests/it/hostile`, for the fuzz targets.

#[path = "../../tests/it/hostile/amounts.rs"]
pub mod amounts;
#[path = "../../tests/it/hostile/config.rs"]
pub mod config;
#[path = "../../tests/it/hostile/config_edit.rs"]
pub mod config_edit;
#[path = "../../tests/it/hostile/expires_at.rs"]
pub mod expires_at;
#[path = "../../tests/it/hostile/host.rs"]
pub mod host;
#[path = "../../tests/it/hostile/journal.rs"]
mod journal;
#[path = "../../tests/it/hostile/journal_file.rs"]
pub mod journal_file;
#[path = "../../tests/it/hostile/journal_rows.rs"]
pub mod journal_rows;
#[path = "../../tests/it/hostile/keys.rs"]
pub mod keys;
#[path = "../../tests/it/hostile/manifests.rs"]
pub mod manifests;
#[path = "../../tests/it/hostile/names.rs"]
pub mod names;
#[path = "../../tests/it/hostile/safe.rs"]
mod safe;
#[path = "../../tests/it/hostile/screen.rs"]
pub mod screen;
#[path = "../../tests/it/hostile/stream.rs"]
pub mod stream;
#[path = "../../tests/it/hostile/text.rs"]
pub mod text;
#[path = "../../tests/it/hostile/theme.rs"]
pub mod theme;
#[path = "../../tests/it/hostile/wire.rs"]
pub mod wire;

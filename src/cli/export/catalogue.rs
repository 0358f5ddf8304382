//! The catalogue: every metric that is exported, with its type, its unit and what it says.
//!
//! Names follow the conventions of Prometheus: base units, the unit at the end, `_total` behind counters,
//! `_info` behind what only carries labels. A name here is the one that Prometheus keeps.

/// A metric with all its series.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, with unit and ending.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its unit, which ends the name; empty where it counts something.
    pub unit: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
}

/// The types that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only rises.
    Counter,
    /// Always 1: its labels say it.
    Info,
    /// Counts by size.
    Histogram,
}

const fn of(kind: Kind, name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family { name, kind, unit, help }
}

use Kind::{Counter, Gauge, Histogram, Info};

pub(super) static BUILD: Family =
    of(Info, "resident_build_info", "", "The version of resident that exports.");
pub(super) static UP: Family = of(Gauge, "resident_up", "", "1 if the server answers, 0 if it does not.");
pub(super) static SERVER: Family =
    of(Info, "resident_server_info", "", "The server's version, and whether it runs on this machine.");
pub(super) static POLL_DURATION: Family =
    of(Gauge, "resident_poll_duration_seconds", "seconds", "How long the server's last answer took.");
pub(super) static LAST_POLL: Family = of(
    Gauge,
    "resident_last_poll_timestamp_seconds",
    "seconds",
    "When the server last said what is loaded, in seconds since 1970.",
);
pub(super) static KEEPER: Family = of(
    Gauge,
    "resident_keeper_running",
    "",
    "1 if a dashboard acts by itself on the server as the keeper, 0 if none does.",
);
pub(super) static JOURNAL: Family = of(
    Gauge,
    "resident_journal_readable",
    "",
    "1 if the journal could be counted, 0 if not; left out where there is no journal.",
);
pub(super) static FINDINGS: Family =
    of(Gauge, "resident_findings", "", "What resident doctor finds wrong, by kind.");
pub(super) static MODELS: Family = of(Gauge, "resident_models", "", "Models that the server knows.");
pub(super) static TIER: Family = of(
    Gauge,
    "resident_tier_bytes",
    "bytes",
    "Bytes of all models' files in VRAM, in RAM or only on disk; files that models share count once.",
);
pub(super) static MODEL: Family = of(Info, "resident_model_info", "", "What the server says of a model.");
pub(super) static MODEL_SIZE: Family =
    of(Gauge, "resident_model_size_bytes", "bytes", "The model on disk, as the server reports it.");
pub(super) static MODEL_TIER: Family = of(
    Gauge,
    "resident_model_tier_bytes",
    "bytes",
    "Bytes of a model's files in VRAM, in RAM or only on disk; a tier that cannot be read is left out.",
);
pub(super) static MODEL_ESTIMATED: Family = of(
    Gauge,
    "resident_model_tier_estimated",
    "",
    "1 if the model's bytes in RAM and on disk are an estimate from samples, 0 if they were counted.",
);
pub(super) static MODEL_LOADED: Family =
    of(Gauge, "resident_model_loaded", "", "1 if the model is loaded, 0 if not.");
pub(super) static MODEL_LOADING: Family =
    of(Gauge, "resident_model_loading", "", "1 while a load of the model is under way, else 0.");
pub(super) static MODEL_BUSY: Family = of(
    Gauge,
    "resident_model_busy",
    "",
    "1 if the loaded model works on a request, 0 if it is idle; left out where nobody can tell.",
);
pub(super) static MODEL_PINNED: Family =
    of(Gauge, "resident_model_pinned", "", "1 if the model is loaded for ever, else 0.");
pub(super) static MODEL_LISTED: Family =
    of(Gauge, "resident_model_listed", "", "1 if the model is on the preload list, else 0.");
pub(super) static MODEL_EXPIRES: Family = of(
    Gauge,
    "resident_model_expires_timestamp_seconds",
    "seconds",
    "When the server will unload the model, in seconds since 1970; left out of one that stays for ever.",
);
pub(super) static MODEL_RUNNER: Family = of(
    Gauge,
    "resident_model_runner_bytes",
    "bytes",
    "All buffers of a loaded model in VRAM and in RAM, as the server reports them: weights, context and the rest.",
);
pub(super) static MODEL_CONTEXT: Family =
    of(Gauge, "resident_model_context_tokens", "tokens", "The context length that a loaded model runs with.");
pub(super) static MODEL_FORECAST: Family = of(
    Gauge,
    "resident_model_load_forecast_seconds",
    "seconds",
    "About how long the model would take to be in VRAM from where it is now, learned from loads before.",
);
pub(super) static RAM_SIZE: Family = of(
    Gauge,
    "resident_ram_size_bytes",
    "bytes",
    "Main memory of the machine that exports, or the limit of its container.",
);
pub(super) static RAM_USED: Family =
    of(Gauge, "resident_ram_used_bytes", "bytes", "Main memory that programs hold.");
pub(super) static RAM_AVAILABLE: Family = of(
    Gauge,
    "resident_ram_available_bytes",
    "bytes",
    "Main memory that programs can still get without swapping.",
);
pub(super) static RAM_CACHE: Family = of(
    Gauge,
    "resident_ram_page_cache_bytes",
    "bytes",
    "The page cache: files in main memory, models among them.",
);
pub(super) static BUDGET: Family = of(
    Gauge,
    "resident_budget_bytes",
    "bytes",
    "How main memory is divided: for the system, for models, for contexts.",
);
pub(super) static CARD_SIZE: Family = of(Gauge, "resident_card_size_bytes", "bytes", "All memory of a card.");
pub(super) static CARD_USED: Family =
    of(Gauge, "resident_card_used_bytes", "bytes", "Memory of a card that anybody uses.");
pub(super) static CARD_FREE: Family =
    of(Gauge, "resident_card_free_bytes", "bytes", "Memory of a card that nobody uses.");
pub(super) static CARD_BUSY: Family = of(
    Gauge,
    "resident_card_utilisation_ratio",
    "ratio",
    "Share of the time in which the card's cores work.",
);
pub(super) static CARD_TEMPERATURE: Family =
    of(Gauge, "resident_card_temperature_celsius", "celsius", "The card's temperature.");
pub(super) static CARD_POWER: Family =
    of(Gauge, "resident_card_power_watts", "watts", "What the card draws.");
pub(super) static CARD_RECEIVE: Family = of(
    Gauge,
    "resident_card_receive_bytes_per_second",
    "bytes_per_second",
    "What the card receives over PCIe: a load shows here.",
);
pub(super) static SWAPS: Family = of(
    Counter,
    "resident_swaps_total",
    "",
    "Models made ready in VRAM, or not, by resident and by others, as the journal has them.",
);
pub(super) static WAITED: Family = of(
    Counter,
    "resident_swap_wait_seconds_total",
    "seconds",
    "How long it took together to make models ready.",
);
pub(super) static DURATION: Family = of(
    Histogram,
    "resident_swap_duration_seconds",
    "seconds",
    "How long models took to be ready, by where their bytes were before: disk, ram, both or unknown.",
);
pub(super) static READ: Family = of(
    Counter,
    "resident_swap_read_bytes_total",
    "bytes",
    "What resident read from the disk ahead of the server in its swaps.",
);
pub(super) static UNLOADS: Family = of(
    Counter,
    "resident_unloads_total",
    "",
    "How models left VRAM: unloaded by somebody, evicted for another, expired, or their runner died.",
);
pub(super) static USES: Family =
    of(Counter, "resident_model_uses_total", "", "Uses of a model by anybody, as they were seen.");
pub(super) static PHASES: Family =
    of(Counter, "resident_phases_total", "", "Phases of workflows and agents that were made ready.");
pub(super) static PHASE_WAIT: Family = of(
    Counter,
    "resident_phase_wait_seconds_total",
    "seconds",
    "How long phases waited together for their models.",
);
pub(super) static FORECASTS: Family = of(
    Counter,
    "resident_forecasts_total",
    "",
    "Loads of which it was foreseen who goes for them, by whether that came true.",
);

/// All of them, in the order in which they are printed.
pub static ALL: [&Family; 44] = [
    &BUILD,
    &UP,
    &SERVER,
    &POLL_DURATION,
    &LAST_POLL,
    &KEEPER,
    &JOURNAL,
    &FINDINGS,
    &MODELS,
    &TIER,
    &MODEL,
    &MODEL_SIZE,
    &MODEL_TIER,
    &MODEL_ESTIMATED,
    &MODEL_LOADED,
    &MODEL_LOADING,
    &MODEL_BUSY,
    &MODEL_PINNED,
    &MODEL_LISTED,
    &MODEL_EXPIRES,
    &MODEL_RUNNER,
    &MODEL_CONTEXT,
    &MODEL_FORECAST,
    &RAM_SIZE,
    &RAM_USED,
    &RAM_AVAILABLE,
    &RAM_CACHE,
    &BUDGET,
    &CARD_SIZE,
    &CARD_USED,
    &CARD_FREE,
    &CARD_BUSY,
    &CARD_TEMPERATURE,
    &CARD_POWER,
    &CARD_RECEIVE,
    &SWAPS,
    &WAITED,
    &DURATION,
    &READ,
    &UNLOADS,
    &USES,
    &PHASES,
    &PHASE_WAIT,
    &FORECASTS,
];

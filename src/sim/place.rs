//! The server's arithmetic: whether a model fits, how much of it goes on the card, and who must go first.

use serde_json::Value;

use super::card::OnCards;
use super::catalogue::{DEFAULT_CONTEXT, Spec};

/// The options of a request that make a runner what it is; a difference in any forces a reload.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RunnerOptions {
    /// `num_ctx`; `None` is the automatic default.
    pub(crate) context: Option<u64>,
    /// What the automatic default is on this server; 0 for that of a small card.
    pub(crate) automatic: u64,
    /// `num_gpu`: layers on the card; `None` for automatic.
    pub(crate) layers: Option<u64>,
    /// The others that force a reload, as they came.
    others: [Option<i64>; 4],
    use_mmap: Option<bool>,
}

impl RunnerOptions {
    /// Reads `options` of a request; unknown names are ignored, wrong types refused in the server's words.
    pub(crate) fn read(options: Option<&Value>) -> Result<RunnerOptions, String> {
        let number = |name: &str| match options.and_then(|options| options.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the server truncates too; casts saturate"
                )]
                Some(number) => Ok(Some(number as i64)),
                None => Err(format!("option {name:?} must be of type integer")),
            },
        };
        let use_mmap = match options.and_then(|options| options.get("use_mmap")) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(on)) => Some(*on),
            Some(_) => return Err("option \"use_mmap\" must be of type boolean".to_owned()),
        };
        Ok(RunnerOptions {
            context: number("num_ctx")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
            automatic: 0,
            layers: number("num_gpu")?.and_then(|n| u64::try_from(n).ok()),
            others: [
                number("num_batch")?,
                number("main_gpu")?,
                number("num_thread")?,
                number("draft_num_predict")?,
            ],
            use_mmap,
        })
    }

    /// The context a runner of `spec` gets: clamped to what it was trained for.
    pub(crate) fn context_of(&self, spec: &Spec) -> u64 {
        self.context.unwrap_or(self.automatic.max(DEFAULT_CONTEXT)).min(spec.shape.context)
    }

    /// Whether a runner started with these options serves a request with `wanted`. A request that names no number of
    /// layers takes any.
    pub(crate) fn serve(&self, wanted: &RunnerOptions, spec: &Spec) -> bool {
        self.context_of(spec) == wanted.context_of(spec)
            && (wanted.layers.is_none() || wanted.layers == self.layers)
            && self.others == wanted.others
            && self.use_mmap == wanted.use_mmap
    }
}

/// The context that a load gets which names none, by the VRAM of all cards (routes.go:2050-2057).
pub(crate) fn automatic_context(vram: u64) -> u64 {
    match vram >> 30 {
        47.. => 262_144,
        23.. => 32_768,
        _ => DEFAULT_CONTEXT,
    }
}

/// How a model lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// All its buffers.
    pub(crate) size: u64,
    /// Those on the cards.
    pub(crate) vram: u64,
    /// Those by card.
    pub(crate) on: OnCards,
}

/// The one card that is chosen for a prediction: of those where it is at most 80 % of what is free, the one with most
/// free (sched.go:1009-1031). Else all of them serve.
fn single(predicted: u64, free: &[u64]) -> Option<usize> {
    let enough = (0..free.len()).filter(|&at| predicted <= free[at] / 5 * 4);
    enough.max_by_key(|&at| (free[at], std::cmp::Reverse(at)))
}

/// Whether loading `spec` beside others is predicted to fit: at most 80 % of what is free on one card or on all
/// (sched.go:547-560). Layers that the request names are taken at its word, and without a card only the number of
/// models counts.
pub(crate) fn fits(spec: &Spec, options: &RunnerOptions, free: &[u64]) -> bool {
    let predicted = spec.predicted(options.context_of(spec));
    options.layers.is_some()
        || free.is_empty()
        || single(predicted, free).is_some()
        || predicted <= free.iter().sum::<u64>() / 5 * 4
}

/// Where a model's buffers go with so much of each card left: all on one card or on all together, or as many layers as
/// leave a margin on each (1 GiB of a card of 8), the rest in RAM.
pub(crate) fn place(spec: &Spec, options: &RunnerOptions, free: &[u64], card: u64) -> Placement {
    let context = options.context_of(spec);
    let size = spec.memory(context);
    let used = match single(spec.predicted(context), free) {
        Some(one) => one..one + 1,
        None => 0..free.len(),
    };
    let room: u64 = free[used.clone()].iter().sum();
    let margin = card / 8 * used.len() as u64;
    let layers = spec.shape.layers.max(1);
    // The output matrix counts as one more layer.
    let layer = spec.weights.0 / (layers + 1) + spec.kv_cache(context) / layers;
    let on_card = match options.layers {
        _ if free.is_empty() => 0,
        Some(named) => named.min(layers + 1),
        None if size + margin <= room => layers + 1,
        None => (room.saturating_sub(margin + spec.compute_buffer()) / layer.max(1)).min(layers),
    };
    let vram = match on_card {
        0 => 0,
        n if n > layers => size,
        n => n * layer + spec.compute_buffer(),
    }
    .min(size);
    // Over several cards it is spread by what is free on each; what rounding leaves over goes to the first.
    let mut on = OnCards::default();
    let share = |at: usize| u128::from(vram) * u128::from(free[at]) / u128::from(room.max(1));
    for at in used.clone() {
        on[at] = u64::try_from(share(at)).unwrap_or(vram);
    }
    let spread: u64 = on.iter().sum();
    if let Some(first) = on.get_mut(used.start) {
        *first += vram.saturating_sub(spread);
    }
    Placement { size, vram, on }
}

/// What the choice of a victim looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) keep_alive: i64,
    pub(crate) blob: &'a str,
    pub(crate) idle: bool,
}

/// Who is evicted: by `keep_alive` ascending (as an unsigned number), then by blob path; the first idle one, else the
/// first. Neither the last use nor the size counts.
pub(crate) fn victim(candidates: &[Candidate<'_>]) -> Option<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&at| (candidates[at].keep_alive.cast_unsigned(), candidates[at].blob));
    order.iter().copied().find(|&at| candidates[at].idle).or(order.first().copied())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::catalogue::demo;
    use super::*;
    use crate::sim::keep_alive::FOREVER;

    const CARD: u64 = 8 << 30;

    fn options(value: &Value) -> RunnerOptions {
        RunnerOptions::read(Some(value)).unwrap()
    }

    #[test]
    fn victims_go_by_keep_alive_then_blob_and_idle_before_busy() {
        let of = |keep_alive, blob, idle| Candidate { keep_alive, blob, idle };
        assert_eq!(victim(&[of(300, "b", true), of(300, "a", true), of(400, "0", true)]), Some(1));
        assert_eq!(
            victim(&[of(FOREVER, "a", true), of(60, "z", false)]),
            Some(0),
            "an idle pin before a busy one"
        );
        assert_eq!(victim(&[of(FOREVER, "a", false), of(60, "z", false)]), Some(1));
        assert_eq!(
            victim(&[of(i64::MIN, "a", true), of(FOREVER, "z", true)]),
            Some(1),
            "as unsigned numbers"
        );
        assert_eq!(victim(&[]), None);
    }

    #[test]
    fn the_largest_model_lies_partly_in_ram_and_the_others_on_the_card() {
        let specs = demo(1);
        let free = RunnerOptions::default();
        let qwen = place(&specs[1], &free, &[CARD], CARD);
        assert_eq!(qwen.vram, qwen.size);
        let deepseek = place(&specs[2], &free, &[CARD], CARD);
        assert!(deepseek.vram < deepseek.size && deepseek.vram > CARD / 2, "{deepseek:?}");
        assert!(deepseek.vram + CARD / 8 <= CARD);
        assert_eq!(place(&specs[1], &options(&json!({"num_gpu": 0})), &[CARD], CARD).vram, 0);
    }

    #[test]
    fn a_second_large_model_does_not_fit_beside_the_first() {
        let specs = demo(16);
        let (card, free) = (CARD / 16, RunnerOptions::default());
        let left = card - place(&specs[0], &free, &[card], card).vram;
        assert!(!fits(&specs[1], &free, &[left]));
        assert!(fits(&specs[3], &free, &[left]) && fits(&specs[4], &free, &[left]));
    }

    #[test]
    fn of_several_cards_the_freest_that_is_enough_takes_a_model_else_all_share_it() {
        let specs = demo(1);
        let none = RunnerOptions::default();
        let on = |spec, free: &[u64]| place(spec, &none, free, CARD).on;
        let qwen = place(&specs[1], &none, &[CARD], CARD).size;
        assert_eq!(on(&specs[1], &[CARD - 1, CARD, 0]), [0, qwen, 0, 0]);
        assert_eq!(on(&specs[1], &[CARD, CARD]), [qwen, 0, 0, 0]);
        let deepseek = place(&specs[2], &none, &[CARD, CARD], CARD);
        assert_eq!((deepseek.vram, deepseek.on[0]), (deepseek.size, deepseek.size.div_ceil(2)));
        assert!(fits(&specs[2], &none, &[CARD, CARD]) && !fits(&specs[2], &none, &[CARD]));
        assert_eq!(place(&specs[1], &none, &[], CARD).vram, 0);
        assert!(fits(&specs[2], &none, &[]), "without a card nothing is too large");
    }

    #[test]
    fn the_default_context_grows_with_the_cards() {
        assert_eq!([8, 23, 46, 47].map(|gib| automatic_context(gib << 30)), [4096, 32_768, 32_768, 262_144]);
    }

    #[test]
    fn only_options_that_change_the_runner_force_a_reload() {
        let qwen = &demo(1)[1];
        let default = RunnerOptions::default();
        let none = options(&json!({"temperature": 0.1, "seed": 4}));
        assert!(default.serve(&none, qwen));
        assert!(default.serve(&options(&json!({"num_ctx": 4096})), qwen));
        assert!(!default.serve(&options(&json!({"num_ctx": 2048})), qwen));
        assert!(!options(&json!({"num_ctx": 2048})).serve(&none, qwen), "automatic against explicit");
        assert!(options(&json!({"num_ctx": 40_000})).serve(&options(&json!({"num_ctx": 50_000})), qwen));
        assert!(!default.serve(&options(&json!({"num_batch": 256})), qwen));
        assert!(options(&json!({"num_gpu": 5})).serve(&options(&json!({"num_gpu": -1})), qwen));
    }

    #[test]
    fn an_option_of_the_wrong_type_is_refused() {
        assert_eq!(
            RunnerOptions::read(Some(&json!({"num_ctx": "big"}))),
            Err("option \"num_ctx\" must be of type integer".to_owned())
        );
    }
}

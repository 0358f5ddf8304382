//! The counters: all that the journal ever counted of the server.

use super::catalogue as of;
use super::exposition::{Exposition, Labels, Value};
use super::name;
use crate::residency::bytes::Bytes;
use crate::residency::name::ModelName;
use crate::residency::tally::{CLASSES, Count, What};

/// Of so many models each has its own series; those of which the journal heard later are counted together, as
/// [`OTHERS`].
pub const MODELS: usize = 500;
/// No model has that name: a name has no brackets.
pub const OTHERS: &str = "(others)";

/// Says all counts; they come in the order in which the journal first heard of their models, so that what a
/// model is counted as never changes.
pub(super) fn put(all: &mut Exposition, tally: &[Count], server: &str) {
    let mut known: Vec<&ModelName> = Vec::new();
    for count in tally {
        if let Some(model) = model_of(&count.what).filter(|model| known.last() != Some(model)) {
            known.push(model);
        }
        let is_own = known.len() <= MODELS;
        let labels = |more: &[(&'static str, &str)]| -> Labels {
            let model =
                model_of(&count.what).map(|model| if is_own { name(model) } else { OTHERS.to_owned() });
            let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
            let server = std::iter::once(("server", server.to_owned()));
            server.chain(model.map(|model| ("model", model))).chain(more).collect()
        };
        let times = Value::Whole(count.times);
        let seconds = Value::Real(count.took.as_secs_f64());
        match &count.what {
            What::Swap { ours, end, from, class, .. } => {
                let by = if *ours { "resident" } else { "others" };
                all.add(&of::SWAPS, labels(&[("by", by), ("result", end.word())]), times);
                if count.read > Bytes::ZERO {
                    all.add(&of::READ, labels(&[]), Value::Whole(count.read.0));
                }
                if let Some(class) = class {
                    all.add(&of::WAITED, labels(&[("by", by)]), seconds);
                    let series = vec![("server", server.to_owned()), ("from", from.word().to_owned())];
                    all.add(&of::DURATION, series, in_class(*class, count));
                }
            }
            What::Left { how, .. } => all.add(&of::UNLOADS, labels(&[("how", how.word())]), times),
            What::Used { .. } => all.add(&of::USES, labels(&[]), times),
            What::Phase => {
                all.add(&of::PHASES, labels(&[]), times);
                all.add(&of::PHASE_WAIT, labels(&[]), seconds);
            }
            What::Foreseen { right } => {
                let result = if *right { "right" } else { "wrong" };
                all.add(&of::FORECASTS, labels(&[("result", result)]), times);
            }
        }
    }
}

fn model_of(what: &What) -> Option<&ModelName> {
    match what {
        What::Swap { model, .. } | What::Left { model, .. } | What::Used { model } => Some(model),
        What::Phase | What::Foreseen { .. } => None,
    }
}

fn in_class(class: usize, count: &Count) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "the classes are small numbers")]
    let bounds = CLASSES.iter().map(|millis| *millis as f64 / 1000.0).chain([f64::INFINITY]);
    let classes = bounds.enumerate().map(|(at, most)| (most, if at == class { count.times } else { 0 }));
    Value::Classes { classes: classes.collect(), sum: count.took.as_secs_f64() }
}

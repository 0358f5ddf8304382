//! The server's answers: any bytes are read or refused; what is read keeps the bounds that all code relies on.

use std::fmt::Debug;

use resident::ollama::wire::{Answer, Details, ErrorBody, Ps, Shown, Tags, Version, read};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::safe;

/// No server has more.
const MODELS: usize = 10_000;
const CONTEXT: u64 = 1 << 40;

pub fn holds(data: &[u8]) {
    let text = safe::text(data);
    if let Some(ps) = round::<Ps>(&text) {
        assert!(ps.models.len() <= MODELS);
        for model in &ps.models {
            assert!(model.size_vram <= model.size && is_signed(model.size));
            assert!(!model.name.is_empty() && !model.model.is_empty());
            assert!(model.context_length.is_none_or(|context| context <= CONTEXT));
            details(&model.details);
        }
    }
    if let Some(tags) = round::<Tags>(&text) {
        assert!(tags.models.len() <= MODELS);
        for model in &tags.models {
            assert!(is_signed(model.size) && !model.name.is_empty() && !model.model.is_empty());
            assert!(model.details.context_length.is_none_or(|context| context <= CONTEXT));
            assert!(model.capabilities.len() <= 64);
            details(&model.details);
        }
    }
    if let Some(shown) = round::<Shown>(&text) {
        assert!(shown.model_info.len() <= 4096 && shown.capabilities.len() <= 64);
        details(&shown.details);
    }
    if let Some(answer) = round::<Answer>(&text) {
        let numbers =
            [answer.total_duration, answer.load_duration, answer.eval_count, answer.prompt_eval_count];
        assert!(numbers.into_iter().flatten().all(is_signed));
    }
    // One object is as good as another: each field is optional.
    let read = [round::<Version>(&text).is_some(), round::<ErrorBody>(&text).is_some()];
    assert_eq!(read[0], read[1]);
}

/// What is read, if it is; written and read again it is the same.
fn round<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = match read(text) {
        Ok(value) => value,
        Err(error) => {
            // Never more than a line, however long the answer.
            assert!(error.to_string().len() < 500, "{error}");
            return None;
        }
    };
    let written = serde_json::to_string(&value).expect("JSON");
    let again = read::<T>(&written).expect("what was written");
    let [once, twice] = [&value, &again].map(|value| serde_json::to_value(value).expect("JSON"));
    assert!(is_same(&once, &twice), "{once}\n{twice}");
    Some(value)
}

/// Whether two are the same, but for the last digit of a fraction: JSON is read fast, not to the last bit.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(key, one)| other.get(key).is_some_and(|other| is_same(one, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap_or(f64::NAN));
            (one - other).abs() <= one.abs() * 1e-15 + f64::MIN_POSITIVE
        }
        _ => one == other,
    }
}

fn details(details: &Details) {
    assert!(details.families.as_ref().is_none_or(|families| families.len() <= 64));
    assert!(details.embedding_length.is_none_or(is_signed));
}

fn is_signed(number: u64) -> bool {
    i64::try_from(number).is_ok()
}

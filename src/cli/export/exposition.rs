//! The exposition: samples gathered by metric, and written in the two text forms that are scraped.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::catalogue::{ALL, Family, Kind};

/// The labels of a series; each name once.
pub type Labels = Vec<(&'static str, String)>;

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Something counted.
    Whole(u64),
    /// Something measured.
    Real(f64),
    /// Counts by size: the upper bound of each class with how many are in it; the last bound is infinite.
    Classes {
        /// Not cumulative.
        classes: Vec<(f64, u64)>,
        /// All values together.
        sum: f64,
    },
}

/// In which form it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// The text format of Prometheus, which all that read it know.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Form {
    /// What the answer of a server says of it.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Prometheus => prometheus_text::CONTENT_TYPE,
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All samples of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition(BTreeMap<&'static str, BTreeMap<Labels, Value>>);

impl Exposition {
    /// Says the value of a series, unless it was said already: two models whose names are cut to the same are
    /// one.
    pub(super) fn put(&mut self, family: &'static Family, labels: Labels, value: Value) {
        self.0.entry(family.name).or_default().entry(labels).or_insert(value);
    }

    /// Says the value of a series where it is known.
    pub(super) fn put_if(&mut self, family: &'static Family, labels: &Labels, value: Option<Value>) {
        if let Some(value) = value {
            self.put(family, labels.clone(), value);
        }
    }

    /// Adds to a series.
    pub(super) fn add(&mut self, family: &'static Family, labels: Labels, value: Value) {
        match self.0.entry(family.name).or_default().get_mut(&labels) {
            Some(sum) => sum.add(value),
            None => self.put(family, labels, value),
        }
    }

    /// What was said of a series.
    pub fn get(&self, name: &str, labels: &[(&'static str, &str)]) -> Option<&Value> {
        let labels: Labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.0.get(name)?.get(&labels)
    }

    /// The text of it.
    pub fn text(self, form: Form) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        match form {
            Form::Prometheus => prometheus_text::encode(&mut written, &registry)?,
            Form::OpenMetrics => text::encode(&mut written, &registry)?,
        }
        Ok(written)
    }
}

impl Value {
    fn add(&mut self, other: Value) {
        match (self, other) {
            (Value::Whole(sum), Value::Whole(more)) => *sum = sum.saturating_add(more),
            (Value::Real(sum), Value::Real(more)) => *sum += more,
            (Value::Classes { classes, sum }, Value::Classes { classes: more, sum: and }) => {
                *sum += and;
                for ((_, count), (_, more)) in classes.iter_mut().zip(more) {
                    *count = count.saturating_add(more);
                }
            }
            // A series has one type.
            _ => {}
        }
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Value {
        Value::Whole(u64::from(is))
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in ALL {
            // A metric of which nothing is known is not there at all.
            let Some(series) = self.0.get(family.name) else { continue };
            let unit = (!family.unit.is_empty()).then(|| Unit::Other(family.unit.to_owned()));
            let kind = match family.kind {
                Kind::Gauge => MetricType::Gauge,
                Kind::Counter => MetricType::Counter,
                Kind::Info => MetricType::Info,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut encoder = encoder.encode_descriptor(stem(family), family.help, unit.as_ref(), kind)?;
            for (labels, value) in series {
                write(&mut encoder, family.kind, labels, value)?;
            }
        }
        Ok(())
    }
}

/// The name without what the encoder puts behind it.
fn stem(family: &Family) -> &str {
    let ending = match family.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    let name = family.name.strip_suffix(ending).unwrap_or(family.name);
    let unit = name.strip_suffix(family.unit).and_then(|name| name.strip_suffix('_'));
    unit.filter(|_| !family.unit.is_empty()).unwrap_or(name)
}

fn write(encoder: &mut MetricEncoder<'_>, kind: Kind, labels: &Labels, value: &Value) -> fmt::Result {
    if kind == Kind::Info {
        return encoder.encode_info(labels);
    }
    let mut series = encoder.encode_family(labels)?;
    match (kind, value) {
        (Kind::Counter, Value::Whole(whole)) => series.encode_counter::<NoLabelSet, _, u64>(whole, None),
        (Kind::Counter, Value::Real(real)) => series.encode_counter::<NoLabelSet, _, u64>(real, None),
        (_, Value::Whole(whole)) => series.encode_gauge(whole),
        (_, Value::Real(real)) => series.encode_gauge(real),
        (_, Value::Classes { classes, sum }) => {
            let all = classes.iter().map(|(_, count)| count).sum();
            series.encode_histogram::<NoLabelSet>(*sum, all, classes, None)
        }
    }
}

//! What `export` says: read by an independent parser, held against the conventions of Prometheus as `promtool
//! check metrics` does, and against the dashboard for Grafana.

use std::collections::{BTreeMap, BTreeSet};

use openmetrics_parser::openmetrics::parse_openmetrics;
use openmetrics_parser::prometheus::parse_prometheus;
use openmetrics_parser::{MetricNumber, OpenMetricsType, OpenMetricsValue, PrometheusType};
use resident::cli::export::catalogue::{ALL, Family, Kind};
use resident::cli::export::exposition::{Form, Value};
use resident::residency::bytes::Bytes;
use resident::residency::host::Cards;
use resident::residency::name::ModelName;
use resident::residency::snapshot::{Reach, Snapshot, State};
use resident::residency::tier::{Cached, Tiers};

use crate::cli_fake::{in_vram, name, noon, on_disk};
use crate::export_world::{SERVER, all_known, everything, look, swap, with_models, write};

const DASHBOARD: &str = include_str!("../../assets/grafana/resident.json");

/// Series by metric and labels, as the parser understood them.
type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn number(number: &MetricNumber) -> f64 {
    number.as_f64()
}

/// The text without what this parser does not know: units of histograms, which the standard has too (only infos
/// and state sets have none).
fn without_histograms_unit(text: &str) -> String {
    let unit = "# UNIT resident_swap_duration_seconds seconds";
    text.lines().filter(|line| *line != unit).flat_map(|line| [line, "\n"]).collect()
}

/// All series of an OpenMetrics text; each one once, or the parser refuses the text.
fn read(text: &str) -> Series {
    let text = without_histograms_unit(text);
    let parsed = parse_openmetrics(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut series = Series::new();
    for (family, all) in &parsed.families {
        for sample in all.iter_samples() {
            let names = all.get_label_names().iter().cloned();
            let labels: BTreeMap<String, String> = sample
                .get_labelset()
                .map(|labels| {
                    names.map(|n| (n.clone(), labels.get_label_value(&n).unwrap().to_owned())).collect()
                })
                .unwrap_or_default();
            let value = match &sample.value {
                OpenMetricsValue::Gauge(value) => number(value),
                OpenMetricsValue::Counter(counter) => number(&counter.value),
                OpenMetricsValue::Info => 1.0,
                OpenMetricsValue::Histogram(histogram) => {
                    #[expect(clippy::cast_precision_loss, reason = "a small count")]
                    let count = histogram.count.unwrap() as f64;
                    count
                }
                other => panic!("{other:?}"),
            };
            let known = series.insert((family.clone(), labels), value);
            assert_eq!(known, None, "{family} has a series twice");
        }
    }
    series
}

/// The name of a family in OpenMetrics.
fn stem(family: &Family) -> &str {
    match family.kind {
        Kind::Counter => family.name.strip_suffix("_total").unwrap(),
        Kind::Info => family.name.strip_suffix("_info").unwrap(),
        Kind::Gauge | Kind::Histogram => family.name,
    }
}

#[tokio::test]
async fn an_independent_parser_reads_it_and_finds_every_metric_of_the_catalogue() {
    let text = everything(noon(), Form::OpenMetrics).await;
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let parsed =
        parse_openmetrics(&without_histograms_unit(&text)).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let found: BTreeSet<&str> = parsed.families.keys().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = ALL.iter().map(|family| stem(family)).collect();
    assert_eq!(found, wanted);
    for family in ALL {
        let told = &parsed.families[stem(family)];
        let kind = match family.kind {
            Kind::Gauge => OpenMetricsType::Gauge,
            Kind::Counter => OpenMetricsType::Counter,
            Kind::Info => OpenMetricsType::Info,
            Kind::Histogram => OpenMetricsType::Histogram,
        };
        let (typed, help, unit) = (&told.family_type, told.help.as_str(), told.unit.as_str());
        let wanted = if family.kind == Kind::Histogram { "" } else { family.unit };
        assert_eq!((typed, help, unit), (&kind, family.help, wanted), "{}", family.name);
        let line = format!("# UNIT {} {}\n", stem(family), family.unit);
        assert_eq!(text.contains(&line), !family.unit.is_empty(), "{}", family.name);
    }
}

#[tokio::test]
async fn the_text_format_says_the_same_under_the_names_that_prometheus_keeps() {
    let text = everything(noon(), Form::Prometheus).await;
    // The format knows no end mark and no units.
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    let parsed = parse_prometheus(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let found: BTreeSet<&str> = parsed.families.keys().map(String::as_str).collect();
    assert_eq!(found, ALL.iter().map(|family| family.name).collect());
    for family in ALL {
        let kind = match family.kind {
            Kind::Gauge | Kind::Info => PrometheusType::Gauge,
            Kind::Counter => PrometheusType::Counter,
            Kind::Histogram => PrometheusType::Histogram,
        };
        let told = &parsed.families[family.name];
        assert_eq!((&told.family_type, told.help.as_str()), (&kind, family.help), "{}", family.name);
    }
    let lines = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(lines(&text), lines(&everything(noon(), Form::OpenMetrics).await));
}

/// What `promtool check metrics` would say of a metric.
fn lint(family: &Family, labels: &BTreeSet<String>) -> Vec<String> {
    const BASE: [&str; 9] =
        ["amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "seconds", "volts"];
    const OTHER: [&str; 13] = [
        "minutes",
        "hours",
        "days",
        "weeks",
        "kelvins",
        "fahrenheit",
        "rankine",
        "inches",
        "yards",
        "miles",
        "bits",
        "calories",
        "percent",
    ];
    const PREFIXES: [&str; 18] = [
        "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi",
        "giga", "gibi", "tera", "tebi", "peta", "pebi",
    ];
    const SHORT: [&str; 14] =
        ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
    let Family { name, kind, unit, help } = family;
    let words: Vec<&str> = name.split('_').collect();
    let mut wrong = Vec::new();
    let mut say = |is_wrong: bool, what: &str| {
        if is_wrong {
            wrong.push(format!("{name}: {what}"));
        }
    };
    let snake = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    say(help.trim().is_empty(), "no help");
    say(!help.ends_with('.') || help.contains('\n'), "its help is no sentence in a line");
    say(!name.starts_with("resident_") || !snake(name), "not snake_case behind resident_");
    say(name.ends_with("_total") != (*kind == Kind::Counter), "_total is for counters, and for all of them");
    say(name.ends_with("_info") != (*kind == Kind::Info), "_info is for infos, and for all of them");
    say(["_bucket", "_count", "_sum", "_created"].iter().any(|end| name.ends_with(end)), "a reserved ending");
    say(words.iter().any(|word| OTHER.contains(word)), "a unit that is no base unit");
    let prefixed =
        |word: &&str| PREFIXES.iter().any(|p| word.strip_prefix(p).is_some_and(|u| BASE.contains(&u)));
    say(words.iter().any(prefixed), "a unit with a prefix");
    say(words[1..].iter().any(|word| SHORT.contains(word)), "a unit that is abbreviated");
    let types = ["counter", "gauge", "summary", "histogram", "untyped"];
    say(words.iter().any(|word| types.contains(word)), "its type is in its name");
    let end = if *kind == Kind::Counter { "_total" } else { "" };
    let ends_with_unit = name.strip_suffix(end).is_some_and(|name| name.ends_with(&format!("_{unit}")));
    say(!unit.is_empty() && !ends_with_unit, "its unit does not end it");
    let has_unit = words.iter().any(|word| BASE.contains(word));
    say(unit.is_empty() && has_unit, "a unit in its name and none said");
    for label in labels {
        say(!snake(label) || label.starts_with("__"), "a label that is not snake_case");
        say(["le", "quantile", "job", "instance"].contains(&label.as_str()), "a label that others set");
    }
    wrong
}

/// The labels of each metric's series.
fn labels_of(series: &Series) -> BTreeMap<&str, BTreeSet<String>> {
    let mut labels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (family, series) in series.keys() {
        labels.entry(family).or_default().extend(series.keys().cloned());
    }
    labels
}

#[tokio::test]
async fn names_keep_the_conventions() {
    let series = read(&everything(noon(), Form::OpenMetrics).await);
    let labels = labels_of(&series);
    let wrong: Vec<String> = ALL.iter().flat_map(|family| lint(family, &labels[stem(family)])).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn conventions_can_be_broken() {
    let family = |name, kind, unit, help| Family { name, kind, unit, help };
    let help = "It says something.";
    for (family, label, wrongs) in [
        (family("resident_swaps", Kind::Counter, "", help), "model", 1),
        (family("resident_loaded_total", Kind::Gauge, "", help), "model", 1),
        (family("resident_wait_milliseconds", Kind::Gauge, "milliseconds", help), "model", 1),
        (family("resident_wait_minutes", Kind::Gauge, "minutes", help), "model", 1),
        (family("resident_size_mb", Kind::Gauge, "mb", help), "model", 1),
        (family("resident_size_bytes", Kind::Gauge, "", help), "model", 1),
        (family("resident_bytes_free", Kind::Gauge, "bytes", help), "model", 1),
        (family("resident_models_count", Kind::Gauge, "", help), "model", 1),
        (family("resident_models_gauge", Kind::Gauge, "", help), "model", 1),
        (family("resident_freeRam", Kind::Gauge, "", help), "model", 1),
        (family("ollama_models", Kind::Gauge, "", help), "model", 1),
        (family("resident_server", Kind::Info, "", help), "model", 1),
        (family("resident_models", Kind::Gauge, "", "models"), "model", 1),
        (family("resident_models", Kind::Gauge, "", help), "modelName", 1),
        (family("resident_models", Kind::Gauge, "", help), "le", 1),
        (family("resident_models", Kind::Gauge, "", help), "model", 0),
    ] {
        let wrong = lint(&family, &BTreeSet::from([label.to_owned()]));
        assert_eq!(wrong.len(), wrongs, "{family:?} {label}: {wrong:?}");
    }
}

/// The value of a series in a look.
async fn value(first: Snapshot, metric: &str, labels: &[(&'static str, &str)]) -> Option<Value> {
    let all = look(first, None).await;
    let labels: Vec<_> = [("server", SERVER)].into_iter().chain(labels.iter().copied()).collect();
    all.get(metric, &labels).cloned()
}

#[tokio::test]
async fn a_look_says_what_is_known_and_never_zero_for_what_is_not() {
    let at = noon();
    let hidden = |mut model: resident::residency::snapshot::Model| {
        model.cached = Cached::Unknown("the kernel hides it".into());
        model.tiers = Tiers { unknown: Bytes(1000), ..Tiers::default() };
        model.state = State::NotLoaded;
        model
    };
    let first = with_models(at, vec![on_disk("a", 1000, 600), hidden(on_disk("b", 1000, 0))]);
    let tier = async |model: &'static str, tier: &'static str| {
        value(first.clone(), "resident_model_tier_bytes", &[("model", model), ("tier", tier)]).await
    };
    assert_eq!(tier("a", "ram").await, Some(Value::Whole(600)));
    assert_eq!(tier("a", "disk").await, Some(Value::Whole(400)));
    assert_eq!(tier("b", "vram").await, Some(Value::Whole(0)));
    assert_eq!((tier("b", "ram").await, tier("b", "disk").await), (None, None));
    // One that cannot be read leaves the sum unknown too.
    let sum = async |tier: &'static str| value(first.clone(), "resident_tier_bytes", &[("tier", tier)]).await;
    assert_eq!((sum("vram").await, sum("ram").await), (Some(Value::Whole(0)), None));

    let mut dark = all_known(at);
    dark.host.ram = None;
    dark.host.cards.as_mut().unwrap().value = Cards::Unknown("no driver".into());
    let text = look(dark, None).await.text(Form::Prometheus).unwrap();
    assert!(!text.contains("resident_ram_") && !text.contains("resident_card_"), "{text}");
    assert!(!text.contains("resident_journal_readable") && !text.contains("_total"), "{text}");
}

#[tokio::test]
async fn files_that_models_share_count_once() {
    let mut first = on_disk("a", 1000, 600);
    let mut second = on_disk("a:other", 1000, 600);
    (first.shared_with, second.shared_with) = (vec![name("a:other")], vec![name("a")]);
    let shared = with_models(noon(), vec![first, second, on_disk("b", 500, 100)]);
    let sum =
        async |tier: &'static str| value(shared.clone(), "resident_tier_bytes", &[("tier", tier)]).await;
    assert_eq!((sum("ram").await, sum("disk").await), (Some(Value::Whole(700)), Some(Value::Whole(800))));
}

#[tokio::test]
async fn without_a_server_it_is_down_and_nothing_is_said_of_its_models() {
    let mut gone = all_known(noon());
    gone.servers[0].reach = Reach::Down { since: gone.at, answers: false, why: "connection refused".into() };
    let text = look(gone, None).await.text(Form::Prometheus).unwrap();
    assert!(text.contains(&format!("resident_up{{server=\"{SERVER}\"}} 0\n")), "{text}");
    assert!(!text.contains("resident_model") && !text.contains("resident_tier"), "{text}");
    assert!(text.contains("resident_ram_size_bytes "), "the machine is there: {text}");
}

#[tokio::test]
async fn hostile_names_are_labels_like_any_other_and_neither_long_nor_many() {
    let at = noon();
    let hostile = "a\"b\\c\nd{e=\"f\"} 1 # EOF\u{1b}[2J日本";
    let long = "m".repeat(5000);
    let mut models: Vec<_> = (0..700).map(|number| on_disk(&format!("model-{number:03}"), 1000, 0)).collect();
    models.push(in_vram(hostile, 1000, resident::residency::expiry::Expiry::Never));
    models.push(in_vram(&long, 1000, resident::residency::expiry::Expiry::Never));
    models.push(in_vram(&format!("{long}2"), 1000, resident::residency::expiry::Expiry::Never));
    let mut first = with_models(at, models);
    first.servers[0].version = Some("9\"\n".repeat(500));
    let text = look(first.clone(), None).await.text(Form::OpenMetrics).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "a control character");
    let series = read(&text);
    let of = |wanted: &'static str| series.iter().filter(move |((family, _), _)| family == wanted);
    let names: BTreeSet<&str> =
        of("resident_model_loaded").map(|((_, labels), _)| labels["model"].as_str()).collect();
    assert!(names.contains("a\"b\\c\u{fffd}d{e=\"f\"} 1 # EOF\u{fffd}[2J日本"), "{names:?}");
    assert!(names.iter().all(|name| name.chars().count() <= 129), "{names:?}");
    // 500 models: the loaded ones first, and two whose names are cut to the same are one.
    assert_eq!((names.len(), of("resident_models").next().unwrap().1), (499, &703.0));
    look(first, None).await.text(Form::Prometheus).map(|text| parse_prometheus(&text).unwrap()).unwrap();
}

#[tokio::test]
async fn the_journals_counts_are_summed_by_what_tells_them_apart() {
    let at = noon();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let happened = |what: Vec<_>| what.into_iter().map(resident::residency::record::Happened::Swap).collect();
    let others = resident::residency::record::SwapRecord { ours: false, ..swap("a", 4_000) };
    write(&path, happened(vec![swap("a", 9_500), swap("a", 500), others, swap("b", 700_000)]), at).await;
    let all = look(all_known(at), Some(path.clone())).await;
    let get = |metric: &str, labels: &[(&'static str, &str)]| {
        let labels: Vec<_> = [("server", SERVER)].into_iter().chain(labels.iter().copied()).collect();
        all.get(metric, &labels).cloned()
    };
    let ready = |model: &'static str, by: &'static str| {
        get("resident_swaps_total", &[("model", model), ("by", by), ("result", "ready")])
    };
    assert_eq!(ready("a", "resident"), Some(Value::Whole(2)));
    assert_eq!((ready("a", "others"), ready("b", "others")), (Some(Value::Whole(1)), None));
    let waited = get("resident_swap_wait_seconds_total", &[("model", "a"), ("by", "resident")]);
    assert_eq!(waited, Some(Value::Real(10.0)));
    assert_eq!(get("resident_swap_read_bytes_total", &[("model", "a")]), Some(Value::Whole(2700)));
    assert_eq!(get("resident_journal_readable", &[]), Some(Value::Whole(1)));
    let text = all.text(Form::OpenMetrics).unwrap();
    let bucket = |le: &str| {
        format!("resident_swap_duration_seconds_bucket{{le=\"{le}\",server=\"{SERVER}\",from=\"disk\"}}")
    };
    for (le, count) in
        [("0.25", 0), ("0.5", 1), ("2.0", 1), ("4.0", 2), ("8.0", 2), ("15.0", 3), ("600.0", 3), ("+Inf", 4)]
    {
        assert!(text.contains(&format!("{} {count}\n", bucket(le))), "{le} {count}\n{text}");
    }
    // What can be read no more is no zero.
    std::fs::write(&path, "no journal").unwrap();
    let text = look(all_known(at), Some(path)).await.text(Form::Prometheus).unwrap();
    assert!(text.contains(&format!("resident_journal_readable{{server=\"{SERVER}\"}} 0\n")), "{text}");
    assert!(!text.contains("_total"), "{text}");
}

#[tokio::test]
async fn of_many_models_the_first_five_hundred_are_counted_each_for_itself() {
    let at = noon();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let used = |number: usize| resident::residency::record::Happened::Used {
        model: ModelName::parse(&format!("model-{number}")).unwrap(),
        idle: None,
    };
    write(&path, (0..510).map(used).collect(), at).await;
    let all = look(all_known(at), Some(path)).await;
    let count_of =
        |model: &str| all.get("resident_model_uses_total", &[("server", SERVER), ("model", model)]);
    assert_eq!(
        (count_of("model-0"), count_of("model-499")),
        (Some(&Value::Whole(1)), Some(&Value::Whole(1)))
    );
    assert_eq!((count_of("model-500"), count_of("(others)")), (None, Some(&Value::Whole(10))));
}

/// What the dashboard does not show, and why.
const NOT_SHOWN: [(&str, &str); 6] = [
    ("resident_build_info", "to join with: group_left(version)"),
    ("resident_server_info", "to join with: group_left(version)"),
    ("resident_model_info", "to join with: group_left(family)"),
    ("resident_model_tier_estimated", "to filter with"),
    ("resident_card_free_bytes", "what is used and all of it are shown"),
    ("resident_journal_readable", "for an alert"),
];

/// All strings of a JSON value under a key, however deep.
fn strings<'a>(value: &'a serde_json::Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(map) => {
            found.extend(map.get(key).and_then(serde_json::Value::as_str));
            map.values().for_each(|value| strings(value, key, found));
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, key, found)),
        _ => {}
    }
}

/// The metrics that a query names.
fn metrics(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("resident_")).collect()
}

/// The metric of a series' name: a histogram has several.
fn family(name: &str) -> Option<&'static Family> {
    ALL.into_iter().find(|family| match family.kind {
        Kind::Histogram => {
            let end = name.strip_prefix(family.name);
            end.is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end))
        }
        _ => family.name == name,
    })
}

#[tokio::test]
async fn the_dashboard_shows_what_is_exported_and_nothing_else() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let series = read(&everything(noon(), Form::OpenMetrics).await);
    let labels = labels_of(&series);
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let (query, legend) =
                (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap());
            assert!(!metrics(query).is_empty(), "{query}");
            for metric in metrics(query) {
                let Some(family) = family(metric) else { panic!("{metric} is not exported: {query}") };
                shown.insert(family.name);
                // Prometheus itself adds the first two; a legend says only what the series have.
                let known = |label: &str| {
                    ["instance", "job", "le"].contains(&label) || labels[stem(family)].contains(label)
                };
                let legends = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
                let by = query.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
                for label in legends.chain(by.flat_map(|by| by.split(", "))) {
                    assert!(known(label), "{metric} has no label {label}: {query}");
                }
                for (label, _) in query.split(['{', ',']).filter_map(|part| part.split_once('=')) {
                    let label = label.trim_end_matches('!');
                    assert!(known(label), "{metric} has no label {label}: {query}");
                }
            }
        }
    }
    let mut variables = Vec::new();
    strings(&dashboard["templating"], "query", &mut variables);
    for metric in variables.into_iter().flat_map(metrics) {
        assert!(family(metric).is_some(), "{metric} is not exported");
    }
    let all: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
    let not_shown: BTreeSet<&str> = NOT_SHOWN.iter().map(|(name, _)| *name).collect();
    assert_eq!(all.difference(&shown).copied().collect::<BTreeSet<_>>(), not_shown);
}

#[test]
fn panels_have_their_own_number_and_place_and_a_sentence() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let place =
        |panel: &serde_json::Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    for (number, panel) in panels.iter().enumerate() {
        let [x, y, w, h] = place(panel);
        assert!(x + w <= 24, "{panel}");
        let overlaps = |other: &&serde_json::Value| {
            let [ox, oy, ow, oh] = place(other);
            x < ox + ow && ox < x + w && y < oy + oh && oy < y + h
        };
        assert_eq!(panels[number + 1..].iter().find(overlaps), None, "{panel}");
        assert!(
            panel["type"] == "row" || panel["description"].as_str().is_some_and(|said| said.ends_with('.'))
        );
    }
}

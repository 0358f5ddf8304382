//! Which form a client wants, by its `Accept` header.

use super::exposition::Form;

/// OpenMetrics where it is named and wanted at least as much as plain text; else the text format of Prometheus.
pub fn form<'a>(accepted: impl Iterator<Item = &'a str>) -> Form {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut weight, mut known) = (1.0, true);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => weight = value.trim().parse().unwrap_or(0.0),
                "version" => known = ["1.0.0", "0.0.1"].contains(&value.trim().trim_matches('"')),
                _ => {}
            }
        }
        match kind.as_str() {
            "application/openmetrics-text" if known => open = open.max(weight),
            "text/plain" | "text/*" | "*/*" => plain = plain.max(weight),
            _ => {}
        }
    }
    if open > 0.0 && open >= plain { Form::OpenMetrics } else { Form::Prometheus }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_goes_to_who_names_it_and_wants_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, wanted) in [
            (prometheus, Form::OpenMetrics),
            ("Application/OpenMetrics-Text", Form::OpenMetrics),
            ("application/openmetrics-text; q=0.2, text/plain; q=0.9", Form::Prometheus),
            ("application/openmetrics-text;q=0", Form::Prometheus),
            ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", Form::Prometheus),
            ("application/openmetrics-text;q=much", Form::Prometheus),
            ("text/html,*/*;q=0.8", Form::Prometheus),
            ("", Form::Prometheus),
        ] {
            assert_eq!(form([accept].into_iter()), wanted, "{accept}");
        }
        assert_eq!(form(std::iter::empty()), Form::Prometheus);
    }
}

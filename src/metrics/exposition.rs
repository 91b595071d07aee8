//! Metrics as the text that Prometheus reads.

use std::collections::HashMap;

use metrics::{Key, Label};
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{
    write_help_line, write_metric_line, write_type_line,
};

use super::{ALL, Kind, Sample, Spread, Value};

/// Samples in Prometheus' text format 0.0.4.
pub fn render(samples: &[Sample]) -> String {
    let mut by_name: HashMap<&str, Vec<&Sample>> = HashMap::new();
    for sample in samples {
        by_name.entry(sample.name).or_default().push(sample);
    }
    let mut text = String::new();
    for definition in ALL {
        let Some(samples) = by_name.remove(definition.name) else { continue };
        let kind = match definition.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        write_help_line(&mut text, definition.name, None, None, definition.help);
        write_type_line(&mut text, definition.name, None, None, kind);
        for sample in samples {
            let labels = labels(sample);
            match &sample.value {
                Value::Number(value) => line(&mut text, sample.name, None, &labels, value),
                Value::Spread(spread) => histogram(&mut text, sample.name, &labels, spread),
            }
        }
    }
    debug_assert!(by_name.is_empty(), "not among the metrics: {:?}", by_name.keys());
    text
}

fn labels(sample: &Sample) -> LabelSet {
    let labels = sample.labels.iter().map(|(name, value)| Label::new(*name, value.clone()));
    let key = Key::from_parts(sample.name, labels.collect::<Vec<_>>());
    LabelSet::from_key_and_global(&key, &Default::default())
}

fn line(
    text: &mut String,
    name: &str,
    suffix: Option<&'static str>,
    labels: &LabelSet,
    value: impl std::fmt::Display,
) {
    write_metric_line(text, name, suffix, labels, None::<(_, &str)>, value, None);
}

fn histogram(text: &mut String, name: &str, labels: &LabelSet, spread: &Spread) {
    let mut bucket = |bound: &str, count| {
        write_metric_line(text, name, Some("bucket"), labels, Some(("le", bound)), count, None);
    };
    for (bound, count) in &spread.buckets {
        bucket(&bound.to_string(), *count);
    }
    bucket("+Inf", spread.count);
    line(text, name, Some("sum"), labels, spread.sum);
    line(text, name, Some("count"), labels, spread.count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_histograms_are_rendered() {
        let spread = Spread { buckets: vec![(0.001, 2), (0.01, 3)], count: 4, sum: 1.5 };
        let text = render(&[
            Sample::spread("ringstone_command_seconds", spread).with("command", "get"),
            Sample::new("ringstone_connections", 7),
            Sample::new("ringstone_commands_total", 12).with("command", "a\"b\\c\nd"),
        ]);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "ringstone_commands_total{command=\"a\\\"b\\\\c\\nd\"} 12",
            "ringstone_command_seconds_bucket{command=\"get\",le=\"0.001\"} 2",
            "ringstone_command_seconds_bucket{command=\"get\",le=\"0.01\"} 3",
            "ringstone_command_seconds_bucket{command=\"get\",le=\"+Inf\"} 4",
            "ringstone_command_seconds_sum{command=\"get\"} 1.5",
            "ringstone_command_seconds_count{command=\"get\"} 4",
            "ringstone_connections 7",
        ];
        assert_eq!(lines, expected);
        assert!(text.contains("# TYPE ringstone_command_seconds histogram\n"), "{text}");
        assert!(text.contains("# HELP ringstone_connections Connections open.\n"), "{text}");
    }
}

//! Every metric is in the README and on the dashboard or in the alerts, and these name no other.

use std::collections::BTreeSet;

use ringstone::metrics::{ALL, Kind};

use crate::expressions;

fn names() -> BTreeSet<String> {
    ALL.iter().map(|metric| metric.name.to_owned()).collect()
}

fn histograms() -> BTreeSet<String> {
    let histograms = ALL.iter().filter(|metric| metric.kind == Kind::Histogram);
    histograms.map(|metric| metric.name.to_owned()).collect()
}

/// The metrics that a file in `grafana` names.
fn named_in(file: &str) -> BTreeSet<String> {
    expressions::metrics(&crate::read(&format!("grafana/{file}")), &histograms())
}

#[test]
fn every_metric_is_looked_at() {
    let looked_at = &named_in("ringstone.json") | &named_in("alerts.yml");
    let forgotten: Vec<String> = names().difference(&looked_at).cloned().collect();
    assert!(forgotten.is_empty(), "neither on the dashboard nor in the alerts: {forgotten:?}");
}

#[test]
fn dashboard_and_alerts_use_metrics_that_there_are() {
    let known = names();
    for file in ["ringstone.json", "alerts.yml", "alerts_test.yml"] {
        let unknown: Vec<String> = named_in(file).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "grafana/{file}: {unknown:?}");
    }
}

/// The README's table, made from the list of metrics.
fn table() -> String {
    let mut text = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for metric in ALL {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (labels, help) = (labels.join(" "), metric.help);
        text.push_str(&format!("| `{}` | {kind} | {labels} | {help} |\n", metric.name));
    }
    text
}

#[test]
fn the_readme_lists_the_metrics() {
    crate::check_readme("metrics", &table());
}

//! Property: Prometheus's own tool finds nothing wrong with the rules and the metrics, and every alert
//! has a case in which it fires.

use crate::common::http;
use crate::prometheus::{file, is_here, promtool};
use crate::servers;

#[test]
fn the_rules_are_well_formed_and_do_what_their_cases_say() {
    if !is_here() {
        return;
    }
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
}

#[test]
fn every_alert_has_a_case() {
    let read = |path| std::fs::read_to_string(file(path)).unwrap();
    let (rules, cases) = (read("grafana/alerts.yml"), read("grafana/alerts_test.yml"));
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let fires = format!("alertname=\"{alert}\", instance=\"sick\"");
        assert!(cases.contains(&fires), "{alert} fires in no case of alerts_test.yml");
    }
}

#[test]
fn a_scrape_is_as_prometheus_wants_it() {
    if !is_here() {
        return;
    }
    for server in servers() {
        let mut conn = server.connect();
        conn.command("SET a 1");
        conn.command("GET a");
        let (status, text) = http::get(server.metrics_address(), "/metrics").unwrap();
        assert_eq!(status, 200);
        promtool(&["check", "metrics"], &text);
    }
}

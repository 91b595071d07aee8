//! The cluster's state, from the JSON that FoundationDB reports about itself.
//!
//! Parts of the report may be missing, and are during a recovery; what is not there is not shown.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

/// The special key whose value is the report.
pub const STATUS_KEY: &[u8] = b"\xff\xff/status/json";

/// One report, or that there was none.
#[derive(Debug)]
pub struct Report {
    at: Instant,
    /// Why there is no report.
    problem: Option<String>,
    status: Value,
}

impl Report {
    /// Before the first.
    pub fn none(at: Instant) -> Self {
        Self { at, problem: None, status: Value::Null }
    }

    /// The cluster did not answer.
    pub fn failed(at: Instant, cause: String) -> Self {
        Self { at, problem: Some(cause), status: Value::Null }
    }

    /// Reads a report.
    pub fn parse(json: &[u8], at: Instant) -> Result<Self, String> {
        let status: Value = serde_json::from_slice(json)
            .map_err(|error| format!("the cluster's status is not JSON: {error}"))?;
        Ok(Self { at, problem: None, status })
    }

    fn text(&self, path: &str) -> Option<String> {
        match self.status.pointer(path)? {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn number(&self, path: &str) -> Option<f64> {
        self.status.pointer(path)?.as_f64()
    }

    fn milliseconds(&self, path: &str) -> Option<String> {
        self.number(path).map(|seconds| format!("{:.3}", seconds * 1e3))
    }

    fn is_available(&self) -> Option<bool> {
        self.status.pointer("/client/database_status/available")?.as_bool()
    }

    /// Why nothing can be written, if so.
    pub fn failure(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(format!("the FoundationDB cluster does not answer: {problem}"));
        }
        if self.is_available() != Some(false) {
            return None;
        }
        let reason = self
            .text("/cluster/recovery_state/description")
            .or_else(|| self.text("/client/messages/0/description"))
            .or_else(|| self.text("/cluster/messages/0/description"));
        let reason = reason.map_or(String::new(), |reason| format!(": {}", reason.trim()));
        Some(format!("the FoundationDB database is not available{reason}"))
    }

    /// The versions of the cluster's servers, from the oldest.
    fn versions(&self) -> Option<String> {
        let processes = self.status.pointer("/cluster/processes")?.as_object()?;
        let versions: BTreeSet<&str> =
            processes.values().filter_map(|process| process.get("version")?.as_str()).collect();
        Some(versions.into_iter().collect::<Vec<_>>().join(","))
    }

    fn processes(&self) -> Option<usize> {
        Some(self.status.pointer("/cluster/processes")?.as_object()?.len())
    }

    /// Tags that are throttled, by the cluster and by its operators.
    fn throttled_tags(&self) -> Option<u64> {
        let tags = self.status.pointer("/cluster/qos/throttled_tags")?;
        let count = |kind: &str| {
            let count = tags.pointer(&format!("/{kind}/count")).and_then(Value::as_u64);
            count.unwrap_or(0)
        };
        Some(count("auto") + count("manual"))
    }

    /// The report as named texts for `INFO`.
    pub fn texts(&self, now: Instant) -> Vec<(&'static str, String)> {
        let mut texts = Vec::new();
        let mut add = |name, text: Option<String>| texts.extend(text.map(|text| (name, text)));
        let available = match (&self.problem, self.is_available()) {
            (Some(_), _) => "no",
            (None, Some(true)) => "yes",
            (None, Some(false)) => "no",
            (None, None) => "unknown",
        };
        add("available", Some(available.to_owned()));
        add("problem", self.failure());
        add("healthy", self.text("/client/database_status/healthy"));
        add("locked", self.text("/cluster/database_lock_state/locked"));
        add("recovery_state", self.text("/cluster/recovery_state/name"));
        add("data_state", self.text("/cluster/data/state/name"));
        add("data_moving_bytes", self.text("/cluster/data/moving_data/in_flight_bytes"));
        add("server_versions", self.versions().filter(|versions| !versions.is_empty()));
        add("processes", self.processes().map(|count| count.to_string()));
        add("redundancy", self.text("/cluster/configuration/redundancy_mode"));
        add("storage_engine", self.text("/cluster/configuration/storage_engine"));
        let probe = "/cluster/latency_probe";
        add("read_probe_ms", self.milliseconds(&format!("{probe}/read_seconds")));
        add("commit_probe_ms", self.milliseconds(&format!("{probe}/commit_seconds")));
        let start = self.milliseconds(&format!("{probe}/transaction_start_seconds"));
        add("transaction_start_probe_ms", start);
        add("limited_by", self.text("/cluster/qos/performance_limited_by/name"));
        let limit = self.number("/cluster/qos/transactions_per_second_limit");
        add("transactions_per_second_limit", limit.map(|limit| format!("{limit:.0}")));
        add("throttled_tags", self.throttled_tags().map(|count| count.to_string()));
        add("report_age_ms", Some(now.saturating_duration_since(self.at).as_millis().to_string()));
        texts
    }

    /// The report as named figures for metrics.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        let mut figures = Vec::new();
        let mut add = |name, figure: Option<u64>| figures.extend(figure.map(|f| (name, f)));
        let available = self.problem.is_none().then(|| self.is_available()).flatten();
        add("cluster_available", Some(u64::from(available == Some(true))));
        let us = |name: &str| {
            let seconds = self.number(&format!("/cluster/latency_probe/{name}_seconds"));
            seconds.map(|seconds| (seconds * 1e6) as u64)
        };
        add("cluster_read_probe_us", us("read"));
        add("cluster_commit_probe_us", us("commit"));
        add("cluster_transaction_start_probe_us", us("transaction_start"));
        add("cluster_processes", self.processes().map(|count| count as u64));
        add("cluster_throttled_tags", self.throttled_tags());
        figures
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    const HEALTHY: &str = r#"{
        "client": {"database_status": {"available": true, "healthy": true}, "messages": []},
        "cluster": {
            "configuration": {"redundancy_mode": "double", "storage_engine": "ssd-2"},
            "data": {"state": {"healthy": true, "name": "healthy"},
                     "moving_data": {"in_flight_bytes": 0}},
            "database_lock_state": {"locked": false},
            "latency_probe": {"read_seconds": 0.0005, "commit_seconds": 0.00345,
                              "transaction_start_seconds": 0.001},
            "processes": {"a": {"version": "7.3.79"}, "b": {"version": "7.3.79"},
                          "c": {"version": "7.3.77"}},
            "qos": {"performance_limited_by": {"name": "workload"},
                    "throttled_tags": {"auto": {"count": 2}, "manual": {"count": 1}},
                    "transactions_per_second_limit": 123456.7},
            "recovery_state": {"name": "fully_recovered"}
        }
    }"#;

    #[test]
    fn a_healthy_cluster_is_described() {
        let at = clock::monotonic();
        let report = Report::parse(HEALTHY.as_bytes(), at).unwrap();
        assert_eq!(report.failure(), None);
        let texts = report.texts(at + Duration::from_millis(1500));
        let text = |name| {
            let found = texts.iter().find(|(other, _)| *other == name);
            found.map(|(_, text)| text.as_str())
        };
        for (name, expected) in [
            ("available", "yes"),
            ("healthy", "yes"),
            ("locked", "no"),
            ("recovery_state", "fully_recovered"),
            ("data_state", "healthy"),
            ("data_moving_bytes", "0"),
            ("server_versions", "7.3.77,7.3.79"),
            ("processes", "3"),
            ("redundancy", "double"),
            ("storage_engine", "ssd-2"),
            ("read_probe_ms", "0.500"),
            ("commit_probe_ms", "3.450"),
            ("transaction_start_probe_ms", "1.000"),
            ("limited_by", "workload"),
            ("transactions_per_second_limit", "123457"),
            ("throttled_tags", "3"),
            ("report_age_ms", "1500"),
        ] {
            assert_eq!(text(name), Some(expected), "{name}");
        }
        assert_eq!(text("problem"), None);
        assert!(report.figures().contains(&("cluster_available", 1)));
        assert!(report.figures().contains(&("cluster_commit_probe_us", 3450)));
    }

    #[test]
    fn an_unavailable_one_says_why() {
        let json = r#"{"client": {"database_status": {"available": false}},
            "cluster": {"recovery_state": {"description": "Waiting for logs. "}}}"#;
        let at = clock::monotonic();
        let report = Report::parse(json.as_bytes(), at).unwrap();
        let problem = "the FoundationDB database is not available: Waiting for logs.";
        assert_eq!(report.failure().as_deref(), Some(problem));
        assert!(report.texts(at).contains(&("problem", problem.to_owned())));
        let silent = Report::failed(at, "Operation timed out".to_owned());
        let problem = "the FoundationDB cluster does not answer: Operation timed out";
        assert_eq!(silent.failure().as_deref(), Some(problem));
        assert!(silent.figures().contains(&("cluster_available", 0)));
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let at = clock::monotonic();
        let report = Report::parse(b"{}", at).unwrap();
        assert_eq!(report.failure(), None);
        let names: Vec<&str> = report.texts(at).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["available", "report_age_ms"]);
        assert!(Report::parse(b"{", at).is_err());
        assert_eq!(Report::none(at).failure(), None);
    }
}

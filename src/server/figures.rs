//! The process as the metrics endpoint sees it.

use std::sync::atomic::Ordering;

use crate::command::Server;
use crate::command::stats::{ERROR_KINDS, registry};
use crate::metrics::{Figure, Metrics, Source};

/// The names of all commands, by number.
pub(super) fn command_names() -> Vec<&'static str> {
    registry().specs().iter().map(|spec| spec.name).collect()
}

impl Source for Server {
    fn attach(&self, metrics: Metrics) {
        self.stats.set_metrics(metrics);
    }

    fn metrics(&self) -> Option<&Metrics> {
        self.stats.metrics()
    }

    fn figures(&self) -> Vec<Figure> {
        let totals = self.stats.since_start();
        let mut figures = vec![
            Figure::new("ringstone_connections", self.clients_len() as u64),
            Figure::new("ringstone_connections_accepted_total", totals.received),
            Figure::new("ringstone_connections_rejected_total", totals.rejected),
            Figure::of("ringstone_tls_handshakes_total", ("kind", "full"), totals.tls_full),
            Figure::of("ringstone_tls_handshakes_total", ("kind", "resumed"), totals.tls_resumed),
            Figure::new("ringstone_tls_handshake_failures_total", totals.tls_failed),
            Figure::new("ringstone_batches_total", totals.batches),
            Figure::new("ringstone_received_bytes_total", totals.bytes_in),
            Figure::new("ringstone_sent_bytes_total", totals.bytes_out),
            Figure::new("ringstone_keyspace_hits_total", totals.hits),
            Figure::new("ringstone_keyspace_misses_total", totals.misses),
            Figure::new("ringstone_expired_keys_total", totals.expired),
        ];
        let groups = &self.stats.groups;
        for (name, count) in [
            ("ringstone_group_conflicts_total", &groups.conflicts),
            ("ringstone_group_retries_total", &groups.retries),
            ("ringstone_commits_unknown_total", &groups.unknown),
            ("ringstone_group_timeouts_total", &groups.timeouts),
        ] {
            figures.push(Figure::new(name, count.load(Ordering::Relaxed)));
        }
        for (spec, total) in registry().specs().iter().zip(&totals.commands) {
            if total.calls > 0 {
                let label = ("command", spec.name);
                let failures = "ringstone_command_failures_total";
                figures.push(Figure::of("ringstone_commands_total", label, total.calls));
                figures.push(Figure::of(failures, label, total.failed));
            }
        }
        for (kind, count) in ERROR_KINDS.iter().zip(totals.errors) {
            figures.push(Figure::of("ringstone_errors_total", ("kind", kind), count));
        }
        figures
    }
}

//! The process as the metrics endpoint sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock;
use crate::command::Server;
use crate::command::stats::{ERROR_KINDS, Ending, LoopTotals, Rejection, Totals, registry};
use crate::data::keys;
use crate::limits::{BATCH_COMMANDS_MAX, LIVE_TURN_MS_MAX, READY_DEADLINE, TRANSACTION_BYTES_MAX};
use crate::metrics::{
    ALL, Definition, Durations, Readiness, STAGES, Sample, Source, Spread, Stage, process,
};
use crate::store::{Mode, ReadError};

impl Source for Server {
    fn samples(&self) -> Vec<Sample> {
        let now_ms = self.uptime_ms(clock::monotonic());
        let (totals, loops) = (self.stats.since_start(), self.stats.loop_totals(now_ms));
        let mut samples = commands(&totals);
        samples.extend(batches(&totals, &loops));
        samples.extend(groups(self));
        samples.extend(connections(self, &totals));
        samples.extend(rejections_and_endings(&totals, &loops));
        samples.extend(event_loops(&loops));
        samples.extend(background(self));
        samples.extend(tokens(self, &totals));
        samples.extend(tenants(self));
        samples.extend(self.store.figures().into_iter().filter_map(of_store));
        let up = self.store.write_failure().is_none();
        samples.push(Sample::new("ringstone_store_up", u64::from(up)));
        samples.extend(process::samples(self.started_unix_ms as f64 / 1000.0));
        samples.push(
            Sample::new("ringstone_build_info", 1)
                .with("version", env!("CARGO_PKG_VERSION"))
                .with("store", self.store.name()),
        );
        samples
    }

    fn live(&self) -> Result<(), String> {
        let now_ms = self.uptime_ms(clock::monotonic());
        match self.stats.loop_totals(now_ms).present_turn_ms {
            ms if ms > LIVE_TURN_MS_MAX => Err(format!("an event loop is stuck for {ms} ms")),
            _ => Ok(()),
        }
    }

    fn ready(&self) -> Readiness<'_> {
        Box::pin(async {
            if self.stopping.load(Ordering::Relaxed) {
                return Err("it is stopping".to_owned());
            }
            let mut transaction = Arc::clone(&self.store).transaction();
            transaction.begin(Mode::Read, clock::monotonic() + READY_DEADLINE);
            let key = keys::process(self.process);
            loop {
                let mut outcome = Ok(());
                transaction.read(&mut |snapshot| outcome = snapshot.get(&key).map(drop));
                if outcome == Err(ReadError::Pending) {
                    outcome = std::future::poll_fn(|cx| transaction.poll_fetch(cx)).await;
                    if outcome.is_ok() {
                        return Ok(());
                    }
                }
                match outcome {
                    Ok(()) => return Ok(()),
                    Err(ReadError::Retry) => {
                        std::future::poll_fn(|cx| transaction.poll_retry(cx)).await;
                    }
                    Err(ReadError::Failed(cause)) => return Err(cause),
                    Err(ReadError::TimedOut | ReadError::Pending) => {
                        return Err("the store does not answer in time".to_owned());
                    }
                }
            }
        })
    }
}

fn commands(totals: &Totals) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (spec, total) in registry().specs().iter().zip(&totals.commands) {
        let of = |sample: Sample| sample.with("command", spec.name);
        if total.calls + total.rejected > 0 {
            samples.extend([
                of(Sample::new("ringstone_commands_total", total.calls)),
                of(Sample::new("ringstone_command_failures_total", total.failed)),
                of(Sample::new("ringstone_command_rejections_total", total.rejected)),
            ]);
        }
        if total.calls > 0 {
            let spread = total.latency.spread();
            samples.push(of(Sample::spread("ringstone_command_seconds", spread)));
        }
    }
    let errors = ERROR_KINDS.iter().zip(totals.errors);
    samples.extend(
        errors
            .map(|(kind, count)| Sample::new("ringstone_errors_total", count).with("kind", *kind)),
    );
    samples
}

fn batches(totals: &Totals, loops: &LoopTotals) -> Vec<Sample> {
    let stage = |(stage, spread)| {
        Sample::spread("ringstone_command_stage_seconds", spread).with("stage", stage)
    };
    let mut samples: Vec<Sample> = stages(&loops.stages).map(stage).collect();
    let sizes = loops.batch_commands.spread(BATCH_COMMANDS_MAX as u64);
    samples.extend([
        Sample::new("ringstone_batches_total", totals.batches),
        Sample::spread("ringstone_batch_commands", sizes),
        Sample::new("ringstone_slow_batches_total", loops.slow),
        Sample::new("ringstone_throttled_batches_total", loops.throttled),
        Sample::number("ringstone_throttled_seconds_total", loops.throttled_us as f64 / 1e6),
        Sample::new("ringstone_received_bytes_total", totals.bytes_in),
        Sample::new("ringstone_sent_bytes_total", totals.bytes_out),
        Sample::new("ringstone_keyspace_hits_total", totals.hits),
        Sample::new("ringstone_keyspace_misses_total", totals.misses),
        Sample::new("ringstone_expired_keys_total", totals.expired),
    ]);
    samples
}

/// The stages in which any time was spent.
fn stages(durations: &[Durations<u64>; STAGES]) -> impl Iterator<Item = (&'static str, Spread)> {
    let each = Stage::ALL.into_iter().zip(durations);
    each.filter(|(_, durations)| durations.count() > 0)
        .map(|(stage, durations)| (stage.name(), durations.spread()))
}

fn groups(server: &Server) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut splits = 0;
    for mode in [Mode::Write, Mode::Read] {
        let name = mode.name();
        // A store in this process has no groups that only read.
        if mode == Mode::Read && server.store.local().is_some() {
            continue;
        }
        let totals = server.stats.group_totals(mode);
        splits += totals.splits;
        let commands = totals.commands.spread(server.config.group_commands_max as u64);
        samples.extend([
            Sample::spread("ringstone_group_commands", commands).with("mode", name),
            Sample::new("ringstone_groups_in_flight", totals.in_flight).with("mode", name),
        ]);
        samples.extend(stages(&totals.stages).map(|(stage, spread)| {
            let sample = Sample::spread("ringstone_group_stage_seconds", spread);
            sample.with("mode", name).with("stage", stage)
        }));
        if mode == Mode::Write {
            let bytes = totals.bytes.spread(TRANSACTION_BYTES_MAX as u64);
            samples.push(Sample::spread("ringstone_group_bytes", bytes).with("mode", name));
        }
        if server.store.local().is_none() {
            let saved = Sample::new("ringstone_group_equal_reads_total", totals.equal_reads);
            samples.push(saved.with("mode", name));
        }
    }
    let groups = &server.stats.groups;
    for (name, count) in [
        ("ringstone_group_conflicts_total", &groups.conflicts),
        ("ringstone_group_retries_total", &groups.retries),
        ("ringstone_group_timeouts_total", &groups.timeouts),
    ] {
        samples.push(Sample::new(name, count.load(Ordering::Relaxed)));
    }
    samples.push(Sample::new("ringstone_group_splits_total", splits));
    for (outcome, count) in [
        ("committed", &groups.unknown_committed),
        ("not_committed", &groups.unknown_not_committed),
        ("unresolved", &groups.unknown_unresolved),
    ] {
        let count = count.load(Ordering::Relaxed);
        samples
            .push(Sample::new("ringstone_commits_unknown_total", count).with("outcome", outcome));
    }
    samples
}

fn connections(server: &Server, totals: &Totals) -> Vec<Sample> {
    let blocked = server.blocked.clients.load(Ordering::Relaxed) as u64;
    let handshakes = "ringstone_tls_handshakes_total";
    vec![
        Sample::new("ringstone_connections", server.clients_len() as u64),
        Sample::new("ringstone_connections_max", server.config.maxclients as u64),
        Sample::new("ringstone_client_memory_bytes", server.client_bytes()),
        Sample::new("ringstone_blocked_clients", blocked),
        Sample::new("ringstone_monitors", server.monitors.len() as u64),
        Sample::new("ringstone_connections_accepted_total", totals.received),
        Sample::new(handshakes, totals.tls_full).with("kind", "full"),
        Sample::new(handshakes, totals.tls_resumed).with("kind", "resumed"),
        Sample::new("ringstone_tls_handshake_failures_total", totals.tls_failed),
    ]
}

fn rejections_and_endings(totals: &Totals, loops: &LoopTotals) -> Vec<Sample> {
    let rejected = Rejection::ALL.iter().map(|reason| reason.name()).zip(totals.rejected);
    let closed = Ending::ALL.iter().map(|reason| reason.name()).zip(loops.closed);
    let of =
        |name: &'static str| move |(reason, count)| Sample::new(name, count).with("reason", reason);
    let rejected = rejected.map(of("ringstone_connections_rejected_total"));
    rejected.chain(closed.map(of("ringstone_connections_closed_total"))).collect()
}

fn background(server: &Server) -> Vec<Sample> {
    let counts = &server.stats.background;
    let lag_ms = match counts.oldest_due_ms.load(Ordering::Relaxed) {
        0 => 0,
        due_ms => clock::unix_ms().saturating_sub(due_ms),
    };
    let orphans = counts.orphans.load(Ordering::Relaxed);
    vec![
        Sample::number("ringstone_expiry_sweep_lag_seconds", lag_ms as f64 / 1000.0),
        Sample::new("ringstone_orphan_records_collected_total", orphans),
    ]
}

fn tokens(server: &Server, totals: &Totals) -> Vec<Sample> {
    let Some(auth) = &server.auth else { return Vec::new() };
    let counted = auth.counts().get();
    let Totals { allowed, denied, .. } = *totals;
    let verifications = "ringstone_auth_verifications_total";
    let decisions = "ringstone_auth_decisions_total";
    vec![
        Sample::new(verifications, counted.accepted).with("outcome", "accepted"),
        Sample::new(verifications, counted.refused).with("outcome", "refused"),
        Sample::new("ringstone_auth_verifications_cached_total", counted.known),
        Sample::new(decisions, allowed).with("outcome", "allowed"),
        Sample::new(decisions, denied).with("outcome", "denied"),
        Sample::new("ringstone_auth_engine_runs_total", counted.evaluated),
    ]
}

fn tenants(server: &Server) -> Vec<Sample> {
    if !server.config.metrics_tenants {
        return Vec::new();
    }
    let mut samples = Vec::new();
    for activity in server.allowances.activities() {
        let mut add = |name, value| {
            samples.push(Sample::new(name, value).with("tenant", activity.name.to_string()));
        };
        add("ringstone_tenant_connections_rejected_total", activity.turned_away);
        add("ringstone_tenant_throttled_batches_total", activity.throttled);
        add("ringstone_tenant_connections", activity.connections);
        add("ringstone_tenant_commands_total", activity.commands);
        add("ringstone_tenant_errors_total", activity.errors);
        add("ringstone_tenant_received_bytes_total", activity.received);
        if let Some((stored, quota)) = activity.storage {
            add("ringstone_tenant_storage_bytes", stored);
            add("ringstone_tenant_storage_quota_bytes", quota);
        }
        let throttled_s = activity.throttled_us as f64 / 1e6;
        let throttled = Sample::number("ringstone_tenant_throttled_seconds_total", throttled_s);
        samples.push(throttled.with("tenant", activity.name.to_string()));
    }
    samples
}

/// A store's figure as a metric: `log_syncs` is shown as `ringstone_store_log_syncs_total`, and what is counted
/// in microseconds in seconds.
fn of_store((name, value): (&'static str, u64)) -> Option<Sample> {
    let (base, value) = match name.strip_suffix("_us") {
        Some(base) => (format!("{base}_seconds"), value as f64 / 1e6),
        None => (name.to_owned(), value as f64),
    };
    let is_it = |metric: &&Definition| {
        let own = metric.name.strip_prefix("ringstone_store_").unwrap_or_default();
        own.strip_suffix("_total").unwrap_or(own) == base
    };
    let metric = ALL.iter().find(is_it);
    debug_assert!(metric.is_some(), "the store's {name} is not among the metrics");
    metric.map(|metric| Sample::number(metric.name, value))
}

fn event_loops(loops: &LoopTotals) -> Vec<Sample> {
    let longest_s = loops.longest_turn_ns as f64 / 1e9;
    vec![
        Sample::new("ringstone_registered_buffers", loops.buffers),
        Sample::new("ringstone_registered_buffers_in_use", loops.buffers_in_use),
        Sample::new("ringstone_buffer_fallbacks_total", loops.fallbacks),
        Sample::new("ringstone_ring_submissions_total", loops.submissions),
        Sample::new("ringstone_ring_completions_total", loops.completions),
        Sample::spread("ringstone_event_loop_turn_seconds", loops.turns.spread()),
        Sample::number("ringstone_event_loop_longest_turn_seconds", longest_s),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::metrics::Value;
    use crate::store::memory::MemoryStore;

    #[test]
    fn everything_the_process_tells_is_among_the_metrics() {
        let config = Config { metrics_tenants: true, ..Config::default() };
        let server = Server::new(config, Arc::new(MemoryStore::new()));
        server.stats.shard().batch(3, 3);
        server.stats.shard().latency(0, 3, 1_000);
        let samples = server.samples();
        for sample in &samples {
            let metric = ALL.iter().find(|metric| metric.name == sample.name).expect(sample.name);
            let labels: Vec<&str> = sample.labels.iter().map(|(name, _)| *name).collect();
            assert_eq!(labels, metric.labels, "{}", sample.name);
            let is_spread = matches!(sample.value, Value::Spread(_));
            assert_eq!(
                is_spread,
                metric.kind == crate::metrics::Kind::Histogram,
                "{}",
                sample.name
            );
        }
        assert!(samples.contains(&Sample::new("ringstone_store_records", 0)));
    }

    #[test]
    fn the_time_of_the_start_stays_whatever_the_clock_says_later() {
        let mut server = Server::new(Config::default(), Arc::new(MemoryStore::new()));
        server.started_unix_ms = 1_500;
        assert!(server.samples().contains(&Sample::number("process_start_time_seconds", 1.5)));
    }

    #[test]
    fn microseconds_are_shown_as_seconds() {
        let expected = Sample::number("ringstone_store_log_sync_seconds_total", 0.25);
        assert_eq!(of_store(("log_sync_us", 250_000)), Some(expected));
    }
}

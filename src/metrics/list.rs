//! The list of all metrics.

use metrics::Unit;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows, but for a restart of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A classic histogram.
    Histogram,
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// What it counts or measures.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Definition {
    Definition { kind: Kind::Counter, name, unit, labels: &[], help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Definition {
    Definition { kind: Kind::Gauge, name, unit, labels: &[], help }
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Definition {
    Definition { kind: Kind::Histogram, name, unit, labels: &[], help }
}

impl Definition {
    const fn by(self, labels: &'static [&'static str]) -> Definition {
        Definition { labels, ..self }
    }
}

/// Every metric there is, in the order in which they are shown.
pub const ALL: &[Definition] = &[
    counter("ringstone_commands_total", Unit::Count, "Commands executed, by name.").by(&["command"]),
    counter("ringstone_command_failures_total", Unit::Count, "Commands that were executed and answered with an error, by name.").by(&["command"]),
    counter("ringstone_command_rejections_total", Unit::Count, "Commands that were refused instead of executed, by name: wrong arguments, no permission, a storage quota, a store that takes no writes.").by(&["command"]),
    counter("ringstone_errors_total", Unit::Count, "Error replies, by their code. OOM: commands that a tenant's storage quota refused; of a transaction that it refused, EXEC counts as EXECABORT.").by(&["kind"]),
    histogram("ringstone_command_seconds", Unit::Seconds, "Time from the arrival of a command, which is when its worker took its last byte from the ring, until its replies were written to the socket; without the time in which it waited for data, such as BLPOP.").by(&["command"]),
    histogram("ringstone_command_stage_seconds", Unit::Seconds, "Time that commands spent in each stage of that; one observation for each command and stage it was in.").by(&["stage"]),
    counter("ringstone_batches_total", Unit::Count, "Pipeline batches run: what one connection sent in one receive."),
    histogram("ringstone_batch_commands", Unit::Count, "Commands in a pipeline batch."),
    counter("ringstone_slow_batches_total", Unit::Count, "Pipeline batches that took at least slowlog-log-slower-than from arrival to replies."),
    counter("ringstone_throttled_batches_total", Unit::Count, "Pipeline batches that had to wait because their tenant had used up its quota of commands."),
    counter("ringstone_throttled_seconds_total", Unit::Seconds, "Time that they waited, summed over connections, counted as it passes."),
    histogram("ringstone_group_commands", Unit::Count, "Commands in a group.").by(&["mode"]),
    histogram("ringstone_group_bytes", Unit::Bytes, "Bytes that a group wrote.").by(&["mode"]),
    histogram("ringstone_group_stage_seconds", Unit::Seconds, "Time that groups spent in each stage; one observation for each group and stage.").by(&["mode", "stage"]),
    gauge("ringstone_groups_in_flight", Unit::Count, "Groups under way.").by(&["mode"]),
    counter("ringstone_group_equal_reads_total", Unit::Count, "Reads of a networked store that were saved because the group had asked for the same record.").by(&["mode"]),
    counter("ringstone_group_conflicts_total", Unit::Count, "Commits that conflicted with other writers."),
    counter("ringstone_group_retries_total", Unit::Count, "Groups executed again, for whatever reason."),
    counter("ringstone_group_splits_total", Unit::Count, "Groups divided because they conflicted again and again or were too large."),
    counter("ringstone_commits_unknown_total", Unit::Count, "Commits whose outcome the store did not tell, by what the commit marker then said: committed, not_committed, or unresolved.").by(&["outcome"]),
    counter("ringstone_group_timeouts_total", Unit::Count, "Groups that missed the command deadline."),
    gauge("ringstone_connections", Unit::Count, "Connections open."),
    gauge("ringstone_connections_max", Unit::Count, "Connections that may be open: maxclients."),
    gauge("ringstone_client_memory_bytes", Unit::Bytes, "Memory that buffers of connections take: registered ones in use, and large ones, which client-memory-max bounds."),
    gauge("ringstone_blocked_clients", Unit::Count, "Connections whose commands wait for data."),
    gauge("ringstone_monitors", Unit::Count, "Connections that are shown what others do: MONITOR."),
    counter("ringstone_connections_accepted_total", Unit::Count, "Connections accepted."),
    counter("ringstone_connections_rejected_total", Unit::Count, "Connections refused, by reason: maxclients, protected_mode, or tenant_connections, a login that the quota of its tenant did not allow: that connection stays, without a tenant, and may try again.").by(&["reason"]),
    counter("ringstone_connections_closed_total", Unit::Count, "Accepted connections that ended, by reason: client (it left, sent QUIT, or was lost), idle (timeout), killed (CLIENT KILL), revoked (its token was), protocol (no request, or too long a one), client_memory (client-memory-max was used up), output_limit (more piled up than output-buffer-limit, or than a monitor may have), tls_handshake (it failed), or shutdown.").by(&["reason"]),
    counter("ringstone_tls_handshakes_total", Unit::Count, "TLS handshakes that succeeded, by kind: full, or resumed from an earlier session.").by(&["kind"]),
    counter("ringstone_tls_handshake_failures_total", Unit::Count, "TLS handshakes that failed."),
    counter("ringstone_auth_verifications_total", Unit::Count, "Tokens shown, by outcome: accepted or refused.").by(&["outcome"]),
    counter("ringstone_auth_verifications_cached_total", Unit::Count, "Of these, tokens that had been verified before."),
    counter("ringstone_auth_decisions_total", Unit::Count, "Commands that a token was asked about, by outcome: allowed or denied.").by(&["outcome"]),
    counter("ringstone_auth_engine_runs_total", Unit::Count, "Times the Datalog engine ran for such a decision, which others did without: for each database that a command touches."),
    counter("ringstone_received_bytes_total", Unit::Bytes, "Bytes of requests."),
    counter("ringstone_sent_bytes_total", Unit::Bytes, "Bytes of replies."),
    gauge("ringstone_registered_buffers", Unit::Count, "Buffers registered with the rings."),
    gauge("ringstone_registered_buffers_in_use", Unit::Count, "Registered buffers that a connection receives into or sends from."),
    counter("ringstone_buffer_fallbacks_total", Unit::Count, "Times a connection took ordinary memory because no registered buffer was free."),
    counter("ringstone_ring_submissions_total", Unit::Count, "Operations submitted to the rings for connections."),
    counter("ringstone_ring_completions_total", Unit::Count, "Operations of connections that the rings completed."),
    histogram("ringstone_event_loop_turn_seconds", Unit::Seconds, "Time from the first work of a turn of an event loop until it looks at its ring again."),
    gauge("ringstone_event_loop_longest_turn_seconds", Unit::Seconds, "The longest turn of an event loop in the last 15 to 30 seconds."),
    counter("ringstone_keyspace_hits_total", Unit::Count, "Keys that reading commands found."),
    counter("ringstone_keyspace_misses_total", Unit::Count, "Keys that reading commands did not find."),
    counter("ringstone_expired_keys_total", Unit::Count, "Keys removed because their time had come."),
    gauge("ringstone_expiry_sweep_lag_seconds", Unit::Seconds, "How long ago the key expired that was overdue longest when expired keys were last searched for."),
    counter("ringstone_orphan_records_collected_total", Unit::Count, "Records removed that nothing referred to any more: elements of deleted or overwritten values."),
    gauge("ringstone_tenant_connections", Unit::Count, "Connections open, by tenant.").by(&["tenant"]),
    counter("ringstone_tenant_commands_total", Unit::Count, "Commands admitted, by tenant.").by(&["tenant"]),
    counter("ringstone_tenant_errors_total", Unit::Count, "Error replies, by tenant.").by(&["tenant"]),
    counter("ringstone_tenant_connections_rejected_total", Unit::Count, "Logins refused because the tenant had all the connections it may have, by tenant.").by(&["tenant"]),
    counter("ringstone_tenant_throttled_batches_total", Unit::Count, "Pipeline batches that had to wait because the tenant had used up its quota of commands, by tenant.").by(&["tenant"]),
    counter("ringstone_tenant_throttled_seconds_total", Unit::Seconds, "Time that they waited, summed over connections, by tenant.").by(&["tenant"]),
    counter("ringstone_tenant_received_bytes_total", Unit::Bytes, "Bytes of requests, by tenant.").by(&["tenant"]),
    gauge("ringstone_tenant_storage_bytes", Unit::Bytes, "Bytes stored, by tenant; for those that have a quota.").by(&["tenant"]),
    gauge("ringstone_tenant_storage_quota_bytes", Unit::Bytes, "Bytes that may be stored, by tenant; for those that have a quota.").by(&["tenant"]),
    gauge("ringstone_store_up", Unit::Count, "1 while the store takes writes, 0 while it refuses them."),
    gauge("ringstone_store_records", Unit::Count, "Records in memory."),
    gauge("ringstone_store_memory_bytes", Unit::Bytes, "Memory that the records take."),
    counter("ringstone_store_sequence_total", Unit::Count, "The number of the last group, in the order in which they are durable."),
    gauge("ringstone_store_buffer_bytes", Unit::Bytes, "Records that are in the log but not yet in the tree."),
    gauge("ringstone_store_log_bytes", Unit::Bytes, "Size of the log."),
    counter("ringstone_store_log_syncs_total", Unit::Count, "Syncs of the log."),
    counter("ringstone_store_log_sync_seconds_total", Unit::Seconds, "Time that syncs of the log took."),
    gauge("ringstone_store_log_spare_files", Unit::Count, "Files prepared for the log."),
    gauge("ringstone_store_log_spare_bytes", Unit::Bytes, "Size of the files prepared for the log."),
    counter("ringstone_store_checkpoints_begun_total", Unit::Count, "Checkpoints begun: they write the buffer to the tree."),
    counter("ringstone_store_checkpoints_total", Unit::Count, "Checkpoints that succeeded."),
    counter("ringstone_store_checkpoint_failures_total", Unit::Count, "Checkpoints that failed."),
    counter("ringstone_store_compactions_total", Unit::Count, "Compactions of the tree."),
    counter("ringstone_store_cache_hits_total", Unit::Count, "Records read from the cache instead of the tree."),
    counter("ringstone_store_cache_misses_total", Unit::Count, "Records that were not in the cache."),
    gauge("ringstone_store_cache_records", Unit::Count, "Records in the cache."),
    gauge("ringstone_store_cache_bytes", Unit::Bytes, "Memory that the cache takes."),
    gauge("ringstone_store_scan_cache_bytes", Unit::Bytes, "Memory that the cache of scans takes."),
    gauge("ringstone_store_tree_bytes", Unit::Bytes, "Size of the tree on disk."),
    gauge("ringstone_store_tree_tables", Unit::Count, "Files of the tree."),
    gauge("ringstone_store_tree_runs", Unit::Count, "Sorted runs of the tree, which a lookup may have to go through."),
    gauge("ringstone_store_disk_free_bytes", Unit::Bytes, "Space that is left on the disk."),
    counter("ringstone_store_transactions_total", Unit::Count, "FoundationDB transactions begun, each attempt counted."),
    counter("ringstone_store_read_versions_total", Unit::Count, "Read versions obtained from FoundationDB."),
    counter("ringstone_store_reads_total", Unit::Count, "Keys and ranges read from FoundationDB."),
    counter("ringstone_store_commits_total", Unit::Count, "FoundationDB commits that succeeded."),
    counter("ringstone_store_wrong_assumptions_total", Unit::Count, "Assumptions about records that turned out wrong before the commit."),
    counter("ringstone_store_conflicts_total", Unit::Count, "FoundationDB transactions that conflicted (not_committed)."),
    counter("ringstone_store_commits_unknown_total", Unit::Count, "FoundationDB commits with an unknown result."),
    counter("ringstone_store_retries_too_old_total", Unit::Count, "FoundationDB transactions that were too old."),
    counter("ringstone_store_retries_future_version_total", Unit::Count, "FoundationDB reads of a version that a server had not yet."),
    counter("ringstone_store_retries_process_behind_total", Unit::Count, "FoundationDB reads of a server that was behind."),
    counter("ringstone_store_retries_throttled_total", Unit::Count, "FoundationDB transactions that were throttled."),
    counter("ringstone_store_retries_locked_total", Unit::Count, "FoundationDB transactions that met a locked database."),
    counter("ringstone_store_timeouts_total", Unit::Count, "FoundationDB transactions that timed out."),
    counter("ringstone_store_other_failures_total", Unit::Count, "FoundationDB transactions that failed otherwise."),
    gauge("ringstone_store_cluster_available", Unit::Count, "1 if the FoundationDB cluster says that it is available."),
    gauge("ringstone_store_cluster_read_probe_seconds", Unit::Seconds, "The FoundationDB cluster's own probe of a read."),
    gauge("ringstone_store_cluster_commit_probe_seconds", Unit::Seconds, "The FoundationDB cluster's own probe of a commit."),
    gauge("ringstone_store_cluster_transaction_start_probe_seconds", Unit::Seconds, "The FoundationDB cluster's own probe of a read version."),
    gauge("ringstone_store_cluster_processes", Unit::Count, "Processes of the FoundationDB cluster."),
    gauge("ringstone_store_cluster_throttled_tags", Unit::Count, "Tags that the FoundationDB cluster throttles."),
    counter("process_cpu_seconds_total", Unit::Seconds, "Processor time of the process, user and system."),
    gauge("process_resident_memory_bytes", Unit::Bytes, "Memory of the process that is in RAM."),
    gauge("process_virtual_memory_bytes", Unit::Bytes, "Address space of the process."),
    gauge("process_open_fds", Unit::Count, "File descriptors that the process has open."),
    gauge("process_max_fds", Unit::Count, "File descriptors that the process may have open."),
    gauge("process_threads", Unit::Count, "Threads of the process."),
    gauge("process_start_time_seconds", Unit::Seconds, "When the process started, in seconds from the Unix epoch."),
    gauge("ringstone_build_info", Unit::Count, "1; the version and the store in use.").by(&["version", "store"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_prometheus_wants_them() {
        for (at, metric) in ALL.iter().enumerate() {
            let Definition { kind, name, unit, help, .. } = metric;
            assert!(name.starts_with("ringstone_") || name.starts_with("process_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            let base = name.trim_end_matches("_total");
            assert_eq!(*unit == Unit::Seconds, base.ends_with("_seconds"), "{name}");
            assert_eq!(*unit == Unit::Bytes, base.ends_with("_bytes"), "{name}");
            assert!(help.ends_with('.'), "{name}");
            assert!(ALL[..at].iter().all(|other| other.name != *name), "{name}");
        }
    }
}

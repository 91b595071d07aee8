//! Sections about what the process has done since its start, or since `CONFIG RESETSTAT`.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::Page;
use crate::clock;
use crate::command::Outcome;
use crate::command::stats::{ERROR_KINDS, Rejection, Totals, registry};

pub(super) fn stats(page: &mut Page<'_, '_, '_>) -> Outcome {
    let stats = &page.ctx.server.stats;
    let [requests, bytes_in, bytes_out] = match page.is_whole() {
        true => stats.rates(&page.totals, clock::unix_ms()),
        false => [0.0; 3],
    };
    let Totals { received, processed, rejected, expired, hits, misses, batches, .. } = page.totals;
    let (net_in, net_out) = (page.totals.bytes_in, page.totals.bytes_out);
    page.field("total_connections_received", received);
    page.field("total_commands_processed", processed);
    page.field("instantaneous_ops_per_sec", requests as u64);
    page.fields(&[("total_net_input_bytes", net_in), ("total_net_output_bytes", net_out)]);
    page.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    page.field("instantaneous_input_kbps", format_args!("{:.2}", bytes_in / 1024.0));
    page.field("instantaneous_output_kbps", format_args!("{:.2}", bytes_out / 1024.0));
    page.field("instantaneous_input_repl_kbps", "0.00");
    page.field("instantaneous_output_repl_kbps", "0.00");
    // A login past a tenant's quota leaves the connection open.
    let at_the_door = [Rejection::MaxClients, Rejection::ProtectedMode];
    let rejected: u64 = at_the_door.iter().map(|why| rejected[*why as usize]).sum();
    page.field("rejected_connections", rejected);
    page.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    page.field("expired_keys", expired);
    page.field("expired_stale_perc", "0.00");
    page.zeros(&[
        "expired_time_cap_reached_count",
        "expire_cycle_cpu_milliseconds",
        "evicted_keys",
        "evicted_clients",
        "total_eviction_exceeded_time",
        "current_eviction_exceeded_time",
    ]);
    page.fields(&[("keyspace_hits", hits), ("keyspace_misses", misses)]);
    page.zeros(&[
        "pubsub_channels",
        "pubsub_patterns",
        "pubsubshard_channels",
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ]);
    page.field("total_error_replies", page.totals.errors.iter().sum::<u64>());
    page.field("dump_payload_sanitizations", 0);
    // A batch is what one receive brought and one send took away; workers do both.
    let by_threads = if page.ctx.server.config.workers > 1 { batches } else { 0 };
    page.fields(&[
        ("total_reads_processed", batches),
        ("total_writes_processed", batches),
        ("io_threaded_reads_processed", by_threads),
        ("io_threaded_writes_processed", by_threads),
    ]);
    page.zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
    Ok(())
}

/// Rejected calls are those that were refused before they could run: a wrong number of arguments, no
/// permission, not allowed in a transaction, a store that takes no writes, a quota. Those that ran are
/// calls, and failed ones if they answered with an error.
pub(super) fn commandstats(page: &mut Page<'_, '_, '_>) -> Outcome {
    for (spec, total) in registry().specs().iter().zip(&page.totals.commands) {
        if total.calls == 0 && total.rejected == 0 && total.failed == 0 {
            continue;
        }
        let usec = total.nanoseconds as f64 / 1000.0;
        let _ = write!(
            page.text,
            "cmdstat_{}:calls={},usec={usec:.0},usec_per_call={:.2},rejected_calls={},\
             failed_calls={}\r\n",
            spec.name,
            total.calls,
            usec / total.calls.max(1) as f64,
            total.rejected,
            total.failed
        );
    }
    Ok(())
}

pub(super) fn errorstats(page: &mut Page<'_, '_, '_>) -> Outcome {
    for (kind, count) in ERROR_KINDS.iter().zip(&page.totals.errors) {
        if *count > 0 {
            let _ = write!(page.text, "errorstat_{kind}:count={count}\r\n");
        }
    }
    Ok(())
}

pub(super) fn latencystats(page: &mut Page<'_, '_, '_>) -> Outcome {
    let settings = page.ctx.server.observing.settings();
    if !settings.latency_tracking {
        return Ok(());
    }
    for (spec, total) in registry().specs().iter().zip(&page.totals.commands) {
        if total.calls == 0 {
            continue;
        }
        let told = settings.percentiles.iter().map(|percentile| {
            let text = format!("{percentile:.6}");
            let text = text.trim_end_matches('0').trim_end_matches('.');
            format!("p{text}={:.3}", total.latency.percentile(percentile / 100.0))
        });
        let told = told.collect::<Vec<_>>().join(",");
        let _ = write!(page.text, "latency_percentiles_usec_{}:{told}\r\n", spec.name);
    }
    Ok(())
}

/// What Redis has no words for; the store has a section of its own.
pub(super) fn ringstone(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    page.field("version", env!("CARGO_PKG_VERSION"));
    if !page.is_whole() {
        return Ok(());
    }
    page.field("workers", server.config.workers);
    page.field("batches", page.totals.batches);
    page.field("group_commands_max", server.config.group_commands_max);
    page.field("group_bytes_max", server.config.group_bytes_max);
    let groups = &server.stats.groups;
    for (name, count) in [
        ("group_conflicts", &groups.conflicts),
        ("group_retries", &groups.retries),
        ("group_timeouts", &groups.timeouts),
    ] {
        page.field(name, count.load(Ordering::Relaxed));
    }
    page.field("commits_unknown", groups.unknown());
    let Totals { tls_full, tls_resumed, tls_failed, .. } = page.totals;
    page.fields(&[
        ("tls_handshakes_full", tls_full),
        ("tls_handshakes_resumed", tls_resumed),
        ("tls_handshakes_failed", tls_failed),
    ]);
    Ok(())
}

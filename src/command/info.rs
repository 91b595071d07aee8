//! `INFO`: Redis's sections and fields where they mean something here, and a section of our own.
//!
//! An operator is told about the process. To others it tells about their tenant: what counts for all
//! tenants together, and what the machine is, is 0 or empty there, so that programs which look for a
//! field find it and nobody learns what others do.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::connection::REDIS_VERSION;
use super::stats::{ERROR_KINDS, Totals, registry};
use super::{Ctx, Outcome, config};
use crate::clock;
use crate::error::Stop;
use crate::limits::DATABASES;
use crate::metrics::process::{Memory, cpu_seconds};

type Write = fn(&mut Page<'_, '_, '_>) -> Outcome;

/// Name, whether it is shown unless asked for, and what writes it; in Redis's order.
const SECTIONS: &[(&str, bool, Write)] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replication),
    ("CPU", true, cpu),
    ("Modules", true, modules),
    ("Commandstats", false, commandstats),
    ("Errorstats", true, errorstats),
    ("Latencystats", false, latencystats),
    ("Cluster", true, cluster),
    ("Keyspace", true, keyspace),
    ("Ringstone", true, ringstone),
];

/// What is being written, and what from.
struct Page<'p, 'c, 'v> {
    ctx: &'p Ctx<'c, 'v>,
    totals: Totals,
    text: String,
}

impl Page<'_, '_, '_> {
    /// Whether it tells about the process, not only about the tenant.
    fn is_whole(&self) -> bool {
        self.ctx.client.is_operator()
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    fn fields(&mut self, fields: &[(&str, u64)]) {
        fields.iter().for_each(|(name, value)| self.field(name, value));
    }

    /// A number of bytes, and again as people read it.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }
}

pub(super) fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let wanted: Vec<_> = ctx.args.iter().skip(1).map(<[u8]>::to_ascii_lowercase).collect();
    let asked = |name: &str| wanted.iter().any(|section| *section == name.as_bytes());
    let all = asked("all") || asked("everything");
    let usual = all || wanted.is_empty() || asked("default");
    let totals = match ctx.client.is_operator() {
        true => ctx.server.stats.totals(),
        false => Totals::default(),
    };
    let mut page = Page { ctx, totals, text: String::new() };
    for (name, is_usual, write) in SECTIONS {
        if !(all || usual && *is_usual || asked(&name.to_ascii_lowercase())) {
            continue;
        }
        if !page.text.is_empty() {
            page.text.push_str("\r\n");
        }
        let _ = write!(page.text, "# {name}\r\n");
        write(&mut page)?;
    }
    let text = page.text;
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

fn server(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let uptime_s = server.uptime_ms(clock::monotonic()) / 1000;
    let now_us = clock::unix_us();
    page.field("redis_version", REDIS_VERSION);
    page.field("ringstone_version", env!("CARGO_PKG_VERSION"));
    page.field("redis_git_sha1", "00000000");
    page.field("redis_git_dirty", 0);
    page.field("redis_build_id", 0);
    page.field("redis_mode", "standalone");
    let os = [system.sysname(), system.release(), system.machine()].map(text);
    let shown = if page.is_whole() { &os[..] } else { &os[..1] };
    page.field("os", shown.join(" "));
    page.field("arch_bits", usize::BITS);
    page.field("monotonic_clock", "POSIX clock_gettime");
    page.field("multiplexing_api", "io_uring");
    page.field("process_id", if page.is_whole() { std::process::id() } else { 0 });
    page.field("process_supervised", "no");
    page.field("run_id", &server.run_id);
    let ports = [&server.port, &server.tls_port].map(|port| port.load(Ordering::Relaxed));
    page.field("tcp_port", ports.into_iter().find(|port| *port != 0).unwrap_or(0));
    page.field("server_time_usec", now_us);
    page.field("uptime_in_seconds", uptime_s);
    page.field("uptime_in_days", uptime_s / 86_400);
    page.field("hz", 10);
    page.field("configured_hz", 10);
    page.field("lru_clock", (now_us / 1_000_000) & 0xff_ffff);
    let executable = std::env::current_exe().ok().filter(|_| page.is_whole());
    page.field("executable", executable.unwrap_or_default().display());
    page.field("config_file", "");
    page.field("io_threads_active", u8::from(server.config.workers > 1));
    Ok(())
}

fn clients(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    let (connected, blocked) = match page.is_whole() {
        true => {
            let blocked = server.blocked_clients.load(Ordering::Relaxed);
            (server.clients_len(), server.pause.held() + blocked)
        }
        false => {
            let clients = server.clients_seen_by(page.ctx.client);
            (clients.len(), clients.iter().filter(|client| client.wait().is_some()).count())
        }
    };
    page.fields(&[
        ("connected_clients", connected as u64),
        ("cluster_connections", 0),
        ("maxclients", server.config.maxclients as u64),
        ("client_recent_max_input_buffer", 0),
        ("client_recent_max_output_buffer", 0),
        ("blocked_clients", blocked as u64),
        ("tracking_clients", 0),
        ("clients_in_timeout_table", 0),
    ]);
    Ok(())
}

fn memory(page: &mut Page<'_, '_, '_>) -> Outcome {
    let (memory, total) = match page.is_whole() {
        true => {
            let system = rustix::system::sysinfo();
            (Memory::read(), system.totalram as u64 * u64::from(system.mem_unit))
        }
        false => (Memory::default(), 0),
    };
    page.bytes("used_memory", memory.resident);
    page.bytes("used_memory_rss", memory.resident);
    page.bytes("used_memory_peak", memory.resident_peak);
    let share = memory.resident as f64 * 100.0 / memory.resident_peak.max(1) as f64;
    page.field("used_memory_peak_perc", format_args!("{share:.2}%"));
    page.bytes("total_system_memory", total);
    page.bytes("used_memory_lua", 0);
    page.bytes("maxmemory", 0);
    page.field("maxmemory_policy", "noeviction");
    page.field("mem_fragmentation_ratio", "1.00");
    page.field("mem_fragmentation_bytes", 0);
    page.field("mem_allocator", "libc");
    page.fields(&[("active_defrag_running", 0), ("lazyfree_pending_objects", 0)]);
    Ok(())
}

fn persistence(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    let written = if server.store.write_failure().is_some() { "err" } else { "ok" };
    page.fields(&[
        ("loading", 0),
        ("async_loading", 0),
        ("rdb_changes_since_last_save", 0),
        ("rdb_bgsave_in_progress", 0),
    ]);
    let started_s = clock::unix_ms() / 1000 - server.uptime_ms(clock::monotonic()) / 1000;
    page.field("rdb_last_save_time", started_s);
    page.field("rdb_last_bgsave_status", "ok");
    page.field("rdb_last_bgsave_time_sec", -1);
    page.field("rdb_current_bgsave_time_sec", -1);
    page.field("aof_enabled", u8::from(config::is_durable(&server.config)));
    page.fields(&[("aof_rewrite_in_progress", 0), ("aof_rewrite_scheduled", 0)]);
    page.field("aof_last_rewrite_time_sec", -1);
    page.field("aof_current_rewrite_time_sec", -1);
    page.field("aof_last_bgrewrite_status", "ok");
    page.field("aof_last_write_status", written);
    Ok(())
}

fn stats(page: &mut Page<'_, '_, '_>) -> Outcome {
    let stats = &page.ctx.server.stats;
    let [requests, bytes_in, bytes_out] = match page.is_whole() {
        true => stats.rates(&page.totals, clock::unix_ms()),
        false => [0.0; 3],
    };
    let Totals { received, processed, rejected, expired, hits, misses, .. } = page.totals;
    let (net_in, net_out) = (page.totals.bytes_in, page.totals.bytes_out);
    let errors = page.totals.errors.iter().sum();
    page.fields(&[
        ("total_connections_received", received),
        ("total_commands_processed", processed),
    ]);
    page.field("instantaneous_ops_per_sec", requests as u64);
    page.fields(&[("total_net_input_bytes", net_in), ("total_net_output_bytes", net_out)]);
    page.field("instantaneous_input_kbps", format_args!("{:.2}", bytes_in / 1024.0));
    page.field("instantaneous_output_kbps", format_args!("{:.2}", bytes_out / 1024.0));
    page.fields(&[
        ("rejected_connections", rejected.iter().sum()),
        ("sync_full", 0),
        ("sync_partial_ok", 0),
        ("sync_partial_err", 0),
        ("expired_keys", expired),
        ("evicted_keys", 0),
        ("evicted_clients", 0),
        ("keyspace_hits", hits),
        ("keyspace_misses", misses),
        ("pubsub_channels", 0),
        ("pubsub_patterns", 0),
        ("latest_fork_usec", 0),
        ("total_forks", 0),
        ("migrate_cached_sockets", 0),
        ("tracking_total_keys", 0),
        ("total_error_replies", errors),
        ("total_reads_processed", page.totals.batches),
        ("total_writes_processed", page.totals.batches),
    ]);
    Ok(())
}

fn replication(page: &mut Page<'_, '_, '_>) -> Outcome {
    page.field("role", "master");
    page.field("connected_slaves", 0);
    page.field("master_failover_state", "no-failover");
    page.field("master_replid", &page.ctx.server.run_id);
    page.field("master_replid2", "0".repeat(40));
    page.field("master_repl_offset", 0);
    page.field("second_repl_offset", -1);
    page.fields(&[
        ("repl_backlog_active", 0),
        ("repl_backlog_size", 0),
        ("repl_backlog_first_byte_offset", 0),
        ("repl_backlog_histlen", 0),
    ]);
    Ok(())
}

fn cpu(page: &mut Page<'_, '_, '_>) -> Outcome {
    let (user_s, system_s) = if page.is_whole() { cpu_seconds() } else { (0.0, 0.0) };
    page.field("used_cpu_sys", format_args!("{system_s:.6}"));
    page.field("used_cpu_user", format_args!("{user_s:.6}"));
    page.field("used_cpu_sys_children", "0.000000");
    page.field("used_cpu_user_children", "0.000000");
    Ok(())
}

fn modules(_: &mut Page<'_, '_, '_>) -> Outcome {
    Ok(())
}

fn commandstats(page: &mut Page<'_, '_, '_>) -> Outcome {
    for (spec, total) in registry().specs().iter().zip(&page.totals.commands) {
        if total.calls == 0 {
            continue;
        }
        let usec = total.nanoseconds as f64 / 1000.0;
        let _ = write!(
            page.text,
            "cmdstat_{}:calls={},usec={usec:.0},usec_per_call={:.2},rejected_calls=0,\
             failed_calls={}\r\n",
            spec.name,
            total.calls,
            usec / total.calls as f64,
            total.failed
        );
    }
    Ok(())
}

fn errorstats(page: &mut Page<'_, '_, '_>) -> Outcome {
    for (kind, count) in ERROR_KINDS.iter().zip(&page.totals.errors) {
        if *count > 0 {
            let _ = write!(page.text, "errorstat_{kind}:count={count}\r\n");
        }
    }
    Ok(())
}

fn latencystats(page: &mut Page<'_, '_, '_>) -> Outcome {
    for (spec, total) in registry().specs().iter().zip(&page.totals.commands) {
        if total.calls == 0 {
            continue;
        }
        let at = |share| total.latency.percentile(share);
        let _ = write!(
            page.text,
            "latency_percentiles_usec_{}:p50={:.3},p99={:.3},p99.9={:.3}\r\n",
            spec.name,
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
    Ok(())
}

fn cluster(page: &mut Page<'_, '_, '_>) -> Outcome {
    page.field("cluster_enabled", 0);
    Ok(())
}

fn keyspace(page: &mut Page<'_, '_, '_>) -> Outcome {
    let (view, tenant) = (&page.ctx.view, page.ctx.client.tenant);
    let (mut sizes, mut pending) = (Vec::new(), Ok(()));
    for database in 0..DATABASES {
        // One look at each database: this page is asked for again and again.
        match view.database_size_roughly(tenant, database) {
            Ok(keys) => sizes.push((database, keys)),
            // Go on: the other databases are wanted too, all in one fetch.
            Err(Stop::Pending) => pending = Err(Stop::Pending),
            // The rest of the page is wanted all the more when the store does not answer.
            Err(Stop::Error(_) | Stop::Failed(_)) => return Ok(()),
            Err(other) => return Err(other),
        }
    }
    pending?;
    for (database, keys) in sizes.into_iter().filter(|&(_, keys)| keys > 0) {
        page.field(&format!("db{database}"), format_args!("keys={keys},expires=0,avg_ttl=0"));
    }
    Ok(())
}

fn ringstone(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    page.field("version", env!("CARGO_PKG_VERSION"));
    if !page.is_whole() {
        page.field("store", server.store.name());
        return Ok(());
    }
    page.field("workers", server.config.workers);
    page.field("batches", page.totals.batches);
    page.field("group_commands_max", server.config.group_commands_max);
    page.field("group_bytes_max", server.config.group_bytes_max);
    page.field("store", server.store.name());
    if let Some(cause) = server.store.write_failure() {
        page.field("store_write_failure", cause.replace(['\r', '\n'], " "));
    }
    for (name, text) in server.store.status() {
        page.field(&format!("store_{name}"), text.replace(['\r', '\n'], " "));
    }
    for (name, value) in server.store.figures() {
        page.field(&format!("store_{}", name.replace('-', "_")), value);
    }
    Ok(())
}

/// Bytes as Redis writes them for people: `1.50M`.
fn human(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_redis_does() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(7_372_800), "7.03M");
        assert_eq!(human(25_276_502_016), "23.54G");
    }
}

//! Sections about the data: where it is, how safe, how much.

use super::Page;
use crate::clock;
use crate::command::{Ctx, Outcome, config};
use crate::data::Population;
use crate::error::Stop;
use crate::limits::DATABASES;

/// The log of the embedded store stands for Redis's append-only file, and its tree for the base of that.
pub(super) fn persistence(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    let written = if server.store.write_failure().is_some() { "err" } else { "ok" };
    let is_durable = config::is_durable(&server.config);
    page.zeros(&["loading", "async_loading", "current_cow_peak", "current_cow_size"]);
    page.field("current_cow_size_age", 0);
    page.field("current_fork_perc", "0.00");
    page.zeros(&[
        "current_save_keys_processed",
        "current_save_keys_total",
        "rdb_changes_since_last_save",
        "rdb_bgsave_in_progress",
    ]);
    let now_s = clock::unix_ms() / 1000;
    let started_s = server.started_unix_ms / 1000;
    // What has been answered is where it belongs, so there is always a save that is fresh.
    page.field("rdb_last_save_time", if is_durable { now_s } else { started_s });
    page.field("rdb_last_bgsave_status", "ok");
    page.field("rdb_last_bgsave_time_sec", -1);
    page.field("rdb_current_bgsave_time_sec", -1);
    page.zeros(&["rdb_saves", "rdb_last_cow_size"]);
    page.zeros(&["rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"]);
    page.field("aof_enabled", u8::from(is_durable));
    page.zeros(&["aof_rewrite_in_progress", "aof_rewrite_scheduled"]);
    page.field("aof_last_rewrite_time_sec", -1);
    page.field("aof_current_rewrite_time_sec", -1);
    page.field("aof_last_bgrewrite_status", "ok");
    page.zeros(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    page.field("aof_last_write_status", written);
    page.zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    if is_durable {
        let figures = if page.is_whole() { server.store.figures() } else { Vec::new() };
        let bytes = |wanted| figures.iter().find(|(name, _)| *name == wanted).map_or(0, |f| f.1);
        let (log, tree) = (bytes("log_bytes"), bytes("tree_bytes"));
        page.fields(&[("aof_current_size", tree + log), ("aof_base_size", tree)]);
        page.zeros(&[
            "aof_pending_rewrite",
            "aof_buffer_length",
            "aof_pending_bio_fsync",
            "aof_delayed_fsync",
        ]);
    }
    Ok(())
}

pub(super) fn replication(page: &mut Page<'_, '_, '_>) -> Outcome {
    page.field("role", "master");
    page.field("connected_slaves", 0);
    page.field("master_failover_state", "no-failover");
    page.field("master_replid", &page.ctx.server.run_id);
    page.field("master_replid2", "0".repeat(40));
    page.field("master_repl_offset", 0);
    page.field("second_repl_offset", -1);
    page.zeros(&[
        "repl_backlog_active",
        "repl_backlog_size",
        "repl_backlog_first_byte_offset",
        "repl_backlog_histlen",
    ]);
    Ok(())
}

pub(super) fn cluster(page: &mut Page<'_, '_, '_>) -> Outcome {
    page.field("cluster_enabled", 0);
    Ok(())
}

pub(super) fn keyspace(page: &mut Page<'_, '_, '_>) -> Outcome {
    let populations = match populations(page.ctx) {
        Ok(populations) => populations,
        // The rest of the page is wanted all the more when the store does not answer.
        Err(Stop::Error(_) | Stop::Failed(_)) => return Ok(()),
        Err(other) => return Err(other),
    };
    for (database, Population { keys, expires, ttl_ms }) in populations {
        let name = format!("db{database}");
        page.field(&name, format_args!("keys={keys},expires={expires},avg_ttl={ttl_ms}"));
    }
    Ok(())
}

/// What there is in those of the client's databases that have keys, from one look at each: it is asked
/// for again and again.
pub fn populations(ctx: &Ctx<'_, '_>) -> Result<Vec<(u8, Population)>, Stop> {
    let (mut found, mut pending) = (Vec::new(), Ok(()));
    for database in 0..DATABASES {
        match ctx.view.population(ctx.client.tenant, database) {
            Ok(population) if population.keys > 0 => found.push((database, population)),
            Ok(_) => {}
            // Go on: the other databases are wanted too, all in one fetch.
            Err(Stop::Pending) => pending = Err(Stop::Pending),
            Err(other) => return Err(other),
        }
    }
    pending.map(|()| found)
}

/// What the store says of itself.
pub(super) fn store(page: &mut Page<'_, '_, '_>) -> Outcome {
    let store = &page.ctx.server.store;
    page.field("store", store.name());
    if !page.is_whole() {
        return Ok(());
    }
    let failure = store.write_failure();
    page.field("store_takes_writes", u8::from(failure.is_none()));
    if let Some(cause) = failure {
        page.line("store_write_failure", &cause);
    }
    for (name, text) in store.status() {
        page.line(&format!("store_{name}"), &text);
    }
    for (name, value) in store.figures() {
        page.field(&format!("store_{}", name.replace('-', "_")), value);
    }
    Ok(())
}

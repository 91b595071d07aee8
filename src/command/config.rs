//! `CONFIG`: tells the settings under the names Redis has for them, and under our own; changes none.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::Server;
use super::{Ctx, Outcome};
use crate::config::{Config, Durability, LogLevel, SETTINGS, StoreKind};
use crate::error;
use crate::glob;
use crate::limits::DATABASES;

type Value = fn(&Server) -> String;

/// Parameters of Redis that clients, graphical interfaces and exporters ask for, with what is true
/// here.
const PARAMETERS: &[(&str, Value)] = &[
    ("databases", |_| DATABASES.to_string()),
    ("maxclients", |server| server.config.maxclients.to_string()),
    ("port", |server| server.port.load(Ordering::Relaxed).to_string()),
    ("tls-port", |server| server.tls_port.load(Ordering::Relaxed).to_string()),
    ("bind", |server| addresses(&server.config)),
    ("unixsocket", |server| {
        server.config.unixsocket.as_ref().map_or(String::new(), |path| path.display().to_string())
    }),
    ("unixsocketperm", |server| format!("{:o}", server.config.unixsocketperm.unwrap_or(0))),
    ("protected-mode", |server| yes(server.config.protected_mode)),
    ("tcp-backlog", |server| server.config.tcp_backlog.to_string()),
    ("tcp-keepalive", |server| seconds(server.config.tcp_keepalive.unwrap_or_default())),
    ("timeout", |server| seconds(server.config.timeout.unwrap_or_default())),
    ("shutdown-timeout", |server| seconds(server.config.shutdown_timeout)),
    ("io-threads", |server| server.config.workers.to_string()),
    ("io-threads-do-reads", |_| yes(true)),
    ("maxmemory", |_| "0".to_owned()),
    ("maxmemory-policy", |_| "noeviction".to_owned()),
    ("maxmemory-samples", |_| "0".to_owned()),
    ("maxmemory-clients", |server| server.config.client_memory_max.to_string()),
    ("proto-max-bulk-len", |server| server.config.request_bytes_max.to_string()),
    ("client-query-buffer-limit", |server| server.config.request_bytes_max.to_string()),
    ("client-output-buffer-limit", |server| {
        let limit = server.config.output_buffer_limit;
        format!("normal {limit} 0 0 slave 0 0 0 pubsub {limit} 0 0")
    }),
    ("save", |_| String::new()),
    ("appendonly", |server| yes(is_durable(&server.config))),
    ("appendfsync", |server| appendfsync(&server.config).to_owned()),
    ("dir", |server| server.config.data_dir.display().to_string()),
    ("requirepass", |_| String::new()),
    ("replicaof", |_| String::new()),
    ("slaveof", |_| String::new()),
    ("cluster-enabled", |_| yes(false)),
    ("loglevel", |server| loglevel(server.config.loglevel).to_owned()),
    ("logfile", |_| String::new()),
    ("syslog-enabled", |_| yes(false)),
    ("daemonize", |_| yes(false)),
    ("supervised", |_| yes(false)),
    ("pidfile", |_| String::new()),
    ("notify-keyspace-events", |_| String::new()),
    ("slowlog-log-slower-than", |_| "-1".to_owned()),
    ("slowlog-max-len", |_| "0".to_owned()),
    ("latency-monitor-threshold", |_| "0".to_owned()),
    ("latency-tracking", |_| yes(true)),
    ("latency-tracking-info-percentiles", |_| "50 99 99.9".to_owned()),
    ("lazyfree-lazy-eviction", |_| yes(true)),
    ("lazyfree-lazy-expire", |_| yes(true)),
    ("lazyfree-lazy-server-del", |_| yes(true)),
    ("lazyfree-lazy-user-del", |_| yes(true)),
    ("lazyfree-lazy-user-flush", |_| yes(true)),
];

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn seconds(time: Duration) -> String {
    // Redis knows whole seconds only, and 0 means never.
    time.as_millis().div_ceil(1000).to_string()
}

fn addresses(config: &Config) -> String {
    let ips: Vec<_> =
        config.listen.iter().chain(&config.tls_listen).map(|addr| addr.ip().to_string()).collect();
    ips.join(" ")
}

/// Whether anything survives the process.
pub(super) fn is_durable(config: &Config) -> bool {
    config.store != StoreKind::Memory
}

fn appendfsync(config: &Config) -> &'static str {
    match (config.store, config.durability) {
        (StoreKind::Memory, _) | (_, Durability::None) => "no",
        (StoreKind::FoundationDb, _) | (_, Durability::Sync) => "always",
        (_, Durability::Interval) => "everysec",
    }
}

fn loglevel(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error | LogLevel::Warn => "warning",
        LogLevel::Info => "notice",
        LogLevel::Debug => "verbose",
        LogLevel::Trace => "debug",
    }
}

/// All names and values: Redis's, then our own settings that it has no name for.
fn parameters(server: &Server) -> impl Iterator<Item = (&'static str, String)> {
    let own = SETTINGS.iter().filter(|own| PARAMETERS.iter().all(|(name, _)| *name != own.name));
    PARAMETERS
        .iter()
        .map(|&(name, value)| (name, value(server)))
        .chain(own.map(|own| (own.name, own.text(&server.config).unwrap_or_default())))
}

pub(super) fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    // A name asked for exactly is told in the letters it was asked in.
    let mut found: Vec<(&[u8], String)> = Vec::new();
    for (name, value) in parameters(ctx.server) {
        let fits = |text: &&[u8]| glob::matches_ignoring_case(text, name.as_bytes());
        if let Some(text) = ctx.args.from(2).iter().find(fits) {
            let told = if glob::literal(text) { text } else { name.as_bytes() };
            found.push((told, value));
        }
    }
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(name);
        ctx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

pub(super) fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !ctx.args.len().is_multiple_of(2) {
        return Err(error::SYNTAX.into());
    }
    let name = String::from_utf8_lossy(ctx.arg(2));
    let known = parameters(ctx.server).any(|(known, _)| known.eq_ignore_ascii_case(&name));
    Err(if known {
        format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable \
             config: ringstone takes its settings from flags, file and environment at its start"
        )
    } else {
        format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
    }
    .into())
}

pub(super) fn rewrite(_: &mut Ctx<'_, '_>) -> Outcome {
    Err("ERR ringstone does not rewrite its configuration file; edit it and start again".into())
}

pub(super) fn resetstat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.server.stats.reset();
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_unique() {
        for (at, (name, _)) in PARAMETERS.iter().enumerate() {
            assert!(PARAMETERS[..at].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}

//! `CONFIG`: tells the settings under the names Redis has for them, and under our own; changes what is
//! noted about slow commands, and nothing else.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::Server;
use super::{Ctx, Outcome};
use crate::config::observation::{ADJUSTABLE, Adjustable};
use crate::config::{Config, Durability, LogLevel, SETTINGS, StoreKind};
use crate::error::{self, Stop};
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
    let own = own.filter(|own| Adjustable::by_name(own.name).is_none());
    let observed = server.observing.settings();
    let adjustable = ADJUSTABLE.iter().map(move |one| (one.name, (one.show)(&observed)));
    PARAMETERS
        .iter()
        .map(|&(name, value)| (name, value(server)))
        .chain(adjustable)
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

/// Changes those parameters that can be, all or none. It has its effect at once, so that what follows in a
/// pipeline sees it; again does no harm.
pub(super) fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !ctx.args.len().is_multiple_of(2) {
        return Err(error::SYNTAX.into());
    }
    let texts: Vec<_> = ctx.args.from(2).iter().map(String::from_utf8_lossy).collect();
    let mut changes: Vec<(&Adjustable, &str)> = Vec::new();
    for pair in texts.chunks_exact(2) {
        let (name, value) = (&pair[0], &pair[1]);
        let Some(adjustable) = Adjustable::by_name(name) else {
            let mut known = parameters(ctx.server);
            return Err(match known.any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                true => failed(name, IMMUTABLE),
                false => {
                    format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
                        .into()
                }
            });
        };
        if changes.iter().any(|(other, _)| std::ptr::eq(*other, adjustable)) {
            return Err(failed(name, "duplicate parameter"));
        }
        changes.push((adjustable, value));
    }
    ctx.server.observing.adjust(|settings| {
        changes.into_iter().try_for_each(|(Adjustable { name, read, .. }, value)| {
            read(settings, value).map_err(|problem| failed(name, &problem))
        })
    })?;
    ctx.reply.ok();
    Ok(())
}

const IMMUTABLE: &str = "can't set immutable config: ringstone takes its settings from flags, file and \
    environment at its start";

fn failed(name: &str, problem: &str) -> Stop {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {problem}").into()
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

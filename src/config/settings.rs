//! The table of settings: one row declares a setting for every source and for `--help`.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;

use super::observation::Adjustable;
use super::value::{
    Word, address, address_or_off, duration, duration_or_off, duration_text, permissions, size,
    size_text, whole, word, word_text,
};
use super::{Config, limits};

/// Under which heading `--help` lists a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Addresses, threads, connections' lives.
    Serving,
    /// Who may do what.
    Access,
    /// Where the data lives.
    Store,
    /// How commands share transactions.
    Grouping,
    /// What one client, or all of them, may use.
    Limits,
    /// What is told to the operator.
    Logging,
}

impl Group {
    /// The heading itself.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Serving => "Serving",
            Group::Access => "Access",
            Group::Store => "Store",
            Group::Grouping => "Grouping",
            Group::Limits => "Limits",
            Group::Logging => "Logging",
        }
    }
}

/// One setting: its name, what `--help` says, and how its text becomes a field of [`Config`].
pub struct Setting {
    /// The name: a flag after `--`, a key of the file, and, in capitals and with underscores, an
    /// environment variable after `RINGSTONE_`.
    pub name: &'static str,
    /// Heading in `--help`.
    pub group: Group,
    /// What the value looks like, for `--help`.
    pub value: &'static str,
    /// What the setting does, for `--help`, without its default.
    pub help: &'static str,
    /// Reads the text, empty only for a list, into its field, or says what is wrong with it.
    pub(super) read: fn(&mut Config, &str) -> Result<(), String>,
    /// The field's value as the file would have it; `None` if unset.
    pub(super) show: fn(&Config) -> Option<Value>,
}

impl Setting {
    /// Whether the setting is a list: given several times on the command line, an array in the
    /// file, separated by commas in the environment.
    pub fn is_list(&self) -> bool {
        matches!(self.name, "listen" | "tls-listen" | "auth-public-key" | "auth-public-key-file")
    }

    /// The name of the environment variable.
    pub fn variable(&self) -> String {
        format!("RINGSTONE_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The value in `config` as a person writes it; `None` if unset.
    pub fn text(&self, config: &Config) -> Option<String> {
        let elements = match (self.show)(config)? {
            Value::Array(elements) => elements,
            single => vec![single],
        };
        let plain = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        Some(elements.iter().map(plain).collect::<Vec<_>>().join(","))
    }
}

#[cfg(feature = "fdb")]
const STORE_HELP: &str = "What keeps the data: this process's memory, a directory of this machine, or a FoundationDB \
     cluster, which any number of processes may share";
#[cfg(not(feature = "fdb"))]
const STORE_HELP: &str = "What keeps the data: this process's memory or a directory of this machine; foundationdb, a \
     cluster, is refused, as this build has no support for it";

/// Every setting, in the order of `--help`.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        group: Group::Serving,
        value: "ADDR:PORT",
        help: "TCP address to serve; may be given several times, port 0 takes a free port, and an \
               empty value serves no TCP",
        read: |config, text| put(&mut config.listen, addresses(text)),
        show: |config| address_list(&config.listen),
    },
    Setting {
        name: "tls-listen",
        group: Group::Serving,
        value: "ADDR:PORT",
        help: "TCP address to serve over TLS, with tls-cert and tls-key; may be given several times",
        read: |config, text| put(&mut config.tls_listen, addresses(text)),
        show: |config| address_list(&config.tls_listen).filter(|_| !config.tls_listen.is_empty()),
    },
    Setting {
        name: "tls-cert",
        group: Group::Serving,
        value: "PATH",
        help: "Certificate of the TLS listeners and the chain to its CA, in PEM; this and the other \
               TLS files are read again when they change, and on SIGHUP",
        read: |config, text| put(&mut config.tls_cert, Ok(Some(text.into()))),
        show: |config| path_value(&config.tls_cert),
    },
    Setting {
        name: "tls-key",
        group: Group::Serving,
        value: "PATH",
        help: "Private key of tls-cert, in PEM, without a passphrase",
        read: |config, text| put(&mut config.tls_key, Ok(Some(text.into()))),
        show: |config| path_value(&config.tls_key),
    },
    Setting {
        name: "tls-client-ca",
        group: Group::Serving,
        value: "PATH",
        help: "Certificates of the CAs, in PEM, that sign the certificates of TLS clients",
        read: |config, text| put(&mut config.tls_client_ca, Ok(Some(text.into()))),
        show: |config| path_value(&config.tls_client_ca),
    },
    Setting {
        name: "tls-client-auth",
        group: Group::Serving,
        value: "off|optional|required",
        help: "Whether TLS clients must show a certificate; required if tls-client-ca is given, else \
               off",
        read: |config, text| put(&mut config.tls_client_auth, word(text).map(Some)),
        show: |config| config.tls_client_auth.and_then(named),
    },
    Setting {
        name: "tls-handshake-timeout",
        group: Group::Serving,
        value: "TIME",
        help: "Close a connection that takes longer for its TLS handshake",
        read: |config, text| put(&mut config.tls_handshake_timeout, duration(text, up_to(HOUR))),
        show: |config| Some(duration_value(config.tls_handshake_timeout)),
    },
    Setting {
        name: "unixsocket",
        group: Group::Serving,
        value: "PATH",
        help: "Unix socket to serve",
        read: |config, text| put(&mut config.unixsocket, socket_path(text).map(Some)),
        show: |config| path_value(&config.unixsocket),
    },
    Setting {
        name: "unixsocketperm",
        group: Group::Serving,
        value: "MODE",
        help: "Permissions of the Unix socket, in octal; the umask decides if not given",
        read: |config, text| put(&mut config.unixsocketperm, permissions(text).map(Some)),
        show: |config| config.unixsocketperm.map(|bits| quoted(format!("{bits:03o}"))),
    },
    Setting {
        name: "protected-mode",
        group: Group::Serving,
        value: "yes|no",
        help: "Refuse clients from other machines, since there is no authentication",
        read: |config, text| put(&mut config.protected_mode, word(text)),
        show: |config| named(config.protected_mode),
    },
    Setting {
        name: "auth-public-key",
        group: Group::Access,
        value: "[ID:]ed25519/HEX",
        help: "Key whose tokens clients may show; may be given several times. With one, clients \
               need a token",
        read: |config, text| put(&mut config.auth_public_key, list(text, str::parse)),
        show: |config| shown_list(&config.auth_public_key),
    },
    Setting {
        name: "auth-public-key-file",
        group: Group::Access,
        value: "PATH",
        help: "File with such keys, one a line, or one in PEM; may be given several times",
        read: |config, text| {
            put(&mut config.auth_public_key_file, list(text, |path| Ok(path.into())))
        },
        show: |config| {
            let paths = config.auth_public_key_file.iter().map(|path| path.to_string_lossy());
            shown_list(&paths.collect::<Vec<_>>())
        },
    },
    Setting {
        name: "auth-revoked-file",
        group: Group::Access,
        value: "PATH",
        help: "File with the revocation ids of tokens that are no longer accepted, one a line, as \
               `ringstone token revoke-id` prints them; it is read again when it changes",
        read: |config, text| put(&mut config.auth_revoked_file, Ok(Some(text.into()))),
        show: |config| config.auth_revoked_file.as_ref().map(|path| quoted(path.to_string_lossy())),
    },
    Setting {
        name: "workers",
        group: Group::Serving,
        value: "N",
        help: "Worker threads, each with its own event loop; half as many as processors if not given",
        read: |config, text| put(&mut config.workers, whole(text, 1..=limits::WORKERS_MAX)),
        show: |config| count(config.workers),
    },
    Setting {
        name: "tcp-backlog",
        group: Group::Serving,
        value: "N",
        help: "Connections the system queues for a listener; it may allow fewer (somaxconn)",
        read: |config, text| put(&mut config.tcp_backlog, backlog(text)),
        show: |config| count(config.tcp_backlog.into()),
    },
    Setting {
        name: "tcp-keepalive",
        group: Group::Serving,
        value: "TIME",
        help: "Idle time before TCP keepalive probes, in whole seconds; 0 sends none",
        read: |config, text| put(&mut config.tcp_keepalive, keepalive(text)),
        show: |config| Some(duration_value(config.tcp_keepalive.unwrap_or_default())),
    },
    Setting {
        name: "timeout",
        group: Group::Serving,
        value: "TIME",
        help: "Close a connection that is idle for this long; 0 never does",
        read: |config, text| put(&mut config.timeout, duration_or_off(text, up_to(YEAR))),
        show: |config| Some(duration_value(config.timeout.unwrap_or_default())),
    },
    Setting {
        name: "metrics-listen",
        group: Group::Serving,
        value: "ADDR:PORT|off",
        help: "Address of /metrics, /live and /ready, over HTTP",
        read: |config, text| put(&mut config.metrics_listen, address_or_off(text)),
        show: |config| {
            let address = config.metrics_listen.map(|address| address.to_string());
            Some(quoted(address.unwrap_or_else(|| "off".to_owned())))
        },
    },
    Setting {
        name: "metrics-tenants",
        group: Group::Serving,
        value: "yes|no",
        help: "Whether metrics tell tenants apart; each that has connections adds half a dozen series",
        read: |config, text| put(&mut config.metrics_tenants, word(text)),
        show: |config| named(config.metrics_tenants),
    },
    Setting {
        name: "shutdown-timeout",
        group: Group::Serving,
        value: "TIME",
        help: "How long SIGTERM, SIGINT and SHUTDOWN wait for what is in flight",
        read: |config, text| put(&mut config.shutdown_timeout, duration(text, up_to(HOUR))),
        show: |config| Some(duration_value(config.shutdown_timeout)),
    },
    Setting {
        name: "store",
        group: Group::Store,
        value: "memory|embedded|foundationdb",
        help: STORE_HELP,
        read: |config, text| put(&mut config.store, word(text)),
        show: |config| named(config.store),
    },
    Setting {
        name: "data-dir",
        group: Group::Store,
        value: "PATH",
        help: "Directory of the embedded store; one process at a time",
        read: |config, text| put(&mut config.data_dir, Ok(text.into())),
        show: |config| Some(quoted(config.data_dir.to_string_lossy())),
    },
    Setting {
        name: "durability",
        group: Group::Store,
        value: "sync|interval|none",
        help: "When a write to the embedded store is synced: before its reply, every \
               durability-interval, or when the system likes; only sync keeps every acknowledged \
               write across a power loss",
        read: |config, text| put(&mut config.durability, word(text)),
        show: |config| named(config.durability),
    },
    Setting {
        name: "durability-interval",
        group: Group::Store,
        value: "TIME",
        help: "Time between syncs under --durability interval",
        read: |config, text| put(&mut config.durability_interval, duration(text, up_to(HOUR))),
        show: |config| Some(duration_value(config.durability_interval)),
    },
    Setting {
        name: "cache-bytes",
        group: Group::Store,
        value: "SIZE",
        help: "Memory for records of the embedded store that are read again",
        read: |config, text| put(&mut config.cache_bytes, size(text, memory_from(1 << 20))),
        show: |config| Some(size_value(config.cache_bytes)),
    },
    Setting {
        name: "cluster-file",
        group: Group::Store,
        value: "PATH",
        help: "Cluster file of FoundationDB; if not given, the one that FDB_CLUSTER_FILE names, or \
               /etc/foundationdb/fdb.cluster",
        read: |config, text| put(&mut config.cluster_file, Ok(Some(text.into()))),
        show: |config| path_value(&config.cluster_file),
    },
    Setting {
        name: "fdb-root",
        group: Group::Store,
        value: "PATH",
        help: "Directory of the FoundationDB cluster that has the data, its parts separated by \
               slashes; processes with the same one serve the same data",
        read: |config, text| put(&mut config.fdb_root, path_parts(text)),
        show: |config| Some(quoted(config.fdb_root.join("/"))),
    },
    Setting {
        name: "group-commands-max",
        group: Group::Grouping,
        value: "N",
        help: "Commands that share a transaction at most; 1 gives each its own, unaware of the others",
        read: |config, text| {
            put(&mut config.group_commands_max, whole(text, 1..=limits::GROUP_COMMANDS_MAX))
        },
        show: |config| count(config.group_commands_max),
    },
    Setting {
        name: "group-bytes-max",
        group: Group::Grouping,
        value: "SIZE",
        help: "Bytes a transaction writes before it is full; a command that is larger by itself, \
               up to request-bytes-max, gets a transaction of its own",
        read: |config, text| {
            put(&mut config.group_bytes_max, size(text, 1 << 10..=limits::TRANSACTION_BYTES_MAX))
        },
        show: |config| Some(size_value(config.group_bytes_max)),
    },
    Setting {
        name: "groups-in-flight-max",
        group: Group::Grouping,
        value: "N",
        help: "Groups in flight at once, at most, on FoundationDB: so many that write, and so many of \
               each worker that read; the memory and embedded stores commit one at a time",
        read: |config, text| {
            put(&mut config.groups_in_flight_max, whole(text, 1..=limits::GROUPS_IN_FLIGHT_MAX))
        },
        show: |config| count(config.groups_in_flight_max),
    },
    Setting {
        name: "maxclients",
        group: Group::Limits,
        value: "N",
        help: "Connections at once, at most",
        read: |config, text| put(&mut config.maxclients, whole(text, 1..=limits::CLIENTS_MAX)),
        show: |config| count(config.maxclients),
    },
    Setting {
        name: "request-bytes-max",
        group: Group::Limits,
        value: "SIZE",
        help: "Longest request, and with it the longest value; at most 8mb",
        read: |config, text| {
            let range = limits::INLINE_BYTES_MAX..=limits::REQUEST_BYTES_MAX;
            put(&mut config.request_bytes_max, size(text, range))
        },
        show: |config| Some(size_value(config.request_bytes_max)),
    },
    Setting {
        name: "output-buffer-limit",
        group: Group::Limits,
        value: "SIZE",
        help: "Bytes of replies that one request or EXEC may make, and of requests that may pile up \
               while a client does not read its replies, before the connection is closed; at \
               least request-bytes-max",
        read: |config, text| {
            put(&mut config.output_buffer_limit, size(text, memory_from(limits::INLINE_BYTES_MAX)))
        },
        show: |config| Some(size_value(config.output_buffer_limit)),
    },
    Setting {
        name: "client-memory-max",
        group: Group::Limits,
        value: "SIZE",
        help: "Bytes of all connections together for receive buffers larger than 32kb and for \
               replies over 256kb while they are being sent; at least request-bytes-max",
        read: |config, text| {
            put(&mut config.client_memory_max, size(text, memory_from(limits::INLINE_BYTES_MAX)))
        },
        show: |config| Some(size_value(config.client_memory_max)),
    },
    Setting {
        name: "loglevel",
        group: Group::Logging,
        value: "error|warn|info|debug|trace",
        help: "Least severe events to log, to standard error",
        read: |config, text| put(&mut config.loglevel, word(text)),
        show: |config| named(config.loglevel),
    },
    Setting {
        name: "log-format",
        group: Group::Logging,
        value: "human|json",
        help: "Form of the log: for a reader, or one JSON object a line",
        read: |config, text| put(&mut config.log_format, word(text)),
        show: |config| named(config.log_format),
    },
    Setting {
        name: "slowlog-log-slower-than",
        group: Group::Logging,
        value: "MICROSECONDS",
        help: "Note commands in SLOWLOG whose replies took this long; 0 notes all, -1 none",
        read: |config, text| adjust(config, "slowlog-log-slower-than", text),
        show: |config| Some(Value::Integer(config.observation.slower_than_us)),
    },
    Setting {
        name: "slowlog-max-len",
        group: Group::Logging,
        value: "N",
        help: "Entries of SLOWLOG that are kept of each tenant; 16384 if it is more",
        read: |config, text| adjust(config, "slowlog-max-len", text),
        show: |config| count(config.observation.slowlog_len_max),
    },
    Setting {
        name: "latency-monitor-threshold",
        group: Group::Logging,
        value: "MILLISECONDS",
        help: "Remember what took this long for LATENCY; 0 remembers nothing",
        read: |config, text| adjust(config, "latency-monitor-threshold", text),
        show: |config| count(config.observation.latency_threshold_ms as usize),
    },
    Setting {
        name: "latency-tracking",
        group: Group::Logging,
        value: "yes|no",
        help: "Measure how long commands take and what for, for INFO latencystats, LATENCY, SLOWLOG \
               and the metrics",
        read: |config, text| put(&mut config.observation.latency_tracking, word(text)),
        show: |config| named(config.observation.latency_tracking),
    },
    Setting {
        name: "latency-tracking-info-percentiles",
        group: Group::Logging,
        value: "NUMBERS",
        help: "Percentiles that INFO latencystats tells, separated by spaces",
        read: |config, text| adjust(config, "latency-tracking-info-percentiles", text),
        show: |config| Some(quoted(config.observation.percentiles.to_string())),
    },
];

const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// The longest idle time Linux accepts for keepalive (`MAX_TCP_KEEPIDLE`).
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

fn put<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

/// Sets one of those that `CONFIG SET` may change later.
fn adjust(config: &mut Config, name: &str, text: &str) -> Result<(), String> {
    let setting = Adjustable::by_name(name).expect("it is one of those that can be changed");
    (setting.read)(&mut config.observation, text)
}

fn up_to(most: Duration) -> RangeInclusive<Duration> {
    Duration::from_millis(1)..=most
}

fn memory_from(least: usize) -> RangeInclusive<usize> {
    least..=limits::MEMORY_BYTES_MAX
}

/// The parts of `text`, each read by `read`.
fn list<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(read).collect()
}

fn shown_list(values: &[impl ToString]) -> Option<Value> {
    let values = values.iter().map(|value| quoted(value.to_string()));
    (values.len() != 0).then(|| Value::Array(values.collect()))
}

fn addresses(text: &str) -> Result<Vec<std::net::SocketAddr>, String> {
    let mut addresses = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let address = address(part)?;
        // Two listeners on one address would share its port without anybody noticing.
        if address.port() != 0 && addresses.contains(&address) {
            return Err(format!("{address} is given twice"));
        }
        addresses.push(address);
    }
    if addresses.len() > limits::LISTENERS_MAX {
        let most = limits::LISTENERS_MAX;
        return Err(format!("{} addresses are more than {most}", addresses.len()));
    }
    Ok(addresses)
}

fn path_parts(text: &str) -> Result<Vec<String>, String> {
    let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
    if parts.iter().any(String::is_empty) {
        return Err(format!("{text} is not a path such as ringstone or prod/cache"));
    }
    Ok(parts)
}

fn socket_path(text: &str) -> Result<std::path::PathBuf, String> {
    if text.len() > limits::UNIX_SOCKET_PATH_BYTES_MAX {
        let most = limits::UNIX_SOCKET_PATH_BYTES_MAX;
        return Err(format!("the path is longer than {most} bytes, which a socket's may not be"));
    }
    Ok(text.into())
}

fn backlog(text: &str) -> Result<u16, String> {
    let backlog = whole(text, 1..=u16::MAX.into())?;
    Ok(u16::try_from(backlog).expect("the range ends at the largest u16"))
}

fn keepalive(text: &str) -> Result<Option<Duration>, String> {
    let time = duration_or_off(text, Duration::from_secs(1)..=KEEPALIVE_MAX)?;
    match time {
        Some(time) if time.subsec_millis() != 0 => Err(format!("{text} is not whole seconds")),
        time => Ok(time),
    }
}

fn quoted(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

fn address_list(addresses: &[std::net::SocketAddr]) -> Option<Value> {
    Some(Value::Array(addresses.iter().map(|address| quoted(address.to_string())).collect()))
}

fn path_value(path: &Option<std::path::PathBuf>) -> Option<Value> {
    path.as_ref().map(|path| quoted(path.to_string_lossy()))
}

fn count(number: usize) -> Option<Value> {
    Some(Value::Integer(i64::try_from(number).expect("no limit is past the integers of TOML")))
}

fn named(value: impl Word) -> Option<Value> {
    Some(quoted(word_text(value)))
}

fn size_value(bytes: usize) -> Value {
    quoted(size_text(bytes))
}

fn duration_value(time: Duration) -> Value {
    quoted(duration_text(time))
}

#[cfg(test)]
mod tests;

//! The settings of the process: what they are, where they come from, what they may be.
//!
//! A setting has one name everywhere (`--group-commands-max` on the command line,
//! `group-commands-max` in the TOML file, `RINGSTONE_GROUP_COMMANDS_MAX` in the environment) and is
//! declared once, as a row of [`SETTINGS`]. Every source hands over text, so a value is read and
//! checked the same way wherever it was written. `cli` calls [`Config::load`] at start; no
//! setting changes afterwards, but [`Observation`] says only how it begins.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::{self, Authenticator, RootKey};
use crate::limits;

mod load;
pub mod observation;
mod settings;
mod value;

pub use load::{CommandLine, ConfigError, Origins, ReadFile};
pub use observation::Observation;
pub use settings::{Group, SETTINGS, Setting};
pub use value::{size, whole};

/// Where metrics are served unless told otherwise.
pub const METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9121);

/// Everything ringstone can be told, checked: each value is within its bounds and fits the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Addresses served over TCP, each listed once. Port 0 asks the system for a free port. Empty
    /// only if `tls_listen` has any or `unixsocket` is set.
    pub listen: Vec<SocketAddr>,
    /// Addresses served over TLS, none of them in `listen`; `tls_cert` and `tls_key` are set exactly
    /// if there are any.
    pub tls_listen: Vec<SocketAddr>,
    /// File with the certificate of the TLS listeners and its chain.
    pub tls_cert: Option<PathBuf>,
    /// File with the private key of `tls_cert`.
    pub tls_key: Option<PathBuf>,
    /// File with the CAs of client certificates; only with `tls_listen`.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate; see [`Config::client_auth`].
    pub tls_client_auth: Option<ClientAuth>,
    /// How long a TLS handshake may take.
    pub tls_handshake_timeout: Duration,
    /// Path of the Unix socket served, at most [`limits::UNIX_SOCKET_PATH_BYTES_MAX`] bytes.
    pub unixsocket: Option<PathBuf>,
    /// Permission bits of the Unix socket; the process's umask decides if unset.
    pub unixsocketperm: Option<u32>,
    /// Serve only loopback and the Unix socket while no authentication is configured.
    pub protected_mode: bool,
    /// Keys whose tokens are accepted; with any, here or in `auth_public_key_file`, clients need one.
    pub auth_public_key: Vec<RootKey>,
    /// Files with such keys; [`Config::authenticator`] reads them.
    pub auth_public_key_file: Vec<PathBuf>,
    /// File with the revocation ids of tokens that are no longer accepted; only with keys.
    pub auth_revoked_file: Option<PathBuf>,
    /// Worker threads, 1 to [`limits::WORKERS_MAX`].
    pub workers: usize,
    /// Connections the system queues for each listener before they are accepted.
    pub tcp_backlog: u16,
    /// Idle time before TCP keepalive probes, in whole seconds; `None` sends no probes.
    pub tcp_keepalive: Option<Duration>,
    /// A connection idle for this long is closed; `None` keeps it.
    pub timeout: Option<Duration>,
    /// Address of the Prometheus endpoint; `None` serves no metrics. [`METRICS_LISTEN`] is given up where another
    /// process has it.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether metrics have figures by tenant.
    pub metrics_tenants: bool,
    /// How long a stopping process waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// Which store keeps the data.
    pub store: StoreKind,
    /// Directory of the embedded store.
    pub data_dir: PathBuf,
    /// What the reply to a write waits for.
    pub durability: Durability,
    /// Time between syncs under [`Durability::Interval`].
    pub durability_interval: Duration,
    /// Names the FoundationDB cluster; `None` is the file that `FDB_CLUSTER_FILE` names, or
    /// FoundationDB's usual one.
    pub cluster_file: Option<PathBuf>,
    /// Path of the cluster's directory that has the data; no part is empty.
    pub fdb_root: Vec<String>,
    /// Bytes of records the embedded store's cache may hold.
    pub cache_bytes: usize,
    /// Commands one group executes at most.
    pub group_commands_max: usize,
    /// Bytes of mutations at which a group is full. A command that is larger by itself makes a
    /// group of its own, so this may be less than `request_bytes_max`.
    pub group_bytes_max: usize,
    /// Groups in flight at once, at most, on stores across a network: so many that write, and so many of
    /// each worker that only read. The memory and embedded stores commit one group at a time.
    pub groups_in_flight_max: usize,
    /// Connections served at once, at most.
    pub maxclients: usize,
    /// Longest request, and with it the longest value, in bytes.
    pub request_bytes_max: usize,
    /// Bytes of replies one request may make, and of requests that may pile up while a client does
    /// not read its replies, before the connection is closed; at least `request_bytes_max`, so that
    /// every value can be read.
    pub output_buffer_limit: usize,
    /// Bytes of all connections together for receive buffers larger than
    /// [`limits::IDLE_BUFFER_BYTES_MAX`] and for replies over [`limits::BATCH_REPLY_BYTES`] while
    /// they are being sent; at least `request_bytes_max`.
    pub client_memory_max: usize,
    /// What is noted about slow commands at first; `CONFIG SET` may change it.
    pub observation: Observation,
    /// Least severe events that are logged.
    pub loglevel: LogLevel,
    /// How events are written to standard error.
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 6379))],
            tls_listen: Vec::new(),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_auth: None,
            tls_handshake_timeout: Duration::from_secs(5),
            unixsocket: None,
            unixsocketperm: None,
            protected_mode: true,
            auth_public_key: Vec::new(),
            auth_public_key_file: Vec::new(),
            auth_revoked_file: None,
            // The other half is for the writer, checkpoints and the system's network stack.
            workers: std::thread::available_parallelism()
                .map_or(1, |count| count.get().div_ceil(2).min(limits::WORKERS_MAX)),
            tcp_backlog: 511,
            tcp_keepalive: Some(Duration::from_secs(300)),
            timeout: None,
            metrics_listen: Some(METRICS_LISTEN),
            metrics_tenants: false,
            shutdown_timeout: Duration::from_secs(10),
            store: StoreKind::Embedded,
            data_dir: PathBuf::from("./ringstone-data"),
            durability: Durability::Sync,
            durability_interval: Duration::from_secs(1),
            cluster_file: None,
            fdb_root: vec!["ringstone".to_owned()],
            cache_bytes: 256 << 20,
            group_commands_max: 4096,
            group_bytes_max: 1 << 20,
            groups_in_flight_max: 4,
            maxclients: 10_000,
            request_bytes_max: limits::REQUEST_BYTES_DEFAULT,
            output_buffer_limit: 256 << 20,
            client_memory_max: 1 << 30,
            observation: Observation::default(),
            loglevel: LogLevel::Info,
            log_format: LogFormat::Human,
        }
    }
}

impl Config {
    /// Whether clients need a token.
    pub fn has_keys(&self) -> bool {
        !self.auth_public_key.is_empty() || !self.auth_public_key_file.is_empty()
    }

    /// Who verifies tokens, for commands with numbers below `commands`; `None` if nobody needs one.
    /// Reads the files that the settings name: one that cannot be read, or has something else in it, is
    /// an error.
    pub fn authenticator(&self, commands: usize) -> Result<Option<Authenticator>, ConfigError> {
        let mut keys = self.auth_public_key.clone();
        for path in &self.auth_public_key_file {
            let found = auth::keys_of_file(path);
            keys.extend(found.map_err(|why| ConfigError::new("auth-public-key-file", why))?);
        }
        if keys.len() > limits::ROOT_KEYS_MAX {
            let why = format!("{} keys are more than {}", keys.len(), limits::ROOT_KEYS_MAX);
            return Err(ConfigError::new("auth-public-key", why));
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let authenticator = Authenticator::new(keys, self.auth_revoked_file.as_deref(), commands);
        authenticator.map(Some).map_err(|why| ConfigError::new("auth-revoked-file", why))
    }

    /// Whether TLS clients must show a certificate.
    pub fn client_auth(&self) -> ClientAuth {
        self.tls_client_auth.unwrap_or(match self.tls_client_ca {
            Some(_) => ClientAuth::Required,
            None => ClientAuth::Off,
        })
    }
}

/// Whether TLS clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    Off,
    /// They are asked, and what they show must be right.
    Optional,
    /// Those without one are refused.
    Required,
}

/// Which store keeps the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// An ordered map in memory: nothing survives the process.
    Memory,
    /// A directory on this machine, owned by this process.
    Embedded,
    /// A FoundationDB cluster.
    FoundationDb,
}

/// What the reply to a write waits for in the embedded store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `fdatasync`: an acknowledged write survives power loss.
    Sync,
    /// Written, and synced every [`Config::durability_interval`].
    Interval,
    /// Written; the operating system decides when it reaches the disk.
    None,
}

/// How severe an event has to be to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What needs somebody's attention.
    Error,
    /// And what may come to need it.
    Warn,
    /// And what an operator wants to know: start, stop, addresses.
    Info,
    /// And what explains decisions.
    Debug,
    /// And everything, that of the libraries included.
    Trace,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a reader.
    Human,
    /// One JSON object a line.
    Json,
}

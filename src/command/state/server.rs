//! The process, as commands see it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

use super::{Client, ClientShared, HeldByAll};
use crate::auth::Authenticator;
use crate::clock;
use crate::command::allowance::Allowances;
use crate::command::blocking::Blocked;
use crate::command::client_memory::Budget;
use crate::command::monitor::Monitors;
use crate::command::observing::Observing;
use crate::command::pause::Pause;
use crate::command::stats::{Ending, Stats};
use crate::config::Config;
use crate::data::ProcessId;
use crate::data::usage::Usages;
use crate::limits::{REGISTERED_BUFFER_BYTES, SEQUENCE_BLOCK};
use crate::metrics::process;
use crate::store::Store;

/// The process, as commands see it.
pub struct Server {
    /// How it was configured.
    pub config: Config,
    /// Where the data is.
    pub store: Arc<dyn Store>,
    /// Tells this process from all others that ever used the store.
    pub process: ProcessId,
    /// What it has done.
    pub stats: Stats,
    /// `CLIENT PAUSE`.
    pub pause: Pause,
    /// Who is shown what others do.
    pub monitors: Arc<Monitors>,
    /// What tenants store, where only the store knows.
    pub usages: Usages,
    /// What is noted about slow commands.
    pub observing: Observing,
    /// Memory that large buffers of connections take.
    pub client_memory: Arc<Budget>,
    /// Who waits for data.
    pub blocked: Blocked,
    /// When it started.
    pub started: Instant,
    /// The same in milliseconds since the Unix epoch, as the wall clock said then: set right or slewed
    /// later, it would make the start move.
    pub started_unix_ms: u64,
    /// Memory of its own that it had before it served anybody, in bytes.
    pub startup_bytes: u64,
    /// Told apart from every other run by this, 40 hexadecimal digits.
    pub run_id: String,
    /// What tenants may use.
    pub allowances: Allowances,
    /// Verifies tokens; `None` where none are needed.
    pub auth: Option<Arc<Authenticator>>,
    /// The TCP port served without TLS, once bound; 0 without one.
    pub port: AtomicU16,
    /// The TCP port served with TLS, once bound; 0 without one.
    pub tls_port: AtomicU16,
    /// It is about to end: new connections are not accepted any more.
    pub stopping: AtomicBool,
    stop: OnceLock<Sender<()>>,
    clients: Mutex<HashMap<u64, Arc<ClientShared>>>,
    next_client: AtomicU64,
}

impl Server {
    /// A process over `store`.
    pub fn new(config: Config, store: Arc<dyn Store>) -> Server {
        let process = store.next_sequence();
        let first_client = match store.local() {
            Some(_) => 1,
            // Processes on one store must not give the same id to two connections.
            None => ((process / SEQUENCE_BLOCK) << 32) + 1,
        };
        Server {
            process,
            client_memory: Budget::new(config.client_memory_max),
            observing: Observing::new(config.observation.clone()),
            config,
            store,
            stats: Stats::default(),
            pause: Pause::default(),
            monitors: Arc::default(),
            usages: Usages::default(),
            blocked: Blocked::default(),
            started: clock::monotonic(),
            started_unix_ms: clock::unix_ms(),
            startup_bytes: process::Memory::read().own_resident,
            run_id: run_id(),
            allowances: Allowances::default(),
            auth: None,
            port: AtomicU16::new(0),
            tls_port: AtomicU16::new(0),
            stopping: AtomicBool::new(false),
            stop: OnceLock::new(),
            clients: Mutex::default(),
            next_client: AtomicU64::new(first_client),
        }
    }

    /// Says how `SHUTDOWN` ends the process.
    pub fn on_shutdown(&self, stop: Sender<()>) {
        let first = self.stop.set(stop).is_ok();
        debug_assert!(first, "there is one way to stop");
    }

    /// Whether there is anybody to ask for a stop.
    pub fn can_shut_down(&self) -> bool {
        self.stop.get().is_some()
    }

    /// Asks the process to stop as `SIGTERM` does.
    pub(super) fn shut_down(&self) {
        if let Some(stop) = self.stop.get() {
            // Nobody listens any more when it is stopping already.
            let _ = stop.send(());
        }
    }

    /// Milliseconds since the process started.
    pub fn uptime_ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_millis() as u64
    }

    /// Microseconds since the process started.
    pub fn uptime_us(&self) -> u64 {
        clock::monotonic().saturating_duration_since(self.started).as_micros() as u64
    }

    /// An id for a new connection.
    pub fn next_client_id(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a connection visible.
    pub fn add_client(&self, client: &Arc<ClientShared>) {
        self.clients.lock().insert(client.id, Arc::clone(client));
    }

    /// Forgets a connection.
    pub fn remove_client(&self, id: u64) {
        self.clients.lock().remove(&id);
    }

    /// The connections that a client may know of, oldest first.
    pub fn clients_seen_by(&self, client: &Client) -> Vec<Arc<ClientShared>> {
        let mut clients = self.clients();
        clients.retain(|other| client.may_see(other));
        clients
    }

    /// All connections, oldest first.
    pub fn clients(&self) -> Vec<Arc<ClientShared>> {
        let mut clients: Vec<_> = self.clients.lock().values().cloned().collect();
        clients.sort_unstable_by_key(|client| client.id);
        clients
    }

    /// What the connections that a client may know of hold in memory.
    pub fn held_by_clients_of(&self, client: &Client) -> HeldByAll {
        let mut held = HeldByAll::default();
        let clients = self.clients.lock();
        for other in clients.values().filter(|other| client.may_see(other)) {
            held.add(other.held());
        }
        held
    }

    /// Reads the revocation list again, and ends the connections whose tokens it names if it is another.
    pub fn end_revoked(&self) {
        let Some(auth) = &self.auth else { return };
        match auth.reload() {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!("the revocation list has been read again");
                let revoked = |client: &Arc<ClientShared>| {
                    client.grant.lock().as_ref().is_some_and(|grant| grant.is_revoked())
                };
                self.clients()
                    .into_iter()
                    .filter(revoked)
                    .for_each(|client| client.kill(Ending::Revoked));
            }
            Err(problem) => {
                tracing::warn!(%problem, "the revocation list is not right; the old one stays in use");
            }
        }
    }

    /// Memory that the buffers of connections take, large and registered ones, in bytes.
    pub fn client_bytes(&self) -> u64 {
        let registered = self.stats.loop_totals(0).buffers_in_use * REGISTERED_BUFFER_BYTES as u64;
        registered + self.client_memory.used() as u64
    }

    /// Number of connections.
    pub fn clients_len(&self) -> usize {
        self.clients.lock().len()
    }
}

fn run_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let word = |salt: u64| RandomState::new().hash_one((salt, clock::unix_us()));
    format!("{:016x}{:016x}{:08x}", word(0), word(1), word(2) as u32)
}

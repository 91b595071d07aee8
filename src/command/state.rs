//! The state commands act on beside the data: one connection's, and the process's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::Config;
use crate::data::{Stamp, Tenant};
use crate::store::Store;

/// A key under `WATCH`, and what it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Its database.
    pub database: u8,
    /// The key.
    pub key: Box<[u8]>,
    /// Its stamp when it was first watched; `None` if it was not there.
    pub state: Option<Stamp>,
}

/// Which replies the client wants: `CLIENT REPLY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// All but that of the command running now and the next one.
    SkipNext,
    /// All but that of the command running now.
    Skip,
}

/// State of one connection that commands read and change. It travels with the connection's batches,
/// so exactly one thread has it at any time.
#[derive(Debug, Clone)]
pub struct Client {
    /// What others may see of the connection.
    pub shared: Arc<ClientShared>,
    /// Whose data it sees.
    pub tenant: Tenant,
    /// `SELECT`.
    pub database: u8,
    /// `CLIENT REPLY`.
    pub reply_mode: ReplyMode,
    /// Keys under `WATCH`.
    pub watches: Vec<Watch>,
    /// Set by a command after whose reply the connection ends.
    pub closing: bool,
}

/// What other connections may see and do of a connection: `CLIENT LIST`, `CLIENT KILL`.
#[derive(Debug)]
pub struct ClientShared {
    /// Never used twice.
    pub id: u64,
    /// The peer's address as `CLIENT LIST` shows it.
    pub addr: String,
    /// Our own address.
    pub laddr: String,
    /// When it connected, Unix milliseconds.
    pub connected_ms: u64,
    killed: AtomicBool,
    killer: Arc<dyn Killer>,
}

/// Ends connections, from any thread.
pub trait Killer: Send + Sync + std::fmt::Debug {
    /// Ends the connection with this id soon; does nothing if it is gone.
    fn kill(&self, client: u64);
}

impl ClientShared {
    /// A connection that has just been accepted.
    pub fn new(id: u64, addr: String, laddr: String, now_ms: u64, killer: Arc<dyn Killer>) -> Self {
        let killed = AtomicBool::new(false);
        ClientShared { id, addr, laddr, connected_ms: now_ms, killed, killer }
    }

    /// Ends the connection as soon as its worker gets to it.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.killer.kill(self.id);
    }

    /// Whether somebody asked for the end of the connection.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}

impl Client {
    /// The state of a new connection.
    pub fn new(shared: Arc<ClientShared>) -> Client {
        Client {
            shared,
            tenant: 0,
            database: 0,
            reply_mode: ReplyMode::On,
            watches: Vec::new(),
            closing: false,
        }
    }
}

/// The process, as commands see it.
pub struct Server {
    /// How it was configured.
    pub config: Config,
    /// Where the data is.
    pub store: Arc<dyn Store>,
    clients: Mutex<HashMap<u64, Arc<ClientShared>>>,
    next_client: AtomicU64,
}

impl Server {
    /// A process over `store`.
    pub fn new(config: Config, store: Arc<dyn Store>) -> Server {
        let next_client = AtomicU64::new(1);
        Server { config, store, clients: Mutex::new(HashMap::new()), next_client }
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

    /// All connections, oldest first.
    pub fn clients(&self) -> Vec<Arc<ClientShared>> {
        let mut clients: Vec<_> = self.clients.lock().values().cloned().collect();
        clients.sort_unstable_by_key(|client| client.id);
        clients
    }

    /// Number of connections.
    pub fn clients_len(&self) -> usize {
        self.clients.lock().len()
    }
}

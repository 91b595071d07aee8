//! The state commands act on beside the data: one connection's, and the process's.

mod buffers;
mod server;
mod watches;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::Spec;
use super::allowance::Seat;
use super::monitor::{Monitor, Ran};
use super::stats::{self, Ending, Rejection};
use crate::auth::Grant;
use crate::data::Tenant;
use crate::data::tenants::{NOBODY, Quota};
use crate::resp::Protocol;

pub use buffers::{Buffers, Held, HeldByAll};
pub use server::Server;
pub use watches::{Watch, Watches};

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

/// What a connection calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// `CLIENT SETNAME`.
    pub name: String,
    /// `CLIENT SETINFO LIB-NAME`.
    pub lib_name: String,
    /// `CLIENT SETINFO LIB-VER`.
    pub lib_ver: String,
}

/// What a command does to the process beside the data. A batch may be executed several times, so it
/// only notes this; it happens once, after the execution that counts.
#[derive(Debug, Clone)]
pub enum Effect {
    /// `CLIENT KILL` of another connection.
    Kill(Arc<ClientShared>),
    /// A login that this tenant's quota of connections does not allow.
    TurnedAway(Tenant),
    /// `CLIENT PAUSE`.
    Pause {
        /// When it begins, Unix milliseconds.
        now_ms: u64,
        /// How long it lasts, milliseconds.
        duration_ms: u64,
        /// Reads too.
        all: bool,
    },
    /// `CLIENT UNPAUSE`.
    Unpause,
    /// `TENANT SETQUOTA`.
    Quota {
        /// Whose.
        tenant: Tenant,
        /// What it may use now.
        quota: Quota,
    },
    /// `CLIENT UNBLOCK`.
    Unblock {
        /// Whom.
        client: Arc<ClientShared>,
        /// Which of its waits; see [`ClientShared::wait`].
        wait: u64,
        /// `ERROR` instead of `TIMEOUT`.
        with_error: bool,
    },
    /// `MONITOR`.
    Monitor,
    /// `SHUTDOWN`.
    ShutDown,
}

/// What the commands of a batch met with, for the statistics. Emptied when it is counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Keys that reading commands found.
    pub hits: u64,
    /// Keys that they did not find.
    pub misses: u64,
    /// Commands that the token was asked about and allowed.
    pub allowed: u64,
    /// Commands that it denied.
    pub denied: u64,
    /// What became of commands that did not simply succeed when they were executed.
    pub mishaps: Vec<Mishap>,
    /// Which commands were refused before they could run, and which of the batch's requests they were.
    pub rejections: Vec<(&'static Spec, u32)>,
    /// Commands that were executed without a handler, because they opened or closed a transaction or gave
    /// a wrong password, and which of the batch's requests they were.
    pub controls: SmallVec<[(&'static Spec, u32); 2]>,
}

impl Tally {
    /// The row of `EXEC`, if there was one.
    fn exec(&self) -> Option<&'static Spec> {
        let mut controls = self.controls.iter();
        controls.find(|(spec, _)| spec.name == "exec").map(|(spec, _)| *spec)
    }

    /// Notes that a request which was to be executed without a handler is refused instead.
    pub fn reject_control(&mut self, request: u32) {
        if let Some(at) = self.controls.iter().position(|(_, control)| *control == request) {
            self.rejections.push(self.controls.remove(at));
        }
    }

    /// Counts what is no matter of single commands, and empties the tally.
    pub fn count(&mut self, shard: &stats::Shard) {
        shard.hits.add(std::mem::take(&mut self.hits));
        shard.misses.add(std::mem::take(&mut self.misses));
        shard.allowed.add(std::mem::take(&mut self.allowed));
        shard.denied.add(std::mem::take(&mut self.denied));
        self.mishaps.clear();
        self.rejections.clear();
        self.controls.clear();
    }

    /// Notes that an `EXEC`, which is this op, was answered with an error instead of the replies to what
    /// was queued: `refused` before it could begin, or else on the way.
    pub fn exec_failed(&mut self, op: usize, text: &[u8], refused: bool) {
        let (op, kind) = (op as u32, stats::error_kind(text));
        if let Some(spec) = self.exec() {
            self.mishaps.push(match refused {
                true => Mishap::Refused { op, spec, kind },
                false => Mishap::Failed { spec, kind },
            });
        }
        self.mishaps.push(Mishap::Discarded { op });
    }
}

/// How a command did not succeed. Kinds of errors are places in [`stats::ERROR_KINDS`], ops those of the
/// batch.
#[derive(Debug, Clone, Copy)]
pub enum Mishap {
    /// It ran and answered with an error.
    Failed {
        /// Which command.
        spec: &'static Spec,
        /// Of the error.
        kind: u8,
    },
    /// It was refused when its turn came, and did not run.
    Refused {
        /// Where in the batch.
        op: u32,
        /// Which command.
        spec: &'static Spec,
        /// Of the error.
        kind: u8,
    },
    /// What this `EXEC` was to execute did not run.
    Discarded {
        /// Where in the batch.
        op: u32,
    },
}

/// State of one connection that commands read and change. It travels with the connection's batches,
/// so exactly one thread has it at any time.
#[derive(Debug, Clone)]
pub struct Client {
    /// What others may see of the connection.
    pub shared: Arc<ClientShared>,
    /// Whose data it sees.
    pub tenant: Tenant,
    /// What its token permits; `None` before it has authenticated, and where no tokens are needed.
    pub grant: Option<Arc<Grant>>,
    /// What the token permits that the command being executed authenticates with.
    pub login: Option<Arc<Grant>>,
    /// Its place among the connections of its tenant, where tokens are needed.
    pub seat: Option<Arc<Seat>>,
    /// It may do what concerns the whole process and all tenants, and know of all of them.
    pub operator: bool,
    /// `SELECT`.
    pub database: u8,
    /// `CLIENT REPLY`.
    pub reply_mode: ReplyMode,
    /// Keys under `WATCH`.
    pub watches: Watches,
    /// Set by a command after whose reply the connection ends: why it does.
    pub closing: Option<Ending>,
    /// What it calls itself.
    pub labels: Arc<Labels>,
    /// `CLIENT NO-EVICT`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// Set while it is shown what others do.
    pub monitor: Option<Arc<Monitor>>,
    /// What has been executed and monitors have not been shown; empty while there are none.
    pub ran: Vec<Ran>,
    /// What the batch's commands met with.
    pub tally: Tally,
    /// What the commands executed so far do beside the data.
    pub effects: Vec<Effect>,
    /// The labels others see.
    published: Arc<Labels>,
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
    /// See [`Client::tenant`].
    tenant: AtomicU32,
    /// Whether it came over TLS.
    pub tls: bool,
    /// The socket's descriptor; -1 without one.
    pub fd: i32,
    /// What it holds in memory.
    pub buffers: Buffers,
    killed: AtomicBool,
    /// An [`Ending`]'s number and one; 0 as long as nobody has a reason.
    ending: AtomicU8,
    /// See [`ClientShared::wait`]; 0 for none.
    wait: AtomicU64,
    killer: Arc<dyn Killer>,
    labels: Mutex<Arc<Labels>>,
    grant: Mutex<Option<Arc<Grant>>>,
    recent: Recent,
}

/// What a connection last did; written after each batch.
#[derive(Debug, Default)]
struct Recent {
    /// Milliseconds from the start of the process.
    active_ms: AtomicU64,
    database: AtomicU8,
    resp: AtomicU8,
    flags: AtomicU8,
    /// The last command's number and one, 0 before the first.
    command: AtomicU16,
    /// Commands queued by `MULTI` and one, 0 outside a transaction.
    queued: AtomicU32,
    /// Bytes of theirs; left behind by the last transaction outside of one.
    queued_bytes: AtomicU32,
    /// Bytes of the arguments of the command that it waits in, or has last waited in.
    waiting_bytes: AtomicUsize,
}

const NO_EVICT: u8 = 1;
const NO_TOUCH: u8 = 2;
const MONITORS: u8 = 4;

/// A connection as `CLIENT LIST` shows it.
#[derive(Debug, Clone)]
pub struct ClientRow {
    /// See [`ClientShared::user`].
    pub user: String,
    /// What it holds in memory.
    pub held: Held,
    /// It waits until it can send.
    pub waits_to_send: bool,
    /// What it calls itself.
    pub labels: Arc<Labels>,
    /// When it last sent a command, in milliseconds from the start of the process.
    pub active_ms: u64,
    /// Its database.
    pub database: u8,
    /// Version of its protocol.
    pub resp: u8,
    /// The last command's name.
    pub command: &'static str,
    /// Commands queued by `MULTI`, `None` outside a transaction.
    pub queued: Option<u32>,
    /// `CLIENT NO-EVICT`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// It is shown what others do.
    pub monitors: bool,
}

/// What may be done to connections, from any thread.
pub trait Killer: Send + Sync + std::fmt::Debug {
    /// Ends this wait of the connection with this id, with an error or as if its time were over; does
    /// nothing if it is over.
    fn unblock(&self, client: u64, wait: u64, with_error: bool);

    /// Ends the connection with this id soon; does nothing if it is gone.
    fn kill(&self, client: u64);
}

impl ClientShared {
    /// A connection that has just been accepted, without TLS.
    pub fn new(id: u64, addr: String, laddr: String, now_ms: u64, killer: Arc<dyn Killer>) -> Self {
        let (killed, wait) = (AtomicBool::new(false), AtomicU64::new(0));
        ClientShared {
            id,
            addr,
            laddr,
            connected_ms: now_ms,
            tenant: AtomicU32::new(0),
            tls: false,
            fd: -1,
            buffers: Buffers::default(),
            killed,
            ending: AtomicU8::new(0),
            wait,
            killer,
            labels: Mutex::default(),
            grant: Mutex::default(),
            recent: Recent::default(),
        }
    }

    /// Whose data it sees.
    pub fn tenant(&self) -> Tenant {
        self.tenant.load(Ordering::Relaxed)
    }

    /// What others see of the connection now.
    pub fn row(&self) -> ClientRow {
        let Recent { active_ms, database, resp, flags, command, queued, .. } = &self.recent;
        let held = self.held();
        let command = usize::from(command.load(Ordering::Relaxed));
        let flags = flags.load(Ordering::Relaxed);
        ClientRow {
            user: self.user(),
            held,
            waits_to_send: held.has_output(),
            labels: Arc::clone(&self.labels.lock()),
            active_ms: active_ms.load(Ordering::Relaxed),
            database: database.load(Ordering::Relaxed),
            resp: resp.load(Ordering::Relaxed).max(2),
            command: command
                .checked_sub(1)
                .map_or("NULL", |number| stats::registry().specs()[number].name),
            queued: queued.load(Ordering::Relaxed).checked_sub(1),
            no_evict: flags & NO_EVICT != 0,
            no_touch: flags & NO_TOUCH != 0,
            monitors: flags & MONITORS != 0,
        }
    }

    /// What it holds in memory now.
    pub fn held(&self) -> Held {
        let Recent { queued, queued_bytes, waiting_bytes, .. } = &self.recent;
        let (mut held, in_transaction) = (self.buffers.held(), queued.load(Ordering::Relaxed) > 0);
        if in_transaction {
            held.queued = queued_bytes.load(Ordering::Relaxed) as usize;
        }
        if self.wait().is_some() {
            held.arguments = waiting_bytes.load(Ordering::Relaxed);
        }
        held
    }

    /// Who it is for `CLIENT LIST`: the tenant that its token names, or `default` without one.
    pub fn user(&self) -> String {
        let grant = self.grant.lock();
        // One that has logged out has what it had in vain.
        user_of(grant.as_deref().filter(|_| self.tenant() != NOBODY))
    }

    /// The peer's IP address without its port, or `unix`.
    pub fn ip(&self) -> String {
        let address: Result<SocketAddr, _> = self.addr.parse();
        address
            .map_or_else(|_| "unix".to_owned(), |address| address.ip().to_canonical().to_string())
    }

    /// Ends the connection as soon as its worker gets to it.
    pub fn kill(&self, why: Ending) {
        self.ends(why);
        self.killed.store(true, Ordering::Release);
        self.killer.kill(self.id);
    }

    /// Notes that a command with so many bytes of arguments is in this wait for data.
    pub fn begin_wait(&self, wait: u64, argument_bytes: usize) {
        self.recent.waiting_bytes.store(argument_bytes, Ordering::Relaxed);
        self.wait.store(wait, Ordering::Release);
    }

    /// Notes that no command of the connection waits for data any more.
    pub fn end_wait(&self) {
        self.wait.store(0, Ordering::Release);
    }

    /// Notes why the connection is about to end, unless there is a reason already; whether there was none.
    pub fn ends(&self, why: Ending) -> bool {
        let (relaxed, number) = (Ordering::Relaxed, why as u8 + 1);
        self.ending.compare_exchange(0, number, relaxed, relaxed).is_ok()
    }

    /// Why the connection ends; as long as nobody has noted another reason, it is the client.
    pub fn ending(&self) -> Ending {
        let number = usize::from(self.ending.load(Ordering::Relaxed));
        number.checked_sub(1).map_or(Ending::Client, |number| Ending::ALL[number])
    }

    /// The wait for data that a command of the connection is in: waits are numbered from 1 in the order
    /// in which they begin, those of all connections together.
    pub fn wait(&self) -> Option<u64> {
        Some(self.wait.load(Ordering::Acquire)).filter(|wait| *wait != 0)
    }

    /// Whether somebody asked for the end of the connection.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}

impl Client {
    /// The state of a new connection that has to authenticate.
    pub fn stranger(shared: Arc<ClientShared>) -> Client {
        let mut client = Client::new(shared);
        client.log_out();
        client.shared.tenant.store(client.tenant, Ordering::Relaxed);
        client
    }

    /// The state of a new connection that need not authenticate.
    pub fn new(shared: Arc<ClientShared>) -> Client {
        let labels: Arc<Labels> = Arc::default();
        Client {
            published: Arc::clone(&labels),
            labels,
            shared,
            tenant: 0,
            grant: None,
            login: None,
            seat: None,
            operator: true,
            database: 0,
            reply_mode: ReplyMode::On,
            watches: Watches::default(),
            closing: None,
            no_evict: false,
            no_touch: false,
            monitor: None,
            ran: Vec::new(),
            tally: Tally::default(),
            effects: Vec::new(),
        }
    }

    /// Does what the commands executed so far noted, in their order.
    pub fn apply_effects(&mut self, server: &Server) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Kill(client) => {
                    client.kill(Ending::Killed);
                    // It may be held back.
                    server.pause.wake();
                }
                Effect::TurnedAway(tenant) => {
                    server.stats.connection_rejected(Rejection::TenantConnections);
                    server.allowances.turned_away(tenant);
                }
                Effect::Pause { now_ms, duration_ms, all } => {
                    server.pause.begin(now_ms, duration_ms, all);
                }
                Effect::Unpause => server.pause.end(),
                Effect::Quota { tenant, quota } => server.allowances.update(tenant, &quota),
                Effect::Unblock { client, wait, with_error } => {
                    client.killer.unblock(client.id, wait, with_error);
                }
                Effect::Monitor => {
                    let Client { shared, tenant, operator, .. } = &*self;
                    let monitor =
                        server.monitors.enter(shared, *tenant, *operator, &server.client_memory);
                    self.monitor = Some(Arc::new(monitor));
                }
                Effect::ShutDown => server.shut_down(),
            }
        }
    }

    /// Makes the connection one of a token's tenant.
    pub fn log_in(&mut self, grant: Arc<Grant>, seat: Arc<Seat>) {
        let tenant = seat.tenant;
        self.seat = Some(seat);
        if std::mem::replace(&mut self.tenant, tenant) != tenant && !self.watches.is_empty() {
            // They were another tenant's.
            self.watches.fail();
        }
        self.grant = Some(grant);
        // It was another token that permitted that.
        self.monitor = None;
    }

    /// Takes back what the connection's token permitted.
    pub fn log_out(&mut self) {
        (self.tenant, self.operator) = (NOBODY, false);
        (self.grant, self.seat) = (None, None);
    }

    /// Whether it may do what concerns the whole process and all tenants.
    pub fn is_operator(&self) -> bool {
        self.operator
    }

    /// Whether it may know of another connection: of its own tenant's, and an operator of all.
    fn may_see(&self, other: &ClientShared) -> bool {
        self.operator || other.tenant() == self.tenant || other.id == self.shared.id
    }

    /// Changes what the connection calls itself.
    pub fn relabel(&mut self, change: impl FnOnce(&mut Labels)) {
        change(Arc::make_mut(&mut self.labels));
    }

    /// Lets others see what the connection last did.
    pub fn publish(&mut self, now: Done) {
        let recent = &self.shared.recent;
        let flags = u8::from(self.no_evict) * NO_EVICT
            + u8::from(self.no_touch) * NO_TOUCH
            + u8::from(self.monitor.is_some()) * MONITORS;
        self.shared.tenant.store(self.tenant, Ordering::Relaxed);
        recent.active_ms.store(now.at_ms, Ordering::Relaxed);
        recent.database.store(self.database, Ordering::Relaxed);
        recent.resp.store(version(now.protocol), Ordering::Relaxed);
        recent.flags.store(flags, Ordering::Relaxed);
        let queued = now.queued.map_or(0, |queued| queued.commands as u32 + 1);
        recent.queued.store(queued, Ordering::Relaxed);
        if let Some(queued) = now.queued {
            recent.queued_bytes.store(queued.bytes as u32, Ordering::Relaxed);
        }
        if let Some(command) = now.command {
            recent.command.store(command as u16 + 1, Ordering::Relaxed);
        }
        if self.login.is_some() {
            self.shared.grant.lock().clone_from(&self.grant);
        }
        if !Arc::ptr_eq(&self.published, &self.labels) {
            *self.shared.labels.lock() = Arc::clone(&self.labels);
            self.published = Arc::clone(&self.labels);
        }
    }
}

/// What [`Client::publish`] needs beside the client.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Milliseconds from the start of the process.
    pub at_ms: u64,
    /// The last command's number.
    pub command: Option<usize>,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// What `MULTI` has queued; `None` outside a transaction.
    pub queued: Option<Queued>,
}

/// What `MULTI` has queued.
#[derive(Debug, Clone, Copy)]
pub struct Queued {
    /// How many commands.
    pub commands: usize,
    /// Bytes of their arguments.
    pub bytes: usize,
}

/// See [`ClientShared::user`].
pub fn user_of(grant: Option<&Grant>) -> String {
    grant.map_or("default", Grant::tenant).to_owned()
}

/// The number `HELLO` knows a protocol by.
pub fn version(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}

//! Decides which requests share a transaction, and runs them.
//!
//! A pipeline batch is what one connection sent in one receive. A batch without a write is run on its
//! worker against a snapshot ([`Reader`]); one with a write goes whole and in order to the [`Writer`],
//! which executes many batches of many connections as one group.

mod combining;
mod flight;
mod footprint;
mod gather;
mod group;
mod groups;
mod lanes;
mod local;
mod parked;
mod record;
mod run;
mod show;
mod slow;
mod split;
mod trace;
mod waitlist;
mod watching;
mod writer;

use std::time::Instant;

use crate::clock;
use crate::command::state::{Done, Mishap, ReplyMode};
use crate::command::stats::{error_kind, registry};
use crate::command::{Args, Client, Flags, Keys, Server, Spec};
use crate::data::keys::{self, RecordKey};
use crate::data::{KeyspaceId, Tenant};
use crate::error::{self, Wait};
use crate::limits::{BATCH_COMMANDS_MAX, BATCH_REPLY_BYTES, IDLE_BUFFER_BYTES_MAX};
use crate::metrics::Timeline;
use crate::resp::{Reply, Requests, Span};

pub use group::Chores;
pub use groups::Groups;
pub use lanes::{Lanes, Rivalry};
pub use parked::Parked;
pub use record::Written;
pub use run::Reader;
pub use writer::{Home, Stay, Writer};

/// The reply to a command that a transaction has taken.
pub const QUEUED: &[u8] = b"+QUEUED\r\n";

/// One step of a batch.
#[derive(Debug)]
pub enum Op {
    /// Execute request number `request` of the batch.
    Run {
        /// Its row.
        spec: &'static Spec,
        /// Its index in [`Batch::requests`].
        request: u32,
    },
    /// Reply with these bytes.
    Literal(&'static [u8]),
    /// Reply with this error.
    Error(Box<[u8]>),
    /// End of the transaction without execution: watches are dropped, this is the reply.
    Discard(Box<[u8]>),
    /// Execute the queued commands, if no watched key was modified.
    Exec(Box<Transaction>),
}

impl Op {
    /// Whether it may change data.
    pub fn writes(&self) -> bool {
        match self {
            Op::Run { spec, .. } => spec.is_write(),
            Op::Exec(transaction) => transaction.writes(),
            _ => false,
        }
    }

    /// Whether it may take time in proportion to something.
    pub fn is_lengthy(&self) -> bool {
        match self {
            Op::Run { spec, .. } => spec.flags.has(Flags::LENGTHY),
            Op::Exec(transaction) => transaction.lengthy,
            _ => false,
        }
    }

    /// The error that is its reply, if no handler gives that.
    fn error(&self) -> Option<&[u8]> {
        match self {
            Op::Error(text) => Some(text),
            Op::Literal(reply) => reply.strip_prefix(b"-"),
            Op::Discard(reply) => reply.strip_prefix(b"-"),
            Op::Run { .. } | Op::Exec(_) => None,
        }
    }

    /// The number of the command that it runs outside a transaction.
    fn number(&self) -> Option<usize> {
        match self {
            Op::Run { spec, .. } => Some(registry().number(spec)),
            _ => None,
        }
    }

    /// Whether it may have to wait for data.
    fn may_block(&self) -> bool {
        matches!(self, Op::Run { spec, .. } if spec.flags.has(Flags::BLOCKING))
    }

    /// Whether it runs the command of this name, outside a transaction.
    pub fn runs(&self, name: &str) -> bool {
        matches!(self, Op::Run { spec, .. } if spec.name == name)
    }
}

/// The commands queued between `MULTI` and `EXEC`, with their bytes.
#[derive(Debug, Default)]
pub struct Transaction {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    commands: Vec<(&'static Spec, u32)>,
    writes: bool,
    grows: bool,
    lengthy: bool,
}

impl Transaction {
    /// Queues a copy of a command.
    pub fn push(&mut self, spec: &'static Spec, args: Args<'_>) {
        for arg in args.iter() {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(arg);
            self.spans.push(Span { start, len: arg.len() as u32 });
        }
        self.commands.push((spec, self.spans.len() as u32));
        self.writes |= spec.is_write();
        self.grows |= spec.flags.has(Flags::DENYOOM);
        self.lengthy |= spec.flags.has(Flags::LENGTHY);
    }

    /// Bytes of all arguments.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Whether a queued command may change data.
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// Whether a queued command may make data grow.
    fn grows(&self) -> bool {
        self.grows
    }

    /// The commands in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Spec, Args<'_>)> {
        let mut start = 0;
        self.commands.iter().map(move |&(spec, end)| {
            let spans = &self.spans[start..end as usize];
            start = end as usize;
            (spec, Args::new(&self.bytes, spans))
        })
    }
}

/// All complete commands of one receive of one connection, and their replies.
#[derive(Debug)]
pub struct Batch {
    /// The bytes the requests lie in, when the batch travels; a batch run in place leaves them in the
    /// receive buffer.
    pub input: Vec<u8>,
    /// Where the arguments are.
    pub requests: Requests,
    /// What to do, in order.
    pub ops: Vec<Op>,
    /// The first op not done yet.
    pub next: usize,
    /// Ops before that one which were not executed: the connection ends before them.
    skipped: usize,
    /// Index in [`Batch::requests`] of the request that the first op stands for; the next op stands for
    /// the next one, and so on.
    pub first: usize,
    /// Whether any op may change data.
    pub writes: bool,
    /// The last command that came, whether or not it is among the ops.
    pub last: Option<&'static Spec>,
    /// Replies so far.
    pub reply: Reply,
    /// The connection's state.
    pub client: Client,
    /// Number of the worker the batch returns to.
    pub home: usize,
    /// Where its connection waits there.
    pub slot: usize,
    /// What its time is spent on.
    pub timeline: Timeline,
    /// Whose the connection was before the batch, which may end with a login.
    tenant: Tenant,
    /// Whether any op may take time in proportion to something.
    pub lengthy: bool,
    /// How long those ops took that may.
    timed: slow::Timed,
    /// The next op is one that found nothing to take.
    waiting: Option<Waiting>,
    /// In the last execution too.
    blocked: bool,
    /// What is there of the replies is to be sent before the next op, which may block.
    sends: bool,
    saved: Option<Saved>,
}

/// A blocked op's place among those that wait.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    wait: Wait,
    /// The order in which they began to, once it has.
    ticket: Option<u64>,
    since: Option<Instant>,
    /// Where its keys are.
    keyspace: KeyspaceId,
}

/// Why a wait ends without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InVain {
    /// It took as long as the client wanted to wait, or somebody said so.
    TimedOut,
    /// `CLIENT UNBLOCK ... ERROR`.
    Unblocked,
    /// The token that permitted it has expired.
    Expired,
}

/// What executing a batch changes in it, as it was before.
#[derive(Debug)]
struct Saved {
    client: Client,
    protocol: crate::resp::Protocol,
    reply: crate::resp::Mark,
    next: usize,
    waiting: Option<Waiting>,
    timed: slow::Timed,
}

impl Batch {
    /// An empty batch of a connection.
    pub fn new(client: Client, home: usize, slot: usize) -> Batch {
        Batch {
            input: Vec::new(),
            requests: Requests::default(),
            ops: Vec::new(),
            next: 0,
            skipped: 0,
            first: 0,
            writes: false,
            last: None,
            reply: Reply::new(),
            tenant: client.tenant,
            lengthy: false,
            timed: slow::Timed::default(),
            client,
            home,
            slot,
            timeline: Timeline::default(),
            waiting: None,
            blocked: false,
            sends: false,
            saved: None,
        }
    }

    /// Empties the batch for the next receive; memory is kept.
    pub fn reset(&mut self) {
        self.input.clear();
        self.requests.clear();
        self.begin();
    }

    /// Forgets the ops, which have been executed, to make room for those of the next requests.
    pub fn begin(&mut self) {
        self.ops.clear();
        (self.next, self.skipped) = (0, 0);
        self.writes = false;
        self.last = None;
        self.tenant = self.client.tenant;
        self.lengthy = false;
        self.timed = slow::Timed::default();
        // It would keep a place that the client has given up.
        self.saved = None;
    }

    /// Gives back memory that only an unusually large batch needed.
    pub fn shrink(&mut self) {
        if self.input.capacity() > IDLE_BUFFER_BYTES_MAX {
            self.input = Vec::new();
        }
        if self.requests.args.capacity() > BATCH_COMMANDS_MAX * 4 {
            self.requests.args = Vec::new();
        }
    }

    /// Whether every op is done.
    pub fn is_done(&self) -> bool {
        self.next == self.ops.len()
    }

    /// Whether the next op may block.
    pub fn may_block(&self) -> bool {
        matches!(self.ops.get(self.next), Some(op) if op.may_block())
    }

    /// Shows others that the next op waits for data.
    fn publish_blocked(&mut self, server: &Server, ticket: u64) {
        let now = Done {
            at_ms: server.uptime_ms(clock::monotonic()),
            command: self.ops.get(self.next).and_then(Op::number),
            protocol: self.reply.protocol(),
            queued: None,
        };
        let argument_bytes = match self.ops.get(self.next) {
            Some(Op::Run { request, .. }) => {
                Args::new(&self.input, self.requests.command(*request as usize)).bytes()
            }
            _ => 0,
        };
        self.client.publish(now);
        self.client.shared.begin_wait(ticket, argument_bytes);
    }

    /// Notes that the next op has found nothing to take.
    fn block(&mut self, wait: Wait, keyspace: KeyspaceId) {
        self.blocked = true;
        let new = Waiting { wait, ticket: None, since: None, keyspace };
        let known = self.waiting.unwrap_or(new);
        self.waiting = Some(Waiting { wait, keyspace, ..known });
    }

    /// Whether the last execution ended because an op has to wait for data.
    fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the next op waits for a limited time only.
    fn has_time_limit(&self) -> bool {
        self.waiting.is_some_and(|waiting| waiting.wait.timeout.is_some())
    }

    /// Whether the next op has been parked before.
    fn has_waited(&self) -> bool {
        self.ticket() != u64::MAX
    }

    /// The next op's place among those that wait; behind all others before it has been parked.
    fn ticket(&self) -> u64 {
        self.waiting.and_then(|waiting| waiting.ticket).unwrap_or(u64::MAX)
    }

    /// The places of the keys that the next op waits for, see [`keys::place`].
    fn wanted(&self) -> Vec<u64> {
        self.waits_for().map(|key| keys::place(self.client.tenant, key)).collect()
    }

    /// The keys that the next op waits for. What has two is to move something: from the first, and it
    /// does not wait for the second.
    fn waits_for(&self) -> impl Iterator<Item = &[u8]> {
        let run = self.ops.get(self.next).and_then(|op| match op {
            Op::Run { spec, request } => Some((spec, *request as usize)),
            _ => None,
        });
        run.into_iter().flat_map(|(spec, request)| {
            let args = Args::new(&self.input, self.requests.command(request));
            let count = if spec.keys == Keys::TWO { 1 } else { usize::MAX };
            spec.keys.of(args).take(count)
        })
    }

    /// The metas of the keys that the next op waits for.
    fn wanted_records(&self) -> Vec<RecordKey> {
        let Some(Waiting { keyspace, .. }) = self.waiting else { return Vec::new() };
        self.waits_for().map(|key| keys::meta(keyspace, key)).collect()
    }

    /// Whether it should go back to its connection, if only to send replies.
    fn is_to_be_sent(&self) -> bool {
        self.is_done() || self.sends || self.reply.len() > BATCH_REPLY_BYTES
    }

    /// Ends the next op, which waited for data, without any.
    pub fn give_up_waiting(&mut self, why: InVain) {
        self.waiting = None;
        let text = match why {
            InVain::Unblocked => Some(error::UNBLOCKED),
            InVain::Expired => Some(error::TOKEN_EXPIRED),
            InVain::TimedOut => None,
        };
        if let (Some(text), Some(Op::Run { spec, .. })) = (text, self.ops.get(self.next)) {
            let kind = error_kind(text.as_bytes());
            self.client.tally.mishaps.push(Mishap::Failed { spec, kind });
        }
        self.next += 1;
        match (self.client.reply_mode, text) {
            (ReplyMode::Skip, _) => self.client.reply_mode = ReplyMode::On,
            (ReplyMode::Off, _) => {}
            (_, Some(text)) => self.reply.error(text),
            (_, None) => self.reply.null_array(),
        }
    }

    /// The ops that have been executed, if only to be refused.
    fn done(&self) -> &[Op] {
        &self.ops[..self.next - self.skipped]
    }

    /// The number of the command that was executed last outside a transaction.
    pub fn last_done(&self) -> Option<usize> {
        self.done().iter().rev().find_map(Op::number)
    }

    /// Whether anything has been executed.
    pub fn has_begun(&self) -> bool {
        !self.done().is_empty()
    }

    /// Ops not done yet.
    pub fn remaining(&self) -> usize {
        self.ops.len() - self.next
    }

    /// Ops executed since [`Batch::save`].
    fn executed(&self) -> usize {
        self.saved.as_ref().map_or(0, |saved| self.done().len() - saved.next)
    }

    /// Forgets how the batch was before its last execution: that holds on to the place which a
    /// connection had in another tenant.
    pub fn forget_saved(&mut self) {
        self.saved = None;
    }

    /// Remembers the batch as it is, before an execution that may have to be repeated.
    fn save(&mut self) {
        self.saved = Some(Saved {
            client: self.client.clone(),
            protocol: self.reply.protocol(),
            reply: self.reply.mark(),
            next: self.next,
            waiting: self.waiting,
            timed: self.timed,
        });
    }

    /// Undoes everything since [`Batch::save`].
    fn restore(&mut self) {
        if let Some(saved) = &self.saved {
            self.client = saved.client.clone();
            self.reply.set_protocol(saved.protocol);
            self.reply.rollback(saved.reply);
            (self.next, self.skipped) = (saved.next, 0);
            self.blocked = false;
            self.waiting = saved.waiting;
            self.timed = saved.timed;
        }
    }
}

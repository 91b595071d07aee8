//! Runs the ops of a batch against a view: the one loop through which every command goes.

use crate::clock;
use crate::command::monitor::Ran;
use crate::command::state::{Mishap, ReplyMode, Watch};
use crate::command::stats::{Ending, error_kind};
use crate::command::{Args, Client, Ctx, Flags, Outcome, Server, Spec, Turn};
use crate::data::tenants::NOBODY;
use crate::data::{Mark, Moment, Overlay, Tenant, View, keys};
use crate::error::{self, Stop, Together};
use crate::limits::{BATCH_REPLY_BYTES, TRANSACTION_BYTES_MAX};
use crate::resp::{Protocol, Reply};
use crate::store::Local;

use super::slow::{Place, Stopwatch};
use super::{Batch, Op, Parked, Transaction, Waiting};

/// Why a run of a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All ops are done.
    Done,
    /// The replies so far should be sent before going on.
    ReplyFull,
    /// The rest belongs in the next group.
    GroupFull,
    /// A record has to be fetched first.
    Pending,
    /// An op has to wait for data.
    Blocked,
}

/// What one group may still take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub commands: usize,
    /// Bytes of mutations at which the group is full.
    pub bytes: usize,
}

impl Budget {
    pub(super) const UNLIMITED: Budget = Budget { commands: usize::MAX, bytes: usize::MAX };
}

/// How things were before an op.
struct Before {
    mark: Mark,
    /// Bytes the group had written.
    written: usize,
    reply: crate::resp::Mark,
    protocol: Protocol,
    database: u8,
    reply_mode: ReplyMode,
    /// Number of mishaps noted.
    mishaps: usize,
    /// Number of effects noted.
    effects: usize,
    /// Number of commands noted for monitors.
    ran: usize,
}

impl Before {
    fn new(view: &View<'_>, batch: &Batch) -> Before {
        Before {
            mark: view.mark(),
            written: view.written_bytes(),
            reply: batch.reply.mark(),
            protocol: batch.reply.protocol(),
            database: batch.client.database,
            reply_mode: batch.client.reply_mode,
            mishaps: batch.client.tally.mishaps.len(),
            effects: batch.client.effects.len(),
            ran: batch.client.ran.len(),
        }
    }
}

/// Runs a batch's ops, from the first one not done.
pub(super) struct Run<'r, 'v> {
    pub view: &'r mut View<'v>,
    pub server: &'r Server,
    pub budget: Budget,
    /// Writes are answered with this error and not executed.
    pub refusal: Option<&'r str>,
    /// The client does not want the present op's replies.
    pub quiet: bool,
    /// Those who wait for data.
    pub parked: Option<&'r Parked>,
    /// The keys that members of the group have been waiting for, see [`keys::place`].
    pub ahead: Vec<u64>,
    /// It is the turn of those who have nothing to take otherwise.
    pub serving: bool,
    /// There is somebody to be shown what is executed.
    monitored: bool,
    /// The present op, if it is to be shown.
    noted: Option<u32>,
    /// Times what may take long.
    stopwatch: Stopwatch,
}

impl<'r, 'v> Run<'r, 'v> {
    pub(super) fn new(view: &'r mut View<'v>, server: &'r Server, budget: Budget) -> Run<'r, 'v> {
        let (refusal, quiet, parked, serving) = (None, false, None, false);
        let (monitored, noted) = (!server.monitors.is_empty(), None);
        let (ahead, stopwatch) = (Vec::new(), Stopwatch::default());
        Run {
            view,
            server,
            budget,
            refusal,
            quiet,
            parked,
            ahead,
            serving,
            monitored,
            noted,
            stopwatch,
        }
    }
}

impl Run<'_, '_> {
    /// Runs ops until one of [`Ended`]'s reasons. `input` is what the batch's requests lie in.
    pub(super) fn batch(&mut self, batch: &mut Batch, input: &[u8]) -> Ended {
        self.stopwatch = Stopwatch::start(batch.lengthy, batch.timed);
        let ended = self.ops(batch, input);
        batch.timed = self.stopwatch.stop();
        let (hits, misses) = self.view.take_lookups();
        batch.client.tally.hits += hits;
        batch.client.tally.misses += misses;
        ended
    }

    fn ops(&mut self, batch: &mut Batch, input: &[u8]) -> Ended {
        let mut pending = false;
        let first = batch.next;
        (batch.blocked, batch.sends, batch.skipped) = (false, false, 0);
        // Of large values no more is fetched than there may be replies before they are sent.
        let ahead_max = if batch.writes { usize::MAX } else { BATCH_REPLY_BYTES };
        let missing = self.view.missing_bytes();
        while batch.next < batch.ops.len() {
            if batch.next > first && batch.may_block() {
                batch.sends = true;
                break;
            }
            if self.budget.commands == 0 {
                return if pending { Ended::Pending } else { Ended::GroupFull };
            }
            match self.op(batch, input) {
                Ended::Done => {}
                // The others say what they need too, so that all of it is fetched together. What they
                // do now is undone and done again.
                Ended::Pending if self.view.missing_bytes() - missing < ahead_max => pending = true,
                Ended::Pending => return Ended::Pending,
                ended => return if pending { Ended::Pending } else { ended },
            }
            let commands = match &batch.ops[batch.next] {
                // Itself included: each of these has a stamp of its own.
                Op::Exec(transaction) => transaction.len() + 1,
                _ => 1,
            };
            batch.next += 1;
            batch.waiting = None;
            self.budget.commands = self.budget.commands.saturating_sub(commands);
            if batch.client.closing.is_some() {
                // As in Redis: what came in behind it is not executed.
                batch.skipped = batch.remaining();
                batch.next = batch.ops.len();
            }
            if batch.reply.len() > BATCH_REPLY_BYTES {
                break;
            }
        }
        match () {
            () if pending => Ended::Pending,
            () if batch.is_done() => Ended::Done,
            () => Ended::ReplyFull,
        }
    }

    /// Runs one op; afterwards either all of it has happened or nothing.
    fn op(&mut self, batch: &mut Batch, input: &[u8]) -> Ended {
        let before = Before::new(self.view, batch);
        let skipped = before.reply_mode == ReplyMode::Skip;
        self.quiet = skipped || before.reply_mode == ReplyMode::Off;
        if skipped {
            batch.client.reply_mode = ReplyMode::On;
        }
        self.view.next_command();
        // What has waited was shown when it began to.
        self.noted = (self.monitored && !batch.has_waited()).then_some(batch.next as u32);
        let outcome = self.execute(batch, input);
        if outcome == Err(Stop::Unread) {
            // The connection ends because of these replies. Nothing else has happened.
            self.view.rollback(before.mark);
            batch.client.effects.truncate(before.effects);
            batch.client.ran.truncate(before.ran);
            batch.client.closing = Some(Ending::OutputLimit);
            return Ended::Done;
        }
        if let Some(ended) = self.settle(batch, &before, outcome) {
            batch.client.ran.truncate(before.ran);
            return ended;
        }
        if !matches!(batch.ops[batch.next], Op::Run { .. }) {
            let tenant = batch.client.tenant;
            self.note(&mut batch.client, tenant);
        }
        let Batch { ops, reply, client, .. } = batch;
        let is_exec = matches!(ops[batch.next], Op::Exec(_));
        if is_exec {
            client.watches.clear();
        }
        // An EXEC whose replies were switched off on the way has had its header and some replies.
        let was_off = before.reply_mode == ReplyMode::Off || !is_exec;
        if skipped || client.reply_mode == ReplyMode::Off && was_off {
            reply.rollback(before.reply);
        }
        if client.reply_mode == ReplyMode::SkipNext {
            client.reply_mode = ReplyMode::Skip;
        }
        Ended::Done
    }

    fn execute(&mut self, batch: &mut Batch, input: &[u8]) -> Outcome {
        self.stopwatch.place = Place { op: batch.next, queued: 0 };
        let Batch { ops, requests, reply, client, waiting, .. } = batch;
        match &ops[batch.next] {
            Op::Run { spec, request } => {
                let args = Args::new(input, requests.command(*request as usize));
                let turn = self.turn(spec, args, client.tenant, *waiting);
                return self.command(spec, args, reply, client, Some(turn));
            }
            Op::Exec(transaction) => return self.exec(transaction, reply, client),
            Op::Literal(bytes) => reply.raw(bytes),
            Op::Error(text) => reply.error_bytes(text),
            Op::Discard(bytes) => {
                client.watches.clear();
                reply.raw(bytes);
            }
        }
        Ok(())
    }

    /// Whether a command that may block has to let others go first.
    fn turn(
        &self,
        spec: &'static Spec,
        args: Args<'_>,
        tenant: Tenant,
        waiting: Option<Waiting>,
    ) -> Turn {
        if !spec.flags.has(Flags::BLOCKING) {
            return Turn::Now;
        }
        if waiting.is_some_and(|waiting| waiting.ticket.is_some()) {
            return Turn::AfterWaiting;
        }
        let Some(parked) = self.parked.filter(|_| !self.serving) else { return Turn::Now };
        let places: Vec<u64> = spec.keys.of(args).map(|key| keys::place(tenant, key)).collect();
        let others =
            parked.are_wanted(&places) || places.iter().any(|place| self.ahead.contains(place));
        if others { Turn::Later } else { Turn::Now }
    }

    /// Undoes an op that did not succeed or is too large, and replies why; or says that it has to
    /// run again.
    fn settle(&mut self, batch: &mut Batch, before: &Before, outcome: Outcome) -> Option<Ended> {
        let Batch { reply, client, ops, next, .. } = batch;
        let written = self.view.written_bytes();
        let past_bounds = written.saturating_sub(before.written) > TRANSACTION_BYTES_MAX;
        let too_large = past_bounds || outcome == Err(Stop::TooLarge);
        let group_full =
            before.written > 0 && (written > self.budget.bytes || outcome == Err(Stop::TooLarge));
        if outcome.is_ok() && !too_large && !group_full {
            return None;
        }
        self.view.rollback(before.mark);
        reply.rollback(before.reply);
        reply.set_protocol(before.protocol);
        // Behind what ends the connection nothing is run: it was not ending before.
        (client.database, client.closing) = (before.database, None);
        client.tally.mishaps.truncate(before.mishaps);
        client.effects.truncate(before.effects);
        match outcome {
            Err(Stop::Pending) => return Some(Ended::Pending),
            Err(Stop::Blocked(wait)) => {
                client.reply_mode = before.reply_mode;
                // It has looked its keys up there.
                return match self.view.keyspace(client.tenant, client.database) {
                    Ok(keyspace) => {
                        batch.block(wait, keyspace);
                        Some(Ended::Blocked)
                    }
                    Err(_) => Some(Ended::Pending),
                };
            }
            _ if group_full && !past_bounds => {
                // It runs again as if for the first time.
                client.reply_mode = before.reply_mode;
                return Some(Ended::GroupFull);
            }
            _ => {}
        }
        let text = match outcome {
            _ if too_large => error::TRANSACTION_TOO_LARGE.as_bytes().into(),
            Err(Stop::Error(text)) => text,
            Err(Stop::Failed(cause)) => unread(&cause).into_bytes().into(),
            _ => return None,
        };
        reply.error_bytes(&text);
        match &ops[*next] {
            Op::Run { spec, .. } => failed(client, spec, &text),
            _ => client.tally.exec_failed(*next, &text, false),
        }
        None
    }

    /// Runs one command; what it fails with becomes its reply, unless all of the op has to wait or
    /// is too large: then it is in `Err`.
    fn command(
        &mut self,
        spec: &'static Spec,
        args: Args<'_>,
        reply: &mut Reply,
        client: &mut Client,
        turn: Option<Turn>,
    ) -> Outcome {
        if let Some(refusal) = self.refusal
            && spec.is_write()
        {
            self.refuse(spec, client, reply, refusal);
            return Ok(());
        }
        // EXEC has been asked as a whole.
        if turn.is_some() && spec.flags.has(Flags::DENYOOM) && self.is_out_of_storage(client) {
            self.refuse(spec, client, reply, error::OUT_OF_STORAGE);
            return Ok(());
        }
        self.stopwatch.command(spec);
        self.view.serve_tenant(client.tenant);
        self.view.count_lookups(spec.flags.has(Flags::READONLY));
        let (mark, reply_mark) = (self.view.mark(), reply.mark());
        let Run { server, refusal, .. } = *self;
        let tenant = client.tenant;
        let mut ctx = Ctx { args, view: self.view, reply, client, server, turn, refusal };
        let outcome = (spec.run)(&mut ctx);
        self.note(client, tenant);
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Unread) if self.quiet => {
                // What it did so far it did for the sake of the reply.
                self.view.rollback(mark);
                reply.rollback(reply_mark);
                Ok(())
            }
            Err(Stop::Pending) => {
                self.view.announce(client.tenant, client.database, spec.keys.of(args));
                self.view.has_asked();
                Err(Stop::Pending)
            }
            Err(stop @ (Stop::TooLarge | Stop::Unread | Stop::Blocked(_))) => Err(stop),
            Err(Stop::Error(text)) => {
                self.fail(spec, client, (mark, reply_mark), reply, &text);
                Ok(())
            }
            Err(Stop::Failed(cause)) => {
                let text = unread(&cause);
                self.fail(spec, client, (mark, reply_mark), reply, text.as_bytes());
                Ok(())
            }
        }
    }

    /// Answers a command with the reason why it is not executed, or why what it wrote is not stored.
    fn refuse(&self, spec: &'static Spec, client: &mut Client, reply: &mut Reply, text: &str) {
        reply.error(text);
        if is_refusal(text) {
            let (op, kind) = (self.stopwatch.place.op as u32, error_kind(text.as_bytes()));
            client.tally.mishaps.push(Mishap::Refused { op, spec, kind });
        } else {
            failed(client, spec, text.as_bytes());
        }
    }

    /// The same for an `EXEC`.
    fn refuse_exec(&self, client: &mut Client, reply: &mut Reply, text: &str) {
        let refused = is_refusal(text);
        let text = match refused {
            true => format!("{}{text}", error::TRANSACTION_DISCARDED),
            false => text.to_owned(),
        };
        reply.error(&text);
        client.tally.exec_failed(self.stopwatch.place.op, text.as_bytes(), refused);
    }

    /// Notes for monitors that a command of a connection which was the `tenant`'s has been executed.
    fn note(&self, client: &mut Client, tenant: Tenant) {
        if let Some(op) = self.noted {
            // `RESET` takes it away, and `AUTH` brings it.
            let tenant = if client.tenant == NOBODY { tenant } else { client.tenant };
            client.ran.push(Ran { op, database: client.database, tenant });
        }
    }

    /// Whether the client's tenant stores as much as it may. Should the answer be pending, or fail, so is
    /// what the command itself looks up.
    fn is_out_of_storage(&self, client: &Client) -> bool {
        let Client { tenant, database, .. } = *client;
        let Ok(Some(quota)) = self.view.storage_quota(tenant, database) else { return false };
        let usage = match self.view.usage_if_known(tenant) {
            Ok(Some(usage)) => usage,
            _ => self.server.usages.of(tenant),
        };
        usage.is_full(quota)
    }

    /// Undoes a failed command and answers with its error.
    fn fail(
        &mut self,
        spec: &'static Spec,
        client: &mut Client,
        (mark, reply_mark): (Mark, crate::resp::Mark),
        reply: &mut Reply,
        text: &[u8],
    ) {
        self.view.rollback(mark);
        reply.rollback(reply_mark);
        reply.error_bytes(text);
        failed(client, spec, text);
        if spec.name == "watch" {
            client.watches.fail();
        }
    }

    /// Whether no watched key has been modified. Those that have to be fetched are, together.
    fn is_as_watched(&self, client: &Client) -> Result<bool, Stop> {
        if client.watches.is_incomplete() {
            return Ok(false);
        }
        let mut together = Together::default();
        for watch in client.watches.iter() {
            let Watch { database, key, state } = watch;
            let same = self.view.is_as_watched(client.tenant, *database, key, state);
            if together.take(same)? == Some(false) {
                return Ok(false);
            }
        }
        together.end()?;
        Ok(true)
    }

    fn exec(
        &mut self,
        transaction: &Transaction,
        reply: &mut Reply,
        client: &mut Client,
    ) -> Outcome {
        if let Some(refusal) = self.refusal
            && transaction.writes()
        {
            self.refuse_exec(client, reply, refusal);
            return Ok(());
        }
        if transaction.grows() && self.is_out_of_storage(client) {
            self.refuse_exec(client, reply, error::OUT_OF_STORAGE);
            return Ok(());
        }
        if !self.is_as_watched(client)? {
            let op = self.stopwatch.place.op as u32;
            client.tally.mishaps.push(Mishap::Discarded { op });
            reply.null_array();
            return Ok(());
        }
        let mut off = client.reply_mode == ReplyMode::Off;
        if !off {
            reply.array(transaction.len());
        }
        let written = self.view.written_bytes();
        let mut pending = false;
        for (queued, (spec, args)) in transaction.iter().enumerate() {
            self.view.next_command();
            self.stopwatch.place.queued = queued;
            let begin = reply.mark();
            match self.command(spec, args, reply, client, None) {
                Err(Stop::Pending) => pending = true,
                // See below.
                Err(_) if pending => return Err(Stop::Pending),
                outcome => outcome?,
            }
            // It may have been `CLIENT REPLY`, which decides on its own reply and what follows.
            if off != (client.reply_mode == ReplyMode::Off) {
                off = !off;
                self.quiet = off;
            }
            // Not only at the end: a short command may read or copy a large value each time.
            if self.quiet {
                reply.rollback(begin);
            }
            let bytes = self.view.written_bytes().saturating_sub(written);
            let end = match () {
                () if reply.len() > self.server.config.output_buffer_limit => Stop::Unread,
                () if bytes > TRANSACTION_BYTES_MAX => Stop::TooLarge,
                () => continue,
            };
            // Behind a command that is pending the others may do what they never really will.
            return Err(if pending { Stop::Pending } else { end });
        }
        if pending { Err(Stop::Pending) } else { Ok(()) }
    }
}

/// Whether an error says that Redis would not have let the command begin: a write while the disk is full, or
/// one more value where there is no room.
fn is_refusal(text: &str) -> bool {
    matches!(text.split(' ').next(), Some("MISCONF" | "OOM"))
}

/// Notes that a command was answered with an error.
fn failed(client: &mut Client, spec: &'static Spec, text: &[u8]) {
    client.tally.mishaps.push(Mishap::Failed { spec, kind: error_kind(text) });
}

/// The error reply of a command that could not read.
fn unread(cause: &str) -> String {
    format!("ERR cannot read the store: {cause}")
}

/// Runs batches without writes on the worker that received them, on a store that answers at once.
#[derive(Default)]
pub struct Reader {
    /// Always empty: a read-only batch writes nothing.
    overlay: Overlay,
    /// Where the seeds begin, and how many there were: a clock is read only for the first.
    origin: u64,
    batches: u64,
}

impl Reader {
    /// Runs the rest of a batch against a fresh snapshot; ends early only to send replies.
    pub fn run(&mut self, batch: &mut Batch, input: &[u8], server: &Server, local: &dyn Local) {
        if self.batches == 0 {
            self.origin = clock::unix_us();
        }
        self.batches += 1;
        let moment = Moment {
            now_ms: clock::unix_ms(),
            sequence: 0,
            seed: keys::hash64(&self.origin.wrapping_add(self.batches).to_be_bytes()),
            value_bytes_max: server.config.request_bytes_max,
            order: u16::MAX,
        };
        local.read(&mut |snapshot| {
            let mut view = View::new(snapshot, &mut self.overlay, moment);
            let ended = Run::new(&mut view, server, Budget::UNLIMITED).batch(batch, input);
            debug_assert!(ended != Ended::Pending, "a local store answers at once");
        });
    }
}

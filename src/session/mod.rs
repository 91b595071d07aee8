//! Decides which requests of a connection may run, and in what form: the gates every command passes.
//!
//! Works on what the parser found: names are looked up, arity is checked, tokens are asked, `MULTI`
//! queues. The result is a batch of ops for the layer below; nothing here reads or writes data.
//!
//! Commands are admitted in the order in which they came, and admission stops behind those that
//! decide about the ones that follow: `AUTH`, `CLIENT PAUSE` or `MONITOR`. These go on being admitted when the
//! batch so far has been executed.

mod authorization;
mod replies;

use std::time::Instant;

use self::authorization::Gate;
use crate::batch::{Batch, Op, QUEUED, Transaction};
use crate::command::state::{ClientShared, Queued};
use crate::command::stats::Ending;
use crate::command::{Args, Client, Flags, Found, Server, Spec, connection, lookup};
use crate::error;
use crate::limits::{
    ARGUMENTS_MAX, BATCH_COMMANDS_MAX, INLINE_BYTES_MAX, TRANSACTION_BYTES_MAX,
    TRANSACTION_COMMANDS_MAX,
};
use crate::resp::{ParseLimits, Parser, ProtocolError};

/// `EXEC` with arguments ends the transaction, unlike other commands with a wrong number of them.
const EXEC_ARITY: &[u8] =
    b"-EXECABORT Transaction discarded because of: wrong number of arguments \
    for 'exec' command\r\n";

const PREVIOUS_ERRORS: &[u8] = b"-EXECABORT Transaction discarded because of previous errors.\r\n";

/// Redis's answer to a monitor that wants to use keys.
const MONITORS_ONLY: &[u8] = b"ERR Replica can't interact with the keyspace";

/// The gatekeeper of one connection.
pub struct Session {
    parser: Parser,
    limits: ParseLimits,
    /// Asks the connection's token, where tokens are needed.
    gate: Option<Gate>,
    transaction: Option<Box<Transaction>>,
    /// A command could not be queued: `EXEC` will refuse.
    aborted: bool,
    /// The first of the batch's requests that has not been admitted.
    next: usize,
    /// What is behind them cannot be parsed.
    failed: Option<ProtocolError>,
    /// The connection ends after the replies to what was admitted: `QUIT`, or a protocol error.
    ended: bool,
}

/// What became of the input.
#[derive(Debug, Default)]
pub struct Taken {
    /// Bytes of input that are now in the batch; the rest is an incomplete command.
    pub consumed: usize,
    /// Bytes the incomplete command still needs, 0 if unknown.
    pub needed: usize,
    /// There may be more complete commands in the rest: a batch has a limit.
    pub full: bool,
}

impl Session {
    /// The gatekeeper of a new connection.
    pub fn new(server: &Server, shared: &ClientShared) -> Session {
        let request_bytes_max = server.config.request_bytes_max;
        Session {
            parser: Parser::new(),
            limits: ParseLimits {
                value_bytes_max: request_bytes_max,
                // A value of the full length fits, with its command around it.
                request_bytes_max: request_bytes_max + INLINE_BYTES_MAX,
                arguments_max: ARGUMENTS_MAX,
                inline_bytes_max: INLINE_BYTES_MAX,
            },
            gate: server.auth.as_ref().map(|auth| Gate::new(auth, shared)),
            transaction: None,
            aborted: false,
            next: 0,
            failed: None,
            ended: false,
        }
    }

    /// What an open `MULTI` has queued.
    pub fn queued(&self) -> Option<Queued> {
        let transaction = self.transaction.as_ref()?;
        Some(Queued { commands: transaction.len(), bytes: transaction.bytes() })
    }

    /// When the token that permitted what was admitted last expires.
    pub fn expiry(&self) -> Option<Instant> {
        self.gate.as_ref()?.expiry()
    }

    /// Whether the connection ends when what was admitted is answered.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Finds the complete commands at the front of `input` and makes ops of `batch` of those that can be
    /// admitted now.
    pub fn take(&mut self, input: &mut [u8], batch: &mut Batch) -> Taken {
        batch.reset();
        let stranger = self.gate.is_some() && batch.client.grant.is_none();
        self.parser.set_unauthenticated(stranger);
        let commands_max = if stranger { 1 } else { BATCH_COMMANDS_MAX };
        let limits = self.limits_of(&batch.client);
        let parsed = self.parser.parse(input, &limits, commands_max, &mut batch.requests);
        let full = batch.requests.len() == commands_max;
        self.next = 0;
        let taken = match parsed {
            Ok(progress) => Taken { consumed: progress.consumed, needed: progress.needed, full },
            Err(error) => {
                self.failed = Some(error);
                Taken { consumed: input.len(), needed: 0, full: false }
            }
        };
        self.admit(input, batch);
        taken
    }

    /// What a request of the client may be.
    fn limits_of(&self, client: &Client) -> ParseLimits {
        let tenant_s = client.seat.as_ref().map_or(usize::MAX, |seat| seat.request_bytes_max());
        match tenant_s.min(self.limits.value_bytes_max) {
            own if own == self.limits.value_bytes_max => self.limits,
            bytes_max => ParseLimits {
                value_bytes_max: bytes_max,
                request_bytes_max: bytes_max + INLINE_BYTES_MAX,
                ..self.limits
            },
        }
    }

    /// Whether [`Session::admit`] has more to do for the batch.
    pub fn has_more(&self, batch: &Batch) -> bool {
        !self.ended && (self.next < batch.requests.len() || self.failed.is_some())
    }

    /// Refuses what was admitted and has not been executed, if the token has expired meanwhile.
    pub fn look_again(&self, batch: &mut Batch) {
        if !self.gate.as_ref().is_some_and(Gate::has_expired) {
            return;
        }
        let expired = error::TOKEN_EXPIRED.as_bytes();
        let tally = &mut batch.client.tally;
        for (at, op) in batch.ops.iter_mut().enumerate().skip(batch.next) {
            match op {
                Op::Run { spec, request } if !spec.flags.has(Flags::NO_AUTH) => {
                    tally.rejections.push((spec, *request));
                    *op = Op::Error(expired.into());
                }
                Op::Exec(_) => {
                    tally.reject_control((batch.first + at) as u32);
                    *op = Op::Discard(replies::no_longer_allowed(expired).into());
                }
                _ => {}
            }
        }
    }

    /// Replaces the ops of `batch`, which have been executed, by those of its next requests. They lie in
    /// `input`.
    pub fn admit(&mut self, input: &[u8], batch: &mut Batch) {
        batch.begin();
        batch.first = self.next;
        if let Some(gate) = &mut self.gate {
            gate.begin(&mut batch.client, self.transaction.is_some());
        }
        self.admit_each(input, batch);
        if let Some(gate) = &mut self.gate {
            gate.end(&mut batch.client.tally);
        }
    }

    fn admit_each(&mut self, input: &[u8], batch: &mut Batch) {
        let mut previous: Option<(&[u8], &'static Spec)> = None;
        while self.next < batch.requests.len() {
            let request = self.next;
            self.next += 1;
            let args = Args::new(input, batch.requests.command(request));
            let name = args.get(0);
            // Pipelines repeat themselves: the same name is the same row.
            let found = match previous {
                Some((known, spec)) if known == name => Found::Command(spec),
                _ => lookup(args),
            };
            if let Found::Command(spec) = found {
                batch.last = Some(spec);
                if spec.subcommands.is_empty() && !spec.name.contains('|') {
                    previous = Some((name, spec));
                }
            }
            if matches!(found, Found::Unknown) && replies::is_http(name) {
                tracing::warn!(
                    "a client speaks HTTP: someone may be trying to reach us through it"
                );
                batch.client.shared.ends(Ending::Protocol);
                self.ended = true;
                return;
            }
            let op = self.pass(found, request as u32, args, &mut batch.client);
            batch.writes |= op.writes() || batch.client.login.is_some();
            batch.lengthy |= op.is_lengthy();
            self.ended = op.runs("quit");
            let stops = self.ended || self.decides(&op, &batch.client);
            batch.ops.push(op);
            if stops {
                return;
            }
        }
        if let Some(error) = self.failed.take() {
            batch.ops.push(Op::Error(protocol_error(&error)));
            batch.client.shared.ends(Ending::Protocol);
            self.ended = true;
        }
    }

    /// Whether what follows the op can be admitted only when it has been executed.
    fn decides(&self, op: &Op, client: &Client) -> bool {
        op.runs("client|pause")
            || op.runs("monitor")
            || client.monitor.is_some()
            || client.login.is_some()
            || self.gate.as_ref().is_some_and(|gate| gate.is_decided_by(op))
    }

    /// One command's way past the gates.
    fn pass(&mut self, found: Found, request: u32, args: Args<'_>, client: &mut Client) -> Op {
        let spec = match found {
            Found::Command(spec) if spec.accepts(args.len()) => spec,
            Found::Command(spec) if spec.name == "exec" => {
                self.transaction = None;
                client.tally.rejections.push((spec, request));
                return Op::Discard(EXEC_ARITY.into());
            }
            Found::Command(spec) | Found::SubcommandMissing(spec) => {
                client.tally.rejections.push((spec, request));
                return self.reject(replies::wrong_arity(spec.name));
            }
            Found::UnknownSubcommand(spec) => {
                return self.reject(replies::unknown_subcommand(spec.name, args.get(1)));
            }
            Found::Unknown => return self.reject(replies::unknown_command(args)),
        };
        if let Some(gate) = &mut self.gate
            && let Err(refusal) = gate.ask(spec, args, client, self.transaction.is_some())
        {
            // A login that fails is one that was tried, though not here.
            if refusal == connection::WRONG_PASS.as_bytes() {
                client.tally.controls.push((spec, request));
            } else {
                client.tally.rejections.push((spec, request));
            }
            if spec.name == "exec" {
                self.transaction = None;
                return Op::Discard(replies::no_longer_allowed(&refusal).into());
            }
            return self.reject(refusal);
        }
        if client.monitor.is_some() && (spec.is_write() || spec.flags.has(Flags::READONLY)) {
            client.tally.rejections.push((spec, request));
            return self.reject(MONITORS_ONLY.to_vec());
        }
        if spec.flags.has(Flags::CONTROL) {
            return self.control(spec, request, client);
        }
        match &mut self.transaction {
            None => Op::Run { spec, request },
            Some(_) if spec.flags.has(Flags::NO_MULTI) => {
                client.tally.rejections.push((spec, request));
                self.reject(b"ERR Command not allowed inside a transaction".to_vec())
            }
            Some(transaction) => {
                if transaction.bytes() + args.bytes() > TRANSACTION_BYTES_MAX
                    || transaction.len() >= TRANSACTION_COMMANDS_MAX
                {
                    client.tally.rejections.push((spec, request));
                    return self.reject(error::TRANSACTION_TOO_LARGE.into());
                }
                transaction.push(spec, args);
                Op::Literal(QUEUED)
            }
        }
    }

    /// Refuses a command; a transaction it was meant for cannot be executed any more.
    fn reject(&mut self, text: Vec<u8>) -> Op {
        self.aborted |= self.transaction.is_some();
        Op::Error(text.into())
    }

    /// Whether the connection's token still permits what it permitted when it was queued.
    fn ask_again(&mut self, queued: &Transaction, client: &Client) -> Result<(), Vec<u8>> {
        self.gate.as_mut().map_or(Ok(()), |gate| gate.ask_again(queued, client))
    }

    /// Commands that open, close or bypass a transaction.
    fn control(&mut self, spec: &'static Spec, request: u32, client: &mut Client) -> Op {
        // These need no handler, but are calls like others.
        let is_answered_here = match spec.name {
            "multi" | "exec" | "discard" => true,
            "watch" => self.transaction.is_some(),
            _ => false,
        };
        if is_answered_here {
            client.tally.controls.push((spec, request));
        }
        match spec.name {
            "multi" if self.transaction.is_some() => {
                Op::Literal(b"-ERR MULTI calls can not be nested\r\n")
            }
            "multi" => {
                self.transaction = Some(Box::default());
                self.aborted = false;
                Op::Literal(b"+OK\r\n")
            }
            "exec" => match self.transaction.take() {
                None => Op::Literal(b"-ERR EXEC without MULTI\r\n"),
                Some(_) if self.aborted => Op::Discard(PREVIOUS_ERRORS.into()),
                Some(transaction) => match self.ask_again(&transaction, client) {
                    Ok(()) => Op::Exec(transaction),
                    Err(refusal) => Op::Discard(replies::no_longer_allowed(&refusal).into()),
                },
            },
            "discard" => match self.transaction.take() {
                None => Op::Literal(b"-ERR DISCARD without MULTI\r\n"),
                Some(_) => Op::Discard((*b"+OK\r\n").into()),
            },
            "watch" if self.transaction.is_some() => {
                Op::Literal(b"-ERR WATCH inside MULTI is not allowed\r\n")
            }
            "reset" => {
                self.transaction = None;
                Op::Run { spec, request }
            }
            _ => Op::Run { spec, request },
        }
    }
}

fn protocol_error(error: &ProtocolError) -> Box<[u8]> {
    [b"ERR ", &error.text()[..]].concat().into()
}

#[cfg(test)]
mod tests;

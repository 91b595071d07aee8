//! Decides which requests of a connection may run, and in what form: the gates every command passes.
//!
//! Works on what the parser found: names are looked up, arity is checked, `MULTI` queues. The result
//! is a batch of ops for the layer below; nothing here reads or writes data.

mod replies;

use crate::batch::{Batch, Op, Transaction};
use crate::command::{Args, Flags, Found, Spec, lookup};
use crate::config::Config;
use crate::limits::{
    ARGUMENTS_MAX, BATCH_COMMANDS_MAX, INLINE_BYTES_MAX, TRANSACTION_BYTES_MAX,
    TRANSACTION_COMMANDS_MAX,
};
use crate::resp::{ParseLimits, Parser, ProtocolError};

/// `EXEC` with arguments ends the transaction, unlike other commands with a wrong number of them.
const EXEC_ARITY: &[u8] =
    b"-EXECABORT Transaction discarded because of: wrong number of arguments \
    for 'exec' command\r\n";

/// The gatekeeper of one connection.
pub struct Session {
    parser: Parser,
    limits: ParseLimits,
    transaction: Option<Box<Transaction>>,
    /// A command could not be queued: `EXEC` will refuse.
    aborted: bool,
}

/// What became of the input.
#[derive(Debug, Default)]
pub struct Taken {
    /// Bytes of input that are now in the batch; the rest is an incomplete command.
    pub consumed: usize,
    /// Bytes the incomplete command still needs, 0 if unknown.
    pub needed: usize,
    /// The connection ends after the batch's replies: `QUIT`, or a protocol error.
    pub last: bool,
}

impl Session {
    /// A new connection's gatekeeper.
    pub fn new(config: &Config) -> Session {
        Session {
            parser: Parser::new(),
            limits: ParseLimits {
                value_bytes_max: config.request_bytes_max,
                // A value of the full length fits, with its command around it.
                request_bytes_max: config.request_bytes_max + INLINE_BYTES_MAX,
                arguments_max: ARGUMENTS_MAX,
                inline_bytes_max: INLINE_BYTES_MAX,
            },
            transaction: None,
            aborted: false,
        }
    }

    /// Commands queued by an open `MULTI`.
    pub fn queued(&self) -> Option<usize> {
        self.transaction.as_ref().map(|transaction| transaction.len())
    }

    /// Turns the complete commands at the front of `input` into the ops of `batch`.
    pub fn take(&mut self, input: &mut [u8], batch: &mut Batch) -> Taken {
        batch.reset();
        let parsed =
            self.parser.parse(input, &self.limits, BATCH_COMMANDS_MAX, &mut batch.requests);
        let mut previous: Option<(&[u8], &'static Spec)> = None;
        for request in 0..batch.requests.len() {
            let args = Args::new(input, batch.requests.command(request));
            let name = args.get(0);
            // Pipelines repeat themselves: the same name is the same row.
            let found = match previous {
                Some((known, spec)) if known == name => Found::Command(spec),
                _ => lookup(args),
            };
            if let Found::Command(spec) = found
                && spec.subcommands.is_empty()
                && !spec.name.contains('|')
            {
                previous = Some((name, spec));
            }
            if matches!(found, Found::Unknown) && replies::is_http(name) {
                tracing::warn!(
                    "a client speaks HTTP: someone may be trying to reach us through it"
                );
                return Taken { consumed: input.len(), needed: 0, last: true };
            }
            let op = self.admit(found, request as u32, args);
            batch.writes |= op.writes();
            let quits = op.runs("quit");
            batch.pauses |= op.runs("client|pause");
            batch.ops.push(op);
            if quits {
                return Taken { consumed: input.len(), needed: 0, last: true };
            }
        }
        match parsed {
            Ok(progress) => {
                Taken { consumed: progress.consumed, needed: progress.needed, last: false }
            }
            Err(error) => {
                batch.ops.push(Op::Error(protocol_error(&error)));
                Taken { consumed: input.len(), needed: 0, last: true }
            }
        }
    }

    /// One command's way past the gates.
    fn admit(&mut self, found: Found, request: u32, args: Args<'_>) -> Op {
        let spec = match found {
            Found::Command(spec) if spec.accepts(args.len()) => spec,
            Found::Command(spec) if spec.name == "exec" => {
                self.transaction = None;
                return Op::Discard(EXEC_ARITY);
            }
            Found::Command(spec) | Found::SubcommandMissing(spec) => {
                return self.reject(replies::wrong_arity(spec.name));
            }
            Found::UnknownSubcommand(spec) => {
                return self.reject(replies::unknown_subcommand(spec.name, args.get(1)));
            }
            Found::Unknown => return self.reject(replies::unknown_command(args)),
        };
        if spec.flags.has(Flags::CONTROL) {
            return self.control(spec, request);
        }
        match &mut self.transaction {
            None => Op::Run { spec, request },
            Some(_) if spec.flags.has(Flags::NO_MULTI) => {
                self.reject(b"ERR Command not allowed inside a transaction".to_vec())
            }
            Some(transaction) => {
                if transaction.bytes() + args.iter().map(<[u8]>::len).sum::<usize>()
                    > TRANSACTION_BYTES_MAX
                    || transaction.len() >= TRANSACTION_COMMANDS_MAX
                {
                    return self.reject(crate::error::TRANSACTION_TOO_LARGE.into());
                }
                transaction.push(spec, args);
                Op::Literal(b"+QUEUED\r\n")
            }
        }
    }

    /// Refuses a command; a transaction it was meant for cannot be executed any more.
    fn reject(&mut self, text: Vec<u8>) -> Op {
        self.aborted |= self.transaction.is_some();
        Op::Error(text.into())
    }

    /// Commands that open, close or bypass a transaction.
    fn control(&mut self, spec: &'static Spec, request: u32) -> Op {
        match spec.name {
            "multi" if self.transaction.is_some() => {
                Op::Error((*b"ERR MULTI calls can not be nested").into())
            }
            "multi" => {
                self.transaction = Some(Box::default());
                self.aborted = false;
                Op::Literal(b"+OK\r\n")
            }
            "exec" => match self.transaction.take() {
                None => Op::Error((*b"ERR EXEC without MULTI").into()),
                Some(_) if self.aborted => {
                    Op::Discard(b"-EXECABORT Transaction discarded because of previous errors.\r\n")
                }
                Some(transaction) => Op::Exec(transaction),
            },
            "discard" => match self.transaction.take() {
                None => Op::Error((*b"ERR DISCARD without MULTI").into()),
                Some(_) => Op::Discard(b"+OK\r\n"),
            },
            "watch" if self.transaction.is_some() => {
                Op::Error((*b"ERR WATCH inside MULTI is not allowed").into())
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

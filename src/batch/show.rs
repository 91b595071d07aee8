//! Shows monitors what was executed.
//!
//! A batch may be executed several times, so an execution only notes which commands ran ([`Ran`]), and
//! only while somebody monitors. The notes are undone with the execution they were made by. Those of the
//! one that counts are turned into what monitors are shown when the batch is back with its connection,
//! before its replies leave; a command that waits for data is shown when it begins to.

use super::{Batch, Op, QUEUED};
use crate::clock;
use crate::command::connection::WRONG_PASS;
use crate::command::monitor::{Ran, Show};
use crate::command::state::ReplyMode;
use crate::command::{Args, Found, Server, Spec, lookup};

impl Op {
    /// Whether an op that runs no function stands for a command that Redis executes: not for one that it
    /// refuses or queues.
    fn is_executed(&self) -> bool {
        match self {
            Op::Literal(reply) => *reply != QUEUED,
            // A login that fails is refused before it is executed only here.
            Op::Error(text) => **text == *WRONG_PASS.as_bytes(),
            Op::Run { .. } | Op::Discard(_) | Op::Exec(_) => true,
        }
    }
}

impl Batch {
    /// Shows monitors what has been executed since the last time. Requests lie in `received`, unless the
    /// batch has its own.
    #[inline]
    pub fn show(&mut self, received: &[u8], server: &Server) {
        if !self.client.ran.is_empty() {
            self.show_commands(received, server);
        }
    }

    fn show_commands(&mut self, received: &[u8], server: &Server) {
        let input = if self.input.is_empty() { received } else { &self.input };
        let ran = std::mem::take(&mut self.client.ran);
        let mut show = Show::new(&server.monitors, &self.client.shared, clock::unix_us());
        for notes in ran.chunk_by(|one, next| one.op == next.op) {
            let Some((last, queued)) = notes.split_last() else { continue };
            if let Op::Exec(transaction) = &self.ops[last.op as usize] {
                for ((spec, args), note) in transaction.iter().zip(queued) {
                    show.command(spec, args, *note);
                }
            }
            if let Some((spec, args)) = self.command_of(last.op as usize, input) {
                show.command(spec, args, *last);
            }
        }
    }

    /// The command that an op stands for, if it is one that Redis executes.
    pub(super) fn command_of<'b>(
        &'b self,
        op: usize,
        input: &'b [u8],
    ) -> Option<(&'static Spec, Args<'b>)> {
        // A protocol error has not even a request.
        self.ops.get(op).filter(|op| op.is_executed())?;
        let args = Args::new(input, self.requests.command(self.first + op));
        match lookup(args) {
            Found::Command(spec) => Some((spec, args)),
            _ => None,
        }
    }

    /// Shows monitors the next op, which begins to wait for data.
    pub(super) fn show_waiting(&self, server: &Server) {
        if server.monitors.is_empty() {
            return;
        }
        if let Some(Op::Run { spec, request }) = self.ops.get(self.next) {
            let args = Args::new(&self.input, self.requests.command(*request as usize));
            let (database, tenant) = (self.client.database, self.client.tenant);
            let ran = Ran { op: self.next as u32, database, tenant };
            let mut show = Show::new(&server.monitors, &self.client.shared, clock::unix_us());
            show.command(spec, args, ran);
        }
    }

    /// Adds to the replies what the client is to be shown if it monitors; returns how many bytes that is.
    #[inline]
    pub fn take_shown(&mut self) -> usize {
        match &self.client.monitor {
            None => 0,
            // Behind the answer to its end there is nothing.
            Some(_) if self.client.closing.is_some() => 0,
            Some(monitor) if self.client.reply_mode == ReplyMode::Off => {
                monitor.skip();
                0
            }
            Some(monitor) => monitor.take(&mut self.reply),
        }
    }
}

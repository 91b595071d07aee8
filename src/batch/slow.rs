//! Which command of a slow batch is to blame, and noting it.
//!
//! A batch is slow as a whole: its commands share their transaction and the time it takes. Commands that take
//! time in proportion to something are timed as they are executed, runs of the same command together; a
//! pipeline without such commands reads no clock.

use std::time::{Duration, Instant};

use super::{Batch, Op};
use crate::clock;
use crate::command::latency_monitor::Event;
use crate::command::slowlog::Slow;
use crate::command::state::Mishap;
use crate::command::{Args, Flags, Server, Spec};
use crate::data::tenants::NOBODY;

/// Where in a batch a command is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its op.
    pub op: usize,
    /// Its place among the commands that were queued, if the op is an `EXEC`.
    pub queued: usize,
}

/// How long a batch's executions took that count, if any of its commands may take long.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timed {
    total: Duration,
    /// The first command of the run of equal ones that took longest, and how long that was.
    slowest: Option<(Place, Duration)>,
}

impl Timed {
    /// Where the command is that took most of the time.
    fn most(&self) -> Option<Place> {
        self.slowest.filter(|(_, time)| *time * 2 > self.total).map(|(place, _)| place)
    }
}

/// Times the commands of a batch that may take long.
#[derive(Default)]
pub(super) struct Stopwatch {
    /// What is executed now.
    pub place: Place,
    /// When the execution began, if any of the commands may take long.
    since: Option<Instant>,
    running: Option<(&'static Spec, Place, Instant)>,
    timed: Timed,
}

impl Stopwatch {
    /// An execution begins, of a batch with commands that may take long or without, and with this behind it.
    pub(super) fn start(lengthy: bool, timed: Timed) -> Stopwatch {
        let since = lengthy.then(clock::monotonic);
        Stopwatch { since, timed, ..Stopwatch::default() }
    }

    /// A command begins, and with it the one before ends.
    #[inline]
    pub(super) fn command(&mut self, spec: &'static Spec) {
        if self.since.is_none() {
            return;
        }
        let timed = spec.flags.has(Flags::LENGTHY);
        match self.running {
            None if !timed => {}
            Some((running, ..)) if std::ptr::eq(running, spec) => {}
            _ => self.change(clock::monotonic(), timed.then_some(spec)),
        }
    }

    /// The execution has ended; how long it and those before it took.
    pub(super) fn stop(&mut self) -> Timed {
        if let Some(since) = self.since.take() {
            let now = clock::monotonic();
            self.change(now, None);
            self.timed.total += now.saturating_duration_since(since);
        }
        self.timed
    }

    fn change(&mut self, now: Instant, next: Option<&'static Spec>) {
        if let Some((_, place, since)) = self.running.take() {
            let time = now.saturating_duration_since(since);
            if self.timed.slowest.is_none_or(|(_, longest)| time > longest) {
                self.timed.slowest = Some((place, time));
            }
        }
        self.running = next.map(|spec| (spec, self.place, now));
    }
}

impl Batch {
    /// Notes the batch, which took so long until its replies were ready, if that is slow; whether it is. Its
    /// requests are in `in_place`, or have been moved to its own input.
    pub fn observe(&self, server: &Server, busy: Duration, in_place: &[u8]) -> bool {
        let duration_us = busy.as_micros() as u64;
        let (observing, ms) = (&server.observing, duration_us / 1000);
        let (is_slow, is_long) = (observing.is_slow(duration_us), observing.latency.is_long(ms));
        if !is_slow && !is_long {
            return false;
        }
        let input = if self.input.is_empty() { in_place } else { &self.input };
        let Some((spec, args)) = self.suspect(input) else { return is_slow };
        let is_fast = spec.flags.has(Flags::FAST);
        observing.latency.note(if is_fast { Event::FastCommand } else { Event::Command }, ms);
        if is_slow {
            let split = self.timeline.times().to_string();
            if let Some(unlogged) = observing.sampled(server.uptime_us() / 1_000_000) {
                let (command, client, commands) =
                    (spec.name, self.client.shared.id, self.ops.len());
                let split = split.as_str();
                tracing::info!(command, duration_us, split, client, commands, unlogged, "slow");
            }
            let slow = Slow::new(spec, args, &self.client, duration_us, split);
            // What concerns all tenants is in the log of none, where only an operator sees it.
            let is_common = server.auth.is_some() && spec.flags.has(Flags::OPERATOR);
            observing.slowlog.note(if is_common { NOBODY } else { self.tenant }, slow);
        }
        is_slow
    }

    /// The command that the batch was probably slow for: the one that took most of its execution, or else its
    /// first. One that opens or closes a transaction, or the like, is to blame only if there is nothing else. As
    /// in Redis, `EXEC` never is, and neither is what was not executed.
    fn suspect<'b>(&'b self, input: &'b [u8]) -> Option<(&'static Spec, Args<'b>)> {
        let slowest = self.timed.most().and_then(|place| self.command_at(place, input));
        let may_be_shown =
            |(spec, _): &(&'static Spec, Args<'b>)| !spec.flags.has(Flags::SKIP_SLOWLOG);
        let each = || {
            let places = self.done().iter().enumerate().flat_map(|(op, done)| {
                let queued = match done {
                    Op::Exec(transaction) => transaction.len(),
                    _ => 1,
                };
                (0..queued).map(move |queued| Place { op, queued })
            });
            let commands = places.filter(|place| !self.has_not_run(place.op));
            commands.filter_map(|place| self.command_at(place, input)).filter(may_be_shown)
        };
        let does_something =
            |(spec, _): &(&'static Spec, Args<'b>)| !spec.flags.has(Flags::CONTROL);
        let slowest = slowest.filter(may_be_shown).filter(does_something);
        slowest.or_else(|| each().find(does_something)).or_else(|| each().next())
    }

    /// Whether an op was refused, or what it was to execute discarded.
    fn has_not_run(&self, wanted: usize) -> bool {
        self.client.tally.mishaps.iter().any(|mishap| match mishap {
            Mishap::Refused { op, .. } | Mishap::Discarded { op } => *op as usize == wanted,
            Mishap::Failed { .. } => false,
        })
    }

    fn command_at<'b>(
        &'b self,
        place: Place,
        input: &'b [u8],
    ) -> Option<(&'static Spec, Args<'b>)> {
        match self.ops.get(place.op)? {
            Op::Run { spec, request } => {
                Some((spec, Args::new(input, self.requests.command(*request as usize))))
            }
            Op::Exec(transaction) => transaction.iter().nth(place.queued),
            _ => self.command_of(place.op, input),
        }
    }
}

//! One connection, from its first byte to its last: receive, batch, run, reply, again.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::link::Link;
use super::monitor;
use super::slot::Returned;
use super::stream::Stream;
use super::tls;
use super::worker::Worker;
use crate::batch::{Batch, InVain, Op, Written};
use crate::clock;
use crate::command::stats::Ending;
use crate::metrics::Stage;
use crate::session::{Session, Taken};

/// Serves a connection until either side ends it; over TLS if there is a configuration for that.
pub async fn serve(
    worker: Rc<Worker>,
    stream: Rc<Stream>,
    batch: Box<Batch>,
    tls: Option<Arc<ServerConfig>>,
) {
    let client = batch.client.shared.id;
    let mut link = match Link::new(Rc::clone(&stream), &worker, tls) {
        Ok(link) => link,
        Err(error) => {
            stream.client.ends(Ending::TlsHandshake);
            return tracing::warn!(client, %error, "cannot begin TLS");
        }
    };
    if let Err(error) = handshake(&worker, &stream, &mut link).await {
        tracing::debug!(client, %error, "TLS handshake failed");
        worker.server.stats.tls_handshake_failed();
        stream.client.ends(Ending::TlsHandshake);
        return link.close(false).await;
    }
    let mut conn = Conn {
        session: Session::new(&worker.server, &batch.client.shared),
        link,
        worker: &worker,
        batch: Some(batch),
        written: Cell::new(None),
        fresh: true,
    };
    let well = conn.run().await;
    // It counts too where the client has not taken its replies.
    worker.written(&conn.written);
    conn.link.close(well).await;
}

/// Does and counts the TLS handshake, if there is one, in the time it may take.
async fn handshake(worker: &Worker, stream: &Stream, link: &mut Link<'_>) -> io::Result<()> {
    let mut handshake = pin!(link.handshake(&worker.handshakes));
    let limit = worker.server.config.tls_handshake_timeout;
    let result = match tokio::time::timeout(limit, &mut handshake).await {
        Ok(result) => result,
        Err(_) => {
            // It has a buffer that is given back when the kernel is done with it.
            stream.shutdown(Shutdown::Both);
            let _ = handshake.await;
            Err(io::ErrorKind::TimedOut.into())
        }
    };
    if let Some(resumed) = result? {
        worker.server.stats.tls_handshake(resumed);
    }
    Ok(())
}

struct Conn<'w> {
    worker: &'w Worker,
    link: Link<'w>,
    session: Session,
    /// Away while the writer has it.
    batch: Option<Box<Batch>>,
    /// What was executed last, until its replies have been written.
    written: Cell<Option<Written>>,
    /// Nothing has been looked at yet.
    fresh: bool,
}

/// What to do after a batch.
enum Next {
    /// Wait for more input.
    Receive,
    /// More complete commands are already there.
    Parse,
    /// End the connection.
    Close,
}

/// Waits until then, or for ever.
pub(super) async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

impl Conn<'_> {
    /// Serves until the end; whether nothing went wrong.
    async fn run(&mut self) -> bool {
        self.link.show_input();
        let mut next = Next::Receive;
        loop {
            let Some(batch) = self.batch.as_mut() else { return false };
            let sent = || self.worker.written(&self.written);
            let goes_on = match next {
                Next::Receive => {
                    let (worker, session) = (self.worker, &self.session);
                    monitor::exchange(worker, &mut self.link, batch, session, sent).await
                }
                Next::Parse => self.link.flush(&mut batch.reply, sent).await.map(|()| true),
                Next::Close => self.link.flush(&mut batch.reply, sent).await.map(|()| false),
            };
            match goes_on {
                Ok(true) => next = self.batch().await,
                Ok(false) => return true,
                Err(error) => {
                    tracing::debug!(client = batch.client.shared.id, %error, "connection lost");
                    self.link.failed(&error);
                    return false;
                }
            }
        }
    }

    /// Takes the complete commands out of the input and runs them.
    async fn batch(&mut self) -> Next {
        let Some(mut batch) = self.batch.take() else { return Next::Close };
        if std::mem::take(&mut self.fresh) && tls::begins_handshake(self.link.input.bytes()) {
            let client = batch.client.shared.id;
            tracing::debug!(client, "a client speaks TLS on a listener without it");
            batch.reply.error("ERR Protocol error: TLS on a port without it");
            batch.client.shared.ends(Ending::Protocol);
            self.batch = Some(batch);
            return Next::Close;
        }
        let worker = self.worker;
        let taken = self.take(&mut batch).await;
        let mut consumed = taken.consumed;
        loop {
            if !self.held_back(&mut batch).await {
                return Next::Close;
            }
            if (batch.writes || self.worker.is_remote()) && consumed > 0 {
                self.link.input.lend(consumed, &mut batch.input);
                consumed = 0;
            }
            let goes_on;
            (batch, goes_on) = self.execute(batch).await;
            if batch.has_begun() {
                let (queued, input) = (self.session.queued(), self.link.input.bytes());
                self.written.set(worker.record(&mut batch, queued, input));
            }
            if !goes_on {
                return Next::Close;
            }
            if !self.session.has_more(&batch) || batch.client.closing.is_some() {
                break;
            }
            // What was done is not held back with the rest.
            let sent = || worker.written(&self.written);
            if self.link.flush(&mut batch.reply, sent).await.is_err() {
                return Next::Close;
            }
            batch.timeline.next_part();
            if consumed > 0 {
                self.session.admit(self.link.input.bytes(), &mut batch);
            } else {
                let input = std::mem::take(&mut batch.input);
                self.session.admit(&input, &mut batch);
                batch.input = input;
            }
            worker.tick.account(batch.timeline.lap(Stage::Authorization));
            worker.taken(&batch, 0);
        }
        self.after(batch, consumed, &taken)
    }

    /// Keeps an executed batch for the next requests, and the input behind what it `consumed`.
    fn after(&mut self, mut batch: Box<Batch>, consumed: usize, taken: &Taken) -> Next {
        if let Some(why) = batch.client.closing {
            batch.client.shared.ends(why);
        }
        let closing = self.session.has_ended() || batch.client.closing.is_some();
        batch.shrink();
        self.link.input.consume(consumed);
        let room = self.link.input.reserve(taken.needed);
        if let Err(error) = &room {
            self.link.failed(error);
            batch.reply.error("ERR too much memory is used by requests of all clients; retry");
        }
        self.batch = Some(batch);
        if room.is_err() {
            return Next::Close;
        }
        self.link.show_input();
        // With nothing left to parse, receiving ahead would hold a buffer while nothing comes.
        match (closing, taken.full && !self.link.input.bytes().is_empty()) {
            (true, _) => Next::Close,
            (false, true) => Next::Parse,
            (false, false) => Next::Receive,
        }
    }

    /// Takes the complete commands out of the input, as many as a batch may have.
    async fn take(&mut self, batch: &mut Batch) -> Taken {
        self.link.show_input();
        let worker = self.worker;
        let now = worker.begin_turn();
        let there = self.link.input.bytes().len();
        worker.turn(batch, there, now).await;
        worker.begin_turn();
        let taken = self.session.take(self.link.input.bytes_mut(), batch);
        let arrived = self.link.arrivals.take(taken.consumed);
        batch.timeline.begin(arrived.unwrap_or(now), now, worker.tracks());
        batch.timeline.until(Stage::Queue, worker.tick.mark());
        worker.tick.account(batch.timeline.lap(Stage::Authorization));
        worker.taken(batch, taken.consumed);
        taken
    }

    /// Waits as long as a batch must not be executed; whether the connection goes on after that.
    async fn held_back(&mut self, batch: &mut Batch) -> bool {
        let worker = self.worker;
        let mut has_waited = false;
        // The writer has logins too, but who is to end a pause of writes must be able to log in.
        let writes = batch.writes && batch.ops.iter().any(Op::writes);
        if worker.server.pause.holds(writes) && !batch.is_done() {
            worker.hold(batch, writes).await;
            if batch.client.shared.is_killed() {
                return false;
            }
            has_waited = true;
        }
        if let Some(seat) = &batch.client.seat {
            let wait = seat.wait_for(batch.ops.len(), || worker.server.uptime_us());
            if !wait.is_zero() {
                // A client that does not wait for the answer has not asked.
                if self.link.rest(worker.rest(batch, wait)).await != Some(true) {
                    seat.give_back(batch.ops.len());
                    return false;
                }
                has_waited = true;
            }
        }
        if has_waited {
            batch.timeline.lap(Stage::Queue);
            self.session.look_again(batch);
        }
        true
    }

    /// Waits with a batch that waits for data; with it returns whether the client is still there.
    async fn parked(&mut self, slot: usize, mut deadline: Option<Instant>) -> (Box<Batch>, bool) {
        self.link.show_input();
        let worker = self.worker;
        let mut in_vain = None;
        let expiry = self.session.expiry();
        loop {
            let event = async {
                tokio::select! {
                    biased;
                    returned = worker.returned(slot) => returned,
                    () = passed(deadline) => Returned::InVain(InVain::TimedOut),
                    () = passed(expiry) => Returned::InVain(InVain::Expired),
                }
            };
            let is_there = match self.link.wait(event).await {
                Some(Returned::Batch(batch)) => return (batch, true),
                Some(Returned::Parked(until)) if in_vain.is_none() => {
                    deadline = until;
                    continue;
                }
                Some(Returned::Parked(_)) => true,
                Some(Returned::InVain(why)) => {
                    in_vain = Some(why);
                    true
                }
                None => false,
            };
            match worker.unpark(slot) {
                Some(mut batch) => {
                    batch.timeline.come_back(clock::monotonic());
                    batch.give_up_waiting(in_vain.unwrap_or(InVain::TimedOut));
                    return (batch, is_there);
                }
                // It is being executed: it has what it waited for, or is parked once more.
                None if is_there => deadline = None,
                None => {
                    if let Returned::Batch(batch) = worker.returned(slot).await {
                        return (batch, false);
                    }
                }
            }
        }
    }

    /// Runs a batch, sending replies as they grow large; with it returns whether the connection goes on.
    /// Otherwise the rest of it has not been executed.
    async fn execute(&mut self, mut batch: Box<Batch>) -> (Box<Batch>, bool) {
        let limit = self.worker.server.config.output_buffer_limit;
        let mut is_there = true;
        while !batch.is_done() {
            if batch.writes {
                let slot = batch.slot;
                (batch, is_there) = match self.worker.write(batch).await {
                    Returned::Batch(batch) => (batch, true),
                    Returned::Parked(deadline) => {
                        let ended = self.parked(slot, deadline).await;
                        // What came in behind it has waited for data, too, so far.
                        self.link.arrivals.not_before(self.worker.begin_turn());
                        ended
                    }
                    Returned::InVain(_) => (self.worker.finished(slot).await, true),
                };
            } else {
                batch = self.worker.read(batch, self.link.input.bytes()).await;
                if !self.worker.is_remote() {
                    self.worker.tick.account(batch.timeline.lap(Stage::Execution));
                }
            }
            batch.show(self.link.input.bytes(), &self.worker.server);
            batch.client.apply_effects(&self.worker.server);
            if !is_there {
                return (batch, false);
            }
            if batch.reply.len() > limit {
                tracing::warn!(client = batch.client.shared.id, "output-buffer-limit exceeded");
                batch.client.shared.ends(Ending::OutputLimit);
                return (batch, false);
            }
            self.worker.stats.bytes_out.add(batch.reply.len() as u64);
            if !batch.is_done() {
                // The client may take its time to read: others see meanwhile what it asked for.
                self.worker.show_progress(&mut batch);
                if self.link.flush(&mut batch.reply, || ()).await.is_err() {
                    return (batch, false);
                }
                batch.timeline.lap(Stage::Flush);
                // The client may have taken its time.
                self.session.look_again(&mut batch);
            }
        }
        batch.forget_saved();
        self.worker.stats.bytes_out.add(batch.take_shown() as u64);
        (batch, true)
    }
}

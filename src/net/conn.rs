//! One connection, from its first byte to its last: receive, batch, run, reply, again.

use std::rc::Rc;

use super::buffer::Receive;
use super::stream::Stream;
use super::worker::Worker;
use crate::batch::Batch;
use crate::clock;
use crate::limits::BATCH_COMMANDS_MAX;
use crate::session::Session;

/// Serves a connection until either side ends it.
pub async fn serve(worker: Rc<Worker>, stream: Rc<Stream>, batch: Box<Batch>) {
    let mut conn = Conn {
        session: Session::new(&worker.server.config),
        input: worker.pool.receive(),
        worker: &worker,
        stream: &stream,
        batch: Some(batch),
    };
    conn.run().await;
}

struct Conn<'w> {
    worker: &'w Worker,
    stream: &'w Stream,
    session: Session,
    input: Receive<'w>,
    /// Away while the writer has it.
    batch: Option<Box<Batch>>,
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

impl Conn<'_> {
    async fn run(&mut self) {
        let mut next = Next::Receive;
        loop {
            let pool = &self.worker.pool;
            let Some(batch) = self.batch.as_mut() else { return };
            let sent = match next {
                Next::Receive => {
                    // The replies go out while the next request may already come in.
                    let send = pool.send(self.stream, &mut batch.reply);
                    let (sent, received) = tokio::join!(send, self.input.fill(self.stream));
                    if !matches!(received, Ok(count) if count > 0) {
                        return;
                    }
                    sent
                }
                Next::Parse => pool.send(self.stream, &mut batch.reply).await,
                Next::Close => {
                    let _ = pool.send(self.stream, &mut batch.reply).await;
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
            next = self.batch().await;
        }
    }

    /// Takes the complete commands out of the input and runs them.
    async fn batch(&mut self) -> Next {
        let Some(mut batch) = self.batch.take() else { return Next::Close };
        let arrived = clock::monotonic();
        self.worker.touch(batch.slot);
        let taken = self.session.take(self.input.bytes_mut(), &mut batch);
        let full = batch.requests.len() == BATCH_COMMANDS_MAX;
        let mut consumed = taken.consumed;
        self.worker.stats.bytes_in.add(consumed as u64);
        let pause = &self.worker.server.pause;
        if pause.holds(batch.writes) && !batch.is_done() {
            let client = &batch.client.shared;
            pause.wait(batch.writes, || client.is_killed()).await;
            if client.is_killed() {
                return Next::Close;
            }
        }
        batch.writes |= batch.watches && !self.worker.server.begin_watching();
        if batch.writes {
            self.input.lend(consumed, &mut batch.input);
            consumed = 0;
        }
        let limit = self.worker.server.config.output_buffer_limit;
        while !batch.is_done() {
            if batch.writes {
                batch = self.worker.write(batch).await;
            } else {
                self.worker.read(&mut batch, self.input.bytes());
            }
            if batch.reply.len() > limit {
                tracing::warn!(client = batch.client.shared.id, "output-buffer-limit exceeded");
                return Next::Close;
            }
            self.worker.stats.bytes_out.add(batch.reply.len() as u64);
            let pool = &self.worker.pool;
            if !batch.is_done() && pool.send(self.stream, &mut batch.reply).await.is_err() {
                return Next::Close;
            }
        }
        if !batch.ops.is_empty() {
            self.worker.record(&mut batch, arrived, self.session.queued());
        }
        let closing = taken.last || batch.client.closing;
        batch.shrink();
        self.batch = Some(batch);
        self.input.consume(consumed);
        if let Err(error) = self.input.reserve(taken.needed) {
            if let Some(batch) = &mut self.batch {
                tracing::warn!(client = batch.client.shared.id, %error, "closing a connection");
                batch.reply.error("ERR too much memory is used by requests of all clients; retry");
            }
            return Next::Close;
        }
        match (closing, full) {
            (true, _) => Next::Close,
            (false, true) => Next::Parse,
            (false, false) => Next::Receive,
        }
    }
}

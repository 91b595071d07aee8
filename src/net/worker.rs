//! A worker: one thread, one io_uring event loop, its registered buffers and its connections.

mod waits;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::{Notify, Semaphore};

use super::acceptor::Accepted;
use super::buffer::Pool;
use super::conn;
use super::slot::{Returned, Slot};
use super::stream::Stream;
use super::tick::Tick;
use super::turns::{Turns, look_at_ring};
use crate::batch::{Batch, Groups, Home, InVain, Reader, Stay, Writer, Written};
use crate::clock;
use crate::command::allowance::Seat;
use crate::command::latency_monitor::Event;
use crate::command::state::{ClientShared, Done, Killer, Queued};
use crate::command::stats::{Ending, Shard, registry};
use crate::command::{Client, Server};
use crate::limits::RING_ENTRIES;
use crate::store::Mode;

/// What other threads hand to a worker.
#[derive(Default)]
pub struct Inbox {
    messages: Mutex<Messages>,
    notify: Notify,
    /// Connections given to this worker and not closed yet.
    load: AtomicUsize,
}

#[derive(Default)]
struct Messages {
    accepted: Vec<Accepted>,
    finished: Vec<Box<Batch>>,
    kills: Vec<u64>,
    /// Batches that wait for data.
    parked: Vec<Stay>,
    /// Waits that are to end, of which clients, and how.
    unblocked: Vec<(u64, u64, InVain)>,
    stopping: bool,
}

impl Inbox {
    /// Connections the worker has.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Gives the worker a connection.
    pub fn accept(&self, accepted: Accepted) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.messages.lock().accepted.push(accepted);
        self.notify.notify_one();
    }

    /// Asks the worker to end its connections, after what is in flight, and then itself.
    pub fn stop(&self) {
        self.messages.lock().stopping = true;
        self.notify.notify_one();
    }
}

impl Home for Inbox {
    fn deliver(&self, batches: &mut Vec<Box<Batch>>) {
        self.messages.lock().finished.append(batches);
        self.notify.notify_one();
    }

    fn parked(&self, stay: Stay) {
        self.messages.lock().parked.push(stay);
        self.notify.notify_one();
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("load", &self.load()).finish_non_exhaustive()
    }
}

impl Killer for Inbox {
    fn unblock(&self, client: u64, wait: u64, with_error: bool) {
        let why = if with_error { InVain::Unblocked } else { InVain::TimedOut };
        self.messages.lock().unblocked.push((client, wait, why));
        self.notify.notify_one();
    }

    fn kill(&self, client: u64) {
        self.messages.lock().kills.push(client);
        self.notify.notify_one();
    }
}

/// The threads that serve connections.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    drained: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts one worker for each inbox, with `buffers` registered buffers each, and returns once
    /// all have their ring.
    pub fn start(
        inboxes: &[Arc<Inbox>],
        buffers: usize,
        server: &Arc<Server>,
        writer: &Arc<Writer>,
    ) -> io::Result<Workers> {
        let (ready, started) = std::sync::mpsc::channel();
        let mut threads = Vec::new();
        let drained = Arc::new(AtomicUsize::new(0));
        for (number, inbox) in inboxes.iter().enumerate() {
            let (inbox, server) = (Arc::clone(inbox), Arc::clone(server));
            let (writer, ready) = (Arc::clone(writer), ready.clone());
            let drained = Arc::clone(&drained);
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || match runtime() {
                Ok(runtime) => runtime.block_on(async move {
                    let stats = server.stats.shard();
                    let budget = Arc::clone(&server.client_memory);
                    let pool = Pool::register(buffers, budget, Arc::clone(&stats));
                    let _ = ready.send(Ok(()));
                    let parts = (server, writer, inbox);
                    Worker::new(number, parts, pool, stats, drained).run().await;
                }),
                Err(error) => drop(ready.send(Err(error))),
            })?);
        }
        for _ in inboxes {
            started.recv().expect("every worker reports whether it has its ring")?;
        }
        Ok(Workers { threads, drained })
    }

    /// Whether all connections have ended.
    pub fn are_drained(&self) -> bool {
        let drained = self.drained.load(Ordering::Acquire);
        drained == self.threads.len() || self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits until all workers have ended, which those do that have no connections once the writer is
    /// closed.
    pub fn join(self) {
        for thread in self.threads {
            // A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// A ring that runs completions only when we ask for them, and that one thread alone uses: without
/// these two flags the kernel interrupts the worker for every completion.
fn runtime() -> io::Result<tokio_uring::Runtime> {
    let mut ring = tokio_uring::uring_builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    tokio_uring::Runtime::new(tokio_uring::builder().entries(RING_ENTRIES).uring_builder(&ring))
}

/// Whether a worker could have its ring here.
pub fn probe() -> io::Result<()> {
    runtime().map(drop)
}

/// See the module.
pub struct Worker {
    number: usize,
    pub server: Arc<Server>,
    pub pool: Pool,
    writer: Arc<Writer>,
    inbox: Arc<Inbox>,
    /// Empty, with the memory that the inbox's next messages are collected in.
    messages: RefCell<Messages>,
    /// Connections end as soon as what they sent is answered.
    stopping: Cell<bool>,
    pub(super) slots: RefCell<Slab<Slot>>,
    /// Batches for the writer that arrived in this turn of the event loop.
    pending: RefCell<Vec<Box<Batch>>>,
    /// The same for batches without writes, where they have groups of their own.
    pending_reads: RefCell<Vec<Box<Batch>>>,
    submit: Notify,
    emptied: Notify,
    turns: RefCell<Turns>,
    turn_wanted: Notify,
    /// TLS handshakes take turns.
    pub handshakes: Semaphore,
    reader: RefCell<Reader>,
    /// Groups of batches without writes, where the store does not answer at once.
    reads: Option<Arc<Groups>>,
    /// Workers that have no connections any more and get no new ones.
    drained: Arc<AtomicUsize>,
    pub stats: Arc<Shard>,
    pub tick: Tick,
}

impl Worker {
    fn new(
        number: usize,
        (server, writer, inbox): (Arc<Server>, Arc<Writer>, Arc<Inbox>),
        pool: Pool,
        stats: Arc<Shard>,
        drained: Arc<AtomicUsize>,
    ) -> Rc<Worker> {
        let reads = server.store.local().is_none().then(|| {
            // Batches know their worker by its number among all.
            let homes = (0..=number).map(|_| Arc::clone(&inbox) as Arc<dyn Home>).collect();
            Arc::new(Groups::new(&server, homes, Mode::Read))
        });
        Rc::new(Worker {
            number,
            tick: Tick::new(Arc::clone(&stats), server.started),
            stats,
            server,
            pool,
            writer,
            inbox,
            drained,
            messages: RefCell::default(),
            stopping: Cell::new(false),
            slots: RefCell::default(),
            pending: RefCell::default(),
            pending_reads: RefCell::default(),
            submit: Notify::new(),
            emptied: Notify::new(),
            turns: RefCell::default(),
            turn_wanted: Notify::new(),
            handshakes: Semaphore::new(1),
            reader: RefCell::default(),
            reads,
        })
    }

    /// Serves until told to stop and the last connection is gone.
    async fn run(self: Rc<Worker>) {
        tokio_uring::spawn(Rc::clone(&self).submit_pending());
        if self.server.auth.is_some() {
            tokio_uring::spawn(Rc::clone(&self).take_turns());
        }
        if let Some(reads) = &self.reads {
            tokio_uring::spawn(Arc::clone(reads).serve());
        }
        // Where the writer is a task, it is one of the first worker's.
        let writing = match &*self.writer {
            Writer::Groups(groups) if self.number == 0 => {
                tokio_uring::spawn(Arc::clone(groups).watch());
                Some(tokio_uring::spawn(Arc::clone(groups).serve()))
            }
            _ => None,
        };
        if let Some(timeout) = self.server.config.timeout {
            tokio_uring::spawn(Rc::clone(&self).close_idle(timeout));
        }
        while !self.stopping.get() {
            self.inbox.notify.notified().await;
            self.receive();
        }
        for (_, slot) in self.slots.borrow().iter() {
            slot.stream.client.ends(Ending::Shutdown);
            slot.stream.shutdown(Shutdown::Read);
        }
        while !self.slots.borrow().is_empty() {
            tokio::select! {
                () = self.inbox.notify.notified() => self.receive(),
                () = self.emptied.notified() => {}
            }
        }
        // Nobody else may know that it was this worker's turn.
        while self.writer.submit(&mut Vec::new()) {}
        self.drained.fetch_add(1, Ordering::Release);
        if let Some(writing) = writing {
            // Background work, and other workers, may have something left to write.
            let _ = writing.await;
        }
    }

    /// Takes the messages.
    fn receive(self: &Rc<Worker>) {
        let mut messages = self.messages.take();
        std::mem::swap(&mut messages, &mut *self.inbox.messages.lock());
        let mut slots = self.slots.borrow_mut();
        // A batch is parked before it comes back for another reason.
        for Stay { slot, client, ticket, deadline } in messages.parked.drain(..) {
            // It may have been taken back, and even its connection may be gone.
            if let Some(slot) = slots.get_mut(slot)
                && slot.client == client
                && (slot.wait < ticket || !slot.is_over)
            {
                (slot.wait, slot.is_over) = (ticket, false);
                slot.parked = Some(deadline);
                slot.wake();
            }
        }
        for batch in messages.finished.drain(..) {
            let slot = &mut slots[batch.slot];
            slot.finished = Some(batch);
            slot.wake();
        }
        if !messages.unblocked.is_empty() {
            for (client, wait, why) in messages.unblocked.drain(..) {
                let is_meant = |slot: &Slot| (slot.client, slot.wait) == (client, wait);
                if let Some((_, slot)) = slots.iter_mut().find(|(_, slot)| is_meant(slot))
                    && !slot.is_over
                {
                    slot.in_vain = Some(why);
                    slot.wake();
                }
            }
        }
        if !messages.kills.is_empty() {
            messages.kills.sort_unstable();
            for (_, slot) in slots.iter() {
                if messages.kills.binary_search(&slot.client).is_ok() {
                    slot.stream.shutdown(Shutdown::Both);
                }
            }
            messages.kills.clear();
        }
        drop(slots);
        for accepted in messages.accepted.drain(..) {
            self.open(accepted);
        }
        if std::mem::take(&mut messages.stopping) {
            self.stopping.set(true);
        }
        self.messages.replace(messages);
    }

    fn open(self: &Rc<Worker>, accepted: Accepted) {
        let Accepted { socket, addr, laddr, tls } = accepted;
        let id = self.server.next_client_id();
        let killer = Arc::clone(&self.inbox);
        let mut shared = ClientShared::new(id, addr, laddr, clock::unix_ms(), killer);
        (shared.tls, shared.fd) = (tls.is_some(), socket.descriptor());
        let shared = Arc::new(shared);
        let client = match self.server.auth {
            Some(_) => Client::stranger(Arc::clone(&shared)),
            None => Client::new(Arc::clone(&shared)),
        };
        self.server.add_client(&shared);
        let stream = Rc::new(Stream::new(socket, shared, Arc::clone(&self.stats)));
        if self.stopping.get() {
            stream.client.ends(Ending::Shutdown);
            stream.shutdown(Shutdown::Read);
        }
        let slot = Slot::new(id, Rc::clone(&stream), clock::monotonic());
        let slot = self.slots.borrow_mut().insert(slot);
        let batch = Box::new(Batch::new(client, self.number, slot));
        let worker = Rc::clone(self);
        tokio_uring::spawn(async move {
            conn::serve(Rc::clone(&worker), stream, batch, tls).await;
            worker.close(slot);
        });
    }

    fn close(&self, slot: usize) {
        let slot = self.slots.borrow_mut().remove(slot);
        slot.stream.shutdown(Shutdown::Both);
        self.server.remove_client(slot.client);
        self.stats.closed(slot.stream.client.ending());
        self.inbox.load.fetch_sub(1, Ordering::Relaxed);
        self.emptied.notify_one();
    }

    /// Whether batches have to travel, input and all, because the store does not answer at once.
    pub fn is_remote(&self) -> bool {
        self.reads.is_some()
    }

    /// Runs a batch without writes: here and now where the store answers at once. Its requests lie in
    /// `input`, unless what came before them needed the batch to have its own.
    pub async fn read(&self, mut batch: Box<Batch>, input: &[u8]) -> Box<Batch> {
        if let Some(local) = self.server.store.local() {
            let own = std::mem::take(&mut batch.input);
            let input = if own.is_empty() { input } else { &own };
            self.reader.borrow_mut().run(&mut batch, input, &self.server, local);
            batch.input = own;
            return batch;
        }
        let slot = batch.slot;
        self.pending_reads.borrow_mut().push(batch);
        self.submit.notify_one();
        self.finished(slot).await
    }

    /// Has the writer run a batch; returns when what it wrote is durable, or when it is parked.
    pub async fn write(&self, batch: Box<Batch>) -> Returned {
        let slot = batch.slot;
        self.pending.borrow_mut().push(batch);
        self.submit.notify_one();
        self.returned(slot).await
    }

    /// The batch of a slot, once it has come back.
    pub async fn finished(&self, slot: usize) -> Box<Batch> {
        loop {
            if let Returned::Batch(batch) = self.returned(slot).await {
                return batch;
            }
        }
    }

    /// What becomes of the batch of a slot.
    pub async fn returned(&self, slot: usize) -> Returned {
        poll_fn(|context| {
            let slot = &mut self.slots.borrow_mut()[slot];
            if let Some(batch) = slot.finished.take() {
                slot.end_wait();
                return Poll::Ready(Returned::Batch(batch));
            }
            if let Some(deadline) = slot.parked.take() {
                return Poll::Ready(Returned::Parked(deadline));
            }
            if let Some(why) = slot.in_vain.take() {
                return Poll::Ready(Returned::InVain(why));
            }
            slot.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Takes a batch back that waits for data; `None` if it is being executed, and will come back.
    pub fn unpark(&self, slot: usize) -> Option<Box<Batch>> {
        let batch = self.writer.parked().unpark(self.number, slot)?;
        self.slots.borrow_mut()[slot].end_wait();
        Some(batch)
    }

    /// Begins a turn of the event loop, unless one is under way; when it began.
    pub fn begin_turn(&self) -> Instant {
        self.tick.begin(|| self.submit.notify_one())
    }

    fn end_turn(&self) {
        if let Some(ms) = self.tick.end() {
            self.server.observing.latency.note(Event::EventLoop, ms);
        }
    }

    /// Ends a turn of the event loop, and hands all its batches to the writer together: this task runs after
    /// those of the connections that were ready before it was woken.
    async fn submit_pending(self: Rc<Worker>) {
        let mut batches = Vec::new();
        loop {
            self.submit.notified().await;
            if let Some(reads) = &self.reads {
                reads.submit(&mut self.pending_reads.borrow_mut());
            }
            let mut has_role = false;
            loop {
                std::mem::swap(&mut batches, &mut *self.pending.borrow_mut());
                has_role = (has_role || !batches.is_empty()) && self.writer.submit(&mut batches);
                self.end_turn();
                if !has_role {
                    break;
                }
                // Other workers keep sending; this one's connections get their turn in between.
                look_at_ring().await;
                self.begin_turn();
            }
        }
    }

    /// Waits for the turn of a connection with requests of so many bytes, if tenants have to share.
    pub async fn turn(&self, batch: &Batch, bytes: usize, now: Instant) {
        let tenant = batch.client.tenant;
        let is_alone = self.server.auth.is_none();
        if is_alone || self.turns.borrow_mut().enter(tenant, bytes, batch.slot, now) {
            return;
        }
        self.turn_wanted.notify_one();
        poll_fn(|context| {
            let slot = &mut self.slots.borrow_mut()[batch.slot];
            if std::mem::take(&mut slot.admitted) {
                return Poll::Ready(());
            }
            slot.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Has turns follow one another while somebody waits for the next.
    async fn take_turns(self: Rc<Worker>) {
        loop {
            self.turn_wanted.notified().await;
            while self.turns.borrow().are_wanted() {
                look_at_ring().await;
                let mut turns = self.turns.borrow_mut();
                turns.begin();
                while let Some(slot) = turns.next() {
                    let slot = &mut self.slots.borrow_mut()[slot];
                    slot.admitted = true;
                    slot.wake();
                }
            }
        }
    }

    /// Counts a batch whose replies are ready, notes it if it was slow, and shows others what the connection
    /// did. Its requests are in `input` if it has not taken them along.
    pub fn record(
        &self,
        batch: &mut Batch,
        queued: Option<Queued>,
        input: &[u8],
    ) -> Option<Written> {
        let now = batch.timeline.last();
        let busy = batch.timeline.busy(now);
        let is_slow = batch.observe(&self.server, busy, input);
        self.stats.slow.add(u64::from(is_slow));
        let written = batch.record(&self.stats, busy);
        let (at_ms, command) =
            (self.server.uptime_ms(now), batch.last.map(|spec| registry().number(spec)));
        let protocol = batch.reply.protocol();
        batch.client.publish(Done { at_ms, command, protocol, queued });
        if let Some(seat) = self.watched_seat(batch) {
            seat.failed(written.errors);
        }
        self.tracks().then_some(written)
    }

    /// Shows others how far the connection has come with a batch of which some replies are to be sent. What
    /// was done last made them, or the next may block: neither is inside a transaction.
    pub fn show_progress(&self, batch: &mut Batch) {
        let at_ms = self.server.uptime_ms(batch.timeline.last());
        let (command, protocol) = (batch.last_done(), batch.reply.protocol());
        batch.client.publish(Done { at_ms, command, protocol, queued: None });
    }

    /// Counts requests that were admitted, of so many bytes.
    pub fn taken(&self, batch: &Batch, bytes: usize) {
        self.stats.bytes_in.add(bytes as u64);
        if let Some(seat) = self.watched_seat(batch) {
            seat.count(batch.ops.len(), bytes);
        }
    }

    /// The place of a batch's connection in its tenant, if somebody wants to know what tenants do.
    fn watched_seat<'b>(&self, batch: &'b Batch) -> Option<&'b Seat> {
        batch.client.seat.as_deref().filter(|_| self.server.config.metrics_tenants)
    }

    /// Whether latencies are measured.
    pub fn tracks(&self) -> bool {
        self.server.observing.tracks()
    }

    /// Counts commands whose replies have been written, or never will be.
    pub fn written(&self, written: &Cell<Option<Written>>) {
        if let Some(written) = written.take() {
            written.record(&self.stats, self.begin_turn());
        }
    }
}

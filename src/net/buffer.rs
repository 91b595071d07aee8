//! Receive and send buffers: registered with the ring while they last, ordinary memory past that.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::buf::BoundedBufMut;
use tokio_uring::buf::fixed::{FixedBuf, FixedBufPool};

use super::stream::Stream;
use super::tls::{self, Tls};
use crate::command::client_memory::{Budget, Charge};
use crate::command::stats::{BufferCounts, Shard};
use crate::limits::{
    BATCH_REPLY_BYTES, HEAP_BUFFER_BYTES_MIN, IDLE_BUFFER_BYTES_MAX, RECEIVE_STEP_BYTES,
    REGISTERED_BUFFER_BYTES, TLS_OVERHEAD_BYTES, TLS_RECORD_DATA_BYTES, TLS_SEND_BYTES,
};
use crate::resp::Reply;

/// The error when the [`Budget`] is used up.
fn out_of_budget() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "client-memory-max is used up")
}

/// A worker's registered buffers.
pub struct Pool {
    budget: Arc<Budget>,
    registered: Option<FixedBufPool<Vec<u8>>>,
    /// Buffers connections may still keep for receiving; the rest is for sending.
    receive_left: Cell<usize>,
    stats: Arc<Shard>,
}

/// A registered buffer is in use until this is dropped.
struct InUse<'p>(&'p BufferCounts);

impl<'p> InUse<'p> {
    fn new(pool: &'p Pool) -> InUse<'p> {
        pool.stats.buffers.in_use.add(1);
        InUse(&pool.stats.buffers)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.in_use.subtract(1);
    }
}

impl Pool {
    /// Registers `buffers` buffers with the ring of the current runtime, whose worker counts in `stats`. Where
    /// the kernel refuses (`RLIMIT_MEMLOCK`), half as many are tried, down to none.
    pub fn register(mut buffers: usize, budget: Arc<Budget>, stats: Arc<Shard>) -> Pool {
        while buffers > 1 {
            let pool = FixedBufPool::new(
                std::iter::repeat_with(|| Vec::with_capacity(REGISTERED_BUFFER_BYTES))
                    .take(buffers),
            );
            if pool.register().is_ok() {
                // Connections hold a receive buffer each, but a send buffer only while sending.
                let receive_left = Cell::new(buffers - buffers.div_ceil(4));
                stats.buffers.registered.set(buffers as u64);
                return Pool { budget, registered: Some(pool), receive_left, stats };
            }
            buffers /= 2;
        }
        Pool { budget, registered: None, receive_left: Cell::new(0), stats }
    }

    fn take(&self) -> Option<FixedBuf> {
        self.registered.as_ref()?.try_next(REGISTERED_BUFFER_BYTES)
    }

    fn take_to_send(&self) -> Option<FixedBuf> {
        let taken = self.take();
        self.stats.buffers.fallbacks.add(u64::from(taken.is_none()));
        taken
    }

    /// A buffer for a connection to receive into.
    pub fn receive(&self) -> Receive<'_> {
        Receive {
            pool: self,
            buf: self.fresh(),
            filled: 0,
            grow: false,
            charge: None,
            copied: false,
        }
    }

    /// A buffer that is never received into, but [appended](Receive::append) to.
    pub fn collect(&self) -> Receive<'_> {
        Receive { pool: self, buf: heap(), filled: 0, grow: false, charge: None, copied: true }
    }

    fn fresh(&self) -> Buf<'_> {
        if self.receive_left.get() > 0
            && let Some(buf) = self.take()
        {
            self.receive_left.set(self.receive_left.get() - 1);
            return Buf::Registered(buf, InUse::new(self));
        }
        self.stats.buffers.fallbacks.add(1);
        heap()
    }

    /// Sends and clears the replies: from a registered buffer if they fit and one is free.
    pub async fn send(&self, stream: &Stream, reply: &mut Reply) -> io::Result<()> {
        if reply.is_empty() {
            // What it held may have been taken back.
            reply.shrink(IDLE_BUFFER_BYTES_MAX);
            return Ok(());
        }
        if reply.len() <= REGISTERED_BUFFER_BYTES
            && let Some(mut buf) = self.take_to_send()
        {
            let _in_use = InUse::new(self);
            buf.put_slice(reply.bytes());
            let len = reply.len();
            reply.clear();
            reply.shrink(IDLE_BUFFER_BYTES_MAX);
            return stream.write_fixed(buf, len).await;
        }
        let _charge = self.charge(reply)?;
        let (result, buf) = stream.write_all(reply.take()).await;
        if buf.capacity() <= IDLE_BUFFER_BYTES_MAX {
            reply.give_back(buf);
        }
        result
    }

    /// What replies that are being sent take of the budget.
    fn charge(&self, reply: &Reply) -> io::Result<Option<Charge>> {
        if reply.len() <= BATCH_REPLY_BYTES {
            return Ok(None);
        }
        self.budget.charge(reply.len()).ok_or_else(out_of_budget).map(Some)
    }

    /// As [`Pool::send`], but encrypted, and after what TLS itself has to say.
    pub async fn send_encrypted(
        &self,
        stream: &Stream,
        tls: &RefCell<Tls>,
        reply: &mut Reply,
    ) -> io::Result<()> {
        tls::flush(stream, tls).await?;
        if reply.is_empty() {
            reply.shrink(IDLE_BUFFER_BYTES_MAX);
            return Ok(());
        }
        if reply.len() <= REGISTERED_BUFFER_BYTES - TLS_OVERHEAD_BYTES
            && let Some(mut buf) = self.take_to_send()
        {
            let _in_use = InUse::new(self);
            if buf.len() < REGISTERED_BUFFER_BYTES {
                // Only what was written once can be written to; it stays so for the next ones.
                buf.put_slice(&[0; REGISTERED_BUFFER_BYTES]);
            }
            let len = tls.borrow_mut().encrypt(reply.bytes(), &mut buf)?;
            reply.clear();
            reply.shrink(IDLE_BUFFER_BYTES_MAX);
            tls.borrow_mut().sending = true;
            stream.write_fixed(buf, len).await?;
            tls.borrow_mut().sending = false;
            return Ok(());
        }
        let _charge = self.charge(reply)?;
        let data = reply.take();
        let mut buf = Vec::new();
        for piece in data.chunks(TLS_SEND_BYTES) {
            tls::flush(stream, tls).await?;
            let records = piece.len().div_ceil(TLS_RECORD_DATA_BYTES);
            buf.resize(piece.len() + (records + 1) * TLS_OVERHEAD_BYTES, 0);
            let len = tls.borrow_mut().encrypt(piece, &mut buf)?;
            buf.truncate(len);
            tls.borrow_mut().sending = true;
            let result;
            (result, buf) = stream.write_all(buf).await;
            result?;
            tls.borrow_mut().sending = false;
        }
        if data.capacity() <= IDLE_BUFFER_BYTES_MAX {
            reply.give_back(data);
        }
        Ok(())
    }
}

fn heap<'p>() -> Buf<'p> {
    Buf::Heap(Vec::with_capacity(HEAP_BUFFER_BYTES_MIN))
}

enum Buf<'p> {
    Registered(FixedBuf, InUse<'p>),
    Heap(Vec<u8>),
    /// In the kernel's hands.
    Away,
}

/// Where a connection's input collects: received bytes at the front, room behind them.
pub struct Receive<'p> {
    pool: &'p Pool,
    buf: Buf<'p>,
    filled: usize,
    /// The last receive filled all the room there was.
    grow: bool,
    /// Held for a buffer larger than an idle connection may have.
    charge: Option<Charge>,
    /// The kernel never fills it, so it need not be registered.
    copied: bool,
}

impl Drop for Receive<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl Receive<'_> {
    /// The bytes received and not consumed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        match &mut self.buf {
            Buf::Registered(buf, _) => &mut buf[..filled],
            Buf::Heap(buf) => &mut buf[..filled],
            Buf::Away => &mut [],
        }
    }

    /// The bytes received and not consumed.
    pub fn bytes(&self) -> &[u8] {
        match &self.buf {
            Buf::Registered(buf, _) => &buf[..self.filled],
            Buf::Heap(buf) => &buf[..self.filled],
            Buf::Away => &[],
        }
    }

    /// What the buffer holds at most.
    pub fn capacity(&self) -> usize {
        match &self.buf {
            Buf::Registered(..) => REGISTERED_BUFFER_BYTES,
            Buf::Heap(buf) => buf.capacity(),
            Buf::Away => 0,
        }
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        let filled = self.filled;
        self.bytes_mut().copy_within(count..filled, 0);
        self.filled -= count;
        if self.filled == 0 && self.capacity() > IDLE_BUFFER_BYTES_MAX {
            self.release();
            self.buf = if self.copied { heap() } else { self.pool.fresh() };
        }
        if self.capacity() <= IDLE_BUFFER_BYTES_MAX {
            self.charge = None;
        }
    }

    /// Moves the first `count` bytes into `owned`, without copying where the buffer can be spared.
    pub fn lend(&mut self, count: usize, owned: &mut Vec<u8>) {
        match &mut self.buf {
            Buf::Heap(buf) if count > IDLE_BUFFER_BYTES_MAX => {
                let mut rest = Vec::with_capacity(self.filled - count + HEAP_BUFFER_BYTES_MIN);
                rest.extend_from_slice(&buf[count..self.filled]);
                buf.truncate(count);
                *owned = std::mem::replace(buf, rest);
                self.filled -= count;
            }
            _ => {
                owned.extend_from_slice(&self.bytes()[..count]);
                self.consume(count);
            }
        }
    }

    /// Makes room for more bytes, of which `needed` will come (0: not known).
    ///
    /// What a client announces costs nothing until it arrives: the room at most doubles each time it
    /// is nearly used up.
    ///
    /// # Errors
    ///
    /// All connections together use as much memory as they may.
    pub fn reserve(&mut self, needed: usize) -> io::Result<()> {
        let capacity = self.capacity();
        let room = capacity - self.filled;
        if needed > room {
            if capacity >= RECEIVE_STEP_BYTES && room >= capacity / 4 {
                return Ok(());
            }
            return self.grow_to(self.filled + needed.min(self.filled.max(RECEIVE_STEP_BYTES)));
        }
        let small = self.grow && capacity < IDLE_BUFFER_BYTES_MAX;
        if needed == 0 && (room == 0 || small) {
            return self.grow_to(capacity * 2);
        }
        Ok(())
    }

    /// Makes the buffer one of ordinary memory that holds `target` bytes.
    fn grow_to(&mut self, target: usize) -> io::Result<()> {
        if target > IDLE_BUFFER_BYTES_MAX {
            self.charge = None;
            self.charge = Some(self.pool.budget.charge(target).ok_or_else(out_of_budget)?);
        }
        let filled = self.filled;
        if let Buf::Heap(buf) = &mut self.buf {
            // The allocator may be able to do without copying.
            buf.truncate(filled);
            buf.reserve_exact(target - filled);
            return Ok(());
        }
        let mut larger = Vec::with_capacity(target);
        larger.extend_from_slice(self.bytes());
        self.release();
        self.buf = Buf::Heap(larger);
        Ok(())
    }

    /// Adds bytes that were received elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Receive::reserve`].
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let missing = (self.filled + bytes.len()).saturating_sub(self.capacity());
        if missing > 0 {
            // At least twice the room, so that many small pieces cost no more than their bytes.
            self.grow_to(self.filled + bytes.len().max(self.capacity()))?;
        }
        let Buf::Heap(buf) = &mut self.buf else {
            return self.append_registered(bytes);
        };
        buf.truncate(self.filled);
        buf.extend_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    fn append_registered(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A registered buffer is only ever filled by the kernel.
        let mut copy = Vec::with_capacity(REGISTERED_BUFFER_BYTES);
        copy.extend_from_slice(self.bytes());
        copy.extend_from_slice(bytes);
        self.filled = copy.len();
        self.release();
        self.buf = Buf::Heap(copy);
        Ok(())
    }

    fn release(&mut self) {
        if let Buf::Registered(..) = std::mem::replace(&mut self.buf, Buf::Away) {
            self.pool.receive_left.set(self.pool.receive_left.get() + 1);
        }
    }

    /// Receives at least one byte behind what is there; 0 at the end of the stream.
    ///
    /// There must be room: call [`Receive::reserve`] before.
    pub async fn fill(&mut self, stream: &Stream) -> io::Result<usize> {
        let filled = self.filled;
        let result = match std::mem::replace(&mut self.buf, Buf::Away) {
            Buf::Registered(buf, in_use) => {
                let (result, slice) = stream.read_fixed(buf.slice(filled..)).await;
                self.buf = Buf::Registered(slice.into_inner(), in_use);
                result
            }
            Buf::Heap(buf) => {
                let (result, slice) = stream.read(buf.slice(filled..)).await;
                self.buf = Buf::Heap(slice.into_inner());
                result
            }
            Buf::Away => Ok(0),
        };
        if let Ok(count) = result {
            self.filled += count;
            self.grow = self.filled == self.capacity();
        }
        result
    }
}

//! The two directions of one connection: replies go out while requests come in.
//!
//! A client may send all its requests before it reads the first reply. While its replies do not fit
//! into the socket, what it sends must therefore still be received, or both sides would wait for each
//! other for ever. It is received but not executed: what piles up is requests, not answers.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::ServerConfig;
use tokio::sync::Semaphore;
use tokio_uring::buf::BoundedBuf;

use super::arrivals::Arrivals;
use super::buffer::{Pool, Receive};
use super::stream::Stream;
use super::tls::{self, Tls};
use super::worker::Worker;
use crate::limits::{READ_AHEAD_BYTES, TLS_CLOSE_TIMEOUT, TLS_HANDSHAKE_BYTES_MAX};
use crate::resp::Reply;

type Read = dyn Future<Output = (io::Result<usize>, Vec<u8>)>;

/// See the module.
pub struct Link<'w> {
    stream: Rc<Stream>,
    worker: &'w Worker,
    /// What has been received, in the clear, and not consumed.
    pub input: Receive<'w>,
    /// When that came, as far as nobody has looked at it.
    pub arrivals: Arrivals,
    secure: Option<Box<Secure<'w>>>,
    ahead: Ahead,
}

/// What TLS has beside the connection.
struct Secure<'w> {
    tls: RefCell<Tls>,
    /// What has been received and not decrypted: less than a record, after the handshake.
    records: Receive<'w>,
}

/// What is received while a send is blocked.
struct Ahead {
    /// A receive into a buffer of its own, under way.
    read: Option<Pin<Box<Read>>>,
    /// Something was received that nobody has looked at.
    unseen: bool,
    /// The client sends no more.
    ended: bool,
    /// Bytes of requests one connection may pile up.
    input_max: usize,
}

impl<'w> Link<'w> {
    /// The two directions of `stream`, with buffers of its `worker`, and with TLS if that has a
    /// configuration: then [`Link::handshake`] comes first.
    pub fn new(
        stream: Rc<Stream>,
        worker: &'w Worker,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Link<'w>> {
        let (pool, input_max) = (&worker.pool, worker.server.config.output_buffer_limit);
        let ahead = Ahead { read: None, unseen: false, ended: false, input_max };
        let (input, secure) = match tls {
            None => (pool.receive(), None),
            Some(config) => {
                let tls = RefCell::new(Tls::new(config)?);
                (pool.collect(), Some(Box::new(Secure { tls, records: pool.receive() })))
            }
        };
        let arrivals = Arrivals::default();
        Ok(Link { stream, worker, input, arrivals, secure, ahead })
    }

    /// Does the TLS handshake, if there is one, each step with the permit of `turn`; `None` without
    /// TLS, else whether a session was resumed.
    ///
    /// To end it early, shut the stream down: it must not be dropped while it receives.
    pub async fn handshake(&mut self, turn: &Semaphore) -> io::Result<Option<bool>> {
        let Link { stream, worker, input, arrivals, secure, ahead } = self;
        let Some(Secure { tls, records }) = secure.as_deref_mut() else { return Ok(None) };
        let mut received = 0;
        while tls.borrow().is_handshaking() {
            records.reserve(0)?;
            match records.fill(stream).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => received += count,
            }
            if received > TLS_HANDSHAKE_BYTES_MAX {
                return Err(io::Error::other("too many bytes for a handshake"));
            }
            let is_first = received == records.bytes().len();
            if is_first && !tls::begins_handshake(records.bytes()) {
                return Err(io::Error::other("the client does not speak TLS"));
            }
            // Cryptography takes its time: other connections get theirs in between.
            let permit = turn.acquire().await;
            let known = input.bytes().len();
            let arrived = decrypt(tls, records, input);
            tokio::task::yield_now().await;
            drop(permit);
            ahead.note(arrived?);
            // The first requests may come with the end of the handshake.
            arrivals.add(worker.begin_turn(), input.bytes().len() - known);
            let flushed = tls::flush(stream, tls).await;
            if tls.borrow().is_handshaking() {
                flushed?;
            }
            // A client that is gone before it has its tickets has done its part of the handshake.
        }
        Ok(Some(tls.borrow().is_resumed()))
    }

    /// Says goodbye where TLS wants that; `well` if the connection has not failed.
    pub async fn close(&mut self, well: bool) {
        let Some(Secure { tls, .. }) = self.secure.as_deref() else { return };
        if tls.borrow().sending {
            return;
        }
        if well {
            tls.borrow_mut().say_goodbye();
        }
        let mut flush = pin!(tls::flush(&self.stream, tls));
        // Whether it arrives makes no difference any more.
        if tokio::time::timeout(TLS_CLOSE_TIMEOUT, &mut flush).await.is_err() {
            self.stream.shutdown(Shutdown::Both);
            let _ = flush.await;
        }
    }

    /// Sends the replies, calls `sent`, and receives more input; whether there is any.
    pub async fn exchange(&mut self, reply: &mut Reply, sent: impl FnOnce()) -> io::Result<bool> {
        let (Parts { stream, worker, tls, ahead }, mut inlet) = self.split();
        let mut send = pin!(send(&worker.pool, stream, tls, reply, sent));
        let mut sent = None;
        if ahead.read.is_none() && !ahead.unseen && !ahead.ended {
            let mut fill = pin!(inlet.fill(stream));
            let arrived = poll_fn(|context| {
                if sent.is_none()
                    && let Poll::Ready(result) = send.as_mut().poll(context)
                {
                    if result.is_err() {
                        // Its client may never send anything more. It has a buffer that is given back when
                        // the kernel is done with it.
                        stream.shutdown(Shutdown::Both);
                    }
                    sent = Some(result);
                }
                fill.as_mut().poll(context)
            })
            .await;
            if let Some(Err(error)) = sent {
                return Err(error);
            }
            ahead.note(arrived?);
        }
        match sent {
            Some(result) => result?,
            None => ahead.receive_until(stream, &mut inlet, send, false, usize::MAX).await??,
        }
        while !ahead.unseen && !ahead.ended {
            if let Some(tls) = tls
                && tls.borrow().has_outgoing()
            {
                let flush = pin!(tls::flush(stream, tls));
                ahead.receive_until(stream, &mut inlet, flush, false, usize::MAX).await??;
                continue;
            }
            let arrived = match ahead.read.as_mut() {
                Some(read) => {
                    let (count, buf) = read.await;
                    ahead.read = None;
                    inlet.take(count?, buf)?
                }
                None => inlet.fill(stream).await?,
            };
            ahead.note(arrived);
        }
        Ok(std::mem::take(&mut ahead.unseen))
    }

    /// Waits for `event`; what is received meanwhile is kept. `None` if the client ends the connection
    /// or sends more than there is room for.
    pub async fn wait<T>(&mut self, event: impl Future<Output = T>) -> Option<T> {
        let (Parts { stream, ahead, .. }, mut inlet) = self.split();
        let waited = ahead.receive_until(stream, &mut inlet, pin!(event), true, usize::MAX).await;
        waited.inspect_err(|error| stream.note(error)).ok()
    }

    /// Waits for `event`, or for input and then whether there is any. What is received is kept.
    pub async fn receive_or<T>(
        &mut self,
        event: impl Future<Output = T>,
    ) -> io::Result<Result<bool, T>> {
        let (Parts { stream, ahead, .. }, mut inlet) = self.split();
        let mut event = pin!(event);
        while !ahead.unseen && !ahead.ended {
            ahead.begin(stream);
            if let Some(happened) = ahead.step(stream, &mut inlet, event.as_mut()).await? {
                return Ok(Err(happened));
            }
        }
        Ok(Ok(std::mem::take(&mut ahead.unseen)))
    }

    /// As [`Link::wait`], but receives only a little: the client is to wait as well.
    pub async fn rest<T>(&mut self, event: impl Future<Output = T>) -> Option<T> {
        let (Parts { stream, ahead, .. }, mut inlet) = self.split();
        let enough = inlet.input.bytes().len() + READ_AHEAD_BYTES;
        let waited = ahead.receive_until(stream, &mut inlet, pin!(event), true, enough).await;
        waited.inspect_err(|error| stream.note(error)).ok()
    }

    /// Notes why the connection ends if it has failed like this because of a limit.
    pub fn failed(&self, error: &io::Error) {
        self.stream.note(error);
    }

    /// Lets others see how much input there is.
    pub fn show_input(&mut self) {
        let (Parts { stream, .. }, inlet) = self.split();
        inlet.show(stream);
    }

    /// Sends the replies, and calls `sent`; what is received meanwhile is kept.
    pub async fn flush(&mut self, reply: &mut Reply, sent: impl FnOnce()) -> io::Result<()> {
        if reply.is_empty() {
            sent();
            return Ok(());
        }
        let (Parts { stream, worker, tls, ahead }, mut inlet) = self.split();
        let send = pin!(send(&worker.pool, stream, tls, reply, sent));
        let sent = ahead.receive_until(stream, &mut inlet, send, false, usize::MAX).await;
        sent.flatten().inspect_err(|error| stream.note(error))
    }

    /// Where received bytes go, and everything else.
    fn split(&mut self) -> (Parts<'_, 'w>, Inlet<'_, 'w>) {
        let Link { stream, worker, input, arrivals, secure, ahead } = self;
        let (tls, secure) = match secure.as_deref_mut() {
            None => (None, None),
            Some(Secure { tls, records }) => (Some(&*tls), Some((&*tls, records))),
        };
        (Parts { stream, worker, tls, ahead }, Inlet { input, arrivals, worker, secure })
    }
}

/// What a link has beside its inlet.
struct Parts<'a, 'w> {
    stream: &'a Rc<Stream>,
    worker: &'w Worker,
    tls: Option<&'a RefCell<Tls>>,
    ahead: &'a mut Ahead,
}

async fn send(
    pool: &Pool,
    stream: &Stream,
    tls: Option<&RefCell<Tls>>,
    reply: &mut Reply,
    sent: impl FnOnce(),
) -> io::Result<()> {
    let buffers = &stream.client.buffers;
    buffers.sending(reply.len());
    match tls {
        None => pool.send(stream, reply).await?,
        Some(tls) => pool.send_encrypted(stream, tls, reply).await?,
    }
    buffers.sent(reply.capacity());
    sent();
    Ok(())
}

/// Where received bytes go: to the input, through TLS if there is any.
struct Inlet<'a, 'w> {
    input: &'a mut Receive<'w>,
    arrivals: &'a mut Arrivals,
    worker: &'w Worker,
    secure: Option<(&'a RefCell<Tls>, &'a mut Receive<'w>)>,
}

/// What came.
enum Arrived {
    /// Something for the input.
    Data,
    /// Nothing that is complete.
    Nothing,
    /// The client sends no more; there may be data before that.
    End { data: bool },
}

impl Inlet<'_, '_> {
    /// Lets others see how much there is.
    fn show(&self, stream: &Stream) {
        let (mut bytes, mut capacity) = (self.input.bytes().len(), self.input.capacity());
        if let Some((_, records)) = &self.secure {
            bytes += records.bytes().len();
            capacity += records.capacity();
        }
        stream.client.buffers.received(bytes, capacity);
    }

    /// Receives once; there must be room in the input, if that is received into.
    async fn fill(&mut self, stream: &Stream) -> io::Result<Arrived> {
        let known = self.input.bytes().len();
        let arrived = match &mut self.secure {
            None => match self.input.fill(stream).await? {
                0 => Arrived::End { data: false },
                _ => Arrived::Data,
            },
            Some((tls, records)) => {
                records.reserve(0)?;
                match records.fill(stream).await? {
                    0 => Arrived::End { data: false },
                    _ => decrypt(tls, records, self.input)?,
                }
            }
        };
        self.arrived(known);
        Ok(arrived)
    }

    /// Takes `count` bytes that were received elsewhere.
    fn take(&mut self, count: usize, bytes: Vec<u8>) -> io::Result<Arrived> {
        let known = self.input.bytes().len();
        let arrived = self.accept(count, bytes);
        self.arrived(known);
        arrived
    }

    /// Notes when what is in the input beyond what was known has arrived.
    fn arrived(&mut self, known: usize) {
        self.arrivals.add(self.worker.begin_turn(), self.input.bytes().len() - known);
    }

    fn accept(&mut self, count: usize, mut bytes: Vec<u8>) -> io::Result<Arrived> {
        if count == 0 {
            return Ok(Arrived::End { data: false });
        }
        let Some((tls, records)) = &mut self.secure else {
            self.input.append(&bytes)?;
            return Ok(Arrived::Data);
        };
        if !records.bytes().is_empty() {
            records.append(&bytes)?;
            return decrypt(tls, records, self.input);
        }
        let done = tls.borrow_mut().decrypt(&mut bytes, self.input)?;
        if done.consumed < bytes.len() {
            records.append(&bytes[done.consumed..])?;
        }
        Ok(done.into())
    }
}

/// Decrypts what is complete.
fn decrypt(
    tls: &RefCell<Tls>,
    records: &mut Receive<'_>,
    input: &mut Receive<'_>,
) -> io::Result<Arrived> {
    let done = tls.borrow_mut().decrypt(records.bytes_mut(), input)?;
    records.consume(done.consumed);
    Ok(done.into())
}

impl From<tls::Decrypted> for Arrived {
    fn from(done: tls::Decrypted) -> Arrived {
        match (done.ended, done.data) {
            (true, data) => Arrived::End { data },
            (false, true) => Arrived::Data,
            (false, false) => Arrived::Nothing,
        }
    }
}

impl Ahead {
    /// Receives until `event`, as long as there is less than `enough` input. That the client sends no more
    /// is an error if its `end_matters`.
    async fn receive_until<T>(
        &mut self,
        stream: &Rc<Stream>,
        inlet: &mut Inlet<'_, '_>,
        mut event: Pin<&mut impl Future<Output = T>>,
        end_matters: bool,
        enough: usize,
    ) -> io::Result<T> {
        loop {
            if self.ended && end_matters {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.read.is_none() && !self.ended && inlet.input.bytes().len() < enough {
                if inlet.input.bytes().len() > self.input_max {
                    let cause = "too many requests without reading replies";
                    return Err(io::Error::new(io::ErrorKind::QuotaExceeded, cause));
                }
                self.begin(stream);
            }
            if let Some(happened) = self.step(stream, inlet, event.as_mut()).await? {
                return Ok(happened);
            }
        }
    }

    /// Has a receive under way.
    fn begin(&mut self, stream: &Rc<Stream>) {
        self.read.get_or_insert_with(|| Box::pin(read_ahead(Rc::clone(stream))));
    }

    /// Waits for `event`, or until what is under way has been received.
    async fn step<T>(
        &mut self,
        stream: &Stream,
        inlet: &mut Inlet<'_, '_>,
        mut event: Pin<&mut impl Future<Output = T>>,
    ) -> io::Result<Option<T>> {
        let arrived = poll_fn(|context| {
            if let Poll::Ready(happened) = event.as_mut().poll(context) {
                return Poll::Ready(Err(happened));
            }
            match self.read.as_mut() {
                Some(read) => read.as_mut().poll(context).map(Ok),
                None => Poll::Pending,
            }
        })
        .await;
        match arrived {
            Err(happened) => Ok(Some(happened)),
            Ok((count, buf)) => {
                self.read = None;
                let arrived = inlet.take(count?, buf)?;
                self.note(arrived);
                inlet.show(stream);
                Ok(None)
            }
        }
    }

    fn note(&mut self, arrived: Arrived) {
        match arrived {
            Arrived::Data => self.unseen = true,
            Arrived::Nothing => {}
            Arrived::End { data } => {
                self.unseen |= data;
                self.ended = true;
            }
        }
    }
}

/// Receives once, into a buffer of its own.
async fn read_ahead(stream: Rc<Stream>) -> (io::Result<usize>, Vec<u8>) {
    let (result, slice) = stream.read(Vec::with_capacity(READ_AHEAD_BYTES).slice(..)).await;
    (result, slice.into_inner())
}

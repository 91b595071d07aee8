//! The two directions of one connection: replies go out while requests come in.
//!
//! A client may send all its requests before it reads the first reply. While its replies do not fit
//! into the socket, what it sends must therefore still be received, or both sides would wait for each
//! other for ever. It is received but not executed: what piles up is requests, not answers.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use tokio_uring::buf::BoundedBuf;

use super::buffer::{Pool, Receive};
use super::stream::Stream;
use crate::limits::READ_AHEAD_BYTES;
use crate::resp::Reply;

type Read = dyn Future<Output = (io::Result<usize>, Vec<u8>)>;

/// See the module.
pub struct Link<'w> {
    stream: Rc<Stream>,
    pool: &'w Pool,
    /// What has been received and not consumed.
    pub input: Receive<'w>,
    ahead: Ahead,
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
    /// The two directions of `stream`, with buffers from `pool`.
    pub fn new(stream: Rc<Stream>, pool: &'w Pool, input_max: usize) -> Link<'w> {
        let ahead = Ahead { read: None, unseen: false, ended: false, input_max };
        Link { stream, pool, input: pool.receive(), ahead }
    }

    /// Sends the replies and receives more input; whether there is any.
    pub async fn exchange(&mut self, reply: &mut Reply) -> io::Result<bool> {
        let Link { stream, pool, input, ahead } = self;
        let mut send = pin!(pool.send(stream, reply));
        let mut sent = None;
        if ahead.read.is_none() && !ahead.unseen && !ahead.ended {
            let mut fill = pin!(input.fill(stream));
            let count = poll_fn(|context| {
                if sent.is_none()
                    && let Poll::Ready(result) = send.as_mut().poll(context)
                {
                    sent = Some(result);
                }
                fill.as_mut().poll(context)
            })
            .await?;
            ahead.ended = count == 0;
            ahead.unseen = count > 0;
        }
        match sent {
            Some(result) => result?,
            None => ahead.receive_until(stream, input, send, false).await??,
        }
        if !ahead.unseen
            && let Some(read) = ahead.read.as_mut()
        {
            let (count, buf) = read.await;
            ahead.read = None;
            ahead.received(input, count, &buf)?;
        }
        Ok(std::mem::take(&mut ahead.unseen))
    }

    /// Waits for `event`; what is received meanwhile is kept. `None` if the client ends the connection
    /// or sends more than there is room for.
    pub async fn wait<T>(&mut self, event: impl Future<Output = T>) -> Option<T> {
        let Link { stream, input, ahead, .. } = self;
        ahead.receive_until(stream, input, pin!(event), true).await.ok()
    }

    /// Sends the replies; what is received meanwhile is kept.
    pub async fn flush(&mut self, reply: &mut Reply) -> io::Result<()> {
        if reply.is_empty() {
            return Ok(());
        }
        let Link { stream, pool, input, ahead } = self;
        ahead.receive_until(stream, input, pin!(pool.send(stream, reply)), false).await?
    }
}

impl Ahead {
    /// Receives until `event`. That the client sends no more is an error if its `end_matters`.
    async fn receive_until<T>(
        &mut self,
        stream: &Rc<Stream>,
        input: &mut Receive<'_>,
        mut event: Pin<&mut impl Future<Output = T>>,
        end_matters: bool,
    ) -> io::Result<T> {
        loop {
            if self.ended && end_matters {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.read.is_none() && !self.ended {
                if input.bytes().len() > self.input_max {
                    return Err(io::Error::other("too many requests without reading replies"));
                }
                self.read = Some(Box::pin(read_ahead(Rc::clone(stream))));
            }
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
                Err(happened) => return Ok(happened),
                Ok((count, buf)) => {
                    self.read = None;
                    self.received(input, count, &buf)?;
                }
            }
        }
    }

    fn received(
        &mut self,
        input: &mut Receive<'_>,
        count: io::Result<usize>,
        buf: &[u8],
    ) -> io::Result<()> {
        match count? {
            0 => self.ended = true,
            _ => {
                input.append(buf)?;
                self.unseen = true;
            }
        }
        Ok(())
    }
}

/// Receives once, into a buffer of its own.
async fn read_ahead(stream: Rc<Stream>) -> (io::Result<usize>, Vec<u8>) {
    let (result, slice) = stream.read(Vec::with_capacity(READ_AHEAD_BYTES).slice(..)).await;
    (result, slice.into_inner())
}

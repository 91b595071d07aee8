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
    /// A receive into a buffer of its own, begun while a send was blocked.
    ahead: Option<Pin<Box<Read>>>,
    /// Bytes of requests one connection may pile up.
    input_max: usize,
    ended: bool,
}

impl<'w> Link<'w> {
    /// The two directions of `stream`, with buffers from `pool`.
    pub fn new(stream: Rc<Stream>, pool: &'w Pool, input_max: usize) -> Link<'w> {
        Link { stream, pool, input: pool.receive(), ahead: None, input_max, ended: false }
    }

    /// Sends the replies and receives more input; whether there is any.
    pub async fn exchange(&mut self, reply: &mut Reply) -> io::Result<bool> {
        let mut received = false;
        {
            let mut send = pin!(self.pool.send(&self.stream, reply));
            let mut sent = None;
            if self.ahead.is_none() && !self.ended {
                let mut fill = pin!(self.input.fill(&self.stream));
                let count = poll_fn(|context| {
                    if sent.is_none()
                        && let Poll::Ready(result) = send.as_mut().poll(context)
                    {
                        sent = Some(result);
                    }
                    fill.as_mut().poll(context)
                })
                .await?;
                self.ended = count == 0;
                received = count > 0;
            }
            match sent {
                Some(result) => result?,
                None => {
                    let ahead = Ahead {
                        stream: &self.stream,
                        input: &mut self.input,
                        read: &mut self.ahead,
                        ended: &mut self.ended,
                        input_max: self.input_max,
                    };
                    received |= ahead.receive_until(send).await?;
                }
            }
        }
        if !received && let Some(read) = self.ahead.take() {
            let (count, buf) = read.await;
            self.ended = count? == 0;
            self.input.append(&buf)?;
            received = !self.ended;
        }
        Ok(received)
    }

    /// Sends the replies; what is received meanwhile is kept.
    pub async fn flush(&mut self, reply: &mut Reply) -> io::Result<()> {
        if reply.is_empty() {
            return Ok(());
        }
        let ahead = Ahead {
            stream: &self.stream,
            input: &mut self.input,
            read: &mut self.ahead,
            ended: &mut self.ended,
            input_max: self.input_max,
        };
        ahead.receive_until(pin!(self.pool.send(&self.stream, reply))).await.map(drop)
    }
}

/// Receives while something else, a send, is under way.
struct Ahead<'a, 'w> {
    stream: &'a Rc<Stream>,
    input: &'a mut Receive<'w>,
    read: &'a mut Option<Pin<Box<Read>>>,
    ended: &'a mut bool,
    input_max: usize,
}

impl Ahead<'_, '_> {
    /// Waits for `send`; whether anything was received before it was done.
    async fn receive_until(
        self,
        mut send: Pin<&mut impl Future<Output = io::Result<()>>>,
    ) -> io::Result<bool> {
        let mut received = false;
        loop {
            if self.read.is_none() && !*self.ended {
                if self.input.bytes().len() > self.input_max {
                    return Err(io::Error::other("too many requests without reading replies"));
                }
                *self.read = Some(Box::pin(read_ahead(Rc::clone(self.stream))));
            }
            let arrived = poll_fn(|context| {
                if let Poll::Ready(result) = send.as_mut().poll(context) {
                    return Poll::Ready(Err(result));
                }
                match self.read.as_mut() {
                    Some(read) => read.as_mut().poll(context).map(Ok),
                    None => Poll::Pending,
                }
            })
            .await;
            match arrived {
                Err(sent) => return sent.map(|()| received),
                Ok((count, buf)) => {
                    *self.read = None;
                    *self.ended = count? == 0;
                    self.input.append(&buf)?;
                    received |= !*self.ended;
                }
            }
        }
    }
}

/// Receives once, into a buffer of its own.
async fn read_ahead(stream: Rc<Stream>) -> (io::Result<usize>, Vec<u8>) {
    let (result, slice) = stream.read(Vec::with_capacity(READ_AHEAD_BYTES).slice(..)).await;
    (result, slice.into_inner())
}

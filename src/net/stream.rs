//! A connected socket, TCP or Unix, on the worker's ring.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use tokio_uring::BufResult;
use tokio_uring::buf::fixed::FixedBuf;
use tokio_uring::buf::{BoundedBuf, Slice};
use tokio_uring::net::{TcpStream, UnixStream};

use super::acceptor::Socket;
use crate::command::state::ClientShared;
use crate::command::stats::{Ending, Shard};

/// See the module.
pub struct Stream {
    /// The connection as others see it.
    pub client: Arc<ClientShared>,
    kind: Kind,
    moves: Cell<u64>,
    stats: Arc<Shard>,
}

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Puts the socket of a `client` on the ring of the current worker, which counts in `stats`.
    pub fn new(socket: Socket, client: Arc<ClientShared>, stats: Arc<Shard>) -> Stream {
        let kind = match socket {
            Socket::Tcp(socket) => Kind::Tcp(TcpStream::from_std(socket)),
            Socket::Unix(socket) => Kind::Unix(UnixStream::from_std(socket)),
        };
        Stream { client, kind, moves: Cell::new(0), stats }
    }

    /// A number that changes whenever bytes have come or gone.
    pub fn moves(&self) -> u64 {
        self.moves.get()
    }

    fn submitted(&self) {
        self.stats.turns.submissions.add(1);
    }

    fn completed(&self) {
        self.stats.turns.completions.add(1);
        self.moves.set(self.moves.get() + 1);
    }

    /// Reads what is there, at least one byte, into an ordinary buffer.
    pub async fn read(&self, buf: Slice<Vec<u8>>) -> BufResult<usize, Slice<Vec<u8>>> {
        self.submitted();
        let done = match &self.kind {
            Kind::Tcp(stream) => stream.read(buf).await,
            Kind::Unix(stream) => stream.read(buf).await,
        };
        self.completed();
        done
    }

    /// Reads what is there, at least one byte, into a registered buffer.
    pub async fn read_fixed(&self, buf: Slice<FixedBuf>) -> BufResult<usize, Slice<FixedBuf>> {
        self.submitted();
        let done = match &self.kind {
            Kind::Tcp(stream) => stream.read_fixed(buf).await,
            Kind::Unix(stream) => stream.read_fixed(buf).await,
        };
        self.completed();
        done
    }

    /// Writes all bytes of an ordinary buffer.
    pub async fn write_all(&self, mut buf: Vec<u8>) -> BufResult<(), Vec<u8>> {
        let mut begin = 0;
        while begin < buf.len() {
            let rest = buf.slice(begin..);
            self.submitted();
            let (result, rest) = match &self.kind {
                Kind::Tcp(stream) => stream.write(rest).submit().await,
                Kind::Unix(stream) => stream.write(rest).submit().await,
            };
            buf = rest.into_inner();
            self.completed();
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                Ok(count) => begin += count,
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(()), buf)
    }

    /// Writes the first `len` bytes of a registered buffer.
    pub async fn write_fixed(&self, buf: FixedBuf, len: usize) -> io::Result<()> {
        let buf = buf.slice(..len);
        self.submitted();
        let done = match &self.kind {
            Kind::Tcp(stream) => stream.write_fixed_all(buf).await.0,
            Kind::Unix(stream) => stream.write_fixed_all(buf).await.0,
        };
        self.completed();
        done
    }

    /// Notes why the connection ends if it has `failed` because of a limit, and not on the way.
    pub fn note(&self, failed: &io::Error) {
        let why = match failed.kind() {
            io::ErrorKind::OutOfMemory => Ending::ClientMemory,
            io::ErrorKind::QuotaExceeded => Ending::OutputLimit,
            _ => return,
        };
        if self.client.ends(why) {
            tracing::warn!(client = self.client.id, error = %failed, "closing a connection");
        }
    }

    /// Ends one or both directions; what is in flight completes at once.
    pub fn shutdown(&self, how: Shutdown) {
        // A socket whose peer is gone is as shut down as it can be.
        let _ = match &self.kind {
            Kind::Tcp(stream) => stream.shutdown(how),
            Kind::Unix(stream) => stream.shutdown(how),
        };
    }
}

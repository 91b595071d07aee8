//! A connected socket, TCP or Unix, on the worker's ring.

use std::io;
use std::net::Shutdown;

use tokio_uring::BufResult;
use tokio_uring::buf::fixed::FixedBuf;
use tokio_uring::buf::{BoundedBuf, Slice};
use tokio_uring::net::{TcpStream, UnixStream};

/// See the module.
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there, at least one byte, into an ordinary buffer.
    pub async fn read(&self, buf: Slice<Vec<u8>>) -> BufResult<usize, Slice<Vec<u8>>> {
        match self {
            Stream::Tcp(stream) => stream.read(buf).await,
            Stream::Unix(stream) => stream.read(buf).await,
        }
    }

    /// Reads what is there, at least one byte, into a registered buffer.
    pub async fn read_fixed(&self, buf: Slice<FixedBuf>) -> BufResult<usize, Slice<FixedBuf>> {
        match self {
            Stream::Tcp(stream) => stream.read_fixed(buf).await,
            Stream::Unix(stream) => stream.read_fixed(buf).await,
        }
    }

    /// Writes all bytes of an ordinary buffer.
    pub async fn write_all(&self, buf: Vec<u8>) -> BufResult<(), Vec<u8>> {
        match self {
            Stream::Tcp(stream) => stream.write_all(buf).await,
            Stream::Unix(stream) => stream.write_all(buf).await,
        }
    }

    /// Writes the first `len` bytes of a registered buffer.
    pub async fn write_fixed(&self, buf: FixedBuf, len: usize) -> io::Result<()> {
        let buf = buf.slice(..len);
        match self {
            Stream::Tcp(stream) => stream.write_fixed_all(buf).await.0,
            Stream::Unix(stream) => stream.write_fixed_all(buf).await.0,
        }
    }

    /// Ends one or both directions; what is in flight completes at once.
    pub fn shutdown(&self, how: Shutdown) {
        // A socket whose peer is gone is as shut down as it can be.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        };
    }
}

//! One raw connection: requests as arguments or as bytes, replies with the bytes they came in.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::{DEADLINE, Reply, parse_reply};

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// A TCP port on loopback.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Other(Box<dyn Transport>),
}

/// What carries bytes both ways, such as TLS.
pub trait Transport: Read + Write + Send + Sync {}
impl<T: Read + Write + Send + Sync> Transport for T {}

/// Why no reply came.
#[derive(Debug)]
pub enum ReadFailure {
    /// The server closed the connection, or it broke.
    Closed(String),
    /// Nothing came within the deadline.
    TimedOut,
    /// What came is not a reply.
    Malformed(String),
}

/// A connection to a server under test.
pub struct Conn {
    stream: Stream,
    input: Vec<u8>,
    start: usize,
}

impl Conn {
    /// Connects, or says why that failed.
    pub fn try_open(address: &Address) -> std::io::Result<Conn> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, DEADLINE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                stream.set_write_timeout(Some(DEADLINE))?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                stream.set_write_timeout(Some(DEADLINE))?;
                Stream::Unix(stream)
            }
        };
        Ok(Conn { stream, input: Vec::new(), start: 0 })
    }

    /// Talks over something that is connected already.
    pub fn over(transport: impl Transport + 'static) -> Conn {
        Conn { stream: Stream::Other(Box::new(transport)), input: Vec::new(), start: 0 }
    }

    /// Connects, or fails the test.
    pub fn open(address: &Address) -> Conn {
        Conn::try_open(address).unwrap_or_else(|error| panic!("connect to {address:?}: {error}"))
    }

    /// Sends bytes as they are.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Other(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Sends bytes as they are, or fails the test.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.try_send_raw(bytes).unwrap_or_else(|error| panic!("send: {error}"));
    }

    /// Sends one command.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.send_raw(&encode(args));
    }

    /// The next reply and its exact bytes, or why there is none.
    pub fn try_read(&mut self) -> Result<(Reply, Vec<u8>), ReadFailure> {
        let mut chunk = [0; 64 * 1024];
        // A reply of many reads is parsed again only once it has doubled, or cost would be square.
        let mut parse_at = 0;
        loop {
            let unread = &self.input[self.start..];
            if !unread.is_empty() && (unread.len() >= parse_at || unread.ends_with(b"\r\n")) {
                match parse_reply(unread).map_err(ReadFailure::Malformed)? {
                    Some((reply, length)) => {
                        let bytes = unread[..length].to_vec();
                        self.consume(length);
                        return Ok((reply, bytes));
                    }
                    None => parse_at = unread.len() * 2,
                }
            }
            match self.receive(&mut chunk) {
                Ok(0) => return Err(ReadFailure::Closed("end of file".into())),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(ReadFailure::TimedOut),
                Err(error) => return Err(ReadFailure::Closed(error.to_string())),
            }
        }
    }

    /// The next reply and its exact bytes, or a failed test.
    pub fn read(&mut self) -> (Reply, Vec<u8>) {
        self.try_read().unwrap_or_else(|failure| panic!("no reply: {failure:?}"))
    }

    /// The next reply, or a failed test.
    pub fn read_reply(&mut self) -> Reply {
        self.read().0
    }

    /// Sends one command and returns its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.send(args);
        self.read_reply()
    }

    /// Sends one command given as words.
    pub fn command(&mut self, line: &str) -> Reply {
        self.call(&super::words(line))
    }

    /// Sends all commands in one write and returns their replies in order.
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Reply> {
        let bytes: Vec<u8> = commands.iter().flat_map(|args| encode(args)).collect();
        self.send_raw(&bytes);
        commands.iter().map(|_| self.read_reply()).collect()
    }

    /// Waits until the server closes the connection; anything it still sends is returned.
    pub fn read_to_close(&mut self) -> Result<Vec<u8>, String> {
        let mut rest = self.input.split_off(self.start);
        let mut chunk = [0; 4096];
        loop {
            match self.receive(&mut chunk) {
                Ok(0) => return Ok(rest),
                Ok(count) => rest.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(rest),
                Err(error) => return Err(format!("the connection was not closed: {error}")),
            }
        }
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
        if self.start == self.input.len() {
            self.input.clear();
            self.start = 0;
        } else if self.start > 1 << 20 {
            self.input.drain(..self.start);
            self.start = 0;
        }
    }

    fn receive(&mut self, chunk: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.read(chunk),
            Stream::Unix(stream) => stream.read(chunk),
            Stream::Other(stream) => stream.read(chunk),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// One command in RESP.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

//! TLS on a connection's own buffers: records to data, replies to records.
//!
//! Works on bytes alone; the link receives and sends. rustls's unbuffered interface decrypts in the
//! buffer that the kernel filled and encrypts into the one that it sends, with one copy more each way.
//! The link receives while it sends, so both directions share a [`Tls`] in turns that never wait.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{HandshakeKind, ServerConfig};

use super::buffer::Receive;
use super::stream::Stream;

/// Content type of the record that a handshake begins with.
const HANDSHAKE: u8 = 0x16;

/// One connection's keys and state.
pub struct Tls {
    conn: UnbufferedServerConnection,
    /// What TLS itself has to say, to be sent before any further reply.
    outgoing: Vec<u8>,
    /// A send is under way, or was given up: nothing may be sent after a part of a record.
    pub sending: bool,
    /// The client sends no more.
    ended: bool,
    /// It broke the protocol.
    failed: bool,
}

/// What became of records.
pub struct Decrypted {
    /// Bytes of them that are done with.
    pub consumed: usize,
    /// There was data in them.
    pub data: bool,
    /// The client sends no more.
    pub ended: bool,
}

impl Tls {
    /// A connection that begins with its handshake.
    pub fn new(config: Arc<ServerConfig>) -> io::Result<Tls> {
        let conn = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Tls { conn, outgoing: Vec::new(), sending: false, ended: false, failed: false })
    }

    /// Whether no data can be exchanged yet.
    pub fn is_handshaking(&self) -> bool {
        self.conn.is_handshaking()
    }

    /// Whether the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether there is something to be sent that is no reply.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Decrypts the complete records at the front of `records` and adds their data to `input`.
    ///
    /// # Errors
    ///
    /// The client breaks the protocol, or `input` may not grow; the connection is to end, after the
    /// alert that is to be sent.
    pub fn decrypt(
        &mut self,
        records: &mut [u8],
        input: &mut Receive<'_>,
    ) -> io::Result<Decrypted> {
        let result = self.process(records, input);
        self.failed |= result.is_err();
        result
    }

    fn process(&mut self, records: &mut [u8], input: &mut Receive<'_>) -> io::Result<Decrypted> {
        let mut consumed = 0;
        let mut has_data = false;
        loop {
            let rest = &mut records[consumed..];
            let UnbufferedStatus { mut discard, state } = self.conn.process_tls_records(rest);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        input.append(record.payload)?;
                        has_data = true;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    // Whatever follows is to be ignored.
                    self.ended = true;
                    return Ok(Decrypted { consumed: records.len(), data: has_data, ended: true });
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    consumed += discard;
                    break;
                }
                Ok(_) => return Err(io::Error::other("an unexpected state of TLS")),
                Err(error) => {
                    self.alert(&mut records[consumed..])?;
                    return Err(invalid(error));
                }
            }
            consumed += discard;
        }
        if !self.is_handshaking() && begins_with_record(&records[consumed..]) {
            // It waits for the rest of a message in the next ones. After the handshake no message is
            // so long, and replies could not be encrypted meanwhile: the receive buffer is away.
            return Err(io::Error::other("a message in several records"));
        }
        Ok(Decrypted { consumed, data: has_data, ended: self.ended })
    }

    /// Puts the alert about an error in these records where it will be sent.
    fn alert(&mut self, records: &mut [u8]) -> io::Result<()> {
        while self.conn.wants_write() {
            match self.conn.process_tls_records(records).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing)?,
                _ => break,
            }
        }
        Ok(())
    }

    /// Encrypts `data` into `records`, and says how long they are. Nothing must be outgoing.
    ///
    /// # Errors
    ///
    /// There is no room, or the keys are used up.
    pub fn encrypt(&mut self, data: &[u8], records: &mut [u8]) -> io::Result<usize> {
        debug_assert!(self.outgoing.is_empty(), "what is outgoing is older");
        if self.failed {
            // It may hold on to records that are not there any more.
            return Err(io::ErrorKind::InvalidData.into());
        }
        match self.conn.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.encrypt(data, records).map_err(io::Error::other)
            }
            Ok(state) => Err(io::Error::other(format!("cannot encrypt: {state:?}"))),
            Err(error) => Err(invalid(error)),
        }
    }

    /// Tells the client, after all that is outgoing, that nothing else will come.
    pub fn say_goodbye(&mut self) {
        if self.is_handshaking() || self.failed {
            return;
        }
        let mut record = vec![0; GOODBYE_BYTES];
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            self.conn.process_tls_records(&mut []).state
        {
            let written = match traffic.queue_close_notify(&mut record) {
                Err(EncryptError::InsufficientSize(error)) => {
                    record.resize(error.required_size, 0);
                    traffic.queue_close_notify(&mut record)
                }
                result => result,
            };
            self.outgoing.extend_from_slice(&record[..written.unwrap_or(0)]);
        }
    }
}

/// Enough for an encrypted alert.
const GOODBYE_BYTES: usize = 64;

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    // It tells how much it needs.
    if let Err(EncodeError::InsufficientSize(error)) = data.encode(&mut []) {
        out.resize(start + error.required_size, 0);
        data.encode(&mut out[start..]).map_err(io::Error::other)?;
    }
    Ok(())
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Whether a complete record lies at the front.
fn begins_with_record(bytes: &[u8]) -> bool {
    match bytes {
        [_, _, _, high, low, rest @ ..] => {
            rest.len() >= usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

/// Whether the first bytes of a connection are those of a handshake.
pub fn begins_handshake(bytes: &[u8]) -> bool {
    bytes.first() == Some(&HANDSHAKE)
}

/// Sends what TLS itself has to say.
pub async fn flush(stream: &Stream, tls: &RefCell<Tls>) -> io::Result<()> {
    loop {
        let outgoing = std::mem::take(&mut tls.borrow_mut().outgoing);
        if outgoing.is_empty() {
            return Ok(());
        }
        tls.borrow_mut().sending = true;
        stream.write_all(outgoing).await.0?;
        tls.borrow_mut().sending = false;
    }
}

//! The reply encoder: a growing byte buffer in the protocol version the connection speaks.
//!
//! Handlers append replies in order, one call per element, and never go back, except to a [`Mark`]:
//! to undo what a failed command wrote, or to put in front of elements the header whose count was
//! not known before them. Shapes and number formats are those of Redis 7.0, in RESP2 and RESP3.

use crate::num;

/// Version of the protocol a connection speaks; `HELLO` changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What connections start with: no maps, sets, doubles or pushes.
    #[default]
    Resp2,
    /// `HELLO 3`.
    Resp3,
}

/// A position in a [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// Encoded replies, in the order they were given.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
    protocol: Protocol,
}

/// Longest header: kind, sign and digits of an `i64`, line end.
const HEADER_BYTES_MAX: usize = 1 + 20 + 2;

impl Reply {
    /// An empty buffer that speaks RESP2.
    pub fn new() -> Reply {
        Reply::default()
    }

    /// The protocol version that following calls encode for.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol version of what follows.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Gives a buffer taken with [`Reply::take`] back, emptied, to be used again.
    pub fn give_back(&mut self, mut bytes: Vec<u8>) {
        if self.bytes.capacity() == 0 {
            bytes.clear();
            self.bytes = bytes;
        }
    }

    /// Bytes encoded.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes there is memory for.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether nothing is encoded.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is encoded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets everything encoded and keeps the memory and the protocol version.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Gives back memory past `max_capacity` bytes that the content does not need.
    pub fn shrink(&mut self, max_capacity: usize) {
        self.bytes.shrink_to(max_capacity);
    }

    /// Takes the encoded bytes out, leaving an empty buffer without memory.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The present end of the buffer.
    pub fn mark(&self) -> Mark {
        Mark(self.bytes.len())
    }

    /// Undoes everything encoded since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        self.bytes.truncate(mark.0);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string. The text is the server's own and has no line break.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error: its code, a space and the message. Line breaks at its ends are dropped, those
    /// inside become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// As [`Reply::error`], for a message that quotes bytes of a request.
    pub fn error_bytes(&mut self, text: &[u8]) {
        let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = text.iter().position(|byte| !breaks(byte)).unwrap_or(text.len());
        let end = text.iter().rposition(|byte| !breaks(byte)).map_or(start, |last| last + 1);
        let printed = text[start..end].iter().map(|byte| if breaks(byte) { b' ' } else { *byte });
        self.bytes.reserve(end - start + 3);
        self.bytes.push(b'-');
        self.bytes.extend(printed);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        match value {
            0..=9 => self.bytes.extend_from_slice(&[b':', b'0' + value as u8, b'\r', b'\n']),
            _ => self.line(b':', itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        self.bytes.reserve(value.len() + HEADER_BYTES_MAX + 2);
        self.header(b'$', value.len());
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The absent value: a null bulk string in RESP2.
    pub fn null(&mut self) {
        self.by_protocol(b"$-1\r\n", b"_\r\n");
    }

    /// The absent array, such as the reply of an aborted `EXEC`.
    pub fn null_array(&mut self) {
        self.by_protocol(b"*-1\r\n", b"_\r\n");
    }

    /// The header of an array of `count` elements, which follow.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// The header of a map of `pairs` keys and values, which follow; in RESP2 an array of both.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs),
        }
    }

    /// The header of a set of `count` elements; in RESP2 an array.
    pub fn set(&mut self, count: usize) {
        let kind = self.resp3_or_array(b'~');
        self.header(kind, count);
    }

    /// The header of an out-of-band message of `count` elements; in RESP2 an array.
    pub fn push(&mut self, count: usize) {
        let kind = self.resp3_or_array(b'>');
        self.header(kind, count);
    }

    /// A double with the 17 digits Redis gives; a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        self.double_text(&num::format_g17(value));
    }

    /// A double already formatted, for the few replies that format differently.
    pub fn double_text(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.line(b',', text),
        }
    }

    /// A truth value; the integer 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        if value {
            self.by_protocol(b":1\r\n", b"#t\r\n");
        } else {
            self.by_protocol(b":0\r\n", b"#f\r\n");
        }
    }

    /// Text for people, in a format of three letters such as `txt`; a bulk string in RESP2.
    pub fn verbatim(&mut self, text: &[u8], format: [u8; 3]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.bytes.reserve(text.len() + HEADER_BYTES_MAX + 6);
                self.header(b'=', text.len() + 4);
                self.bytes.extend_from_slice(&format);
                self.bytes.push(b':');
                self.bytes.extend_from_slice(text);
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, as decimal digits; a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    /// Bytes that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Makes what was encoded since `mark` the elements of an array of `count`.
    pub fn array_header_at(&mut self, mark: Mark, count: usize) {
        self.header_at(mark, |reply| reply.array(count));
    }

    /// As [`Reply::array_header_at`], for a map of `pairs` keys and values.
    pub fn map_header_at(&mut self, mark: Mark, pairs: usize) {
        self.header_at(mark, |reply| reply.map(pairs));
    }

    /// As [`Reply::array_header_at`], for a set.
    pub fn set_header_at(&mut self, mark: Mark, count: usize) {
        self.header_at(mark, |reply| reply.set(count));
    }

    /// Moves the header that `encode` adds to where what it heads begins.
    fn header_at(&mut self, mark: Mark, encode: impl FnOnce(&mut Reply)) {
        let end = self.bytes.len();
        encode(self);
        let header_len = self.bytes.len() - end;
        self.bytes[mark.0..].rotate_right(header_len);
    }

    fn by_protocol(&mut self, resp2: &[u8], resp3: &[u8]) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        });
    }

    fn resp3_or_array(&self, kind: u8) -> u8 {
        match self.protocol {
            Protocol::Resp2 => b'*',
            Protocol::Resp3 => kind,
        }
    }

    #[inline]
    fn header(&mut self, kind: u8, count: usize) {
        match count {
            0..=9 => self.bytes.extend_from_slice(&[kind, b'0' + count as u8, b'\r', b'\n']),
            10..=99 => {
                let (tens, ones) = (b'0' + (count / 10) as u8, b'0' + (count % 10) as u8);
                self.bytes.extend_from_slice(&[kind, tens, ones, b'\r', b'\n']);
            }
            _ => self.line(kind, itoa::Buffer::new().format(count).as_bytes()),
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.bytes.reserve(text.len() + 3);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;

//! The meta record: the one record every key has.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 0 | layout version, 1 |
//! | 1 | kind, see [`Kind`] |
//! | 2..10 | expiry, Unix milliseconds, big-endian; 0 = none |
//! | 10..22 | modification stamp |
//! | 22.. | a short string's value, or incarnation and length of a long one |

use super::keys::{Incarnation, be_u64};

/// Bytes before the body of a meta record.
pub const HEAD: usize = 22;
const VERSION: u8 = 1;

/// Tells one modification from every other: commit sequence, two zero bytes, order in the group.
pub type Stamp = [u8; 12];

/// What a key holds, and how it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A string whose value is the body of the meta.
    String = 1,
    /// A string in chunks; the body is [`Long`].
    LongString = 2,
}

impl Kind {
    /// The type's name as `TYPE` and `SCAN` know it.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::String | Kind::LongString => "string",
        }
    }
}

/// The fixed part of a meta record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the key holds.
    pub kind: Kind,
    /// When the key expires, in Unix milliseconds; 0 = never.
    pub expires_ms: u64,
    /// When it was last modified.
    pub stamp: Stamp,
}

/// The body of the meta of a value that lives in element records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Long {
    /// Where the elements live.
    pub incarnation: Incarnation,
    /// Bytes of a string.
    pub len: u64,
}

impl Header {
    /// Whether the key is there at `now_ms`. A key expires at its expiry time, not after it.
    pub fn is_live(&self, now_ms: u64) -> bool {
        self.expires_ms == 0 || self.expires_ms > now_ms
    }

    /// The record bytes before the body.
    pub fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[0] = VERSION;
        bytes[1] = self.kind as u8;
        bytes[2..10].copy_from_slice(&self.expires_ms.to_be_bytes());
        bytes[10..22].copy_from_slice(&self.stamp);
        bytes
    }

    /// Reads a record's head; `None` when its layout is not one this version knows.
    pub fn decode(record: &[u8]) -> Option<Header> {
        let head = record.first_chunk::<HEAD>()?;
        let kind = match head[1] {
            1 => Kind::String,
            2 => Kind::LongString,
            _ => return None,
        };
        let mut stamp = [0; 12];
        stamp.copy_from_slice(&head[10..22]);
        (head[0] == VERSION).then(|| Header { kind, expires_ms: be_u64(&head[2..10]), stamp })
    }
}

impl Long {
    /// The body of the meta record.
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[8..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    /// Reads the body of a meta record.
    pub fn decode(body: &[u8]) -> Option<Long> {
        let body = body.first_chunk::<16>()?;
        Some(Long { incarnation: be_u64(&body[..8]), len: be_u64(&body[8..]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips_and_refuses_the_unknown() {
        let header = Header { kind: Kind::LongString, expires_ms: 77, stamp: [9; 12] };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        assert_eq!(Header::decode(&bytes[..21]), None);
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(Header::decode(&newer), None);
    }

    #[test]
    fn a_key_is_gone_at_its_expiry_time() {
        let header = Header { kind: Kind::String, expires_ms: 100, stamp: [0; 12] };
        assert!(header.is_live(99));
        assert!(!header.is_live(100));
    }
}

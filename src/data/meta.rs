//! The meta record: the one record every key has.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 0 | layout version, 1 |
//! | 1 | kind, see [`Kind`] |
//! | 2..10 | expiry, Unix milliseconds, big-endian; 0 = none |
//! | 10..22 | modification stamp |
//! | 22.. | a short string's value, otherwise [`Elements`] and what else the kind needs |

use super::keys::{Incarnation, be_u64};

/// Bytes before the body of a meta record.
pub const HEAD: usize = 22;
/// Bytes of [`Elements`] in the body.
pub const ELEMENTS_BYTES: usize = 16;
const VERSION: u8 = 1;

/// Tells one modification from every other: commit sequence, two zero bytes, order in the group.
pub type Stamp = [u8; 12];

/// What a key holds, and how it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A string whose value is the body of the meta.
    String = 1,
    /// A string in chunks.
    LongString = 2,
    /// A list.
    List = 3,
    /// A set.
    Set = 4,
    /// A sorted set.
    SortedSet = 5,
    /// A hash.
    Hash = 6,
}

impl Kind {
    /// The type's name as `TYPE` and `SCAN` know it.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::String | Kind::LongString => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
            Kind::Hash => "hash",
        }
    }

    /// Whether elements and modifications are counted in a record of their own, so that changing an
    /// element does not change the meta.
    pub fn is_counted(self) -> bool {
        matches!(self, Kind::Set | Kind::SortedSet | Kind::Hash)
    }

    /// Whether commands such as `BLPOP` wait for a key to hold this.
    pub fn can_be_waited_for(self) -> bool {
        matches!(self, Kind::List | Kind::SortedSet)
    }

    /// The kind of this number.
    pub(super) fn from_byte(byte: u8) -> Option<Kind> {
        use Kind::{Hash, List, LongString, Set, SortedSet, String};
        let kinds = [String, LongString, List, Set, SortedSet, Hash];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
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

/// What the body of a value that lives in element records begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elements {
    /// Where the elements live.
    pub incarnation: Incarnation,
    /// Bytes of a string, items of a list; kinds that are counted elsewhere have 0.
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
        let kind = Kind::from_byte(head[1])?;
        let mut stamp = [0; 12];
        stamp.copy_from_slice(&head[10..22]);
        (head[0] == VERSION).then(|| Header { kind, expires_ms: be_u64(&head[2..10]), stamp })
    }
}

impl Elements {
    /// What the body of the meta record begins with.
    pub fn encode(&self) -> [u8; ELEMENTS_BYTES] {
        let mut bytes = [0; ELEMENTS_BYTES];
        bytes[..8].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[8..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    /// Reads the body of a meta record.
    pub fn decode(body: &[u8]) -> Option<Elements> {
        let body = body.first_chunk::<ELEMENTS_BYTES>()?;
        Some(Elements { incarnation: be_u64(&body[..8]), len: be_u64(&body[8..]) })
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

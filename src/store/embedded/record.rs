//! How a commit lies in the log: one checksummed record.
//!
//! ```text
//! offset  0  checksum  u64   xxh3-64 of all that follows, seeded by the segment
//!         8  check     u32   half an xxh3-64 of the header from here on, with the same seed
//!        12  length    u32   bytes of the mutations
//!        16  sequence  u64   the commit's number, given by the caller
//!        24  ordinal   u64   the record's number: the first is 1, each next one more
//!        32  durable   u64   highest ordinal known to be durable when this record was written
//!        40  mutations       each: key length u16, value length u32 (all ones: clear), key, value
//! ```
//!
//! Numbers are little-endian and records begin at multiples of eight. The seed holds the segment's
//! number, so that what a recycled file held before never reads as a record, and a secret of the
//! directory, so that no client can write a value that does.
//!
//! The header has a check of its own so that looking for records in arbitrary bytes is cheap
//! whatever the bytes say about lengths.
//!
//! Ordinals find what is missing; `durable` tells whether it may be. A gap before an ordinal that
//! some later record calls durable is damage; any other gap is the unsynced end of the log after a
//! crash.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::store::Mutations;

/// Bytes before the mutations.
pub const HEADER_BYTES: usize = 40;
/// Records begin at multiples of this.
pub const ALIGNMENT: usize = 8;

const MUTATION_BYTES: usize = 6;
const CLEAR: u32 = u32::MAX;

/// The numbers of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// The commit's number.
    pub sequence: u64,
    /// The record's number.
    pub ordinal: u64,
    /// Highest durable ordinal when it was written.
    pub durable: u64,
}

/// A record that passed its checksum.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its numbers.
    pub numbers: Numbers,
    /// Its mutations, encoded.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Bytes it takes in the segment.
    pub fn len(&self) -> usize {
        (HEADER_BYTES + self.payload.len()).next_multiple_of(ALIGNMENT)
    }
}

/// The checksum seed of a segment.
pub fn seed(salt: u64, segment: u64) -> u64 {
    // Spread the number: neighbouring seeds differ in many bits.
    salt ^ segment.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Bytes the record of `mutations` takes at most.
pub fn size(mutations: &Mutations) -> usize {
    let payload = mutations.payload_bytes() + mutations.len() * MUTATION_BYTES;
    (HEADER_BYTES + payload).next_multiple_of(ALIGNMENT)
}

/// Replaces what `buffer` holds by the record of `mutations`.
pub fn encode(buffer: &mut Vec<u8>, seed: u64, numbers: Numbers, mutations: &Mutations) {
    buffer.clear();
    buffer.reserve(size(mutations));
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    for mutation in mutations.iter() {
        let (key, value) = mutation.change();
        let value_len = value.map_or(CLEAR, |value| value.len() as u32);
        let mut lengths = [0; MUTATION_BYTES];
        lengths[..2].copy_from_slice(&(key.len() as u16).to_le_bytes());
        lengths[2..].copy_from_slice(&value_len.to_le_bytes());
        buffer.extend_from_slice(&lengths);
        buffer.extend_from_slice(key);
        buffer.extend_from_slice(value.unwrap_or_default());
    }
    let payload_len = (buffer.len() - HEADER_BYTES) as u32;
    buffer[12..16].copy_from_slice(&payload_len.to_le_bytes());
    buffer[16..24].copy_from_slice(&numbers.sequence.to_le_bytes());
    buffer[24..32].copy_from_slice(&numbers.ordinal.to_le_bytes());
    buffer[32..40].copy_from_slice(&numbers.durable.to_le_bytes());
    let check = header_check(&buffer[..HEADER_BYTES], seed);
    buffer[8..12].copy_from_slice(&check.to_le_bytes());
    let checksum = xxh3_64_with_seed(&buffer[8..], seed);
    buffer[..8].copy_from_slice(&checksum.to_le_bytes());
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
}

/// The record at the start of `bytes`, if a whole and sound one with an ordinal above `after` is
/// there.
pub fn decode(bytes: &[u8], seed: u64, after: u64) -> Option<Record<'_>> {
    let header = bytes.get(..HEADER_BYTES)?;
    let numbers = Numbers {
        sequence: number(&header[16..24]),
        ordinal: number(&header[24..32]),
        durable: number(&header[32..40]),
    };
    // The cheap tests first: looking for records after a gap tries every position.
    if numbers.ordinal <= after || numbers.durable >= numbers.ordinal {
        return None;
    }
    if half(&header[8..12]) != header_check(header, seed) {
        return None;
    }
    let payload_len = half(&header[12..16]) as usize;
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + payload_len)?;
    let checksum = xxh3_64_with_seed(&bytes[8..HEADER_BYTES + payload_len], seed);
    (checksum == number(&header[..8])).then_some(Record { numbers, payload })
}

fn header_check(header: &[u8], seed: u64) -> u32 {
    xxh3_64_with_seed(&header[12..HEADER_BYTES], seed) as u32
}

fn half(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// Calls `apply` with each mutation of a record's payload; `None` if the payload is malformed.
pub fn mutations<'a>(
    mut payload: &'a [u8],
    mut apply: impl FnMut(&'a [u8], Option<&'a [u8]>),
) -> Option<()> {
    while !payload.is_empty() {
        let (lengths, rest) = payload.split_at_checked(MUTATION_BYTES)?;
        let key_len = u16::from_le_bytes(lengths[..2].try_into().expect("two bytes"));
        let value_len = half(&lengths[2..]);
        let (key, rest) = rest.split_at_checked(usize::from(key_len))?;
        if value_len == CLEAR {
            payload = rest;
            apply(key, None);
            continue;
        }
        let (value, rest) = rest.split_at_checked(value_len as usize)?;
        payload = rest;
        apply(key, Some(value));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Numbers = Numbers { sequence: 90, ordinal: 7, durable: 6 };

    fn sample() -> Vec<u8> {
        let mut mutations = Mutations::default();
        mutations.set(b"key", &[b"value"]);
        mutations.clear(b"gone");
        mutations.set(b"", &[b""]);
        let mut bytes = Vec::new();
        encode(&mut bytes, seed(1, 2), NUMBERS, &mutations);
        bytes
    }

    #[test]
    fn a_record_reads_back() {
        let bytes = sample();
        let record = decode(&bytes, seed(1, 2), 6).unwrap();
        assert_eq!((record.numbers, record.len()), (NUMBERS, bytes.len()));
        let mut seen = Vec::new();
        mutations(record.payload, |key, value| seen.push((key, value))).unwrap();
        let (key, value) = (b"key".as_slice(), b"value".as_slice());
        assert_eq!(seen, [(key, Some(value)), (b"gone", None), (b"", Some(b""))]);
    }

    #[test]
    fn any_changed_bit_and_any_other_segment_is_refused() {
        let good = sample();
        let used = HEADER_BYTES + 3 * MUTATION_BYTES + 12;
        for bit in 0..used * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, seed(1, 2), 6).is_none(), "bit {bit}");
        }
        assert!(decode(&good, seed(1, 3), 6).is_none());
        assert!(decode(&good, seed(2, 2), 6).is_none());
        assert!(decode(&good, seed(1, 2), 7).is_none());
        for len in 0..used {
            assert!(decode(&good[..len], seed(1, 2), 6).is_none(), "length {len}");
        }
    }
}

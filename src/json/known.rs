//! Which texts are known to be compact JSON, by their hashes.
//!
//! `JSON.GET` of a whole document replies with the stored text, but any string can be at a key, so
//! somebody has to make sure that it is JSON. A document is read more often than it changes, and
//! hashing is an order of magnitude faster than parsing; so each process remembers the 128-bit hashes
//! of texts it has checked or made. What is remembered is true of the text itself, wherever it is
//! stored: nothing ever has to be forgotten, except for want of room. Who contrives two texts of one
//! hash gets a string of their own back from `JSON.GET` that is no JSON; nothing else depends on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_128;

use crate::limits::JSON_KNOWN_TEXTS;

/// For each slot a mix of both halves of one hash; zero while there is none.
static SLOTS: OnceLock<Box<[AtomicU64]>> = OnceLock::new();

fn slots() -> &'static [AtomicU64] {
    SLOTS.get_or_init(|| (0..JSON_KNOWN_TEXTS).map(|_| AtomicU64::new(0)).collect())
}

/// The text's slot, and what it holds if the text is known. The slot takes 16 bits of the hash and the
/// value 64 others.
fn place(text: &[u8]) -> (&'static AtomicU64, u64) {
    let hash = xxh3_128(text);
    let slot = (hash >> 64) as usize % JSON_KNOWN_TEXTS;
    (&slots()[slot], (hash as u64).max(1))
}

/// Whether `text` was noted and not displaced since.
pub fn is_known(text: &[u8]) -> bool {
    let (slot, value) = place(text);
    slot.load(Ordering::Relaxed) == value
}

/// Remembers that `text` is compact JSON.
pub fn note(text: &[u8]) {
    let (slot, value) = place(text);
    slot.store(value, Ordering::Relaxed);
}

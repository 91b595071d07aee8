//! The keys that a connection watches: `WATCH`.

use std::sync::Arc;

use crate::data::Watched;
use crate::limits::{WATCHED_BYTES_MAX, WATCHED_KEYS_MAX};

/// A key under `WATCH`, and what it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Its database.
    pub database: u8,
    /// The key.
    pub key: Box<[u8]>,
    /// What it was like when it was first watched.
    pub state: Watched,
}

/// The keys a connection watches. Cheap to clone, since a batch is saved before each execution.
#[derive(Debug, Clone, Default)]
pub struct Watches {
    keys: Arc<Vec<Watch>>,
    bytes: usize,
    /// A key that should be watched is not.
    incomplete: bool,
}

impl Watches {
    /// A `WATCH` has failed: whoever overlooks its reply must not be let through.
    pub fn fail(&mut self) {
        self.incomplete = true;
    }

    /// Whether there was a `WATCH` that failed.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The watched keys, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Watch> {
        self.keys.iter()
    }

    /// Adds a key; `false` if that would be too many.
    pub fn add(&mut self, watch: Watch) -> bool {
        let bytes = self.bytes + watch.key.len();
        if self.keys.len() >= WATCHED_KEYS_MAX || bytes > WATCHED_BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        Arc::make_mut(&mut self.keys).push(watch);
        true
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if !self.keys.is_empty() || self.incomplete {
            *self = Watches::default();
        }
    }
}

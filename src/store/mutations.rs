//! The mutations of one commit, kept in one arena: no allocation per record.

/// One change to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation<'a> {
    /// The record gets this value, whether or not it was there.
    Set {
        /// The record's key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
    },
    /// The record is removed if it is there.
    Clear {
        /// The record's key.
        key: &'a [u8],
    },
}

/// An ordered list of mutations; where two touch one key the later one wins.
#[derive(Debug, Default, Clone)]
pub struct Mutations {
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    key_len: u32,
    /// `CLEAR` for a removal, otherwise the value's length.
    value_len: u32,
}

const CLEAR: u32 = u32::MAX;

impl Mutations {
    /// Adds [`Mutation::Set`].
    pub fn set(&mut self, key: &[u8], value: &[u8]) {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.entries.push(Entry {
            start,
            key_len: key.len() as u32,
            value_len: value.len() as u32,
        });
    }

    /// Adds [`Mutation::Clear`].
    pub fn clear(&mut self, key: &[u8]) {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        self.entries.push(Entry { start, key_len: key.len() as u32, value_len: CLEAR });
    }

    /// The mutations in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.entries.iter().map(|entry| {
            let key_end = (entry.start + entry.key_len) as usize;
            let key = &self.arena[entry.start as usize..key_end];
            match entry.value_len {
                CLEAR => Mutation::Clear { key },
                len => Mutation::Set { key, value: &self.arena[key_end..key_end + len as usize] },
            }
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Forgets all mutations and keeps the memory for the next group.
    pub fn reset(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}

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

impl<'a> Mutation<'a> {
    /// The key and its new value, `None` when it is cleared.
    pub fn change(self) -> (&'a [u8], Option<&'a [u8]>) {
        match self {
            Self::Set { key, value } => (key, Some(value)),
            Self::Clear { key } => (key, None),
        }
    }
}

/// An ordered list of mutations, at most one live one per key.
///
/// Every mutation ever added keeps its number, so that a later one can supersede it and a rollback
/// can bring it back.
#[derive(Debug, Default, Clone)]
pub struct Mutations {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    superseded: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    key_len: u32,
    /// `CLEAR` for a removal, otherwise the value's length.
    value_len: u32,
    superseded: bool,
}

const CLEAR: u32 = u32::MAX;

impl Mutations {
    /// Adds [`Mutation::Set`] with a value given in pieces, and returns its number.
    pub fn set(&mut self, key: &[u8], value: &[&[u8]]) -> u32 {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        for piece in value {
            self.arena.extend_from_slice(piece);
        }
        let value_len = self.arena.len() as u32 - start - key.len() as u32;
        self.push(Entry { start, key_len: key.len() as u32, value_len, superseded: false })
    }

    /// Adds [`Mutation::Clear`] and returns its number.
    pub fn clear(&mut self, key: &[u8]) -> u32 {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(key);
        let key_len = key.len() as u32;
        self.push(Entry { start, key_len, value_len: CLEAR, superseded: false })
    }

    fn push(&mut self, entry: Entry) -> u32 {
        self.entries.push(entry);
        self.entries.len() as u32 - 1
    }

    /// The mutation with this number, superseded or not.
    pub fn get(&self, number: u32) -> Mutation<'_> {
        self.resolve(&self.entries[number as usize])
    }

    /// Leaves mutation `number` out of the commit, because a later one touches the same key.
    pub fn supersede(&mut self, number: u32) {
        self.entries[number as usize].superseded = true;
        self.superseded += 1;
    }

    /// Takes [`Mutations::supersede`] back.
    pub fn reinstate(&mut self, number: u32) {
        self.entries[number as usize].superseded = false;
        self.superseded -= 1;
    }

    /// Removes the newest mutation.
    pub fn pop(&mut self) {
        if let Some(entry) = self.entries.pop() {
            self.superseded -= usize::from(entry.superseded);
            self.arena.truncate(entry.start as usize);
        }
    }

    /// The live mutations in the order they were added: one per key.
    pub fn iter(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.entries.iter().filter(|entry| !entry.superseded).map(|entry| self.resolve(entry))
    }

    fn resolve(&self, entry: &Entry) -> Mutation<'_> {
        let key_end = (entry.start + entry.key_len) as usize;
        let key = &self.arena[entry.start as usize..key_end];
        match entry.value_len {
            CLEAR => Mutation::Clear { key },
            len => Mutation::Set { key, value: &self.arena[key_end..key_end + len as usize] },
        }
    }

    /// How many are live.
    pub fn len(&self) -> usize {
        self.entries.len() - self.superseded
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number the next mutation will get.
    pub fn next_number(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Bytes of keys and values, superseded ones included.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Forgets all mutations and keeps the memory for the next group.
    pub fn reset(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.superseded = 0;
    }
}

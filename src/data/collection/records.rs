//! Many record keys and records in two allocations.

/// Record keys and records, in the order they were added.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// Where each key ends, and its record behind it.
    ends: Vec<(usize, usize)>,
}

impl Records {
    /// Adds a key and a record.
    pub fn push(&mut self, key: &[u8], record: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.ends.push((key_end, self.bytes.len()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all keys and records.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The key and the record added as number `index`, from 0.
    pub fn get(&self, index: usize) -> (&[u8], &[u8]) {
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let (key_end, end) = self.ends[index];
        (&self.bytes[begin..key_end], &self.bytes[key_end..end])
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Removes all and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

//! Stretches of the LSM tree, kept in memory for scans: a tree takes microseconds to begin one, and
//! goes on passing over what was removed until it is compacted.
//!
//! A stretch has all records of the tree between two keys, except those that a write buffer hides:
//! these are left out when it is read, and taken out by the commit that hides them. What is hidden
//! stays so until the checkpoint lets go of the buffer, and then all stretches are forgotten. So
//! nobody who scans has to ask the buffers about a record of a stretch, and what was popped off a
//! queue or out of a set is passed over once.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::STRETCH_RECORDS_MAX;
use crate::store::memtable::OrderedKey;

/// What a stretch costs besides its bytes.
const OVERHEAD_BYTES: usize = 256 + STRETCH_RECORDS_MAX * size_of::<Place>();
/// It is joined with the next one when it has lost all but so many records.
const FEW: usize = STRETCH_RECORDS_MAX / 4;

/// Records with `begin <= key < end`, in key order.
#[derive(Debug, Clone, Default)]
pub struct Stretch {
    begin: Vec<u8>,
    end: Vec<u8>,
    /// Keys and values.
    data: Vec<u8>,
    places: Vec<Place>,
}

/// Where a record is in the data.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    key_len: u32,
    value_len: u32,
}

impl Stretch {
    /// Adds a record, whichever comes next to those before in the direction of the scan.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let (key_len, value_len) = (key.len() as u32, value.len() as u32);
        self.places.push(Place { at: self.data.len(), key_len, value_len });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    /// Says between which keys these are all records; they were added from the last one down if
    /// `reverse`.
    pub fn bound(&mut self, begin: &[u8], end: &[u8], reverse: bool) {
        (self.begin, self.end) = (begin.to_vec(), end.to_vec());
        if reverse {
            self.places.reverse();
        }
    }

    /// The lowest key that belongs to it.
    pub fn begin(&self) -> &[u8] {
        &self.begin
    }

    /// The first key behind it.
    pub fn end(&self) -> &[u8] {
        &self.end
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of keys and values.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// Key and value of a record.
    pub fn get(&self, index: usize) -> (&[u8], &[u8]) {
        let Place { at, key_len, value_len } = self.places[index];
        self.data[at..at + (key_len + value_len) as usize].split_at(key_len as usize)
    }

    /// How many records come before `key`.
    pub fn before(&self, key: &[u8]) -> usize {
        // Most scans begin or end where a stretch does.
        match () {
            () if key <= &self.begin[..] => 0,
            () if key >= &self.end[..] => self.len(),
            () => self.places.partition_point(|place| self.key(place) < key),
        }
    }

    fn key(&self, place: &Place) -> &[u8] {
        &self.data[place.at..place.at + place.key_len as usize]
    }

    /// Memory in use, about.
    fn bytes(&self) -> usize {
        2 * self.begin.len() + self.end.len() + self.data.len() + OVERHEAD_BYTES
    }

    /// Takes a record out; whether it was there.
    fn hide(&mut self, key: &[u8]) -> bool {
        let found = self.places.binary_search_by(|place| self.key(place).cmp(key));
        found.map(|at| self.places.remove(at)).is_ok()
    }

    /// Both as one; `next` begins where this one ends.
    fn join(&self, next: &Stretch) -> Stretch {
        let mut joined = Stretch::default();
        for stretch in [self, next] {
            (0..stretch.len()).map(|index| stretch.get(index)).for_each(|(key, value)| {
                joined.push(key, value);
            });
        }
        joined.bound(&self.begin, &next.end, false);
        joined
    }
}

/// What is known at the place where a scan goes on.
pub enum Found {
    /// This stretch has it.
    Stretch(Arc<Stretch>),
    /// Nothing up to this key, where a stretch is or the scan ends.
    Gap(Vec<u8>),
}

/// See the module.
pub struct Stretches {
    held: Mutex<Held>,
    bytes_max: usize,
}

#[derive(Default)]
struct Held {
    /// By the keys where they begin. None overlaps another one.
    stretches: BTreeMap<OrderedKey, Arc<Stretch>>,
    bytes: usize,
}

impl Stretches {
    /// None so far; never more than `bytes_max` of them.
    pub fn new(bytes_max: usize) -> Self {
        Self { held: Mutex::default(), bytes_max }
    }

    /// What is known of `begin..end`, which is not empty, at its beginning, or if `reverse` at its
    /// end.
    pub fn find(&self, begin: &[u8], end: &[u8], reverse: bool) -> Found {
        let stretches = &self.held.lock().stretches;
        let before = match reverse {
            true => stretches.range(..OrderedKey::new(end)).next_back(),
            false => stretches.range(..=OrderedKey::new(begin)).next_back(),
        };
        let before = before.map(|(_, stretch)| stretch);
        match before {
            Some(stretch) if reverse && stretch.end() >= end => Found::Stretch(stretch.clone()),
            Some(stretch) if !reverse && stretch.end() > begin => Found::Stretch(stretch.clone()),
            _ if reverse => {
                let gap = before.map_or(begin, |stretch| stretch.end().max(begin));
                Found::Gap(gap.to_vec())
            }
            _ => {
                let next = stretches.range(OrderedKey::new(begin)..).next();
                let gap = next.map_or(end, |(_, next)| next.begin().min(end));
                Found::Gap(gap.to_vec())
            }
        }
    }

    /// Keeps a stretch, unless another reader was faster.
    pub fn keep(&self, stretch: &Arc<Stretch>) {
        let bytes = stretch.bytes();
        let mut held = self.held.lock();
        let last = held.stretches.range(..OrderedKey::new(stretch.end())).next_back();
        let last = last.map(|(_, last)| Arc::clone(last));
        let overlaps = last.as_ref().is_some_and(|last| last.end() > stretch.begin());
        if overlaps || bytes > self.bytes_max || stretch.begin() >= stretch.end() {
            return;
        }
        if held.bytes + bytes > self.bytes_max {
            held.halve();
        }
        if held.bytes + bytes <= self.bytes_max {
            held.bytes += bytes;
            held.stretches.insert(OrderedKey::new(stretch.begin()), Arc::clone(stretch));
            held.join_next(stretch);
            last.inspect(|last| held.join_next(last));
        }
    }

    /// Takes out what a write buffer hides from now on.
    pub fn hide<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let mut held = self.held.lock();
        for key in keys {
            if held.stretches.is_empty() {
                return;
            }
            held.hide(key);
        }
    }

    /// Forgets all; they are returned because giving their memory back takes a while.
    #[must_use]
    pub fn clear(&self) -> impl Sized + use<> {
        std::mem::take(&mut *self.held.lock())
    }

    /// Memory in use, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.held.lock().bytes
    }
}

impl Held {
    fn hide(&mut self, key: &[u8]) {
        let before = self.stretches.range_mut(..=OrderedKey::new(key)).next_back();
        let Some((_, stretch)) = before else { return };
        // Nobody scans while a commit becomes visible, so nothing is copied.
        if key >= stretch.end() || !Arc::make_mut(stretch).hide(key) {
            return;
        }
        if stretch.len() <= FEW && stretch.len().is_multiple_of(4) {
            let stretch = Arc::clone(stretch);
            self.join_next(&stretch);
        }
    }

    /// Has scans pass over one stretch with few records instead of over many: joins the one that
    /// begins where `stretch` does with the one that begins where it ends.
    fn join_next(&mut self, stretch: &Stretch) {
        let (begin, end) = (OrderedKey::new(stretch.begin()), OrderedKey::new(stretch.end()));
        let (Some(stretch), Some(next)) = (self.stretches.get(&begin), self.stretches.get(&end))
        else {
            return;
        };
        if stretch.len() + next.len() <= STRETCH_RECORDS_MAX {
            let joined = stretch.join(next);
            self.bytes -= stretch.bytes() + next.bytes();
            self.bytes += joined.bytes();
            self.stretches.remove(&end);
            self.stretches.insert(begin, Arc::new(joined));
        }
    }

    /// Forgets every second one.
    fn halve(&mut self) {
        let (mut keeps, mut bytes) = (false, 0);
        self.stretches.retain(|_, stretch| {
            keeps = !keeps;
            bytes += if keeps { stretch.bytes() } else { 0 };
            keeps
        });
        self.bytes = bytes;
    }
}

#[cfg(test)]
impl Stretches {
    /// They are in order, do not overlap, and are as large as they are said to be.
    pub fn check(&self) {
        let held = self.held.lock();
        let (mut bytes, mut behind) = (0, Vec::new());
        for stretch in held.stretches.values() {
            assert!(behind <= stretch.begin && stretch.begin < stretch.end);
            let keys: Vec<_> = (0..stretch.len()).map(|index| stretch.get(index).0).collect();
            assert!(
                keys.is_sorted_by(|one, other| one < other) && keys.len() <= STRETCH_RECORDS_MAX
            );
            assert!(keys.iter().all(|key| **key >= stretch.begin[..] && **key < stretch.end[..]));
            bytes += stretch.bytes();
            behind.clone_from(&stretch.end);
        }
        assert_eq!(bytes, held.bytes);
    }

    /// Gaps between and beside the stretches of a range.
    pub fn gaps(&self, begin: &[u8], end: &[u8]) -> usize {
        let (mut gaps, mut begin) = (0, begin.to_vec());
        while &begin[..] < end {
            begin = match self.find(&begin, end, false) {
                Found::Stretch(stretch) => stretch.end.clone(),
                Found::Gap(limit) => {
                    gaps += 1;
                    limit
                }
            };
        }
        gaps
    }
}

//! Reading: write buffers first, newest first, then the caches, then the LSM tree.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;

use super::cache::Entry;
use super::checkpoint::text;
use super::settled::{Record, Settled};
use super::{Core, Tables};
use crate::store::{ReadError, Scan, Snapshot, Value, Visitor};

/// The store while `tables` is locked for reading, so that nothing changes.
pub struct EmbeddedSnapshot<'a> {
    tables: &'a Tables,
    core: &'a Core,
    kept: Kept,
}

impl<'a> EmbeddedSnapshot<'a> {
    /// A snapshot of `core`, whose tables the caller keeps locked.
    pub fn new(core: &'a Core, tables: &'a Tables) -> Self {
        Self { tables, core, kept: Kept::default() }
    }

    fn get_settled(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        if let Some(entry) = self.core.cache.get(key) {
            return Ok(self.kept.keep(entry));
        }
        let found = self.core.tree.get(key).map_err(|error| ReadError::Failed(text(&error)))?;
        // Checkpoints change the tree only where a write buffer hides it, and no such buffer comes
        // or goes while this snapshot holds its lock: what is noted here cannot be outdated.
        match self.core.cache.note(key, found.as_deref()) {
            Some(entry) => Ok(self.kept.keep(entry)),
            None => Ok(found.map(|value| Cow::Owned(value.to_vec()))),
        }
    }

    fn scan_in<const REVERSE: bool>(
        &self,
        scan: Scan<'_>,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
        let Scan { begin, end, limit, .. } = scan;
        let Tables { active, frozen } = self.tables;
        let is_newest = |(key, _): &Record<'_>| active.get(key).is_none();
        let settled = Settled::<REVERSE>::new(self.core, self.tables, begin, end);
        if REVERSE {
            let older = frozen.iter().flat_map(|table| table.range_down(begin, end));
            let buffered = either::<true>(active.range_down(begin, end), older.filter(is_newest));
            merge(buffered, settled, limit, visit)
        } else {
            let older = frozen.iter().flat_map(|table| table.range(begin, end));
            let buffered = either::<false>(active.range(begin, end), older.filter(is_newest));
            merge(buffered, settled, limit, visit)
        }
    }
}

impl Snapshot for EmbeddedSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        if let Some(value) = self.tables.active.get(key) {
            return Ok(value.map(Cow::Borrowed));
        }
        if let Some(value) = self.tables.frozen.as_ref().and_then(|table| table.get(key)) {
            return Ok(value.map(Cow::Borrowed));
        }
        self.get_settled(key)
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        if scan.begin >= scan.end {
            return Ok(());
        }
        match scan.reverse {
            true => self.scan_in::<true>(scan, visit),
            false => self.scan_in::<false>(scan, visit),
        }
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

/// Which of two keys a scan in this direction visits first.
fn first<const REVERSE: bool>(one: &[u8], other: &[u8]) -> Ordering {
    if REVERSE { other.cmp(one) } else { one.cmp(other) }
}

/// Two sorted sources that have no key in common as one.
fn either<'a, const REVERSE: bool>(
    one: impl Iterator<Item = Record<'a>>,
    other: impl Iterator<Item = Record<'a>>,
) -> impl Iterator<Item = Record<'a>> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let takes_one = match (one.peek(), other.peek()) {
            (Some((one, _)), Some((other, _))) => first::<REVERSE>(one, other).is_lt(),
            (one, _) => one.is_some(),
        };
        if takes_one { one.next() } else { other.next() }
    })
}

/// Visits the records of both sources, which have no key in common.
fn merge<'a, const REVERSE: bool>(
    buffered: impl Iterator<Item = Record<'a>>,
    mut settled: Settled<'_, REVERSE>,
    limit: usize,
    visit: &mut Visitor<'_>,
) -> Result<(), ReadError> {
    let mut buffered = buffered.peekable();
    for _ in 0..limit {
        let head = settled.head()?;
        let takes_buffered = match (buffered.peek(), head) {
            (Some((buffered, _)), Some((settled, _))) => {
                first::<REVERSE>(buffered, settled).is_lt()
            }
            (buffered, _) => buffered.is_some(),
        };
        let record = if takes_buffered { buffered.next() } else { head };
        let Some((key, value)) = record else { break };
        if visit(key, value).is_break() {
            break;
        }
        if !takes_buffered {
            settled.advance();
        }
    }
    Ok(())
}

/// Keeps cache entries alive as long as the snapshot, so that reads can lend their bytes.
#[derive(Default)]
struct Kept {
    /// Most snapshots read little: no allocation for the first few.
    few: [OnceCell<Entry>; 4],
    many: OnceCell<Box<Chunk>>,
    used: Cell<usize>,
}

const CHUNK: usize = 64;

struct Chunk {
    entries: [OnceCell<Entry>; CHUNK],
    next: OnceCell<Box<Chunk>>,
}

impl Chunk {
    fn boxed() -> Box<Self> {
        Box::new(Self { entries: [const { OnceCell::new() }; CHUNK], next: OnceCell::new() })
    }
}

impl Kept {
    fn keep(&self, entry: Entry) -> Option<Value<'_>> {
        let used = self.used.replace(self.used.get() + 1);
        let slot = match self.few.get(used) {
            Some(slot) => slot,
            None => self.slot(used - self.few.len()),
        };
        slot.get_or_init(|| entry).value().map(Cow::Borrowed)
    }

    fn slot(&self, mut index: usize) -> &OnceCell<Entry> {
        let mut chunk = self.many.get_or_init(Chunk::boxed);
        while index >= CHUNK {
            chunk = chunk.next.get_or_init(Chunk::boxed);
            index -= CHUNK;
        }
        &chunk.entries[index]
    }
}

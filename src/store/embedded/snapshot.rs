//! Reading: write buffers first, newest first, then the cache, then the LSM tree.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;
use std::iter::Peekable;

use lsm_tree::Slice;

use super::cache::Entry;
use super::checkpoint::text;
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
        let active = self.tables.active.range(begin, end);
        let frozen = self.tables.frozen.as_ref().map(|table| table.range(begin, end));
        let frozen = frozen.into_iter().flatten();
        let settled = (!self.core.tree.is_empty()).then(|| self.core.tree.range(begin, end));
        let settled = settled.into_iter().flatten();
        if REVERSE {
            let buffered = Overlay::<_, _, true> {
                newer: active.rev().peekable(),
                older: frozen.rev().peekable(),
            };
            merge::<true>(buffered, settled.rev(), limit, visit)
        } else {
            let buffered =
                Overlay::<_, _, false> { newer: active.peekable(), older: frozen.peekable() };
            merge::<false>(buffered, settled, limit, visit)
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

/// Two sorted sources as one; where both have a key the newer one counts.
struct Overlay<N: Iterator, O: Iterator, const REVERSE: bool> {
    newer: Peekable<N>,
    older: Peekable<O>,
}

type Buffered<'a> = (&'a [u8], Option<&'a [u8]>);

impl<'a, N, O, const REVERSE: bool> Iterator for Overlay<N, O, REVERSE>
where
    N: Iterator<Item = Buffered<'a>>,
    O: Iterator<Item = Buffered<'a>>,
{
    type Item = Buffered<'a>;

    fn next(&mut self) -> Option<Buffered<'a>> {
        let order = match (self.newer.peek(), self.older.peek()) {
            (Some((newer, _)), Some((older, _))) => first::<REVERSE>(newer, older),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        if order.is_eq() {
            self.older.next();
        }
        if order.is_gt() { self.older.next() } else { self.newer.next() }
    }
}

/// Visits the records of both sources; buffered ones hide settled ones, tombstones hide and are not
/// visited.
fn merge<'a, const REVERSE: bool>(
    buffered: impl Iterator<Item = Buffered<'a>>,
    mut settled: impl Iterator<Item = lsm_tree::Result<(Slice, Slice)>>,
    limit: usize,
    visit: &mut Visitor<'_>,
) -> Result<(), ReadError> {
    let mut buffered = buffered.peekable();
    let mut advance =
        || settled.next().transpose().map_err(|error| ReadError::Failed(text(&error)));
    let mut head = advance()?;
    let mut left = limit;
    while left > 0 {
        let order = match (buffered.peek(), &head) {
            (Some((buffered, _)), Some((settled, _))) => first::<REVERSE>(buffered, settled),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(()),
        };
        let flow = if order.is_gt() {
            let (key, value) = head.take().expect("the settled record was seen above");
            head = advance()?;
            visit(&key, &value)
        } else {
            if order.is_eq() {
                head = advance()?;
            }
            match buffered.next() {
                Some((key, Some(value))) => visit(key, value),
                _ => continue,
            }
        };
        left -= 1;
        if flow.is_break() {
            return Ok(());
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

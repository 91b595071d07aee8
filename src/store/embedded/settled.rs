//! Scanning what is settled in the LSM tree and not hidden by a write buffer.
//!
//! Stretches that are known are taken from memory. The first records of a gap between them become
//! a stretch of their own; the rest of a gap is read by the same walk through the tree and not kept,
//! so that one long scan does not displace everything that short ones need.

use std::sync::Arc;

use super::checkpoint::text;
use super::stretches::{Found, Stretch};
use super::tree::Walk;
use super::{Core, Tables};
use crate::limits::{STRETCH_READ_BYTES_MAX, STRETCH_RECORDS_MAX};
use crate::store::ReadError;

/// Key and value.
pub type Record<'a> = (&'a [u8], &'a [u8]);

/// A place in a scan of `begin..end`, from the end down if `REVERSE`.
pub struct Settled<'a, const REVERSE: bool> {
    core: &'a Core,
    tables: &'a Tables,
    begin: &'a [u8],
    end: &'a [u8],
    /// What was read last.
    stretch: Arc<Stretch>,
    /// Of this, the records that are left.
    left: std::ops::Range<usize>,
    gap: Option<Gap>,
    started: bool,
}

/// A gap between stretches that is being read.
struct Gap {
    walk: Walk,
    /// Where it ends, in the direction of the scan.
    limit: Vec<u8>,
}

impl<'a, const REVERSE: bool> Settled<'a, REVERSE> {
    /// Before the first record.
    pub fn new(core: &'a Core, tables: &'a Tables, begin: &'a [u8], end: &'a [u8]) -> Self {
        let (stretch, left) = Default::default();
        Self { core, tables, begin, end, stretch, left, gap: None, started: false }
    }

    /// The next record; it stays the next.
    pub fn head(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        while self.left.is_empty() {
            let last = std::mem::take(&mut self.stretch);
            let (mut begin, mut end) = (self.begin, self.end);
            if std::mem::replace(&mut self.started, true) {
                if REVERSE {
                    end = last.begin();
                } else {
                    begin = last.end();
                }
            }
            if begin >= end || self.core.tree.is_empty() {
                self.stretch = last;
                return Ok(None);
            }
            self.stretch = self.read(begin, end)?;
            self.left = self.stretch.before(begin)..self.stretch.before(end);
        }
        let index = if REVERSE { self.left.end - 1 } else { self.left.start };
        Ok(Some(self.stretch.get(index)))
    }

    /// Passes the record that [`Settled::head`] returned.
    pub fn advance(&mut self) {
        if REVERSE {
            self.left.end -= 1;
        } else {
            self.left.start += 1;
        }
    }

    /// A stretch at the beginning of what is left to scan, or at its end if `REVERSE`.
    fn read(&mut self, begin: &[u8], end: &[u8]) -> Result<Arc<Stretch>, ReadError> {
        if self.gap.is_some() {
            return Ok(Arc::new(self.read_gap(begin, end)?));
        }
        let limit = match self.core.stretches.find(begin, end, REVERSE) {
            Found::Stretch(stretch) => return Ok(stretch),
            Found::Gap(limit) => limit,
        };
        let (from, to) = if REVERSE { (&limit[..], end) } else { (begin, &limit[..]) };
        self.gap = Some(Gap { walk: self.core.tree.range(from, to), limit });
        let stretch = Arc::new(self.read_gap(begin, end)?);
        if stretch.data_bytes() <= 2 * STRETCH_READ_BYTES_MAX {
            self.core.stretches.keep(&stretch);
        }
        Ok(stretch)
    }

    /// The next records of the gap, some at a time.
    fn read_gap(&mut self, begin: &[u8], end: &[u8]) -> Result<Stretch, ReadError> {
        let mut stretch = Stretch::default();
        let Some(gap) = &mut self.gap else { return Ok(stretch) };
        let is_hidden = |key: &[u8]| {
            let Tables { active, frozen } = self.tables;
            active.get(key).is_some() || frozen.as_ref().is_some_and(|it| it.get(key).is_some())
        };
        let mut last = None;
        while stretch.len() < STRETCH_RECORDS_MAX && stretch.data_bytes() < STRETCH_READ_BYTES_MAX {
            let next = if REVERSE { gap.walk.next_back() } else { gap.walk.next() };
            let next = next.transpose().map_err(|error| ReadError::Failed(text(&error)))?;
            last = next.as_ref().map(|(key, _)| key.to_vec());
            let Some((key, value)) = next else { break };
            if !is_hidden(&key) {
                stretch.push(&key, &value);
            }
        }
        let is_whole = last.is_none();
        let mut edge = last.unwrap_or_else(|| gap.limit.clone());
        if REVERSE {
            stretch.bound(&edge, end, REVERSE);
        } else {
            if !is_whole {
                // The smallest key behind the last one.
                edge.push(0);
            }
            stretch.bound(begin, &edge, REVERSE);
        }
        if is_whole {
            self.gap = None;
        }
        Ok(stretch)
    }
}

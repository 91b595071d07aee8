//! The elements of a collection one by one, for walking through several side by side.

use std::ops::ControlFlow;

use super::{Collection, Records};
use crate::data::keys::{self, RecordKey};
use crate::data::view::View;
use crate::error::Stop;
use crate::limits::SCAN_STEP_BYTES_MAX;
use crate::store::Scan;

/// A place among the elements of a collection, in the order of their hashes.
pub struct Cursor {
    begin: RecordKey,
    end: RecordKey,
    step: usize,
    step_max: usize,
    read: Records,
    at: usize,
    /// Nothing comes behind what was read.
    ended: bool,
    /// What comes next was asked for, and is pending.
    pending: bool,
}

impl Cursor {
    /// Before the first element. Up to `step_max` elements are in memory at a time.
    pub fn new(collection: &Collection, step: usize, step_max: usize) -> Cursor {
        let (begin, end) = keys::range(&collection.prefix());
        let (read, step) = (Records::default(), step.min(step_max));
        Cursor { begin, end, step, step_max, read, at: 0, ended: false, pending: false }
    }

    /// The tail of the next element's key; it stays the next.
    pub fn peek(&mut self, view: &View<'_>) -> Result<Option<&[u8]>, Stop> {
        if self.at == self.read.len() && !self.ended {
            self.read_on(view)?;
        }
        Ok((self.at < self.read.len()).then(|| keys::tail(self.read.get(self.at).0)))
    }

    /// The record of the element that [`Cursor::peek`] returned.
    pub fn record(&self) -> &[u8] {
        self.read.get(self.at).1
    }

    /// Passes the element that [`Cursor::peek`] returned.
    pub fn advance(&mut self) {
        self.at += 1;
    }

    /// Passes all elements that come before this one; whether it is there.
    pub fn reaches(&mut self, view: &View<'_>, tail: &[u8]) -> Result<bool, Stop> {
        while let Some(next) = self.peek(view)? {
            match next.cmp(tail) {
                std::cmp::Ordering::Less => self.advance(),
                order => return Ok(order.is_eq()),
            }
        }
        Ok(false)
    }

    /// Has the store fetch what comes behind what was read with whatever else is fetched next.
    pub fn ask(&self, view: &View<'_>) {
        if !self.ended && !self.pending && !view.answers_at_once() {
            // What it answers is for the next execution to see.
            let _ = view.scan(self.next_scan(), &mut |_, _| ControlFlow::Break(()));
        }
    }

    fn next_scan(&self) -> Scan<'_> {
        Scan { limit: self.step, ..Scan::all(&self.begin, &self.end) }
    }

    fn read_on(&mut self, view: &View<'_>) -> Result<(), Stop> {
        if self.pending {
            return Err(Stop::Pending);
        }
        let mut read = std::mem::take(&mut self.read);
        read.clear();
        let scanned = view.scan(self.next_scan(), &mut |key, record| {
            read.push(key, record);
            ControlFlow::Continue(())
        });
        if let Err(stop) = scanned {
            self.pending = stop == Stop::Pending;
            self.at = 0;
            return Err(stop);
        }
        self.ended = read.len() < self.step;
        if let Some(last) = read.len().checked_sub(1) {
            // The smallest key behind the last one.
            self.begin = RecordKey::from_slice(read.get(last).0);
            self.begin.push(0);
        }
        if 2 * read.bytes() <= SCAN_STEP_BYTES_MAX {
            self.step = (2 * self.step).min(self.step_max);
        }
        (self.read, self.at) = (read, 0);
        Ok(())
    }
}

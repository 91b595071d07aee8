//! Walking through records: all of a range in bounded steps, or some of it from a cursor on.

use std::ops::ControlFlow;

use super::keys::{self, RecordKey};
use super::view::View;
use crate::error::Stop;
use crate::limits::{SCAN_STEP, SCAN_STEP_BYTES_MAX, SCAN_STEP_MAX};
use crate::store::{Scan, Visitor};

/// Bits of a hash that a position leaves out.
const POSITION_SHIFT: u32 = 11;

impl View<'_> {
    /// Visits the records of `scan` in steps that no store finds too large.
    ///
    /// They grow: across a network each is a fetch, after which the command begins anew.
    pub fn walk(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), Stop> {
        let Scan { reverse, limit: mut left, .. } = scan;
        let (mut begin, mut end) =
            (RecordKey::from_slice(scan.begin), RecordKey::from_slice(scan.end));
        let mut step = SCAN_STEP;
        loop {
            let (mut seen, mut bytes, mut ended) = (0, 0, false);
            let mut last = RecordKey::new();
            let limit = step.min(left);
            self.scan(Scan { begin: &begin, end: &end, limit, reverse }, &mut |key, record| {
                seen += 1;
                bytes += key.len() + record.len();
                if seen == limit {
                    last = RecordKey::from_slice(key);
                }
                let flow = visit(key, record);
                ended = flow.is_break();
                flow
            })?;
            left -= seen;
            if ended || left == 0 || seen < limit {
                return Ok(());
            }
            if 2 * bytes <= SCAN_STEP_BYTES_MAX {
                step = (2 * step).min(SCAN_STEP_MAX);
            }
            if reverse {
                end = last;
            } else {
                // The smallest key behind the last one.
                last.push(0);
                begin = last;
            }
        }
    }

    /// Visits `count` of the records whose keys are `prefix`, a hash and a name, from position `cursor`
    /// on, or as many as `visit` wants, and more only while they share a position, so that none falls
    /// between two calls; returns the position of the next one, 0 at the end. `visit` gets the name.
    ///
    /// A position is the upper 53 bits of a hash: clients in JavaScript keep cursors in a double.
    pub fn walk_from(
        &self,
        prefix: &[u8],
        cursor: u64,
        count: usize,
        visit: &mut Visitor<'_>,
    ) -> Result<u64, Stop> {
        if cursor > u64::MAX >> POSITION_SHIFT {
            return Ok(0);
        }
        let mut begin = keys::at_hash(prefix, cursor << POSITION_SHIFT);
        let end = keys::prefix_end(prefix);
        let (mut left, mut last_position, mut next) = (count, None, 0);
        loop {
            // One more than wanted: where it is, the next call goes on.
            let limit = left + 1;
            let mut seen = 0;
            let mut last = RecordKey::new();
            self.scan(
                Scan { begin: &begin, end: &end, limit, reverse: false },
                &mut |key, record| {
                    let (hash, name) = keys::split_hash(key, prefix.len());
                    let position = hash >> POSITION_SHIFT;
                    if left == 0 && last_position != Some(position) {
                        next = position;
                        return ControlFlow::Break(());
                    }
                    seen += 1;
                    left = left.saturating_sub(1);
                    last_position = Some(position);
                    if visit(name, record).is_break() {
                        left = 0;
                    }
                    if seen == limit {
                        last = RecordKey::from_slice(key);
                    }
                    ControlFlow::Continue(())
                },
            )?;
            if next != 0 || seen < limit {
                return Ok(next);
            }
            last.push(0);
            begin = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Moment, Overlay};
    use crate::store::Local as _;
    use crate::store::memory::MemoryStore;

    /// Runs a scan over metas made by hand, at these positions, to its end and returns the keys of
    /// each call, of which `enough` are enough before `count` is reached.
    fn calls(positions: &[(u64, &str)], count: usize, enough: usize) -> Vec<Vec<String>> {
        let (store, prefix) = (MemoryStore::new(), keys::metas(1));
        let mut overlay = Overlay::default();
        let mut calls = Vec::new();
        store.read(&mut |snapshot| {
            let moment = Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 1, order: 0 };
            let mut view = View::new(snapshot, &mut overlay, moment);
            for (number, (position, name)) in positions.iter().enumerate() {
                // Hashes that differ only in what a position leaves out.
                let hash = (position << POSITION_SHIFT) | number as u64;
                let mut key = keys::at_hash(&prefix, hash);
                key.extend_from_slice(name.as_bytes());
                view.set(&key, &[b"meta"]);
            }
            let mut cursor = 0;
            loop {
                let mut names = Vec::new();
                cursor = view
                    .walk_from(&prefix, cursor, count, &mut |key, _| {
                        names.push(String::from_utf8(key.to_vec()).unwrap());
                        if names.len() < enough {
                            ControlFlow::Continue(())
                        } else {
                            ControlFlow::Break(())
                        }
                    })
                    .unwrap();
                calls.push(names);
                if cursor == 0 {
                    break;
                }
            }
        });
        calls
    }

    const LAST: u64 = u64::MAX >> POSITION_SHIFT;

    #[test]
    fn cursors_fit_into_a_double() {
        const { assert!(LAST < 1 << 53) };
    }

    #[test]
    fn what_shares_a_position_stays_in_one_call() {
        let metas = [(0, "a"), (5, "b"), (5, "c"), (5, "d"), (5, "e"), (9, "f"), (LAST, "g")];
        assert_eq!(
            calls(&metas, 1, 100),
            [vec!["a"], vec!["b", "c", "d", "e"], vec!["f"], vec!["g"]]
        );
        assert_eq!(calls(&metas, 3, 100), [vec!["a", "b", "c", "d", "e"], vec!["f", "g"]]);
        assert_eq!(calls(&metas, 100, 100).len(), 1);
        assert_eq!(calls(&[], 1, 100), [Vec::<String>::new()]);
    }

    #[test]
    fn a_call_that_has_enough_ends_between_two_positions() {
        let metas = [(0, "a"), (5, "b"), (5, "c"), (5, "d"), (9, "e"), (LAST, "f")];
        let ones = [vec!["a"], vec!["b", "c", "d"], vec!["e"], vec!["f"]];
        assert_eq!(calls(&metas, 100, 1), ones);
        assert_eq!(calls(&metas, 3, 1), ones);
        assert_eq!(calls(&metas, 100, 2), [vec!["a", "b", "c", "d"], vec!["e", "f"]]);
        assert_eq!(calls(&metas, 100, 6).len(), 1);
    }
}

#[cfg(test)]
mod walk_tests {
    use std::cell::RefCell;

    use super::*;
    use crate::data::{Moment, Overlay};
    use crate::store::memory::MemoryStore;
    use crate::store::{Local as _, Mutations, ReadError, Snapshot, Value};

    /// Notes the limits of scans.
    struct Counting<'a> {
        inner: &'a dyn Snapshot,
        limits: RefCell<Vec<usize>>,
    }

    impl Snapshot for Counting<'_> {
        fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
            self.inner.get(key)
        }

        fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
            self.limits.borrow_mut().push(scan.limit);
            self.inner.scan(scan, visit)
        }

        fn answers_at_once(&self) -> bool {
            false
        }
    }

    fn limits(records: u32, value: &[u8]) -> Vec<usize> {
        let store = MemoryStore::new();
        let mut mutations = Mutations::default();
        for number in 0..records {
            mutations.set(&keys::meta(1, &number.to_be_bytes()), &[value]);
        }
        store.commit(1, &mutations).unwrap();
        let (mut limits, mut overlay) = (Vec::new(), Overlay::default());
        let moment = Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 9, order: 0 };
        store.read(&mut |inner| {
            let counting = Counting { inner, limits: RefCell::default() };
            let view = View::new(&counting, &mut overlay, moment);
            let (begin, end) = keys::range(&keys::metas(1));
            let mut seen = 0;
            let visit = &mut |_: &[u8], _: &[u8]| {
                seen += 1;
                ControlFlow::Continue(())
            };
            view.walk(Scan::all(&begin, &end), visit).unwrap();
            assert_eq!(seen, records);
            limits = counting.limits.take();
        });
        limits
    }

    #[test]
    fn steps_grow_while_records_are_small() {
        assert_eq!(limits(10, b"v"), [1024]);
        assert_eq!(limits(20_000, b"v"), [1024, 2048, 4096, 8192, 16_384]);
        assert_eq!(limits(8000, &[7; 4000]), [1024, 2048, 2048, 2048, 2048]);
    }
}

//! However much a group reads, it has only so much fetched at once.

use std::cell::Cell;

use super::*;
use crate::limits::{FETCHED_BYTES_MAX, FETCHED_READS_MAX};
use crate::store::{ReadError, Value, Visitor};

/// Has nothing yet, and counts what it is asked for.
#[derive(Default)]
struct Remote {
    asked: Cell<usize>,
}

impl Snapshot for Remote {
    fn get(&self, _: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        self.asked.set(self.asked.get() + 1);
        Err(ReadError::Pending)
    }

    fn scan(&self, _: Scan<'_>, _: &mut Visitor<'_>) -> Result<(), ReadError> {
        Err(ReadError::Pending)
    }

    fn answers_at_once(&self) -> bool {
        false
    }
}

#[test]
fn a_group_asks_for_so_much_at_once() {
    let metas = |number: u32| keys::meta(1, &number.to_be_bytes());
    let chunks = |number: u32| keys::chunk(1, 5, number);
    let (reads, bytes) = (FETCHED_READS_MAX, FETCHED_BYTES_MAX / CHUNK_BYTES);
    for (key, expected) in [(&metas as &dyn Fn(u32) -> _, reads), (&chunks, bytes)] {
        let (remote, mut overlay) = (Remote::default(), Overlay::default());
        let moment = Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 1 << 23, order: 0 };
        let view = View::new(&remote, &mut overlay, moment);
        for number in 0..20_000 {
            assert_eq!(view.get(&key(number)), Err(Stop::Pending));
        }
        assert_eq!(remote.asked.get(), expected);
    }
}

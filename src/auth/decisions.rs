//! Decisions that were made, by command and database: reading one is an atomic load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::limits;

/// A decision as far as it does not depend on keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Whatever the keys.
    Allowed,
    /// Whatever the keys, for this reason.
    Denied(String),
    /// If the key checks in this set hold.
    Keys(u32),
    /// The engine has to know the keys.
    Engine,
}

/// The decisions of a grant.
#[derive(Debug)]
pub(super) struct Decisions {
    commands: usize,
    /// One for each database if they differ, else one.
    rows: Box<[OnceLock<Box<[AtomicU64]>>]>,
    reasons: Mutex<Vec<String>>,
}

// A slot is zero while nothing is known. Else it has from its low end a mark, what belongs to the mark,
// and the second for which it holds.
const MARK_BITS: u32 = 2;
const STAMP_SHIFT: u32 = 32;
const PAYLOAD_MAX: u64 = (1 << (STAMP_SHIFT - MARK_BITS)) - 1;
const ALLOWED: u64 = 1;
const DENIED: u64 = 2;
const DEPENDS: u64 = 3;

const _: () = {
    assert!(limits::TOKEN_KEY_CHECKS_MAX < (STAMP_SHIFT - MARK_BITS) as usize);
    assert!((limits::TOKEN_REASONS_MAX as u64) < PAYLOAD_MAX);
};

impl Decisions {
    pub(super) fn new(commands: usize, by_database: bool) -> Decisions {
        let rows = if by_database { usize::from(limits::DATABASES) } else { 1 };
        Decisions {
            commands,
            rows: (0..rows).map(|_| OnceLock::new()).collect(),
            reasons: Mutex::new(Vec::new()),
        }
    }

    /// The decision on a command in a database, if it was made for the second `stamp`.
    #[inline]
    pub(super) fn get(&self, number: usize, database: u8, stamp: u32) -> Option<Decision> {
        let row = if self.rows.len() == 1 { 0 } else { usize::from(database) };
        let slot = self.rows.get(row)?.get()?.get(number)?.load(Ordering::Relaxed);
        if slot == 0 || (slot >> STAMP_SHIFT) as u32 != stamp {
            return None;
        }
        if slot & 3 == ALLOWED { Some(Decision::Allowed) } else { self.other(slot) }
    }

    fn other(&self, slot: u64) -> Option<Decision> {
        let payload = (slot >> MARK_BITS) & PAYLOAD_MAX;
        match slot & 3 {
            DENIED => self.reasons.lock().get(payload as usize).cloned().map(Decision::Denied),
            _ if payload == PAYLOAD_MAX => Some(Decision::Engine),
            _ => Some(Decision::Keys(payload as u32)),
        }
    }

    /// Keeps a decision, unless there are too many different reasons.
    pub(super) fn put(&self, number: usize, database: u8, stamp: u32, decision: &Decision) {
        let (mark, payload) = match decision {
            Decision::Allowed => (ALLOWED, 0),
            Decision::Denied(reason) => match self.reason(reason) {
                Some(place) => (DENIED, place as u64),
                None => return,
            },
            Decision::Keys(checks) => (DEPENDS, u64::from(*checks)),
            Decision::Engine => (DEPENDS, PAYLOAD_MAX),
        };
        let row = if self.rows.len() == 1 { 0 } else { usize::from(database) };
        let Some(row) = self.rows.get(row) else { return };
        let row = row.get_or_init(|| (0..self.commands).map(|_| AtomicU64::new(0)).collect());
        if let Some(slot) = row.get(number) {
            let value = u64::from(stamp) << STAMP_SHIFT | payload << MARK_BITS | mark;
            slot.store(value, Ordering::Relaxed);
        }
    }

    fn reason(&self, reason: &str) -> Option<usize> {
        let mut reasons = self.reasons.lock();
        if let Some(place) = reasons.iter().position(|other| other == reason) {
            return Some(place);
        }
        if reasons.len() == limits::TOKEN_REASONS_MAX {
            return None;
        }
        reasons.push(reason.to_owned());
        Some(reasons.len() - 1)
    }
}

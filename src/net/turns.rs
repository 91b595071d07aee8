//! Turns of the event loop: a tenant that sends much leaves a worker's others their part of its time.
//!
//! A worker runs whatever is ready before it looks at the ring again. With many connections of one
//! tenant ready at once, another's request would lie there for as long as all their batches take. So
//! while tenants share, each has its batches run up to its share of a turn; the others wait, and the
//! turn ends when the ring has been looked at.

use std::time::Instant;

use crate::batch::{Lanes, Rivalry};
use crate::data::Tenant;
use crate::data::tenants::NOBODY;
use crate::limits::{TENANTS_NOTED_MAX, TURN_BYTES};

/// See the module.
#[derive(Debug, Default)]
pub struct Turns {
    rivalry: Rivalry,
    /// Slots of connections.
    waiting: Lanes<usize>,
}

impl Turns {
    /// Whether a connection's batch, of requests with so many bytes, may run at once; otherwise it waits.
    /// Of strangers one may in each turn, for verifying a token takes long, and longest if it is wrong.
    pub fn enter(&mut self, tenant: Tenant, bytes: usize, slot: usize, now: Instant) -> bool {
        self.rivalry.note(tenant, now);
        if self.waiting.is_empty() && self.waiting.tenants().len() > TENANTS_NOTED_MAX {
            self.waiting.begin();
        }
        let is_stranger = tenant == NOBODY;
        let bytes = if is_stranger { TURN_BYTES } else { bytes };
        let is_free = !is_stranger && !self.rivalry.is_there(now);
        if is_free || self.waiting.pass(tenant, bytes, TURN_BYTES) {
            return true;
        }
        self.waiting.push_back(tenant, bytes, slot);
        false
    }

    /// Whether a batch waits for the next turn.
    pub fn are_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Begins a turn.
    pub fn begin(&mut self) {
        self.waiting.begin();
    }

    /// The next connection whose batch may run in this turn.
    pub fn next(&mut self) -> Option<usize> {
        self.waiting.pop(TURN_BYTES)
    }
}

/// Returns when what was ready has been done and what is to be sent has been handed to the kernel: only a
/// loop that has nothing else to do gets to that, not one that yields.
pub async fn look_at_ring() {
    if tokio_uring::no_op().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::limits::RIVALRY;

    #[test]
    fn one_tenant_has_all_turns() {
        let (mut turns, now) = (Turns::default(), clock::monotonic());
        for slot in 0..100 {
            assert!(turns.enter(1, TURN_BYTES, slot, now));
        }
        assert!(!turns.are_wanted());
    }

    #[test]
    fn strangers_go_one_by_one() {
        let (mut turns, now) = (Turns::default(), clock::monotonic());
        assert!(turns.enter(NOBODY, 1, 0, now));
        assert!(!turns.enter(NOBODY, 1, 1, now) && !turns.enter(NOBODY, 1, 2, now));
        assert!(turns.enter(1, TURN_BYTES, 3, now) && turns.enter(1, TURN_BYTES, 4, now));
        for slot in [1, 2] {
            turns.begin();
            assert_eq!((turns.next(), turns.next()), (Some(slot), None));
        }
        assert!(!turns.are_wanted());
    }

    #[test]
    fn who_sends_much_waits_while_others_are_there() {
        let (mut turns, now) = (Turns::default(), clock::monotonic());
        assert!(turns.enter(1, 10, 0, now) && turns.enter(2, 10, 1, now));
        assert!(turns.enter(1, TURN_BYTES, 2, now));
        for slot in 3..6 {
            assert!(!turns.enter(1, TURN_BYTES / 2, slot, now));
        }
        assert!(turns.enter(2, 10, 9, now));
        turns.begin();
        assert_eq!(std::iter::from_fn(|| turns.next()).collect::<Vec<_>>(), [3, 4]);
        assert!(turns.enter(2, 10, 9, now));
        assert!(!turns.enter(1, 1, 7, now + RIVALRY / 2), "behind those who wait");
        turns.begin();
        assert_eq!(std::iter::from_fn(|| turns.next()).collect::<Vec<_>>(), [5, 7]);
        assert!(!turns.are_wanted());
        assert!(turns.enter(2, 10, 9, now) && turns.enter(2, TURN_BYTES, 9, now + 2 * RIVALRY));
    }
}

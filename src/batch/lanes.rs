//! Turns: each tenant waits in a lane of its own, and gets no more than its share of a round.
//!
//! A round is whatever everybody has to wait for together: a group of the writer, or a turn of a
//! worker's event loop. While only one tenant is there it may use all of it.

use std::collections::VecDeque;
use std::time::Instant;

use crate::data::Tenant;
use crate::data::tenants::NOBODY;
use crate::limits::RIVALRY;

/// What waits, by tenant.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: Vec<Lane<T>>,
    /// The lane whose turn it is.
    at: usize,
    len: usize,
}

#[derive(Debug)]
struct Lane<T> {
    tenant: Tenant,
    /// What the tenant has used of this round.
    used: usize,
    /// With what each costs.
    waiting: VecDeque<(usize, T)>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Lanes<T> {
        Lanes { lanes: Vec::new(), at: 0, len: 0 }
    }
}

impl<T> Lanes<T> {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Waits behind everything of its tenant.
    pub fn push_back(&mut self, tenant: Tenant, cost: usize, item: T) {
        self.len += 1;
        self.lane(tenant).waiting.push_back((cost, item));
    }

    /// Waits before everything of its tenant.
    pub fn push_front(&mut self, tenant: Tenant, cost: usize, item: T) {
        self.len += 1;
        self.lane(tenant).waiting.push_front((cost, item));
    }

    /// Begins another round: nobody has used anything of it.
    pub fn begin(&mut self) {
        if self.len == 0 {
            self.lanes.truncate(1);
        } else if self.lanes.len() > 1 {
            // Where it was the turn of a lane that is gone, it is that of the next.
            let before = self.lanes[..self.at.min(self.lanes.len())].iter();
            self.at = before.filter(|lane| !lane.waiting.is_empty()).count();
            self.lanes.retain(|lane| !lane.waiting.is_empty());
        }
        self.lanes.iter_mut().for_each(|lane| lane.used = 0);
    }

    /// Uses a part of the round without waiting, if nothing of the tenant waits and its `share` has room
    /// for that.
    pub fn pass(&mut self, tenant: Tenant, cost: usize, share: usize) -> bool {
        let lane = self.lane(tenant);
        lane.waiting.is_empty() && lane.has_room(cost, share) && {
            lane.used += cost;
            true
        }
    }

    /// The next that may go in this round, in which every tenant has this `share`: as much as that of one
    /// tenant, then of the next. What costs more than a share goes alone.
    pub fn pop(&mut self, share: usize) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..self.lanes.len() {
            if self.at >= self.lanes.len() {
                self.at = 0;
            }
            let lane = &mut self.lanes[self.at];
            if lane.waiting.front().is_some_and(|(cost, _)| lane.has_room(*cost, share)) {
                let (cost, item) = lane.waiting.pop_front()?;
                lane.used += cost;
                self.len -= 1;
                return Some(item);
            }
            self.at += 1;
        }
        None
    }

    /// Whose lanes there are.
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = Tenant> {
        self.lanes.iter().map(|lane| lane.tenant)
    }

    fn lane(&mut self, tenant: Tenant) -> &mut Lane<T> {
        let at = self.lanes.iter().position(|lane| lane.tenant == tenant).unwrap_or_else(|| {
            self.lanes.push(Lane { tenant, used: 0, waiting: VecDeque::new() });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }
}

impl<T> Lane<T> {
    fn has_room(&self, cost: usize, share: usize) -> bool {
        self.used == 0 || self.used.saturating_add(cost) <= share
    }
}

/// Whether more than one tenant has been there of late.
#[derive(Debug, Default)]
pub struct Rivalry {
    last: Option<Tenant>,
    changed: Option<Instant>,
}

impl Rivalry {
    /// Notes that a tenant has come. Who has not authenticated counts as nobody.
    pub fn note(&mut self, tenant: Tenant, now: Instant) {
        if self.last != Some(tenant) && tenant != NOBODY {
            let is_other = self.last.replace(tenant).is_some();
            self.changed = is_other.then_some(now);
        }
    }

    /// Whether another tenant came since [`RIVALRY`] ago.
    pub fn is_there(&self, now: Instant) -> bool {
        self.changed.is_some_and(|at| now.saturating_duration_since(at) < RIVALRY)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn round(lanes: &mut Lanes<&'static str>, share: usize) -> Vec<&'static str> {
        lanes.begin();
        std::iter::from_fn(|| lanes.pop(share)).collect()
    }

    #[test]
    fn who_has_much_waits_for_itself() {
        let mut lanes = Lanes::default();
        for item in ["a1", "a2", "a3", "a4", "a5"] {
            lanes.push_back(1, 10, item);
        }
        assert_eq!(round(&mut lanes, 20), ["a1", "a2"]);
        lanes.push_back(2, 1, "b1");
        lanes.push_front(1, 5, "a2'");
        assert_eq!(round(&mut lanes, 20), ["b1", "a2'", "a3"]);
        assert_eq!(round(&mut lanes, usize::MAX), ["a4", "a5"]);
        assert!(lanes.is_empty() && round(&mut lanes, 20).is_empty());
    }

    #[test]
    fn what_costs_more_than_a_share_goes_alone() {
        let mut lanes = Lanes::default();
        lanes.push_back(1, 100, "a1");
        lanes.push_back(1, 1, "a2");
        lanes.push_back(2, 1, "b1");
        assert_eq!(round(&mut lanes, 20), ["a1", "b1"]);
        assert_eq!(round(&mut lanes, 20), ["a2"]);
    }

    #[test]
    fn a_round_that_ends_early_goes_on_with_the_next_tenant() {
        let mut lanes = Lanes::default();
        for item in ["a", "b", "c"] {
            lanes.push_back(item.as_bytes()[0].into(), 9, item);
            lanes.push_back(item.as_bytes()[0].into(), 9, item);
        }
        let mut taken = Vec::new();
        for _ in 0..3 {
            lanes.begin();
            taken.extend([lanes.pop(10), lanes.pop(10)].into_iter().flatten());
        }
        assert_eq!(taken, ["a", "b", "b", "c", "c", "a"]);
    }

    #[test]
    fn who_has_its_share_left_does_not_wait() {
        let mut lanes = Lanes::default();
        assert!(lanes.pass(1, 15, 20) && lanes.pass(1, 5, 20) && !lanes.pass(1, 1, 20));
        lanes.push_back(1, 30, "a1");
        lanes.push_back(1, 1, "a2");
        assert!(lanes.pass(2, 1, 20));
        assert_eq!(lanes.pop(20), None);
        assert_eq!(round(&mut lanes, 20), ["a1"]);
        assert!(!lanes.pass(1, 1, 20), "behind the other");
        assert!(lanes.pass(2, 50, 20) && !lanes.pass(2, 1, 20));
    }

    #[test]
    fn tenants_are_rivals_for_a_while() {
        let (mut rivalry, now) = (Rivalry::default(), clock::monotonic());
        let after = |part: Duration| now + part;
        for tenant in [1, 1, NOBODY, 1] {
            rivalry.note(tenant, now);
            assert!(!rivalry.is_there(now), "there is one");
        }
        rivalry.note(2, now);
        assert!(rivalry.is_there(now));
        rivalry.note(2, after(RIVALRY / 2));
        assert!(rivalry.is_there(after(RIVALRY / 2)) && !rivalry.is_there(after(RIVALRY)));
        rivalry.note(1, after(RIVALRY));
        assert!(rivalry.is_there(after(RIVALRY)));
    }
}

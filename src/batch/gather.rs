//! Waiting a little for those who will be back at once.
//!
//! Clients of a contended key mostly send their next command when they have the last one's reply. A
//! group that started the moment the one before it ended would have only those who came too late for
//! that one; the others would come too late for this one, and each group would carry half of them.
//! So the keys of a group that others wait for stay taken for a moment after its replies have left:
//! until as many wait as had replies and were waiting, but no longer than a part of the time the
//! group took. Where that does not bring anybody it is left alone for a while.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::waitlist::Waitlist;
use crate::limits::{GATHER_MAX, GATHER_PART, GATHER_SKIPPED};

/// The keys of a group that has landed, not yet released.
struct Held {
    keys: Vec<u64>,
    /// So many should wait in the end.
    expected: usize,
    /// So many waited at first.
    waited: usize,
    until: Instant,
}

/// See the module.
#[derive(Default)]
pub(super) struct Gather {
    held: Vec<Held>,
    alarm: Option<Alarm>,
    /// Chances to let pass, after one that brought nobody.
    skip: u32,
}

impl Gather {
    /// Whether to hold the keys of a group that others wait for, instead of releasing them.
    pub(super) fn is_worth_it(&mut self) -> bool {
        let worth_it = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        worth_it
    }

    /// Holds the keys of a group that took `took`, and whose `members` have just been answered.
    pub(super) fn hold(
        &mut self,
        keys: Vec<u64>,
        waiting: &Waitlist,
        members: usize,
        now: Instant,
        took: Duration,
    ) {
        let waited = waiting.len();
        let until = now + (took / GATHER_PART).min(GATHER_MAX);
        self.held.push(Held { keys, expected: waited + members, waited, until });
    }

    /// Releases what has been held long enough.
    pub(super) fn release(&mut self, waiting: &mut Waitlist, now: Instant) {
        let mut number = 0;
        while let Some(held) = self.held.get(number) {
            let (wait, all) = (waiting.len(), held.expected);
            if wait < all && now < held.until {
                number += 1;
                continue;
            }
            let held = self.held.swap_remove(number);
            // Fewer than half of those expected.
            if 2 * wait < held.waited + held.expected {
                self.skip = GATHER_SKIPPED;
            }
            waiting.release(&held.keys, std::iter::empty());
        }
    }

    /// Releases everything, for good.
    pub(super) fn give_up(&mut self, waiting: &mut Waitlist) {
        self.skip = u32::MAX;
        for held in self.held.drain(..) {
            waiting.release(&held.keys, std::iter::empty());
        }
    }

    /// Has the task woken when something held is to be released; whether something is held.
    pub(super) fn wake_in_time(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<bool> {
        let Some(until) = self.held.iter().map(|held| held.until).min() else { return Ok(false) };
        let alarm = match &mut self.alarm {
            Some(alarm) => alarm,
            none => none.insert(Alarm::new()?),
        };
        alarm.set(cx, until, now)?;
        Ok(true)
    }
}

/// A timer with microseconds: the runtime's own counts milliseconds.
struct Alarm {
    timer: AsyncFd<OwnedFd>,
    until: Option<Instant>,
}

impl Alarm {
    fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        // What it is deprecated for, a descriptor that is not its own, an `OwnedFd` cannot be.
        #[allow(deprecated)]
        let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        Ok(Alarm { timer, until: None })
    }

    fn set(&mut self, cx: &mut Context<'_>, until: Instant, now: Instant) -> io::Result<()> {
        if self.until != Some(until) {
            let left = until.saturating_duration_since(now).max(Duration::from_nanos(1));
            let it_value =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let spec = Itimerspec { it_interval, it_value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
            self.until = Some(until);
        }
        while let Poll::Ready(ready) = self.timer.poll_read_ready(cx) {
            // It rang for what has been released since, or is about to be looked at once more.
            ready?.clear_ready();
            if clock_is_past(until) {
                cx.waker().wake_by_ref();
                break;
            }
        }
        Ok(())
    }
}

fn clock_is_past(until: Instant) -> bool {
    crate::clock::monotonic() >= until
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::batch::Chores;
    use crate::batch::group::Item;
    use crate::batch::waitlist::Waiting;
    use crate::clock;

    /// A list with one item on key 1 in flight, and `number` more that wait for it.
    fn contended(number: usize) -> Waitlist {
        let mut list = Waitlist::default();
        list.take(&[1]);
        (0..number).for_each(|_| arrive(&mut list));
        list
    }

    fn arrive(list: &mut Waitlist) {
        let chores = Chores { chores: Vec::new(), done: channel().0 };
        let (item, since) = (Item::Chores(chores, None), clock::monotonic());
        list.push(Waiting { item, since, footprint: vec![1], company_max: usize::MAX });
    }

    fn is_released(list: &mut Waitlist) -> bool {
        list.pop_if(|_| true).is_some()
    }

    const TOOK: Duration = Duration::from_millis(3);

    #[test]
    fn keys_are_held_until_all_are_back() {
        let (mut gather, mut list, now) = (Gather::default(), contended(3), clock::monotonic());
        assert!(list.is_wanted(&[1]) && gather.is_worth_it());
        gather.hold(vec![1], &list, 2, now, TOOK);
        gather.release(&mut list, now);
        arrive(&mut list);
        gather.release(&mut list, now);
        assert!(!is_released(&mut list), "one is missing");
        arrive(&mut list);
        gather.release(&mut list, now);
        assert!(is_released(&mut list) && gather.is_worth_it());
    }

    #[test]
    fn who_does_not_come_back_is_not_waited_for() {
        let (mut gather, mut list, now) = (Gather::default(), contended(1), clock::monotonic());
        gather.hold(vec![1], &list, 4, now, TOOK);
        gather.release(&mut list, now + TOOK / GATHER_PART - Duration::from_nanos(1));
        assert!(!is_released(&mut list));
        gather.release(&mut list, now + TOOK / GATHER_PART);
        assert!(is_released(&mut list));
        for _ in 0..GATHER_SKIPPED {
            assert!(!gather.is_worth_it(), "nobody came");
        }
        assert!(gather.is_worth_it());
    }

    #[test]
    fn a_group_that_took_long_is_not_waited_for_as_long() {
        let (mut gather, mut list, now) = (Gather::default(), contended(1), clock::monotonic());
        gather.hold(vec![1], &list, 4, now, Duration::from_secs(5));
        gather.release(&mut list, now + GATHER_MAX);
        assert!(is_released(&mut list));
    }
}

//! Connections that wait: those that are held back, and those that are idle.

use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use super::Worker;
use crate::batch::Batch;
use crate::clock;
use crate::command::stats::Ending;
use crate::limits::{REST_STEP, TIMEOUT_CHECK};
use crate::net::slot::Activity;

impl Worker {
    /// Returns when a batch with or without `writes` that a pause holds back may run, or its client was
    /// killed.
    pub async fn hold(&self, batch: &Batch, writes: bool) {
        self.slots.borrow_mut()[batch.slot].held = true;
        self.server.pause.wait(writes, || batch.client.shared.is_killed()).await;
        self.slots.borrow_mut()[batch.slot].held = false;
    }

    /// Waits before a batch of a tenant that has sent too much; whether the connection goes on after that.
    pub async fn rest(&self, batch: &Batch, wait: Duration) -> bool {
        let mut now = clock::monotonic();
        let until = now + wait;
        self.throttled(batch, 1, Duration::ZERO);
        self.slots.borrow_mut()[batch.slot].held = true;
        let goes_on = || !batch.client.shared.is_killed() && !self.stopping.get();
        while goes_on() && now < until {
            let next = until.min(now + REST_STEP);
            tokio::time::sleep_until(next.into()).await;
            let before = std::mem::replace(&mut now, clock::monotonic());
            // As it passes: it may be long, and the client may leave before.
            self.throttled(batch, 0, now.duration_since(before));
        }
        self.slots.borrow_mut()[batch.slot].held = false;
        goes_on()
    }

    /// Counts batches of a connection's tenant that have to wait, and time that one has waited.
    fn throttled(&self, batch: &Batch, batches: u64, time: Duration) {
        let us = time.as_micros() as u64;
        self.stats.throttled.add(batches);
        self.stats.throttled_us.add(us);
        if let Some(seat) = self.watched_seat(batch) {
            seat.throttled(batches, us);
        }
    }

    /// Ends connections over which nothing has come or gone for `timeout` and that wait for nobody
    /// but their client.
    pub(super) async fn close_idle(self: Rc<Worker>, timeout: Duration) {
        let mut interval = tokio::time::interval(TIMEOUT_CHECK);
        loop {
            interval.tick().await;
            let now = clock::monotonic();
            for (_, slot) in self.slots.borrow_mut().iter_mut() {
                let moves = slot.stream.moves();
                if slot.held || slot.waiting.is_some() || slot.activity.moves != moves {
                    slot.activity = Activity { at: now, moves };
                } else if now.duration_since(slot.activity.at) >= timeout {
                    slot.stream.client.ends(Ending::Idle);
                    slot.stream.shutdown(Shutdown::Both);
                }
            }
        }
    }
}

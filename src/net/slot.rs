//! A connection, as its worker sees it.

use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use super::stream::Stream;
use crate::batch::{Batch, InVain};

/// See the module.
pub struct Slot {
    pub client: u64,
    pub stream: Rc<Stream>,
    /// The batch has come back from the writer.
    pub finished: Option<Box<Batch>>,
    pub waiting: Option<Waker>,
    /// The last wait for data, and whether it is known to be over.
    pub wait: u64,
    pub is_over: bool,
    /// The batch waits for data, until then at most.
    pub parked: Option<Option<Instant>>,
    /// It is to wait no longer.
    pub in_vain: Option<InVain>,
    /// A pause holds the batch back, or the client monitors.
    pub held: bool,
    /// Its turn has come.
    pub admitted: bool,
    pub activity: Activity,
}

/// When a connection was last seen to be in use.
pub struct Activity {
    pub at: Instant,
    /// The stream's moves at that time.
    pub moves: u64,
}

impl Slot {
    /// The slot of a new connection.
    pub fn new(client: u64, stream: Rc<Stream>, now: Instant) -> Slot {
        Slot {
            client,
            stream,
            finished: None,
            waiting: None,
            wait: 0,
            is_over: true,
            parked: None,
            in_vain: None,
            held: false,
            admitted: false,
            activity: Activity { at: now, moves: 0 },
        }
    }

    /// Nothing that is still on its way about the present wait matters any more.
    pub fn end_wait(&mut self) {
        self.is_over = true;
        (self.parked, self.in_vain) = (None, None);
    }

    /// Wakes the connection, if it waits for its batch.
    pub fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// What became of a batch that was handed over.
pub enum Returned {
    /// It was executed, at least in part.
    Batch(Box<Batch>),
    /// It waits for data, until then at most.
    Parked(Option<Instant>),
    /// It waited for data, and somebody wants that to end.
    InVain(InVain),
}

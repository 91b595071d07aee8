//! The process's single writer, of whichever kind the store needs: nobody else writes.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::command::Server;
use crate::store::Mode;

use super::combining::Combining;
use super::group::Chores;
use super::groups::Groups;
use super::{Batch, Parked};

/// Where finished batches go back to: a worker.
pub trait Home: Send + Sync {
    /// Takes the finished batches out of `batches` and wakes their connections.
    fn deliver(&self, batches: &mut Vec<Box<Batch>>);

    /// The batch of a connection waits for data.
    fn parked(&self, stay: Stay);
}

/// A batch is among those that wait for data.
#[derive(Debug, Clone, Copy)]
pub struct Stay {
    /// Where its connection waits.
    pub slot: usize,
    /// The connection's id.
    pub client: u64,
    /// The number of the wait, larger than those of all that began before.
    pub ticket: u64,
    /// When it ends at the latest.
    pub deadline: Option<Instant>,
}

/// See the module.
pub enum Writer {
    /// One group at a time, on a store that lives in this process.
    Combining(Arc<Combining>),
    /// Several groups in flight, on a store across a network. Somebody has to run
    /// [`Groups::serve`].
    Groups(Arc<Groups>),
}

impl Writer {
    /// A writer that returns batches to `homes`, by their number.
    pub fn new(server: &Arc<Server>, homes: Vec<Arc<dyn Home>>) -> Writer {
        match Combining::new(server, &homes) {
            Some(combining) => Writer::Combining(Arc::new(combining)),
            None => Writer::Groups(Arc::new(Groups::new(server, homes, Mode::Write))),
        }
    }

    /// Starts the writer's thread, if it needs one.
    pub fn start(&self) -> io::Result<Option<JoinHandle<()>>> {
        match self {
            Writer::Combining(combining) => combining.start(),
            Writer::Groups(_) => Ok(None),
        }
    }

    /// Hands over batches, if there are any; each comes back through its home. A closed writer drops
    /// them: their connections get no answer, and end with the process.
    ///
    /// Whether to call again soon, with or without batches: the caller has the role and there is more
    /// to execute than it should without looking after its own connections.
    pub fn submit(&self, batches: &mut Vec<Box<Batch>>) -> bool {
        match self {
            Writer::Combining(combining) => combining.submit(batches),
            Writer::Groups(groups) => {
                groups.submit(batches);
                false
            }
        }
    }

    /// Hands over background work; a closed writer drops it, and with it the sender of its answer.
    pub fn submit_chores(&self, chores: Chores) {
        match self {
            Writer::Combining(combining) => combining.submit_chores(chores),
            Writer::Groups(groups) => groups.submit_chores(chores),
        }
    }

    /// Those who wait for data.
    pub fn parked(&self) -> &Parked {
        match self {
            Writer::Combining(combining) => &combining.parked,
            Writer::Groups(groups) => &groups.parked,
        }
    }

    /// Takes nothing more and ends once everything handed over is done.
    pub fn close(&self) {
        match self {
            Writer::Combining(combining) => combining.close(),
            Writer::Groups(groups) => groups.close(),
        }
    }
}

//! The single writer of a local store: batches with writes wait here, and whoever has the role
//! executes them.
//!
//! Grouping is natural batching: when the role is free a group starts at once, while it is taken
//! arrivals collect for the next one. Where a commit does not block, the worker that finds the role
//! free executes everything that waits, its own batches and others' (flat combining); where it does, a
//! thread of its own does. A few commands on a disk that syncs quickly are worth less than waking
//! that thread and being woken by it, so those a worker executes too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::command::Server;
use crate::limits::{COMBINED_GROUPS_MAX, INLINE_COMMANDS_MAX};
use crate::store::{Local, Store};

use super::group::{Chores, Item};
use super::local::Executor;
use super::writer::Home;
use super::{Batch, Parked};

/// See the module.
pub struct Combining {
    queue: Mutex<Queue>,
    arrived: Condvar,
    role: Mutex<Role>,
    homes: Vec<Arc<dyn Home>>,
    store: Arc<dyn Store>,
    pub(super) parked: Arc<Parked>,
    /// Whether there is a thread for commits that block.
    threaded: bool,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    closed: bool,
}

/// What the holder of the writer role works with.
struct Role {
    executor: Executor,
    waiting: VecDeque<Item>,
    group: Vec<Item>,
    finished: Vec<Vec<Box<Batch>>>,
}

impl Combining {
    /// The writer of a store if it is a local one; it returns batches to `homes`, by their number.
    pub fn new(server: &Arc<Server>, homes: &[Arc<dyn Home>]) -> Option<Combining> {
        let threaded = server.store.local()?.may_block();
        let parked = Arc::new(Parked::new(server, homes));
        let role = Role {
            executor: Executor::new(Arc::clone(server), Arc::clone(&parked)),
            waiting: VecDeque::new(),
            group: Vec::new(),
            finished: homes.iter().map(|_| Vec::new()).collect(),
        };
        Some(Combining {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            role: Mutex::new(role),
            homes: homes.to_vec(),
            threaded,
            parked,
            store: Arc::clone(&server.store),
        })
    }

    fn local(&self) -> &dyn Local {
        self.store.local().expect("the writer was made for a local store")
    }

    /// Starts the writer's thread, if the store needs one.
    pub fn start(self: &Arc<Combining>) -> std::io::Result<Option<JoinHandle<()>>> {
        if !self.threaded {
            return Ok(None);
        }
        let writer = Arc::clone(self);
        let thread = std::thread::Builder::new().name("writer".to_owned());
        thread.spawn(move || writer.serve()).map(Some)
    }

    /// Hands over batches, if there are any; each comes back through its home. A closed writer drops
    /// them: their connections get no answer, and end with the process.
    ///
    /// Whether to call again soon, with or without batches: the caller has the role and there is more
    /// to execute than it should without looking after its own connections.
    pub fn submit(&self, batches: &mut Vec<Box<Batch>>) -> bool {
        self.enqueue(batches.drain(..).map(Item::Batch))
    }

    /// Hands over background work; a closed writer drops it, and with it the sender of its answer.
    pub fn submit_chores(&self, chores: Chores) {
        let mut more = self.enqueue(std::iter::once(Item::Chores(chores, None)));
        while more {
            more = self.combine();
        }
    }

    fn enqueue(&self, items: impl Iterator<Item = Item>) -> bool {
        let mut commands = 0;
        {
            let mut queue = self.queue.lock();
            if queue.closed {
                return false;
            }
            queue.items.extend(items.inspect(|item| commands += item.commands()));
        }
        if self.threaded && (commands > INLINE_COMMANDS_MAX || self.local().commit_blocks()) {
            self.arrived.notify_one();
            return false;
        }
        self.combine()
    }

    /// Executes what waits if nobody else is doing so; whether there is more than one turn's worth.
    fn combine(&self) -> bool {
        // Whoever has the role looks at the queue again after giving it up, so an item enqueued
        // before a failed attempt to take the role is seen by its holder.
        let mut groups = 0;
        while let Some(mut role) = self.role.try_lock() {
            while self.take_waiting(&mut role) {
                if groups == COMBINED_GROUPS_MAX {
                    self.hand_back(&mut role);
                    return true;
                }
                self.execute(&mut role);
                groups += 1;
            }
            drop(role);
            if self.queue.lock().items.is_empty() {
                return false;
            }
        }
        false
    }

    /// Puts what waits back into the queue: while the role is free nothing waits anywhere else, so
    /// whoever takes it next finds it, be that a worker or the thread.
    fn hand_back(&self, role: &mut Role) {
        let mut queue = self.queue.lock();
        role.waiting.append(&mut queue.items);
        std::mem::swap(&mut role.waiting, &mut queue.items);
    }

    /// The writer thread: executes groups until closed and empty.
    fn serve(&self) {
        loop {
            {
                let mut queue = self.queue.lock();
                while queue.items.is_empty() {
                    if queue.closed {
                        return;
                    }
                    self.arrived.wait(&mut queue);
                }
            }
            let mut role = self.role.lock();
            while self.take_waiting(&mut role) {
                self.execute(&mut role);
            }
        }
    }

    /// Takes nothing more and lets the thread end once everything handed over is done. Without a
    /// thread, returns when it is done.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.arrived.notify_one();
        if !self.threaded {
            // Whoever has the role now may leave to us what it does not see any more.
            let mut role = self.role.lock();
            while self.take_waiting(&mut role) {
                self.execute(&mut role);
            }
        }
    }

    fn take_waiting(&self, role: &mut Role) -> bool {
        role.waiting.append(&mut self.queue.lock().items);
        !role.waiting.is_empty()
    }

    /// Executes one group out of what waits and sends its finished batches home.
    fn execute(&self, role: &mut Role) {
        let Role { executor, waiting, group, finished } = role;
        let mut commands = 0;
        while commands < executor.caps().commands_max
            && let Some(item) = waiting.pop_front()
        {
            commands += item.commands();
            group.push(item);
        }
        executor.execute(self.local(), group);
        for item in group.extract_if(.., |item| item.is_blocked()) {
            if let Item::Batch(batch) = item {
                self.parked.park(batch);
            }
        }
        // What did not fit comes before what has not waited.
        group.sort_by_key(Item::ticket);
        for item in group.drain(..).rev() {
            match item {
                Item::Batch(batch) if batch.is_to_be_sent() => {
                    batch.client.shared.set_wait(None);
                    finished[batch.home].push(batch);
                }
                // What did not fit comes before everything that arrived later.
                Item::Batch(_) => waiting.push_front(item),
                Item::Chores(chores, Some(removed)) => {
                    // Nobody may be listening any more.
                    let _ = chores.done.send(removed);
                }
                Item::Chores(_, None) => {}
            }
        }
        for (home, batches) in self.homes.iter().zip(finished) {
            if !batches.is_empty() {
                home.deliver(batches);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::config::Config;
    use crate::data::background::Chore;
    use crate::data::keys;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_closed_writer_drops_what_it_is_handed() {
        let server = Arc::new(Server::new(Config::default(), Arc::new(MemoryStore::new())));
        let writer = Combining::new(&server, &[]).unwrap();
        let submit = || {
            let (done, answer) = channel();
            writer.submit_chores(Chores { chores: Vec::new(), done });
            answer.recv()
        };
        assert_eq!(submit(), Ok(0));
        writer.close();
        assert!(submit().is_err());
    }
    #[test]
    fn what_a_turn_leaves_is_where_the_next_holder_looks() {
        let config = Config { group_commands_max: 1, ..Config::default() };
        let server = Arc::new(Server::new(config, Arc::new(MemoryStore::new())));
        let writer = Combining::new(&server, &[]).unwrap();
        let (done, answers) = channel();
        let chores = || Chores { chores: vec![Chore::Clear(keys::size(1))], done: done.clone() };
        let left = 4;
        let items = (0..COMBINED_GROUPS_MAX + left).map(|_| Item::Chores(chores(), None));
        writer.queue.lock().items.extend(items);
        assert!(writer.combine());
        assert_eq!(answers.try_iter().count(), COMBINED_GROUPS_MAX);
        assert_eq!(writer.queue.lock().items.len(), left);
        assert!(!writer.combine());
        assert_eq!(answers.try_iter().count(), left);
    }
}

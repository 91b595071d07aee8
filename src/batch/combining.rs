//! The single writer of a local store: batches with writes wait here, and whoever has the role
//! executes them.
//!
//! Grouping is natural batching: when the role is free a group starts at once, while it is taken
//! arrivals collect for the next one. Where a commit does not block, the worker that finds the role
//! free executes everything that waits, its own batches and others' (flat combining); where it does, a
//! thread of its own does. A few commands on a disk that syncs quickly are worth less than waking
//! that thread and being woken by it, so those a worker executes too.
//!
//! Whoever joins a group waits for all of it. So while more than one tenant is there a group has only a
//! share of what each wants, and a tenant that floods waits for itself.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::clock;
use crate::command::Server;
use crate::limits::{COMBINED_GROUPS_MAX, GROUP_REPLY_BYTES, INLINE_COMMANDS_MAX, SHARE_COMMANDS};
use crate::store::{Local, Store};

use super::group::{Chores, Item};
use super::lanes::{Lanes, Rivalry};
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
    items: Lanes<Item>,
    rivalry: Rivalry,
    closed: bool,
}

/// What the holder of the writer role works with.
struct Role {
    executor: Executor,
    group: Vec<Item>,
    /// The group has no more of each tenant than its share.
    shared: bool,
    finished: Vec<Vec<Box<Batch>>>,
}

impl Combining {
    /// The writer of a store if it is a local one; it returns batches to `homes`, by their number.
    pub fn new(server: &Arc<Server>, homes: &[Arc<dyn Home>]) -> Option<Combining> {
        let threaded = server.store.local()?.may_block();
        let parked = Arc::new(Parked::new(server, homes));
        let role = Role {
            executor: Executor::new(Arc::clone(server), Arc::clone(&parked)),
            group: Vec::new(),
            shared: false,
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
            for item in items {
                commands += item.commands();
                queue.items.push_back(item.tenant(), item.commands(), item);
            }
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
            while self.take_group(&mut role) {
                let reply_bytes = self.execute(&mut role);
                // Replies take memory that is nobody's until their connections send them.
                let is_enough = role.shared || reply_bytes > GROUP_REPLY_BYTES;
                groups += if is_enough { COMBINED_GROUPS_MAX } else { 1 };
                if groups >= COMBINED_GROUPS_MAX && !self.queue.lock().items.is_empty() {
                    return true;
                }
            }
            drop(role);
            if self.queue.lock().items.is_empty() {
                return false;
            }
        }
        false
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
            while self.take_group(&mut role) {
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
            while self.take_group(&mut role) {
                self.execute(&mut role);
            }
        }
    }

    /// Makes a group of what waits, if anything does: of all of it up to the cap, or of each tenant's share
    /// while there is more than one.
    fn take_group(&self, role: &mut Role) -> bool {
        let mut queue = self.queue.lock();
        let Queue { items, rivalry, .. } = &mut *queue;
        if items.is_empty() {
            return false;
        }
        let now = clock::monotonic();
        items.begin();
        items.tenants().for_each(|tenant| rivalry.note(tenant, now));
        role.shared = rivalry.is_there(now);
        let share = if role.shared { SHARE_COMMANDS } else { usize::MAX };
        let mut commands = 0;
        while commands < role.executor.caps().commands_max
            && let Some(item) = items.pop(share)
        {
            commands += item.commands();
            role.group.push(item);
        }
        true
    }

    /// Executes the group and sends its finished batches home; how many bytes of replies they have.
    fn execute(&self, role: &mut Role) -> usize {
        let mut reply_bytes = 0;
        let Role { executor, group, finished, .. } = role;
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
                    batch.client.shared.end_wait();
                    reply_bytes += batch.reply.len();
                    finished[batch.home].push(batch);
                }
                // What did not fit comes before everything that arrived later.
                Item::Batch(_) => {
                    let mut queue = self.queue.lock();
                    queue.items.push_front(item.tenant(), item.commands(), item);
                }
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
        reply_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::config::Config;
    use crate::data::background::Chore;
    use crate::data::keys;
    use crate::data::tenants::NOBODY;
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
        for _ in 0..COMBINED_GROUPS_MAX + left {
            writer.queue.lock().items.push_back(NOBODY, 1, Item::Chores(chores(), None));
        }
        assert!(writer.combine());
        assert_eq!(answers.try_iter().count(), COMBINED_GROUPS_MAX);
        assert!(!writer.queue.lock().items.is_empty());
        assert!(!writer.combine());
        assert_eq!(answers.try_iter().count(), left);
    }
}

//! The thread that does what no client asks for: sweeps expired keys and collects garbage.
//!
//! It searches snapshots, hands what it finds to the writer in small batches and waits for each, so
//! that at most one of them is ever in a client's way. After a batch it rests a multiple of the time
//! the batch took, unless it is far behind; with nothing to do it looks again a few times a second. A
//! round goes on to so many databases and no more, however many tenants there are.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::batch::{Chores, Writer};
use crate::clock;
use crate::command::Server;
use crate::data::background::{Audit, Chore, Collector, Due, Space, Sweep, Tour};
use crate::data::members::{Members, Share};
use crate::data::{Tenant, tenants, usage};
use crate::limits::{
    AUDIT_STEP, BACKGROUND_INTERVAL, BACKGROUND_INTERVAL_REMOTE, CENSUS_STEP, CHORES_INLINE_MAX,
    CHORES_MAX, CHORES_PAUSE_MAX, CHORES_REST, COMMAND_DEADLINE, REFUSED_PAUSE_MAX,
    REFUSED_PAUSE_MIN, SPACES_STEP, SPACES_STEP_REMOTE, SWEEP_BEHIND_MS, TENANTS_SHOWN_MAX,
    USAGE_INTERVAL, USAGE_TENANTS,
};
use crate::store::{Mode, ReadError, Snapshot, Store, wait};

/// The running thread; [`Background::stop`] ends it.
pub struct Background {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Starts the thread. It must be stopped before `writer` is closed.
    pub fn start(server: &Arc<Server>, writer: Arc<Writer>) -> io::Result<Background> {
        let store = Arc::clone(&server.store);
        let (stop, stopped) = channel();
        let (interval, spaces_step) = match store.local() {
            Some(_) => (BACKGROUND_INTERVAL, SPACES_STEP),
            None => (BACKGROUND_INTERVAL_REMOTE, SPACES_STEP_REMOTE),
        };
        let blocks = store.local().is_none_or(|local| local.commit_blocks());
        let limit = if blocks { CHORES_MAX } else { CHORES_INLINE_MAX };
        let work = Work {
            store,
            members: Members::new(server.process),
            last_share: Share::ALL,
            interval,
            limit,
            spaces_step,
            writer,
            tour: Tour::default(),
            unseen: Vec::new(),
            sweep: Sweep::default(),
            collector: Collector::default(),
            audit: Audit::default(),
            census_step: CENSUS_STEP,
            server: Arc::clone(server),
            usage_seen: None,
        };
        let thread = std::thread::Builder::new().name("background".to_owned());
        let thread = thread.spawn(move || work.run(&stopped))?;
        Ok(Background { stop, thread })
    }

    /// Ends the thread and waits until the batch it is at, if any, is done.
    pub fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// How a round went.
enum Round {
    /// There was nothing to do.
    Idle,
    /// Something was done; there may be more.
    Worked,
    /// As `Worked`, and it is high time for the rest.
    Behind,
}

struct Work {
    store: Arc<dyn Store>,
    /// Who else works on it.
    members: Members,
    /// The share at the last look.
    last_share: Share,
    /// How often to look while there is nothing to do.
    interval: Duration,
    /// Records in one batch at most.
    limit: usize,
    /// Databases that a round goes on to.
    spaces_step: usize,
    writer: Arc<Writer>,
    /// Where the sweep is among the databases of all tenants.
    tour: Tour,
    /// Keyspaces that it could not look through to their end.
    unseen: Vec<Space>,
    sweep: Sweep,
    collector: Collector,
    audit: Audit,
    /// Records to count in one step.
    census_step: usize,
    /// The process, as commands see it.
    server: Arc<Server>,
    /// When what tenants store was last looked up.
    usage_seen: Option<Instant>,
}

impl Work {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut refused_pause = REFUSED_PAUSE_MIN;
        loop {
            let began = clock::monotonic();
            let round = self.round();
            let pause = match round {
                Some(Round::Idle) => self.interval,
                Some(Round::Worked) => (began.elapsed() * CHORES_REST).min(CHORES_PAUSE_MAX),
                Some(Round::Behind) => Duration::ZERO,
                None => refused_pause,
            };
            refused_pause = match round {
                Some(_) => REFUSED_PAUSE_MIN,
                None => (refused_pause * 2).min(REFUSED_PAUSE_MAX),
            };
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// One batch of each kind of work; `None` when the store cannot be read or written.
    fn round(&mut self) -> Option<Round> {
        if self.store.write_failure().is_some() {
            return None;
        }
        let share = self.share()?;
        if std::mem::replace(&mut self.last_share, share) != share {
            self.sweep.restart();
        }
        self.look_at_tenants()?;
        let due = self.sweep(share)?;
        let garbage = self.search(&mut |found| self.collector.garbage(found, self.limit, share))?;
        let counted = self.count(share)?;
        let is_idle = due.chores.is_empty() && garbage.chores.is_empty() && !counted;
        self.submit(&garbage.chores)?;
        let orphans = garbage.chores.len() as u64;
        self.server.stats.background.orphans.fetch_add(orphans, Ordering::Relaxed);
        self.collector.done(garbage);
        self.audit(share)?;
        let behind = matches!(due.chores.first(), Some(Chore::Expire { at_ms, .. })
            if clock::unix_ms().saturating_sub(*at_ms) > SWEEP_BEHIND_MS);
        Some(match is_idle {
            true => Round::Idle,
            false if behind => Round::Behind,
            false => Round::Worked,
        })
    }

    /// Removes expired keys of the next databases, and of those where there was more than enough the
    /// last time: none of them waits until all others have been looked at.
    fn sweep(&mut self, share: Share) -> Option<Due> {
        let (next, tour) = self.search(&mut |found| self.tour.next(found, self.spaces_step))?;
        let mut spaces = std::mem::take(&mut self.unseen);
        spaces.retain(|space| !next.contains(space));
        spaces.extend(next);
        let (now_ms, limit) = (clock::unix_ms(), self.limit);
        let due = self.search(&mut |found| self.sweep.due(found, &spaces, now_ms, limit, share))?;
        let oldest = due.chores.iter().filter_map(Chore::due_ms).min();
        let background = &self.server.stats.background;
        background.oldest_due_ms.store(oldest.unwrap_or(0), Ordering::Relaxed);
        self.submit(&due.chores)?;
        self.sweep.done(&due, &spaces, now_ms);
        (self.tour, self.unseen) = (tour, due.unseen.clone());
        self.unseen.truncate(self.spaces_step);
        Some(due)
    }

    /// What part of the work is this process's; shows others that it is there.
    fn share(&mut self) -> Option<Share> {
        if self.store.local().is_some() {
            return Some(Share::ALL);
        }
        let now = clock::monotonic();
        if self.members.is_due(now) {
            let records = self.search(&mut Members::records)?;
            let chores = self.members.update(&records, now);
            // Should it fail, the next beat is as good; other work does not wait for it.
            let _ = self.submit(&chores);
        }
        Some(self.members.share(now))
    }

    /// A step through the registries, on stores whose writes may be blind.
    fn audit(&mut self, share: Share) -> Option<()> {
        if self.store.local().is_some() {
            return Some(());
        }
        let (chores, next) = self.search(&mut |found| self.audit.next(found, AUDIT_STEP, share))?;
        self.submit(&chores)?;
        self.audit = next;
        Some(())
    }

    /// Goes on counting what was stored before it had to be counted; whether there was something.
    fn count(&mut self, share: Share) -> Option<bool> {
        let found = self.search(&mut |snapshot| usage::to_be_counted(snapshot, share))?;
        let Some(keyspace) = found else { return Some(false) };
        // Records that others keep changing are counted one by one in the end.
        let limit = self.census_step;
        self.census_step = match self.submit(&[Chore::Count { keyspace, limit }]) {
            Some(()) => (2 * limit).min(CENSUS_STEP),
            None => (limit / 2).max(1),
        };
        Some(true)
    }

    /// Looks up what tenants may use that have connections, and what those store that have a quota and
    /// write, where other processes may change both.
    fn look_at_tenants(&mut self) -> Option<()> {
        let now = clock::monotonic();
        if self.usage_seen.is_some_and(|seen| now - seen < USAGE_INTERVAL) {
            return Some(());
        }
        self.usage_seen = Some(now);
        let kept = if self.server.config.metrics_tenants { TENANTS_SHOWN_MAX } else { 0 };
        let tenants = self.server.allowances.tenants(self.server.uptime_us(), kept);
        if self.server.config.metrics_tenants {
            for some in tenants.chunks(USAGE_TENANTS) {
                self.note_storage(some)?;
            }
        }
        if self.store.local().is_some() {
            return Some(());
        }
        for some in tenants.chunks(USAGE_TENANTS) {
            for (tenant, quota) in self.search(&mut |found| tenants::quotas(found, some))? {
                self.server.allowances.update(tenant, &quota);
            }
        }
        for tenants in self.server.usages.wanted().chunks(USAGE_TENANTS) {
            for (tenant, usage) in self.search(&mut |found| usage::sums(found, tenants))? {
                self.server.usages.learn(tenant, usage);
            }
        }
        Some(())
    }

    /// Has metrics show what these tenants store, where that is counted.
    fn note_storage(&self, tenants: &[Tenant]) -> Option<()> {
        let usages = self.search(&mut |found| usage::sums(found, tenants))?;
        let quotas = self.search(&mut |found| tenants::quotas(found, tenants))?;
        for (tenant, quota) in quotas {
            let usage = usages.iter().find(|(other, _)| *other == tenant);
            let bytes = usage.map_or(0, |(_, usage)| usage.bytes);
            self.server.allowances.note_storage(tenant, bytes, quota.storage);
        }
        Some(())
    }

    /// Searches the store as it is now; `None` when it cannot be read.
    fn search<T>(&self, find: &mut dyn FnMut(&dyn Snapshot) -> Result<T, ReadError>) -> Option<T> {
        let mut transaction = Arc::clone(&self.store).transaction();
        transaction.begin(Mode::Read, clock::monotonic() + COMMAND_DEADLINE);
        let found = wait::read(&mut *transaction, find);
        found.inspect_err(|error| tracing::warn!(?error, "background work cannot read")).ok()
    }

    /// Has the writer do these and waits; `None` if it could not.
    fn submit(&self, chores: &[Chore]) -> Option<()> {
        if chores.is_empty() {
            return Some(());
        }
        let (done, answer) = channel();
        self.writer.submit_chores(Chores { chores: chores.to_vec(), done });
        answer.recv().ok().map(|_| ())
    }
}

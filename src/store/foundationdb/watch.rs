//! Noticing that another process has changed a record.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use foundationdb::FdbError;

use super::FdbStore;
use super::raw::{self, Bytes, Future, Outcome, Waiting};
use crate::store::Watch;

/// A watch on one record, renewed whenever it was of use or lost.
pub struct FdbWatch {
    store: Arc<FdbStore>,
    /// With the store's prefix.
    key: Vec<u8>,
    raw: Option<raw::Transaction>,
    step: Step,
    waiting: Waiting,
}

enum Step {
    Begin,
    /// Obtaining the version from which on changes count.
    Reading(Future<Bytes>, Future<()>),
    Committing(Future<()>, Future<()>),
    Watching(Future<()>),
    Pausing(Future<()>),
}

impl FdbWatch {
    /// A watch on the record `key`.
    pub fn new(store: Arc<FdbStore>, key: &[u8]) -> FdbWatch {
        let key = [&store.prefix, key].concat();
        FdbWatch { store, key, raw: None, step: Step::Begin, waiting: Waiting::default() }
    }

    /// Begins the next step; whether the record may have changed.
    fn go_on(&mut self, step: Step) -> Outcome<bool> {
        let raw = match &mut self.raw {
            Some(raw) => raw,
            none => none.insert(self.store.shared.database.transaction()?),
        };
        let (next, may_have_changed) = match step {
            Step::Begin => (Step::Reading(raw.get(&self.key, true), raw.watch(&self.key)), false),
            Step::Reading(read, watch) => {
                read.take()?;
                (Step::Committing(raw.commit(), watch), false)
            }
            Step::Committing(commit, watch) => {
                commit.take()?;
                // What came before was noticed by nobody.
                (Step::Watching(watch), true)
            }
            Step::Watching(watch) => {
                watch.take()?;
                raw.reset();
                (Step::Begin, true)
            }
            Step::Pausing(pause) => {
                if pause.take().is_err() {
                    raw.reset();
                }
                (Step::Begin, false)
            }
        };
        match &next {
            Step::Begin => {}
            Step::Reading(read, _) => wait(&mut self.waiting, read),
            Step::Committing(future, _) | Step::Watching(future) | Step::Pausing(future) => {
                wait(&mut self.waiting, future);
            }
        }
        self.step = next;
        Ok(may_have_changed)
    }

    fn pause(&mut self, error: FdbError) {
        tracing::debug!(%error, "a watch was lost");
        let Some(raw) = &self.raw else { return };
        let pause = raw.on_error(error);
        wait(&mut self.waiting, &pause);
        self.step = Step::Pausing(pause);
    }
}

fn wait<T>(waiting: &mut Waiting, future: &Future<T>) {
    waiting.start();
    waiting.add(future);
    waiting.seal();
}

impl Watch for FdbWatch {
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !matches!(self.step, Step::Begin) {
                ready!(self.waiting.poll(cx));
            }
            let step = std::mem::replace(&mut self.step, Step::Begin);
            match self.go_on(step) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(()),
                Err(error) => self.pause(error),
            }
        }
    }
}

//! A local store's transaction: everything is ready at once.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{CommitError, Local, Mode, Mutations, ReadError, Snapshot, Transaction};

/// See the module. Each [`Transaction::read`] takes a snapshot of its own, which is as good as one
/// for all where only the caller writes.
pub(super) struct Direct<S>(pub Arc<S>);

impl<S: Local> Transaction for Direct<S> {
    fn begin(&mut self, _: Mode, _: Instant) {}

    fn read(&mut self, f: &mut dyn FnMut(&dyn Snapshot)) {
        self.0.read(f);
    }

    fn poll_fetch(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_commit(
        &mut self,
        _: &mut Context<'_>,
        sequence: u64,
        mutations: &Mutations,
    ) -> Poll<Result<(), CommitError>> {
        Poll::Ready(self.0.commit(sequence, mutations))
    }

    fn poll_retry(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

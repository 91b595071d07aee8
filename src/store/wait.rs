//! Using a transaction from a thread that has nothing else to do meanwhile.

use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;

use super::{ReadError, Snapshot, Transaction};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the calling thread until `poll` is ready.
pub fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Reads with `find`, fetching what it asks for and beginning anew where the store says so, until it
/// has its answer.
///
/// # Errors
///
/// [`ReadError::TimedOut`] and [`ReadError::Failed`].
pub fn read<T>(
    transaction: &mut dyn Transaction,
    find: &mut dyn FnMut(&dyn Snapshot) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    loop {
        let mut found = Err(ReadError::Pending);
        transaction.read(&mut |snapshot| found = find(snapshot));
        // Also when it is found: what was assumed may have been wrong.
        let fetched = match &found {
            Ok(_) | Err(ReadError::Pending) => wait(|cx| transaction.poll_fetch(cx)),
            Err(error) => Err(error.clone()),
        };
        match (fetched, found) {
            (Ok(()), Ok(found)) => return Ok(found),
            (Ok(()), Err(_)) => {}
            (Err(ReadError::Retry), _) => wait(|cx| transaction.poll_retry(cx)),
            (Err(error), _) => return Err(error),
        }
    }
}

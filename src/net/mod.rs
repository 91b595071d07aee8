//! Moves bytes between sockets and sessions: io_uring event loops, one per worker.
//!
//! The `acceptor` gives each new connection to the worker that has the fewest; from then on one
//! thread alone serves it (`conn`), with buffers registered with that thread's ring (`buffer`).

mod acceptor;
mod buffer;
mod conn;
mod link;
mod stream;
mod worker;

pub use acceptor::{Acceptor, Listener, Stop};
pub use worker::{Inbox, Workers, probe};

//! Moves bytes between sockets and sessions: io_uring event loops, one per worker.
//!
//! The `acceptor` gives each new connection to the worker that has the fewest; from then on one
//! thread alone serves it (`conn`), with buffers registered with that thread's ring (`buffer`).
//!
//! # TLS
//!
//! A connection to a TLS listener brings the configuration that is current when it arrives
//! (`certificates`). Its `link` receives records into a registered buffer, has them decrypted there and
//! their data copied to where the parser reads, and has replies encrypted into the buffer that is sent
//! (`tls`, around rustls's unbuffered interface, which owns no sockets and no receive buffer). Nothing
//! else knows of it: above the link there are the same bytes as without TLS. Handshakes are bounded in
//! time and bytes, and take turns, one step between two turns of the event loop.

mod acceptor;
mod arrivals;
mod buffer;
mod certificates;
mod conn;
mod files;
mod link;
mod monitor;
mod slot;
mod stream;
mod tick;
mod tls;
mod turns;
mod worker;

pub use acceptor::{Acceptor, Control, Listener};
pub use certificates::Certificates;
pub use worker::{Inbox, Workers, probe};

//! ringstone: Redis clients served from an ordered transactional store, in groups, over io_uring.

pub mod batch;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod data;
pub mod error;
pub mod glob;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod num;
pub mod resp;
pub mod server;
pub mod session;
pub mod store;

//! ringstone: Redis clients served from an ordered transactional store, in groups, over io_uring.

pub mod cli;
pub mod clock;
pub mod config;
pub mod limits;
pub mod logging;
pub mod store;

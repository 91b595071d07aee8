//! ringstone: Redis clients served from an ordered transactional store, in groups, over io_uring.

pub mod clock;
pub mod glob;
pub mod limits;
pub mod num;
pub mod resp;
pub mod store;

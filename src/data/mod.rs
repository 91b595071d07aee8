//! The data model: turns Redis's keys and values into ordered records.
//!
//! Knows what a string, an expiry or a database is made of; knows nothing of commands or replies.

pub mod background;
pub mod collection;
mod database;
pub mod dump;
pub mod element;
pub mod entry;
pub mod hash;
pub mod inspect;
pub mod keys;
pub mod list;
pub mod members;
pub mod meta;
mod overlay;
pub mod random;
pub mod set;
pub mod sorted_set;
pub mod string;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod usage;
mod view;
mod walk;
mod watch;

pub use database::Population;
pub use entry::{Entry, Prior};
pub use keys::KeyspaceId;
pub use members::ProcessId;
pub use meta::Stamp;
pub use overlay::Overlay;
pub use view::{Mark, Moment, Ready, Shown, Tenant, View};
pub use watch::Watched;

use crate::error::Stop;
use crate::store::ReadError;

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Stop {
        match error {
            // The next fetch says what to do about the transaction.
            ReadError::Pending | ReadError::Retry => Stop::Pending,
            ReadError::TimedOut => crate::error::TIMED_OUT.into(),
            ReadError::Failed(cause) => Stop::Failed(cause),
        }
    }
}

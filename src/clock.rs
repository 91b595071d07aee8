//! The only place that asks the machine for the time.
//!
//! Monotonic time measures durations; wall time is what is stored (expiry). Everything else gets its
//! time as an argument.

#![allow(clippy::disallowed_methods)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time, for durations.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Wall-clock time in milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    unix().as_millis() as u64
}

/// Wall-clock time in microseconds since the Unix epoch.
pub fn unix_us() -> u64 {
    unix().as_micros() as u64
}

fn unix() -> std::time::Duration {
    // A clock set before 1970 reads as 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

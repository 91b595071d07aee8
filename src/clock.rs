//! The only place that asks the machine for the time.
//!
//! Monotonic time measures durations; wall time is what is stored (expiry). Everything else gets its
//! time as an argument.

#![allow(clippy::disallowed_methods)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the wall clock is set wrong, in milliseconds.
static SKEW_MS: AtomicI64 = AtomicI64::new(0);

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

/// Sets the wall clock wrong by so many milliseconds, for tests with processes whose clocks disagree.
pub fn skew(ms: i64) {
    SKEW_MS.store(ms, Ordering::Relaxed);
}

fn unix() -> Duration {
    // A clock set before 1970 reads as 1970.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match SKEW_MS.load(Ordering::Relaxed) {
        0 => since,
        ms if ms > 0 => since.saturating_add(Duration::from_millis(ms.unsigned_abs())),
        ms => since.saturating_sub(Duration::from_millis(ms.unsigned_abs())),
    }
}

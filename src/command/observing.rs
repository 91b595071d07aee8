//! What the process notes about slow commands, and from when on it does: `CONFIG SET` may change that.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use super::latency_monitor::LatencyMonitor;
use super::slowlog::SlowLog;
use crate::config::Observation;
use crate::limits::SLOW_LOGGED_PER_SECOND;

/// See the module.
pub struct Observing {
    /// All settings as they are now.
    settings: Mutex<Observation>,
    /// See [`Observation::slower_than_us`]; every batch looks at it.
    slower_than_us: AtomicI64,
    /// See [`Observation::latency_tracking`].
    tracks: AtomicBool,
    logged: Mutex<Logged>,
    /// `SLOWLOG`.
    pub slowlog: SlowLog,
    /// `LATENCY`.
    pub latency: LatencyMonitor,
}

/// How many slow commands have been written to the process's log.
#[derive(Debug, Default)]
struct Logged {
    second: u64,
    count: u32,
    /// Not written since the last one that was.
    unlogged: u64,
}

impl Observing {
    /// Begins with these settings and with nothing noted.
    pub fn new(settings: Observation) -> Observing {
        let observing = Observing {
            settings: Mutex::new(settings.clone()),
            slower_than_us: AtomicI64::new(0),
            tracks: AtomicBool::new(false),
            logged: Mutex::default(),
            slowlog: SlowLog::default(),
            latency: LatencyMonitor::default(),
        };
        observing.apply(&settings);
        observing
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Observation {
        self.settings.lock().clone()
    }

    /// Changes settings, all or, if `change` fails, none.
    pub fn adjust<E>(
        &self,
        change: impl FnOnce(&mut Observation) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut settings = self.settings.lock();
        let mut changed = settings.clone();
        change(&mut changed)?;
        self.apply(&changed);
        *settings = changed;
        Ok(())
    }

    fn apply(&self, settings: &Observation) {
        self.slower_than_us.store(settings.slower_than_us, Ordering::Relaxed);
        self.tracks.store(settings.latency_tracking, Ordering::Relaxed);
        self.slowlog.set_len_max(settings.slowlog_len_max);
        self.latency.set_threshold_ms(settings.latency_threshold_ms);
    }

    /// Whether latencies are measured, and where they come from.
    #[inline]
    pub fn tracks(&self) -> bool {
        self.tracks.load(Ordering::Relaxed)
    }

    /// Whether what took so long belongs in the slow log.
    #[inline]
    pub fn is_slow(&self, duration_us: u64) -> bool {
        let least = self.slower_than_us.load(Ordering::Relaxed);
        u64::try_from(least).is_ok_and(|least| duration_us >= least)
    }
}

impl Observing {
    /// Whether a slow command is written to the process's log, `second` after its start: at most
    /// [`SLOW_LOGGED_PER_SECOND`] are. How many before it were not.
    pub fn sampled(&self, second: u64) -> Option<u64> {
        let mut logged = self.logged.lock();
        if logged.second != second {
            (logged.second, logged.count) = (second, 0);
        }
        if logged.count >= SLOW_LOGGED_PER_SECOND {
            logged.unlogged += 1;
            return None;
        }
        logged.count += 1;
        Some(std::mem::take(&mut logged.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_slow_commands_in_the_log() {
        let observing = Observing::new(Observation::default());
        for _ in 0..SLOW_LOGGED_PER_SECOND {
            assert_eq!(observing.sampled(7), Some(0));
        }
        assert_eq!((observing.sampled(7), observing.sampled(7)), (None, None));
        assert_eq!((observing.sampled(8), observing.sampled(8)), (Some(2), Some(0)));
    }

    #[test]
    fn settings_change_together_or_not_at_all() {
        let observing = Observing::new(Observation::default());
        assert!(!observing.is_slow(9_999) && observing.is_slow(10_000));
        let failed = observing.adjust(|settings| {
            settings.slower_than_us = 0;
            Err("no")
        });
        assert_eq!((failed, observing.is_slow(0)), (Err("no"), false));
        let set = |slower_than_us| {
            observing.adjust(|settings| {
                settings.slower_than_us = slower_than_us;
                Ok::<_, &str>(())
            })
        };
        set(0).unwrap();
        assert!(observing.is_slow(0));
        set(-1).unwrap();
        assert!(!observing.is_slow(u64::MAX));
    }
}

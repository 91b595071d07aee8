//! When the requests arrived that lie in a connection's input.
//!
//! What a client sends while earlier requests are being answered is received at once and looked at later.
//! That it had to wait is part of its latency.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits::ARRIVALS_MAX;

/// Bytes that arrived together.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    at: Instant,
    bytes: usize,
}

/// The bytes of an input that nobody has taken, by when they arrived.
#[derive(Debug, Default)]
pub struct Arrivals {
    stretches: VecDeque<Stretch>,
}

impl Arrivals {
    /// So many bytes have arrived behind the others. Where there are too many stretches, they count as having
    /// come with those before them: no latency is told as shorter than it is.
    #[inline]
    pub fn add(&mut self, at: Instant, bytes: usize) {
        let is_full = self.stretches.len() >= ARRIVALS_MAX;
        match self.stretches.back_mut() {
            Some(last) if last.at == at || is_full => last.bytes += bytes,
            _ if bytes > 0 => self.stretches.push_back(Stretch { at, bytes }),
            _ => {}
        }
    }

    /// Takes the first bytes, so many; when the last of them arrived.
    #[inline]
    pub fn take(&mut self, mut bytes: usize) -> Option<Instant> {
        let mut arrived = None;
        while bytes > 0
            && let Some(first) = self.stretches.front_mut()
        {
            arrived = Some(first.at);
            let taken = bytes.min(first.bytes);
            bytes -= taken;
            first.bytes -= taken;
            if first.bytes == 0 {
                self.stretches.pop_front();
            }
        }
        arrived
    }

    /// What has arrived before `at` counts as if it had arrived then.
    pub fn not_before(&mut self, at: Instant) {
        self.stretches.iter_mut().for_each(|stretch| stretch.at = stretch.at.max(at));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_request_arrived_when_its_last_byte_did() {
        let start = clock::monotonic();
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.take(1), None);
        arrivals.add(start, 10);
        arrivals.add(start, 5);
        arrivals.add(start + MS, 0);
        arrivals.add(start + MS, 20);
        assert_eq!(arrivals.stretches.len(), 2);
        assert_eq!(arrivals.take(0), None);
        assert_eq!(arrivals.take(14), Some(start));
        assert_eq!(arrivals.take(1), Some(start));
        assert_eq!(arrivals.take(1), Some(start + MS));
        arrivals.add(start + 2 * MS, 1);
        assert_eq!(arrivals.take(20), Some(start + 2 * MS));
        assert!(arrivals.stretches.is_empty());
    }

    #[test]
    fn what_waited_for_nobodys_latency_counts_from_then() {
        let start = clock::monotonic();
        let mut arrivals = Arrivals::default();
        arrivals.add(start, 10);
        arrivals.add(start + 3 * MS, 10);
        arrivals.not_before(start + 2 * MS);
        assert_eq!(arrivals.take(10), Some(start + 2 * MS));
        assert_eq!(arrivals.take(10), Some(start + 3 * MS));
    }

    #[test]
    fn there_are_not_too_many_stretches() {
        let start = clock::monotonic();
        let mut arrivals = Arrivals::default();
        for number in 0..2 * ARRIVALS_MAX as u32 {
            arrivals.add(start + number * MS, 1);
        }
        assert_eq!(arrivals.stretches.len(), ARRIVALS_MAX);
        let last = start + (ARRIVALS_MAX as u32 - 1) * MS;
        assert_eq!(arrivals.take(2 * ARRIVALS_MAX), Some(last));
    }
}

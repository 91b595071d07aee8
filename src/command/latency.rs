//! How latencies are spread: counts in buckets, each a quarter wider than the one before or less.

/// Four buckets to each doubling, from 512 ns to a minute.
const BUCKETS: usize = 112;
/// Finest distinction, as a power of two in nanoseconds.
const UNIT_BITS: u32 = 7;

/// One count for each bucket.
#[derive(Debug, Clone)]
pub struct Latency<C>([C; BUCKETS]);

impl<C: Default> Default for Latency<C> {
    fn default() -> Latency<C> {
        Latency(std::array::from_fn(|_| C::default()))
    }
}

impl<C> Latency<C> {
    /// The count of the bucket that `nanoseconds` falls into.
    #[inline]
    pub fn at(&self, nanoseconds: u64) -> &C {
        let units = (nanoseconds >> UNIT_BITS).max(4);
        let doublings = units.ilog2() - 2;
        let bucket = (doublings << 2) as usize + (units >> doublings & 3) as usize;
        &self.0[bucket.min(BUCKETS - 1)]
    }

    /// Merges the counts of another, bucket by bucket.
    pub fn combine<D>(&mut self, other: &Latency<D>, merge: impl Fn(&mut C, &D)) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| merge(mine, theirs));
    }
}

impl Latency<u64> {
    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The latency in microseconds that a share of all, such as 0.99, stays below.
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = (self.total() as f64 * share).ceil() as u64;
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let bucket = bucket.unwrap_or(BUCKETS - 1) as u64;
        let end = ((5 + bucket % 4) << (bucket / 4)) << UNIT_BITS;
        end as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn percentiles_are_at_most_a_quarter_too_high() {
        for nanoseconds in [600u64, 1_000, 12_345, 1_000_000, 123_456_789, 30_000_000_000] {
            let counts = Latency::<Cell<u64>>::default();
            counts.at(nanoseconds).set(7);
            let mut latency = Latency::<u64>::default();
            latency.combine(&counts, |sum, count| *sum += count.get());
            let (told, real) = (latency.percentile(0.5), nanoseconds as f64 / 1000.0);
            assert!(told >= real && told <= real * 1.26, "{real} {told}");
        }
    }

    #[test]
    fn the_extremes_have_a_bucket() {
        let counts = Latency::<Cell<u64>>::default();
        counts.at(0).set(1);
        counts.at(u64::MAX).set(1);
        let mut latency = Latency::<u64>::default();
        latency.combine(&counts, |sum, count| *sum += count.get());
        assert_eq!(latency.total(), 2);
    }
}

//! How durations and sizes are spread: counts in buckets.

use super::Count;

/// Upper bounds of durations within a decade, in thousandths of its beginning.
const SERIES: [u64; 10] = [1_000, 1_250, 1_600, 2_000, 2_500, 3_200, 4_000, 5_000, 6_300, 8_000];
/// From 1 us to 10 s.
const DECADES: usize = 7;
/// The bounds, and whatever is longer.
const DURATIONS: usize = DECADES * SERIES.len() + 2;
/// Upper bounds of the buckets of durations, in nanoseconds; the last bucket has none.
const BOUNDS_NS: [u64; DURATIONS - 1] = bounds();
/// Powers of two from 1 to 2^30, and whatever is more.
const SIZES: usize = 32;
/// By a duration's highest bit and the two below it: the first bucket it may be in.
const FIRST: [u8; 64 * 4] = first();

/// The finest bounds that are shown: what is shorter is told from what is not at 10 and at 25 us.
const SHOWN_FROM_NS: u64 = 50_000;
const SHOWN_SHORTER_NS: [u64; 2] = [10_000, 25_000];
/// Past this every second bound is shown.
const SHOWN_FINELY_TO_NS: u64 = 10_000_000;

const fn bounds() -> [u64; DURATIONS - 1] {
    let mut bounds = [0; DURATIONS - 1];
    let (mut at, mut scale) = (0, 1);
    while at < bounds.len() {
        bounds[at] = SERIES[at % SERIES.len()] * scale;
        at += 1;
        if at % SERIES.len() == 0 {
            scale *= 10;
        }
    }
    bounds
}

const fn first() -> [u8; 64 * 4] {
    let mut first = [0; 64 * 4];
    let mut cell = 0;
    while cell < first.len() {
        let (bit, quarter) = (cell as u32 / 4, cell as u64 % 4);
        // The shortest duration of the cell.
        let shortest = if bit < 2 { 0 } else { (4 + quarter) << (bit - 2) };
        let mut bucket = 0;
        while bucket < BOUNDS_NS.len() && BOUNDS_NS[bucket] < shortest {
            bucket += 1;
        }
        first[cell] = bucket as u8;
        cell += 1;
    }
    first
}

/// One count for each bucket, and the sum of what was counted.
#[derive(Debug, Clone)]
pub struct Histogram<C, const N: usize> {
    buckets: [C; N],
    sum: C,
}

/// Durations, in nanoseconds.
pub type Durations<C> = Histogram<C, DURATIONS>;

/// Numbers of commands or bytes.
pub type Sizes<C> = Histogram<C, SIZES>;

/// A histogram as it is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread {
    /// Upper bounds, and how many there are up to them.
    pub buckets: Vec<(f64, u64)>,
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl<C: Default, const N: usize> Default for Histogram<C, N> {
    fn default() -> Self {
        Histogram { buckets: std::array::from_fn(|_| C::default()), sum: C::default() }
    }
}

impl<const N: usize> Histogram<Count, N> {
    #[inline]
    fn add(&self, bucket: usize, value: u64, times: u64) {
        self.buckets[bucket].add(times);
        self.sum.add(value.wrapping_mul(times));
    }
}

impl<const N: usize> Histogram<u64, N> {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all of them.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Counts what another has counted as well.
    pub fn include(&mut self, other: &Histogram<Count, N>) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, count)| *sum += count.get());
        self.sum = self.sum.wrapping_add(other.sum.get());
    }

    /// Forgets what had been counted before.
    pub fn subtract(&mut self, before: &Histogram<u64, N>) {
        self.buckets.iter_mut().zip(&before.buckets).for_each(|(sum, count)| *sum -= count);
        self.sum = self.sum.wrapping_sub(before.sum);
    }

    /// How many there are up to each bound, the last of which is infinite.
    fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().scan(0, |seen, count| {
            *seen += count;
            Some(*seen)
        })
    }
}

impl Durations<Count> {
    /// Counts `times` durations of so many nanoseconds.
    #[inline]
    pub fn record(&self, ns: u64, times: u64) {
        self.add(duration_bucket(ns), ns, times);
    }
}

impl Durations<u64> {
    /// The duration in microseconds that a share of all, such as 0.99, does not exceed: the upper bound of its
    /// bucket, at most 28 % too much. 0 without any.
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let bucket = self.cumulative().position(|seen| seen >= wanted.max(1));
        bucket.map_or(0.0, |bucket| BOUNDS_NS[bucket.min(BOUNDS_NS.len() - 1)] as f64 / 1000.0)
    }

    /// The upper bounds in microseconds of the buckets that are not empty, and how many durations do not
    /// exceed them.
    pub fn occupied(&self) -> impl Iterator<Item = (f64, u64)> {
        let last = BOUNDS_NS.len() - 1;
        let each = self.buckets.iter().zip(self.cumulative()).enumerate();
        each.filter(|(_, (count, _))| **count > 0)
            .map(move |(bucket, (_, seen))| (BOUNDS_NS[bucket.min(last)] as f64 / 1000.0, seen))
    }

    /// The histogram in seconds.
    pub fn spread(&self) -> Spread {
        let is_shown = |at: usize, bound: u64| match bound {
            SHOWN_FROM_NS..=SHOWN_FINELY_TO_NS => true,
            ..SHOWN_FROM_NS => SHOWN_SHORTER_NS.contains(&bound),
            _ => at.is_multiple_of(2),
        };
        let each = BOUNDS_NS.into_iter().zip(self.cumulative()).enumerate();
        let shown = each.filter(|&(at, (bound, _))| is_shown(at, bound));
        Spread {
            buckets: shown.map(|(_, (bound, seen))| (bound as f64 / 1e9, seen)).collect(),
            count: self.count(),
            sum: self.sum as f64 / 1e9,
        }
    }
}

#[inline]
fn duration_bucket(ns: u64) -> usize {
    let bit = (ns | 4).ilog2();
    let cell = (bit as usize) << 2 | (ns >> (bit - 2) & 3) as usize;
    let mut bucket = usize::from(FIRST[cell]);
    while bucket < BOUNDS_NS.len() && BOUNDS_NS[bucket] < ns {
        bucket += 1;
    }
    bucket
}

impl Sizes<Count> {
    /// Counts one thing of this size.
    #[inline]
    pub fn record(&self, size: u64) {
        let bucket = (u64::BITS - size.saturating_sub(1).leading_zeros()) as usize;
        self.add(bucket.min(SIZES - 1), size, 1);
    }
}

impl Sizes<u64> {
    /// The histogram, with bounds of at most `max`.
    pub fn spread(&self, max: u64) -> Spread {
        let bounds = (0..SIZES - 1).map(|bucket| 1_u64 << bucket);
        let shown = bounds.zip(self.cumulative()).take_while(|&(bound, _)| bound <= max);
        Spread {
            buckets: shown.map(|(bound, seen)| (bound as f64, seen)).collect(),
            count: self.count(),
            sum: self.sum as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(durations: &[u64]) -> Durations<u64> {
        let counts = Durations::<Count>::default();
        durations.iter().for_each(|&ns| counts.record(ns, 1));
        let mut sums = Durations::<u64>::default();
        sums.include(&counts);
        sums
    }

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let near = BOUNDS_NS.into_iter().flat_map(|bound| [bound - 1, bound, bound + 1]);
        for ns in near.chain([0, 1, 2, 3, 4, 5, 500, 999, u64::MAX]) {
            let expected = BOUNDS_NS.partition_point(|&bound| bound < ns);
            assert_eq!(duration_bucket(ns), expected, "{ns}");
        }
    }

    #[test]
    fn percentiles_are_not_too_low_and_at_most_28_percent_too_high() {
        for ns in [1_100_u64, 12_345, 999_999, 1_000_000, 123_456_789, 9_999_999_999] {
            let (told, real) = (counted(&[ns; 7]).percentile(0.5), ns as f64 / 1000.0);
            assert!(told >= real && told <= real * 1.2801, "{real} {told}");
        }
        assert_eq!(counted(&[]).percentile(0.99), 0.0);
        assert_eq!(counted(&[u64::MAX / 2]).percentile(0.99), 10_000_000.0);
    }

    #[test]
    fn what_is_shown_has_the_slo_and_adds_up() {
        let spread = counted(&[3, 900_000, 1_000_000, 1_000_001, 60_000_000_000]).spread();
        let up_to = |bound: f64| spread.buckets.iter().find(|(at, _)| *at == bound).unwrap().1;
        assert_eq!((up_to(0.000_01), up_to(0.001), up_to(10.0)), (1, 3, 4));
        assert_eq!(spread.count, 5);
        assert!((spread.sum - 60.002_900_004).abs() < 1e-9, "{}", spread.sum);
        assert!(spread.buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1));
        assert_eq!(format!("{}", spread.buckets[0].0), "0.00001");
    }

    #[test]
    fn sizes_have_powers_of_two_as_bounds() {
        let counts = Sizes::<Count>::default();
        for size in [0, 1, 2, 3, 4, 1024, 1025, u64::MAX] {
            counts.record(size);
        }
        let mut sums = Sizes::<u64>::default();
        sums.include(&counts);
        let spread = sums.spread(2048);
        let up_to = |bound: f64| spread.buckets.iter().find(|(at, _)| *at == bound).unwrap().1;
        assert_eq!([1.0, 2.0, 4.0, 1024.0, 2048.0].map(up_to), [2, 3, 5, 6, 7]);
        assert_eq!((spread.buckets.last().unwrap().0, spread.count), (2048.0, 8));
    }
}

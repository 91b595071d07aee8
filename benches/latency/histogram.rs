//! Latencies of `paced`, counted in buckets less than 1 % wide: adding one costs a few nanoseconds,
//! and memory does not grow with how many there are.

/// Binary digits of a value that its bucket keeps, beside the leading one.
const DIGITS: u32 = 7;
const PARTS: usize = 1 << DIGITS;

/// Counts of values by size.
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    /// No values yet.
    fn default() -> Histogram {
        Histogram { counts: vec![0; (u64::BITS - DIGITS + 1) as usize * PARTS], count: 0 }
    }
}

impl Histogram {
    /// Adds a value, so many times.
    pub fn add(&mut self, value: u64, times: u64) {
        self.counts[bucket(value)] += times;
        self.count += times;
    }

    /// How many values were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What a share of all values is no larger than; 0 if there are none.
    pub fn at(&self, share: f64) -> f64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(bucket);
            }
        }
        0.0
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(DIGITS + 1);
    shift as usize * PARTS + (value >> shift) as usize
}

/// The middle of a bucket's values.
fn middle(bucket: usize) -> f64 {
    let shift = (bucket / PARTS).saturating_sub(1);
    let width = (1u64 << shift) as f64;
    (bucket - shift * PARTS) as f64 * width + (width - 1.0) / 2.0
}

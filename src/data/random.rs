//! Pseudo-random numbers (splitmix64): the same ones in the same order for the same seed.

/// Where a sequence of numbers is.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The beginning of the sequence that a seed stands for.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number, any of all.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number as one below `end`, which is not 0. No number is more likely than another by
    /// more than one in 2^64 / `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(end)) >> 64) as u64
    }
}

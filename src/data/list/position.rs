//! Positions of items: a 64-bit number, and in a sparse list perhaps more bytes behind it.
//!
//! They are ordered as bytes, so what has more bytes lies between a number and the next. The last of
//! these bytes is never zero: then there is room between any two positions, for behind a number they
//! are digits of a fraction to the base of 256.

use smallvec::SmallVec;

use super::End;
use crate::data::keys::be_u64;

/// A position.
pub type Position = SmallVec<[u8; 16]>;

/// Bytes of the number.
const NUMBER: usize = 8;

/// The number of a position, and the fraction behind it.
pub fn split(position: &[u8]) -> (u64, &[u8]) {
    let (number, fraction) = position.split_at(NUMBER);
    (be_u64(number), fraction)
}

/// A position behind `low` and before `high`, which are neighbours; as near as possible to the one that
/// the next to be put there will probably not be put beside.
pub fn between(low: &[u8], high: &[u8], near: End) -> Position {
    let ((low, low_fraction), (high, high_fraction)) = (split(low), split(high));
    let mut position = Position::new();
    let (number, end) = match high - low {
        0 => (low, Some(high_fraction)),
        // The higher number itself is free if its neighbour is behind it.
        1 if !high_fraction.is_empty() => return Position::from_slice(&high.to_be_bytes()),
        1 => (low, None),
        room => return Position::from_slice(&(low + room / 2).to_be_bytes()),
    };
    position.extend_from_slice(&number.to_be_bytes());
    fraction_between(low_fraction, end, near, &mut position);
    position
}

/// Appends digits of a fraction behind `low` and before `high`, or before 1.
fn fraction_between(low: &[u8], mut high: Option<&[u8]>, near: End, out: &mut Position) {
    for at in 0.. {
        let low = low.get(at).map_or(0, |digit| u16::from(*digit));
        let high_digit = high.map_or(256, |high| high.get(at).map_or(0, |digit| u16::from(*digit)));
        if high_digit > low + 1 {
            let digit = if near == End::Left { low + 1 } else { high_digit - 1 };
            out.push(digit as u8);
            return;
        }
        out.push(low as u8);
        if high_digit > low {
            // Whatever follows is before `high`.
            high = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Position {
        Position::from_slice(&number.to_be_bytes())
    }

    /// Puts a position between two neighbours again and again, where `choose` says, and checks all.
    fn insert(times: usize, mut choose: impl FnMut(usize, usize) -> (usize, End)) -> usize {
        let mut all = vec![at(7), at(8), at(12)];
        for number in 0..times {
            let (index, near) = choose(number, all.len());
            let new = between(&all[index], &all[index + 1], near);
            assert!(all[index] < new && new < all[index + 1], "{new:?}");
            assert!(new.len() == NUMBER || new.last() != Some(&0), "{new:?}");
            all.insert(index + 1, new);
        }
        all.iter().map(|position| position.len()).max().unwrap()
    }

    #[test]
    fn there_is_always_room() {
        for seed in 1..20_u64 {
            let mut state = seed;
            insert(2000, |_, len| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let near = if state >> 63 == 0 { End::Left } else { End::Right };
                ((state >> 33) as usize % (len - 1), near)
            });
        }
    }

    #[test]
    fn positions_grow_slowly_where_items_are_put_at_the_same_place() {
        // Before the same item, and behind it.
        assert!(insert(5000, |_, len| (len - 2, End::Left)) < 40);
        assert!(insert(5000, |_, _| (0, End::Right)) < 40);
    }
}

//! Numbers that no other process gets: taken from the cluster in blocks, handed out one by one.
//!
//! A counter in the cluster says which block of 2^20 numbers is the next. A process holds two: the one
//! it hands out from, and from its middle on the next, fetched in the background.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foundationdb::FdbError;
use foundationdb::options::TransactionOption;
use parking_lot::Mutex;

use super::error::cause;
use super::maintenance::block_on;
use super::raw::{Database, Outcome, Transaction};
use crate::limits::{SEQUENCE_BITS, SEQUENCE_BLOCK_BITS as BLOCK_BITS};

const PER_BLOCK: u64 = 1 << BLOCK_BITS;
const BLOCKS: u64 = 1 << (SEQUENCE_BITS - BLOCK_BITS);

/// What [`Sequences::take`] gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A number.
    Number(u64),
    /// A number, and it is time to fetch the next block.
    HalfUsed(u64),
    /// The block was not there yet: [`Sequences::fill`] this turn, then take again.
    Missing(u64),
}

/// See the module.
///
/// Each call draws a ticket; tickets count up from 0 without gaps, and every 2^20 of them are a turn.
/// The block of turn `t` lies in slot `t % 2`, with the turn beside it, so that a thread that slept
/// between drawing and looking notices that its turn is over.
pub struct Sequences {
    tickets: AtomicU64,
    slots: [AtomicU64; 2],
    filling: Mutex<()>,
}

/// A slot's content: which turn it is for, from 1 so that 0 is an empty slot, and the block.
fn slot(turn: u64, block: u64) -> u64 {
    ((turn + 1) << (SEQUENCE_BITS - BLOCK_BITS)) | block
}

impl Sequences {
    /// Begins with `block`.
    pub fn new(block: u64) -> Self {
        Self {
            tickets: AtomicU64::new(0),
            slots: [AtomicU64::new(slot(0, block)), AtomicU64::new(0)],
            filling: Mutex::new(()),
        }
    }

    /// The next number.
    pub fn take(&self) -> Taken {
        loop {
            let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
            let (turn, offset) = (ticket >> BLOCK_BITS, ticket % PER_BLOCK);
            let slot = self.slots[(turn % 2) as usize].load(Ordering::Acquire);
            let (filled_for, block) = (slot / BLOCKS, slot % BLOCKS);
            if filled_for > turn + 1 {
                continue;
            }
            if filled_for < turn + 1 {
                return Taken::Missing(turn);
            }
            let number = (block << BLOCK_BITS) | offset;
            return if offset == PER_BLOCK / 2 {
                Taken::HalfUsed(number)
            } else {
                Taken::Number(number)
            };
        }
    }

    /// The turn after the one that numbers are handed out for.
    pub fn next_turn(&self) -> u64 {
        (self.tickets.load(Ordering::Relaxed) >> BLOCK_BITS) + 1
    }

    /// Fetches the block of `turn` with `fetch`, unless it is there.
    pub fn fill<E>(&self, turn: u64, fetch: impl FnOnce() -> Result<u64, E>) -> Result<(), E> {
        let _one_at_a_time = self.filling.lock();
        let place = &self.slots[(turn % 2) as usize];
        if place.load(Ordering::Acquire) / BLOCKS < turn + 1 {
            place.store(slot(turn, fetch()?), Ordering::Release);
        }
        Ok(())
    }
}

/// Takes a block from the counter at `key`; the error is a cause.
pub fn fetch_block(
    database: &Database,
    key: &[u8],
    timeout_ms: i32,
    closed: &AtomicBool,
) -> Result<u64, String> {
    let fetch = || -> Outcome<u64> {
        let transaction = database.transaction()?;
        transaction.option(&TransactionOption::Timeout(timeout_ms))?;
        loop {
            match try_fetch(&transaction, key, closed) {
                // Also after an unknown outcome: at worst a block is lost.
                Err(error) => block_on(transaction.on_error(error), closed)?.take()?,
                fetched => return fetched,
            }
        }
    };
    match fetch().map_err(cause)? {
        block if block < BLOCKS => Ok(block),
        _ => Err("all sequence numbers are used up".to_owned()),
    }
}

fn try_fetch(transaction: &Transaction, key: &[u8], closed: &AtomicBool) -> Result<u64, FdbError> {
    let value = block_on(transaction.get(key, false), closed)?.take()?;
    let bytes = value.get().and_then(|value| <[u8; 8]>::try_from(value).ok());
    // Block 0 is never given out: no number is 0.
    let block = bytes.map_or(1, u64::from_be_bytes);
    transaction.set(key, &(block + 1).to_be_bytes());
    block_on(transaction.commit(), closed)?.take()?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::convert::Infallible;

    use super::*;

    fn take(sequences: &Sequences, next_block: &AtomicU64) -> u64 {
        loop {
            match sequences.take() {
                Taken::Number(number) => return number,
                Taken::HalfUsed(number) => return number,
                Taken::Missing(turn) => {
                    let fetch = || Ok(next_block.fetch_add(3, Ordering::Relaxed));
                    sequences.fill::<Infallible>(turn, fetch).unwrap();
                }
            }
        }
    }

    #[test]
    fn blocks_follow_each_other() {
        let sequences = Sequences::new(5);
        for number in 0..PER_BLOCK {
            let expected = (5 << BLOCK_BITS) | number;
            let taken = sequences.take();
            if number == PER_BLOCK / 2 {
                assert_eq!(taken, Taken::HalfUsed(expected));
                assert_eq!(sequences.next_turn(), 1);
                sequences.fill::<Infallible>(1, || Ok(9)).unwrap();
                sequences.fill::<Infallible>(1, || unreachable!("it is there")).unwrap();
            } else {
                assert_eq!(taken, Taken::Number(expected));
            }
        }
        assert_eq!(sequences.take(), Taken::Number(9 << BLOCK_BITS));
    }

    #[test]
    fn a_missing_block_is_waited_for() {
        let sequences = Sequences::new(1);
        for _ in 0..PER_BLOCK {
            assert_ne!(sequences.take(), Taken::Missing(1));
        }
        assert_eq!(sequences.take(), Taken::Missing(1));
        assert_eq!(sequences.fill(1, || Err("down")), Err("down"));
        assert_eq!(sequences.take(), Taken::Missing(1));
        sequences.fill::<Infallible>(1, || Ok(2)).unwrap();
        assert!(matches!(sequences.take(), Taken::Number(number) if number > 2 << BLOCK_BITS));
    }

    #[test]
    fn threads_get_different_numbers() {
        let (sequences, next_block) = (Sequences::new(1), AtomicU64::new(4));
        let numbers: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let run = || (0..PER_BLOCK / 2).map(|_| take(&sequences, &next_block)).collect();
            let threads: Vec<_> = (0..5).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let all: HashSet<u64> = numbers.iter().flatten().copied().collect();
        assert_eq!(all.len() as u64, 5 * (PER_BLOCK / 2));
    }
}

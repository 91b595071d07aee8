//! Which keys a member of a group concerns, as far as its commands' rows tell.

use std::hash::Hasher;

use crate::command::Args;
use crate::data::background::Chore;
use crate::data::keys;

use super::group::Item;
use super::{Batch, Op};

/// Appends the hash of every key that the item names, of a batch what is left of it. Databases are not
/// told apart, so the same key in two of them counts as one; commands without key positions have no
/// footprint.
pub(super) fn footprint(item: &Item, hashes: &mut Vec<u64>) {
    match item {
        Item::Batch(batch) => of_batch(batch, hashes),
        Item::Chores(chores, _) => {
            hashes.extend(chores.chores.iter().filter_map(Chore::key).map(keys::hash64));
        }
    }
}

fn of_batch(batch: &Batch, hashes: &mut Vec<u64>) {
    for op in &batch.ops[batch.next..] {
        match op {
            Op::Run { spec, request } => {
                let args = Args::new(&batch.input, batch.requests.command(*request as usize));
                hashes.extend(spec.keys.of(args).map(keys::hash64));
            }
            Op::Exec(transaction) => {
                for (spec, args) in transaction.iter() {
                    hashes.extend(spec.keys.of(args).map(keys::hash64));
                }
            }
            Op::Literal(_) | Op::Error(_) | Op::Discard(_) => {}
        }
    }
}

/// Hashes what is a hash already: not at all.
#[derive(Default)]
pub(super) struct KeyHash(u64);

impl Hasher for KeyHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = keys::hash64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

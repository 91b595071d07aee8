//! Which keys a member of a group concerns, as far as its commands' rows tell.

use std::hash::Hasher;

use crate::command::Args;
use crate::data::background::Chore;
use crate::data::keys;

use super::group::Item;
use super::{Batch, Op};

/// Appends the hash of every key that the item names, of a batch what is left of it. Databases are not
/// told apart, but tenants are, so the same key in two databases counts as one; commands without key
/// positions have no footprint.
pub(super) fn footprint(item: &Item, hashes: &mut Vec<u64>) {
    match item {
        Item::Batch(batch) => of_batch(batch, hashes),
        Item::Chores(chores, _) => {
            let places = chores.chores.iter().filter_map(Chore::key);
            hashes.extend(places.map(|(tenant, key)| keys::place(tenant, key)));
        }
    }
}

fn of_batch(batch: &Batch, hashes: &mut Vec<u64>) {
    let tenant = batch.client.tenant;
    for op in &batch.ops[batch.next..] {
        match op {
            Op::Run { spec, request } => {
                let args = Args::new(&batch.input, batch.requests.command(*request as usize));
                hashes.extend(spec.keys.of(args).map(|key| keys::place(tenant, key)));
            }
            Op::Exec(transaction) => {
                for (spec, args) in transaction.iter() {
                    hashes.extend(spec.keys.of(args).map(|key| keys::place(tenant, key)));
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

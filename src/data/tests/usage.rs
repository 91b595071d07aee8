//! Property: what is counted of a tenant whose storage is bounded is what is there, whatever was done and
//! however far the census has come; and of others nothing is counted.

use super::*;
use crate::data::Tenant;
use crate::data::list::{End, List};
use crate::data::random::Random;
use crate::data::set::Set;
use crate::data::sorted_set::{Change, SortedSet};
use crate::data::usage::{self, Usage, Usages};
use crate::limits::{DATABASES, USAGE_IDLE_LOOKS};

/// The records of users in a keyspace, and what they count.
fn stored(records: &Records, keyspace: KeyspaceId) -> impl Iterator<Item = (&[u8], u64)> {
    let is_data = move |record: &[u8]| keys::keyspace_of_data(record) == Some(keyspace);
    let records = records.iter().filter(move |(record, _)| is_data(record));
    records.map(|(record, value)| (&record[..], (record.len() + value.len()) as u64))
}

impl World {
    fn bound(&mut self, tenant: Tenant, storage: Option<u64>) {
        self.group(|view| {
            let mut settings = view.settings(tenant)?.unwrap();
            settings.quota.storage = storage;
            view.set_settings(tenant, &settings)
        });
    }

    fn usage_of(&mut self, tenant: Tenant) -> Usage {
        self.group(|view| view.usage(tenant))
    }

    fn note(&self) -> Option<KeyspaceId> {
        self.find(|snapshot| usage::to_be_counted(snapshot, Share::ALL)).unwrap()
    }

    /// One step of the census; whether there was something to do.
    fn count(&mut self, limit: usize) -> bool {
        let Some(keyspace) = self.note() else { return false };
        self.do_chores(&[Chore::Count { keyspace, limit }]);
        true
    }

    /// Compares what was counted with what is there; whether the census has ended.
    fn check_usage(&mut self, tenant: Tenant) -> bool {
        let records = self.records();
        let (mut bytes, mut is_counting) = (0, false);
        for Space { keyspace, .. } in self.spaces().iter().filter(|space| space.tenant == tenant) {
            let Some(meter) = records.get(&keys::meter(*keyspace)[..]) else {
                assert_eq!(stored(&records, *keyspace).count(), 0, "not counted");
                continue;
            };
            assert_eq!(keys::be_u32(&meter[..4]), tenant);
            is_counting |= meter[4..] != [0xff];
            let counted =
                stored(&records, *keyspace).filter(|(record, _)| record[4..] < meter[4..]);
            bytes += counted.map(|(_, size)| size).sum::<u64>();
        }
        assert_eq!(self.usage_of(tenant), Usage { bytes, is_counting });
        let summed = self.find(|snapshot| usage::sums(snapshot, &[tenant])).unwrap();
        assert_eq!(summed, [(tenant, Usage { bytes, is_counting })]);
        !is_counting
    }

    /// No record is there that counts anything.
    fn check_uncounted(&self) {
        let records = self.records();
        let left = records.keys().find(|record| b"qkuv".iter().any(|kind| is(record, 0, *kind)));
        assert_eq!(left, None);
    }

    /// Changes a collection with this name.
    fn change(&mut self, (tenant, database): (Tenant, u8), key: &[u8], random: &mut Random) {
        let numbers = [0; 3].map(|_| random.number());
        let value = vec![b'v'; [1, 70, 5000, 70_000][(numbers[0] % 4) as usize]];
        self.group(|view| {
            let keyspace = view.keyspace(tenant, database)?;
            let name = [numbers[1] as u8 % 40];
            match key[0] {
                b's' if numbers[2] % 2 == 0 => {
                    if let Some(set) = Set::find(view, keyspace, key)?
                        && set.remove(view, &name)?
                    {
                        set.collection().shrunk(view, key, 1)?;
                    }
                }
                b's' => {
                    let set = Set::open(view, keyspace, key)?;
                    let added = set.add(view, &name)?;
                    set.collection().grown(view, added.into())?;
                }
                b'z' => {
                    let mut set = SortedSet::open(view, keyspace, key)?;
                    let score = (numbers[2] % 50) as f64;
                    let change = set.update(view, &name, |_| Ok(Some(score)))?;
                    set.grown(view, key, u64::from(change == Change::Added))?;
                }
                b'l' => {
                    let mut list = List::open(view, keyspace, key)?;
                    list.push(view, End::Right, &value);
                    list.save(view, key)?;
                }
                _ => {
                    let prior = view.prior(keyspace, key)?;
                    let expires_ms = [0, view.now_ms() + 5][(numbers[2] % 2) as usize];
                    string::put(view, keyspace, key, &[&value], expires_ms, prior)?;
                }
            }
            Ok(())
        });
    }
}

#[test]
fn what_is_counted_is_what_is_there() {
    for seed in 0..6 {
        let (mut world, mut random) = (World::new(), Random::new(seed));
        let tenants = [0, world.tenant("acme"), world.tenant("other")];
        let bounded = &tenants[..2];
        let (mut complete, mut counting) = (0, 0);
        for _ in 0..600 {
            let numbers = [0; 6].map(|_| random.number());
            let below = |at: usize, end: u64| numbers[at] % end;
            let tenant = tenants[below(0, 3) as usize];
            let (database, other) = (below(1, 3) as u8, below(2, 3) as u8);
            let name = |at: usize| {
                format!("{}{}", ["s", "z", "l", "k"][below(at, 4) as usize], below(5, 2))
            };
            let (key, target) = (name(3), name(4));
            match below(5, 40) {
                0..20 => world.change((tenant, database), key.as_bytes(), &mut random),
                20..23 => drop(world.group(|view| {
                    let keyspace = view.keyspace(tenant, database)?;
                    view.remove(keyspace, key.as_bytes())
                })),
                // The names say what type there is.
                23..27 if key[..1] == target[..1] => world.group(|view| {
                    let from = (view.keyspace(tenant, database)?, key.as_bytes());
                    let to = (view.keyspace(tenant, other)?, target.as_bytes());
                    match below(5, 2) {
                        0 => view.copy(from, to).map(drop),
                        _ => view.rename(from, to).map(drop),
                    }
                }),
                27 => world.group(|view| view.swap_databases(tenant, database, other)),
                28 => world.group(|view| view.flush_database(tenant, database)),
                29 => world.now_ms += 7,
                30 => world.tidy(5),
                31 if bounded.contains(&tenant) => world.bound(tenant, Some(1000)),
                32 if bounded.contains(&tenant) && below(4, 2) == 0 => world.bound(tenant, None),
                _ => drop(world.count(1 + below(4, 7) as usize)),
            }
            for &tenant in bounded {
                if world.group(|view| view.storage_quota(tenant, 0)).is_some() {
                    let is_complete = world.check_usage(tenant);
                    complete += u32::from(is_complete);
                    counting += u32::from(!is_complete);
                }
            }
        }
        assert!(complete > 100 && counting > 10, "{complete} {counting}");
        world.tidy(100);
        while world.count(3) {}
        world.check_tidy();
        bounded.iter().for_each(|tenant| world.bound(*tenant, None));
        world.check_uncounted();
    }
}

#[test]
fn a_group_counts_what_it_does_before_and_after_a_quota() {
    let mut world = World::new();
    let tenant = world.tenant("acme");
    world.set_of(tenant, 0, "before", SMALL, 0);
    let mut bound_in_between = |storage| {
        world.group(|view| {
            let keyspace = view.keyspace(tenant, 0)?;
            view.remove(keyspace, b"before")?;
            string_of(view, tenant, b"one")?;
            let mut settings = view.settings(tenant)?.unwrap();
            settings.quota.storage = storage;
            view.set_settings(tenant, &settings)?;
            string_of(view, tenant, b"other")?;
            view.flush_database(tenant, 2)
        });
        while world.count(1) {}
        storage.is_none() || world.check_usage(tenant)
    };
    assert!(bound_in_between(Some(5)) && bound_in_between(None));
    world.check_uncounted();
    world.group(|view| view.drop_tenant(tenant));
    let tenant = world.tenant("acme");
    world.bound(tenant, Some(7));
    world.set_of(tenant, 3, "k", SMALL, 0);
    assert!(world.check_usage(tenant));
    assert!(world.usage_of(tenant).is_full(7) && !world.usage_of(tenant).is_full(77));
    world.group(|view| view.drop_tenant(tenant));
    world.check_uncounted();
    world.tidy(10);
}

fn string_of(view: &mut View<'_>, tenant: Tenant, key: &[u8]) -> Result<(), Stop> {
    let keyspace = view.keyspace(tenant, 0)?;
    let prior = view.prior(keyspace, key)?;
    string::put(view, keyspace, key, &[SMALL], 0, prior)
}

#[test]
fn nobody_else_pays() {
    let mut world = World::new();
    let tenants = [0, world.tenant("acme")];
    for database in 0..DATABASES {
        tenants.iter().for_each(|tenant| world.set_of(*tenant, database, "k", SMALL, 0));
    }
    world.check_uncounted();
    world.bound(tenants[1], Some(1));
    world.set_of(0, 0, "k", b"longer than it was", 0);
    assert_eq!(world.group(|view| view.storage_quota(0, 0)), None);
    assert_eq!(world.usage_of(0), Usage::default());
}

#[test]
fn who_asks_is_looked_at_and_no_longer() {
    let usages = Usages::default();
    usages.learn(1, Usage { bytes: 5, is_counting: false });
    assert!(usages.wanted().is_empty());
    assert_eq!(usages.of(1), Usage::default());
    let found = Usage { bytes: 7, is_counting: true };
    usages.learn(1, found);
    for _ in 0..USAGE_IDLE_LOOKS {
        assert_eq!(usages.wanted(), [1]);
    }
    assert_eq!(usages.of(1), found);
    (0..=USAGE_IDLE_LOOKS).for_each(|_| drop(usages.wanted()));
    assert!(usages.wanted().is_empty());
}

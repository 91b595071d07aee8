//! Tenants have nothing in common, whatever is done to them, and nothing is left of one that is gone.

use super::*;
use crate::data::Tenant;
use crate::data::tenants::{NOBODY, Quota, Settings};
use crate::error::TENANT_GONE;
use crate::limits::{DATABASES, TENANT_IDS_MAX, TENANTS_MAX};

const NAMES: [&str; 4] = ["default", "acme", "b", "Other-2"];

impl World {
    pub(super) fn tenant(&mut self, name: &str) -> Tenant {
        self.group(|view| view.tenant(name.as_bytes(), true)).unwrap()
    }

    pub(super) fn set_of(
        &mut self,
        tenant: Tenant,
        database: u8,
        key: &str,
        value: &[u8],
        expires_ms: u64,
    ) {
        self.group(|view| {
            let keyspace = view.keyspace(tenant, database)?;
            let prior = view.prior(keyspace, key.as_bytes())?;
            string::put(view, keyspace, key.as_bytes(), &[value], expires_ms, prior)
        });
    }

    fn get_of(&mut self, tenant: Tenant, database: u8, key: &str) -> Option<Vec<u8>> {
        self.group(|view| {
            let keyspace = view.keyspace(tenant, database)?;
            let Some(found) = string::get(view, keyspace, key.as_bytes())? else { return Ok(None) };
            found.value(view, keyspace).map(|value| Some(value.into_owned()))
        })
    }

    fn drop_tenant(&mut self, tenant: Tenant) {
        self.group(|view| view.drop_tenant(tenant));
    }

    /// What is asked of the databases of one that is not there fails.
    fn is_gone(&mut self, tenant: Tenant) -> bool {
        let failed = self.group(|view| Ok(view.keyspace(tenant, 3).err()));
        failed == Some(TENANT_GONE.into())
    }

    fn failure<T>(&mut self, f: impl Fn(&mut View<'_>) -> Result<T, Stop>) -> Option<String> {
        let failed = self.group(|view| {
            let mark = view.mark();
            let failed = f(view).err();
            view.rollback(mark);
            Ok(failed)
        });
        match failed {
            Some(Stop::Error(text)) => Some(String::from_utf8_lossy(&text).into_owned()),
            _ => None,
        }
    }
}

#[test]
fn a_name_has_one_id_and_looking_it_up_writes_nothing() {
    let mut world = World::new();
    assert_eq!(NAMES.map(|name| world.tenant(name)), [0, 1, 2, 3]);
    let before = world.records();
    assert_eq!(NAMES.map(|name| world.tenant(name)), [0, 1, 2, 3]);
    assert_eq!(world.group(|view| view.tenant(b"unknown", false)), None);
    assert_eq!(world.records(), before);
    let name = world.failure(|view| view.tenant(b"a b", true));
    assert!(name.unwrap().starts_with("ERR a tenant's name"));
    let first = world.failure(|view| view.drop_tenant(0));
    assert!(first.unwrap().contains("always there"));
}

#[test]
fn ids_are_not_given_twice_and_not_without_end() {
    let mut world = World::new();
    let first = world.tenant("acme");
    world.drop_tenant(first);
    assert!(world.is_gone(first) && world.is_gone(NOBODY) && world.is_gone(77));
    assert_eq!(world.tenant("acme"), first + 1);
    for (next, count) in [(TENANT_IDS_MAX + 1, 5), (9, TENANTS_MAX - 1)] {
        let counts = [next.to_be_bytes(), count.to_be_bytes()].concat();
        world.group(|view| {
            view.set(&keys::next_tenant(), &[&counts]);
            Ok(())
        });
        let full = world.failure(|view| view.tenant(b"one-more", true));
        assert_eq!(full.as_deref(), Some("ERR there are too many tenants"));
    }
}

#[test]
fn all_are_listed_page_by_page() {
    let mut world = World::new();
    let mut expected = vec!["default".to_owned()];
    for number in 0..25 {
        expected.push(format!("tenant-{number}"));
        world.tenant(&expected[number + 1]);
    }
    let settings = Settings { name: "default".to_owned(), quota: Quota::default() };
    world.group(|view| view.set_settings(0, &settings));
    for limit in [1, 2, 13, 26, 1000] {
        let (mut names, mut next) = (Vec::new(), Some(0));
        while let Some(first) = next {
            let (page, behind) = world.group(|view| view.tenants(first, limit));
            assert!(page.len() <= limit);
            names.extend(page);
            next = behind;
        }
        assert_eq!(names, expected, "{limit} at a time");
    }
}

#[test]
fn settings_stay_with_their_tenant() {
    let mut world = World::new();
    let (one, other) = (world.tenant("one"), world.tenant("other"));
    let quota = Quota { storage: Some(1 << 27), commands: Some(9), ..Quota::default() };
    for (tenant, name) in [(one, "one"), (0, "default")] {
        let settings = Settings { name: name.to_owned(), quota };
        world.group(|view| view.set_settings(tenant, &settings));
        assert_eq!(world.group(|view| view.settings(tenant)), Some(settings));
    }
    let others = world.group(|view| view.settings(other)).unwrap();
    assert_eq!((others.name.as_str(), others.quota), ("other", Quota::default()));
}

#[test]
fn a_database_is_registered_with_its_first_key() {
    let mut world = World::new();
    let tenant = world.tenant("acme");
    let before = world.records();
    assert_eq!(world.get_of(tenant, 3, "k"), None);
    world.group(|view| view.flush_databases(tenant));
    assert_eq!(world.group(|view| view.database_size_roughly(tenant, 3)), 0);
    assert_eq!(world.failure(|view| string_of(view, tenant, 3, b"k")), None);
    assert_eq!(world.records(), before, "what was read and undone has written nothing");
    assert_eq!(world.spaces().len(), 16);
    world.group(|view| {
        let mark = view.mark();
        string_of(view, tenant, 3, b"undone")?;
        view.rollback(mark);
        string_of(view, tenant, 3, b"k")
    });
    let keyspace = keys::initial_keyspace(tenant, 3);
    assert_eq!(world.spaces()[16..], [Space { tenant, keyspace }]);
    assert_eq!(world.group(|view| view.database_size_roughly(tenant, 3)), 1);
    // Its record says what was true before, so whoever watches sees no change.
    let watched = world.group(|view| view.watch(tenant, 4, b"other"));
    world.set_of(tenant, 4, "k", SMALL, 0);
    assert!(world.group(|view| view.is_as_watched(tenant, 4, b"other", &watched)));
}

fn string_of(view: &mut View<'_>, tenant: Tenant, database: u8, key: &[u8]) -> Result<(), Stop> {
    let keyspace = view.keyspace(tenant, database)?;
    let prior = view.prior(keyspace, key)?;
    string::put(view, keyspace, key, &[SMALL], 0, prior)
}

#[test]
fn many_tenants_in_one_group_keep_apart() {
    let mut world = World::new();
    let tenants: Vec<Tenant> =
        (0..50).map(|number| world.tenant(&format!("tenant-{number}"))).collect();
    world.group(|view| {
        for round in 0..3_u8 {
            for (&tenant, database) in tenants.iter().zip((0..DATABASES).cycle()) {
                let keyspace = view.keyspace(tenant, database)?;
                let value = [tenant as u8, round];
                string::put(view, keyspace, b"k", &[&value], 0, Prior::Unknown)?;
            }
        }
        Ok(())
    });
    for (&tenant, database) in tenants.iter().zip((0..DATABASES).cycle()) {
        assert_eq!(world.get_of(tenant, database, "k"), Some(vec![tenant as u8, 2]));
        assert_eq!(world.get_of(tenant, (database + 1) % DATABASES, "k"), None);
    }
}

#[test]
fn whatever_is_done_to_one_tenant_the_others_keep_theirs() {
    let mut world = World::new();
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = keys::hash64(&state.to_be_bytes());
        state % below
    };
    let mut ids = NAMES.map(|name| world.tenant(name));
    let mut gone = Vec::new();
    let mut model: BTreeMap<(usize, u8, String), Vec<u8>> = BTreeMap::new();
    for step in 0..1500 {
        let (who, database) = (random(4) as usize, random(4) as u8);
        let (tenant, other) = (ids[who], random(4) as u8);
        let key = format!("k{}", random(3));
        match random(12) {
            0..8 => {
                let value = if random(9) == 0 { large(1) } else { vec![step as u8] };
                world.set_of(tenant, database, &key, &value, 0);
                model.insert((who, database, key), value);
            }
            8 => {
                world.group(|view| view.flush_database(tenant, database));
                model.retain(|(of, at, _), _| (*of, *at) != (who, database));
            }
            9 => {
                world.group(|view| view.swap_databases(tenant, database, other));
                let swapped = |at: u8| match at {
                    at if at == database => other,
                    at if at == other => database,
                    at => at,
                };
                let moved = std::mem::take(&mut model).into_iter().map(|((of, at, key), value)| {
                    ((of, if of == who { swapped(at) } else { at }, key), value)
                });
                model = moved.collect();
            }
            10 if random(4) == 0 => {
                world.group(|view| view.flush_databases(tenant));
                model.retain(|(of, ..), _| *of != who);
            }
            11 if who > 0 && random(4) == 0 => {
                world.drop_tenant(tenant);
                gone.push(tenant);
                model.retain(|(of, ..), _| *of != who);
                ids[who] = world.tenant(NAMES[who]);
            }
            _ => world.tidy(7),
        }
        let (who, database, key) = (random(4) as usize, random(4) as u8, random(3));
        let expected = model.get(&(who, database, format!("k{key}"))).cloned();
        assert_eq!(world.get_of(ids[who], database, &format!("k{key}")), expected);
    }
    assert!(gone.iter().all(|tenant| world.is_gone(*tenant)) && !gone.is_empty());
    ids[1..].iter().for_each(|tenant| world.drop_tenant(*tenant));
    world.group(|view| view.flush_databases(0));
    world.tidy(100);
    let left: BTreeSet<u8> = world.records().keys().map(|record| record[4]).collect();
    assert_eq!(
        left,
        BTreeSet::from([b'd', b'i', b'j']),
        "what numbers are given next, and tenant 0's"
    );
}

#[test]
fn expired_keys_of_all_tenants_are_found_in_steps() {
    let mut world = World::new();
    for number in 0..70 {
        let tenant = world.tenant(&format!("tenant-{number}"));
        world.set_of(tenant, number % DATABASES, "k", SMALL, 1_000_500);
        world.set_of(tenant, number % DATABASES, "kept", SMALL, 0);
    }
    world.now_ms += 1000;
    let (mut tour, mut steps, mut removed) = (Tour::default(), 0, 0);
    loop {
        let (spaces, next) = world.find(|snapshot| tour.next(snapshot, 8)).unwrap();
        assert!(spaces.len() <= 8 + 16);
        let now_ms = world.now_ms;
        let due =
            |snapshot: &dyn Snapshot| world.sweep.due(snapshot, &spaces, now_ms, 5, Share::ALL);
        let due = world.find(due).unwrap();
        assert_eq!(due.chores.len() == 5, !due.unseen.is_empty());
        world.do_chores(&due.chores);
        removed += due.chores.len();
        world.sweep.done(&due, &spaces, now_ms);
        tour = next;
        steps += 1;
        if removed == 70 {
            break;
        }
        assert!(steps < 50, "{removed} after {steps} steps");
    }
    assert_eq!(world.records().keys().filter(|record| record[4] == b'm').count(), 70);
    world.tidy(100);
    world.check_tidy();
}

#[test]
fn audits_come_to_every_tenant() {
    let mut world = World::new();
    for number in 0..40 {
        let tenant = world.tenant(&format!("tenant-{number}"));
        world.set_of(tenant, number % DATABASES, "lost", &large(2), 0);
        world.group(|view| {
            let keyspace = view.keyspace(tenant, number % DATABASES)?;
            string::put(view, keyspace, b"lost", &[SMALL], 0, Prior::Unknown)
        });
    }
    let (mut audit, mut found) = (Audit::default(), 0);
    for _ in 0..20 {
        let (chores, next) = world.find(|snapshot| audit.next(snapshot, 8, Share::ALL)).unwrap();
        world.do_chores(&chores);
        (audit, found) = (next, found + chores.len());
    }
    assert_eq!(found, 40);
    world.tidy(10);
    world.check_tidy();
}

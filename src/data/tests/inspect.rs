//! Property: what is said of a value's size is what its records take, and what is dumped is the value
//! that comes back.

use super::*;
use crate::data::dump::{self, Value};
use crate::data::inspect::stored_bytes;
use crate::limits::{RANK_INDEX_FROM, TRANSACTION_BYTES_MAX, USAGE_SAMPLES_MIN};

const KEY: &str = "value";

/// Payloads of each type with so many elements; some values are long.
fn payloads(size: u32) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = (0..size).map(|number| format!("name{number}").into_bytes()).collect();
    let value = |number: usize| if number % 50 == 7 { large(2) } else { vec![b'v'; number % 9] };
    let text = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let items = (0..names.len()).map(|number| text(&value(number))).collect::<Vec<_>>().concat();
    names.sort_by_key(|name| keys::hash64(name));
    let numbered = || names.iter().enumerate();
    let members = numbered().flat_map(|(_, name)| text(name)).collect();
    let scored = numbered()
        .flat_map(|(number, name)| [text(name), (number as f64).to_be_bytes().to_vec()].concat())
        .collect();
    let fields =
        numbered().flat_map(|(number, name)| [text(name), text(&value(number))].concat()).collect();
    let kinds = [Kind::List, Kind::Set, Kind::SortedSet, Kind::Hash];
    kinds
        .into_iter()
        .zip([items, members, scored, fields])
        .map(|(kind, content): (_, Vec<u8>)| {
            let mut payload = vec![1, kind as u8];
            payload.extend_from_slice(&size.to_be_bytes());
            payload.extend_from_slice(&content);
            payload.extend_from_slice(&keys::hash64(&payload).to_be_bytes());
            payload
        })
        .collect()
}

impl World {
    fn restore(&mut self, payload: &[u8], expires_ms: u64) {
        let value = dump::parse(payload).unwrap();
        self.group(|view| {
            let keyspace = view.keyspace(0, 0)?;
            let prior = view.prior(keyspace, KEY.as_bytes())?;
            dump::restore(view, keyspace, KEY.as_bytes(), value.clone(), expires_ms, prior)
        });
    }

    fn dump(&mut self) -> Option<Vec<u8>> {
        self.group(|view| dump::dump(view, view.keyspace(0, 0)?, KEY.as_bytes()))
    }

    fn usage(&mut self, samples: Option<u64>) -> u64 {
        self.group(|view| stored_bytes(view, view.keyspace(0, 0)?, KEY.as_bytes(), samples))
            .unwrap()
    }

    /// Bytes of the meta, the elements and their counter; not of the rank index, nor of what the
    /// database keeps for the key.
    fn value_bytes(&self) -> u64 {
        let counts = |key: &&Vec<u8>| match key[4] {
            b'm' | b'e' | b'b' => true,
            b's' => key[13] == 0,
            b'n' => key.len() > 5,
            _ => false,
        };
        let records = self.records();
        let user = records.iter().filter(|(key, _)| key[..4] != [0; 4] && counts(key));
        user.map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

#[test]
fn values_come_back_as_they_were_dumped() {
    let mut world = World::new();
    for size in [1, 33, 700] {
        for payload in payloads(size) {
            // With an expiry and without, over what was there before.
            for expires_ms in [0, world.now_ms + 1000] {
                world.restore(&payload, expires_ms);
                assert_eq!(world.dump().as_ref(), Some(&payload));
            }
        }
    }
    world.tidy(100);
    world.check_tidy();
    for value in [vec![], b"short".to_vec(), large(3)] {
        world.set(0, KEY, &value, 0);
        let payload = world.dump().unwrap();
        assert_eq!(dump::parse(&payload), Some(Value::String(&value)));
        world.restore(&payload, 0);
        assert_eq!(world.get(0, KEY), Some(value));
    }
    assert!(world.remove(KEY));
    assert_eq!(world.dump(), None);
    world.tidy(100);
    world.check_tidy();
}

#[test]
fn what_could_not_be_restored_is_not_dumped() {
    let mut world = World::new();
    let item = vec![b'x'; 5 << 20];
    for _ in 0..2 {
        world.group(|view| {
            let keyspace = view.keyspace(0, 0)?;
            let mut list = crate::data::list::List::open(view, keyspace, KEY.as_bytes())?;
            list.push(view, crate::data::list::End::Right, &item);
            list.save(view, KEY.as_bytes())
        });
    }
    assert!(2 * item.len() > TRANSACTION_BYTES_MAX);
    let dumped = world.group(|view| {
        let keyspace = view.keyspace(0, 0)?;
        let copied = view.copy((keyspace, KEY.as_bytes()), (keyspace, b"copy"));
        assert_eq!(copied, Err(Stop::TooLarge));
        Ok(dump::dump(view, keyspace, KEY.as_bytes()))
    });
    assert_eq!(dumped, Err(crate::error::DUMP_TOO_LARGE.into()));
}

#[test]
fn the_size_of_a_value_is_that_of_its_records() {
    for size in [1, 33, USAGE_SAMPLES_MIN as u32, RANK_INDEX_FROM as u32 + 200] {
        for payload in payloads(size) {
            let mut world = World::new();
            world.restore(&payload, 0);
            let real = world.value_bytes();
            assert_eq!(world.usage(None), real, "{size} elements of kind {}", payload[1]);
            if u64::from(size) <= USAGE_SAMPLES_MIN {
                assert_eq!(world.usage(Some(5)), real);
            }
            let estimate = world.usage(Some(300));
            assert!(estimate > real / 2 && estimate < real * 2, "{estimate} instead of {real}");
        }
    }
    let mut world = World::new();
    for value in [vec![], b"short".to_vec(), large(3)] {
        world.set(0, KEY, &value, 0);
        world.tidy(100);
        assert_eq!(world.usage(Some(5)), world.value_bytes());
    }
}

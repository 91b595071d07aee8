//! What is counted of the first tenant, against the records of a store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use ringstone::data::keys;
use ringstone::store::{Mode, Scan, Store, counter, wait};

use super::common::DEADLINE;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Fails unless what is counted is what is there, also in the record of the tenant if there should be
/// one; whether all of it is counted.
pub fn check(store: &Arc<dyn Store>, has_total: bool, what: &str) -> bool {
    let records = read(store);
    let (mut sum, mut is_done) = (0, true);
    let meters = of_system(&records, b'q');
    for (keyspace, meter) in &meters {
        let (tenant, position) = meter.split_at(4);
        assert_eq!(tenant, [0; 4], "{what}");
        is_done &= *position == [0xff];
        let counted = |(record, _): &(&Vec<u8>, &Vec<u8>)| {
            keys::keyspace_of_data(record) == Some(*keyspace) && record[4..] < *position
        };
        let counted = records.iter().filter(counted);
        let bytes: usize = counted.map(|(record, value)| record.len() + value.len()).sum();
        let usage = records.get(&keys::usage(*keyspace)[..]);
        let usage = counter(usage.map(Vec::as_slice));
        assert_eq!(usage, bytes as i128, "{what}: bytes of keyspace {keyspace}");
        sum += bytes;
        let is_noted = records.contains_key(&keys::census(*keyspace)[..]);
        assert_eq!(is_noted, *position != [0xff], "{what}: note about keyspace {keyspace}");
    }
    if has_total && !meters.is_empty() {
        let total = records.get(&keys::tenant_usage(0)[..]);
        let total = total.map_or(0, |total| keys::be_u64(&total[..8]));
        assert_eq!(total, sum as u64, "{what}: bytes of the tenant");
    }
    for (keyspace, _) in of_system(&records, b'u') {
        assert!(meters.iter().any(|(metered, _)| *metered == keyspace), "{what}: {keyspace}");
    }
    println!("{what}: {sum} bytes are counted in {} keyspaces: {is_done}", meters.len());
    is_done
}

/// The system's records of a kind that are about keyspaces.
fn of_system(records: &Records, kind: u8) -> Vec<(u32, &[u8])> {
    let begin = [&[0; 4][..], &[kind]].concat();
    let of_kind = records.iter().filter(|(record, _)| record.starts_with(&begin));
    of_kind.map(|(record, value)| (keys::be_u32(&record[5..9]), &value[..])).collect()
}

fn read(store: &Arc<dyn Store>) -> Records {
    let mut transaction = Arc::clone(store).transaction();
    transaction.begin(Mode::Read, Instant::now() + DEADLINE);
    let records = wait::read(&mut *transaction, &mut |snapshot| {
        let mut records = Records::new();
        snapshot.scan(Scan::all(b"", b"\xff"), &mut |key, value| {
            records.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(records)
    });
    records.unwrap()
}

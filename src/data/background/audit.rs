//! Finding what blind writes left without a key.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::{Chore, Space, Tour};
use crate::data::keys::{self, Incarnation, RecordKey};
use crate::data::members::Share;
use crate::data::meta::{self, Elements, Header, Kind};
use crate::limits::{AUDIT_SPACES, SPACES_STEP};
use crate::store::{ReadError, Scan, Snapshot};

/// Looks through the registries for incarnations that lost their key to a write that did not look.
///
/// Only stores that do not answer at once have such writes, so only there is it of use.
#[derive(Debug, Default)]
pub struct Audit {
    tour: Tour,
    /// The keyspaces to look through before the tour goes on.
    spaces: VecDeque<Space>,
    /// The registry entry of the first of them to go on from.
    mark: RecordKey,
}

impl Audit {
    /// Finds the suspicious ones among the next incarnations, fewer than twice `limit`, and where to go
    /// on. Many keyspaces with few of them are looked into at once.
    pub fn next(
        &self,
        snapshot: &dyn Snapshot,
        limit: usize,
        share: Share,
    ) -> Result<(Vec<Chore>, Audit), ReadError> {
        let (mut spaces, mut tour) = (self.spaces.clone(), self.tour.clone());
        if spaces.is_empty() {
            let (found, next) = tour.next(snapshot, SPACES_STEP)?;
            (spaces, tour) = (found.into(), next);
        }
        let (mut entries, mut mark) = (Vec::new(), self.mark.clone());
        let mut pending = Ok(());
        for _ in 0..AUDIT_SPACES {
            let Some(&space) = spaces.front().filter(|_| entries.len() < limit) else { break };
            let (first, end) = keys::registry_range(space.keyspace);
            let begin = if mark > first && mark < end { &mark } else { &first };
            let scan = Scan { begin, end: &end, limit, reverse: false };
            let before = entries.len();
            let scanned = snapshot.scan(scan, &mut |record, key| {
                entries.push((space, keys::split_registry(record), Box::<[u8]>::from(key)));
                ControlFlow::Continue(())
            });
            match scanned {
                Err(ReadError::Pending) => pending = Err(ReadError::Pending),
                outcome => outcome?,
            }
            mark = RecordKey::new();
            match entries.last() {
                Some((_, last, _)) if entries.len() - before == limit => {
                    mark = keys::registry(space.keyspace, last + 1);
                }
                _ => drop(spaces.pop_front()),
            }
        }
        pending?;
        let chores = suspicious(snapshot, entries, share)?;
        Ok((chores, Audit { tour, spaces, mark }))
    }
}

/// Those of this process's share whose keys do not seem to have them.
fn suspicious(
    snapshot: &dyn Snapshot,
    entries: Vec<(Space, Incarnation, Box<[u8]>)>,
    share: Share,
) -> Result<Vec<Chore>, ReadError> {
    let mut chores = Vec::new();
    let mut pending = Ok(());
    for (Space { tenant, keyspace }, incarnation, key) in entries {
        if !share.has(&key) {
            continue;
        }
        match snapshot.get(&keys::meta(keyspace, &key)) {
            Ok(meta) if meta.as_deref().and_then(incarnation_of) == Some(incarnation) => {}
            Ok(_) => chores.push(Chore::Audit { tenant, keyspace, incarnation, key }),
            Err(ReadError::Pending) => pending = Err(ReadError::Pending),
            Err(failed) => return Err(failed),
        }
    }
    pending.map(|()| chores)
}

/// The incarnation a meta record refers to, if it refers to any.
fn incarnation_of(meta: &[u8]) -> Option<Incarnation> {
    let header = Header::decode(meta)?;
    match header.kind {
        Kind::String => None,
        _ => Elements::decode(&meta[meta::HEAD..]).map(|elements| elements.incarnation),
    }
}

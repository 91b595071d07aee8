//! Sorted sets: an element for each member with its score, and a record for each in the order of the
//! scores.
//!
//! The order is that of the records' keys: the score as eight bytes that compare as scores do, then the
//! member. A *position* is that part of the key. What is asked for by score, by name or from one of the
//! ends is a scan from one position to another, which reads what it returns and nothing else.
//!
//! What is asked for by rank (`ZRANK`, `ZRANGE` and `ZREMRANGEBYRANK` by index, `ZCOUNT` and `LIMIT`
//! past a few members) passes over the members before it: one by one in small sets, and by the rank
//! index ([`index`]) in sets that have grown large, which is O(log(N)): about 64 records a level, and
//! a level for each factor of 64 in the size. Writing a member of a large set reads one record a level
//! more than in a small one, and one write in 64 changes the index; where a store answers at once, all
//! of a group's changes are looked up together ([`changes`]).

mod changes;
mod edges;
pub mod index;
mod range;

use std::borrow::Cow;

use smallvec::SmallVec;

use self::edges::HAS_EDGES;
use self::index::Rule;
use super::collection::Collection;
use super::entry::{self, Prior};
use super::keys::{self, ELEMENT_HEAD, KeyspaceId, RecordKey};
use super::meta::Kind;
use super::view::View;
use crate::error::Stop;
use crate::num;

pub use changes::Changes;
pub use range::{LexBound, Range, ScoreBound, Window};

/// A place in the order of a sorted set: a score and a member, as they are in the keys of records.
pub type Position = RecordKey;

/// Members that follow one another, as they were read.
pub type Members = SmallVec<[Position; 1]>;

/// Bytes of a score.
const SCORE_BYTES: usize = 8;

/// A score as bytes that are ordered as scores are; both zeros are the same.
fn ordered(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn position(score: f64, member: &[u8]) -> Position {
    let mut position = Position::from_slice(&ordered(score).to_be_bytes());
    position.extend_from_slice(member);
    position
}

/// Score and member of a position that has both.
pub fn split(position: &[u8]) -> (f64, &[u8]) {
    let (score, member) = position.split_at(SCORE_BYTES);
    let bits = keys::be_u64(score);
    let bits = if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits };
    (f64::from_bits(bits), member)
}

/// The score in an element's record.
pub fn score_of(record: &[u8]) -> Result<f64, Stop> {
    let bytes = record.try_into().map_err(|_| entry::unreadable())?;
    Ok(f64::from_be_bytes(bytes))
}

/// The score of an element of a sorted set or a set, whose members have the same one.
pub fn score_of_any(record: &[u8]) -> Result<f64, Stop> {
    if record.is_empty() { Ok(1.0) } else { score_of(record) }
}

/// A score as `ZSCAN` shows it, given the element's record.
pub fn shown<'r>(_: &View<'_>, _: &[u8], record: &'r [u8]) -> Result<Cow<'r, [u8]>, Stop> {
    Ok(Cow::Owned(num::format_f64(score_of(record)?).to_vec()))
}

/// An element's record. Zero has no sign there, as it has none in Redis's small sorted sets.
fn score_bytes(score: f64) -> [u8; SCORE_BYTES] {
    (score + 0.0).to_be_bytes()
}

/// What [`SortedSet::update`] did to a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is new.
    Added,
    /// It has another score.
    Moved,
}

/// A sorted set that is there, or is about to be.
#[derive(Debug, Clone, Copy)]
pub struct SortedSet {
    collection: Collection,
    rule: Rule,
    /// Levels of the rank index, 0 without one. More than the meta says until
    /// [`SortedSet::grown`] has written them down.
    levels: u8,
    /// It is written down where the members begin and end.
    has_edges: bool,
    /// A new member is one that a rank index would have.
    may_need_index: bool,
}

impl SortedSet {
    fn of(collection: Collection) -> SortedSet {
        let levels = collection.marks & !HAS_EDGES;
        let has_edges = collection.marks & HAS_EDGES != 0;
        SortedSet { collection, rule: Rule::DEFAULT, levels, has_edges, may_need_index: false }
    }

    /// What the meta should say.
    fn marks(&self) -> u8 {
        self.levels | if self.has_edges { HAS_EDGES } else { 0 }
    }

    /// The sorted set at a key; an error if the key holds another type.
    pub fn find(
        view: &View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
    ) -> Result<Option<SortedSet>, Stop> {
        Ok(Collection::find(view, keyspace, key, Kind::SortedSet)?.map(SortedSet::of))
    }

    /// As [`SortedSet::find`], but creates it if it is not there. It must get a member from the same
    /// command.
    pub fn open(view: &mut View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<SortedSet, Stop> {
        Collection::open(view, keyspace, key, Kind::SortedSet).map(SortedSet::of)
    }

    /// Puts a sorted set of these members, at least one, none twice, in the place of whatever is at
    /// a key.
    pub fn store(
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        members: &mut [(Vec<u8>, f64)],
        prior: Prior,
    ) -> Result<(), Stop> {
        let kind = Kind::SortedSet;
        let collection = Collection::create(view, keyspace, key, kind, 0, prior)?;
        let mut set = SortedSet::of(collection);
        sort(members);
        for (member, score) in members.iter() {
            let element = collection.new_element(member)?;
            view.set(&element, &[&score_bytes(*score)]);
            view.set(&set.key(0, &position(*score, member)), &[]);
        }
        if members.len() as u64 > set.rule.small_max {
            let mut index = index::Builder::new(set.rule);
            for (member, score) in members.iter().rev() {
                index.add(position(*score, member));
            }
            set.write_index(view, index);
            set.collection.set_marks(view, key, set.marks())?;
        }
        collection.grown(view, members.len() as u64)
    }

    /// What it has in common with other collections.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Key of the record of a position on a level.
    fn key(&self, level: u8, position: &[u8]) -> RecordKey {
        let (keyspace, incarnation) = self.collection.place();
        let mut key = keys::by_score(keyspace, incarnation, level);
        key.extend_from_slice(position);
        key
    }

    /// The score of a member.
    pub fn score(&self, view: &View<'_>, member: &[u8]) -> Result<Option<f64>, Stop> {
        view.get(&self.collection.element(member))?.map(|record| score_of(&record)).transpose()
    }

    /// Gives a member the score that `decide` says when it is told the present one, unless it says
    /// none or the same. [`SortedSet::grown`] has to follow if anything changed.
    pub fn update(
        &mut self,
        view: &mut View<'_>,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Result<Option<f64>, Stop>,
    ) -> Result<Change, Stop> {
        let element = self.collection.new_element(member)?;
        let old = view.get(&element)?.map(|record| score_of(&record)).transpose()?;
        let Some(new) = decide(old)?.filter(|new| old != Some(*new)) else {
            return Ok(Change::None);
        };
        view.set(&element, &[&score_bytes(new)]);
        let height = self.height(&element);
        if self.levels == 0 {
            self.may_need_index |= height > 0;
        } else {
            self.levels = self.levels.max(height);
        }
        if let Some(old) = old {
            self.clear_position(view, &position(old, member), height);
        }
        let position = position(new, member);
        self.widen(view, &position)?;
        view.set(&self.key(0, &position), &[]);
        self.changed(view, height);
        Ok(if old.is_some() { Change::Moved } else { Change::Added })
    }

    /// Counts a command that changed scores and added so many members.
    pub fn grown(&mut self, view: &mut View<'_>, key: &[u8], added: u64) -> Result<(), Stop> {
        self.collection.grown(view, added)?;
        if self.may_need_index {
            self.build_index_if_large(view)?;
        }
        if self.marks() != self.collection.marks {
            self.collection.set_marks(view, key, self.marks())?;
        }
        Ok(())
    }

    /// Removes a member; whether it was there. [`Collection::shrunk`] has to follow if it was.
    pub fn remove(&self, view: &mut View<'_>, member: &[u8]) -> Result<bool, Stop> {
        let element = self.collection.element(member);
        let score = view.get(&element)?.map(|record| score_of(&record)).transpose()?;
        let Some(score) = score else { return Ok(false) };
        view.clear(&element);
        self.clear_position(view, &position(score, member), self.height(&element));
        Ok(true)
    }

    fn clear_position(&self, view: &mut View<'_>, position: &[u8], height: u8) {
        view.clear(&self.key(0, position));
        self.changed(view, height);
    }

    /// Removes these members, at least one; counts that, and
    /// removes the key with the last one. Whether it did.
    fn remove_all(
        &self,
        view: &mut View<'_>,
        key: &[u8],
        members: &[Position],
    ) -> Result<bool, Stop> {
        for position in members {
            let element = self.collection.element(split(position).1);
            view.clear(&element);
            self.clear_position(view, position, self.height(&element));
        }
        self.collection.shrunk(view, key, members.len() as u64)
    }

    /// The hash of a member decides what levels of the rank index it is in.
    fn height(&self, element: &[u8]) -> u8 {
        let (hash, _) = keys::split_hash(element, ELEMENT_HEAD);
        self.rule.height(hash)
    }
}

/// Brings members into their order.
pub fn sort(members: &mut [(Vec<u8>, f64)]) {
    members.sort_unstable_by(|(one, score), (other, other_score)| {
        ordered(*score).cmp(&ordered(*other_score)).then_with(|| one.cmp(other))
    });
}

#[cfg(test)]
#[path = "sorted_set/tests.rs"]
mod tests;

//! The rank index: how many members there are from some of them to the next.
//!
//! Where the hash of a member ends in six zero bits or more, one in 64, it is an entry of level 1; with
//! twelve also of level 2, and so on. An entry has two records on a level: one that says that it is
//! there, and the number of members from it, itself included, to the next entry of the level. Numbers
//! change with every member that comes or goes, but are only added to, and what is looked for in order
//! to do so are the first records; so two processes conflict only where one of them adds or removes an
//! entry. What lies before a level's first entry no number says: it is counted a level below.
//!
//! Only sets that have become large have an index. Whoever adds a member that would be an entry looks
//! at the number of members; the meta says how many levels there are, and so that a set is indexed.

use std::ops::ControlFlow;

use super::changes::Move;
use super::range::{END, START};
use super::{Position, SortedSet, split};
use crate::data::keys;
use crate::data::view::View;
use crate::error::{Stop, Together};
use crate::limits::{RANK_INDEX_BUILT_MAX, RANK_INDEX_FROM};
use crate::store::{Scan, Visitor, counter, counter_bytes};

/// Levels at most.
pub const LEVELS_MAX: usize = 10;
/// Entries passed over until the next one that is looked for is sought.
const PASSED_MAX: usize = 8;
/// Added to a level: its numbers of members.
const NUMBERS: u8 = 0x80;

/// When there is an index and how it is made.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Zero bits of a hash for each level.
    pub bits: u32,
    /// Sets of up to so many members have none.
    pub small_max: u64,
}

impl Rule {
    /// The one of all records on disk.
    pub const DEFAULT: Rule = Rule { bits: 6, small_max: RANK_INDEX_FROM };

    /// The highest level that a member with this hash is in, 0 for most.
    pub fn height(&self, hash: u64) -> u8 {
        (hash.trailing_zeros() / self.bits).min(LEVELS_MAX as u32) as u8
    }
}

/// Collects the entries of a new index from all members, the last one first.
pub struct Builder {
    rule: Rule,
    /// Members on each level since the last entry.
    counted: [u64; LEVELS_MAX],
    levels: u8,
    entries: Vec<(u8, Position, u64)>,
}

impl Builder {
    /// Without any member.
    pub fn new(rule: Rule) -> Builder {
        Builder { rule, counted: [0; LEVELS_MAX], levels: 0, entries: Vec::new() }
    }

    /// Adds the member in front of the last one.
    pub fn add(&mut self, position: Position) {
        self.counted.iter_mut().for_each(|counted| *counted += 1);
        let height = self.rule.height(keys::hash64(split(&position).1));
        self.levels = self.levels.max(height);
        for level in 1..=height {
            let counted = std::mem::take(&mut self.counted[usize::from(level) - 1]);
            self.entries.push((level, position.clone(), counted));
        }
    }
}

impl SortedSet {
    /// Writes the index of a set that has none.
    pub(super) fn write_index(&mut self, view: &mut View<'_>, index: Builder) {
        self.levels = index.levels;
        for (level, position, members) in index.entries {
            self.set_entry(view, level, &position, members.into());
        }
    }

    pub(super) fn build_index_if_large(&mut self, view: &mut View<'_>) -> Result<(), Stop> {
        let members = self.collection.len(view)?;
        if members <= self.rule.small_max || members > RANK_INDEX_BUILT_MAX {
            return Ok(());
        }
        let mut index = Builder::new(self.rule);
        let whole = Scan { reverse: true, ..Scan::all(START, END) };
        self.walk_level(view, 0, whole, &mut |position, _| {
            index.add(Position::from_slice(position));
            ControlFlow::Continue(())
        })?;
        self.write_index(view, index);
        Ok(())
    }

    fn set_entry(&self, view: &mut View<'_>, level: u8, position: &[u8], members: i128) {
        view.set(&self.key(level, position), &[]);
        view.set(&self.key(level | NUMBERS, position), &[&counter_bytes(members)]);
    }

    /// Visits the positions and records of a level; `scan` is in terms of positions.
    pub(super) fn walk_level(
        &self,
        view: &View<'_>,
        level: u8,
        scan: Scan<'_>,
        visit: &mut Visitor<'_>,
    ) -> Result<(), Stop> {
        let (mut begin, mut end) = (scan.begin, scan.end);
        let edges = self.edges(view)?;
        if let Some(edges) = &edges {
            (begin, end) = (begin.max(&edges.low), end.min(&edges.high));
        }
        let (begin, end) = (self.key(level, begin), self.key(level, end));
        let skip = self.key(level, START).len();
        let scan = Scan { begin: &begin, end: &end, ..scan };
        view.walk(scan, &mut |key, record| visit(&key[skip..], record))
    }

    /// The last entry of a level before a position, or the first one behind it.
    fn neighbour(
        &self,
        view: &View<'_>,
        level: u8,
        position: &[u8],
        before: bool,
    ) -> Result<Option<Position>, Stop> {
        let mut behind = Position::from_slice(position);
        behind.push(0);
        let (begin, end) = if before { (START, position) } else { (&behind[..], END) };
        let mut found = None;
        let scan = Scan { begin, end, limit: 1, reverse: before };
        self.walk_level(view, level, scan, &mut |position, _| {
            found = Some(Position::from_slice(position));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Takes these members into account, which have come and gone; in the order of their positions.
    pub(super) fn settle(&self, view: &mut View<'_>, moves: &[Move]) -> Result<(), Stop> {
        let mut together = Together::default();
        for level in 1..=self.levels {
            let mut by: Vec<i128> = moves.iter().map(|one| if one.came { 1 } else { -1 }).collect();
            for (by, gone) in by.iter_mut().zip(moves) {
                if gone.came || gone.height < level {
                    continue;
                }
                let entry = self.key(level, gone.position(view));
                let number = self.key(level | NUMBERS, gone.position(view));
                *by += together.take(view.counter(&number))?.unwrap_or(0);
                view.clear(&entry);
                view.clear(&number);
            }
            together.take(self.add_to_level(view, level, moves, &by))?;
        }
        for came in moves.iter().filter(|one| one.came && one.height > 0) {
            let position = Position::from_slice(came.position(view));
            together.take(self.enter(view, &position, came.height))?;
        }
        together.end()
    }

    /// Adds to the numbers of the last entries of a level before each of these positions.
    fn add_to_level(
        &self,
        view: &mut View<'_>,
        level: u8,
        moves: &[Move],
        by: &[i128],
    ) -> Result<(), Stop> {
        // Elsewhere only the entries that are looked for may be read.
        let limit = if view.answers_at_once() { usize::MAX } else { 1 };
        let (mut left, mut sums, mut together) = (moves.len(), Vec::new(), Together::default());
        while left > 0 {
            let (from, mut passed) = (left, 0);
            let end = moves[left - 1].position(view);
            let scan = Scan { begin: START, end, limit, reverse: true };
            let walked = self.walk_level(view, level, scan, &mut |entry, _| {
                let mut sum = 0;
                let before = left;
                while left > 0 && moves[left - 1].position(view) > entry {
                    left -= 1;
                    sum += by[left];
                }
                passed = if left < before { 0 } else { passed + 1 };
                if sum != 0 {
                    sums.push((self.key(level | NUMBERS, entry), sum));
                }
                match left == 0 || passed == PASSED_MAX {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            match together.take(walked)? {
                // Where the others are is asked for as well.
                None => left -= 1,
                Some(()) if left == from => break,
                Some(()) => {}
            }
        }
        together.end()?;
        sums.iter().try_for_each(|(number, sum)| view.add(number, *sum))
    }

    /// Enters a member of this height into the levels that it is in; all others have been counted.
    fn enter(&self, view: &mut View<'_>, position: &[u8], height: u8) -> Result<(), Stop> {
        let mut together = Together::default();
        let mut members = [0; LEVELS_MAX];
        together.take(self.members_to_next(view, position, height, &mut members))?;
        for (level, members) in (1..=height).zip(members) {
            let before = together.take(self.neighbour(view, level, position, true))?.flatten();
            if let Some(before) = before {
                view.add(&self.key(level | NUMBERS, &before), -members)?;
            }
        }
        together.end()?;
        for (level, members) in (1..=height).zip(members) {
            self.set_entry(view, level, position, members);
        }
        Ok(())
    }

    /// How many members there are from a new entry to the next one, on each level that it is in.
    fn members_to_next(
        &self,
        view: &View<'_>,
        position: &[u8],
        height: u8,
        members: &mut [i128; LEVELS_MAX],
    ) -> Result<(), Stop> {
        let (mut from, mut sum) = (Position::from_slice(position), 0);
        for level in 1..=height {
            let next = self.neighbour(view, level, position, false)?;
            let to = next.unwrap_or_else(|| Position::from_slice(END));
            sum += self.sum(view, level - 1, &from, &to)?;
            members[usize::from(level) - 1] = sum;
            from = to;
        }
        Ok(())
    }

    /// Members from one entry of a level to another one, or to the end; of level 0 every member is one.
    fn sum(&self, view: &View<'_>, level: u8, from: &[u8], to: &[u8]) -> Result<i128, Stop> {
        let mut sum = 0;
        let numbers = if level == 0 { 0 } else { level | NUMBERS };
        self.walk_level(view, numbers, Scan::all(from, to), &mut |_, record| {
            sum += if level == 0 { 1 } else { counter(Some(record)) };
            ControlFlow::Continue(())
        })?;
        Ok(sum)
    }

    /// How many members there are at a position and behind it.
    pub(super) fn members_from(&self, view: &mut View<'_>, position: &[u8]) -> Result<u64, Stop> {
        view.settle_ranks()?;
        let (mut sum, mut end) = (0, Position::from_slice(END));
        for level in (1..=self.levels).rev() {
            let mut first = None;
            let scan = Scan::all(position, &end);
            self.walk_level(view, level | NUMBERS, scan, &mut |entry, number| {
                first.get_or_insert_with(|| Position::from_slice(entry));
                sum += counter(Some(number));
                ControlFlow::Continue(())
            })?;
            end = first.unwrap_or(end);
        }
        sum += self.sum(view, 0, position, &end)?;
        Ok(sum as u64)
    }

    /// The member that has so many others behind it.
    pub(super) fn member_from_end(
        &self,
        view: &mut View<'_>,
        behind: u64,
    ) -> Result<Option<Position>, Stop> {
        view.settle_ranks()?;
        let (mut left, mut end) = (i128::from(behind), Position::from_slice(END));
        for level in (1..=self.levels).rev() {
            let mut next = None;
            let scan = Scan { reverse: true, ..Scan::all(START, &end) };
            self.walk_level(view, level | NUMBERS, scan, &mut |entry, number| {
                let members = counter(Some(number));
                if left < members {
                    return ControlFlow::Break(());
                }
                left -= members;
                next = Some(Position::from_slice(entry));
                ControlFlow::Continue(())
            })?;
            end = next.unwrap_or(end);
        }
        let limit = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1);
        let mut found = None;
        let scan = Scan { begin: START, end: &end, limit, reverse: true };
        self.walk_level(view, 0, scan, &mut |position, _| {
            if left == 0 {
                found = Some(Position::from_slice(position));
            }
            left -= 1;
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}

//! What a group's commands changed and the rank index does not know yet.
//!
//! A member that comes or goes changes one number a level, and to find out which is most of the work.
//! So it is left until the group ends, or until somebody asks for a rank: then all changes are taken
//! into account together, in their order, and each number is changed once. Across a network every
//! command does that for itself, because it is where its conflicts and its size belong.

use super::SortedSet;
use crate::data::collection::Collection;
use crate::data::keys::{self, ELEMENT_HEAD, Incarnation};
use crate::data::view::View;
use crate::error::{Stop, Together};
use crate::limits::RANK_CHANGES_MAX;

/// Changes of a group, in the order they were made.
#[derive(Debug, Default)]
pub struct Changes {
    all: Vec<Change>,
    /// So many of them the index knows, by what was written from this mutation on.
    settled: Vec<(u32, usize)>,
}

/// A member that came or went.
#[derive(Debug, Clone, Copy)]
struct Change {
    incarnation: Incarnation,
    /// The beginning of its position, as a number.
    head: u64,
    /// The mutation of its record by score, which says the rest.
    number: u32,
    /// The highest level that it is in.
    height: u8,
    /// What the set's meta says.
    marks: u8,
}

/// What is left of the changes at one position.
pub(super) struct Move {
    /// The mutation of the member's record by score.
    number: u32,
    /// The highest level that the member is in.
    pub(super) height: u8,
    /// It is new; otherwise it is there no more.
    pub(super) came: bool,
}

impl Move {
    /// Where it is.
    pub(super) fn position<'v>(&self, view: &'v View<'_>) -> &'v [u8] {
        &view.written_key(self.number)[ELEMENT_HEAD + 1..]
    }
}

impl Changes {
    fn unsettled(&self) -> &[Change] {
        let settled = self.settled.last().map_or(0, |(_, settled)| *settled);
        &self.all[settled..]
    }

    /// Forgets what was done by mutation `number` and later ones.
    pub fn rollback(&mut self, number: u32) {
        while self.settled.pop_if(|(from, _)| *from >= number).is_some() {}
        while self.all.pop_if(|change| change.number >= number).is_some() {}
    }
}

impl SortedSet {
    /// Takes note that the last mutation wrote or removed a member's record by score.
    pub(super) fn changed(&self, view: &mut View<'_>, height: u8) {
        if self.levels == 0 {
            return;
        }
        let number = view.next_number() - 1;
        let head = keys::be_u64(&view.written_key(number)[ELEMENT_HEAD + 1..][..8]);
        let ((_, incarnation), marks) = (self.collection.place(), self.marks());
        view.rank_changes().all.push(Change { incarnation, head, number, height, marks });
    }
}

impl View<'_> {
    /// Ends a command that changed sorted sets.
    pub(in crate::data) fn settle_ranks_if_due(&mut self) -> Result<(), Stop> {
        if self.answers_at_once() && self.rank_changes().unsettled().len() < RANK_CHANGES_MAX {
            return Ok(());
        }
        self.settle_ranks()
    }

    /// Has the rank indexes of all sorted sets take into account what was changed.
    pub(in crate::data) fn settle_ranks(&mut self) -> Result<(), Stop> {
        let mut changes = self.rank_changes().unsettled().to_vec();
        if changes.is_empty() {
            return Ok(());
        }
        let (number, mut together) = (self.next_number(), Together::default());
        changes.sort_unstable_by(|one, other| {
            let heads = (one.incarnation, one.head).cmp(&(other.incarnation, other.head));
            heads.then_with(|| self.written_key(one.number).cmp(self.written_key(other.number)))
        });
        for changes in changes.chunk_by(|one, other| one.incarnation == other.incarnation) {
            together.take(self.settle_ranks_of(changes))?;
        }
        together.end()?;
        let changes = self.rank_changes();
        changes.settled.push((number, changes.all.len()));
        Ok(())
    }

    /// As [`View::settle_ranks`], for one set, given its changes in the order of their positions.
    fn settle_ranks_of(&mut self, changes: &[Change]) -> Result<(), Stop> {
        let is_same = |one: &Change, other: &Change| {
            one.head == other.head && self.written_key(one.number) == self.written_key(other.number)
        };
        let mut moves = Vec::with_capacity(changes.len());
        for changes in changes.chunk_by(is_same) {
            let came = changes.iter().filter(|change| self.is_set(change.number)).count();
            let went = changes.len() - came;
            if came != went {
                let Change { number, height, .. } = changes[0];
                moves.push(Move { number, height, came: came > went });
            }
        }
        let Some(Change { incarnation, number, .. }) = changes.first().copied() else {
            return Ok(());
        };
        let keyspace = keys::be_u32(&self.written_key(number)[..4]);
        // Levels only become more.
        let marks = changes.iter().map(|change| change.marks).max().unwrap_or(0);
        let set = SortedSet::of(Collection::at_place(keyspace, incarnation, marks));
        set.settle(self, &moves)
    }
}

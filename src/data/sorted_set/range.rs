//! Parts of a sorted set: between scores, between names, between ranks.

use std::ops::ControlFlow;

use super::{Members, Position, SCORE_BYTES, SortedSet, ordered, position, split};
use crate::data::view::View;
use crate::error::Stop;
use crate::limits::TRANSACTION_BYTES_MAX;
use crate::store::Scan;

/// Before every member.
pub(super) const START: &[u8] = b"";
/// Behind every member: greater than any score that is a number.
pub(super) const END: &[u8] = &[0xff; SCORE_BYTES];

/// One end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    /// The score.
    pub score: f64,
    /// Whether members with this score are outside.
    pub exclusive: bool,
}

/// One end of a range of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all names.
    Min,
    /// Behind all names.
    Max,
    /// This name, which is inside.
    Inclusive(&'a [u8]),
    /// This name, which is outside.
    Exclusive(&'a [u8]),
}

/// Members from one position up to another one, which is outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    begin: Position,
    end: Position,
}

impl Range {
    /// All members.
    pub fn all() -> Range {
        Range { begin: Position::from_slice(START), end: Position::from_slice(END) }
    }

    /// Members with scores between these.
    pub fn scores(min: ScoreBound, max: ScoreBound) -> Range {
        // The next score is the next number.
        let begin = ordered(min.score) + u64::from(min.exclusive);
        let end = ordered(max.score) + u64::from(!max.exclusive);
        let position = |score: u64| Position::from_slice(&score.to_be_bytes());
        let mut range = Range { begin: position(begin), end: position(end) };
        if min.score == f64::NEG_INFINITY && !min.exclusive {
            range.begin = Position::from_slice(START);
        }
        if max.score == f64::INFINITY && !max.exclusive {
            range.end = Position::from_slice(END);
        }
        range
    }

    fn is_empty(&self) -> bool {
        self.begin >= self.end
    }

    fn is_all(&self) -> bool {
        self.begin[..] == *START && self.end[..] == *END
    }
}

impl SortedSet {
    /// Members with names between these; they all have the same score, or it is not defined which
    /// members it is.
    pub fn names(
        &self,
        view: &View<'_>,
        min: LexBound<'_>,
        max: LexBound<'_>,
    ) -> Result<Range, Stop> {
        use LexBound::{Exclusive, Inclusive, Max, Min};
        if (min, max) == (Min, Max) {
            return Ok(Range::all());
        }
        let mut score = 0.0;
        let scan = Scan { limit: 1, ..Scan::all(START, END) };
        self.walk_level(view, 0, scan, &mut |position, _| {
            score = split(position).0;
            ControlFlow::Break(())
        })?;
        let at = |bound: LexBound<'_>, behind: bool| match bound {
            Min => Position::from_slice(START),
            Max => Position::from_slice(END),
            Inclusive(name) | Exclusive(name) => {
                let mut position = position(score, name);
                if behind {
                    position.push(0);
                }
                position
            }
        };
        let begin = at(min, matches!(min, Exclusive(_)));
        let end = at(max, matches!(max, Inclusive(_)));
        Ok(Range { begin, end })
    }

    /// Visits members and their scores: of those in a range, from its beginning or in reverse from its
    /// end, the first `skip` are left out, and `limit` visited at most.
    pub fn walk(
        &self,
        view: &mut View<'_>,
        range: &Range,
        window: Window,
        visit: &mut dyn FnMut(&[u8], f64) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        self.walk_positions(view, range, window, &mut |position| {
            let (score, member) = split(position);
            visit(member, score)
        })
    }

    fn walk_positions(
        &self,
        view: &mut View<'_>,
        range: &Range,
        window: Window,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        let Window { mut skip, limit, reverse } = window;
        if range.is_empty() || limit == 0 {
            return Ok(());
        }
        let mut range = range.clone();
        if skip >= self.rule.small_max && self.levels > 0 {
            let Some(skipped) = self.skip(view, &range, skip, reverse)? else { return Ok(()) };
            (range, skip) = (skipped, 0);
        }
        let limit = usize::try_from(skip.saturating_add(limit)).unwrap_or(usize::MAX);
        let scan = Scan { begin: &range.begin, end: &range.end, limit, reverse };
        self.walk_level(view, 0, scan, &mut |position, _| {
            if skip > 0 {
                skip -= 1;
                return ControlFlow::Continue(());
            }
            visit(position)
        })
    }

    /// The range without the first members, or in reverse the last ones; `None` if none is left.
    fn skip(
        &self,
        view: &mut View<'_>,
        range: &Range,
        skip: u64,
        reverse: bool,
    ) -> Result<Option<Range>, Stop> {
        let behind = if reverse {
            self.count_from(view, &range.end)?.saturating_add(skip)
        } else {
            match self.count_from(view, &range.begin)?.checked_sub(skip) {
                None | Some(0) => return Ok(None),
                Some(left) => left - 1,
            }
        };
        let Some(mut position) = self.member_from_end(view, behind)? else { return Ok(None) };
        let mut range = range.clone();
        if reverse {
            position.push(0);
            range.end = position;
        } else {
            range.begin = position;
        }
        Ok(Some(range))
    }

    /// How many members there are at a position and behind it.
    fn count_from(&self, view: &mut View<'_>, position: &[u8]) -> Result<u64, Stop> {
        match position {
            START => self.collection.len(view),
            END => Ok(0),
            _ => self.members_from(view, position),
        }
    }

    /// How many members are in a range.
    pub fn count(&self, view: &mut View<'_>, range: &Range) -> Result<u64, Stop> {
        if range.is_empty() {
            return Ok(0);
        }
        if range.is_all() {
            return self.collection.len(view);
        }
        // A small range is quicker to count than to find the ranks of its ends.
        let limit = if self.levels == 0 { u64::MAX } else { self.rule.small_max };
        let count = self.count_few(view, range, limit)?;
        if count < limit {
            return Ok(count);
        }
        let behind = self.count_from(view, &range.end)?;
        Ok(self.count_from(view, &range.begin)?.saturating_sub(behind))
    }

    /// How many members come before this one, or in reverse after it; `None` if it is not there.
    pub fn rank(
        &self,
        view: &mut View<'_>,
        member: &[u8],
        reverse: bool,
    ) -> Result<Option<u64>, Stop> {
        let Some(score) = self.score(view, member)? else { return Ok(None) };
        let position = position(score, member);
        if self.levels > 0 {
            let behind = self.members_from(view, &position)?;
            let whole = if reverse { behind } else { self.collection.len(view)? };
            return Ok(Some(whole.saturating_sub(if reverse { 1 } else { behind })));
        }
        let mut range = Range::all();
        if reverse {
            range.begin = position;
            range.begin.push(0);
        } else {
            range.end = position;
        }
        Ok(Some(self.count_few(view, &range, u64::MAX)?))
    }

    /// Counts members one by one, up to a limit.
    fn count_few(&self, view: &mut View<'_>, range: &Range, limit: u64) -> Result<u64, Stop> {
        let mut count = 0;
        self.walk_positions(view, range, Window { limit, ..Window::ALL }, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Removes members of a range, and the key with the last one; how many.
    pub fn remove_range(
        &self,
        view: &mut View<'_>,
        key: &[u8],
        range: &Range,
        window: Window,
    ) -> Result<u64, Stop> {
        if range.is_all() && window.skip == 0 {
            let len = self.collection.len(view)?;
            if window.limit >= len {
                let (keyspace, _) = self.collection.place();
                view.remove(keyspace, key)?;
                return Ok(len);
            }
        }
        Ok(self.take(view, key, range, window)?.len() as u64)
    }

    /// Removes members of a range, and the key with the last one; returns them in the order of the
    /// window.
    pub fn take(
        &self,
        view: &mut View<'_>,
        key: &[u8],
        range: &Range,
        window: Window,
    ) -> Result<Members, Stop> {
        let (mut members, mut bytes) = (Members::new(), 0);
        self.walk_positions(view, range, window, &mut |position| {
            members.push(Position::from_slice(position));
            // Removing it writes its name several times.
            bytes += position.len();
            if bytes > TRANSACTION_BYTES_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(Stop::TooLarge);
        }
        if members.is_empty() || self.remove_all(view, key, &members)? {
            return Ok(members);
        }
        let from_end = match window.reverse {
            true => range.end[..] == *END,
            false => range.begin[..] == *START,
        };
        if from_end && window.skip == 0 && view.answers_at_once() {
            self.narrow(view, key, &members, window.reverse)?;
        }
        Ok(members)
    }
}

/// What part of a range is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Members passed over.
    pub skip: u64,
    /// Members wanted at most.
    pub limit: u64,
    /// From the highest down.
    pub reverse: bool,
}

impl Window {
    /// All members, from the lowest up.
    pub const ALL: Window = Window { skip: 0, limit: u64::MAX, reverse: false };
}

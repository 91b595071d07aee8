//! The ends of ranges as clients write them.

use crate::command::Args;
use crate::data::View;
use crate::data::sorted_set::{LexBound, Range, ScoreBound, SortedSet, Window};
use crate::error::{self, Stop};
use crate::num;

/// What a range is between, from the lower end to the higher one.
#[derive(Debug, Clone, Copy)]
pub enum Between<'a> {
    /// Two ranks, negative from the end.
    Ranks(i64, i64),
    /// Two scores.
    Scores(ScoreBound, ScoreBound),
    /// Two names.
    Names(LexBound<'a>, LexBound<'a>),
}

fn score(text: &[u8]) -> Result<ScoreBound, Stop> {
    let (exclusive, number) = match text {
        [b'(', number @ ..] => (true, number),
        _ => (false, text),
    };
    let score = num::parse_f64_lax(number).ok_or("ERR min or max is not a float")?;
    Ok(ScoreBound { score, exclusive })
}

fn name(text: &[u8]) -> Result<LexBound<'_>, Stop> {
    match text {
        [b'-'] | [b'-', 0, ..] => Ok(LexBound::Min),
        [b'+'] | [b'+', 0, ..] => Ok(LexBound::Max),
        [b'[', name @ ..] => Ok(LexBound::Inclusive(name)),
        [b'(', name @ ..] => Ok(LexBound::Exclusive(name)),
        _ => Err("ERR min or max not valid string range item".into()),
    }
}

fn rank(text: &[u8]) -> Result<i64, Stop> {
    num::parse_i64(text).ok_or(error::NOT_AN_INTEGER.into())
}

impl<'a> Between<'a> {
    /// Two ranks.
    pub fn ranks(min: &'a [u8], max: &'a [u8]) -> Result<Between<'a>, Stop> {
        Ok(Between::Ranks(rank(min)?, rank(max)?))
    }

    /// Two scores.
    pub fn scores(min: &'a [u8], max: &'a [u8]) -> Result<Between<'a>, Stop> {
        Ok(Between::Scores(score(min)?, score(max)?))
    }

    /// Two names.
    pub fn names(min: &'a [u8], max: &'a [u8]) -> Result<Between<'a>, Stop> {
        Ok(Between::Names(name(min)?, name(max)?))
    }

    /// The part of a set that this is. `window` counts within what is between.
    pub fn find(
        self,
        view: &View<'_>,
        set: &SortedSet,
        window: Window,
    ) -> Result<(Range, Window), Stop> {
        match self {
            Between::Scores(min, max) => Ok((Range::scores(min, max), window)),
            Between::Names(min, max) => Ok((set.names(view, min, max)?, window)),
            Between::Ranks(mut first, mut last) => {
                // Only ranks from the end need to know where that is, and the last one is there.
                if first < 0 || last < -1 {
                    let len = set.collection().len(view)? as i64;
                    let from_start = |rank: i64| if rank < 0 { rank + len } else { rank };
                    (first, last) = (from_start(first).max(0), from_start(last));
                } else if last == -1 {
                    last = i64::MAX - 1;
                }
                let limit = last.saturating_sub(first).saturating_add(1).max(0) as u64;
                Ok((Range::all(), Window { skip: first as u64, limit, ..window }))
            }
        }
    }
}

/// The options of `ZRANGE` and those like it.
#[derive(Debug, Clone, Copy)]
pub struct RangeOptions<'a> {
    /// What is wanted.
    pub between: Between<'a>,
    /// Which part of that.
    pub window: Window,
    /// `WITHSCORES`.
    pub with_scores: bool,
}

/// What a command's name says of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Nothing: `BYSCORE`, `BYLEX` and `REV` are options.
    Option,
    /// Ranks.
    Rank,
    /// Scores.
    Score,
    /// Names.
    Name,
}

impl<'a> RangeOptions<'a> {
    /// Reads the ends of the range and what follows them.
    pub fn parse(
        args: Args<'a>,
        mut by: By,
        mut reverse: bool,
        stores: bool,
    ) -> Result<RangeOptions<'a>, Stop> {
        let may_reverse = by == By::Option;
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let options = args.from(2);
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if !stores && is(b"withscores") {
                with_scores = true;
            } else if is(b"limit") && options.len() >= 2 {
                let mut number = || rank(options.next().unwrap_or_default());
                (offset, limit) = (number()?, number()?);
            } else if may_reverse && !reverse && is(b"rev") {
                reverse = true;
            } else if by == By::Option && is(b"bylex") {
                by = By::Name;
            } else if by == By::Option && is(b"byscore") {
                by = By::Score;
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        let by_rank = matches!(by, By::Option | By::Rank);
        if limit != -1 && by_rank {
            return Err("ERR syntax error, LIMIT is only supported in combination with either \
                        BYSCORE or BYLEX"
                .into());
        }
        if with_scores && by == By::Name {
            return Err(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX".into()
            );
        }
        let (first, second) = (args.get(0), args.get(1));
        let (min, max) = if reverse && !by_rank { (second, first) } else { (first, second) };
        let between = match by {
            By::Option | By::Rank => Between::ranks(min, max)?,
            By::Score => Between::scores(min, max)?,
            By::Name => Between::names(min, max)?,
        };
        // A negative offset is past all members, a negative limit is none.
        let skip = u64::try_from(offset).unwrap_or(u64::MAX);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let window = match by_rank {
            true => Window { reverse, ..Window::ALL },
            false => Window { skip, limit, reverse },
        };
        Ok(RangeOptions { between, window, with_scores })
    }
}

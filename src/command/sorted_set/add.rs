//! `ZADD` and `ZINCRBY`.

use crate::command::{Args, Ctx, Outcome};
use crate::data::sorted_set::{Change, SortedSet};
use crate::error::{self, Stop, Together};
use crate::num;

const NOT_A_NUMBER: &str = "ERR resulting score is not a number (NaN)";

/// The options of `ZADD`.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    /// `NX`: only new members.
    new_only: bool,
    /// `XX`: only members that are there.
    known_only: bool,
    /// `GT`: only to a higher score.
    higher_only: bool,
    /// `LT`: only to a lower score.
    lower_only: bool,
    /// `CH`: scores that changed count too.
    count_changes: bool,
    /// `INCR`: the score is added to the present one, and the reply is the sum.
    increment: bool,
}

impl Options {
    /// Reads options, and says how many arguments they are.
    fn parse(args: Args<'_>) -> (Options, usize) {
        let mut options = Options::default();
        let mut count = 0;
        for option in args.iter() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            match () {
                () if is(b"nx") => options.new_only = true,
                () if is(b"xx") => options.known_only = true,
                () if is(b"gt") => options.higher_only = true,
                () if is(b"lt") => options.lower_only = true,
                () if is(b"ch") => options.count_changes = true,
                () if is(b"incr") => options.increment = true,
                () => break,
            }
            count += 1;
        }
        (options, count)
    }

    fn check(&self, scores: usize) -> Result<(), Stop> {
        let Options { new_only, known_only, higher_only, lower_only, increment, .. } = *self;
        if new_only && known_only {
            return Err("ERR XX and NX options at the same time are not compatible".into());
        }
        if u8::from(higher_only) + u8::from(new_only) + u8::from(lower_only) > 1 {
            return Err("ERR GT, LT, and/or NX options at the same time are not compatible".into());
        }
        if increment && scores > 1 {
            return Err("ERR INCR option supports a single increment-element pair".into());
        }
        Ok(())
    }

    /// The score a member gets, `None` if it stays as it is.
    fn decide(&self, old: Option<f64>, given: f64) -> Result<Option<f64>, Stop> {
        let Some(old) = old else { return Ok(Some(given).filter(|_| !self.known_only)) };
        if self.new_only {
            return Ok(None);
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Err(NOT_A_NUMBER.into());
        }
        let refused = self.lower_only && new >= old || self.higher_only && new <= old;
        Ok(Some(new).filter(|_| !refused))
    }
}

pub fn zadd(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, Options::default())
}

pub fn zincrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, Options { increment: true, ..Options::default() })
}

fn add(ctx: &mut Ctx<'_, '_>, preset: Options) -> Outcome {
    let (mut options, count) = Options::parse(ctx.args.from(2));
    options.increment |= preset.increment;
    let scores = ctx.args.from(2 + count);
    if scores.is_empty() || !scores.len().is_multiple_of(2) {
        return Err(error::SYNTAX.into());
    }
    options.check(scores.len() / 2)?;
    for at in (0..scores.len()).step_by(2) {
        num::parse_f64(scores.get(at)).ok_or(error::NOT_A_FLOAT)?;
    }
    let done = add_all(ctx, options, scores)?;
    match done.last {
        _ if !options.increment => {
            let changed = if options.count_changes { done.moved } else { 0 };
            ctx.reply.integer((done.added + changed) as i64);
        }
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// What `ZADD` has done.
#[derive(Default)]
struct Done {
    added: u64,
    moved: u64,
    /// The score of the last member that the options did not leave out.
    last: Option<f64>,
}

fn add_all(ctx: &mut Ctx<'_, '_>, options: Options, scores: Args<'_>) -> Result<Done, Stop> {
    let (keyspace, key) = (ctx.keyspace()?, ctx.arg(1));
    let (mut done, mut together) = (Done::default(), Together::default());
    let mut set = if options.known_only {
        match SortedSet::find(ctx.view, keyspace, key)? {
            Some(set) => set,
            None => return Ok(done),
        }
    } else {
        SortedSet::open(ctx.view, keyspace, key)?
    };
    for at in (0..scores.len()).step_by(2) {
        let given = num::parse_f64(scores.get(at)).ok_or(error::NOT_A_FLOAT)?;
        let change = set.update(ctx.view, scores.get(at + 1), |old| {
            done.last = options.decide(old, given)?;
            Ok(done.last)
        });
        match together.take(change)? {
            Some(Change::Added) => done.added += 1,
            Some(Change::Moved) => done.moved += 1,
            Some(Change::None) | None => {}
        }
    }
    together.end()?;
    if done.added + done.moved > 0 {
        set.grown(ctx.view, key, done.added)?;
    }
    Ok(done)
}

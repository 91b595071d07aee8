//! Unions, intersections and differences of sets.

use std::ops::ControlFlow;

use crate::command::{Args, Ctx, Outcome};
use crate::data::View;
use crate::data::collection::algebra::{self, TailVisitor};
use crate::data::collection::{Collection, Records};
use crate::data::keys;
use crate::data::set::Set;
use crate::error::{self, Stop, Together};
use crate::limits::TRANSACTION_BYTES_MAX;
use crate::num;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

impl Operation {
    /// Visits what the operation makes of these sets, of which there is at least one.
    fn walk(
        self,
        view: &View<'_>,
        sets: &[Option<Collection>],
        visit: &mut TailVisitor<'_>,
    ) -> Outcome {
        let there: Vec<Collection> = sets.iter().flatten().copied().collect();
        match self {
            Operation::Union => algebra::union(view, &there, visit),
            Operation::Intersection if there.len() < sets.len() => Ok(()),
            Operation::Intersection => algebra::intersection(view, &there, visit),
            Operation::Difference if sets[0].is_none() => Ok(()),
            Operation::Difference => algebra::difference(view, &there, visit),
        }
    }
}

/// The sets at these keys.
fn sets(ctx: &Ctx<'_, '_>, keys: Args<'_>) -> Result<Vec<Option<Collection>>, Stop> {
    let keyspace = ctx.keyspace()?;
    let (mut found, mut together) = (Vec::with_capacity(keys.len()), Together::default());
    for key in keys.iter() {
        let set = together.take(Set::find(ctx.view, keyspace, key))?;
        found.push(set.flatten().map(|set| *set.collection()));
    }
    together.end()?;
    Ok(found)
}

/// Replies with what the operation makes of the sets at all arguments.
fn reply(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Outcome {
    let sets = sets(ctx, ctx.args.from(1))?;
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let (mark, mut count) = (reply.mark(), 0);
    operation.walk(view, &sets, &mut |tail| {
        reply.bulk(keys::tail_name(tail));
        count += 1;
        if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    reply.set_header_at(mark, count);
    ctx.check_replies()
}

/// Puts what the operation makes of the sets at the other arguments at the first argument's key.
fn store(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Outcome {
    let sets = sets(ctx, ctx.args.from(2))?;
    let mut members = Records::default();
    operation.walk(ctx.view, &sets, &mut |tail| {
        members.push(tail, &[]);
        // One transaction cannot hold more; it is refused when that has been written.
        match members.bytes() <= TRANSACTION_BYTES_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    let keyspace = ctx.keyspace()?;
    Set::store(ctx.view, keyspace, ctx.arg(1), &members)?;
    ctx.reply.integer(members.len() as i64);
    Ok(())
}

pub(super) fn sunion(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Union)
}

pub(super) fn sinter(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Intersection)
}

pub(super) fn sdiff(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Difference)
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store(ctx, Operation::Union)
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store(ctx, Operation::Intersection)
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store(ctx, Operation::Difference)
}

pub(super) fn sintercard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let positive = |text| num::parse_u64(text).filter(|number| *number <= i64::MAX as u64);
    let numkeys = positive(ctx.arg(1)).filter(|count| *count > 0);
    let numkeys = numkeys.ok_or("ERR numkeys should be greater than 0")?;
    let given = ctx.args.from(2);
    if numkeys > given.len() as u64 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    let (mut limit, options) = (0, given.from(numkeys as usize));
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().filter(|_| option.eq_ignore_ascii_case(b"limit"));
        limit = positive(value.ok_or(error::SYNTAX)?).ok_or("ERR LIMIT can't be negative")?;
    }
    let sets = sets(ctx, given.first(numkeys as usize))?;
    let mut count = 0;
    Operation::Intersection.walk(ctx.view, &sets, &mut |_| {
        count += 1;
        if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    ctx.reply.integer(count as i64);
    Ok(())
}

//! List commands.

use std::ops::ControlFlow;

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::list::{End, List};
use crate::error::{self, Stop};
use crate::num;

const READ: Flags = Flags::READONLY;

/// The rows of the list commands.
pub const TABLE: &[Spec] = &[
    Spec::new("lpush", -3, Flags::GROWS_FAST, Keys::ONE, lpush).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items",
        "Adds items at the left end of a list, one after the other.",
    ),
    Spec::new("rpush", -3, Flags::GROWS_FAST, Keys::ONE, rpush).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items",
        "Adds items at the right end of a list, one after the other.",
    ),
    Spec::new("lpop", -2, Flags::WRITE_FAST, Keys::ONE, lpop).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items",
        "Removes and returns items at the left end of a list.",
    ),
    Spec::new("rpop", -2, Flags::WRITE_FAST, Keys::ONE, rpop).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items",
        "Removes and returns items at the right end of a list.",
    ),
    Spec::new("llen", 2, Flags::READ_FAST, Keys::ONE, llen).doc(
        Group::List,
        "1.0.0",
        "O(1)",
        "Returns the number of items.",
    ),
    Spec::new("lrange", 4, READ, Keys::ONE, lrange).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items returned",
        "Returns the items between two indexes.",
    ),
];

/// The list at the key that is the first argument.
fn find(ctx: &Ctx<'_, '_>) -> Result<Option<List>, Stop> {
    List::find(ctx.view, ctx.keyspace()?, ctx.arg(1))
}

/// Adds the items from the second argument on and replies with the length.
fn push(ctx: &mut Ctx<'_, '_>, mut list: List, to: End) -> Outcome {
    for value in ctx.args.from(2).iter() {
        list.push(ctx.view, to, value);
    }
    list.save(ctx.view, ctx.arg(1))?;
    ctx.reply.integer(list.len() as i64);
    Ok(())
}

fn lpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let list = List::open(ctx.view, ctx.keyspace()?, ctx.arg(1))?;
    push(ctx, list, End::Left)
}

fn rpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let list = List::open(ctx.view, ctx.keyspace()?, ctx.arg(1))?;
    push(ctx, list, End::Right)
}

/// Removes `count` items, no more than there are, and adds them to the reply.
fn reply_popped(ctx: &mut Ctx<'_, '_>, list: List, key: &[u8], from: End, count: u64) -> Outcome {
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    list.pop(view, key, from, count, &mut |value| {
        reply.bulk(value);
        if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// A number of items.
fn parse_count(text: &[u8]) -> Result<u64, Stop> {
    let count = num::parse_i64(text).and_then(|count| u64::try_from(count).ok());
    count.ok_or_else(|| "ERR value is out of range, must be positive".into())
}

fn pop(ctx: &mut Ctx<'_, '_>, command: &str, from: End) -> Outcome {
    let count = match ctx.args.len() {
        2 => None,
        3 => Some(parse_count(ctx.arg(2))?),
        _ => return Err(format!("ERR wrong number of arguments for '{command}' command").into()),
    };
    match (find(ctx)?, count) {
        (None, None) => ctx.reply.null(),
        (None, Some(_)) => ctx.reply.null_array(),
        (Some(list), None) => reply_popped(ctx, list, ctx.arg(1), from, 1)?,
        (Some(list), Some(count)) => {
            let count = count.min(list.len());
            ctx.reply.array(count as usize);
            reply_popped(ctx, list, ctx.arg(1), from, count)?;
        }
    }
    Ok(())
}

fn lpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, "lpop", End::Left)
}

fn rpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, "rpop", End::Right)
}

fn llen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let len = find(ctx)?.map_or(0, |list| list.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

/// The two indexes that are the second and third argument.
fn parse_range(ctx: &Ctx<'_, '_>) -> Result<(i64, i64), Stop> {
    let index = |at| num::parse_i64(ctx.arg(at)).ok_or(error::NOT_AN_INTEGER);
    Ok((index(2)?, index(3)?))
}

/// What lies between two indexes of a list of `len` items: the first index and how many.
fn clip((start, stop): (i64, i64), len: u64) -> (u64, u64) {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as u64, (stop - start) as u64 + 1) }
}

fn lrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let range = parse_range(ctx)?;
    let Some(list) = find(ctx)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (first, count) = clip(range, list.len());
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    reply.array(count as usize);
    list.range(view, first, count, &mut |value| {
        reply.bulk(value);
        if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

//! `BLPOP`, `BRPOP`, `BLMPOP`, `BLMOVE`, `BRPOPLPUSH`: as without the `B`, but they wait for items.

use super::pop::{self, PopAny};
use crate::command::blocking::{parse_timeout, take_array_or_wait, take_or_wait};
use crate::command::{Ctx, Outcome};
use crate::data::list::{End, List};
use crate::error::Stop;

fn pop(ctx: &mut Ctx<'_, '_>, from: End) -> Outcome {
    let last = ctx.args.len() - 1;
    let wait = parse_timeout(ctx.arg(last))?;
    let keyspace = ctx.keyspace()?;
    let args = ctx.args;
    let keys = (1..last).map(move |at| args.get(at));
    take_array_or_wait(ctx, wait, keys, |ctx, key| {
        let Some(list) = List::find(ctx.view, keyspace, key)? else { return Ok(false) };
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        pop::reply_popped(ctx, list, key, from, 1)?;
        Ok(true)
    })
}

pub(super) fn blpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Left)
}

pub(super) fn brpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Right)
}

pub(super) fn blmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let wait = parse_timeout(ctx.arg(1))?;
    let any = PopAny::parse(ctx.args, 2)?;
    take_array_or_wait(ctx, wait, any.keys(), |ctx, key| any.take(ctx, key))
}

/// Moves an item from the first key's list to the second's.
fn move_item(ctx: &mut Ctx<'_, '_>, timeout: usize, from: End, to: End) -> Outcome {
    let wait = parse_timeout(ctx.arg(timeout))?;
    let target = ctx.arg(2);
    let source = std::iter::once(ctx.arg(1));
    // Once there is something to move it does not wait for a place to put it.
    let mut failed = None;
    let moved = take_or_wait(ctx, wait, source, |ctx, source| {
        let keyspace = ctx.keyspace()?;
        if List::find(ctx.view, keyspace, source)?.is_none() {
            return Ok(false);
        }
        match pop::move_item(ctx, (source, from), (target, to)) {
            Err(stop @ Stop::Error(_)) => {
                failed = Some(stop);
                Ok(true)
            }
            moved => moved,
        }
    })?;
    if let Some(stop) = failed {
        return Err(stop);
    }
    if !moved {
        ctx.reply.null();
    }
    Ok(())
}

pub(super) fn blmove(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (from, to) = (pop::parse_end(ctx.arg(3))?, pop::parse_end(ctx.arg(4))?);
    move_item(ctx, 5, from, to)
}

pub(super) fn brpoplpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    move_item(ctx, 3, End::Right, End::Left)
}

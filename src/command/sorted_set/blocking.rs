//! `BZPOPMIN`, `BZPOPMAX`, `BZMPOP`: as without the `B`, but they wait for members.

use super::pop::{self, End};
use crate::command::blocking::{parse_timeout, take_array_or_wait};
use crate::command::{Ctx, Outcome};

fn pop_one(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    let last = ctx.args.len() - 1;
    let wait = parse_timeout(ctx.arg(last))?;
    let args = ctx.args;
    let keys = (1..last).map(move |at| args.get(at));
    take_array_or_wait(ctx, wait, keys, |ctx, key| {
        let members = pop::pop(ctx, key, end, 1)?;
        if members.is_empty() {
            return Ok(false);
        }
        ctx.reply.array(3);
        ctx.reply.bulk(key);
        pop::reply_members(ctx.reply, &members, false);
        Ok(true)
    })
}

pub fn bzpopmin(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop_one(ctx, End::Min)
}

pub fn bzpopmax(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop_one(ctx, End::Max)
}

pub fn bzmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let wait = parse_timeout(ctx.arg(1))?;
    let (keys, end, count) = pop::parse_many(ctx.args, 2)?;
    take_array_or_wait(ctx, wait, keys.iter(), |ctx, key| pop::pop_some(ctx, key, end, count))
}

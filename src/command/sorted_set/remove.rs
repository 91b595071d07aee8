//! Commands that remove members.

use super::bounds::Between;
use super::find;
use crate::command::elements::remove_named;
use crate::command::{Ctx, Outcome};
use crate::data::sorted_set::{SortedSet, Window};
use crate::error::Stop;

pub fn zrem(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let found = find(ctx)?;
    remove_named(ctx, found, SortedSet::collection, SortedSet::remove)
}

fn remove_range(ctx: &mut Ctx<'_, '_>, between: Result<Between<'_>, Stop>) -> Outcome {
    let between = between?;
    let removed = match find(ctx)? {
        Some(set) => {
            let (range, window) = between.find(ctx.view, &set, Window::ALL)?;
            set.remove_range(ctx.view, ctx.arg(1), &range, window)?
        }
        None => 0,
    };
    ctx.reply.integer(removed as i64);
    Ok(())
}

pub fn zremrangebyrank(ctx: &mut Ctx<'_, '_>) -> Outcome {
    remove_range(ctx, Between::ranks(ctx.arg(2), ctx.arg(3)))
}

pub fn zremrangebyscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    remove_range(ctx, Between::scores(ctx.arg(2), ctx.arg(3)))
}

pub fn zremrangebylex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    remove_range(ctx, Between::names(ctx.arg(2), ctx.arg(3)))
}

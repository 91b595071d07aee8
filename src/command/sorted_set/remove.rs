//! Commands that remove members.

use super::bounds::Between;
use super::find;
use crate::command::{Ctx, Outcome};
use crate::data::sorted_set::Window;
use crate::error::{Stop, Together};

pub fn zrem(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (mut removed, mut together) = (0, Together::default());
    if let Some(set) = find(ctx)? {
        for member in ctx.args.from(2).iter() {
            let was_there = together.take(set.remove(ctx.view, member))?;
            removed += u64::from(was_there == Some(true));
        }
        if removed > 0 {
            let shrunk = set.collection().shrunk(ctx.view, ctx.arg(1), removed);
            together.take(shrunk)?;
        }
    }
    together.end()?;
    ctx.reply.integer(removed as i64);
    Ok(())
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

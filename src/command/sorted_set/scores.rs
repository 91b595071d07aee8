//! Commands that look at single members, or count them.

use super::bounds::Between;
use super::find;
use crate::command::{Ctx, Outcome};
use crate::data::sorted_set::{SortedSet, Window};
use crate::error::{Stop, Together};

/// Replies with the score of a member of a set, either of which may not be there.
fn reply_score(ctx: &mut Ctx<'_, '_>, set: Option<SortedSet>, member: &[u8]) -> Outcome {
    let score = set.map(|set| set.score(ctx.view, member)).transpose()?;
    match score.flatten() {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub fn zscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let set = find(ctx)?;
    reply_score(ctx, set, ctx.arg(2))
}

pub fn zmscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let set = find(ctx)?;
    let members = ctx.args.from(2);
    ctx.reply.array(members.len());
    let mut together = Together::default();
    for member in members.iter() {
        together.take(reply_score(ctx, set, member))?;
        ctx.check_replies()?;
    }
    together.end()
}

pub fn zcard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let len = match find(ctx)? {
        Some(set) => set.collection().len(ctx.view)?,
        None => 0,
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

fn count(ctx: &mut Ctx<'_, '_>, between: Result<Between<'_>, Stop>) -> Outcome {
    let between = between?;
    let count = match find(ctx)? {
        Some(set) => {
            let (range, _) = between.find(ctx.view, &set, Window::ALL)?;
            set.count(ctx.view, &range)?
        }
        None => 0,
    };
    ctx.reply.integer(count as i64);
    Ok(())
}

pub fn zcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    count(ctx, Between::scores(ctx.arg(2), ctx.arg(3)))
}

pub fn zlexcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    count(ctx, Between::names(ctx.arg(2), ctx.arg(3)))
}

fn rank(ctx: &mut Ctx<'_, '_>, reverse: bool) -> Outcome {
    let rank = match find(ctx)? {
        Some(set) => set.rank(ctx.view, ctx.arg(2), reverse)?,
        None => None,
    };
    match rank {
        Some(rank) => ctx.reply.integer(rank as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub fn zrank(ctx: &mut Ctx<'_, '_>) -> Outcome {
    rank(ctx, false)
}

pub fn zrevrank(ctx: &mut Ctx<'_, '_>) -> Outcome {
    rank(ctx, true)
}

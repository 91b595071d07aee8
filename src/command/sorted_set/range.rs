//! `ZRANGE` and those like it.

use std::ops::ControlFlow;

use super::bounds::{By, RangeOptions};
use super::{find, replies, reply_member};
use crate::command::{Ctx, Outcome};
use crate::data::sorted_set::SortedSet;
use crate::error::Stop;
use crate::limits::TRANSACTION_BYTES_MAX;

fn range(ctx: &mut Ctx<'_, '_>, by: By, reverse: bool) -> Outcome {
    let RangeOptions { between, window, with_scores } =
        RangeOptions::parse(ctx.args.from(2), by, reverse, false)?;
    let Some(set) = find(ctx)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (range, window) = between.find(ctx.view, &set, window)?;
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let (mark, mut count) = (reply.mark(), 0);
    set.walk(view, &range, window, &mut |member, score| {
        reply_member(reply, member, with_scores.then_some(score));
        count += 1;
        if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let count = replies(reply, count, with_scores);
    reply.array_header_at(mark, count);
    ctx.check_replies()
}

pub fn zrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, By::Option, false)
}

pub fn zrevrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, By::Rank, true)
}

pub fn zrangebyscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, By::Score, false)
}

pub fn zrevrangebyscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, By::Score, true)
}

pub fn zrangebylex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, By::Name, false)
}

pub fn zrevrangebylex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, By::Name, true)
}

pub fn zrangestore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = RangeOptions::parse(ctx.args.from(3), By::Option, false, true)?;
    let keyspace = ctx.keyspace()?;
    let mut members = Vec::new();
    if let Some(set) = SortedSet::find(ctx.view, keyspace, ctx.arg(2))? {
        let (range, window) = options.between.find(ctx.view, &set, options.window)?;
        let mut bytes = 0;
        set.walk(ctx.view, &range, window, &mut |member, score| {
            bytes += member.len() + size_of::<f64>();
            members.push((member.to_vec(), score));
            // One transaction cannot hold more.
            if bytes > TRANSACTION_BYTES_MAX {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(Stop::TooLarge);
        }
    }
    store(ctx, ctx.arg(1), members)
}

/// Puts a sorted set of these members at a key, or removes it if there are none, and says how many
/// there are.
pub fn store(ctx: &mut Ctx<'_, '_>, key: &[u8], mut members: Vec<(Vec<u8>, f64)>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    if members.is_empty() {
        ctx.view.remove(keyspace, key)?;
    } else {
        let prior = ctx.view.prior(keyspace, key)?;
        SortedSet::store(ctx.view, keyspace, key, &mut members, prior)?;
    }
    ctx.reply.integer(members.len() as i64);
    Ok(())
}

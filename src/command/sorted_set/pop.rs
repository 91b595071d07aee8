//! Commands that remove members from an end and return them.

use super::pairs;
use crate::command::{Ctx, Outcome};
use crate::data::sorted_set::{self, Members, Range, SortedSet, Window};
use crate::error::{self, Stop};
use crate::num;
use crate::resp::Reply;

/// The end that members are removed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The lowest scores.
    Min,
    /// The highest scores.
    Max,
}

/// Removes up to so many members from one end of the sorted set at a key; none if it is not there.
pub fn pop(ctx: &mut Ctx<'_, '_>, key: &[u8], end: End, count: u64) -> Result<Members, Stop> {
    let keyspace = ctx.keyspace()?;
    let Some(set) = SortedSet::find(ctx.view, keyspace, key)? else { return Ok(Members::new()) };
    let window = Window { skip: 0, limit: count, reverse: end == End::Max };
    set.take(ctx.view, key, &Range::all(), window)
}

/// Replies with members and their scores, without a header.
pub fn reply_members(reply: &mut Reply, members: &Members, nested: bool) {
    for position in members {
        let (score, member) = sorted_set::split(position);
        if nested {
            reply.array(2);
        }
        reply.bulk(member);
        reply.double(score);
    }
}

fn pop_command(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(error::SYNTAX.into());
    }
    let given = ctx.args.len() == 3;
    let count = if given { num::parse_i64(ctx.arg(2)) } else { Some(1) };
    let count = count.and_then(|count| u64::try_from(count).ok());
    let count = count.ok_or("ERR value is out of range, must be positive")?;
    let members = pop(ctx, ctx.arg(1), end, count)?;
    let nested = given && pairs(ctx.reply);
    ctx.reply.array(if nested { members.len() } else { 2 * members.len() });
    reply_members(ctx.reply, &members, nested);
    Ok(())
}

pub fn zpopmin(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop_command(ctx, End::Min)
}

pub fn zpopmax(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop_command(ctx, End::Max)
}

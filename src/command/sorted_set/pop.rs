//! Commands that remove members from an end and return them.

use super::pairs;
use crate::command::{Args, Ctx, Outcome};
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

/// The keys, the end and the count of `ZMPOP`, which are its arguments from number `at` on.
pub fn parse_many(args: Args<'_>, at: usize) -> Result<(Args<'_>, End, u64), Stop> {
    let positive = |text| num::parse_u64(text).filter(|number| (1..1 << 63).contains(number));
    let numkeys = positive(args.get(at)).ok_or("ERR numkeys should be greater than 0")?;
    let given = args.from(at + 1);
    let numkeys = usize::try_from(numkeys).unwrap_or(usize::MAX);
    if numkeys >= given.len() {
        return Err(error::SYNTAX.into());
    }
    let end = match given.get(numkeys) {
        end if end.eq_ignore_ascii_case(b"min") => End::Min,
        end if end.eq_ignore_ascii_case(b"max") => End::Max,
        _ => return Err(error::SYNTAX.into()),
    };
    let (options, mut count) = (given.from(numkeys + 1), None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().filter(|_| option.eq_ignore_ascii_case(b"count"));
        let value = value.filter(|_| count.is_none()).ok_or(error::SYNTAX)?;
        count = Some(positive(value).ok_or("ERR count should be greater than 0")?);
    }
    Ok((given.first(numkeys), end, count.unwrap_or(1)))
}

/// Pops up to so many members of the sorted set at a key and replies with it and them; whether there
/// is one. Otherwise there is no reply yet.
pub fn pop_some(ctx: &mut Ctx<'_, '_>, key: &[u8], end: End, count: u64) -> Result<bool, Stop> {
    let members = pop(ctx, key, end, count)?;
    if members.is_empty() {
        return Ok(false);
    }
    ctx.reply.array(2);
    ctx.reply.bulk(key);
    ctx.reply.array(members.len());
    reply_members(ctx.reply, &members, true);
    Ok(true)
}

/// Pops from the first of these keys that has members, and replies with it and them; whether one has.
pub fn pop_first(
    ctx: &mut Ctx<'_, '_>,
    keys: Args<'_>,
    end: End,
    count: u64,
) -> Result<bool, Stop> {
    let keyspace = ctx.keyspace()?;
    let mut pending = false;
    for key in keys.iter() {
        match SortedSet::find(ctx.view, keyspace, key) {
            Ok(None) => {}
            Err(Stop::Pending) => pending = true,
            // It is not known yet whether it comes to this key.
            _ if pending => break,
            Ok(Some(_)) => return pop_some(ctx, key, end, count),
            Err(stop) => return Err(stop),
        }
    }
    if pending { Err(Stop::Pending) } else { Ok(false) }
}

pub fn zmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (keys, end, count) = parse_many(ctx.args, 1)?;
    if !pop_first(ctx, keys, end, count)? {
        ctx.reply.null_array();
    }
    Ok(())
}

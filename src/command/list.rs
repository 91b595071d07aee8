//! List commands.

mod blocking;
mod edit;
mod pop;
mod seek;

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::list::{End, List};
use crate::error::{self, Stop};
use crate::num;

const READ: Flags = Flags::READONLY;
/// Takes, and waits for what there is to take.
const WAITS_ANYWHERE: Flags = Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS);
const WAITS: Flags = Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING);
const WAITS_TO_GROW: Flags = WAITS.and(Flags::DENYOOM);
/// All arguments but the last, which is the timeout.
const LISTS: Keys = Keys::range(1, -2, 1);

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
    Spec::new("lpushx", -3, Flags::GROWS_FAST, Keys::ONE, lpushx).doc(
        Group::List,
        "2.2.0",
        "O(N) where N is the number of items",
        "Adds items at the left end of a list that is there.",
    ),
    Spec::new("rpushx", -3, Flags::GROWS_FAST, Keys::ONE, rpushx).doc(
        Group::List,
        "2.2.0",
        "O(N) where N is the number of items",
        "Adds items at the right end of a list that is there.",
    ),
    Spec::new("lpop", -2, Flags::WRITE_FAST, Keys::ONE, pop::lpop).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items",
        "Removes and returns items at the left end of a list.",
    ),
    Spec::new("rpop", -2, Flags::WRITE_FAST, Keys::ONE, pop::rpop).doc(
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
    Spec::new("lrange", 4, READ, Keys::ONE, seek::lrange).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items returned",
        "Returns the items between two indexes.",
    ),
    Spec::new("lindex", 3, READ, Keys::ONE, seek::lindex).doc(
        Group::List,
        "1.0.0",
        "O(1), or O(N) to the nearer end where a long list was changed in its middle",
        "Returns the item with an index.",
    ),
    Spec::new("lset", 4, Flags::GROWS, Keys::ONE, edit::lset).doc(
        Group::List,
        "1.0.0",
        "O(1), or O(N) to the nearer end where a long list was changed in its middle",
        "Gives the item with an index another value.",
    ),
    Spec::new("linsert", 5, Flags::GROWS, Keys::ONE, edit::linsert).doc(
        Group::List,
        "2.2.0",
        "O(N) where N is the number of items up to the one beside which it is put",
        "Puts an item before or behind the first one with a value.",
    ),
    Spec::new("lrem", 4, Flags::WRITE, Keys::ONE, edit::lrem).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items",
        "Removes items with a value.",
    ),
    Spec::new("ltrim", 4, Flags::WRITE, Keys::ONE, edit::ltrim).doc(
        Group::List,
        "1.0.0",
        "O(N) where N is the number of items removed, or of those kept if these are fewer",
        "Removes all items but those between two indexes.",
    ),
    Spec::new("lpos", -3, READ, Keys::ONE, seek::lpos).doc(
        Group::List,
        "6.0.6",
        "O(N) where N is the number of items looked at",
        "Returns the indexes of items with a value.",
    ),
    Spec::new("lmove", 5, Flags::GROWS, Keys::TWO, pop::lmove).doc(
        Group::List,
        "6.2.0",
        "O(1)",
        "Moves an item from an end of a list to an end of the same or another one.",
    ),
    Spec::new("rpoplpush", 3, Flags::GROWS, Keys::TWO, pop::rpoplpush).doc(
        Group::List,
        "1.2.0",
        "O(1)",
        "Moves an item from the right end of a list to the left end of the same or another one.",
    ),
    Spec::new("lmpop", -4, Flags::WRITE.and(Flags::MOVABLE_KEYS), Keys::counted(1), pop::lmpop)
        .doc(
            Group::List,
            "7.0.0",
            "O(N+M) where N is the number of keys and M the number of items",
            "Removes and returns items of the first list that is there.",
        ),
    Spec::new("blpop", -3, WAITS, LISTS, blocking::blpop).doc(
        Group::List,
        "2.0.0",
        "O(N) where N is the number of lists",
        "Removes and returns the leftmost item of the first list that has one; waits for it.",
    ),
    Spec::new("brpop", -3, WAITS, LISTS, blocking::brpop).doc(
        Group::List,
        "2.0.0",
        "O(N) where N is the number of lists",
        "Removes and returns the rightmost item of the first list that has one; waits for it.",
    ),
    Spec::new("blmpop", -5, WAITS_ANYWHERE, Keys::counted(2), blocking::blmpop).doc(
        Group::List,
        "7.0.0",
        "O(N+M) where N is the number of lists and M the number of items returned",
        "Removes and returns items of the first list that has some; waits for them.",
    ),
    Spec::new("blmove", 6, WAITS_TO_GROW, Keys::TWO, blocking::blmove).doc(
        Group::List,
        "6.2.0",
        "O(1)",
        "Moves an item from an end of a list to an end of another; waits for it.",
    ),
    Spec::new("brpoplpush", 4, WAITS_TO_GROW, Keys::TWO, blocking::brpoplpush).doc(
        Group::List,
        "2.2.0",
        "O(1)",
        "Moves the rightmost item of a list to the left end of another; waits for it.",
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

/// Adds items to a list that is there.
fn push_if_there(ctx: &mut Ctx<'_, '_>, to: End) -> Outcome {
    match find(ctx)? {
        Some(list) => push(ctx, list, to),
        None => {
            ctx.reply.integer(0);
            Ok(())
        }
    }
}

fn lpushx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    push_if_there(ctx, End::Left)
}

fn rpushx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    push_if_there(ctx, End::Right)
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

/// The index that an argument means in a list of `len` items, if there is such an item.
fn parse_index(text: &[u8], len: u64) -> Result<Option<u64>, Stop> {
    let index = num::parse_i64(text).ok_or(error::NOT_AN_INTEGER)?;
    let index = if index < 0 { index.saturating_add(len as i64) } else { index };
    Ok(u64::try_from(index).ok().filter(|index| *index < len))
}

//! Taking items off the ends of lists: `LPOP`, `RPOP`, `LMPOP`, `LMOVE` and `RPOPLPUSH`.

use std::ops::ControlFlow;

use super::find;
use crate::command::{Args, Ctx, Outcome};
use crate::data::list::{self, End, List};
use crate::error::{self, Stop};
use crate::num;

/// Removes `count` items, no more than there are, from a list and adds them to the reply.
pub fn reply_popped(
    ctx: &mut Ctx<'_, '_>,
    list: List,
    key: &[u8],
    from: End,
    count: u64,
) -> Outcome {
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    list.pop(view, key, from, count, &mut |value| {
        reply.bulk(value);
        if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    ctx.check_replies()
}

fn pop(ctx: &mut Ctx<'_, '_>, command: &str, from: End) -> Outcome {
    let count = match ctx.args.len() {
        2 => None,
        3 => Some(num::parse_i64(ctx.arg(2)).and_then(|count| u64::try_from(count).ok())),
        _ => return Err(format!("ERR wrong number of arguments for '{command}' command").into()),
    };
    if count == Some(None) {
        return Err("ERR value is out of range, must be positive".into());
    }
    match (find(ctx)?, count.flatten()) {
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

pub(super) fn lpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, "lpop", End::Left)
}

pub(super) fn rpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, "rpop", End::Right)
}

/// The end that `LEFT` or `RIGHT` names.
pub fn parse_end(text: &[u8]) -> Result<End, Stop> {
    let ends = [(&b"left"[..], End::Left), (b"right", End::Right)];
    let found = ends.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    found.map(|(_, end)| end).ok_or_else(|| error::SYNTAX.into())
}

/// Moves an item from an end of one list to an end of another, which may be the same, and replies with
/// it; whether there was one. Without one there is no reply yet.
pub fn move_item(
    ctx: &mut Ctx<'_, '_>,
    source: (&[u8], End),
    target: (&[u8], End),
) -> Result<bool, Stop> {
    let keyspace = ctx.keyspace()?;
    let moved = list::move_item(ctx.view, keyspace, source, target)?;
    if let Some(value) = &moved {
        ctx.reply.bulk(value);
    }
    Ok(moved.is_some())
}

pub(super) fn lmove(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (from, to) = (parse_end(ctx.arg(3))?, parse_end(ctx.arg(4))?);
    if !move_item(ctx, (ctx.arg(1), from), (ctx.arg(2), to))? {
        ctx.reply.null();
    }
    Ok(())
}

pub(super) fn rpoplpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !move_item(ctx, (ctx.arg(1), End::Right), (ctx.arg(2), End::Left))? {
        ctx.reply.null();
    }
    Ok(())
}

/// What `LMPOP` and its like are asked for.
pub struct PopAny<'a> {
    /// The first `keys` of these are keys.
    args: Args<'a>,
    keys: usize,
    from: End,
    count: u64,
}

impl<'a> PopAny<'a> {
    /// Reads the number of keys, which is the argument at position `at`, and all behind it.
    pub fn parse(args: Args<'a>, at: usize) -> Result<PopAny<'a>, Stop> {
        let positive = |text| num::parse_i64(text).filter(|number| *number > 0);
        let keys = positive(args.get(at)).ok_or("ERR numkeys should be greater than 0")?;
        let args = args.from(at + 1);
        let keys = usize::try_from(keys).ok().filter(|keys| *keys < args.len());
        let keys = keys.ok_or(error::SYNTAX)?;
        let from = parse_end(args.get(keys))?;
        let options = args.from(keys + 1);
        let count = match options.len() {
            0 => 1,
            1 => return Err(error::SYNTAX.into()),
            _ if !options.get(0).eq_ignore_ascii_case(b"count") => return Err(error::SYNTAX.into()),
            more => {
                let count = positive(options.get(1));
                let count = count.ok_or("ERR count should be greater than 0")?;
                if more > 2 {
                    return Err(error::SYNTAX.into());
                }
                count as u64
            }
        };
        Ok(PopAny { args, keys, from, count })
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let args = self.args;
        (0..self.keys).map(move |index| args.get(index))
    }

    /// Removes items of the first of the lists that is there and replies with its key and them; whether
    /// there was one. Without one there is no reply yet.
    pub fn run(&self, ctx: &mut Ctx<'_, '_>) -> Result<bool, Stop> {
        for key in self.keys() {
            if self.take(ctx, key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same for one of the lists.
    pub fn take(&self, ctx: &mut Ctx<'_, '_>, key: &[u8]) -> Result<bool, Stop> {
        let Some(list) = List::find(ctx.view, ctx.keyspace()?, key)? else { return Ok(false) };
        let count = self.count.min(list.len());
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        ctx.reply.array(count as usize);
        reply_popped(ctx, list, key, self.from, count)?;
        Ok(true)
    }
}

pub(super) fn lmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !PopAny::parse(ctx.args, 1)?.run(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

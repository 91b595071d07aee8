//! Changing items inside lists: `LSET`, `LINSERT`, `LREM` and `LTRIM`.

use super::{clip, find, parse_index, parse_range};
use crate::command::{Ctx, Outcome};
use crate::data::list::{BOUNDS, End};
use crate::error;
use crate::num;

pub(super) fn lset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let list = find(ctx)?.ok_or(error::NO_SUCH_KEY)?;
    let index = parse_index(ctx.arg(2), list.len())?.ok_or("ERR index out of range")?;
    list.set(ctx.view, ctx.arg(1), index, ctx.arg(3))?;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn linsert(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let side = match ctx.arg(2) {
        side if side.eq_ignore_ascii_case(b"before") => End::Left,
        side if side.eq_ignore_ascii_case(b"after") => End::Right,
        _ => return Err(error::SYNTAX.into()),
    };
    let len = match find(ctx)? {
        Some(list) => {
            let pivot = (side, ctx.arg(3));
            let len = list.insert(ctx.view, ctx.arg(1), pivot, ctx.arg(4), &BOUNDS)?;
            len.map_or(-1, |len| len as i64)
        }
        None => 0,
    };
    ctx.reply.integer(len);
    Ok(())
}

pub(super) fn lrem(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (from, max) = match num::parse_i64(ctx.arg(2)).ok_or(error::NOT_AN_INTEGER)? {
        0 => (End::Left, u64::MAX),
        count if count < 0 => (End::Right, count.unsigned_abs()),
        count => (End::Left, count as u64),
    };
    let removed = match find(ctx)? {
        Some(list) => list.remove(ctx.view, ctx.arg(1), ctx.arg(3), (from, max), &BOUNDS)?,
        None => 0,
    };
    ctx.reply.integer(removed as i64);
    Ok(())
}

pub(super) fn ltrim(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let range = parse_range(ctx)?;
    if let Some(list) = find(ctx)? {
        let kept = clip(range, list.len());
        list.trim(ctx.view, ctx.arg(1), kept, &BOUNDS)?;
    }
    ctx.reply.ok();
    Ok(())
}

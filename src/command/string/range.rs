//! Commands on parts of strings; of a long string they touch only the chunks they need.

use std::ops::Range;

use crate::command::{Ctx, Outcome};
use crate::data::string::{self, Edit};
use crate::error::{self, Stop};
use crate::num;

pub(super) fn append(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (key, value) = (ctx.arg(1), ctx.arg(2));
    let mut edit = Edit::open(ctx.view, keyspace, key)?;
    let end = edit.len();
    string::check_len(ctx.view, end + value.len() as u64)?;
    edit.write(ctx.view, end, value)?;
    let len = edit.finish(ctx.view, key)?;
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn strlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let len = string::get(ctx.view, keyspace, ctx.arg(1))?.map_or(0, |found| found.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn getrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let start = num::parse_i64(ctx.arg(2)).ok_or(error::NOT_AN_INTEGER)?;
    let end = num::parse_i64(ctx.arg(3)).ok_or(error::NOT_AN_INTEGER)?;
    let Some(found) = string::get(ctx.view, keyspace, ctx.arg(1))? else {
        ctx.reply.bulk(b"");
        return Ok(());
    };
    // Redis moves positions in front of the string to its first byte, but not these.
    let backwards = start < 0 && end < 0 && start > end;
    let range = if backwards { 0..0 } else { resolve(start, end, found.len()) };
    ctx.reply.bulk(&found.part(ctx.view, keyspace, range)?);
    Ok(())
}

/// The positions from `start` to `end` of something with `len` elements. Negative ones count from the
/// end; one in front of all elements is taken for the first.
pub(in crate::command) fn resolve(start: i64, end: i64, len: u64) -> Range<u64> {
    let len = len as i64;
    let inside = |position: i64| if position < 0 { (position + len).max(0) } else { position };
    let (start, end) = (inside(start), inside(end).min(len - 1));
    if start > end { 0..0 } else { start as u64..end as u64 + 1 }
}

pub(super) fn setrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (key, value) = (ctx.arg(1), ctx.arg(3));
    let offset = num::parse_i64(ctx.arg(2)).ok_or(error::NOT_AN_INTEGER)?;
    let offset = u64::try_from(offset).map_err(|_| Stop::from("ERR offset is out of range"))?;
    if value.is_empty() {
        return strlen(ctx);
    }
    let mut edit = Edit::open(ctx.view, keyspace, key)?;
    string::check_len(ctx.view, offset + value.len() as u64)?;
    edit.write(ctx.view, offset, value)?;
    let len = edit.finish(ctx.view, key)?;
    ctx.reply.integer(len as i64);
    Ok(())
}

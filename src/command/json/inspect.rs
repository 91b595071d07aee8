//! JSON commands that tell something about values.
//!
//! A JSONPath replies with an array, in which values of another type are null; a legacy path with what
//! there is to say of the first value, or an error.

use super::{
    NO_DOCUMENT, at_most, check_elements, check_text, kind_name, nowhere, nowhere_or, path_at,
    read, wrong_arity, wrong_kind,
};
use crate::command::{Ctx, Outcome};
use crate::error::{self, Stop};
use crate::json::{self, Path, Search, Value, edit};
use crate::num;
use crate::resp::{Protocol, Reply};

/// Replies with what `one` says of each value; `None` is null.
fn reply_each<T>(
    ctx: &mut Ctx<'_, '_>,
    values: &[&Value],
    one: impl Fn(&Value) -> Option<T>,
    reply: impl Fn(&mut Reply, T),
) -> Outcome {
    ctx.reply.array(values.len());
    for value in values {
        match one(value) {
            Some(said) => reply(ctx.reply, said),
            None => ctx.reply.null(),
        }
        ctx.check_replies()?;
    }
    Ok(())
}

fn reply_len(reply: &mut Reply, len: usize) {
    reply.integer(len as i64);
}

pub(super) fn kind(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 3)?;
    let path = path_at(ctx, 2)?;
    let root = read(ctx, ctx.arg(1))?;
    if ctx.reply.protocol() == Protocol::Resp3 {
        ctx.reply.array(1);
    }
    let Some(root) = root else {
        ctx.reply.null();
        return Ok(());
    };
    let values = Search::new(&root).find(&path)?;
    if path.is_legacy() {
        match values.first() {
            Some(value) => ctx.reply.bulk(kind_name(value).as_bytes()),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    reply_each(
        ctx,
        &values,
        |value| Some(kind_name(value)),
        |reply, name| {
            reply.bulk(name.as_bytes());
        },
    )
}

fn str_len(value: &Value) -> Option<usize> {
    value.as_str().map(str::len)
}

fn arr_len(value: &Value) -> Option<usize> {
    value.as_array().map(Vec::len)
}

fn obj_len(value: &Value) -> Option<usize> {
    value.as_object().map(|members| members.len())
}

/// The document at the key, or the reply to its absence: null for legacy paths.
fn read_or_reply(
    ctx: &mut Ctx<'_, '_>,
    path: &Path<'_>,
    absent: impl Fn() -> Stop,
) -> Result<Option<Value>, Stop> {
    match read(ctx, ctx.arg(1))? {
        Some(root) => Ok(Some(root)),
        None if path.is_legacy() => {
            ctx.reply.null();
            Ok(None)
        }
        None => Err(absent()),
    }
}

pub(super) fn strlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 3)?;
    let path = path_at(ctx, 2)?;
    let Some(root) = read_or_reply(ctx, &path, || NO_DOCUMENT.into())? else { return Ok(()) };
    let values = Search::new(&root).find(&path)?;
    if !path.is_legacy() {
        return reply_each(ctx, &values, str_len, reply_len);
    }
    let first = values.first().ok_or_else(|| nowhere(path.text()))?;
    reply_len(ctx.reply, str_len(first).ok_or_else(|| wrong_kind("string", first))?);
    Ok(())
}

pub(super) fn arrlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 3)?;
    let path = path_at(ctx, 2)?;
    let Some(root) = read_or_reply(ctx, &path, || NO_DOCUMENT.into())? else { return Ok(()) };
    let values = Search::new(&root).find(&path)?;
    if !path.is_legacy() {
        return reply_each(ctx, &values, arr_len, reply_len);
    }
    let first = values.first().ok_or_else(|| nowhere(path.given()))?;
    let len = arr_len(first).ok_or_else(|| nowhere_or(path.given(), "not an array"))?;
    reply_len(ctx.reply, len);
    Ok(())
}

pub(super) fn objlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 3)?;
    let path = path_at(ctx, 2)?;
    let absent = || nowhere_or(path.text(), "not an object");
    let Some(root) = read_or_reply(ctx, &path, absent)? else { return Ok(()) };
    let values = Search::new(&root).find(&path)?;
    if !path.is_legacy() {
        return reply_each(ctx, &values, obj_len, reply_len);
    }
    let Some(first) = values.first() else {
        ctx.reply.null();
        return Ok(());
    };
    reply_len(ctx.reply, obj_len(first).ok_or_else(|| wrong_kind("object", first))?);
    Ok(())
}

pub(super) fn objkeys(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 3)?;
    let path = path_at(ctx, 2)?;
    let Some(root) = read_or_reply(ctx, &path, || NO_DOCUMENT.into())? else { return Ok(()) };
    let values = Search::new(&root).find(&path)?;
    let names = |value: &Value| -> Option<Vec<String>> {
        Some(value.as_object()?.keys().cloned().collect())
    };
    let reply_names = |reply: &mut Reply, names: Vec<String>| {
        reply.array(names.len());
        names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    };
    if !path.is_legacy() {
        return reply_each(ctx, &values, names, reply_names);
    }
    let Some(first) = values.first() else {
        ctx.reply.null();
        return Ok(());
    };
    let names = names(first).ok_or_else(|| nowhere_or(path.text(), "not an object"))?;
    reply_names(ctx.reply, names);
    Ok(())
}

pub(super) fn arrindex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 6)?;
    let path = Path::parse(ctx.arg(2))?;
    let wanted = json::parse_arg(ctx.arg(3))?;
    let position = |index: usize| match ctx.args.len() > index {
        true => num::parse_i64(ctx.arg(index)).ok_or(error::NOT_AN_INTEGER),
        false => Ok(0),
    };
    let (start, stop) = (position(4)?, position(5)?);
    let root = read(ctx, ctx.arg(1))?.ok_or_else(|| nowhere(path.given()))?;
    let values = Search::new(&root).find(&path)?;
    check_elements(values.iter().filter_map(|value| arr_len(value)).sum::<usize>() as u64)?;
    let find = |value: &Value| Some(first_index(value.as_array()?, &wanted, start, stop));
    if !path.is_legacy() {
        return reply_each(ctx, &values, find, Reply::integer);
    }
    let first = values.first().ok_or_else(|| nowhere(path.text()))?;
    ctx.reply.integer(find(first).ok_or_else(|| wrong_kind("array", first))?);
    Ok(())
}

/// The first index from `start` on and before `stop` with the value; -1 if there is none. Negative
/// positions count from the end; a `stop` of 0 is the end.
fn first_index(items: &[Value], wanted: &Value, start: i64, stop: i64) -> i64 {
    let len = items.len() as i64;
    let from_end = |position: i64| position.saturating_add(len).max(0);
    let start = if start < 0 { from_end(start) } else { start.min((len - 1).max(0)) };
    let stop = match stop {
        0 => len,
        ..0 => from_end(stop),
        _ => stop.min(len),
    };
    let range = items.get(start as usize..stop as usize).unwrap_or_default();
    let found = range.iter().position(|item| edit::is_same(item, wanted));
    found.map_or(-1, |offset| start + offset as i64)
}

pub(super) fn memory(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 4 {
        return Err(wrong_arity(ctx));
    }
    let path = path_at(ctx, 3)?;
    let Some(root) = read(ctx, ctx.arg(2))? else {
        match path.is_legacy() {
            true => ctx.reply.integer(0),
            false => ctx.reply.array(0),
        }
        return Ok(());
    };
    let values = Search::new(&root).find(&path)?;
    if path.is_legacy() {
        let first = values.first().ok_or_else(|| nowhere(path.text()))?;
        reply_len(ctx.reply, json::print(first).len());
        return Ok(());
    }
    let mut bytes = 0;
    ctx.reply.array(values.len());
    for value in values {
        let len = json::print(value).len();
        bytes += len as u64;
        check_text(bytes)?;
        reply_len(ctx.reply, len);
    }
    Ok(())
}

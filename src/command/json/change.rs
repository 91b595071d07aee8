//! JSON commands that change values of one type: numbers, strings, truth values, arrays.
//!
//! A JSONPath changes all values of the type and replies with an array, in which the others are null. A
//! legacy path replies with the last result alone, and is an error if there is none.

use super::get::{Expand, reply_value};
use super::{
    Document, NO_DOCUMENT, at_most, check_elements, check_growth, nowhere_or, path_at, wrong_kind,
};
use crate::command::{Ctx, Outcome};
use crate::error::{self, Stop};
use crate::json::edit::{self, Operation, at, innermost_first};
use crate::json::{self, Number, Path, Search, Value};
use crate::num;
use crate::resp::{Protocol, Reply};

/// What a command did to each value that its path leads to; `None` where the type was another.
type Results<T> = Vec<Option<T>>;

/// Calls `act` on each value the path leads to, and saves the document if it did anything to one.
/// `act` returns `None` for values of another type.
fn change<T>(
    ctx: &mut Ctx<'_, '_>,
    path: &Path<'_>,
    added_bytes: usize,
    mut act: impl FnMut(&mut Value) -> Result<Option<T>, Stop>,
) -> Result<Results<T>, Stop> {
    let key = ctx.arg(1);
    let mut document = Document::open(ctx, key)?.ok_or(NO_DOCUMENT)?;
    let places = Search::new(&document.root).places(path)?;
    check_growth(ctx, places.len(), added_bytes)?;
    let mut results: Results<T> = places.iter().map(|_| None).collect();
    let mut elements = 0;
    for number in innermost_first(&places) {
        if let Some(value) = at(&mut document.root, &places[number]) {
            elements += value.as_array().map_or(0, Vec::len) as u64;
            check_elements(elements)?;
            results[number] = act(value)?;
        }
    }
    if results.iter().any(Option::is_some) {
        document.save(ctx, key)?;
    }
    Ok(results)
}

/// Replies as the path's notation demands; `or` says what a legacy path did not lead to.
fn reply_results<T>(
    ctx: &mut Ctx<'_, '_>,
    path: &Path<'_>,
    results: Results<T>,
    or: &str,
    one: impl Fn(&mut Reply, &T),
) -> Outcome {
    if path.is_legacy() {
        let last = results.iter().rev().flatten().next();
        one(ctx.reply, last.ok_or_else(|| nowhere_or(path.text(), or))?);
        return Ok(());
    }
    ctx.reply.array(results.len());
    for result in &results {
        match result {
            Some(result) => one(ctx.reply, result),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn reply_len(reply: &mut Reply, len: &usize) {
    reply.integer(*len as i64);
}

pub(super) fn numincrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    calculate(ctx, Operation::Add)
}

pub(super) fn nummultby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    calculate(ctx, Operation::Multiply)
}

fn calculate(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Outcome {
    let path = Path::parse(ctx.arg(2))?;
    let Value::Number(operand) = json::parse_arg(ctx.arg(3))? else {
        return Err("ERR bad input number".into());
    };
    let results = change(ctx, &path, 0, |value| match value {
        Value::Number(number) => {
            *number = edit::calculate(number, operation, &operand)?;
            Ok(Some(number.clone()))
        }
        _ => Ok(None),
    })?;
    match ctx.reply.protocol() {
        // Numbers in an array, whatever the notation of the path.
        Protocol::Resp3 => {
            ctx.reply.array(results.len());
            for result in &results {
                match result {
                    Some(number) => reply_number(ctx.reply, number),
                    None => ctx.reply.null(),
                }
            }
            Ok(())
        }
        Protocol::Resp2 if path.is_legacy() => {
            reply_results(ctx, &path, results, "does not contains a number", |reply, number| {
                reply.bulk(number.as_str().as_bytes());
            })
        }
        // JSON text of an array.
        Protocol::Resp2 => {
            let values =
                results.into_iter().map(|number| number.map_or(Value::Null, Value::Number));
            ctx.reply.bulk(&json::print(&values.collect()));
            Ok(())
        }
    }
}

/// A number as an integer if it is one of 64 bits, as a double otherwise.
pub(super) fn reply_number(reply: &mut Reply, number: &Number) {
    match number.as_i64() {
        Some(integer) if json::is_integer(number) => reply.integer(integer),
        _ => reply.double(number.as_f64().unwrap_or_default()),
    }
}

pub(super) fn toggle(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let path = Path::parse(ctx.arg(2))?;
    let results = change(ctx, &path, 0, |value| match value {
        Value::Bool(flag) => {
            *flag = !*flag;
            Ok(Some(*flag))
        }
        _ => Ok(None),
    })?;
    let is_legacy = path.is_legacy();
    reply_results(ctx, &path, results, "not a bool", |reply, flag| match (is_legacy, flag) {
        (true, true) => reply.bulk(b"true"),
        (true, false) => reply.bulk(b"false"),
        (false, flag) => reply.integer(i64::from(*flag)),
    })
}

pub(super) fn strappend(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 4)?;
    let last = ctx.args.len() - 1;
    let path = if last == 3 { Path::parse(ctx.arg(2))? } else { Path::root() };
    let added = match json::parse_arg(ctx.arg(last))? {
        Value::String(added) => added,
        other => return Err(wrong_kind("string", &other)),
    };
    let results = change(ctx, &path, added.len(), |value| match value {
        Value::String(text) => {
            text.push_str(&added);
            Ok(Some(text.len()))
        }
        _ => Ok(None),
    })?;
    reply_results(ctx, &path, results, "not a string", reply_len)
}

const NOT_AN_ARRAY: &str = "not an array";

/// The values in the arguments from `index` on, and how long their texts are together.
fn values_from(ctx: &Ctx<'_, '_>, index: usize) -> Result<(Vec<Value>, usize), Stop> {
    let texts = ctx.args.from(index);
    let values = texts.iter().map(json::parse_arg).collect::<Result<_, Stop>>()?;
    Ok((values, texts.iter().map(<[u8]>::len).sum()))
}

pub(super) fn arrappend(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let path = Path::parse(ctx.arg(2))?;
    let (values, bytes) = values_from(ctx, 3)?;
    let results = change(ctx, &path, bytes, |value| match value {
        Value::Array(items) => {
            items.extend(values.iter().cloned());
            Ok(Some(items.len()))
        }
        _ => Ok(None),
    })?;
    reply_results(ctx, &path, results, NOT_AN_ARRAY, reply_len)
}

fn integer(ctx: &Ctx<'_, '_>, index: usize) -> Result<i64, Stop> {
    Ok(num::parse_i64(ctx.arg(index)).ok_or(error::NOT_AN_INTEGER)?)
}

pub(super) fn arrinsert(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let path = Path::parse(ctx.arg(2))?;
    let index = integer(ctx, 3)?;
    let (values, bytes) = values_from(ctx, 4)?;
    let results = change(ctx, &path, bytes, |value| match value {
        Value::Array(items) => {
            let len = items.len() as i64;
            let at = if index < 0 { index.saturating_add(len) } else { index };
            if !(0..=len).contains(&at) {
                return Err("ERR index out of bounds".into());
            }
            let at = at as usize;
            items.splice(at..at, values.iter().cloned());
            Ok(Some(items.len()))
        }
        _ => Ok(None),
    })?;
    reply_results(ctx, &path, results, NOT_AN_ARRAY, reply_len)
}

pub(super) fn arrpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (expand, next) = Expand::parse_for_pop(ctx)?;
    at_most(ctx, next + 2)?;
    let path = path_at(ctx, next)?;
    if path.is_legacy() && expand.is_some() {
        return Err("ERR Legacy paths are supported only with FORMAT STRINGS".into());
    }
    let index = if ctx.args.len() > next + 1 { integer(ctx, next + 1)? } else { -1 };
    let results = change(ctx, &path, 0, |value| match value {
        Value::Array(items) if items.is_empty() => Ok(Some(None)),
        Value::Array(items) => {
            let at = clamp(index, items.len());
            Ok(Some(Some(items.remove(at))))
        }
        _ => Ok(None),
    })?;
    reply_results(ctx, &path, results, NOT_AN_ARRAY, |reply, popped| match (popped, expand) {
        (None, _) => reply.null(),
        (Some(value), None) => reply.bulk(&json::print(value)),
        (Some(value), Some(expand)) => reply_value(reply, value, expand),
    })
}

pub(super) fn arrtrim(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let path = Path::parse(ctx.arg(2))?;
    let (start, stop) = (integer(ctx, 3)?, integer(ctx, 4)?);
    let results = change(ctx, &path, 0, |value| match value {
        Value::Array(items) => {
            let len = items.len();
            if len == 0 || start >= len as i64 || clamp(start, len) > clamp(stop, len) {
                items.clear();
            } else {
                items.truncate(clamp(stop, len) + 1);
                items.drain(..clamp(start, len));
            }
            Ok(Some(items.len()))
        }
        _ => Ok(None),
    })?;
    reply_results(ctx, &path, results, NOT_AN_ARRAY, reply_len)
}

/// The element that `index` means in an array of `len`, from the end if negative; the nearest one if
/// it lies outside.
fn clamp(index: i64, len: usize) -> usize {
    let len = len as i64;
    let index = if index < 0 { index.saturating_add(len) } else { index };
    index.clamp(0, (len - 1).max(0)) as usize
}

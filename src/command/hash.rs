//! Hash commands.

mod number;

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::elements::remove_named;
use super::scan::scan_elements;
use super::{Ctx, Flags, Group, Keys, Outcome, Spec, options};
use crate::data::collection::Draw;
use crate::data::hash::Hash;
use crate::data::meta::Kind;
use crate::data::{element, keys};
use crate::error::{Stop, Together};
use crate::resp::{Protocol, Reply};

const READ: Flags = Flags::READONLY;

/// The rows of the hash commands.
pub const TABLE: &[Spec] = &[
    Spec::new("hset", -4, Flags::GROWS_FAST, Keys::ONE, hset).doc(
        Group::Hash,
        "2.0.0",
        "O(N) where N is the number of fields",
        "Gives fields of a hash values and says how many fields are new.",
    ),
    Spec::new("hmset", -4, Flags::GROWS_FAST, Keys::ONE, hmset).doc(
        Group::Hash,
        "2.0.0",
        "O(N) where N is the number of fields",
        "Gives fields of a hash values.",
    ),
    Spec::new("hsetnx", 4, Flags::GROWS_FAST, Keys::ONE, hsetnx).doc(
        Group::Hash,
        "2.0.0",
        "O(1)",
        "Gives a field of a hash a value unless it has one.",
    ),
    Spec::new("hget", 3, Flags::READ_FAST, Keys::ONE, hget).doc(
        Group::Hash,
        "2.0.0",
        "O(1)",
        "Returns the value of a field.",
    ),
    Spec::new("hmget", -3, Flags::READ_FAST, Keys::ONE, hmget).doc(
        Group::Hash,
        "2.0.0",
        "O(N) where N is the number of fields",
        "Returns the values of several fields.",
    ),
    Spec::new("hgetall", 2, READ, Keys::ONE, hgetall).doc(
        Group::Hash,
        "2.0.0",
        "O(N) where N is the size of the hash",
        "Returns all fields and their values.",
    ),
    Spec::new("hkeys", 2, READ, Keys::ONE, hkeys).doc(
        Group::Hash,
        "2.0.0",
        "O(N) where N is the size of the hash",
        "Returns all fields.",
    ),
    Spec::new("hvals", 2, READ, Keys::ONE, hvals).doc(
        Group::Hash,
        "2.0.0",
        "O(N) where N is the size of the hash",
        "Returns the values of all fields.",
    ),
    Spec::new("hlen", 2, Flags::READ_FAST, Keys::ONE, hlen).doc(
        Group::Hash,
        "2.0.0",
        "O(1)",
        "Returns the number of fields.",
    ),
    Spec::new("hstrlen", 3, Flags::READ_FAST, Keys::ONE, hstrlen).doc(
        Group::Hash,
        "3.2.0",
        "O(1)",
        "Returns the length of a field's value in bytes.",
    ),
    Spec::new("hexists", 3, Flags::READ_FAST, Keys::ONE, hexists).doc(
        Group::Hash,
        "2.0.0",
        "O(1)",
        "Says whether a hash has a field.",
    ),
    Spec::new("hdel", -3, Flags::WRITE_FAST, Keys::ONE, hdel).doc(
        Group::Hash,
        "2.0.0",
        "O(N) where N is the number of fields",
        "Removes fields of a hash and says how many were there.",
    ),
    Spec::new("hincrby", 4, Flags::GROWS_FAST, Keys::ONE, number::hincrby).doc(
        Group::Hash,
        "2.0.0",
        "O(1)",
        "Adds to the integer that is a field's value.",
    ),
    Spec::new("hincrbyfloat", 4, Flags::GROWS_FAST, Keys::ONE, number::hincrbyfloat).doc(
        Group::Hash,
        "2.6.0",
        "O(1)",
        "Adds to the floating-point number that is a field's value.",
    ),
    Spec::new("hscan", -3, READ, Keys::ONE, hscan).doc(
        Group::Hash,
        "2.8.0",
        "O(1) for each call with a bounded COUNT",
        "Lists some fields and their values, and says where to go on.",
    ),
    Spec::new("hrandfield", -2, READ, Keys::ONE, hrandfield).doc(
        Group::Hash,
        "6.2.0",
        "O(N) where N is the number of fields wanted",
        "Returns random fields of a hash, with their values if wanted.",
    ),
];

/// The hash at the key that is the first argument.
fn find(ctx: &Ctx<'_, '_>) -> Result<Option<Hash>, Stop> {
    Hash::find(ctx.view, ctx.keyspace()?, ctx.arg(1))
}

/// Gives all fields their values; how many fields are new.
fn set_all(ctx: &mut Ctx<'_, '_>) -> Result<u64, Stop> {
    let hash = Hash::open(ctx.view, ctx.keyspace()?, ctx.arg(1))?;
    let (mut added, mut together) = (0, Together::default());
    for at in (2..ctx.args.len()).step_by(2) {
        let set = hash.set(ctx.view, ctx.args.get(at), ctx.args.get(at + 1));
        added += u64::from(together.take(set)? == Some(true));
    }
    together.end()?;
    hash.collection().grown(ctx.view, added)?;
    Ok(added)
}

fn hset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !ctx.args.len().is_multiple_of(2) {
        return Err("ERR wrong number of arguments for 'hset' command".into());
    }
    let added = set_all(ctx)?;
    ctx.reply.integer(added as i64);
    Ok(())
}

fn hmset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !ctx.args.len().is_multiple_of(2) {
        return Err("ERR wrong number of arguments for 'hmset' command".into());
    }
    set_all(ctx)?;
    ctx.reply.ok();
    Ok(())
}

fn hsetnx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let found = find(ctx)?;
    let known = match found {
        Some(hash) => hash.value_len(ctx.view, ctx.arg(2))?.is_some(),
        None => false,
    };
    if !known {
        set_all(ctx)?;
    }
    ctx.reply.integer(i64::from(!known));
    Ok(())
}

/// Replies with the value of a field of a hash, either of which may not be there.
fn reply_value(ctx: &mut Ctx<'_, '_>, hash: Option<Hash>, field: &[u8]) -> Outcome {
    let Ctx { view, reply, .. } = ctx;
    let value = hash.map(|hash| hash.get(view, field)).transpose()?;
    match value.flatten() {
        Some(value) => reply.bulk(&value),
        None => reply.null(),
    }
    Ok(())
}

fn hget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let hash = find(ctx)?;
    reply_value(ctx, hash, ctx.arg(2))
}

fn hmget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let hash = find(ctx)?;
    let fields = ctx.args.from(2);
    ctx.reply.array(fields.len());
    let mut together = Together::default();
    for field in fields.iter() {
        together.take(reply_value(ctx, hash, field))?;
        ctx.check_replies()?;
    }
    together.end()
}

/// Replies with what `each` gives of every field and its value; the caller adds the header.
fn reply_all(ctx: &mut Ctx<'_, '_>, each: fn(&mut Reply, &[u8], &[u8])) -> Result<usize, Stop> {
    let Some(hash) = find(ctx)? else { return Ok(0) };
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let mut count = 0;
    hash.walk(view, &mut |field, value| {
        each(reply, field, value);
        count += 1;
        if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    ctx.check_replies()?;
    Ok(count)
}

fn hgetall(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mark = ctx.reply.mark();
    let count = reply_all(ctx, |reply, field, value| {
        reply.bulk(field);
        reply.bulk(value);
    })?;
    ctx.reply.map_header_at(mark, count);
    Ok(())
}

fn hkeys(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mark = ctx.reply.mark();
    let count = reply_all(ctx, |reply, field, _| reply.bulk(field))?;
    ctx.reply.array_header_at(mark, count);
    Ok(())
}

fn hvals(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mark = ctx.reply.mark();
    let count = reply_all(ctx, |reply, _, value| reply.bulk(value))?;
    ctx.reply.array_header_at(mark, count);
    Ok(())
}

fn hlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let len = match find(ctx)? {
        Some(hash) => hash.collection().len(ctx.view)?,
        None => 0,
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

/// The length of the field's value that is asked for, `None` if it is not there.
fn value_len(ctx: &Ctx<'_, '_>) -> Result<Option<u64>, Stop> {
    match find(ctx)? {
        Some(hash) => hash.value_len(ctx.view, ctx.arg(2)),
        None => Ok(None),
    }
}

fn hstrlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let len = value_len(ctx)?.unwrap_or(0);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn hexists(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let exists = value_len(ctx)?.is_some();
    ctx.reply.integer(i64::from(exists));
    Ok(())
}

fn hdel(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let found = find(ctx)?;
    remove_named(ctx, found, Hash::collection, Hash::remove)
}

fn hscan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    scan_elements(ctx, Kind::Hash, Some(element::shown))
}

fn hrandfield(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let seed = ctx.view.random();
    let (draw, with_values) = options::draw_with(ctx.args.from(2), b"withvalues")?;
    let found = find(ctx)?;
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let (mark, mut count, mut read) = (reply.mark(), 0, Ok(()));
    let flat = reply.protocol() == Protocol::Resp2;
    if let Some(hash) = found {
        let draw = draw.unwrap_or(Draw::Distinct(1));
        hash.collection().draw(view, seed, draw, &mut |key, record| {
            if with_values && !flat {
                reply.array(2);
            }
            reply.bulk(keys::split_field(key));
            if with_values {
                match element::value(view, key, Cow::Borrowed(record)) {
                    Ok(value) => reply.bulk(&value),
                    // Go on, so that all values are fetched together.
                    Err(stop) => read = Err(stop),
                }
            }
            count += 1;
            let failed = !matches!(read, Ok(()) | Err(Stop::Pending));
            match failed || reply.len() > limit {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
    }
    read?;
    match draw {
        Some(_) => reply.array_header_at(mark, if with_values && flat { 2 * count } else { count }),
        None if count == 0 => reply.null(),
        None => {}
    }
    ctx.check_replies()
}

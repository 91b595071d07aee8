//! String commands.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::string;
use crate::error::{self, Stop};
use crate::num;

const READ_FAST: Flags = Flags::READONLY.and(Flags::FAST);
const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);
const GROWS_FAST: Flags = GROWS.and(Flags::FAST);

/// The rows of the string commands.
pub const TABLE: &[Spec] = &[
    Spec::new("get", 2, READ_FAST, Keys::ONE, get).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Returns the string at a key.",
    ),
    Spec::new("set", -3, GROWS, Keys::ONE, set).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Makes a string the value of a key, whatever was there before.",
    ),
    Spec::new("incr", 2, GROWS_FAST, Keys::ONE, incr).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Adds one to the integer at a key, which is 0 if there is none.",
    ),
    Spec::new("mset", -3, GROWS, Keys { first: 1, last: -1, step: 2 }, mset).doc(
        Group::String,
        "1.0.1",
        "O(N) where N is the number of keys",
        "Gives several keys their values in one step.",
    ),
];

fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    match string::get(ctx.view, keyspace, ctx.arg(1))? {
        Some(found) => ctx.reply.bulk(&found.value(ctx.view, keyspace)?),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (key, value) = (ctx.arg(1), ctx.arg(2));
    let prior = ctx.view.prior_if_cheap(keyspace, key)?;
    string::put(ctx.view, keyspace, key, &[value], 0, prior)?;
    ctx.reply.ok();
    Ok(())
}

fn mset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len().is_multiple_of(2) {
        return Err("ERR wrong number of arguments for 'mset' command".into());
    }
    let keyspace = ctx.keyspace()?;
    for index in (1..ctx.args.len()).step_by(2) {
        let (key, value) = (ctx.arg(index), ctx.arg(index + 1));
        let prior = ctx.view.prior_if_cheap(keyspace, key)?;
        string::put(ctx.view, keyspace, key, &[value], 0, prior)?;
    }
    ctx.reply.ok();
    Ok(())
}

fn incr(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let value = add(ctx, 1)?;
    ctx.reply.integer(value);
    Ok(())
}

/// Adds to the integer at the first argument's key, keeping its expiry.
fn add(ctx: &mut Ctx<'_, '_>, delta: i64) -> Result<i64, Stop> {
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(1);
    let (old, prior) = match string::get(ctx.view, keyspace, key)? {
        Some(found) => {
            let value = found.value(ctx.view, keyspace)?;
            (num::parse_i64(&value).ok_or(error::NOT_AN_INTEGER)?, found.entry.prior()?)
        }
        None => (0, ctx.view.prior(keyspace, key)?),
    };
    let new = old.checked_add(delta).ok_or(error::OVERFLOW)?;
    let expires_ms = prior.expires_ms(ctx.view.now_ms());
    let mut digits = itoa::Buffer::new();
    let text = digits.format(new).as_bytes();
    string::put(ctx.view, keyspace, key, &[text], expires_ms, prior)?;
    Ok(new)
}

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
    Spec {
        name: "get",
        arity: 2,
        flags: READ_FAST,
        keys: Keys::ONE,
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the string at a key.",
        run: get,
        subcommands: &[],
    },
    Spec {
        name: "set",
        arity: -3,
        flags: GROWS,
        keys: Keys::ONE,
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Makes a string the value of a key, whatever was there before.",
        run: set,
        subcommands: &[],
    },
    Spec {
        name: "incr",
        arity: 2,
        flags: GROWS_FAST,
        keys: Keys::ONE,
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds one to the integer at a key, which is 0 if there is none.",
        run: incr,
        subcommands: &[],
    },
    Spec {
        name: "mset",
        arity: -3,
        flags: GROWS,
        keys: Keys { first: 1, last: -1, step: 2 },
        group: Group::String,
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        summary: "Gives several keys their values in one step.",
        run: mset,
        subcommands: &[],
    },
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

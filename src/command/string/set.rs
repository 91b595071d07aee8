//! Commands that give keys whole new strings.
//!
//! Where the old value does not matter they read nothing on a store that does not answer at once.

use super::reply_value;
use crate::command::options::{Condition, Expiry, ExpiryUnit, SetOptions};
use crate::command::{Ctx, Outcome};
use crate::data::entry::check_key;
use crate::data::{KeyspaceId, Prior, View, string};
use crate::error::{Stop, Together};

pub(super) fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (key, value) = (ctx.arg(1), ctx.arg(2));
    let options = SetOptions::parse(ctx.args.from(3))?;
    let now_ms = ctx.view.now_ms();
    let mut expires_ms = match options.expiry {
        Some(expiry) => expiry.unix_ms(now_ms, "set")?,
        None => 0,
    };
    check_key(key)?;
    if options.get {
        reply_value(ctx.view, ctx.reply, keyspace, key)?;
    }
    let blind = options.condition == Condition::Always && !options.keep_ttl;
    let prior = if blind {
        ctx.view.prior_if_cheap(keyspace, key)?
    } else {
        ctx.view.prior(keyspace, key)?
    };
    let holds = match options.condition {
        Condition::Always => true,
        Condition::IfAbsent => !prior.is_live(now_ms),
        Condition::IfPresent => prior.is_live(now_ms),
    };
    if holds {
        if options.keep_ttl {
            expires_ms = prior.expires_ms(now_ms);
        }
        put(ctx.view, keyspace, key, value, expires_ms, prior)?;
    }
    match (options.get, holds) {
        (true, _) => {}
        (false, true) => ctx.reply.ok(),
        (false, false) => ctx.reply.null(),
    }
    Ok(())
}

/// Gives the key a value; one whose expiry is past is gone at once.
fn put(
    view: &mut View<'_>,
    keyspace: KeyspaceId,
    key: &[u8],
    value: &[u8],
    expires_ms: u64,
    prior: Prior,
) -> Result<(), Stop> {
    if expires_ms != 0 && expires_ms <= view.now_ms() {
        view.remove(keyspace, key)?;
        return Ok(());
    }
    string::put(view, keyspace, key, &[value], expires_ms, prior)
}

pub(super) fn getset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (key, value) = (ctx.arg(1), ctx.arg(2));
    check_key(key)?;
    reply_value(ctx.view, ctx.reply, keyspace, key)?;
    let prior = ctx.view.prior(keyspace, key)?;
    string::put(ctx.view, keyspace, key, &[value], 0, prior)
}

pub(super) fn setnx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (key, value) = (ctx.arg(1), ctx.arg(2));
    check_key(key)?;
    let prior = ctx.view.prior(keyspace, key)?;
    if prior.is_live(ctx.view.now_ms()) {
        ctx.reply.integer(0);
        return Ok(());
    }
    string::put(ctx.view, keyspace, key, &[value], 0, prior)?;
    ctx.reply.integer(1);
    Ok(())
}

pub(super) fn setex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_for(ctx, ExpiryUnit::Seconds, "setex")
}

pub(super) fn psetex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_for(ctx, ExpiryUnit::Milliseconds, "psetex")
}

/// Sets with the time to live that the second argument gives.
fn set_for(ctx: &mut Ctx<'_, '_>, unit: ExpiryUnit, command: &str) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (key, amount, value) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    let expires_ms = Expiry { unit, amount }.unix_ms(ctx.view.now_ms(), command)?;
    let prior = ctx.view.prior_if_cheap(keyspace, key)?;
    string::put(ctx.view, keyspace, key, &[value], expires_ms, prior)?;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn mset(ctx: &mut Ctx<'_, '_>) -> Outcome {
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

pub(super) fn msetnx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len().is_multiple_of(2) {
        return Err("ERR wrong number of arguments for 'msetnx' command".into());
    }
    let keyspace = ctx.keyspace()?;
    let mut together = Together::default();
    for key in ctx.args.from(1).iter().step_by(2) {
        check_key(key)?;
        if together.take(ctx.view.exists(keyspace, key))? == Some(true) {
            ctx.reply.integer(0);
            return Ok(());
        }
    }
    together.end()?;
    for index in (1..ctx.args.len()).step_by(2) {
        let (key, value) = (ctx.arg(index), ctx.arg(index + 1));
        let prior = ctx.view.prior(keyspace, key)?;
        string::put(ctx.view, keyspace, key, &[value], 0, prior)?;
    }
    ctx.reply.integer(1);
    Ok(())
}

//! Commands on strings that are numbers. They keep the key's expiry.

use crate::command::{Ctx, Outcome};
use crate::data::string;
use crate::error::{self, Stop};
use crate::num::{self, LongDouble};

/// No number that is read is longer than this: longer strings need not be fetched to be refused.
const NUMBER_BYTES_MAX: u64 = 5 * 1024;

pub(super) fn incr(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, 1)
}

pub(super) fn decr(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, -1)
}

pub(super) fn incrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let delta = num::parse_i64(ctx.arg(2)).ok_or(error::NOT_AN_INTEGER)?;
    add(ctx, delta)
}

pub(super) fn decrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let delta = num::parse_i64(ctx.arg(2)).ok_or(error::NOT_AN_INTEGER)?;
    add(ctx, delta.checked_neg().ok_or("ERR decrement would overflow")?)
}

/// Adds to the integer at the first argument's key.
fn add(ctx: &mut Ctx<'_, '_>, delta: i64) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(1);
    let (found, prior) = string::get_to_replace(ctx.view, keyspace, key)?;
    let old = match found {
        Some(found) if found.len() > NUMBER_BYTES_MAX => return Err(error::NOT_AN_INTEGER.into()),
        Some(found) => {
            num::parse_i64(&found.value(ctx.view, keyspace)?).ok_or(error::NOT_AN_INTEGER)?
        }
        None => 0,
    };
    let new = old.checked_add(delta).ok_or(error::OVERFLOW)?;
    let expires_ms = prior.expires_ms(ctx.view.now_ms());
    let mut digits = itoa::Buffer::new();
    let text = digits.format(new).as_bytes();
    string::put(ctx.view, keyspace, key, &[text], expires_ms, prior)?;
    ctx.reply.integer(new);
    Ok(())
}

pub(super) fn incrbyfloat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(1);
    let (found, prior) = string::get_to_replace(ctx.view, keyspace, key)?;
    let not_a_float = || Stop::from(error::NOT_A_FLOAT);
    let old = match found {
        Some(found) if found.len() > NUMBER_BYTES_MAX => return Err(not_a_float()),
        Some(found) => {
            LongDouble::parse(&found.value(ctx.view, keyspace)?).ok_or_else(not_a_float)?
        }
        None => LongDouble::from_f64(0.0),
    };
    let delta = LongDouble::parse(ctx.arg(2)).ok_or_else(not_a_float)?;
    let new = old + delta;
    if new.is_nan() || new.is_infinite() {
        return Err(error::NOT_FINITE.into());
    }
    let expires_ms = prior.expires_ms(ctx.view.now_ms());
    let text = new.format();
    string::put(ctx.view, keyspace, key, &[text.as_bytes()], expires_ms, prior)?;
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}

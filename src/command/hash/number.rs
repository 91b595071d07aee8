//! Fields that are numbers.

use crate::command::{Ctx, Outcome};
use crate::data::hash::Hash;
use crate::error::{self, Stop};
use crate::num::{self, LongDouble};

pub(super) fn hincrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let delta = num::parse_i64(ctx.arg(3)).ok_or(error::NOT_AN_INTEGER)?;
    let hash = Hash::open(ctx.view, ctx.keyspace()?, ctx.arg(1))?;
    let old = match hash.get(ctx.view, ctx.arg(2))? {
        Some(value) => num::parse_i64(&value).ok_or("ERR hash value is not an integer")?,
        None => 0,
    };
    let new = old.checked_add(delta).ok_or(error::OVERFLOW)?;
    put(ctx, hash, itoa::Buffer::new().format(new).as_bytes())?;
    ctx.reply.integer(new);
    Ok(())
}

pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let delta = LongDouble::parse(ctx.arg(3)).ok_or(error::NOT_A_FLOAT)?;
    if delta.is_infinite() {
        return Err("ERR value is NaN or Infinity".into());
    }
    let hash = Hash::open(ctx.view, ctx.keyspace()?, ctx.arg(1))?;
    let old = match hash.get(ctx.view, ctx.arg(2))? {
        Some(value) => LongDouble::parse(&value).ok_or("ERR hash value is not a float")?,
        None => LongDouble::from_f64(0.0),
    };
    let new = old + delta;
    if new.is_nan() || new.is_infinite() {
        return Err(error::NOT_FINITE.into());
    }
    let text = new.format();
    put(ctx, hash, text.as_bytes())?;
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}

/// Gives the field that is the second argument a value.
fn put(ctx: &mut Ctx<'_, '_>, hash: Hash, value: &[u8]) -> Result<(), Stop> {
    let is_new = hash.set(ctx.view, ctx.arg(2), value)?;
    hash.collection().grown(ctx.view, u64::from(is_new))
}

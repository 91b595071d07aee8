//! Commands that set, ask for and remove the time at which a key expires.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::error::{self, Stop};
use crate::num;

/// The rows of the commands on expiry.
pub const TABLE: &[Spec] = &[
    Spec::new("expire", -3, Flags::WRITE_FAST, Keys::ONE, expire).doc(
        Group::Generic,
        "1.0.0",
        "O(1)",
        "Lets a key expire after a number of seconds.",
    ),
    Spec::new("pexpire", -3, Flags::WRITE_FAST, Keys::ONE, pexpire).doc(
        Group::Generic,
        "2.6.0",
        "O(1)",
        "Lets a key expire after a number of milliseconds.",
    ),
    Spec::new("expireat", -3, Flags::WRITE_FAST, Keys::ONE, expireat).doc(
        Group::Generic,
        "1.2.0",
        "O(1)",
        "Lets a key expire at a Unix time in seconds.",
    ),
    Spec::new("pexpireat", -3, Flags::WRITE_FAST, Keys::ONE, pexpireat).doc(
        Group::Generic,
        "2.6.0",
        "O(1)",
        "Lets a key expire at a Unix time in milliseconds.",
    ),
    Spec::new("expiretime", 2, Flags::READ_FAST, Keys::ONE, expiretime).doc(
        Group::Generic,
        "7.0.0",
        "O(1)",
        "Gives the Unix time in seconds at which a key expires.",
    ),
    Spec::new("pexpiretime", 2, Flags::READ_FAST, Keys::ONE, pexpiretime).doc(
        Group::Generic,
        "7.0.0",
        "O(1)",
        "Gives the Unix time in milliseconds at which a key expires.",
    ),
    Spec::new("ttl", 2, Flags::READ_FAST, Keys::ONE, ttl).doc(
        Group::Generic,
        "1.0.0",
        "O(1)",
        "Gives the seconds a key has left.",
    ),
    Spec::new("pttl", 2, Flags::READ_FAST, Keys::ONE, pttl).doc(
        Group::Generic,
        "2.6.0",
        "O(1)",
        "Gives the milliseconds a key has left.",
    ),
    Spec::new("persist", 2, Flags::WRITE_FAST, Keys::ONE, persist).doc(
        Group::Generic,
        "2.2.0",
        "O(1)",
        "Lets a key never expire.",
    ),
];

/// Under which expiry a new one takes effect.
#[derive(Debug, Default, Clone, Copy)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse(ctx: &Ctx<'_, '_>) -> Result<Condition, Stop> {
        let mut condition = Condition::default();
        for option in ctx.args.from(3).iter() {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => condition.nx = true,
                b"xx" => condition.xx = true,
                b"gt" => condition.gt = true,
                b"lt" => condition.lt = true,
                _ => {
                    let option = error::quoted(option, option.len());
                    return Err([b"ERR Unsupported option ", option].concat().into());
                }
            }
        }
        let Condition { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(text.into());
        }
        if gt && lt {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(condition)
    }

    /// Whether `new_ms` may replace `old_ms`, 0 being no expiry, which counts as the latest.
    fn allows(self, old_ms: u64, new_ms: i64) -> bool {
        let old = (old_ms != 0).then_some(old_ms as i64);
        (!self.nx || old.is_none())
            && (!self.xx || old.is_some())
            && (!self.gt || old.is_some_and(|old| new_ms > old))
            && (!self.lt || old.is_none_or(|old| new_ms < old))
    }
}

/// The unit of a time argument, in milliseconds.
const SECONDS: i64 = 1000;
const MILLISECONDS: i64 = 1;

fn expire(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let now_ms = ctx.view.now_ms() as i64;
    set_expiry(ctx, "expire", SECONDS, now_ms)
}

fn pexpire(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let now_ms = ctx.view.now_ms() as i64;
    set_expiry(ctx, "pexpire", MILLISECONDS, now_ms)
}

fn expireat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_expiry(ctx, "expireat", SECONDS, 0)
}

fn pexpireat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_expiry(ctx, "pexpireat", MILLISECONDS, 0)
}

/// Sets the expiry to the second argument, counted in `unit` from `base_ms`.
fn set_expiry(ctx: &mut Ctx<'_, '_>, name: &str, unit: i64, base_ms: i64) -> Outcome {
    let condition = Condition::parse(ctx)?;
    let given = num::parse_i64(ctx.arg(2)).ok_or(error::NOT_AN_INTEGER)?;
    let at_ms = given
        .checked_mul(unit)
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or_else(|| format!("ERR invalid expire time in '{name}' command"))?;
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(1);
    let prior = ctx.view.prior(keyspace, key)?;
    let now_ms = ctx.view.now_ms();
    if !prior.is_live(now_ms) || !condition.allows(prior.expires_ms(now_ms), at_ms) {
        ctx.reply.integer(0);
        return Ok(());
    }
    match u64::try_from(at_ms) {
        Ok(at_ms) if at_ms > now_ms => {
            ctx.view.set_expiry(keyspace, key, at_ms)?;
        }
        _ => ctx.view.delete(keyspace, key, prior)?,
    }
    ctx.reply.integer(1);
    Ok(())
}

fn persist(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(1);
    let expires = matches!(expires_ms(ctx)?, Some(ms) if ms != 0);
    if expires {
        ctx.view.set_expiry(keyspace, key, 0)?;
    }
    ctx.reply.integer(i64::from(expires));
    Ok(())
}

/// When the key expires, 0 for never; `None` if it is not there.
fn expires_ms(ctx: &Ctx<'_, '_>) -> Result<Option<u64>, Stop> {
    let found = ctx.view.lookup(ctx.keyspace()?, ctx.arg(1))?;
    Ok(found.map(|entry| entry.header.expires_ms))
}

/// Replies with what `of` makes of the expiry, or with what Redis says of keys that have none.
fn answer(ctx: &mut Ctx<'_, '_>, of: impl FnOnce(u64) -> u64) -> Outcome {
    let value = match expires_ms(ctx)? {
        None => -2,
        Some(0) => -1,
        Some(at_ms) => of(at_ms) as i64,
    };
    ctx.reply.integer(value);
    Ok(())
}

fn seconds(ms: u64) -> u64 {
    (ms + 500) / 1000
}

fn expiretime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    answer(ctx, seconds)
}

fn pexpiretime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    answer(ctx, |at_ms| at_ms)
}

fn ttl(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let now_ms = ctx.view.now_ms();
    answer(ctx, |at_ms| seconds(at_ms - now_ms))
}

fn pttl(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let now_ms = ctx.view.now_ms();
    answer(ctx, |at_ms| at_ms - now_ms)
}

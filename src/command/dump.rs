//! `DUMP` and `RESTORE`: values as payloads that clients keep or take to another server.
//!
//! The payload is ringstone's own ([`crate::data::dump`]); those of Redis are refused as payloads with
//! another version.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::dump;
use crate::error::{self, Stop};
use crate::num;

/// The rows of both commands.
pub const TABLE: &[Spec] = &[
    Spec::new("dump", 2, Flags::READONLY, Keys::ONE, dump).doc(
        Group::Generic,
        "2.6.0",
        "O(N) where N is the size of the value",
        "Returns the value at a key as a payload for RESTORE.",
    ),
    Spec::new("restore", -4, Flags::GROWS, Keys::ONE, restore).doc(
        Group::Generic,
        "2.6.0",
        "O(N) where N is the size of the value, O(N*log(N)) for sorted sets",
        "Gives a key the value in a payload of DUMP.",
    ),
];

fn dump(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match dump::dump(ctx.view, ctx.keyspace()?, ctx.arg(1))? {
        Some(payload) => ctx.reply.bulk(&payload),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// The options of `RESTORE` that have an effect.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The time to live is a point in time.
    absolute: bool,
}

impl Options {
    fn parse(ctx: &Ctx<'_, '_>) -> Result<Options, Stop> {
        let mut options = Options::default();
        let (mut idle, mut freq) = (false, false);
        let args = ctx.args.from(4);
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"replace") {
                options.replace = true;
            } else if is(b"absttl") {
                options.absolute = true;
            } else if is(b"idletime") && !freq {
                idle = true;
                if number(args.next().ok_or(error::SYNTAX)?)? < 0 {
                    return Err("ERR Invalid IDLETIME value, must be >= 0".into());
                }
            } else if is(b"freq") && !idle {
                freq = true;
                if !(0..=255).contains(&number(args.next().ok_or(error::SYNTAX)?)?) {
                    return Err("ERR Invalid FREQ value, must be >= 0 and <= 255".into());
                }
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        Ok(options)
    }
}

fn number(text: &[u8]) -> Result<i64, Stop> {
    num::parse_i64(text).ok_or_else(|| error::NOT_AN_INTEGER.into())
}

fn restore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = Options::parse(ctx)?;
    let (keyspace, key, now_ms) = (ctx.keyspace()?, ctx.arg(1), ctx.view.now_ms());
    let prior = ctx.view.prior(keyspace, key)?;
    if prior.is_live(now_ms) && !options.replace {
        return Err("BUSYKEY Target key name already exists.".into());
    }
    let ttl_ms = number(ctx.arg(2))?;
    if ttl_ms < 0 {
        return Err("ERR Invalid TTL value, must be >= 0".into());
    }
    let value = dump::parse(ctx.arg(3)).ok_or(error::BAD_PAYLOAD)?;
    let base = if options.absolute || ttl_ms == 0 { 0 } else { now_ms as i64 };
    // Past the end of time is long ago, as in Redis.
    let expires_ms = ttl_ms.wrapping_add(base);
    if ttl_ms != 0 && expires_ms <= now_ms as i64 {
        ctx.view.remove(keyspace, key)?;
    } else {
        dump::restore(ctx.view, keyspace, key, value, expires_ms as u64, prior)?;
    }
    ctx.reply.ok();
    Ok(())
}

//! What commands that wait for data have in common.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::{Ctx, Outcome, Turn};
use crate::error::{Stop, Wait};
use crate::num::LongDouble;

/// How many wait for data.
#[derive(Debug, Default)]
pub struct Blocked {
    /// Connections whose commands do.
    pub clients: AtomicUsize,
    /// Those of them that do so for a limited time.
    pub limited: AtomicUsize,
    /// The keys they wait for.
    pub keys: AtomicUsize,
}

/// How long a command waits: seconds, a fraction of them too; 0 means for ever.
pub fn parse_timeout(text: &[u8]) -> Result<Wait, Stop> {
    let seconds = LongDouble::parse(text).ok_or("ERR timeout is not a float or out of range")?;
    let ms = (seconds.to_f64() * 1000.0).ceil();
    // Redis's conversion overflows into the negative.
    if ms < 0.0 || ms >= i64::MAX as f64 {
        return Err("ERR timeout is negative".into());
    }
    Ok(Wait { timeout: (ms > 0.0).then(|| Duration::from_millis(ms as u64)) })
}

/// Has `take` take something from the first of the keys that has it and reply; waits if none has.
///
/// Inside `EXEC` nothing waits: then `take` is all there is, and `Ok(false)` means that there is no
/// reply yet.
pub fn take_or_wait<'a>(
    ctx: &mut Ctx<'_, '_>,
    wait: Wait,
    keys: impl Iterator<Item = &'a [u8]>,
    mut take: impl FnMut(&mut Ctx<'_, '_>, &'a [u8]) -> Result<bool, Stop>,
) -> Result<bool, Stop> {
    if ctx.turn == Some(Turn::Later) {
        return Err(Stop::Blocked(wait));
    }
    for key in keys {
        match take(ctx, key) {
            Ok(false) => {}
            // Somebody put another type where it has been waiting.
            Err(stop) if stop.is_wrong_type() && ctx.turn == Some(Turn::AfterWaiting) => {}
            taken => return taken,
        }
    }
    if ctx.turn.is_some() { Err(Stop::Blocked(wait)) } else { Ok(false) }
}

/// As [`take_or_wait`], with the reply of commands that have an array when they take something.
pub fn take_array_or_wait<'a>(
    ctx: &mut Ctx<'_, '_>,
    wait: Wait,
    keys: impl Iterator<Item = &'a [u8]>,
    take: impl FnMut(&mut Ctx<'_, '_>, &'a [u8]) -> Result<bool, Stop>,
) -> Outcome {
    if !take_or_wait(ctx, wait, keys, take)? {
        ctx.reply.null_array();
    }
    Ok(())
}

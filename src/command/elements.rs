//! What commands on hashes, sets and sorted sets have in common.

use super::{Ctx, Outcome};
use crate::data::View;
use crate::data::collection::Collection;
use crate::error::{Stop, Together};

/// Removes the elements that the arguments from the second on name, with `remove`, and replies with how
/// many were there. `found` is what is at the key that is the first argument.
pub fn remove_named<T>(
    ctx: &mut Ctx<'_, '_>,
    found: Option<T>,
    collection: fn(&T) -> &Collection,
    remove: fn(&T, &mut View<'_>, &[u8]) -> Result<bool, Stop>,
) -> Outcome {
    let (mut removed, mut together) = (0, Together::default());
    if let Some(found) = found {
        for name in ctx.args.from(2).iter() {
            let was_there = together.take(remove(&found, ctx.view, name))?;
            removed += u64::from(was_there == Some(true));
        }
        if removed > 0 {
            let shrunk = collection(&found).shrunk(ctx.view, ctx.arg(1), removed);
            together.take(shrunk)?;
        }
    }
    together.end()?;
    ctx.reply.integer(removed as i64);
    Ok(())
}

//! `MULTI` and what belongs to it.
//!
//! `MULTI`, `EXEC` and `DISCARD` are decided where commands are admitted, before anything runs; they
//! have rows here for their arity and for `COMMAND`. Watching is a read, and done here.

use super::state::Watch;
use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::error::Together;
use crate::limits::{KEY_BYTES_MAX, WATCHES_COMPARED_MAX};

const ANY_TIME: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);
const QUICK: Flags = ANY_TIME.and(Flags::FAST).and(Flags::ALLOW_BUSY);
const GATE: Flags = QUICK.and(Flags::CONTROL);
const EXEC: Flags = ANY_TIME.and(Flags::SKIP_SLOWLOG).and(Flags::CONTROL);

/// The rows of the commands about transactions.
pub const TABLE: &[Spec] = &[
    Spec::new("multi", 1, GATE, Keys::NONE, admitted_elsewhere).doc(
        Group::Transactions,
        "1.2.0",
        "O(1)",
        "Begins a transaction: what follows is queued.",
    ),
    Spec::new("exec", 1, EXEC, Keys::NONE, admitted_elsewhere).doc(
        Group::Transactions,
        "1.2.0",
        "Depends on the queued commands",
        "Runs the queued commands as one, unless a watched key was modified.",
    ),
    Spec::new("discard", 1, GATE, Keys::NONE, admitted_elsewhere).doc(
        Group::Transactions,
        "2.0.0",
        "O(N) where N is the number of queued commands",
        "Forgets the queued commands and the watched keys.",
    ),
    Spec::new("watch", -2, GATE, Keys::ALL, watch).doc(
        Group::Transactions,
        "2.2.0",
        "O(N) where N is the number of keys",
        "Lets the next transaction run only if these keys are not modified before.",
    ),
    Spec::new("unwatch", 1, QUICK, Keys::NONE, unwatch).doc(
        Group::Transactions,
        "2.2.0",
        "O(1)",
        "Forgets the watched keys.",
    ),
];

/// Never called: these commands become ops of their own.
fn admitted_elsewhere(_: &mut Ctx<'_, '_>) -> Outcome {
    Err("ERR this command cannot run here".into())
}

fn watch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let database = ctx.client.database;
    let mut together = Together::default();
    for key in ctx.args.from(1).iter() {
        if key.len() > KEY_BYTES_MAX {
            // It is not there and never will be.
            continue;
        }
        let watches = &mut ctx.client.watches;
        // A key watched twice must be as it was first; watching it again would ask for no less, so
        // telling repeats apart only saves space.
        let known = |watch: &Watch| watch.database == database && *watch.key == *key;
        if watches.iter().take(WATCHES_COMPARED_MAX).any(known) {
            continue;
        }
        let state = together.take(ctx.view.watch(ctx.client.tenant, database, key))?;
        if let Some(state) = state
            && !watches.add(Watch { database, key: key.into(), state })
        {
            return Err("ERR too many watched keys; EXEC, DISCARD or UNWATCH first".into());
        }
    }
    together.end()?;
    ctx.reply.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.client.watches.clear();
    ctx.reply.ok();
    Ok(())
}

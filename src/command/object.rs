//! `OBJECT`: how a value is kept.

use super::help::help;
use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::inspect;

const READ: Flags = Flags::READONLY;
const HELP: Flags = Flags::LOADING.and(Flags::STALE);
/// The key behind a container's and a subcommand's name.
const SECOND: Keys = Keys::range(2, 2, 1);

/// The row of `OBJECT`.
pub const TABLE: &[Spec] = &[Spec::new("object", -2, Flags::NONE, Keys::NONE, help)
    .doc(
        Group::Generic,
        "2.2.3",
        "Depends on the subcommand",
        "Holds the commands about how values are kept.",
    )
    .with(OBJECT)];

const OBJECT: &[Spec] = &[
    Spec::new("object|encoding", 3, READ, SECOND, object_encoding).doc(
        Group::Generic,
        "2.2.3",
        "O(1), for it looks at a few hundred elements at most",
        "Names the form in which Redis would keep a fresh copy of the value.",
    ),
    Spec::new("object|freq", 3, READ, SECOND, object_freq).doc(
        Group::Generic,
        "4.0.0",
        "O(1)",
        "Refuses to say how often a key is used, which is not recorded.",
    ),
    Spec::new("object|help", 2, HELP, Keys::NONE, help).doc(
        Group::Generic,
        "6.2.0",
        "O(1)",
        "Lists the subcommands.",
    ),
    Spec::new("object|idletime", 3, READ, SECOND, object_idletime).doc(
        Group::Generic,
        "2.2.3",
        "O(1)",
        "Gives the seconds since a key was last used, always 0.",
    ),
    Spec::new("object|refcount", 3, READ, SECOND, object_refcount).doc(
        Group::Generic,
        "2.2.3",
        "O(1)",
        "Gives the number of references to a value, always 1.",
    ),
];

fn object_encoding(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match inspect::encoding(ctx.view, ctx.keyspace()?, ctx.arg(2))? {
        Some(name) => ctx.reply.bulk(name.as_bytes()),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Replies null for a key that is not there, otherwise what `some` says.
fn if_there(ctx: &mut Ctx<'_, '_>, some: impl FnOnce(&mut Ctx<'_, '_>) -> Outcome) -> Outcome {
    let keyspace = ctx.keyspace()?;
    if ctx.view.exists(keyspace, ctx.arg(2))? {
        return some(ctx);
    }
    ctx.reply.null();
    Ok(())
}

fn object_refcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if_there(ctx, |ctx| {
        ctx.reply.integer(1);
        Ok(())
    })
}

fn object_idletime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if_there(ctx, |ctx| {
        ctx.reply.integer(0);
        Ok(())
    })
}

fn object_freq(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if_there(ctx, |_| {
        Err("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust."
            .into())
    })
}

//! Set commands.

mod algebra;
mod random;

use std::ops::ControlFlow;

use super::elements::remove_named;
use super::scan::scan_elements;
use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::keys;
use crate::data::meta::Kind;
use crate::data::set::Set;
use crate::error::{Stop, Together};

const READ: Flags = Flags::READONLY;

/// The rows of the set commands.
pub const TABLE: &[Spec] = &[
    Spec::new("sadd", -3, Flags::GROWS_FAST, Keys::ONE, sadd).doc(
        Group::Set,
        "1.0.0",
        "O(N) where N is the number of members given",
        "Adds members to a set and says how many are new.",
    ),
    Spec::new("srem", -3, Flags::WRITE_FAST, Keys::ONE, srem).doc(
        Group::Set,
        "1.0.0",
        "O(N) where N is the number of members given",
        "Removes members of a set and says how many were there.",
    ),
    Spec::new("smembers", 2, READ, Keys::ONE, smembers).doc(
        Group::Set,
        "1.0.0",
        "O(N) where N is the size of the set",
        "Returns all members of a set.",
    ),
    Spec::new("sismember", 3, Flags::READ_FAST, Keys::ONE, sismember).doc(
        Group::Set,
        "1.0.0",
        "O(1)",
        "Says whether a set has a member.",
    ),
    Spec::new("smismember", -3, Flags::READ_FAST, Keys::ONE, smismember).doc(
        Group::Set,
        "6.2.0",
        "O(N) where N is the number of members given",
        "Says of each of several members whether a set has it.",
    ),
    Spec::new("scard", 2, Flags::READ_FAST, Keys::ONE, scard).doc(
        Group::Set,
        "1.0.0",
        "O(1)",
        "Returns the number of members.",
    ),
    Spec::new("smove", 4, Flags::WRITE_FAST, Keys::TWO, smove).doc(
        Group::Set,
        "1.0.0",
        "O(1)",
        "Moves a member from one set to another.",
    ),
    Spec::new("sscan", -3, READ, Keys::ONE, sscan).doc(
        Group::Set,
        "2.8.0",
        "O(1) for each call with a bounded COUNT",
        "Lists some members of a set, and says where to go on.",
    ),
    Spec::new("spop", -2, Flags::WRITE_FAST, Keys::ONE, random::spop).doc(
        Group::Set,
        "1.0.0",
        "O(N) where N is the number of members wanted",
        "Removes random members of a set and returns them.",
    ),
    Spec::new("srandmember", -2, READ, Keys::ONE, random::srandmember).doc(
        Group::Set,
        "1.0.0",
        "O(N) where N is the number of members wanted",
        "Returns random members of a set.",
    ),
    Spec::new("sunion", -2, READ, Keys::ALL, algebra::sunion).doc(
        Group::Set,
        "1.0.0",
        "O(N) where N is the size of all sets",
        "Returns the members that any of the sets has.",
    ),
    Spec::new("sinter", -2, READ, Keys::ALL, algebra::sinter).doc(
        Group::Set,
        "1.0.0",
        "O(N*M) where N is the size of the smallest set and M the number of sets",
        "Returns the members that all of the sets have.",
    ),
    Spec::new("sdiff", -2, READ, Keys::ALL, algebra::sdiff).doc(
        Group::Set,
        "1.0.0",
        "O(N*M) where N is the size of the first set and M the number of sets",
        "Returns the members that the first set has and no other.",
    ),
    Spec::new("sunionstore", -3, Flags::GROWS, Keys::ALL, algebra::sunionstore).doc(
        Group::Set,
        "1.0.0",
        "O(N) where N is the size of all sets",
        "Stores the members that any of the sets has.",
    ),
    Spec::new("sinterstore", -3, Flags::GROWS, Keys::ALL, algebra::sinterstore).doc(
        Group::Set,
        "1.0.0",
        "O(N*M) where N is the size of the smallest set and M the number of sets",
        "Stores the members that all of the sets have.",
    ),
    Spec::new("sdiffstore", -3, Flags::GROWS, Keys::ALL, algebra::sdiffstore).doc(
        Group::Set,
        "1.0.0",
        "O(N*M) where N is the size of the first set and M the number of sets",
        "Stores the members that the first set has and no other.",
    ),
    Spec::new(
        "sintercard",
        -3,
        READ.and(Flags::MOVABLE_KEYS),
        Keys::counted(1),
        algebra::sintercard,
    )
    .doc(
        Group::Set,
        "7.0.0",
        "O(N*M) where N is the size of the smallest set and M the number of sets",
        "Counts the members that all of the sets have, up to a limit.",
    ),
];

/// The set at the key that is the first argument.
fn find(ctx: &Ctx<'_, '_>) -> Result<Option<Set>, Stop> {
    Set::find(ctx.view, ctx.keyspace()?, ctx.arg(1))
}

fn sadd(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let set = Set::open(ctx.view, ctx.keyspace()?, ctx.arg(1))?;
    let (mut added, mut together) = (0, Together::default());
    for member in ctx.args.from(2).iter() {
        let is_new = together.take(set.add(ctx.view, member))?;
        added += u64::from(is_new == Some(true));
    }
    together.end()?;
    if added > 0 {
        set.collection().grown(ctx.view, added)?;
    }
    ctx.reply.integer(added as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let found = find(ctx)?;
    remove_named(ctx, found, Set::collection, Set::remove)
}

fn smembers(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let found = find(ctx)?;
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let (mark, mut count) = (reply.mark(), 0);
    if let Some(set) = found {
        set.collection().walk(view, &mut |element, _| {
            reply.bulk(keys::split_field(element));
            count += 1;
            if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    reply.set_header_at(mark, count);
    ctx.check_replies()
}

fn sismember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let is_member = match find(ctx)? {
        Some(set) => set.has(ctx.view, ctx.arg(2))?,
        None => false,
    };
    ctx.reply.integer(i64::from(is_member));
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let set = find(ctx)?;
    let members = ctx.args.from(2);
    ctx.reply.array(members.len());
    let mut together = Together::default();
    for member in members.iter() {
        let has = set.map_or(Ok(false), |set| set.has(ctx.view, member));
        let has = together.take(has)?;
        ctx.reply.integer(i64::from(has == Some(true)));
    }
    together.end()
}

fn scard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let len = match find(ctx)? {
        Some(set) => set.collection().len(ctx.view)?,
        None => 0,
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (from, to, member) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    // Both are asked for before either is missed.
    let (source, target) = (find(ctx), Set::find(ctx.view, keyspace, to));
    let Some(source) = source? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let target = target?;
    let moved = if from == to {
        source.has(ctx.view, member)?
    } else {
        let mut together = Together::default();
        let known = target.map_or(Ok(false), |target| target.has(ctx.view, member));
        let known = together.take(known)?;
        let moved = together.take(source.remove(ctx.view, member))? == Some(true);
        if moved {
            together.take(source.collection().shrunk(ctx.view, from, 1))?;
        }
        together.end()?;
        if moved && known == Some(false) {
            let target = Set::open(ctx.view, keyspace, to)?;
            target.add(ctx.view, member)?;
            target.collection().grown(ctx.view, 1)?;
        }
        moved
    };
    ctx.reply.integer(i64::from(moved));
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    scan_elements(ctx, Kind::Set, None)
}

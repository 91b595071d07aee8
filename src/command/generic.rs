//! Commands on keys of any type: presence, names and databases.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::{KeyspaceId, View};
use crate::error::{self, Stop, Together};
use crate::limits::DATABASES;
use crate::num;

const WRITE: Flags = Flags::WRITE;

const SAME_OBJECTS: &str = "ERR source and destination objects are the same";
const DATABASE_RANGE: &str = "ERR DB index is out of range";

/// The rows of the commands on keys.
pub const TABLE: &[Spec] = &[
    Spec::new("del", -2, WRITE, Keys::ALL, del).doc(
        Group::Generic,
        "1.0.0",
        "O(N) where N is the number of keys",
        "Removes keys and says how many were there.",
    ),
    Spec::new("unlink", -2, Flags::WRITE_FAST, Keys::ALL, del).doc(
        Group::Generic,
        "4.0.0",
        "O(N) where N is the number of keys",
        "Removes keys; what a large value took is reclaimed later.",
    ),
    Spec::new("exists", -2, Flags::READ_FAST, Keys::ALL, exists).doc(
        Group::Generic,
        "1.0.0",
        "O(N) where N is the number of keys",
        "Counts how many of the named keys are there; a key named twice counts twice.",
    ),
    Spec::new("touch", -2, Flags::READ_FAST, Keys::ALL, exists).doc(
        Group::Generic,
        "3.2.1",
        "O(N) where N is the number of keys",
        "Counts how many of the named keys are there, as a use of them.",
    ),
    Spec::new("type", 2, Flags::READ_FAST, Keys::ONE, type_name).doc(
        Group::Generic,
        "1.0.0",
        "O(1)",
        "Names the type of the value at a key.",
    ),
    Spec::new("rename", 3, WRITE, Keys::TWO, rename).doc(
        Group::Generic,
        "1.0.0",
        "O(1)",
        "Gives a value another key, whatever that key held.",
    ),
    Spec::new("renamenx", 3, Flags::WRITE_FAST, Keys::TWO, renamenx).doc(
        Group::Generic,
        "1.0.0",
        "O(1)",
        "Gives a value another key if that key is free.",
    ),
    Spec::new("copy", -3, WRITE.and(Flags::DENYOOM), Keys::TWO, copy).doc(
        Group::Generic,
        "6.2.0",
        "O(N) where N is the size of the value",
        "Copies a value and its expiry to another key or database.",
    ),
    Spec::new("move", 3, Flags::WRITE_FAST, Keys::ONE, move_key).doc(
        Group::Generic,
        "1.0.0",
        "O(1) for short values",
        "Moves a key to another database unless that has such a key.",
    ),
    Spec::new("swapdb", 3, Flags::WRITE_FAST, Keys::NONE, swapdb).doc(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Exchanges the contents of two databases.",
    ),
    Spec::new("dbsize", 1, Flags::READ_FAST, Keys::NONE, dbsize).doc(
        Group::Server,
        "1.0.0",
        "O(1), or O(N) on stores that keep no count",
        "Counts the keys of the database.",
    ),
    Spec::new("flushdb", -1, WRITE, Keys::NONE, flushdb).doc(
        Group::Server,
        "1.0.0",
        "O(1); the space is reclaimed later",
        "Removes all keys of the database.",
    ),
    Spec::new("flushall", -1, WRITE, Keys::NONE, flushall).doc(
        Group::Server,
        "1.0.0",
        "O(1); the space is reclaimed later",
        "Removes all keys of all databases.",
    ),
];

/// Replies with the number of keys for which `each` says yes.
fn count(
    ctx: &mut Ctx<'_, '_>,
    mut each: impl FnMut(&mut View<'_>, KeyspaceId, &[u8]) -> Result<bool, Stop>,
) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (mut counted, mut together) = (0, Together::default());
    for key in ctx.args.from(1).iter() {
        let yes = together.take(each(ctx.view, keyspace, key))?;
        counted += i64::from(yes == Some(true));
    }
    together.end()?;
    ctx.reply.integer(counted);
    Ok(())
}

fn del(ctx: &mut Ctx<'_, '_>) -> Outcome {
    count(ctx, |view, keyspace, key| view.remove(keyspace, key))
}

fn exists(ctx: &mut Ctx<'_, '_>) -> Outcome {
    count(ctx, |view, keyspace, key| view.exists(keyspace, key))
}

fn type_name(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let found = ctx.view.lookup(keyspace, ctx.arg(1))?;
    let name = found.map_or("none", |entry| entry.header.kind.type_name());
    ctx.reply.simple(name);
    Ok(())
}

fn rename(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    if !ctx.view.rename((keyspace, ctx.arg(1)), (keyspace, ctx.arg(2)))? {
        return Err(error::NO_SUCH_KEY.into());
    }
    ctx.reply.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (from, to) = (ctx.arg(1), ctx.arg(2));
    if !ctx.view.exists(keyspace, from)? {
        return Err(error::NO_SUCH_KEY.into());
    }
    // A key is in its own way, too.
    let free = !ctx.view.exists(keyspace, to)?;
    if free {
        ctx.view.rename((keyspace, from), (keyspace, to))?;
    }
    ctx.reply.integer(i64::from(free));
    Ok(())
}

fn copy(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (mut target, mut replace) = (ctx.client.database, false);
    let options = ctx.args.from(3);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"db") {
            target = database(options.next().ok_or(error::SYNTAX)?)?;
        } else {
            return Err(error::SYNTAX.into());
        }
    }
    let from = (ctx.keyspace()?, ctx.arg(1));
    let to = (ctx.view.keyspace(ctx.client.tenant, target)?, ctx.arg(2));
    if from == to {
        return Err(SAME_OBJECTS.into());
    }
    let copied = (replace || !ctx.view.exists(to.0, to.1)?) && ctx.view.copy(from, to)?;
    ctx.reply.integer(i64::from(copied));
    Ok(())
}

fn move_key(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.arg(1);
    let target = database(ctx.arg(2))?;
    if target == ctx.client.database {
        return Err(SAME_OBJECTS.into());
    }
    let from = ctx.keyspace()?;
    let to = ctx.view.keyspace(ctx.client.tenant, target)?;
    let moved = !ctx.view.exists(to, key)? && ctx.view.rename((from, key), (to, key))?;
    ctx.reply.integer(i64::from(moved));
    Ok(())
}

/// An argument that numbers a database.
fn database(text: &[u8]) -> Result<u8, Stop> {
    let index = num::parse_i64(text).ok_or(error::NOT_AN_INTEGER)?;
    if i32::try_from(index).is_err() {
        let (low, high) = (i32::MIN, i32::MAX);
        return Err(
            format!("ERR value is out of range, value must between {low} and {high}").into()
        );
    }
    in_range(index).ok_or_else(|| DATABASE_RANGE.into())
}

fn in_range(index: i64) -> Option<u8> {
    u8::try_from(index).ok().filter(|index| *index < DATABASES)
}

fn swapdb(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let index = |text: &[u8]| num::parse_i64(text).filter(|index| i32::try_from(*index).is_ok());
    let first = index(ctx.arg(1)).ok_or("ERR invalid first DB index")?;
    let second = index(ctx.arg(2)).ok_or("ERR invalid second DB index")?;
    let (Some(first), Some(second)) = (in_range(first), in_range(second)) else {
        return Err(DATABASE_RANGE.into());
    };
    ctx.view.swap_databases(ctx.client.tenant, first, second)?;
    ctx.reply.ok();
    Ok(())
}

fn dbsize(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let size = match ctx.view.exact_size(keyspace)? {
        Some(size) => size,
        None => ctx.view.count_keys(keyspace)?,
    };
    ctx.reply.integer(size as i64);
    Ok(())
}

fn flushdb(ctx: &mut Ctx<'_, '_>) -> Outcome {
    check_flush(ctx)?;
    ctx.view.flush_database(ctx.client.tenant, ctx.client.database)?;
    ctx.reply.ok();
    Ok(())
}

fn flushall(ctx: &mut Ctx<'_, '_>) -> Outcome {
    check_flush(ctx)?;
    ctx.view.flush_databases(ctx.client.tenant)?;
    ctx.reply.ok();
    Ok(())
}

/// `ASYNC` and `SYNC` are accepted and mean the same: nobody waits for the space to be reclaimed.
fn check_flush(ctx: &Ctx<'_, '_>) -> Outcome {
    let known = match ctx.args.len() {
        1 => true,
        2 => {
            let how = ctx.arg(1);
            how.eq_ignore_ascii_case(b"async") || how.eq_ignore_ascii_case(b"sync")
        }
        _ => false,
    };
    if known { Ok(()) } else { Err(error::SYNTAX.into()) }
}

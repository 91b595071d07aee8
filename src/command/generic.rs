//! Commands on keys of any type: presence, names, databases, and how a value is kept.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::string;
use crate::data::{KeyspaceId, View};
use crate::error::{self, Stop};
use crate::limits::DATABASES;
use crate::num;

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const HELP: Flags = Flags::LOADING.and(Flags::STALE);
/// The key behind a container's and a subcommand's name.
const SECOND: Keys = Keys::range(2, 2, 1);
/// Redis keeps strings up to this length beside their header and calls them `embstr`.
const EMBEDDED_BYTES_MAX: usize = 44;

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
    Spec::new("object", -2, Flags::NONE, Keys::NONE, container)
        .doc(
            Group::Generic,
            "2.2.3",
            "Depends on the subcommand",
            "Holds the commands about how values are kept.",
        )
        .with(OBJECT),
    Spec::new("memory", -2, Flags::NONE, Keys::NONE, container)
        .doc(
            Group::Server,
            "4.0.0",
            "Depends on the subcommand",
            "Holds the commands about the space that data takes.",
        )
        .with(MEMORY),
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

const OBJECT: &[Spec] = &[
    Spec::new("object|encoding", 3, READ, SECOND, object_encoding).doc(
        Group::Generic,
        "2.2.3",
        "O(1)",
        "Names the form in which Redis would keep the value.",
    ),
    Spec::new("object|freq", 3, READ, SECOND, object_freq).doc(
        Group::Generic,
        "4.0.0",
        "O(1)",
        "Refuses to say how often a key is used, which is not recorded.",
    ),
    Spec::new("object|help", 2, HELP, Keys::NONE, object_help).doc(
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

const MEMORY: &[Spec] = &[
    Spec::new("memory|doctor", 2, Flags::NONE, Keys::NONE, memory_doctor).doc(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Says whether the store reports a problem.",
    ),
    Spec::new("memory|help", 2, HELP, Keys::NONE, memory_help).doc(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Lists the subcommands.",
    ),
    Spec::new("memory|stats", 2, Flags::NONE, Keys::NONE, memory_stats).doc(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Gives the store's own figures.",
    ),
    Spec::new("memory|usage", -3, READ, SECOND, memory_usage).doc(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Gives the bytes a key and its value take in the store.",
    ),
];

/// Never called: a container's subcommand is looked up before anything runs.
fn container(_: &mut Ctx<'_, '_>) -> Outcome {
    Err(error::SYNTAX.into())
}

/// Replies with the number of keys for which `each` says yes.
///
/// A pending read does not keep the keys behind it from being asked for, so that one fetch serves all.
fn count(
    ctx: &mut Ctx<'_, '_>,
    mut each: impl FnMut(&mut View<'_>, KeyspaceId, &[u8]) -> Result<bool, Stop>,
) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let (mut counted, mut pending) = (0, false);
    for key in ctx.args.from(1).iter() {
        match each(ctx.view, keyspace, key) {
            Ok(yes) => counted += i64::from(yes),
            Err(Stop::Pending) => pending = true,
            Err(other) => return Err(other),
        }
    }
    if pending {
        return Err(Stop::Pending);
    }
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
    for database in 0..DATABASES {
        ctx.view.flush_database(ctx.client.tenant, database)?;
    }
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

fn object_encoding(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    match string::get(ctx.view, keyspace, ctx.arg(2))? {
        None => ctx.reply.null(),
        Some(found) if found.len() > EMBEDDED_BYTES_MAX as u64 => ctx.reply.bulk(b"raw"),
        Some(found) => {
            let is_integer = num::parse_i64(&found.value(ctx.view, keyspace)?).is_some();
            ctx.reply.bulk(if is_integer { b"int" } else { b"embstr" });
        }
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

fn lines(ctx: &mut Ctx<'_, '_>, lines: &[&str]) -> Outcome {
    ctx.reply.array(lines.len());
    lines.iter().for_each(|line| ctx.reply.simple(line));
    Ok(())
}

fn object_help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    lines(
        ctx,
        &[
            "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "ENCODING <key>",
            "    Names the form in which Redis would keep the value.",
            "FREQ <key>",
            "    Is always refused: how often keys are used is not recorded.",
            "IDLETIME <key>",
            "    Gives the seconds since the last use, always 0.",
            "REFCOUNT <key>",
            "    Gives the number of references to the value, always 1.",
            "HELP",
            "    Prints this text.",
        ],
    )
}

fn memory_help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    lines(
        ctx,
        &[
            "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "DOCTOR",
            "    Says whether the store reports a problem.",
            "STATS",
            "    Gives the store's own figures.",
            "USAGE <key> [SAMPLES <count>]",
            "    Gives the bytes a key and its value take in the store. Nothing is sampled.",
            "HELP",
            "    Prints this text.",
        ],
    )
}

fn memory_doctor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let text = match ctx.server.store.write_failure() {
        Some(cause) => format!("The store refuses writes: {cause}.\n"),
        None => "The store is healthy.\n".to_owned(),
    };
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

fn memory_stats(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let figures = ctx.server.store.figures();
    ctx.reply.map(figures.len());
    for (name, value) in figures {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(value as i64);
    }
    Ok(())
}

fn memory_usage(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = ctx.args.from(3);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let count = options.next().filter(|_| option.eq_ignore_ascii_case(b"samples"));
        let samples = num::parse_i64(count.ok_or(error::SYNTAX)?).ok_or(error::NOT_AN_INTEGER)?;
        if samples < 0 {
            return Err(error::SYNTAX.into());
        }
    }
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(2);
    match string::get(ctx.view, keyspace, key)? {
        Some(found) => ctx.reply.integer(string::stored_bytes(&found, key) as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

//! `OBJECT` and `MEMORY`: how a value is kept, and what space it takes.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::inspect;
use crate::error;
use crate::num;

const READ: Flags = Flags::READONLY;
const HELP: Flags = Flags::LOADING.and(Flags::STALE);
/// The key behind a container's and a subcommand's name.
const SECOND: Keys = Keys::range(2, 2, 1);
/// Elements that `MEMORY USAGE` looks at unless it is told otherwise.
const SAMPLES_DEFAULT: i64 = 5;

/// The rows of both containers.
pub const TABLE: &[Spec] = &[
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
];

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
    Spec::new("memory|doctor", 2, Flags::OPERATOR, Keys::NONE, memory_doctor).doc(
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
    Spec::new("memory|stats", 2, Flags::OPERATOR, Keys::NONE, memory_stats).doc(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Gives the store's own figures.",
    ),
    Spec::new("memory|usage", -3, READ, SECOND, memory_usage).doc(
        Group::Server,
        "4.0.0",
        "O(N) where N is the number of elements looked at",
        "Gives the bytes a key and its value take in the store.",
    ),
];

/// Never called: a container's subcommand is looked up before anything runs.
fn container(_: &mut Ctx<'_, '_>) -> Outcome {
    Err(error::SYNTAX.into())
}

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
            "    Names the form in which Redis would keep a fresh copy of the value.",
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
            "    Gives the bytes a key and its value take in the store: those of a large collection are",
            "    estimated from some of its elements, 5 by default; 0 stands for all.",
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
    let mut samples = SAMPLES_DEFAULT;
    let options = ctx.args.from(3);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let count = options.next().filter(|_| option.eq_ignore_ascii_case(b"samples"));
        samples = num::parse_i64(count.ok_or(error::SYNTAX)?).ok_or(error::NOT_AN_INTEGER)?;
        if samples < 0 {
            return Err(error::SYNTAX.into());
        }
    }
    let samples = (samples > 0).then_some(samples as u64);
    match inspect::stored_bytes(ctx.view, ctx.keyspace()?, ctx.arg(2), samples)? {
        Some(bytes) => ctx.reply.integer(bytes as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

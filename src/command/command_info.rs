//! `COMMAND`: the table, told to clients.

use super::help::help;
use super::stats::registry;
use super::table::{self, Found};
use super::{Args, Ctx, Flags, Group, Handler, Keys, Outcome, Spec};
use crate::error::{self, Stop};
use crate::glob;
use crate::resp::Reply;

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const PER_COMMAND: &str = "O(N) where N is the number of commands to look up";

/// The row of `COMMAND`.
pub const TABLE: &[Spec] = &[row(
    "command",
    -1,
    all,
    "2.8.13",
    "O(N) where N is the total number of commands",
    "Describes all commands.",
)
.with(&[
    row("command|count", 2, count, "2.8.13", "O(1)", "Counts the commands."),
    row("command|list", -2, list, "7.0.0", PER_COMMAND, "Lists the commands' names."),
    row("command|info", -2, info, "2.8.13", PER_COMMAND, "Describes commands."),
    row("command|docs", -2, docs, "7.0.0", PER_COMMAND, "Documents commands."),
    row(
        "command|getkeys",
        -4,
        getkeys,
        "2.8.13",
        "O(N) where N is the number of arguments to the command",
        "Finds the keys among a command's arguments.",
    ),
    row(
        "command|getkeysandflags",
        -4,
        getkeysandflags,
        "7.0.0",
        "O(N) where N is the number of arguments to the command",
        "Finds the keys among a command's arguments, and what is done with them.",
    ),
    row("command|help", 2, help, "5.0.0", "O(1)", "Lists the subcommands."),
])];

const fn row(
    name: &'static str,
    arity: i16,
    run: Handler,
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, ANY_TIME, Keys::NONE, run).doc(Group::Server, since, complexity, summary)
}

fn all(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.array(table::top_level().count());
    table::top_level().for_each(|spec| describe(ctx.reply, spec));
    Ok(())
}

fn count(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.integer(table::top_level().count() as i64);
    Ok(())
}

/// The command, or `container|subcommand`, of this name.
fn named(name: &[u8]) -> Option<&'static Spec> {
    match name.iter().position(|&byte| byte == b'|') {
        None => table::by_name(name),
        Some(bar) => table::subcommand(table::by_name(&name[..bar])?, &name[bar + 1..]),
    }
}

fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() == 2 {
        return all(ctx);
    }
    ctx.reply.array(ctx.args.len() - 2);
    for name in ctx.args.from(2).iter() {
        match named(name) {
            Some(spec) => describe(ctx.reply, spec),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// One command as `COMMAND INFO` shows it.
fn describe(reply: &mut Reply, spec: &'static Spec) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(spec.arity.into());
    let flags = Flags::NAMES.iter().filter(|(flag, _)| spec.flags.has(*flag));
    reply.set(flags.clone().count());
    flags.for_each(|(_, name)| reply.simple(name));
    for position in [spec.keys.first, spec.keys.last, spec.keys.step] {
        reply.integer(position.into());
    }
    let categories = categories(spec);
    reply.set(categories.len());
    categories.iter().for_each(|category| reply.simple(&format!("@{category}")));
    // Tips are for proxies of clusters.
    reply.set(0);
    key_specs(reply, spec);
    reply.set(spec.subcommands.len());
    spec.subcommands.iter().for_each(|sub| describe(reply, sub));
}

/// Categories in the order Redis has them.
const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Commands that belong elsewhere than their group and flags say.
const MORE_CATEGORIES: &[(&str, &[&str])] = &[
    ("info", &["dangerous"]),
    ("role", &["admin", "dangerous"]),
    ("keys", &["dangerous"]),
    ("dbsize", &["keyspace"]),
    ("flushall", &["keyspace", "dangerous"]),
    ("flushdb", &["keyspace", "dangerous"]),
    ("swapdb", &["keyspace", "dangerous"]),
    ("command", &["connection"]),
];

/// The access-control categories of a command, without their `@`.
fn categories(spec: &Spec) -> Vec<&'static str> {
    let has = |flag| spec.flags.has(flag);
    let container = spec.name.split('|').next().unwrap_or_default();
    let more = MORE_CATEGORIES.iter().find(|(name, _)| *name == container);
    let more = more.map_or(&[][..], |(_, more)| more);
    let by_group = match spec.group {
        Group::String => "string",
        Group::Bitmap => "bitmap",
        Group::Hash => "hash",
        Group::List => "list",
        Group::Set => "set",
        Group::SortedSet => "sortedset",
        Group::Generic => "keyspace",
        Group::Transactions => "transaction",
        Group::Connection => "connection",
        Group::Json | Group::Server | Group::Cluster | Group::PubSub => "",
    };
    let is_in = |category: &str| match category {
        // A container itself does nothing.
        _ if category == by_group => spec.subcommands.is_empty(),
        "read" => has(Flags::READONLY),
        "write" => has(Flags::WRITE),
        "pubsub" => has(Flags::PUBSUB),
        "fast" => has(Flags::FAST),
        "slow" => !has(Flags::FAST),
        "blocking" => has(Flags::BLOCKING),
        "admin" | "dangerous" if has(Flags::ADMIN) => true,
        _ => more.contains(&category),
    };
    CATEGORIES.iter().copied().filter(|category| is_in(category)).collect()
}

/// What a command does with its keys, as far as its flags tell.
fn access(spec: &Spec) -> &'static [&'static str] {
    match spec.is_write() {
        true => &["RW", "access", "update"],
        false => &["RO", "access"],
    }
}

fn key_specs(reply: &mut Reply, spec: &Spec) {
    let Keys { first, last, step, .. } = spec.keys;
    if first == 0 {
        return reply.set(0);
    }
    let field = |reply: &mut Reply, name: &str, value: i16| {
        reply.bulk(name.as_bytes());
        reply.integer(value.into());
    };
    let search = |reply: &mut Reply, name: &str, kind: &str, fields: usize| {
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"type");
        reply.bulk(kind.as_bytes());
        reply.bulk(b"spec");
        reply.map(fields);
    };
    reply.set(1);
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(access(spec).len());
    access(spec).iter().for_each(|flag| reply.simple(flag));
    search(reply, "begin_search", "index", 1);
    field(reply, "index", first);
    search(reply, "find_keys", "range", 3);
    field(reply, "lastkey", if last < 0 { last } else { last - first });
    field(reply, "keystep", step);
    field(reply, "limit", 0);
}

fn docs(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let names = ctx.args.from(2);
    let specs: Vec<_> = match names.len() {
        0 => table::top_level().collect(),
        _ => names.iter().filter_map(named).collect(),
    };
    ctx.reply.map(specs.len());
    specs.into_iter().for_each(|spec| document(ctx.reply, spec));
    Ok(())
}

/// One command's name and documentation, as `COMMAND DOCS` shows them.
fn document(reply: &mut Reply, spec: &'static Spec) {
    let group = match spec.group {
        Group::String => "string",
        Group::Bitmap => "bitmap",
        Group::Hash => "hash",
        Group::List => "list",
        Group::Set => "set",
        Group::SortedSet => "sorted-set",
        Group::Generic => "generic",
        // In Redis these commands come from a module.
        Group::Json => "module",
        Group::Transactions => "transactions",
        Group::Connection => "connection",
        Group::Server => "server",
        Group::Cluster => "cluster",
        Group::PubSub => "pubsub",
    };
    let fields = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", group),
        ("complexity", spec.complexity),
    ];
    reply.bulk(spec.name.as_bytes());
    reply.map(fields.len() + usize::from(!spec.subcommands.is_empty()));
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if !spec.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subcommands.len());
        spec.subcommands.iter().for_each(|sub| document(reply, sub));
    }
}

fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let names: Vec<&str> = match ctx.args.len() {
        2 => table::top_level().map(|spec| spec.name).collect(),
        5 if ctx.arg(2).eq_ignore_ascii_case(b"filterby") => filtered(ctx.arg(3), ctx.arg(4))?,
        _ => return Err(error::SYNTAX.into()),
    };
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name.as_bytes()));
    Ok(())
}

/// Names of commands and subcommands that fit.
fn filtered(by: &[u8], what: &[u8]) -> Result<Vec<&'static str>, Stop> {
    let fits: &dyn Fn(&Spec) -> bool = match &*by.to_ascii_lowercase() {
        b"module" => &|_| false,
        b"aclcat" => &|spec| {
            let fits = |name: &&str| what.eq_ignore_ascii_case(name.as_bytes());
            categories(spec).iter().any(fits)
        },
        b"pattern" => &|spec| glob::matches_ignoring_case(what, spec.name.as_bytes()),
        _ => return Err(error::SYNTAX.into()),
    };
    Ok(registry().specs().iter().filter(|spec| fits(spec)).map(|spec| spec.name).collect())
}

fn getkeys(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (_, keys) = keys_of(ctx.args.from(2))?;
    ctx.reply.array(keys.len());
    keys.iter().for_each(|key| ctx.reply.bulk(key));
    Ok(())
}

fn getkeysandflags(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (spec, keys) = keys_of(ctx.args.from(2))?;
    ctx.reply.array(keys.len());
    for key in keys {
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        ctx.reply.set(access(spec).len());
        access(spec).iter().for_each(|flag| ctx.reply.simple(flag));
    }
    Ok(())
}

/// The keys of a whole command.
fn keys_of(args: Args<'_>) -> Result<(&'static Spec, Vec<&[u8]>), Stop> {
    let Found::Command(spec) = table::lookup(args) else {
        return Err("ERR Invalid command specified".into());
    };
    if !spec.keys.are_there() {
        return Err("ERR The command has no key arguments".into());
    }
    if !spec.accepts(args.len()) {
        return Err("ERR Invalid number of arguments specified for command".into());
    }
    let keys: Vec<_> = spec.keys.of(args).collect();
    if keys.is_empty() {
        return Err("ERR Invalid arguments specified for command".into());
    }
    Ok((spec, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_those_of_redis() {
        let of = |name: &[u8]| categories(named(name).unwrap()).join(" ");
        assert_eq!(of(b"get"), "read string fast");
        assert_eq!(of(b"client"), "slow");
        assert_eq!(of(b"client|kill"), "admin slow dangerous connection");
        assert_eq!(of(b"info"), "slow dangerous");
        assert_eq!(of(b"role"), "admin fast dangerous");
        assert_eq!(of(b"command|docs"), "slow connection");
        assert_eq!(of(b"wait"), "slow connection");
    }

    #[test]
    fn every_row_is_documented() {
        for spec in registry().specs() {
            assert!(spec.summary.ends_with('.') && !spec.since.is_empty(), "{}", spec.name);
            assert!(!spec.complexity.is_empty(), "{}", spec.name);
        }
    }
}

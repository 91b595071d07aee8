//! Commands on JSON documents: the table, and what they have in common.
//!
//! A document is a string at a key: its compact text ([`crate::json`]). The commands work on any
//! string that is JSON, whoever wrote it.
//!
//! Replies and errors follow RedisJSON 2.6 to 8.0, with these exceptions. Errors about JSON and paths
//! that cannot be parsed, and those of limits, are our own. Integers that would leave 64 bits are
//! refused with the error of later versions; the older ones wrap around. `JSON.MGET` refuses a path
//! that is none. A key keeps its expiry whenever a document at it is changed or replaced, as in
//! RedisJSON, which changes the value inside the key; `SET` is the command that ends an expiry.

mod change;
mod get;
mod inspect;
mod set;

use std::borrow::Cow;

use super::help::help;
use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Spec};
use crate::data::{KeyspaceId, Prior, string};
use crate::error::Stop;
use crate::json::{self, Path, Value};
use crate::limits::{JSON_PATH_WORK_MAX, JSON_TEXT_BYTES_MAX};

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);
const SECOND: Keys = Keys::range(2, 2, 1);
const ALL_BUT_LAST: Keys = Keys::range(1, -2, 1);
const TRIPLETS: Keys = Keys::range(1, -1, 3);
const SIZE: &str = "O(N) where N is the size of the document";
const SIZES: &str = "O(N) where N is the size of the documents";

const fn row(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::ONE, run).doc(Group::Json, since, SIZE, summary)
}

/// The rows of the JSON commands.
pub const TABLE: &[Spec] = &[
    row("json.set", -4, GROWS, set::set, "1.0.0", "Sets the values at a path of a document."),
    row("json.get", -2, READ, get::get, "1.0.0", "Returns the values at paths of a document."),
    row("json.del", -2, WRITE, set::del, "1.0.0", "Removes the values at a path of a document."),
    row(
        "json.forget",
        -2,
        WRITE,
        set::del,
        "1.0.0",
        "Removes the values at a path of a document, as JSON.DEL does.",
    ),
    Spec::new("json.mget", -3, READ, ALL_BUT_LAST, get::mget).doc(
        Group::Json,
        "1.0.0",
        SIZES,
        "Returns the values at one path of several documents.",
    ),
    Spec::new("json.mset", -4, GROWS, TRIPLETS, set::mset).doc(
        Group::Json,
        "2.6.0",
        SIZES,
        "Sets the values at paths of several documents in one step.",
    ),
    row(
        "json.merge",
        -4,
        GROWS,
        set::merge,
        "2.6.0",
        "Merges a value into the values at a path of a document.",
    ),
    row("json.type", -2, READ, inspect::kind, "1.0.0", "Names the types of the values at a path."),
    row(
        "json.numincrby",
        4,
        WRITE,
        change::numincrby,
        "1.0.0",
        "Adds to the numbers at a path of a document.",
    ),
    row(
        "json.nummultby",
        4,
        WRITE,
        change::nummultby,
        "1.0.0",
        "Multiplies the numbers at a path of a document.",
    ),
    row(
        "json.strappend",
        -3,
        GROWS,
        change::strappend,
        "1.0.0",
        "Adds to the ends of the strings at a path of a document.",
    ),
    row("json.strlen", -2, READ, inspect::strlen, "1.0.0", "Counts the bytes of strings."),
    row(
        "json.arrappend",
        -4,
        GROWS,
        change::arrappend,
        "1.0.0",
        "Adds elements to the ends of the arrays at a path of a document.",
    ),
    row(
        "json.arrindex",
        -4,
        READ,
        inspect::arrindex,
        "1.0.0",
        "Finds the first element of an array that equals a value.",
    ),
    row(
        "json.arrinsert",
        -5,
        GROWS,
        change::arrinsert,
        "1.0.0",
        "Inserts elements into the arrays at a path of a document.",
    ),
    row("json.arrlen", -2, READ, inspect::arrlen, "1.0.0", "Counts the elements of arrays."),
    row(
        "json.arrpop",
        -2,
        WRITE,
        change::arrpop,
        "1.0.0",
        "Removes and returns an element of each array at a path of a document.",
    ),
    row(
        "json.arrtrim",
        5,
        WRITE,
        change::arrtrim,
        "1.0.0",
        "Removes all elements of arrays but those between two positions.",
    ),
    row("json.objkeys", -2, READ, inspect::objkeys, "1.0.0", "Lists the names in objects."),
    row("json.objlen", -2, READ, inspect::objlen, "1.0.0", "Counts the members of objects."),
    row("json.toggle", 3, WRITE, change::toggle, "2.0.0", "Turns true to false and false to true."),
    row(
        "json.clear",
        -2,
        WRITE,
        set::clear,
        "2.0.0",
        "Empties containers and makes numbers 0 at a path of a document.",
    ),
    row(
        "json.resp",
        -2,
        READ,
        get::resp,
        "1.0.0",
        "Returns the values at a path in the types of the protocol.",
    ),
    Spec::new("json.debug", -2, Flags::NONE, Keys::NONE, help)
        .doc(Group::Json, "1.0.0", "Depends on the subcommand", "Holds commands for debugging.")
        .with(DEBUG),
];

const DEBUG: &[Spec] = &[
    Spec::new("json.debug|memory", -3, READ, SECOND, inspect::memory).doc(
        Group::Json,
        "1.0.0",
        SIZE,
        "Tells how many bytes of the document's text the values at a path take.",
    ),
    Spec::new("json.debug|help", 2, READ, Keys::NONE, help).doc(
        Group::Json,
        "1.0.0",
        "O(1)",
        "Lists the subcommands.",
    ),
];

/// There is no document where one is needed.
const NO_DOCUMENT: &str = "ERR could not perform this operation on a key that doesn't exist";
/// A path needs a document.
const NEW_AT_ROOT: &str = "ERR new objects must be created at the root";

/// Refuses more than `max` arguments, the command's name included.
fn at_most(ctx: &Ctx<'_, '_>, max: usize) -> Outcome {
    if ctx.args.len() <= max { Ok(()) } else { Err(wrong_arity(ctx)) }
}

fn wrong_arity(ctx: &Ctx<'_, '_>) -> Stop {
    let name = String::from_utf8_lossy(ctx.arg(0)).to_lowercase();
    format!("ERR wrong number of arguments for '{name}' command").into()
}

/// The path in argument `index`, or the root if there are fewer arguments.
fn path_at<'c>(ctx: &Ctx<'c, '_>, index: usize) -> Result<Path<'c>, Stop> {
    if ctx.args.len() > index { Path::parse(ctx.arg(index)) } else { Ok(Path::root()) }
}

/// The error for a legacy path that leads nowhere.
fn nowhere(path: &str) -> Stop {
    format!("ERR Path '{path}' does not exist").into()
}

/// The error for a legacy path that leads nowhere, or to another type only.
fn nowhere_or(path: &str, what: &str) -> Stop {
    format!("ERR Path '{path}' does not exist or {what}").into()
}

/// The error for a value of another type.
fn wrong_kind(expected: &str, value: &Value) -> Stop {
    let found = kind_name(value);
    format!("WRONGTYPE wrong type of path value - expected {expected} but found {found}").into()
}

/// The name of a value's type.
fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if json::is_integer(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Shows the text of the string at `key` to `then`, if there is one.
fn with_text<T>(
    ctx: &Ctx<'_, '_>,
    key: &[u8],
    then: impl FnOnce(&[u8]) -> Result<T, Stop>,
) -> Result<Option<T>, Stop> {
    let keyspace = ctx.keyspace()?;
    let Some(found) = string::get(ctx.view, keyspace, key)? else { return Ok(None) };
    let text: Cow<'_, [u8]> = found.value(ctx.view, keyspace)?;
    then(&text).map(Some)
}

/// The document at `key`, to be looked at.
fn read(ctx: &Ctx<'_, '_>, key: &[u8]) -> Result<Option<Value>, Stop> {
    with_text(ctx, key, json::parse)
}

/// A document that is to be changed.
struct Document {
    keyspace: KeyspaceId,
    prior: Prior,
    /// The tree, to be changed in place.
    root: Value,
}

impl Document {
    /// The document at `key`.
    fn open(ctx: &Ctx<'_, '_>, key: &[u8]) -> Result<Option<Document>, Stop> {
        let keyspace = ctx.keyspace()?;
        let (found, prior) = string::get_to_replace(ctx.view, keyspace, key)?;
        let Some(found) = found else { return Ok(None) };
        let root = json::parse(&found.value(ctx.view, keyspace)?)?;
        Ok(Some(Document { keyspace, prior, root }))
    }

    /// Writes the tree back. The key keeps its expiry.
    fn save(self, ctx: &mut Ctx<'_, '_>, key: &[u8]) -> Outcome {
        let text = json::edit::finish(&self.root)?;
        write(ctx, self.keyspace, key, &text, self.prior)
    }
}

/// Makes `text`, which is compact JSON, the value of a key, which keeps its expiry.
fn write(
    ctx: &mut Ctx<'_, '_>,
    keyspace: KeyspaceId,
    key: &[u8],
    text: &[u8],
    prior: Prior,
) -> Outcome {
    string::check_len(ctx.view, text.len() as u64)?;
    json::note_compact(text);
    let expires_ms = prior.expires_ms(ctx.view.now_ms());
    string::put(ctx.view, keyspace, key, &[text], expires_ms, prior)
}

/// Refuses to put `bytes` of text into a document so many times, before memory is used for it.
fn check_growth(ctx: &Ctx<'_, '_>, times: usize, bytes: usize) -> Outcome {
    string::check_len(ctx.view, (times as u64).saturating_mul(bytes as u64))
}

/// Refuses to go through more text for one command than `bytes` if that is too much.
fn check_text(bytes: u64) -> Outcome {
    if bytes <= JSON_TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(format!("ERR the documents are longer than {JSON_TEXT_BYTES_MAX} bytes together").into())
}

/// Refuses to go through more elements of arrays for one command than `elements` if that is too much. No
/// tree has so many, but a path can name an array again and again.
fn check_elements(elements: u64) -> Outcome {
    if elements <= JSON_PATH_WORK_MAX {
        return Ok(());
    }
    Err(format!("ERR the arrays have more than {JSON_PATH_WORK_MAX} elements together").into())
}

//! String commands: the table, and those that read a value whole.

mod lcs;
mod number;
mod range;
mod set;

use super::options::GetexOption;
use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::{KeyspaceId, View, string};
use crate::error::{Stop, Together};
use crate::resp::Reply;

pub(super) use range::resolve;

const READ: Flags = Flags::READONLY;
/// Keys and values in turn.
const PAIRS: Keys = Keys::range(1, -1, 2);

/// The rows of the string commands.
pub const TABLE: &[Spec] = &[
    Spec::new("get", 2, Flags::READ_FAST, Keys::ONE, get).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Returns the string at a key.",
    ),
    Spec::new("getset", 3, Flags::GROWS_FAST, Keys::ONE, set::getset).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Gives a key a new string and returns the one it replaces.",
    ),
    Spec::new("getdel", 2, Flags::WRITE_FAST, Keys::ONE, getdel).doc(
        Group::String,
        "6.2.0",
        "O(1)",
        "Returns the string at a key and removes the key.",
    ),
    Spec::new("getex", -2, Flags::WRITE_FAST, Keys::ONE, getex).doc(
        Group::String,
        "6.2.0",
        "O(1)",
        "Returns the string at a key and changes when the key expires.",
    ),
    Spec::new("mget", -2, Flags::READ_FAST, Keys::ALL, mget).doc(
        Group::String,
        "1.0.0",
        "O(N) where N is the number of keys",
        "Returns the strings at several keys, all of one moment.",
    ),
    Spec::new("set", -3, Flags::GROWS, Keys::ONE, set::set).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Makes a string the value of a key, whatever was there before.",
    ),
    Spec::new("setnx", 3, Flags::GROWS_FAST, Keys::ONE, set::setnx).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Makes a string the value of a key that does not exist.",
    ),
    Spec::new("setex", 4, Flags::GROWS, Keys::ONE, set::setex).doc(
        Group::String,
        "2.0.0",
        "O(1)",
        "Makes a string the value of a key for a number of seconds.",
    ),
    Spec::new("psetex", 4, Flags::GROWS, Keys::ONE, set::psetex).doc(
        Group::String,
        "2.6.0",
        "O(1)",
        "Makes a string the value of a key for a number of milliseconds.",
    ),
    Spec::new("mset", -3, Flags::GROWS, PAIRS, set::mset).doc(
        Group::String,
        "1.0.1",
        "O(N) where N is the number of keys",
        "Gives several keys their values in one step.",
    ),
    Spec::new("msetnx", -3, Flags::GROWS, PAIRS, set::msetnx).doc(
        Group::String,
        "1.0.1",
        "O(N) where N is the number of keys",
        "Gives several keys their values in one step, if none of them exists.",
    ),
    Spec::new("append", 3, Flags::GROWS_FAST, Keys::ONE, range::append).doc(
        Group::String,
        "2.0.0",
        "O(N) where N is the length of what is added",
        "Adds to the end of the string at a key, which is empty if there is none.",
    ),
    Spec::new("strlen", 2, Flags::READ_FAST, Keys::ONE, range::strlen).doc(
        Group::String,
        "2.2.0",
        "O(1)",
        "Returns how many bytes the string at a key has.",
    ),
    Spec::new("getrange", 4, READ, Keys::ONE, range::getrange).doc(
        Group::String,
        "2.4.0",
        "O(N) where N is the length of the part",
        "Returns the bytes of a string between two positions.",
    ),
    Spec::new("substr", 4, READ, Keys::ONE, range::getrange).doc(
        Group::String,
        "1.0.0",
        "O(N) where N is the length of the part",
        "Returns the bytes of a string between two positions, as GETRANGE does.",
    ),
    Spec::new("setrange", 4, Flags::GROWS, Keys::ONE, range::setrange).doc(
        Group::String,
        "2.2.0",
        "O(N) where N is the length of what is written",
        "Overwrites the bytes of a string from a position on.",
    ),
    Spec::new("incr", 2, Flags::GROWS_FAST, Keys::ONE, number::incr).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Adds one to the integer at a key, which is 0 if there is none.",
    ),
    Spec::new("decr", 2, Flags::GROWS_FAST, Keys::ONE, number::decr).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Takes one from the integer at a key, which is 0 if there is none.",
    ),
    Spec::new("incrby", 3, Flags::GROWS_FAST, Keys::ONE, number::incrby).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Adds to the integer at a key, which is 0 if there is none.",
    ),
    Spec::new("decrby", 3, Flags::GROWS_FAST, Keys::ONE, number::decrby).doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Subtracts from the integer at a key, which is 0 if there is none.",
    ),
    Spec::new("incrbyfloat", 3, Flags::GROWS_FAST, Keys::ONE, number::incrbyfloat).doc(
        Group::String,
        "2.6.0",
        "O(1)",
        "Adds to the floating-point number at a key, which is 0 if there is none.",
    ),
    Spec::new("lcs", -3, READ, Keys::TWO, lcs::lcs).doc(
        Group::String,
        "7.0.0",
        "O(N*M) where N and M are the lengths of the strings",
        "Finds the longest sequence of bytes that two strings have in common.",
    ),
];

/// Replies with the string at `key`, or null; says whether it is there.
fn reply_value(
    view: &View<'_>,
    reply: &mut Reply,
    keyspace: KeyspaceId,
    key: &[u8],
) -> Result<bool, Stop> {
    let found = string::get(view, keyspace, key)?;
    match &found {
        Some(found) => reply.bulk(&found.value(view, keyspace)?),
        None => reply.null(),
    }
    Ok(found.is_some())
}

fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    reply_value(ctx.view, ctx.reply, keyspace, ctx.arg(1))?;
    Ok(())
}

fn mget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    ctx.reply.array(ctx.args.len() - 1);
    let mut together = Together::default();
    for key in ctx.args.from(1).iter() {
        ctx.check_replies()?;
        match reply_value(ctx.view, ctx.reply, keyspace, key) {
            // What is no string is as good as nothing.
            Err(stop) if stop.is_wrong_type() => ctx.reply.null(),
            replied => drop(together.take(replied)?),
        }
    }
    together.end()
}

fn getdel(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    if reply_value(ctx.view, ctx.reply, keyspace, ctx.arg(1))? {
        ctx.view.remove(keyspace, ctx.arg(1))?;
    }
    Ok(())
}

fn getex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(1);
    let option = GetexOption::parse(ctx.args.from(2))?;
    if !reply_value(ctx.view, ctx.reply, keyspace, key)? {
        return Ok(());
    }
    let expires_ms = match option {
        GetexOption::Keep => return Ok(()),
        GetexOption::Persist => 0,
        GetexOption::Set(expiry) => expiry.unix_ms(ctx.view.now_ms(), "getex")?,
    };
    if expires_ms != 0 && expires_ms <= ctx.view.now_ms() {
        ctx.view.remove(keyspace, key)?;
    } else {
        ctx.view.set_expiry(keyspace, key, expires_ms)?;
    }
    Ok(())
}

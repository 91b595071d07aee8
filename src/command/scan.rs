//! Commands that walk the keys of a database: `KEYS`, `SCAN`, `RANDOMKEY`; and what the scans of
//! collections have in common with them.
//!
//! Keys, and the elements of a collection, are stored in the order of their hashes, so the cursor of `SCAN` is a position in that order:
//! the upper 53 bits of the next key's hash, because clients in JavaScript keep cursors in a double.
//! It needs no state, is valid on every process and across restarts, and a key that is there
//! throughout is returned, because nothing moves it to another position.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::{Args, Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::collection::{Collection, Records};
use crate::data::meta::{Header, Kind};
use crate::data::{View, keys};
use crate::error::{self, Stop};
use crate::limits::{SCAN_BYTES_MAX, SCAN_COUNT_MAX};
use crate::store::Scan;
use crate::{glob, num};

const SCAN_COUNT_DEFAULT: usize = 10;
const INVALID_CURSOR: &str = "ERR invalid cursor";

/// The rows of the commands that walk keys.
pub const TABLE: &[Spec] = &[
    Spec::new("keys", 2, Flags::READONLY, Keys::NONE, keys_command).doc(
        Group::Generic,
        "1.0.0",
        "O(N) where N is the number of keys in the database",
        "Lists the keys that match a pattern.",
    ),
    Spec::new("scan", -2, Flags::READONLY, Keys::NONE, scan).doc(
        Group::Generic,
        "2.8.0",
        "O(1) for each call with a bounded COUNT",
        "Lists some keys, and says where to go on.",
    ),
    Spec::new("randomkey", 1, Flags::READONLY, Keys::NONE, randomkey).doc(
        Group::Generic,
        "1.0.0",
        "O(1)",
        "Names any key of the database.",
    ),
];

/// What is to be listed.
#[derive(Default)]
struct Wanted<'a> {
    /// `None`: every name.
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
    now_ms: u64,
}

impl<'a> Wanted<'a> {
    fn set_pattern(&mut self, pattern: &'a [u8]) {
        // The pattern matcher says no to an empty text, but a lone star means everything.
        self.pattern = Some(pattern).filter(|pattern| *pattern != b"*");
    }

    fn includes(&self, key: &[u8], record: &[u8]) -> bool {
        let Some(header) = Header::decode(record) else { return false };
        let name = header.kind.type_name().as_bytes();
        header.is_live(self.now_ms)
            && self.type_name.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
            && self.includes_name(key)
    }

    fn includes_name(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn keys_command(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let pattern = ctx.arg(1);
    if glob::literal(pattern) {
        let found = ctx.view.exists(keyspace, pattern)?;
        ctx.reply.array(usize::from(found));
        if found {
            ctx.reply.bulk(pattern);
        }
        return Ok(());
    }
    let mut wanted = Wanted { now_ms: ctx.view.now_ms(), ..Wanted::default() };
    wanted.set_pattern(pattern);
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let (mark, mut count) = (reply.mark(), 0);
    let (begin, end) = keys::range(&keys::metas(keyspace));
    view.walk(Scan::all(&begin, &end), &mut |record_key, record| {
        let (_, key) = keys::split_meta(record_key);
        if wanted.includes(key, record) {
            reply.bulk(key);
            count += 1;
            if reply.len() > limit {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    reply.array_header_at(mark, count);
    ctx.check_replies()
}

/// Reads the options behind a cursor: what is wanted, and how much of it; only keys have types.
fn parse_options<'a>(args: Args<'a>, typed: bool) -> Result<(Wanted<'a>, usize), Stop> {
    let (mut wanted, mut count) = (Wanted::default(), SCAN_COUNT_DEFAULT);
    let mut options = args.iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or(error::SYNTAX)?;
        if option.eq_ignore_ascii_case(b"count") {
            let given = num::parse_i64(value).ok_or(error::NOT_AN_INTEGER)?;
            if given < 1 {
                return Err(error::SYNTAX.into());
            }
            count = usize::try_from(given).unwrap_or(usize::MAX).min(SCAN_COUNT_MAX);
        } else if option.eq_ignore_ascii_case(b"match") {
            wanted.set_pattern(value);
        } else if typed && option.eq_ignore_ascii_case(b"type") {
            wanted.type_name = Some(value);
        } else {
            return Err(error::SYNTAX.into());
        }
    }
    Ok((wanted, count))
}

fn scan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let cursor = parse_cursor(ctx.arg(1)).ok_or(INVALID_CURSOR)?;
    let (mut wanted, count) = parse_options(ctx.args.from(2), true)?;
    wanted.now_ms = ctx.view.now_ms();
    let keyspace = ctx.keyspace()?;
    let mut found = Records::default();
    let next = ctx.view.walk_from(&keys::metas(keyspace), cursor, count, &mut |key, record| {
        if wanted.includes(key, record) {
            found.push(key, &[]);
        }
        go_on(&found)
    })?;
    reply_found(ctx, next, &found, 1);
    Ok(())
}

/// What a scan shows of an element beside its name, given its key and its record.
pub(super) type ElementValue =
    for<'r> fn(&View<'_>, &[u8], &'r [u8]) -> Result<Cow<'r, [u8]>, Stop>;

/// `HSCAN` and its like: some elements of the collection at the key, each with its value if it has one
/// that is shown, and where to go on.
pub(super) fn scan_elements(
    ctx: &mut Ctx<'_, '_>,
    kind: Kind,
    value: Option<ElementValue>,
) -> Outcome {
    let cursor = parse_cursor(ctx.arg(2)).ok_or(INVALID_CURSOR)?;
    let collection = Collection::find(ctx.view, ctx.keyspace()?, ctx.arg(1), kind)?;
    let items = 1 + usize::from(value.is_some());
    let Some(collection) = collection else {
        reply_found(ctx, 0, &Records::default(), items);
        return Ok(());
    };
    let (wanted, count) = parse_options(ctx.args.from(3), false)?;
    let (mut found, mut read) = (Records::default(), Ok(()));
    let view = &*ctx.view;
    let next = view.walk_from(&collection.prefix(), cursor, count, &mut |name, record| {
        if wanted.includes_name(name) {
            let shown = match value {
                Some(value) => value(view, &collection.element(name), record),
                None => Ok(Cow::Borrowed(&[][..])),
            };
            match shown {
                Ok(shown) => found.push(name, &shown),
                // Go on, so that all values are fetched together.
                Err(Stop::Pending) => read = Err(Stop::Pending),
                Err(stop) => {
                    read = Err(stop);
                    return ControlFlow::Break(());
                }
            }
        }
        go_on(&found)
    })?;
    read?;
    reply_found(ctx, next, &found, items);
    Ok(())
}

/// Whether there is room for more.
fn go_on(found: &Records) -> ControlFlow<()> {
    if found.bytes() < SCAN_BYTES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Replies with where to go on, and what was found: names, with `items` 2 each with a value.
fn reply_found(ctx: &mut Ctx<'_, '_>, next: u64, found: &Records, items: usize) {
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.array(items * found.len());
    for (name, value) in found.iter() {
        ctx.reply.bulk(name);
        if items == 2 {
            ctx.reply.bulk(value);
        }
    }
}

/// Reads a cursor as `strtoul` does, which Redis leaves it to: an empty text is 0, a sign is allowed
/// and a negative number wraps around.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let text = text.split(|byte| *byte == 0).next()?;
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

fn randomkey(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let metas = keys::metas(keyspace);
    let from = keys::at_hash(&metas, ctx.view.random());
    let (begin, end) = keys::range(&metas);
    let found = match first_live(ctx.view, &from, &end)? {
        None => first_live(ctx.view, &begin, &from)?,
        found => found,
    };
    match found {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// The first key in `begin..end` that is not expired.
fn first_live(view: &View<'_>, begin: &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    let wanted = Wanted { now_ms: view.now_ms(), ..Wanted::default() };
    let mut found = None;
    view.walk(Scan::all(begin, end), &mut |record_key, record| {
        let (_, key) = keys::split_meta(record_key);
        if !wanted.includes(key, record) {
            return ControlFlow::Continue(());
        }
        found = Some(key.to_vec());
        ControlFlow::Break(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_redis_reads_them() {
        assert_eq!(parse_cursor(b""), Some(0));
        assert_eq!(parse_cursor(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_cursor(b"-1"), Some(u64::MAX));
        assert_eq!(parse_cursor(b"+7"), Some(7));
        for bad in [&b"18446744073709551616"[..], b"-", b"1x", b" 1", b"0x10"] {
            assert_eq!(parse_cursor(bad), None, "{bad:?}");
        }
    }
}

//! Commands that walk the keys of a database: `KEYS`, `SCAN`, `RANDOMKEY`.
//!
//! Keys are stored in the order of their hashes, so the cursor of `SCAN` is a position in that order:
//! the upper 53 bits of the next key's hash, because clients in JavaScript keep cursors in a double.
//! It needs no state, is valid on every process and across restarts, and a key that is there
//! throughout is returned, because nothing moves it to another position.

use std::ops::ControlFlow;

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::keys::{self, RecordKey};
use crate::data::meta::Header;
use crate::data::{KeyspaceId, View};
use crate::error::{self, Stop};
use crate::limits::{
    SCAN_BYTES_MAX, SCAN_COUNT_MAX, SCAN_STEP, SCAN_STEP_BYTES_MAX, SCAN_STEP_MAX,
};
use crate::store::{Scan, Visitor};
use crate::{glob, num};

const SCAN_COUNT_DEFAULT: usize = 10;

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
    /// `None`: every key.
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
            && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}

/// Visits the metas in `begin..end` in steps that no store finds too large.
///
/// They grow: across a network each is a fetch, after which the command begins anew.
fn walk(view: &View<'_>, begin: &[u8], end: &[u8], visit: &mut Visitor<'_>) -> Result<(), Stop> {
    let mut begin = RecordKey::from_slice(begin);
    let mut limit = SCAN_STEP;
    loop {
        let (mut seen, mut bytes, mut ended) = (0, 0, false);
        let mut last = RecordKey::new();
        let step = Scan { begin: &begin, end, limit, reverse: false };
        view.scan(step, &mut |key, record| {
            seen += 1;
            bytes += key.len() + record.len();
            if seen == limit {
                last = RecordKey::from_slice(key);
            }
            let flow = visit(key, record);
            ended = flow.is_break();
            flow
        })?;
        if ended || seen < limit {
            return Ok(());
        }
        if 2 * bytes <= SCAN_STEP_BYTES_MAX {
            limit = (2 * limit).min(SCAN_STEP_MAX);
        }
        // The smallest key behind the last one.
        last.push(0);
        begin = last;
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
    let (begin, end) = (keys::meta_at(keyspace, 0), keys::meta_end(keyspace));
    walk(view, &begin, &end, &mut |record_key, record| {
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

fn scan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let cursor = parse_cursor(ctx.arg(1)).ok_or("ERR invalid cursor")?;
    let mut wanted = Wanted { now_ms: ctx.view.now_ms(), ..Wanted::default() };
    let mut count = SCAN_COUNT_DEFAULT;
    let options = ctx.args.from(2);
    let mut options = options.iter();
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
        } else if option.eq_ignore_ascii_case(b"type") {
            wanted.type_name = Some(value);
        } else {
            return Err(error::SYNTAX.into());
        }
    }
    let keyspace = ctx.keyspace()?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    let next = visit_some(ctx.view, keyspace, cursor, count, &mut |key, record| {
        if wanted.includes(key, record) {
            found.push(key.to_vec());
            bytes += key.len();
        }
        if bytes < SCAN_BYTES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.array(found.len());
    found.iter().for_each(|key| ctx.reply.bulk(key));
    Ok(())
}

/// Bits of a hash that a position leaves out.
const POSITION_SHIFT: u32 = 11;

/// Visits `count` metas from position `cursor` on, or as many as `visit` wants, and more only while
/// they share a position, so that none falls between two calls; returns the position of the next one,
/// 0 at the end.
fn visit_some(
    view: &View<'_>,
    keyspace: KeyspaceId,
    cursor: u64,
    count: usize,
    visit: &mut Visitor<'_>,
) -> Result<u64, Stop> {
    if cursor > u64::MAX >> POSITION_SHIFT {
        return Ok(0);
    }
    let mut begin = keys::meta_at(keyspace, cursor << POSITION_SHIFT);
    let end = keys::meta_end(keyspace);
    let (mut left, mut last_position, mut next) = (count, None, 0);
    loop {
        // One more than wanted: where it is, the next call goes on.
        let limit = left + 1;
        let mut seen = 0;
        let mut last = RecordKey::new();
        view.scan(Scan { begin: &begin, end: &end, limit, reverse: false }, &mut |key, record| {
            let (hash, name) = keys::split_meta(key);
            let position = hash >> POSITION_SHIFT;
            if left == 0 && last_position != Some(position) {
                next = position;
                return ControlFlow::Break(());
            }
            seen += 1;
            left = left.saturating_sub(1);
            last_position = Some(position);
            if visit(name, record).is_break() {
                left = 0;
            }
            if seen == limit {
                last = RecordKey::from_slice(key);
            }
            ControlFlow::Continue(())
        })?;
        if next != 0 || seen < limit {
            return Ok(next);
        }
        last.push(0);
        begin = last;
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
    let from = keys::meta_at(keyspace, ctx.view.random());
    let (begin, end) = (keys::meta_at(keyspace, 0), keys::meta_end(keyspace));
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
    walk(view, begin, end, &mut |record_key, record| {
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
    use crate::data::{Moment, Overlay};
    use crate::store::Local as _;
    use crate::store::memory::MemoryStore;

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

    /// Runs a scan over metas made by hand, at these positions, to its end and returns the keys of each call, of which
    /// `enough` are enough before `count` is reached.
    fn calls(positions: &[(u64, &str)], count: usize, enough: usize) -> Vec<Vec<String>> {
        let store = MemoryStore::new();
        let mut overlay = Overlay::default();
        let mut calls = Vec::new();
        store.read(&mut |snapshot| {
            let moment = Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 1, order: 0 };
            let mut view = View::new(snapshot, &mut overlay, moment);
            for (number, (position, name)) in positions.iter().enumerate() {
                // Hashes that differ only in what a position leaves out.
                let hash = (position << POSITION_SHIFT) | number as u64;
                let mut key = keys::meta_at(1, hash);
                key.extend_from_slice(name.as_bytes());
                view.set(&key, &[b"meta"]);
            }
            let mut cursor = 0;
            loop {
                let mut names = Vec::new();
                cursor = visit_some(&view, 1, cursor, count, &mut |key, _| {
                    names.push(String::from_utf8(key.to_vec()).unwrap());
                    if names.len() < enough {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })
                .unwrap();
                calls.push(names);
                if cursor == 0 {
                    break;
                }
            }
        });
        calls
    }

    const LAST: u64 = u64::MAX >> POSITION_SHIFT;

    #[test]
    fn cursors_fit_into_a_double() {
        const { assert!(LAST < 1 << 53) };
    }

    #[test]
    fn what_shares_a_position_stays_in_one_call() {
        let metas = [(0, "a"), (5, "b"), (5, "c"), (5, "d"), (5, "e"), (9, "f"), (LAST, "g")];
        assert_eq!(
            calls(&metas, 1, 100),
            [vec!["a"], vec!["b", "c", "d", "e"], vec!["f"], vec!["g"]]
        );
        assert_eq!(calls(&metas, 3, 100), [vec!["a", "b", "c", "d", "e"], vec!["f", "g"]]);
        assert_eq!(calls(&metas, 100, 100).len(), 1);
        assert_eq!(calls(&[], 1, 100), [Vec::<String>::new()]);
    }

    #[test]
    fn a_call_that_has_enough_ends_between_two_positions() {
        let metas = [(0, "a"), (5, "b"), (5, "c"), (5, "d"), (9, "e"), (LAST, "f")];
        let ones = [vec!["a"], vec!["b", "c", "d"], vec!["e"], vec!["f"]];
        assert_eq!(calls(&metas, 100, 1), ones);
        assert_eq!(calls(&metas, 3, 1), ones);
        assert_eq!(calls(&metas, 100, 2), [vec!["a", "b", "c", "d"], vec!["e", "f"]]);
        assert_eq!(calls(&metas, 100, 6).len(), 1);
    }
}

#[cfg(test)]
mod walk_tests {
    use std::cell::RefCell;

    use super::*;
    use crate::data::{Moment, Overlay};
    use crate::store::memory::MemoryStore;
    use crate::store::{Local as _, Mutations, ReadError, Snapshot, Value};

    /// Notes the limits of scans.
    struct Counting<'a> {
        inner: &'a dyn Snapshot,
        limits: RefCell<Vec<usize>>,
    }

    impl Snapshot for Counting<'_> {
        fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
            self.inner.get(key)
        }

        fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
            self.limits.borrow_mut().push(scan.limit);
            self.inner.scan(scan, visit)
        }

        fn answers_at_once(&self) -> bool {
            false
        }
    }

    fn limits(records: u32, value: &[u8]) -> Vec<usize> {
        let store = MemoryStore::new();
        let mut mutations = Mutations::default();
        for number in 0..records {
            mutations.set(&keys::meta(1, &number.to_be_bytes()), &[value]);
        }
        store.commit(1, &mutations).unwrap();
        let (mut limits, mut overlay) = (Vec::new(), Overlay::default());
        let moment = Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 9, order: 0 };
        store.read(&mut |inner| {
            let counting = Counting { inner, limits: RefCell::default() };
            let view = View::new(&counting, &mut overlay, moment);
            let (begin, end) = (keys::meta_at(1, 0), keys::meta_end(1));
            let mut seen = 0;
            let visit = &mut |_: &[u8], _: &[u8]| {
                seen += 1;
                ControlFlow::Continue(())
            };
            walk(&view, &begin, &end, visit).unwrap();
            assert_eq!(seen, records);
            limits = counting.limits.take();
        });
        limits
    }

    #[test]
    fn steps_grow_while_records_are_small() {
        assert_eq!(limits(10, b"v"), [1024]);
        assert_eq!(limits(20_000, b"v"), [1024, 2048, 4096, 8192, 16_384]);
        assert_eq!(limits(8000, &[7; 4000]), [1024, 2048, 2048, 2048, 2048]);
    }
}

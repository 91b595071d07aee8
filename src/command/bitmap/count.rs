//! `BITCOUNT` and `BITPOS`: through a string piece by piece, without a copy of it.

use std::ops::{ControlFlow, Range};

use crate::command::string::resolve;
use crate::command::{Ctx, Outcome};
use crate::data::string::{self, Found};
use crate::data::{KeyspaceId, View};
use crate::error::{self, Stop};
use crate::limits::CHUNK_BYTES;
use crate::num;

/// Bytes looked through at a time by a search that may end early: on a store that does not answer at
/// once, they are fetched together.
const SEARCH_BYTES: u64 = 16 * CHUNK_BYTES as u64;

/// Whether positions are of bits; of bytes otherwise.
fn counts_bits(unit: &[u8]) -> Result<bool, Stop> {
    match unit {
        unit if unit.eq_ignore_ascii_case(b"bit") => Ok(true),
        unit if unit.eq_ignore_ascii_case(b"byte") => Ok(false),
        _ => Err(error::SYNTAX.into()),
    }
}

fn position(text: &[u8]) -> Result<i64, Stop> {
    Ok(num::parse_i64(text).ok_or(error::NOT_AN_INTEGER)?)
}

/// The bits of a string of `len` bytes between two positions.
fn bits_between(start: i64, end: i64, in_bits: bool, len: u64) -> Range<u64> {
    if in_bits {
        return resolve(start, end, len * 8);
    }
    let bytes = resolve(start, end, len);
    bytes.start * 8..bytes.end * 8
}

pub(super) fn bitcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let Some(found) = string::get(ctx.view, keyspace, ctx.arg(1))? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let bits = match ctx.args.len() {
        2 => 0..found.len() * 8,
        4 | 5 => {
            let (start, end) = (position(ctx.arg(2))?, position(ctx.arg(3))?);
            if start < 0 && end < 0 && start > end {
                // Redis answers this before it looks at the unit.
                0..0
            } else {
                let in_bits = ctx.args.len() == 5 && counts_bits(ctx.arg(4))?;
                bits_between(start, end, in_bits, found.len())
            }
        }
        _ => return Err(error::SYNTAX.into()),
    };
    let count = count(&found, ctx.view, keyspace, bits)?;
    ctx.reply.integer(count as i64);
    Ok(())
}

/// How many of `bits` are set.
fn count(
    found: &Found<'_>,
    view: &View<'_>,
    keyspace: KeyspaceId,
    bits: Range<u64>,
) -> Result<u64, Stop> {
    let mut total = 0;
    visit_masked(found, view, keyspace, bits, 0, &mut |_, piece| {
        let (words, rest) = piece.as_chunks::<8>();
        total += words.iter().map(|w| u64::from(u64::from_ne_bytes(*w).count_ones())).sum::<u64>();
        total += rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
        ControlFlow::Continue(())
    })?;
    Ok(total)
}

pub(super) fn bitpos(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let bit = match position(ctx.arg(2))? {
        0 => false,
        1 => true,
        _ => return Err("ERR The bit argument must be 1 or 0.".into()),
    };
    let Some(found) = string::get(ctx.view, keyspace, ctx.arg(1))? else {
        ctx.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let count = ctx.args.len();
    if count > 6 {
        return Err(error::SYNTAX.into());
    }
    let start = if count > 3 { position(ctx.arg(3))? } else { 0 };
    let in_bits = count > 5 && counts_bits(ctx.arg(5))?;
    let end = if count > 4 { position(ctx.arg(4))? } else { -1 };
    let bits = bits_between(start, end, in_bits, found.len());
    let open_end = bits.end;
    let position = match first(&found, ctx.view, keyspace, bits.clone(), bit)? {
        Some(position) => position as i64,
        // Behind a string whose end was not given, clear bits go on for ever.
        None if !bit && count <= 4 && !bits.is_empty() => open_end as i64,
        None => -1,
    };
    ctx.reply.integer(position);
    Ok(())
}

/// The first of `bits` that is `bit`.
fn first(
    found: &Found<'_>,
    view: &View<'_>,
    keyspace: KeyspaceId,
    bits: Range<u64>,
    bit: bool,
) -> Result<Option<u64>, Stop> {
    let dull = if bit { 0 } else { 0xff };
    let mut position = None;
    let mut start = bits.start;
    while start < bits.end && position.is_none() {
        let end = bits.end.min((start / 8 + SEARCH_BYTES) * 8);
        visit_masked(found, view, keyspace, start..end, dull, &mut |at, piece| {
            let Some(index) = first_other(piece, dull) else { return ControlFlow::Continue(()) };
            let leading = (piece[index] ^ dull).leading_zeros();
            position = Some((at + index as u64) * 8 + u64::from(leading));
            ControlFlow::Break(())
        })?;
        start = end;
    }
    Ok(position)
}

/// Where the first byte is that is not `dull`.
fn first_other(piece: &[u8], dull: u8) -> Option<usize> {
    let (words, _) = piece.as_chunks::<32>();
    let skipped =
        words.iter().take_while(|word| word.iter().all(|&byte| byte == dull)).count() * 32;
    piece[skipped..].iter().position(|&byte| byte != dull).map(|index| skipped + index)
}

/// Visits the bytes that `bits` lie in, each piece with the index of its first byte. Bits of these
/// bytes outside `bits` are those of `filler`.
fn visit_masked(
    found: &Found<'_>,
    view: &View<'_>,
    keyspace: KeyspaceId,
    bits: Range<u64>,
    filler: u8,
    visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> Result<(), Stop> {
    if bits.is_empty() {
        return Ok(());
    }
    let bytes = bits.start / 8..bits.end.div_ceil(8);
    let head_mask = 0xff >> (bits.start % 8);
    let tail_mask = 0xffu8 << ((8 - bits.end % 8) % 8);
    let mut at = bytes.start;
    found.visit(view, keyspace, bytes.clone(), &mut |piece| {
        let begin = at;
        at += piece.len() as u64;
        let (mut from, mut to) = (0, piece.len());
        let masked = |byte: u8, mask: u8| byte & mask | filler & !mask;
        if begin == bytes.start {
            let mask = if bytes.end - bytes.start == 1 { head_mask & tail_mask } else { head_mask };
            visit(begin, &[masked(piece[0], mask)])?;
            from = 1;
        }
        let has_tail = at == bytes.end && from < to;
        to -= usize::from(has_tail);
        visit(begin + from as u64, &piece[from..to])?;
        if has_tail {
            visit(at - 1, &[masked(piece[to], tail_mask)])
        } else {
            ControlFlow::Continue(())
        }
    })
}

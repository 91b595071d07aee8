//! `BITFIELD`: integers of any width at any bit of a string.

use super::checked;
use crate::command::{Args, Ctx, Outcome};
use crate::data::View;
use crate::data::string::{self, Edit};
use crate::error::{self, Stop};
use crate::num;

/// A field and the bits around it in its bytes.
const WINDOW_BYTES: u64 = 9;

/// What becomes of a result that does not fit its field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// The type of a field.
#[derive(Clone, Copy)]
struct Width {
    signed: bool,
    bits: u32,
}

impl Width {
    fn parse(text: &[u8]) -> Result<Width, Stop> {
        let invalid = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not \
                       supported but i64 is.";
        let (signed, digits, max) = match text {
            [b'i', digits @ ..] => (true, digits, 64),
            [b'u', digits @ ..] => (false, digits, 63),
            _ => return Err(invalid.into()),
        };
        match num::parse_u64(digits) {
            Some(bits) if (1..=max).contains(&bits) => Ok(Width { signed, bits: bits as u32 }),
            _ => Err(invalid.into()),
        }
    }

    /// The value of a field's bits.
    fn read(self, raw: u64) -> i128 {
        if self.signed {
            i128::from((raw << (64 - self.bits)).cast_signed() >> (64 - self.bits))
        } else {
            raw.into()
        }
    }

    /// The smallest and the largest value of a field.
    fn limits(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// Makes a value fit the field; `None` if it does not and must not be changed.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i128> {
        let (min, max) = self.limits();
        if (min..=max).contains(&value) {
            return Some(value);
        }
        match overflow {
            Overflow::Wrap => Some(self.read(value as u64 & low_bits(self.bits))),
            Overflow::Saturate => Some(value.clamp(min, max)),
            Overflow::Fail => None,
        }
    }
}

/// The lowest `count` bits, at most 64.
fn low_bits(count: u32) -> u64 {
    u64::MAX >> (64 - count)
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

struct Operation {
    action: Action,
    width: Width,
    /// Of the field's highest bit.
    offset: u64,
    overflow: Overflow,
}

pub(super) fn bitfield(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let operations = parse(ctx.view, ctx.args.from(2))?;
    if writes(&operations) { change(ctx, &operations) } else { read(ctx, &operations) }
}

pub(super) fn bitfield_ro(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let operations = parse(ctx.view, ctx.args.from(2))?;
    if writes(&operations) {
        return Err("ERR BITFIELD_RO only supports the GET subcommand".into());
    }
    read(ctx, &operations)
}

fn writes(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| !matches!(operation.action, Action::Get))
}

fn parse(view: &View<'_>, mut args: Args<'_>) -> Result<Vec<Operation>, Stop> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    while !args.is_empty() {
        let is = |name: &[u8], count: usize| {
            args.get(0).eq_ignore_ascii_case(name) && args.len() >= count
        };
        if is(b"overflow", 2) {
            overflow = parse_overflow(args.get(1))?;
            args = args.from(2);
            continue;
        }
        let (takes, get, set) = (if is(b"get", 3) { 3 } else { 4 }, is(b"get", 3), is(b"set", 4));
        if !get && !set && !is(b"incrby", 4) {
            return Err(error::SYNTAX.into());
        }
        let width = Width::parse(args.get(1))?;
        let offset = parse_offset(view, args.get(2), width)?;
        let action = if get {
            Action::Get
        } else {
            let value = num::parse_i64(args.get(3)).ok_or(error::NOT_AN_INTEGER)?;
            if set { Action::Set(value) } else { Action::Increment(value) }
        };
        operations.push(Operation { action, width, offset, overflow });
        args = args.from(takes);
    }
    Ok(operations)
}

fn parse_overflow(name: &[u8]) -> Result<Overflow, Stop> {
    match name {
        name if name.eq_ignore_ascii_case(b"wrap") => Ok(Overflow::Wrap),
        name if name.eq_ignore_ascii_case(b"sat") => Ok(Overflow::Saturate),
        name if name.eq_ignore_ascii_case(b"fail") => Ok(Overflow::Fail),
        _ => Err("ERR Invalid OVERFLOW type specified".into()),
    }
}

/// An offset in bits, or with `#` in front in fields.
fn parse_offset(view: &View<'_>, text: &[u8], width: Width) -> Result<u64, Stop> {
    let (digits, unit) = match text {
        [b'#', digits @ ..] => (digits, i64::from(width.bits)),
        digits => (digits, 1),
    };
    let count = num::parse_i64(digits).ok_or(error::BIT_OFFSET)?;
    // A product out of range wraps, as it does in Redis; what it wraps to is checked like any other.
    let offset = u64::try_from(count.wrapping_mul(unit)).map_err(|_| error::BIT_OFFSET)?;
    checked(view, offset)
}

/// Executes operations that only read.
fn read(ctx: &mut Ctx<'_, '_>, operations: &[Operation]) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let found = string::get(ctx.view, keyspace, ctx.arg(1))?;
    ctx.reply.array(operations.len());
    for operation in operations {
        let mut window = [0; WINDOW_BYTES as usize];
        let begin = operation.offset / 8;
        if let Some(found) = found.as_ref().filter(|found| begin < found.len()) {
            let range = begin..found.len().min(begin + WINDOW_BYTES);
            let part = found.part(ctx.view, keyspace, range)?;
            window[..part.len()].copy_from_slice(&part);
        }
        let value = operation.width.read(operation.bits(window));
        ctx.reply.integer(value as i64);
    }
    Ok(())
}

/// Executes operations of which some write.
fn change(ctx: &mut Ctx<'_, '_>, operations: &[Operation]) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let mut edit = Edit::open(ctx.view, keyspace, ctx.arg(1))?;
    let old_len = edit.len();
    // Also operations that turn out to fail make the string as long as they would need it.
    let writing = operations.iter().filter(|operation| !matches!(operation.action, Action::Get));
    let ends =
        writing.map(|operation| (operation.offset + u64::from(operation.width.bits)).div_ceil(8));
    edit.grow(ends.max().unwrap_or(0));
    let mut changed = edit.is_new() || edit.len() != old_len;
    ctx.reply.array(operations.len());
    for operation in operations {
        let mut window = [0; WINDOW_BYTES as usize];
        edit.read(ctx.view, operation.offset / 8, &mut window)?;
        let old = operation.width.read(operation.bits(window));
        let (new, replies_new) = match operation.action {
            Action::Get => (Some(old), false),
            Action::Set(value) => (operation.fit_set(value), false),
            Action::Increment(by) => (operation.fit(old + i128::from(by)), true),
        };
        let Some(new) = new else {
            ctx.reply.null();
            continue;
        };
        ctx.reply.integer(if replies_new { new } else { old } as i64);
        if new != old {
            operation.write(ctx.view, &mut edit, window, new as u64)?;
            changed = true;
        }
    }
    if changed {
        edit.finish(ctx.view, ctx.arg(1))?;
    }
    Ok(())
}

impl Operation {
    fn fit(&self, value: i128) -> Option<i128> {
        self.width.fit(value, self.overflow)
    }

    /// What `SET` makes of a value.
    fn fit_set(&self, value: i64) -> Option<i128> {
        if !self.width.signed {
            // Negative values are the large ones with the same bits.
            return self.fit(value.cast_unsigned().into());
        }
        let (_, max) = self.width.limits();
        let far_below = i128::from(value) < max - i128::from(i64::MAX) && self.width.bits < 64;
        if far_below && self.overflow == Overflow::Saturate {
            // Redis's subtraction wraps around here, and it takes the value for a large one.
            return Some(max);
        }
        self.fit(value.into())
    }

    /// By how much the field is above the lowest bit of its window.
    fn shift(&self) -> u32 {
        WINDOW_BYTES as u32 * 8 - self.width.bits - (self.offset % 8) as u32
    }

    /// The field's bits, out of the bytes from its first one on.
    fn bits(&self, window: [u8; WINDOW_BYTES as usize]) -> u64 {
        (joined(window) >> self.shift()) as u64 & low_bits(self.width.bits)
    }

    /// Writes the field's bits and no byte that has none of them.
    fn write(
        &self,
        view: &View<'_>,
        edit: &mut Edit,
        window: [u8; WINDOW_BYTES as usize],
        bits: u64,
    ) -> Result<(), Stop> {
        let mask = low_bits(self.width.bits);
        let others = joined(window) & !(u128::from(mask) << self.shift());
        let new = others | u128::from(bits & mask) << self.shift();
        let bytes = &new.to_be_bytes()[16 - WINDOW_BYTES as usize..];
        let len = (self.offset % 8 + u64::from(self.width.bits)).div_ceil(8);
        edit.write(view, self.offset / 8, &bytes[..len as usize])
    }
}

/// The window's bytes as one number.
fn joined(window: [u8; WINDOW_BYTES as usize]) -> u128 {
    window.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

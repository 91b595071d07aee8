//! Commands on the bits of strings. Bit 0 is the highest of the first byte.

mod count;
mod field;
mod op;

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::data::View;
use crate::data::string::{self, Edit};
use crate::error::{self, Stop};
use crate::num;

const READ: Flags = Flags::READONLY;
/// A target, then sources, behind the name of an operation.
const AFTER_OPERATION: Keys = Keys::range(2, -1, 1);

/// The rows of the bitmap commands.
pub const TABLE: &[Spec] = &[
    Spec::new("setbit", 4, Flags::GROWS, Keys::ONE, setbit).doc(
        Group::Bitmap,
        "2.2.0",
        "O(1)",
        "Sets or clears one bit of a string and returns what it was.",
    ),
    Spec::new("getbit", 3, Flags::READ_FAST, Keys::ONE, getbit).doc(
        Group::Bitmap,
        "2.2.0",
        "O(1)",
        "Returns one bit of a string.",
    ),
    Spec::new("bitcount", -2, READ, Keys::ONE, count::bitcount).doc(
        Group::Bitmap,
        "2.6.0",
        "O(N)",
        "Counts the bits that are set in a string or a part of it.",
    ),
    Spec::new("bitpos", -3, READ, Keys::ONE, count::bitpos).doc(
        Group::Bitmap,
        "2.8.7",
        "O(N)",
        "Finds the first bit that is set, or not set, in a string or a part of it.",
    ),
    Spec::new("bitop", -4, Flags::GROWS, AFTER_OPERATION, op::bitop).doc(
        Group::Bitmap,
        "2.6.0",
        "O(N)",
        "Combines the bits of strings and makes the result the value of a key.",
    ),
    Spec::new("bitfield", -2, Flags::GROWS, Keys::ONE, field::bitfield).doc(
        Group::Bitmap,
        "3.2.0",
        "O(1) for each operation",
        "Reads, sets and adds to integers of any width inside a string.",
    ),
    Spec::new("bitfield_ro", -2, Flags::READ_FAST, Keys::ONE, field::bitfield_ro).doc(
        Group::Bitmap,
        "6.0.0",
        "O(1) for each operation",
        "Reads integers of any width inside a string.",
    ),
];

/// The offset of a bit that a string may have.
fn bit_offset(view: &View<'_>, text: &[u8]) -> Result<u64, Stop> {
    let offset = num::parse_u64(text).ok_or(error::BIT_OFFSET)?;
    checked(view, offset)
}

/// The offset, if a string may be long enough for it.
fn checked(view: &View<'_>, offset: u64) -> Result<u64, Stop> {
    if offset >> 3 >= view.value_bytes_max() as u64 {
        return Err(error::BIT_OFFSET.into());
    }
    Ok(offset)
}

fn setbit(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let key = ctx.arg(1);
    let offset = bit_offset(ctx.view, ctx.arg(2))?;
    let on = match ctx.arg(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err("ERR bit is not an integer or out of range".into()),
    };
    let mut edit = Edit::open(ctx.view, keyspace, key)?;
    let (index, mask) = (offset / 8, 0x80 >> (offset % 8));
    let mut byte = [0];
    edit.read(ctx.view, index, &mut byte)?;
    let was_on = byte[0] & mask != 0;
    if edit.is_new() || index >= edit.len() || was_on != on {
        let new = if on { byte[0] | mask } else { byte[0] & !mask };
        edit.write(ctx.view, index, &[new])?;
        edit.finish(ctx.view, key)?;
    }
    ctx.reply.integer(i64::from(was_on));
    Ok(())
}

fn getbit(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let offset = bit_offset(ctx.view, ctx.arg(2))?;
    let index = offset / 8;
    let bit = match string::get(ctx.view, keyspace, ctx.arg(1))? {
        Some(found) if index < found.len() => {
            let byte = found.part(ctx.view, keyspace, index..index + 1)?[0];
            byte >> (7 - offset % 8) & 1
        }
        _ => 0,
    };
    ctx.reply.integer(i64::from(bit));
    Ok(())
}

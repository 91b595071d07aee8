//! Reading items by index or value: `LRANGE`, `LINDEX` and `LPOS`.

use std::ops::ControlFlow;

use super::{clip, find, parse_index, parse_range};
use crate::command::{Args, Ctx, Outcome};
use crate::data::list::End;
use crate::error::{self, Stop};
use crate::num;

pub(super) fn lrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let range = parse_range(ctx)?;
    let Some(list) = find(ctx)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (first, count) = clip(range, list.len());
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    reply.array(count as usize);
    list.range(view, first, count, |value| {
        reply.bulk(value);
        if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    ctx.check_replies()
}

pub(super) fn lindex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let Some(list) = find(ctx)? else {
        ctx.reply.null();
        return Ok(());
    };
    match parse_index(ctx.arg(2), list.len())? {
        Some(index) => ctx.reply.bulk(&list.get(ctx.view, index)?),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// The options of `LPOS`.
struct Wanted {
    from: End,
    /// Items with the value that are passed over.
    skipped: u64,
    /// How many are wanted, 0 = all. `None` asks for one, and not for an array.
    count: Option<u64>,
    /// How many items are looked at, 0 = all.
    looked_at: u64,
}

impl Wanted {
    fn parse(args: Args<'_>) -> Result<Wanted, Stop> {
        let mut wanted = Wanted { from: End::Left, skipped: 0, count: None, looked_at: 0 };
        for at in (0..args.len()).step_by(2) {
            let is = |name: &[u8]| args.get(at).eq_ignore_ascii_case(name);
            if at + 1 == args.len() {
                return Err(error::SYNTAX.into());
            }
            let number = num::parse_i64(args.get(at + 1));
            let natural = number.and_then(|number| u64::try_from(number).ok());
            if is(b"rank") {
                let rank = number.ok_or(error::NOT_AN_INTEGER)?;
                wanted.rank(rank)?;
            } else if is(b"count") {
                wanted.count = Some(natural.ok_or("ERR COUNT can't be negative")?);
            } else if is(b"maxlen") {
                wanted.looked_at = natural.ok_or("ERR MAXLEN can't be negative")?;
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        Ok(wanted)
    }

    fn rank(&mut self, rank: i64) -> Outcome {
        if rank == 0 {
            return Err("ERR RANK can't be zero: use 1 to start from the first match, 2 from the \
                        second ... or use negative to start from the end of the list"
                .into());
        }
        self.from = if rank > 0 { End::Left } else { End::Right };
        // The lowest number has no negative: in Redis it passes over nothing.
        self.skipped = rank.checked_abs().map_or(0, |rank| rank as u64 - 1);
        Ok(())
    }
}

pub(super) fn lpos(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let wanted = Wanted::parse(ctx.args.from(3))?;
    let found = find(ctx)?;
    let (mark, limit) = (ctx.reply.mark(), ctx.server.config.output_buffer_limit);
    let (value, Ctx { view, reply, .. }) = (ctx.arg(2), &mut *ctx);
    let count_max = wanted.count.map_or(1, |count| if count == 0 { u64::MAX } else { count });
    let (mut seen, mut count) = (0, 0);
    if let Some(list) = found {
        let looked_at = if wanted.looked_at == 0 { u64::MAX } else { wanted.looked_at };
        list.matches(view, value, wanted.from, looked_at.min(list.len()), &mut |index, _| {
            seen += 1;
            if seen > wanted.skipped {
                reply.integer(index as i64);
                count += 1;
            }
            match count == count_max || reply.len() > limit {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
    }
    match wanted.count {
        Some(_) => reply.array_header_at(mark, count as usize),
        None if count == 0 => reply.null(),
        None => {}
    }
    ctx.check_replies()
}

//! Members of a set chosen at random.

use std::ops::ControlFlow;

use super::find;
use crate::command::{Ctx, Outcome, options};
use crate::data::collection::Draw;
use crate::data::keys;
use crate::error;
use crate::num;

pub(super) fn spop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let seed = ctx.view.random();
    let count = match ctx.args.len() {
        2 => None,
        3 => {
            let count = num::parse_u64(ctx.arg(2)).filter(|count| *count <= i64::MAX as u64);
            Some(count.ok_or("ERR value is out of range, must be positive")?)
        }
        _ => return Err(error::SYNTAX.into()),
    };
    let popped = match find(ctx)? {
        Some(set) => {
            let keyspace = ctx.keyspace()?;
            let bytes_max = ctx.server.config.output_buffer_limit;
            let count = count.unwrap_or(1);
            Some(set.pop(ctx.view, keyspace, ctx.arg(1), seed, count, bytes_max)?)
        }
        None => None,
    };
    let members = popped.iter().flat_map(|popped| popped.iter());
    let mut members = members.map(|(element, _)| keys::split_field(element));
    if count.is_none() {
        match members.next() {
            Some(member) => ctx.reply.bulk(member),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    ctx.reply.set(popped.as_ref().map_or(0, |popped| popped.len()));
    members.for_each(|member| ctx.reply.bulk(member));
    Ok(())
}

pub(super) fn srandmember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let seed = ctx.view.random();
    let draw = match ctx.args.len() {
        2 => None,
        3 => Some(options::draw(ctx.arg(2))?),
        _ => return Err(error::SYNTAX.into()),
    };
    let found = find(ctx)?;
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let (mark, mut count) = (reply.mark(), 0);
    if let Some(set) = found {
        let draw = draw.unwrap_or(Draw::Distinct(1));
        set.collection().draw(view, seed, draw, &mut |element, _| {
            reply.bulk(keys::split_field(element));
            count += 1;
            if reply.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    match draw {
        Some(_) => reply.array_header_at(mark, count),
        None if count == 0 => reply.null(),
        None => {}
    }
    ctx.check_replies()
}

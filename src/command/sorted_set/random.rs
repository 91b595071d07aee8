//! Members in no order: chosen at random, or listed piece by piece.

use std::ops::ControlFlow;

use super::{find, replies, reply_member};
use crate::command::scan::scan_elements;
use crate::command::{Ctx, Outcome, options};
use crate::data::collection::Draw;
use crate::data::keys;
use crate::data::meta::Kind;
use crate::data::sorted_set;

pub fn zscan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    scan_elements(ctx, Kind::SortedSet, Some(sorted_set::shown))
}

pub fn zrandmember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let seed = ctx.view.random();
    let (draw, with_scores) = options::draw_with(ctx.args.from(2), b"withscores")?;
    let found = find(ctx)?;
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    let (mark, mut count, mut read) = (reply.mark(), 0, Ok(()));
    if let Some(set) = found {
        let draw = draw.unwrap_or(Draw::Distinct(1));
        set.collection().draw(view, seed, draw, &mut |element, record| {
            match sorted_set::score_of(record) {
                Ok(score) => {
                    let score = with_scores.then_some(score);
                    reply_member(reply, keys::split_field(element), score);
                }
                Err(stop) => read = Err(stop),
            }
            count += 1;
            match read.is_err() || reply.len() > limit {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        read?;
    }
    match draw {
        Some(_) => {
            let count = replies(reply, count, with_scores);
            reply.array_header_at(mark, count);
        }
        None if count == 0 => reply.null(),
        None => {}
    }
    ctx.check_replies()
}

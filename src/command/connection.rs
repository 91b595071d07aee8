//! Commands about the connection itself.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE).and(Flags::FAST);

/// The rows of the connection commands.
pub const TABLE: &[Spec] = &[
    Spec::new("ping", -1, Flags::FAST, Keys::NONE, ping).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Answers PONG, or the message given.",
    ),
    Spec::new("select", 2, ANY_TIME, Keys::NONE, select).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Changes the connection's database.",
    ),
];

fn ping(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match ctx.args.len() {
        1 => ctx.reply.simple("PONG"),
        2 => ctx.reply.bulk(ctx.args.get(1)),
        _ => return Err("ERR wrong number of arguments for 'ping' command".into()),
    }
    Ok(())
}

fn select(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let index = crate::num::parse_i64(ctx.arg(1)).ok_or("ERR invalid DB index")?;
    let out_of_range = "ERR DB index is out of range";
    let database = u8::try_from(index).map_err(|_| out_of_range)?;
    if database >= crate::limits::DATABASES {
        return Err(out_of_range.into());
    }
    ctx.client.database = database;
    ctx.reply.ok();
    Ok(())
}

//! Commands about the connection itself.

use super::{Ctx, Flags, Group, Keys, Outcome, Spec};

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE).and(Flags::FAST);

/// The rows of the connection commands.
pub const TABLE: &[Spec] = &[
    Spec {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        keys: Keys::NONE,
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Answers PONG, or the message given.",
        run: ping,
        subcommands: &[],
    },
    Spec {
        name: "select",
        arity: 2,
        flags: ANY_TIME,
        keys: Keys::NONE,
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Changes the connection's database.",
        run: select,
        subcommands: &[],
    },
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

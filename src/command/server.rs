//! Commands about the process: what it is, how it is configured, its end.

use super::client::timeout_ms;
use super::help::help;
use super::lolwut::lolwut;
use super::state::Effect;
use super::stats::Ending;
use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Spec, config, info};
use crate::clock;
use crate::error;
use crate::num;

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const ADMIN: Flags = ANY_TIME.and(Flags::ADMIN).and(Flags::NOSCRIPT).and(Flags::OPERATOR);

/// The rows of the server commands.
pub const TABLE: &[Spec] = &[
    row("info", -1, ANY_TIME, info::info, "1.0.0", "Tells what the server is and has done."),
    row(
        "time",
        1,
        ANY_TIME.and(Flags::FAST),
        time,
        "2.6.0",
        "Tells the time, in seconds and microseconds.",
    ),
    row(
        "lolwut",
        -1,
        Flags::READONLY.and(Flags::FAST),
        lolwut,
        "5.0.0",
        "Draws a ring of stones and tells the version.",
    ),
    row(
        "role",
        1,
        ANY_TIME.and(Flags::NOSCRIPT).and(Flags::FAST),
        role,
        "2.8.12",
        "Tells that this server takes writes and has no replicas.",
    ),
    Spec::new("wait", 3, Flags::NOSCRIPT, Keys::NONE, wait).doc(
        Group::Connection,
        "3.0.0",
        "O(1)",
        "Counts the replicas that have the connection's writes: none, since the store keeps them.",
    ),
    row(
        "shutdown",
        -1,
        ADMIN.and(Flags::NO_MULTI).and(Flags::ALLOW_BUSY),
        shutdown,
        "1.0.0",
        "Finishes what is in flight, closes the store and ends the process.",
    ),
    Spec::new("config", -2, Flags::NONE, Keys::NONE, help)
        .doc(
            Group::Server,
            "2.0.0",
            "Depends on subcommand.",
            "Groups the commands about the configuration.",
        )
        .with(&[
            row("config|get", -3, ADMIN, config::get, "2.0.0", "Tells the values of parameters."),
            row(
                "config|set",
                -4,
                ADMIN,
                config::set,
                "2.0.0",
                "Changes parameters, of which few can be.",
            ),
            row(
                "config|resetstat",
                2,
                ADMIN,
                config::resetstat,
                "2.0.0",
                "Counts the figures of INFO from nothing again.",
            ),
            row(
                "config|rewrite",
                2,
                ADMIN,
                config::rewrite,
                "2.8.0",
                "Refuses to rewrite the configuration file.",
            ),
            row("config|help", 2, ANY_TIME, help, "5.0.0", "Lists the subcommands."),
        ]),
];

const fn row(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::NONE, run).doc(Group::Server, since, "O(1)", summary)
}

fn time(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let now_us = clock::unix_us();
    let mut digits = itoa::Buffer::new();
    ctx.reply.array(2);
    ctx.reply.bulk(digits.format(now_us / 1_000_000).as_bytes());
    ctx.reply.bulk(digits.format(now_us % 1_000_000).as_bytes());
    Ok(())
}

fn role(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.integer(0);
    ctx.reply.array(0);
    Ok(())
}

/// Answers at once: no replica will ever come, however long one waits.
fn wait(ctx: &mut Ctx<'_, '_>) -> Outcome {
    num::parse_i64(ctx.arg(1)).ok_or(error::NOT_AN_INTEGER)?;
    timeout_ms(ctx.arg(2))?;
    ctx.reply.integer(0);
    Ok(())
}

fn shutdown(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (mut save, mut nosave, mut abort, mut hurry) = (false, false, false, false);
    for option in ctx.args.iter().skip(1) {
        match &*option.to_ascii_lowercase() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"now" | b"force" => hurry = true,
            b"abort" => abort = true,
            _ => return Err(error::SYNTAX.into()),
        }
    }
    if save && nosave || abort && (save || nosave || hurry) {
        return Err(error::SYNTAX.into());
    }
    if abort {
        return Err("ERR No shutdown in progress.".into());
    }
    // Saving or not, everything acknowledged is where it belongs, and nothing else is waited for.
    if !ctx.server.can_shut_down() {
        return Err("ERR Errors trying to SHUTDOWN. Check logs.".into());
    }
    ctx.client.effects.push(Effect::ShutDown);
    ctx.client.closing = Some(Ending::Shutdown);
    Ok(())
}

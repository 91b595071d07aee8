//! `CLIENT`: what a connection calls itself, and what others are told and may do about it.

use super::client_list;
use super::connection::{BAD_NAME, label};
use super::help::{help, misused};
use super::state::{Effect, ReplyMode};
use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Spec};
use crate::error::{self, Stop};
use crate::num;

const ANY_TIME: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);
const ADMIN: Flags = ANY_TIME.and(Flags::ADMIN);
const OPERATOR: Flags = ADMIN.and(Flags::OPERATOR);

/// The row of `CLIENT`.
pub const TABLE: &[Spec] = &[Spec::new("client", -2, Flags::NONE, Keys::NONE, help)
    .doc(
        Group::Connection,
        "2.4.0",
        "Depends on subcommand.",
        "Groups the commands about connections.",
    )
    .with(&[
        sub("client|id", 2, ANY_TIME, id, "5.0.0", "Tells the connection's id."),
        sub("client|getname", 2, ANY_TIME, getname, "2.6.9", "Tells the connection's name."),
        sub("client|setname", 3, ANY_TIME, setname, "2.6.9", "Names the connection."),
        sub(
            "client|setinfo",
            4,
            ANY_TIME,
            setinfo,
            "7.2.0",
            "Notes a client library's name or version.",
        ),
        sub("client|info", 2, ANY_TIME, client_list::info, "6.2.0", "Describes the connection."),
        sub(
            "client|list",
            -2,
            ADMIN,
            client_list::list,
            "2.4.0",
            "Describes the tenant's connections, or those chosen by TYPE or ID.",
        ),
        sub(
            "client|kill",
            -3,
            ADMIN,
            client_list::kill,
            "2.4.0",
            "Ends connections of the tenant, chosen by ID, TYPE, USER, ADDR, LADDR and SKIPME.",
        ),
        sub(
            "client|reply",
            3,
            ANY_TIME,
            reply,
            "3.2.0",
            "Turns replies on or off, or skips the next one.",
        ),
        sub(
            "client|pause",
            -3,
            OPERATOR,
            pause,
            "2.9.50",
            "Holds commands, or only those that write, back for some milliseconds.",
        ),
        sub("client|unpause", 2, OPERATOR, unpause, "6.2.0", "Ends a pause."),
        sub(
            "client|unblock",
            -3,
            ADMIN,
            client_list::unblock,
            "5.0.0",
            "Ends the wait of a blocked connection, as a timeout or with an error.",
        ),
        sub(
            "client|no-evict",
            3,
            ADMIN,
            no_evict,
            "7.0.0",
            "Marks the connection as one not to be given up for memory.",
        ),
        sub(
            "client|no-touch",
            3,
            ANY_TIME,
            no_touch,
            "7.2.0",
            "Marks the connection as one whose reads say nothing about a key's use.",
        ),
        sub(
            "client|getredir",
            2,
            ANY_TIME,
            getredir,
            "6.0.0",
            "Tells where tracking messages go, which is nowhere.",
        ),
        sub(
            "client|trackinginfo",
            2,
            ANY_TIME,
            trackinginfo,
            "6.2.0",
            "Tells whether the connection tracks keys, which it does not.",
        ),
        sub(
            "client|help",
            2,
            Flags::LOADING.and(Flags::STALE),
            help,
            "5.0.0",
            "Lists the subcommands.",
        ),
    ])];

const fn sub(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::NONE, run).doc(Group::Connection, since, "O(1)", summary)
}

fn id(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.integer(ctx.client.shared.id as i64);
    Ok(())
}

fn getname(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match ctx.client.labels.name.as_bytes() {
        b"" => ctx.reply.null(),
        name => ctx.reply.bulk(name),
    }
    Ok(())
}

fn setname(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = label(ctx.arg(2)).ok_or(BAD_NAME)?;
    ctx.client.relabel(|labels| labels.name = name.to_owned());
    ctx.reply.ok();
    Ok(())
}

fn setinfo(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let attribute = String::from_utf8_lossy(ctx.arg(2)).to_ascii_lowercase();
    if !matches!(&*attribute, "lib-name" | "lib-ver") {
        let option = String::from_utf8_lossy(ctx.arg(2));
        return Err(format!("ERR Unrecognized option '{option}'").into());
    }
    let value = label(ctx.arg(3)).ok_or_else(|| {
        format!("ERR {attribute} cannot contain spaces, newlines or special characters.")
    })?;
    ctx.client.relabel(|labels| match &*attribute {
        "lib-name" => labels.lib_name = value.to_owned(),
        _ => labels.lib_ver = value.to_owned(),
    });
    ctx.reply.ok();
    Ok(())
}

fn reply(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mode = ctx.arg(2);
    if mode.eq_ignore_ascii_case(b"on") {
        ctx.client.reply_mode = ReplyMode::On;
        ctx.reply.ok();
    } else if mode.eq_ignore_ascii_case(b"off") {
        ctx.client.reply_mode = ReplyMode::Off;
    } else if mode.eq_ignore_ascii_case(b"skip") {
        if ctx.client.reply_mode != ReplyMode::Off {
            ctx.client.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(error::SYNTAX.into());
    }
    Ok(())
}

fn pause(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let all = match ctx.args.len() {
        3 => true,
        4 if ctx.arg(3).eq_ignore_ascii_case(b"all") => true,
        4 if ctx.arg(3).eq_ignore_ascii_case(b"write") => false,
        4 => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
        _ => return Err(misused(ctx)),
    };
    let duration_ms = timeout_ms(ctx.arg(2))?;
    let now_ms = ctx.view.now_ms();
    ctx.client.effects.push(Effect::Pause { now_ms, duration_ms, all });
    ctx.reply.ok();
    Ok(())
}

/// A timeout in milliseconds.
pub fn timeout_ms(text: &[u8]) -> Result<u64, Stop> {
    let timeout = num::parse_i64(text).ok_or("ERR timeout is not an integer or out of range")?;
    u64::try_from(timeout).map_err(|_| "ERR timeout is negative".into())
}

fn unpause(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.client.effects.push(Effect::Unpause);
    ctx.reply.ok();
    Ok(())
}

fn no_evict(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.client.no_evict = on_or_off(ctx.arg(2))?;
    ctx.reply.ok();
    Ok(())
}

fn no_touch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.client.no_touch = on_or_off(ctx.arg(2))?;
    ctx.reply.ok();
    Ok(())
}

fn on_or_off(text: &[u8]) -> Result<bool, Stop> {
    match text {
        text if text.eq_ignore_ascii_case(b"on") => Ok(true),
        text if text.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(error::SYNTAX.into()),
    }
}

fn getredir(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.integer(-1);
    Ok(())
}

fn trackinginfo(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.map(3);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(1);
    ctx.reply.bulk(b"off");
    ctx.reply.bulk(b"redirect");
    ctx.reply.integer(-1);
    ctx.reply.bulk(b"prefixes");
    ctx.reply.array(0);
    Ok(())
}

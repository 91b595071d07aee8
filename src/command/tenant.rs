//! `TENANT`: the tenants, for those who operate the server.

use std::ops::RangeInclusive;

use super::help::{help, misused};
use super::state::Effect;
use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Spec};
use crate::config;
use crate::data::Tenant;
use crate::data::tenants::{Quota, Settings};
use crate::error::{self, Stop, Together};
use crate::limits::{DATABASES, TENANTS_LISTED};
use crate::num;

const OPERATOR: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::OPERATOR);
const WRITE: Flags = OPERATOR.and(Flags::WRITE);
/// What a quota may be: it is told as a reply's integer.
const BOUNDS: RangeInclusive<usize> = 0..=i64::MAX as usize;
const NO_SUCH_TENANT: &str = "ERR no such tenant";

/// The row of `TENANT`.
pub const TABLE: &[Spec] = &[Spec::new("tenant", -2, Flags::NONE, Keys::NONE, help)
    .doc(Group::Server, "1.0.0", "Depends on subcommand.", "Groups the commands about tenants.")
    .with(&[
        sub("tenant|list", -2, OPERATOR, list, "Names some tenants, and where to go on."),
        sub("tenant|info", 3, OPERATOR, info, "Describes a tenant."),
        sub(
            "tenant|setquota",
            -5,
            WRITE,
            setquota,
            "Bounds a tenant's STORAGE, REQUEST, CONNECTIONS or COMMANDS a second; it is created \
                 if there is none of this name.",
        ),
        sub("tenant|drop", 3, WRITE, drop_tenant, "Removes a tenant and all its keys."),
        sub("tenant|help", 2, OPERATOR, help, "Lists the subcommands."),
    ])];

const fn sub(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::NONE, run).doc(Group::Server, "1.0.0", "O(1)", summary)
}

fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let cursor = match ctx.args.len() {
        2 => 0,
        3 => num::parse_i64(ctx.arg(2))
            .and_then(|cursor| Tenant::try_from(cursor).ok())
            .ok_or("ERR invalid cursor")?,
        _ => return Err(misused(ctx)),
    };
    let (names, next) = ctx.view.tenants(cursor, TENANTS_LISTED)?;
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next.unwrap_or(0)).as_bytes());
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name.as_bytes()));
    Ok(())
}

/// The tenant that the command names, with its settings.
fn named(ctx: &mut Ctx<'_, '_>, create: bool) -> Result<(Tenant, Settings), Stop> {
    let tenant = ctx.view.tenant(ctx.arg(2), create)?.ok_or(NO_SUCH_TENANT)?;
    let settings = ctx.view.settings(tenant)?.ok_or(NO_SUCH_TENANT)?;
    Ok((tenant, settings))
}

fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (tenant, Settings { name, quota }) = named(ctx, false)?;
    let (mut keys, mut together) = (0, Together::default());
    for database in 0..DATABASES {
        let size = ctx.view.database_size_roughly(tenant, database);
        keys += together.take(size)?.unwrap_or(0);
    }
    let usage = match quota.storage {
        Some(_) => together.take(ctx.view.usage(tenant))?,
        None => None,
    };
    together.end()?;
    let clients = ctx.server.clients();
    let connections = clients.iter().filter(|client| client.tenant() == tenant).count();
    ctx.reply.map(7);
    ctx.reply.bulk(b"name");
    ctx.reply.bulk(name.as_bytes());
    for (name, value) in
        [("id", tenant.into()), ("keys", keys), ("connections", connections as u64)]
    {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(value as i64);
    }
    // What nobody bounds nobody counts.
    ctx.reply.bulk(b"storage");
    match usage {
        Some(usage) => ctx.reply.integer(usage.bytes as i64),
        None => ctx.reply.null(),
    }
    ctx.reply.bulk(b"counting");
    ctx.reply.integer(usage.is_some_and(|usage| usage.is_counting).into());
    ctx.reply.bulk(b"quota");
    let Quota { storage, request, connections, commands } = quota;
    let fields = [
        ("storage", storage),
        ("request", request),
        ("connections", connections),
        ("commands", commands),
    ];
    ctx.reply.map(fields.len());
    for (name, value) in fields {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(value.unwrap_or(0) as i64);
    }
    Ok(())
}

fn setquota(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let pairs = ctx.args.from(3);
    if !pairs.len().is_multiple_of(2) {
        return Err(error::SYNTAX.into());
    }
    let mut changes = Vec::new();
    for at in (0..pairs.len()).step_by(2) {
        changes.push(change(pairs.get(at), pairs.get(at + 1))?);
    }
    let (tenant, mut settings) = named(ctx, true)?;
    changes.iter().for_each(|(field, value)| *field(&mut settings.quota) = *value);
    ctx.view.set_settings(tenant, &settings)?;
    ctx.client.effects.push(Effect::Quota { tenant, quota: settings.quota });
    ctx.reply.ok();
    Ok(())
}

type Field = fn(&mut Quota) -> &mut Option<u64>;

/// Which field of a quota is to be what.
fn change(name: &[u8], text: &[u8]) -> Result<(Field, Option<u64>), Stop> {
    let (field, is_size): (Field, bool) = match &*name.to_ascii_lowercase() {
        b"storage" => (|quota| &mut quota.storage, true),
        b"request" => (|quota| &mut quota.request, true),
        b"connections" => (|quota| &mut quota.connections, false),
        b"commands" => (|quota| &mut quota.commands, false),
        _ => return Err(error::SYNTAX.into()),
    };
    if text.eq_ignore_ascii_case(b"none") {
        return Ok((field, None));
    }
    let text = String::from_utf8_lossy(text);
    let value = match is_size {
        true => config::size(&text, BOUNDS),
        false => config::whole(&text, BOUNDS),
    };
    let value = value.map_err(|problem| format!("ERR {problem}"))? as u64;
    Ok((field, Some(value).filter(|value| *value > 0)))
}

fn drop_tenant(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (tenant, _) = named(ctx, false)?;
    ctx.view.drop_tenant(tenant)?;
    ctx.reply.ok();
    Ok(())
}

//! `CLIENT INFO`, `CLIENT LIST`, `CLIENT KILL`: connections as seen from another one. To a client those of
//! other tenants are not there.

use std::fmt::Write as _;
use std::sync::Arc;

use super::help::misused;
use super::state::{Client, ClientRow, ClientShared, Effect, user_of, version};
use super::stats::Ending;
use super::{Ctx, Outcome};
use crate::clock;
use crate::error::{self, Stop};
use crate::num;

/// The user that everybody authenticates as, whatever the token.
const DEFAULT_USER: &[u8] = b"default";

/// Kinds of connections Redis tells apart; all of ours are normal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Other,
}

fn kind(text: &[u8]) -> Result<Kind, Stop> {
    match &*text.to_ascii_lowercase() {
        b"normal" => Ok(Kind::Normal),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(Kind::Other),
        _ => {
            let text = String::from_utf8_lossy(text);
            Err(format!("ERR Unknown client type '{text}'").into())
        }
    }
}

pub(super) fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut text = String::new();
    own_line(ctx, &mut text, "client|info");
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

pub(super) fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args.from(2);
    let is = |name: &str| args.get(0).eq_ignore_ascii_case(name.as_bytes());
    let mut ids = None;
    let mut any = true;
    match args.len() {
        0 => {}
        2 if is("type") => any = kind(args.get(1))? == Kind::Normal,
        2.. if is("id") => ids = Some(chosen_ids(ctx)?),
        _ => return Err(error::SYNTAX.into()),
    }
    let mut clients = if any { ctx.server.clients_seen_by(ctx.client) } else { Vec::new() };
    if let Some(ids) = ids {
        // In the order of the ids, as Redis.
        let place = |id| clients.binary_search_by_key(&id, |client| client.id).ok();
        let places = ids.into_iter().filter_map(place);
        clients = places.map(|place| Arc::clone(&clients[place])).collect();
    }
    let mut text = String::new();
    for client in clients {
        if client.id == ctx.client.shared.id {
            own_line(ctx, &mut text, "client|list");
        } else {
            line(ctx, &mut text, &client, &client.row());
        }
    }
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

fn chosen_ids(ctx: &Ctx<'_, '_>) -> Result<Vec<u64>, Stop> {
    let id = |text: &[u8]| num::parse_i64(text).ok_or(Stop::from("ERR Invalid client ID"));
    ctx.args.iter().skip(3).map(|text| id(text).map(|id| id as u64)).collect()
}

/// The line of the connection that asks: it is not yet published what it has just done.
fn own_line(ctx: &Ctx<'_, '_>, text: &mut String, command: &'static str) {
    let Client { shared, labels, grant, database, no_evict, no_touch, monitor, .. } = &*ctx.client;
    let mut held = shared.held();
    held.arguments = ctx.args.bytes();
    // What was queued is no longer, and the replies so far leave when the batch is done.
    (held.queued, held.output) = (0, ctx.reply.len());
    let row = ClientRow {
        user: user_of(grant.as_deref()),
        held,
        waits_to_send: false,
        labels: Arc::clone(labels),
        active_ms: ctx.server.uptime_ms(clock::monotonic()),
        database: *database,
        resp: version(ctx.reply.protocol()),
        command,
        queued: None,
        no_evict: *no_evict,
        no_touch: *no_touch,
        monitors: monitor.is_some(),
    };
    line(ctx, text, shared, &row);
}

fn line(ctx: &Ctx<'_, '_>, text: &mut String, client: &ClientShared, row: &ClientRow) {
    let age_s = ctx.view.now_ms().saturating_sub(client.connected_ms) / 1000;
    let uptime_ms = ctx.server.uptime_ms(clock::monotonic());
    let idle_s = uptime_ms.saturating_sub(row.active_ms) / 1000;
    let mut flags = String::new();
    for (is_set, flag) in [
        (row.monitors, 'O'),
        (row.queued.is_some(), 'x'),
        (client.wait().is_some(), 'b'),
        (client.is_killed(), 'c'),
        (client.addr.starts_with('/'), 'U'),
        (row.no_evict, 'e'),
        (row.no_touch, 'T'),
    ] {
        if is_set {
            flags.push(flag);
        }
    }
    let flags = if flags.is_empty() { "N" } else { &flags };
    let queued = row.queued.map_or(-1, i64::from);
    let ClientRow { labels, held, .. } = row;
    // How many files are open tells of others.
    let fd = if ctx.client.is_operator() { client.fd } else { -1 };
    let (omem, oll) = held.large_output();
    // Redis 7.0's fields, then two of 7.2. No size of a reply buffer depends on how full it recently was,
    // which is what `rbp` would tell.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd={fd} name={} age={age_s} idle={idle_s} flags={flags} db={} \
         sub=0 psub=0 ssub=0 multi={queued} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} \
         rbp=0 obl={} oll={oll} omem={omem} tot-mem={} events={} cmd={} user={} redir=-1 resp={} \
         lib-name={} lib-ver={}",
        client.id,
        client.addr,
        client.laddr,
        labels.name,
        row.database,
        held.input,
        held.input_free,
        held.arguments,
        held.queued,
        held.reply_buffer(),
        held.small_output(),
        held.total(),
        if row.waits_to_send { "rw" } else { "r" },
        row.command,
        row.user,
        row.resp,
        labels.lib_name,
        labels.lib_ver,
    );
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`.
pub fn unblock(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let with_error = match ctx.args.len() {
        3 => false,
        4 if ctx.arg(3).eq_ignore_ascii_case(b"timeout") => false,
        4 if ctx.arg(3).eq_ignore_ascii_case(b"error") => true,
        4 => return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into()),
        _ => return Err(misused(ctx)),
    };
    let id = num::parse_i64(ctx.arg(2)).ok_or(error::NOT_AN_INTEGER)?;
    let mut clients = ctx.server.clients_seen_by(ctx.client).into_iter();
    let client = clients.find(|client| client.id == id as u64);
    let waiting = client.and_then(|client| client.wait().map(|wait| (client, wait)));
    ctx.reply.integer(i64::from(waiting.is_some()));
    if let Some((client, wait)) = waiting {
        ctx.client.effects.push(Effect::Unblock { client, wait, with_error });
    }
    Ok(())
}

/// Which connections `CLIENT KILL` ends: those that fit all that is given.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    kind: Option<Kind>,
    user: Option<&'a [u8]>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(ctx: &Ctx<'a, '_>) -> Result<Filter<'a>, Stop> {
        if ctx.args.len() == 3 {
            return Ok(Filter { addr: Some(ctx.arg(2)), ..Filter::default() });
        }
        let mut filter = Filter { skip_me: true, ..Filter::default() };
        let mut at = 2;
        while at < ctx.args.len() {
            if at + 1 == ctx.args.len() {
                return Err(error::SYNTAX.into());
            }
            filter.option(&ctx.arg(at).to_ascii_lowercase(), ctx.arg(at + 1))?;
            at += 2;
        }
        Ok(filter)
    }

    fn option(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Stop> {
        match name {
            b"id" => match num::parse_i64(value) {
                Some(id) if id > 0 => self.id = Some(id as u64),
                _ => return Err("ERR client-id should be greater than 0".into()),
            },
            b"type" => self.kind = Some(kind(value)?),
            b"addr" => self.addr = Some(value),
            b"laddr" => self.laddr = Some(value),
            b"user" => self.user = Some(value),
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => self.skip_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => self.skip_me = false,
            _ => return Err(error::SYNTAX.into()),
        }
        Ok(())
    }

    fn fits(&self, client: &ClientShared) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.kind.is_none_or(|kind| kind == Kind::Normal)
            && self.user.is_none_or(|user| user == DEFAULT_USER || user == client.user().as_bytes())
            && self.addr.is_none_or(|addr| addr == client.addr.as_bytes())
            && self.laddr.is_none_or(|laddr| laddr == client.laddr.as_bytes())
    }
}

pub(super) fn kill(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let filter = Filter::parse(ctx)?;
    let clients = ctx.server.clients_seen_by(ctx.client);
    if let Some(user) = filter.user
        && user != DEFAULT_USER
        && clients.iter().all(|client| client.user().as_bytes() != user)
    {
        let user = String::from_utf8_lossy(user);
        return Err(format!("ERR No such user '{user}'").into());
    }
    let mut killed = 0;
    for client in clients {
        let is_me = client.id == ctx.client.shared.id;
        if is_me && filter.skip_me || !filter.fits(&client) {
            continue;
        }
        killed += 1;
        if is_me {
            // Only after it has had its reply.
            ctx.client.closing = Some(Ending::Killed);
        } else {
            ctx.client.effects.push(Effect::Kill(client));
        }
    }
    match (ctx.args.len(), killed) {
        (3, 0) => return Err("ERR No such client".into()),
        (3, _) => ctx.reply.ok(),
        _ => ctx.reply.integer(killed),
    }
    Ok(())
}

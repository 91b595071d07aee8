//! Commands about the connection itself: greeting, authentication, database, end.

use std::sync::Arc;

use super::state::{Effect, ReplyMode, version};
use super::stats::Ending;
use super::{Args, Ctx, Flags, Group, Keys, Outcome, Spec};
use crate::error::{self, Stop};
use crate::limits::DATABASES;
use crate::num;
use crate::resp::Protocol;

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE).and(Flags::FAST);
const BEFORE_AUTH: Flags = ANY_TIME.and(Flags::NOSCRIPT).and(Flags::NO_AUTH).and(Flags::ALLOW_BUSY);

/// The Redis version whose commands and replies these are.
pub const REDIS_VERSION: &str = "7.0.15";

/// The rows of the connection commands.
pub const TABLE: &[Spec] = &[
    Spec::new("ping", -1, Flags::FAST, Keys::NONE, ping).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Answers PONG, or the message given.",
    ),
    Spec::new("echo", 2, ANY_TIME, Keys::NONE, echo).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Answers with the message given.",
    ),
    Spec::new("select", 2, ANY_TIME, Keys::NONE, select).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Changes the connection's database.",
    ),
    Spec::new("hello", -1, BEFORE_AUTH, Keys::NONE, hello).doc(
        Group::Connection,
        "6.0.0",
        "O(1)",
        "Chooses the protocol version and says who answers; can authenticate and name the \
         connection on the way.",
    ),
    Spec::new("auth", -2, BEFORE_AUTH, Keys::NONE, auth).doc(
        Group::Connection,
        "1.0.0",
        "O(N) where N is the number of passwords defined for the user",
        "Authenticates the connection.",
    ),
    Spec::new("quit", -1, BEFORE_AUTH.and(Flags::CONTROL), Keys::NONE, quit).doc(
        Group::Connection,
        "1.0.0",
        "O(1)",
        "Ends the connection after the replies so far.",
    ),
    Spec::new("reset", 1, BEFORE_AUTH.and(Flags::CONTROL), Keys::NONE, reset).doc(
        Group::Connection,
        "6.2.0",
        "O(1)",
        "Makes the connection what it was when it was opened.",
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

fn echo(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.bulk(ctx.args.get(1));
    Ok(())
}

fn select(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let index = num::parse_i64(ctx.arg(1)).ok_or(error::NOT_AN_INTEGER)?;
    let index = i32::try_from(index)
        .map_err(|_| "ERR value is out of range, value must between -2147483648 and 2147483647")?;
    match u8::try_from(index) {
        Ok(database) if database < DATABASES => ctx.client.database = database,
        _ => return Err("ERR DB index is out of range".into()),
    }
    ctx.reply.ok();
    Ok(())
}

/// What `HELLO` asks for.
struct Greeting<'a> {
    /// The protocol it is to go on with.
    protocol: Option<Protocol>,
    /// User and password.
    credentials: Option<(&'a [u8], &'a [u8])>,
    /// What the connection calls itself.
    name: Option<&'a str>,
}

impl<'a> Greeting<'a> {
    fn read(args: Args<'a>) -> Result<Greeting<'a>, Stop> {
        let protocol = if args.len() > 1 { Some(protocol(args.get(1))?) } else { None };
        let mut greeting = Greeting { protocol, credentials: None, name: None };
        let mut at = 2;
        while at < args.len() {
            let (option, behind) = (args.get(at), args.len() - at - 1);
            if option.eq_ignore_ascii_case(b"auth") && behind >= 2 {
                greeting.credentials = Some((args.get(at + 1), args.get(at + 2)));
                at += 3;
            } else if option.eq_ignore_ascii_case(b"setname") && behind >= 1 {
                greeting.name = Some(label(args.get(at + 1)).ok_or(BAD_NAME)?);
                at += 2;
            } else {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
            }
        }
        Ok(greeting)
    }
}

/// User and password, if the command is one that authenticates and makes sense.
pub fn credentials<'a>(spec: &Spec, args: Args<'a>) -> Option<(&'a [u8], &'a [u8])> {
    match (spec.name, args.len()) {
        ("auth", 2) => Some((b"default", args.get(1))),
        ("auth", 3) => Some((args.get(1), args.get(2))),
        ("hello", 2..) => Greeting::read(args).ok()?.credentials,
        _ => None,
    }
}

fn hello(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let Greeting { protocol, credentials, name } = Greeting::read(ctx.args)?;
    if let Some((user, password)) = credentials {
        authenticate(ctx, user, password)?;
    }
    if ctx.server.auth.is_some() && ctx.client.grant.is_none() {
        return Err(HELLO_FIRST.into());
    }
    if let Some(name) = name {
        ctx.client.relabel(|labels| labels.name = name.to_owned());
    }
    if let Some(protocol) = protocol {
        ctx.reply.set_protocol(protocol);
    }
    greet(ctx);
    Ok(())
}

fn protocol(text: &[u8]) -> Result<Protocol, Stop> {
    match num::parse_i64(text) {
        Some(2) => Ok(Protocol::Resp2),
        Some(3) => Ok(Protocol::Resp3),
        Some(_) => Err("NOPROTO unsupported protocol version".into()),
        None => Err("ERR Protocol version is not an integer or out of range".into()),
    }
}

/// Who we are, to clients that look for a Redis of a version they know.
fn greet(ctx: &mut Ctx<'_, '_>) {
    let id = ctx.client.shared.id as i64;
    let reply = &mut *ctx.reply;
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(version(reply.protocol()).into());
    reply.bulk(b"id");
    reply.integer(id);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

fn auth(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match ctx.args.len() {
        2 if ctx.server.auth.is_none() => {
            return Err("ERR AUTH <password> called without any password configured for the \
                        default user. Are you sure your configuration is correct?"
                .into());
        }
        2 => authenticate(ctx, b"default", ctx.arg(1))?,
        3 => authenticate(ctx, ctx.arg(1), ctx.arg(2))?,
        _ => return Err(error::SYNTAX.into()),
    }
    ctx.reply.ok();
    Ok(())
}

/// The answer to credentials that are not accepted.
pub const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const HELLO_FIRST: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise \
    the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
    protocol version at the same time";

/// The answer to a connection more than its tenant may have.
const TOO_MANY: &str = "ERR max number of clients reached";

/// Makes the connection one of the token's tenant. The session has verified the token. Without
/// configured keys there is one user, who needs no password and may give any.
fn authenticate(ctx: &mut Ctx<'_, '_>, user: &[u8], _password: &[u8]) -> Outcome {
    if ctx.server.auth.is_none() {
        return if user == b"default" { Ok(()) } else { Err(WRONG_PASS.into()) };
    }
    let Some(grant) = ctx.client.login.clone() else { return Err(WRONG_PASS.into()) };
    // The id of a tenant that is not stored is given to the next one again.
    let tenant = ctx.view.tenant(grant.tenant().as_bytes(), ctx.refusal.is_none())?;
    let tenant = tenant.ok_or_else(|| ctx.refusal.unwrap_or_default().to_owned())?;
    let settings = ctx.view.settings(tenant)?.ok_or(error::TENANT_GONE)?;
    let seat = match &ctx.client.seat {
        Some(seat) if seat.tenant == tenant => Arc::clone(seat),
        _ => {
            let seat = ctx.server.allowances.enter(tenant, grant.tenant(), &settings.quota);
            let Some(seat) = seat else {
                ctx.client.effects.push(Effect::TurnedAway(tenant));
                return Err(TOO_MANY.into());
            };
            Arc::new(seat)
        }
    };
    ctx.client.log_in(grant, seat);
    Ok(())
}

/// Why a name or another label was not taken.
pub const BAD_NAME: &str =
    "ERR Client names cannot contain spaces, newlines or special characters.";

/// The text as what a connection may call itself: printable ASCII without spaces.
pub fn label(text: &[u8]) -> Option<&str> {
    let printable = text.iter().all(u8::is_ascii_graphic);
    if printable { std::str::from_utf8(text).ok() } else { None }
}

fn quit(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.client.closing = Some(Ending::Client);
    ctx.reply.ok();
    Ok(())
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let client = &mut *ctx.client;
    client.database = 0;
    client.reply_mode = ReplyMode::On;
    client.watches.clear();
    (client.no_evict, client.no_touch) = (false, false);
    client.monitor = None;
    client.relabel(|labels| labels.name.clear());
    if ctx.server.auth.is_some() {
        client.log_out();
    }
    ctx.reply.set_protocol(Protocol::Resp2);
    ctx.reply.simple("RESET");
    Ok(())
}

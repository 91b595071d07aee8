//! What graphical clients and exporters ask for as they connect, where the true answer is "none":
//! modules and channels.

use super::help::{help, misused};
use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Spec};

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const PUBSUB: Flags = ANY_TIME.and(Flags::PUBSUB);
const SERVER: Group = Group::Server;

/// The rows of these commands.
pub const TABLE: &[Spec] = &[
    container("module", SERVER, "4.0.0", "Groups the commands about modules.").with(&[
        sub("module|list", 2, Flags::ADMIN.and(Flags::NOSCRIPT), none, SERVER, "4.0.0")
            .about("Lists the modules loaded, of which there are none."),
        sub("module|help", 2, ANY_TIME, help, SERVER, "5.0.0").about("Lists the subcommands."),
    ]),
    container("pubsub", Group::PubSub, "2.8.0", "Groups the commands about channels.").with(&[
        sub("pubsub|channels", -2, PUBSUB, none, Group::PubSub, "2.8.0")
            .about("Lists the channels with subscribers, of which there are none."),
        sub("pubsub|numpat", 2, PUBSUB, zero, Group::PubSub, "2.8.0")
            .about("Counts the patterns subscribed to."),
        sub("pubsub|numsub", -2, PUBSUB, numsub, Group::PubSub, "2.8.0")
            .about("Counts the subscribers of channels."),
        sub("pubsub|help", 2, ANY_TIME, help, Group::PubSub, "6.2.0")
            .about("Lists the subcommands."),
    ]),
];

const fn container(
    name: &'static str,
    group: Group,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::new(name, -2, Flags::NONE, Keys::NONE, help).doc(
        group,
        since,
        "Depends on subcommand.",
        summary,
    )
}

const fn sub(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    group: Group,
    since: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::NONE, run).doc(group, since, "O(1)", "")
}

fn none(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(misused(ctx));
    }
    ctx.reply.array(0);
    Ok(())
}

fn zero(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.integer(0);
    Ok(())
}

fn numsub(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let channels = ctx.args.from(2);
    ctx.reply.array(channels.len() * 2);
    for channel in channels.iter() {
        ctx.reply.bulk(channel);
        ctx.reply.integer(0);
    }
    Ok(())
}

//! `CLUSTER`: enough to see that this is not a Redis cluster.

use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Spec};

const ADMIN: Flags = Flags::ADMIN.and(Flags::STALE);

/// The row of `CLUSTER`.
pub const TABLE: &[Spec] = &[Spec::new("cluster", -2, Flags::NONE, Keys::NONE, disabled)
    .doc(
        Group::Cluster,
        "3.0.0",
        "Depends on subcommand.",
        "Groups the commands about Redis Cluster.",
    )
    .with(&[
        row("cluster|info", 2, Flags::STALE, info, "Tells that there is no Redis cluster."),
        sub("cluster|addslots", -3, ADMIN),
        sub("cluster|addslotsrange", -4, ADMIN),
        sub("cluster|bumpepoch", 2, ADMIN),
        sub("cluster|count-failure-reports", 3, ADMIN),
        sub("cluster|countkeysinslot", 3, Flags::STALE),
        sub("cluster|delslots", -3, ADMIN),
        sub("cluster|delslotsrange", -4, ADMIN),
        sub("cluster|failover", -2, ADMIN),
        sub("cluster|flushslots", 2, ADMIN),
        sub("cluster|forget", 3, ADMIN),
        sub("cluster|getkeysinslot", 4, Flags::STALE),
        sub("cluster|help", 2, Flags::LOADING.and(Flags::STALE)),
        sub("cluster|keyslot", 3, Flags::STALE),
        sub("cluster|links", 2, Flags::STALE),
        sub("cluster|meet", -4, ADMIN),
        sub("cluster|myid", 2, Flags::STALE),
        sub("cluster|nodes", 2, Flags::STALE),
        sub("cluster|replicas", 3, ADMIN),
        sub("cluster|replicate", 3, ADMIN),
        sub("cluster|reset", -2, ADMIN.and(Flags::NOSCRIPT)),
        sub("cluster|saveconfig", 2, ADMIN),
        sub("cluster|set-config-epoch", 3, ADMIN),
        sub("cluster|setslot", -4, ADMIN),
        sub("cluster|shards", 2, Flags::STALE),
        sub("cluster|slaves", 3, ADMIN),
        sub("cluster|slots", 2, Flags::STALE),
    ])];

const fn sub(name: &'static str, arity: i16, flags: Flags) -> Spec {
    row(name, arity, flags, disabled, "Refuses, because there is no Redis cluster.")
}

const fn row(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: Handler,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, Keys::NONE, run).doc(Group::Cluster, "3.0.0", "O(1)", summary)
}

fn disabled(_: &mut Ctx<'_, '_>) -> Outcome {
    Err("ERR This instance has cluster support disabled".into())
}

/// What a client asks for to learn whether it has to think of slots. Any number of processes in front
/// of one store are still one keyspace.
fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let text = "cluster_enabled:0\r\ncluster_state:ok\r\ncluster_slots_assigned:0\r\n\
                cluster_slots_ok:0\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\n\
                cluster_known_nodes:1\r\ncluster_size:0\r\ncluster_current_epoch:0\r\n\
                cluster_my_epoch:0\r\n";
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

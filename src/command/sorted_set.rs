//! Sorted set commands.
//!
//! What they cost here, by rank in particular, is said in [`crate::data::sorted_set`].

mod add;
mod blocking;
mod bounds;
mod combine;
mod pop;
mod random;
mod range;
mod remove;
mod scores;

use super::{Ctx, Flags, Group, Keys, MoreKeys, Spec};
use crate::data::sorted_set::SortedSet;
use crate::error::Stop;
use crate::resp::{Protocol, Reply};

const READ: Flags = Flags::READONLY;
const READ_SOME: Flags = Flags::READONLY.and(Flags::MOVABLE_KEYS);
/// Takes, and waits for what there is to take.
const WAITS_ANYWHERE: Flags = WRITE_SOME.and(Flags::BLOCKING);
const WAITS: Flags = Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING);
const WRITE_SOME: Flags = Flags::WRITE.and(Flags::MOVABLE_KEYS);
const GROWS_SOME: Flags = Flags::GROWS.and(Flags::MOVABLE_KEYS);
/// A key that is written, and so many that are read.
const STORED: Keys = Keys::ONE.with(MoreKeys::Counted(2));

const fn row(spec: Spec, since: &'static str, cost: &'static str, text: &'static str) -> Spec {
    spec.doc(Group::SortedSet, since, cost, text)
}

/// The rows of the sorted set commands.
pub const TABLE: &[Spec] = &[
    row(
        Spec::new("zadd", -4, Flags::GROWS_FAST, Keys::ONE, add::zadd),
        "1.2.0",
        "O(log(N)) for each member",
        "Adds members to a sorted set, or changes their scores.",
    ),
    row(
        Spec::new("zincrby", 4, Flags::GROWS_FAST, Keys::ONE, add::zincrby),
        "1.2.0",
        "O(log(N))",
        "Adds to the score of a member.",
    ),
    row(
        Spec::new("zrem", -3, Flags::WRITE_FAST, Keys::ONE, remove::zrem),
        "1.2.0",
        "O(M*log(N)) where M is the number of members removed",
        "Removes members and says how many were there.",
    ),
    row(
        Spec::new("zremrangebyrank", 4, Flags::WRITE, Keys::ONE, remove::zremrangebyrank),
        "2.0.0",
        "O(log(N)+M*log(N)) where M is the number of members removed; O(1) for all",
        "Removes the members between two ranks.",
    ),
    row(
        Spec::new("zremrangebyscore", 4, Flags::WRITE, Keys::ONE, remove::zremrangebyscore),
        "1.2.0",
        "O(M*log(N)) where M is the number of members removed; O(1) for all",
        "Removes the members between two scores.",
    ),
    row(
        Spec::new("zremrangebylex", 4, Flags::WRITE, Keys::ONE, remove::zremrangebylex),
        "2.8.9",
        "O(M*log(N)) where M is the number of members removed; O(1) for all",
        "Removes the members between two names.",
    ),
    row(
        Spec::new("zscore", 3, Flags::READ_FAST, Keys::ONE, scores::zscore),
        "1.2.0",
        "O(1)",
        "Returns the score of a member.",
    ),
    row(
        Spec::new("zmscore", -3, Flags::READ_FAST, Keys::ONE, scores::zmscore),
        "6.2.0",
        "O(M) where M is the number of members",
        "Returns the scores of several members.",
    ),
    row(
        Spec::new("zcard", 2, Flags::READ_FAST, Keys::ONE, scores::zcard),
        "1.2.0",
        "O(1)",
        "Returns the number of members.",
    ),
    row(
        Spec::new("zcount", 4, Flags::READ_FAST, Keys::ONE, scores::zcount),
        "2.0.0",
        "O(log(N)), and O(M) up to 512 members counted",
        "Counts the members between two scores.",
    ),
    row(
        Spec::new("zlexcount", 4, Flags::READ_FAST, Keys::ONE, scores::zlexcount),
        "2.8.9",
        "O(log(N)), and O(M) up to 512 members counted",
        "Counts the members between two names.",
    ),
    row(
        Spec::new("zrank", 3, Flags::READ_FAST, Keys::ONE, scores::zrank),
        "2.0.0",
        "O(log(N)) by a rank index, O(N) up to 512 members",
        "Returns the rank of a member, the lowest score first.",
    ),
    row(
        Spec::new("zrevrank", 3, Flags::READ_FAST, Keys::ONE, scores::zrevrank),
        "2.0.0",
        "O(log(N)) by a rank index, O(N) up to 512 members",
        "Returns the rank of a member, the highest score first.",
    ),
    row(
        Spec::new("zrange", -4, READ, Keys::ONE, range::zrange),
        "1.2.0",
        "O(log(N)+M) where M is the number of members returned",
        "Returns the members between two ranks, scores or names.",
    ),
    row(
        Spec::new("zrangestore", -5, Flags::GROWS, Keys::TWO, range::zrangestore),
        "6.2.0",
        "O(log(N)+M) where M is the number of members stored",
        "Stores the members between two ranks, scores or names.",
    ),
    row(
        Spec::new("zrevrange", -4, READ, Keys::ONE, range::zrevrange),
        "1.2.0",
        "O(log(N)+M) where M is the number of members returned",
        "Returns the members between two ranks, the highest score first.",
    ),
    row(
        Spec::new("zrangebyscore", -4, READ, Keys::ONE, range::zrangebyscore),
        "1.0.5",
        "O(log(N)+M) where M is the number of members returned",
        "Returns the members between two scores.",
    ),
    row(
        Spec::new("zrevrangebyscore", -4, READ, Keys::ONE, range::zrevrangebyscore),
        "2.2.0",
        "O(log(N)+M) where M is the number of members returned",
        "Returns the members between two scores, the highest first.",
    ),
    row(
        Spec::new("zrangebylex", -4, READ, Keys::ONE, range::zrangebylex),
        "2.8.9",
        "O(log(N)+M) where M is the number of members returned",
        "Returns the members between two names.",
    ),
    row(
        Spec::new("zrevrangebylex", -4, READ, Keys::ONE, range::zrevrangebylex),
        "2.8.9",
        "O(log(N)+M) where M is the number of members returned",
        "Returns the members between two names, the highest first.",
    ),
    row(
        Spec::new("zpopmin", -2, Flags::WRITE_FAST, Keys::ONE, pop::zpopmin),
        "5.0.0",
        "O(M*log(N)) where M is the number of members removed",
        "Removes and returns the members with the lowest scores.",
    ),
    row(
        Spec::new("zpopmax", -2, Flags::WRITE_FAST, Keys::ONE, pop::zpopmax),
        "5.0.0",
        "O(M*log(N)) where M is the number of members removed",
        "Removes and returns the members with the highest scores.",
    ),
    row(
        Spec::new("zmpop", -4, WRITE_SOME, Keys::counted(1), pop::zmpop),
        "7.0.0",
        "O(K+M*log(N)) where K is the number of keys and M that of the members removed",
        "Removes and returns members from an end of the first sorted set that is not empty.",
    ),
    row(
        Spec::new(
            "bzpopmin",
            -3,
            WAITS.and(Flags::FAST),
            Keys::range(1, -2, 1),
            blocking::bzpopmin,
        ),
        "5.0.0",
        "O(K+log(N)) where K is the number of keys",
        "Removes and returns the member with the lowest score; waits for one.",
    ),
    row(
        Spec::new(
            "bzpopmax",
            -3,
            WAITS.and(Flags::FAST),
            Keys::range(1, -2, 1),
            blocking::bzpopmax,
        ),
        "5.0.0",
        "O(K+log(N)) where K is the number of keys",
        "Removes and returns the member with the highest score; waits for one.",
    ),
    row(
        Spec::new("bzmpop", -5, WAITS_ANYWHERE, Keys::counted(2), blocking::bzmpop),
        "7.0.0",
        "O(K+M*log(N)) where K is the number of keys and M that of the members removed",
        "Removes and returns members from an end of the first sorted set that has some; waits.",
    ),
    row(
        Spec::new("zunion", -3, READ_SOME, Keys::counted(1), combine::zunion),
        "6.2.0",
        "O(N+M*log(M)) where N is the size of all sets and M that of the result",
        "Returns the members that any of the sorted sets has.",
    ),
    row(
        Spec::new("zinter", -3, READ_SOME, Keys::counted(1), combine::zinter),
        "6.2.0",
        "O(N*K+M*log(M)) where N is the size of the smallest of K sets and M that of the result",
        "Returns the members that all of the sorted sets have.",
    ),
    row(
        Spec::new("zdiff", -3, READ_SOME, Keys::counted(1), combine::zdiff),
        "6.2.0",
        "O(N*K+M*log(M)) where N is the size of the first of K sets and M that of the result",
        "Returns the members that the first sorted set has and no other.",
    ),
    row(
        Spec::new("zunionstore", -4, GROWS_SOME, STORED, combine::zunionstore),
        "2.0.0",
        "O(N+M*log(M)) where N is the size of all sets and M that of the result",
        "Stores the members that any of the sorted sets has.",
    ),
    row(
        Spec::new("zinterstore", -4, GROWS_SOME, STORED, combine::zinterstore),
        "2.0.0",
        "O(N*K+M*log(M)) where N is the size of the smallest of K sets and M that of the result",
        "Stores the members that all of the sorted sets have.",
    ),
    row(
        Spec::new("zdiffstore", -4, GROWS_SOME, STORED, combine::zdiffstore),
        "6.2.0",
        "O(N*K+M*log(M)) where N is the size of the first of K sets and M that of the result",
        "Stores the members that the first sorted set has and no other.",
    ),
    row(
        Spec::new("zintercard", -3, READ_SOME, Keys::counted(1), combine::zintercard),
        "7.0.0",
        "O(N*K) where N is the size of the smallest of K sets",
        "Counts the members that all of the sorted sets have.",
    ),
    row(
        Spec::new("zrandmember", -2, READ, Keys::ONE, random::zrandmember),
        "6.2.0",
        "O(M) where M is the number of members returned",
        "Returns members chosen at random.",
    ),
    row(
        Spec::new("zscan", -3, READ, Keys::ONE, random::zscan),
        "2.8.0",
        "O(1) for each call with a bounded COUNT",
        "Lists some members and their scores, and says where to go on.",
    ),
];

/// The sorted set at the key that is the first argument.
fn find(ctx: &Ctx<'_, '_>) -> Result<Option<SortedSet>, Stop> {
    SortedSet::find(ctx.view, ctx.keyspace()?, ctx.arg(1))
}

/// Whether members and scores are replied in pairs.
fn pairs(reply: &Reply) -> bool {
    reply.protocol() == Protocol::Resp3
}

/// Replies with a member, and with its score if it is wanted.
fn reply_member(reply: &mut Reply, member: &[u8], score: Option<f64>) {
    if score.is_some() && pairs(reply) {
        reply.array(2);
    }
    reply.bulk(member);
    if let Some(score) = score {
        reply.double(score);
    }
}

/// Members and scores as so many replies, if they are all replied by [`reply_member`].
fn replies(reply: &Reply, members: usize, with_scores: bool) -> usize {
    if with_scores && !pairs(reply) { 2 * members } else { members }
}

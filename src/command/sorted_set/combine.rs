//! Unions, intersections and differences of sorted sets, and of sets, whose members have score 1.

use std::ops::ControlFlow;

use super::range::store;
use super::{replies, reply_member};
use crate::command::{Args, Ctx, Outcome};
use crate::data::View;
use crate::data::collection::Collection;
use crate::data::collection::algebra;
use crate::data::keys;
use crate::data::meta::Kind;
use crate::data::sorted_set::{score_of_any, sort};
use crate::error::{self, Stop, Together};
use crate::limits::TRANSACTION_BYTES_MAX;
use crate::num;

/// What a reply has besides the bytes of a member, at least.
const BULK_BYTES: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores that a member has in several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => number(one + other),
            Aggregate::Min if other < one => other,
            Aggregate::Max if other > one => other,
            Aggregate::Min | Aggregate::Max => one,
        }
    }
}

/// What is not a number, such as the sum of opposite infinities, counts as zero.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A set whose members are combined with those of others.
#[derive(Debug, Clone, Copy)]
struct Source {
    /// Its place, if it is there.
    collection: Option<Collection>,
    weight: f64,
}

/// What a command asks for.
struct Request {
    operation: Operation,
    sources: Vec<Source>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Of `ZINTERCARD`; 0 = none.
    limit: u64,
}

/// What is done with the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reply,
    Store,
    Count,
}

/// The sets at these keys.
fn find(ctx: &Ctx<'_, '_>, keys: Args<'_>) -> Result<Vec<Source>, Stop> {
    let keyspace = ctx.keyspace()?;
    let (mut sources, mut together) = (Vec::with_capacity(keys.len()), Together::default());
    let kinds = [Kind::SortedSet, Kind::Set];
    for key in keys.iter() {
        let found = together.take(Collection::find_any(ctx.view, keyspace, key, &kinds))?;
        sources.push(Source { collection: found.flatten(), weight: 1.0 });
    }
    together.end()?;
    Ok(sources)
}

impl Request {
    /// Reads the arguments from the number of keys on, which is argument `at`.
    fn parse(
        ctx: &Ctx<'_, '_>,
        at: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Request, Stop> {
        let numkeys = num::parse_i64(ctx.arg(at)).ok_or(error::NOT_AN_INTEGER)?;
        if numkeys < 1 {
            let name = String::from_utf8_lossy(ctx.arg(0)).to_lowercase();
            return Err(format!("ERR at least 1 input key is needed for '{name}' command").into());
        }
        let given = ctx.args.from(at + 1);
        let numkeys = usize::try_from(numkeys).ok().filter(|count| *count <= given.len());
        let numkeys = numkeys.ok_or(error::SYNTAX)?;
        let sources = find(ctx, given.first(numkeys))?;
        let (aggregate, with_scores, limit) = (Aggregate::Sum, false, 0);
        let mut request = Request { operation, sources, aggregate, with_scores, limit };
        request.parse_options(given.from(numkeys), purpose)?;
        Ok(request)
    }

    fn parse_options(&mut self, mut args: Args<'_>, purpose: Purpose) -> Result<(), Stop> {
        let weighs = self.operation != Operation::Difference && purpose != Purpose::Count;
        while !args.is_empty() {
            let is = |name: &[u8]| args.get(0).eq_ignore_ascii_case(name);
            let values = args.len() - 1;
            let used = if weighs && values >= self.sources.len() && is(b"weights") {
                for (source, weight) in self.sources.iter_mut().zip(args.from(1).iter()) {
                    let weight = num::parse_f64(weight);
                    source.weight = weight.ok_or("ERR weight value is not a float")?;
                }
                self.sources.len()
            } else if weighs && values >= 1 && is(b"aggregate") {
                self.aggregate = aggregate(args.get(1))?;
                1
            } else if purpose == Purpose::Reply && is(b"withscores") {
                self.with_scores = true;
                0
            } else if purpose == Purpose::Count && values >= 1 && is(b"limit") {
                let limit = num::parse_i64(args.get(1)).and_then(|limit| limit.try_into().ok());
                self.limit = limit.ok_or("ERR LIMIT can't be negative")?;
                1
            } else {
                return Err(error::SYNTAX.into());
            };
            args = args.from(1 + used);
        }
        Ok(())
    }

    /// The sets that are there, with their numbers of members; the smallest comes first unless the order
    /// matters, as sums of three and more depend on it.
    fn counted(&self, view: &View<'_>) -> Result<Vec<(u64, Collection, f64)>, Stop> {
        let there = || self.sources.iter().filter(|source| source.collection.is_some());
        let collections: Vec<_> = there().filter_map(|source| source.collection).collect();
        let counted = algebra::counted(view, &collections)?;
        let weights = there().map(|source| source.weight);
        let mut counted: Vec<_> =
            counted.iter().zip(weights).map(|((len, set), weight)| (*len, *set, weight)).collect();
        if self.operation != Operation::Difference {
            counted.sort_by_key(|(len, ..)| *len);
        }
        Ok(counted)
    }

    /// Visits the members of the result and their scores, in no order.
    fn walk(
        &self,
        view: &View<'_>,
        visit: &mut dyn FnMut(&[u8], f64) -> ControlFlow<()>,
    ) -> Outcome {
        let is_there = |source: &Source| source.collection.is_some();
        let is_empty = match self.operation {
            Operation::Union => !self.sources.iter().any(is_there),
            Operation::Intersection => !self.sources.iter().all(is_there),
            Operation::Difference => !is_there(&self.sources[0]),
        };
        if is_empty {
            return Ok(());
        }
        let counted = self.counted(view)?;
        let weights: Vec<f64> = counted.iter().map(|(_, _, weight)| *weight).collect();
        if self.operation == Operation::Union {
            let sets: Vec<_> = counted.iter().map(|(_, set, _)| *set).collect();
            return self.union(view, &sets, &weights, visit);
        }
        let sets: Vec<_> = counted.iter().map(|(len, set, _)| (*len, *set)).collect();
        let wanted = self.operation == Operation::Intersection;
        let mut read = Ok(());
        algebra::walk(view, &sets, wanted, &mut |tail, records| {
            let mut scores = records
                .iter()
                .zip(&weights)
                .map(|(record, weight)| score_of_any(record).map(|score| score * weight));
            let first = scores.next().unwrap_or(Ok(0.0)).map(number);
            let score = scores.fold(first, |sum, score| Ok(self.aggregate.of(sum?, score?)));
            match score {
                Ok(score) => visit(keys::tail_name(tail), score),
                Err(stop) => {
                    read = Err(stop);
                    ControlFlow::Break(())
                }
            }
        })?;
        read
    }

    fn union(
        &self,
        view: &View<'_>,
        sets: &[Collection],
        weights: &[f64],
        visit: &mut dyn FnMut(&[u8], f64) -> ControlFlow<()>,
    ) -> Outcome {
        let (mut read, mut ended) = (Ok(()), false);
        // The member that is being put together.
        let mut last: Option<(keys::RecordKey, f64)> = None;
        algebra::occurrences(view, sets, &mut |index, tail, record| {
            let score = match score_of_any(record) {
                Ok(score) => number(score * weights[index]),
                Err(stop) => {
                    read = Err(stop);
                    return ControlFlow::Break(());
                }
            };
            match &mut last {
                Some((known, sum)) if known[..] == *tail => *sum = self.aggregate.of(*sum, score),
                _ => {
                    let done = last.replace((tail.into(), score));
                    if let Some((tail, score)) = done {
                        let flow = visit(keys::tail_name(&tail), score);
                        ended = flow.is_break();
                        return flow;
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        read?;
        if let Some((tail, score)) = last.filter(|_| !ended) {
            let _ = visit(keys::tail_name(&tail), score);
        }
        Ok(())
    }

    /// The result, or [`Stop`] if it has more than so many bytes.
    fn collect(
        &self,
        view: &View<'_>,
        bytes_max: usize,
        too_large: Stop,
    ) -> Result<Vec<(Vec<u8>, f64)>, Stop> {
        let (mut members, mut bytes) = (Vec::new(), 0);
        self.walk(view, &mut |member, score| {
            bytes += member.len() + BULK_BYTES;
            members.push((member.to_vec(), score));
            if bytes > bytes_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if bytes > bytes_max { Err(too_large) } else { Ok(members) }
    }
}

fn aggregate(name: &[u8]) -> Result<Aggregate, Stop> {
    let named = [(&b"sum"[..], Aggregate::Sum), (b"min", Aggregate::Min), (b"max", Aggregate::Max)];
    let found = named.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    found.map(|(_, aggregate)| aggregate).ok_or(error::SYNTAX.into())
}

fn reply(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Outcome {
    let request = Request::parse(ctx, 1, operation, Purpose::Reply)?;
    // What is collected here becomes a reply that is at least as large.
    let limit = ctx.server.config.output_buffer_limit;
    let mut members = request.collect(ctx.view, limit, Stop::Unread)?;
    sort(&mut members);
    let count = replies(ctx.reply, members.len(), request.with_scores);
    ctx.reply.array(count);
    for (member, score) in &members {
        reply_member(ctx.reply, member, request.with_scores.then_some(*score));
    }
    ctx.check_replies()
}

fn store_result(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Outcome {
    let request = Request::parse(ctx, 2, operation, Purpose::Store)?;
    let members = request.collect(ctx.view, TRANSACTION_BYTES_MAX, Stop::TooLarge)?;
    store(ctx, ctx.arg(1), members)
}

pub fn zunion(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Union)
}

pub fn zinter(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Intersection)
}

pub fn zdiff(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Difference)
}

pub fn zunionstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store_result(ctx, Operation::Union)
}

pub fn zinterstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store_result(ctx, Operation::Intersection)
}

pub fn zdiffstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store_result(ctx, Operation::Difference)
}

pub fn zintercard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let request = Request::parse(ctx, 1, Operation::Intersection, Purpose::Count)?;
    let mut count = 0;
    request.walk(ctx.view, &mut |_, _| {
        count += 1;
        if count == request.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    ctx.reply.integer(count as i64);
    Ok(())
}

//! `SORT` and `SORT_RO`.
//!
//! A pattern names another key for each element: its `*` stands for the element, and what follows a
//! `->` is a field of a hash. These keys are not among the command's own; what is read there is checked by
//! the commit like everything else a write reads.

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use super::{Args, Ctx, Flags, Group, Keys, MoreKeys, Outcome, Spec};
use crate::data::collection::Records;
use crate::data::hash::Hash;
use crate::data::list::List;
use crate::data::meta::Kind;
use crate::data::set::Set;
use crate::data::sorted_set::{self, SortedSet, Window};
use crate::data::{KeyspaceId, View, keys, string};
use crate::error::{self, Stop, Together};
use crate::limits::{
    MUTATION_OVERHEAD_BYTES, SORTED_BYTES_MAX, SORTED_OVERHEAD_BYTES, TRANSACTION_BYTES_MAX,
};
use crate::num;

const COMPLEXITY: &str =
    "O(N*log(N)) where N is the number of elements, and a lookup for each pattern and element";
const NOT_NUMBERS: &str = "ERR One or more scores can't be converted into double";
const TOO_MANY: &str = "ERR the elements take more than 67108864 bytes, too many to be sorted";

/// The rows of both commands.
pub const TABLE: &[Spec] = &[
    Spec::new(
        "sort",
        -2,
        Flags::GROWS.and(Flags::MOVABLE_KEYS),
        Keys::ONE.with(MoreKeys::Store),
        sort,
    )
    .doc(
        Group::Generic,
        "1.0.0",
        COMPLEXITY,
        "Sorts the elements of a list, set or sorted set, and stores them if asked to.",
    ),
    Spec::new("sort_ro", -2, Flags::READONLY.and(Flags::MOVABLE_KEYS), Keys::ONE, sort_ro).doc(
        Group::Generic,
        "7.0.0",
        COMPLEXITY,
        "Sorts the elements of a list, set or sorted set.",
    ),
];

/// Whether the command is one that reads keys which are not among its own: only the elements of what
/// it sorts tell which these are.
pub fn reads_other_keys(spec: &Spec, args: Args<'_>) -> bool {
    matches!(spec.name, "sort" | "sort_ro")
        && Request::parse(args, spec.is_write()).is_ok_and(|request| request.looks_up())
}

/// Shows what a lookup found, `None` if that is nothing.
type Found<'f, T> = &'f mut dyn FnMut(Option<&[u8]>) -> Result<T, Stop>;

/// What `BY` or `GET` look up for an element. A zero byte ends the part that is looked at for signs, as
/// it does in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// Nothing: without a `*` it names no key.
    Constant,
    /// The string at a key, or a field of the hash there.
    Key { before: &'a [u8], after: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a [u8]) -> Pattern<'a> {
        let signs = error::quoted(text, usize::MAX);
        let Some(star) = memchr::memchr(b'*', signs) else {
            return if signs == b"#" { Pattern::Element } else { Pattern::Constant };
        };
        let (before, rest) = (&text[..star], &text[star + 1..]);
        let arrow = memchr::memmem::find(&signs[star + 1..], b"->");
        match arrow.filter(|arrow| star + 1 + arrow + 2 < signs.len()) {
            None => Pattern::Key { before, after: rest, field: None },
            Some(arrow) => {
                Pattern::Key { before, after: &rest[..arrow], field: Some(&rest[arrow + 2..]) }
            }
        }
    }

    fn look_up<T>(
        &self,
        (view, keyspace): (&View<'_>, KeyspaceId),
        element: &[u8],
        found: Found<'_, T>,
    ) -> Result<T, Stop> {
        let Pattern::Key { before, after, field } = self else {
            return found((*self == Pattern::Element).then_some(element));
        };
        let key = [before, element, after].concat();
        let read = match field {
            None => string::get(view, keyspace, &key).and_then(|string| {
                string.map(|string| Ok(string.value(view, keyspace)?.into_owned())).transpose()
            }),
            Some(field) => Hash::find(view, keyspace, &key).and_then(|hash| {
                let value = hash.map(|hash| hash.get(view, field)).transpose()?;
                Ok(value.flatten().map(|value| value.into_owned()))
            }),
        };
        match read {
            // What has another type is as good as nothing.
            Err(stop) if stop.is_wrong_type() => found(None),
            read => found(read?.as_deref()),
        }
    }
}

/// What is asked for.
#[derive(Default)]
struct Request<'a> {
    by: Option<Pattern<'a>>,
    get: Vec<Pattern<'a>>,
    /// The arguments of `LIMIT`.
    limit: Option<(i64, i64)>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, can_store: bool) -> Result<Request<'a>, Stop> {
        let mut request = Request::default();
        let args = args.from(2);
        let mut args = args.iter();
        let number = |text| num::parse_i64(text).ok_or(error::NOT_AN_INTEGER);
        while let Some(option) = args.next() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"asc") {
                request.descending = false;
            } else if is(b"desc") {
                request.descending = true;
            } else if is(b"alpha") {
                request.alpha = true;
            } else if is(b"limit") && args.len() >= 2 {
                let mut next = || number(args.next().unwrap_or_default());
                request.limit = Some((next()?, next()?));
            } else if let Some(value) = args.next() {
                match () {
                    () if is(b"store") && can_store => request.store = Some(value),
                    () if is(b"by") => request.by = Some(Pattern::parse(value)),
                    () if is(b"get") => request.get.push(Pattern::parse(value)),
                    () => return Err(error::SYNTAX.into()),
                }
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        Ok(request)
    }

    /// Whether keys are looked up that the elements name.
    fn looks_up(&self) -> bool {
        let is_key = |pattern: &Pattern<'_>| matches!(pattern, Pattern::Key { .. });
        self.by.iter().chain(&self.get).any(is_key)
    }

    /// Whether elements stay as they come.
    fn keeps_order(&self) -> bool {
        !matches!(self.by, None | Some(Pattern::Key { .. }))
    }

    /// Which of so many elements are wanted.
    fn window(&self, len: u64) -> Range<usize> {
        let (first, count) = self.limit.unwrap_or((0, -1));
        let begin = (first.max(0) as u64).min(len);
        let end = u64::try_from(count).map_or(len, |count| begin.saturating_add(count).min(len));
        begin as usize..end as usize
    }
}

/// What is sorted.
enum Source {
    List(List),
    Set(Set),
    SortedSet(SortedSet),
}

impl Source {
    fn find(view: &View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Source>, Stop> {
        let kind = view.find(keyspace, key)?.map(|entry| entry.header.kind);
        Ok(match kind {
            Some(Kind::Set) => Set::find(view, keyspace, key)?.map(Source::Set),
            Some(Kind::SortedSet) => SortedSet::find(view, keyspace, key)?.map(Source::SortedSet),
            _ => List::find(view, keyspace, key)?.map(Source::List),
        })
    }

    /// The elements: those of a window in the order they have, from the end if `descending`, or
    /// all of them.
    fn load(&self, view: &mut View<'_>, request: &Request<'_>) -> Result<Records, Stop> {
        let (mut elements, mut bytes) = (Records::default(), 0);
        let mut take = |element: &[u8]| {
            elements.push(element, &[]);
            bytes += element.len() + SORTED_OVERHEAD_BYTES;
            match bytes > SORTED_BYTES_MAX {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let native = request.keeps_order();
        match self {
            Source::List(list) => {
                let len = list.len();
                let Range { start, end } =
                    if native { request.window(len) } else { 0..len as usize };
                let (count, reverse) = ((end - start) as u64, native && request.descending);
                let first = if reverse { len - end as u64 } else { start as u64 };
                list.range(view, first, count, take)?;
            }
            Source::Set(set) => {
                let mut left = if native { request.window(u64::MAX).end } else { usize::MAX };
                set.collection().walk(view, &mut |element, _| {
                    if left == 0 {
                        return ControlFlow::Break(());
                    }
                    left -= 1;
                    take(keys::split_field(element))
                })?;
            }
            Source::SortedSet(set) => {
                let window = if native { request.window(u64::MAX) } else { 0..usize::MAX };
                let (skip, limit) = (window.start as u64, window.len() as u64);
                let window = Window { skip, limit, reverse: native && request.descending };
                let all = sorted_set::Range::all();
                set.walk(view, &all, window, &mut |member, _| take(member))?;
            }
        }
        if bytes > SORTED_BYTES_MAX { Err(TOO_MANY.into()) } else { Ok(elements) }
    }

    /// The elements that are wanted, in order: numbers of what was loaded.
    fn order(
        &self,
        (view, keyspace): (&View<'_>, KeyspaceId),
        request: &Request<'_>,
        elements: &Records,
    ) -> Result<Vec<u32>, Stop> {
        let len = elements.len();
        let mut order: Vec<u32> = (0..len as u32).collect();
        if request.keeps_order() {
            if let Source::List(List { .. }) = self
                && request.descending
            {
                order.reverse();
            }
            if let Source::Set(_) = self {
                order.drain(..request.window(len as u64).start);
            }
            return Ok(order);
        }
        let weights = Weights::read((view, keyspace), request, elements);
        if weights.as_ref().err() == Some(&Stop::Pending) && request.window(len as u64).len() == len
        {
            // All of them will be shown: what is shown of them is wanted, too.
            let _ = show((view, keyspace), request, elements, &order, &mut |_| Ok(()));
        }
        let weights = weights?;
        order.sort_by(|one, other| {
            let ordering = weights.compare(elements, *one as usize, *other as usize);
            if request.descending { ordering.reverse() } else { ordering }
        });
        let Range { start, end } = request.window(len as u64);
        order.truncate(end);
        order.drain(..start);
        Ok(order)
    }
}

/// What elements are compared by.
enum Weights {
    /// Themselves, whole or up to a zero byte.
    Elements { whole: bool },
    /// Numbers, and themselves where these are equal.
    Numbers(Vec<f64>),
    /// Texts, each with a key that is empty if there is none.
    Texts { texts: Records, whole: bool },
}

impl Weights {
    fn read(
        (view, keyspace): (&View<'_>, KeyspaceId),
        request: &Request<'_>,
        elements: &Records,
    ) -> Result<Weights, Stop> {
        // Redis compares with `strcoll` what it shows to somebody, which ends at a zero byte; its
        // locale is taken to be C.
        let whole = request.store.is_some();
        let (mut numbers, mut texts) = (Vec::new(), Records::default());
        if request.by.is_none() && request.alpha {
            return Ok(Weights::Elements { whole });
        }
        let (by, mut together) = (request.by.unwrap_or(Pattern::Element), Together::default());
        for (element, _) in elements.iter() {
            let read = by.look_up((view, keyspace), element, &mut |weight| {
                if request.alpha {
                    texts.push(
                        if weight.is_some() { b"+" } else { b"" },
                        weight.unwrap_or_default(),
                    );
                } else {
                    let number = weight.map_or(Some(0.0), num::parse_f64_spaced);
                    numbers.push(number.ok_or(NOT_NUMBERS)?);
                }
                Ok(())
            });
            together.take(read)?;
            if elements.bytes() + texts.bytes() + texts.len() * SORTED_OVERHEAD_BYTES
                > SORTED_BYTES_MAX
            {
                return Err(TOO_MANY.into());
            }
        }
        together.end()?;
        Ok(match request.alpha {
            true => Weights::Texts { texts, whole },
            false => Weights::Numbers(numbers),
        })
    }

    fn compare(&self, elements: &Records, one: usize, other: usize) -> Ordering {
        let cut = |text, whole| if whole { text } else { error::quoted(text, usize::MAX) };
        let element = |index| elements.get(index).0;
        match self {
            Weights::Elements { whole } => {
                cut(element(one), *whole).cmp(cut(element(other), *whole))
            }
            Weights::Numbers(numbers) => numbers[one]
                .partial_cmp(&numbers[other])
                .unwrap_or(Ordering::Equal)
                .then_with(|| element(one).cmp(element(other))),
            Weights::Texts { texts, whole } => {
                let text = |index| {
                    let (is_there, text) = texts.get(index);
                    (is_there, cut(text, *whole))
                };
                text(one).cmp(&text(other))
            }
        }
    }
}

/// Shows what is asked for of elements: themselves, or what is looked up for each.
fn show(
    at: (&View<'_>, KeyspaceId),
    request: &Request<'_>,
    elements: &Records,
    order: &[u32],
    found: Found<'_, ()>,
) -> Outcome {
    let mut together = Together::default();
    let get = if request.get.is_empty() { &[Pattern::Element][..] } else { &request.get };
    for index in order {
        for pattern in get {
            let (element, _) = elements.get(*index as usize);
            together.take(pattern.look_up(at, element, found))?;
        }
    }
    together.end()
}

fn sort(ctx: &mut Ctx<'_, '_>) -> Outcome {
    run(ctx, true)
}

fn sort_ro(ctx: &mut Ctx<'_, '_>) -> Outcome {
    run(ctx, false)
}

fn run(ctx: &mut Ctx<'_, '_>, can_store: bool) -> Outcome {
    let mut request = Request::parse(ctx.args, can_store)?;
    let keyspace = ctx.keyspace()?;
    let source = Source::find(ctx.view, keyspace, ctx.arg(1))?;
    if request.keeps_order() && request.store.is_some() && matches!(source, Some(Source::Set(_))) {
        // What is stored does not depend on an order that means nothing.
        (request.by, request.alpha) = (None, true);
    }
    let (mut elements, mut order) = (Records::default(), Vec::new());
    if let Some(source) = source {
        elements = source.load(ctx.view, &request)?;
        order = source.order((ctx.view, keyspace), &request, &elements)?;
    }
    match request.store {
        Some(target) => store(ctx, keyspace, &request, (&elements, &order), target),
        None => reply(ctx, keyspace, &request, (&elements, &order)),
    }
}

fn reply(
    ctx: &mut Ctx<'_, '_>,
    keyspace: KeyspaceId,
    request: &Request<'_>,
    (elements, order): (&Records, &[u32]),
) -> Outcome {
    let limit = ctx.server.config.output_buffer_limit;
    let Ctx { view, reply, .. } = ctx;
    reply.array(order.len() * request.get.len().max(1));
    show((view, keyspace), request, elements, order, &mut |value| {
        match value {
            Some(value) => reply.bulk(value),
            None => reply.null(),
        }
        if reply.len() > limit { Err(Stop::Unread) } else { Ok(()) }
    })
}

fn store(
    ctx: &mut Ctx<'_, '_>,
    keyspace: KeyspaceId,
    request: &Request<'_>,
    (elements, order): (&Records, &[u32]),
    target: &[u8],
) -> Outcome {
    let (mut items, mut together) = (Records::default(), Together::default());
    let shown = show((ctx.view, keyspace), request, elements, order, &mut |value| {
        items.push(value.unwrap_or_default(), &[]);
        match items.bytes() + items.len() * MUTATION_OVERHEAD_BYTES > TRANSACTION_BYTES_MAX {
            true => Err(Stop::TooLarge),
            false => Ok(()),
        }
    });
    together.take(shown)?;
    let prior = together.take(ctx.view.prior(keyspace, target))?;
    together.end()?;
    let Some(prior) = prior else { return Err(Stop::Pending) };
    let values = (0..items.len()).map(|index| items.get(index).0);
    List::store(ctx.view, keyspace, target, values, 0, prior)?;
    ctx.reply.integer(items.len() as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_redis_reads_them() {
        let key = |before, after, field| Pattern::Key { before, after, field };
        for (text, pattern) in [
            (&b"#"[..], Pattern::Element),
            (b"#\0*", Pattern::Element),
            (b"", Pattern::Constant),
            (b"nosort", Pattern::Constant),
            (b"a\0*", Pattern::Constant),
            (b"*", key(b"", b"", None)),
            (b"a*b*c", key(b"a", b"b*c", None)),
            (b"a*b->c", key(b"a", b"b", Some(b"c"))),
            (b"a*b->", key(b"a", b"b->", None)),
            (b"a->b*c", key(b"a->b", b"c", None)),
            (b"*->a->b", key(b"", b"", Some(b"a->b"))),
            (b"*a\0->b", key(b"", b"a\0->b", None)),
            (b"*->a\0b", key(b"", b"", Some(b"a\0b"))),
        ] {
            assert_eq!(Pattern::parse(text), pattern, "{}", text.escape_ascii());
        }
    }
}

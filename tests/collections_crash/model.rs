//! What a client knows of its own keys: all the states they could be in.
//!
//! Most commands have one outcome. `SPOP` and a key that may just have expired have several; those that
//! would have been answered differently are ruled out by the reply.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::common::{Reply, text};

pub type Bytes = Arc<[u8]>;
/// A command.
pub type Args = Vec<Vec<u8>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    String(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
    List(Vec<Bytes>),
    Set(BTreeSet<Bytes>),
    SortedSet(BTreeMap<Bytes, i64>),
}

impl Value {
    fn is_empty(&self) -> bool {
        match self {
            Value::String(_) => false,
            Value::Hash(fields) => fields.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Set(members) => members.is_empty(),
            Value::SortedSet(members) => members.is_empty(),
        }
    }
}

/// What is at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub value: Value,
    /// It expires between these times, in Unix milliseconds.
    pub expires: Option<(i64, i64)>,
}

/// Something happened not before the one and not after the other, in Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct When {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// Everything at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State(pub BTreeMap<Vec<u8>, Arc<Held>>);

/// One or more commands that happen together or not at all.
#[derive(Clone, Debug)]
pub struct Request {
    pub commands: Vec<Args>,
    pub is_block: bool,
}

#[derive(Clone, Debug)]
pub struct Model {
    /// After the last acknowledged request.
    possible: Vec<State>,
    /// Not acknowledged, in the order and with the time they were sent; a prefix may have happened.
    in_flight: VecDeque<(Request, i64)>,
}

impl Default for Model {
    fn default() -> Model {
        Model { possible: vec![State::default()], in_flight: VecDeque::new() }
    }
}

impl Model {
    pub fn sent(&mut self, request: Request, now_ms: i64) {
        self.in_flight.push_back((request, now_ms));
    }

    /// The reply to the first request in flight has come.
    pub fn acknowledged(&mut self, reply: &Reply, now_ms: i64) {
        let (request, from_ms) = self.in_flight.pop_front().unwrap();
        let when = When { from_ms, to_ms: now_ms };
        let before = self.possible.clone();
        self.possible = after(std::mem::take(&mut self.possible), &request, when, Some(reply));
        if self.possible.is_empty() {
            let commands = request.commands.iter().map(|args| text::command(args));
            let commands = commands.collect::<Vec<_>>().join("\n  ");
            let reply = text::render(reply, text::Now::NEVER);
            let any = after(before.clone(), &request, when, None);
            let differences = difference(&before[0], &any[0]);
            panic!("{when:?}\n  {commands}\nanswered {reply}, should do:\n{differences}");
        }
    }

    /// Compares with what is there, and takes that over. Nothing has happened after `when`.
    pub fn check(&mut self, actual: State, when: When, who: &str) {
        let mut possible = std::mem::take(&mut self.possible);
        let mut differences = Vec::new();
        let mut in_flight = std::mem::take(&mut self.in_flight).into_iter();
        loop {
            if possible.iter().any(|state| state.can_be(&actual, when)) {
                self.possible = vec![actual];
                return;
            }
            differences.push(difference(&possible[0], &actual));
            let Some((request, from_ms)) = in_flight.next() else { break };
            let when = When { from_ms, to_ms: when.to_ms };
            possible = after(possible, &request, when, None);
        }
        let (count, text) = (differences.len() - 1, differences.join("\n  --\n"));
        panic!("{who}: no prefix of {count} in flight explains this:\n{text}");
    }

    /// The state that was found by the last check.
    pub fn known(&self) -> &State {
        assert_eq!((self.possible.len(), self.in_flight.len()), (1, 0));
        &self.possible[0]
    }
}

fn difference(expected: &State, actual: &State) -> String {
    let keys: BTreeSet<_> = expected.0.keys().chain(actual.0.keys()).collect();
    let shown = |held: Option<&Arc<Held>>| {
        held.map_or("nothing".to_owned(), |held| {
            format!("{} {:?}", words(&held.value).join(" "), held.expires)
        })
    };
    let differ = keys.into_iter().filter(|key| expected.0.get(*key) != actual.0.get(*key));
    let lines = differ.map(|key| {
        let (one, other) = (shown(expected.0.get(key)), shown(actual.0.get(key)));
        format!("  {}: expected {one}\n    is {other}", text::argument(key))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn words(value: &Value) -> Vec<String> {
    let pair = |(name, value): (&Bytes, &Bytes)| {
        format!("{}={}", text::argument(name), text::argument(value))
    };
    match value {
        Value::String(bytes) => vec![text::argument(bytes)],
        Value::Hash(fields) => fields.iter().map(pair).collect(),
        Value::List(items) => items.iter().map(|item| text::argument(item)).collect(),
        Value::Set(members) => members.iter().map(|member| text::argument(member)).collect(),
        Value::SortedSet(members) => members
            .iter()
            .map(|(name, score)| format!("{}={score}", text::argument(name)))
            .collect(),
    }
}

/// The states after a request, of those in which it would be answered like this.
fn after(before: Vec<State>, request: &Request, when: When, reply: Option<&Reply>) -> Vec<State> {
    let mut states = before;
    for (index, args) in request.commands.iter().enumerate() {
        let reply = reply.map(|reply| if request.is_block { &reply.items()[index] } else { reply });
        let mut next: Vec<State> = Vec::new();
        for (state, expected) in states.iter().flat_map(|state| state.execute(args, when)) {
            let is_answer =
                |reply: &Reply| *reply == expected || reply.is_error() && expected.is_error();
            if reply.is_none_or(is_answer) && !next.contains(&state) {
                next.push(state);
            }
        }
        states = next;
    }
    states
}

fn error() -> Reply {
    Reply::Error(Vec::new())
}

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

fn bulk(bytes: &[u8]) -> Reply {
    Reply::Bulk(bytes.to_vec())
}

fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

/// How many of `args` it is true of.
fn count(args: &[Vec<u8>], mut is: impl FnMut(&[u8]) -> bool) -> Reply {
    Reply::Int(args.iter().filter(|arg| is(arg)).count() as i64)
}

/// Index of a list as a place in it; may be outside.
fn place(index: &[u8], len: usize) -> i64 {
    let index = number(index);
    if index < 0 { index + len as i64 } else { index }
}

impl State {
    /// Whether `actual` can be seen when this is the state.
    fn can_be(&self, actual: &State, when: When) -> bool {
        let is_known = |key| self.0.contains_key(key);
        actual.0.keys().all(is_known)
            && self.0.iter().all(|(key, held)| match (actual.0.get(key), held.expires) {
                (None, expires) => expires.is_some_and(|(low, _)| low <= when.to_ms),
                (Some(found), None) => found == held,
                (Some(found), Some((low, high))) => {
                    let is_in_time = |(at, _)| low <= at && at <= high && high > when.from_ms;
                    found.value == held.value && found.expires.is_some_and(is_in_time)
                }
            })
    }

    /// The states a command may lead to, with its reply in each.
    fn execute(&self, args: &[Vec<u8>], when: When) -> Vec<(State, Reply)> {
        let touched = match &args[0][..] {
            b"RENAME" | b"COPY" | b"SMOVE" => &args[1..3],
            _ => &args[1..2],
        };
        let mut states = vec![self.clone()];
        for key in touched {
            for mut state in std::mem::take(&mut states) {
                match state.0.get(key).and_then(|held| held.expires) {
                    Some((low, high)) if low <= when.to_ms => {
                        if high > when.from_ms {
                            states.push(state.clone());
                        }
                        state.0.remove(key);
                    }
                    _ => {}
                }
                states.push(state);
            }
        }
        let executed = states.into_iter().flat_map(|state| {
            let members = state.0.get(&args[1]).map(|held| &held.value);
            let choices = match members {
                Some(Value::Set(members)) if args[0] == b"SPOP" => {
                    members.iter().cloned().map(Some).collect()
                }
                _ => vec![None],
            };
            choices.into_iter().map(move |choice| {
                let mut state = state.clone();
                let reply = state.apply(args, when, choice);
                (state, reply)
            })
        });
        executed.collect()
    }

    fn apply(&mut self, args: &[Vec<u8>], when: When, choice: Option<Bytes>) -> Reply {
        let name = std::str::from_utf8(&args[0]).unwrap();
        let (key, rest) = (&args[1], &args[2..]);
        match name {
            "HSET" | "HDEL" | "HINCRBY" => self.hash(name, key, rest),
            "RPUSH" | "LPUSH" | "LPOP" | "RPOP" | "LREM" | "LTRIM" | "LSET" | "LINSERT" => {
                self.list(name, key, rest)
            }
            "SADD" | "SREM" | "SPOP" => self.set(name, key, rest, choice),
            "ZADD" | "ZREM" | "ZPOPMIN" | "ZINCRBY" => self.sorted_set(name, key, rest),
            "SMOVE" => self.smove(key, &rest[0], &rest[1]),
            "SET" => {
                let value = Value::String(rest[0][..].into());
                self.0.insert(key.clone(), Arc::new(Held { value, expires: None }));
                ok()
            }
            "DEL" => Reply::Int(i64::from(self.0.remove(key).is_some())),
            "RENAME" => {
                let Some(held) = self.0.remove(key) else { return error() };
                self.0.insert(rest[0].clone(), held);
                ok()
            }
            "COPY" => {
                let Some(held) = self.0.get(key).cloned() else { return Reply::Int(0) };
                self.0.insert(rest[0].clone(), held);
                Reply::Int(1)
            }
            _ => self.expiry(name, key, rest, when),
        }
    }

    fn expiry(&mut self, name: &str, key: &[u8], rest: &[Vec<u8>], when: When) -> Reply {
        let Some(held) = self.0.get_mut(key) else { return Reply::Int(0) };
        let held = Arc::make_mut(held);
        let had = held.expires;
        let later = |ms| Some((when.from_ms + ms, when.to_ms + ms));
        held.expires = match name {
            "PERSIST" => None,
            "EXPIRE" => later(number(&rest[0]) * 1000),
            "PEXPIRE" => later(number(&rest[0])),
            "PEXPIREAT" => Some((number(&rest[0]), number(&rest[0]))),
            _ => panic!("no model of {name}"),
        };
        Reply::Int(i64::from(name != "PERSIST" || had.is_some()))
    }

    /// Does something to what is at a key, or to `empty`; nothing is left of what is empty then.
    fn edit(&mut self, key: &[u8], empty: Value, f: impl FnOnce(&mut Value) -> Reply) -> Reply {
        let new = || Arc::new(Held { value: empty, expires: None });
        let held = Arc::make_mut(self.0.entry(key.to_vec()).or_insert_with(new));
        let reply = f(&mut held.value);
        if held.value.is_empty() {
            self.0.remove(key);
        }
        reply
    }

    fn hash(&mut self, name: &str, key: &[u8], rest: &[Vec<u8>]) -> Reply {
        self.edit(key, Value::Hash(BTreeMap::new()), |value| {
            let Value::Hash(fields) = value else { return error() };
            match name {
                "HSET" => {
                    let pairs = rest.chunks(2);
                    let new = pairs.filter(|pair| {
                        fields.insert(pair[0][..].into(), pair[1][..].into()).is_none()
                    });
                    Reply::Int(new.count() as i64)
                }
                "HDEL" => count(rest, |field| fields.remove(field).is_some()),
                _ => {
                    let old = fields.get(&rest[0][..]).map_or(0, |value| number(value));
                    let new = old + number(&rest[1]);
                    fields.insert(rest[0][..].into(), new.to_string().as_bytes().into());
                    Reply::Int(new)
                }
            }
        })
    }

    fn list(&mut self, name: &str, key: &[u8], rest: &[Vec<u8>]) -> Reply {
        self.edit(key, Value::List(Vec::new()), |value| {
            let Value::List(items) = value else { return error() };
            let len = items.len();
            match name {
                "RPUSH" => items.extend(rest.iter().map(|item| Bytes::from(&item[..]))),
                "LPUSH" => {
                    items.splice(..0, rest.iter().rev().map(|item| Bytes::from(&item[..])));
                }
                "LPOP" if len == 0 => return Reply::NilBulk,
                "LPOP" => return bulk(&items.remove(0)),
                "RPOP" => return items.pop().map_or(Reply::NilBulk, |item| bulk(&item)),
                "LREM" => return lrem(items, number(&rest[0]), &rest[1]),
                "LTRIM" => {
                    let first = place(&rest[0], len).max(0) as usize;
                    let end = (place(&rest[1], len) + 1).clamp(0, len as i64) as usize;
                    *items = items.get(first..end).unwrap_or_default().to_vec();
                    return ok();
                }
                "LSET" => {
                    let place = place(&rest[0], len);
                    if !(0..len as i64).contains(&place) {
                        return error();
                    }
                    items[place as usize] = rest[1][..].into();
                    return ok();
                }
                _ if len == 0 => return Reply::Int(0),
                _ => match items.iter().position(|item| **item == *rest[1]) {
                    Some(place) => {
                        let place = place + usize::from(rest[0] == b"AFTER");
                        items.insert(place, rest[2][..].into());
                    }
                    None => return Reply::Int(-1),
                },
            }
            Reply::Int(items.len() as i64)
        })
    }

    fn set(&mut self, name: &str, key: &[u8], rest: &[Vec<u8>], choice: Option<Bytes>) -> Reply {
        self.edit(key, Value::Set(BTreeSet::new()), |value| {
            let Value::Set(members) = value else { return error() };
            match name {
                "SADD" => count(rest, |member| members.insert(member.into())),
                "SREM" => count(rest, |member| members.remove(member)),
                _ => choice.map_or(Reply::NilBulk, |member| {
                    members.remove(&member);
                    bulk(&member)
                }),
            }
        })
    }

    fn smove(&mut self, from: &[u8], to: &[u8], member: &[u8]) -> Reply {
        let Some(source) = self.0.get(from) else { return Reply::Int(0) };
        let is_set = |held: &Arc<Held>| matches!(held.value, Value::Set(_));
        if !is_set(source) || self.0.get(to).is_some_and(|held| !is_set(held)) {
            return error();
        }
        let member = [member.to_vec()];
        if from == to {
            let Value::Set(members) = &source.value else { return error() };
            return Reply::Int(i64::from(members.contains(&member[0][..])));
        }
        let moved = self.set("SREM", from, &member, None);
        if moved == Reply::Int(1) {
            self.set("SADD", to, &member, None);
        }
        moved
    }

    fn sorted_set(&mut self, name: &str, key: &[u8], rest: &[Vec<u8>]) -> Reply {
        self.edit(key, Value::SortedSet(BTreeMap::new()), |value| {
            let Value::SortedSet(members) = value else { return error() };
            match name {
                "ZADD" => {
                    let pairs = rest.chunks(2);
                    let new = pairs.filter(|pair| {
                        members.insert(pair[1][..].into(), number(&pair[0])).is_none()
                    });
                    Reply::Int(new.count() as i64)
                }
                "ZREM" => count(rest, |member| members.remove(member).is_some()),
                "ZPOPMIN" => {
                    let mut ordered: Vec<_> =
                        members.iter().map(|(member, score)| (*score, member.clone())).collect();
                    ordered.sort();
                    ordered.truncate(number(&rest[0]) as usize);
                    members.retain(|member, score| !ordered.contains(&(*score, member.clone())));
                    let pair = |(score, member): &(i64, Bytes)| {
                        [bulk(member), bulk(score.to_string().as_bytes())]
                    };
                    Reply::Array(ordered.iter().flat_map(pair).collect())
                }
                _ => {
                    let score = members.entry(rest[1][..].into()).or_default();
                    *score += number(&rest[0]);
                    bulk(score.to_string().as_bytes())
                }
            }
        })
    }
}

fn lrem(items: &mut Vec<Bytes>, wanted: i64, item: &[u8]) -> Reply {
    let mut left = if wanted == 0 { i64::MAX } else { wanted.abs() };
    let before = items.len();
    let mut keep = |kept: &Bytes| {
        let goes = left > 0 && **kept == *item;
        left -= i64::from(goes);
        !goes
    };
    if wanted < 0 {
        items.reverse();
        items.retain(&mut keep);
        items.reverse();
    } else {
        items.retain(&mut keep);
    }
    Reply::Int((before - items.len()) as i64)
}

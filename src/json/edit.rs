//! Changes inside a tree.
//!
//! A command finds all places first and changes them one by one, so the order matters: what is changed
//! must not move what is still to be changed ([`innermost_first`], [`outermost`]).

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::parse::number;
use super::path::{Index, Place, Step, place_of};
use super::print::{is_integer, print};
use crate::error::Stop;
use crate::limits::JSON_DEPTH_MAX;

/// The value at a place, if it is still there.
pub fn at<'d>(root: &'d mut Value, place: &[Step]) -> Option<&'d mut Value> {
    place.iter().try_fold(root, |value, step| match (value, step) {
        (Value::Object(members), Step::Name(name)) => members.get_mut(name),
        (Value::Array(items), Step::At(index)) => items.get_mut(*index),
        _ => None,
    })
}

/// The order in which elements can be added and removed at several places, as their numbers: what is
/// inside another or behind it in an array comes first.
pub fn innermost_first(places: &[Place]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&number| Reverse(&places[number]));
    order
}

/// The places that are inside no other, each once, and those behind in an array first.
pub fn outermost(mut places: Vec<Place>) -> Vec<Place> {
    places.sort_unstable();
    places.dedup_by(|inner, outer| inner.starts_with(outer));
    places.reverse();
    places
}

/// Removes the values at places that [`outermost`] gave, none of them the root; how many there were.
/// The members or elements of each container go at once: one by one would take quadratic time.
pub fn remove_all(root: &mut Value, places: &[Place]) -> usize {
    let siblings = places.chunk_by(|left, right| parents(left) == parents(right));
    siblings.map(|siblings| remove_siblings(root, siblings)).sum()
}

fn parents(place: &Place) -> &[Step] {
    place.split_last().map_or(&[], |(_, parents)| parents)
}

fn remove_siblings(root: &mut Value, siblings: &[Place]) -> usize {
    // They are sorted, the greatest first.
    let is_gone = |step: &Step| {
        siblings.binary_search_by(|place| step.cmp(place.last().unwrap_or(step))).is_ok()
    };
    match siblings.first().and_then(|first| at(root, parents(first))) {
        Some(Value::Object(members)) => {
            let before = members.len();
            members.retain(|name, _| !is_gone(&Step::Name(name.clone())));
            before - members.len()
        }
        Some(Value::Array(items)) => {
            let before = items.len();
            let mut index = 0;
            items.retain(|_| {
                index += 1;
                !is_gone(&Step::At(index - 1))
            });
            before - items.len()
        }
        _ => 0,
    }
}

/// Gives the object that all steps but the last lead to a new member of the last one's name; `false`
/// if there is no such object, or it has that member.
pub fn add_member(root: &mut Value, steps: &[Index], value: Value) -> bool {
    let Some((Index::Name(name), parents)) = steps.split_last() else { return false };
    let parent = place_of(root, parents).and_then(|place| at(root, &place));
    match parent {
        Some(Value::Object(members)) if !members.contains_key(name) => {
            members.insert(name.clone(), value);
            true
        }
        _ => false,
    }
}

/// Merges a patch into a value (RFC 7396).
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { unreachable!("it was made one") };
    let mut removed = BTreeSet::new();
    for (name, value) in patch {
        if value.is_null() {
            removed.insert(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
    if !removed.is_empty() {
        // All at once: one by one would take quadratic time.
        members.retain(|name, _| !removed.contains(name));
    }
}

/// What to do to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Add the operand.
    Add,
    /// Multiply by the operand.
    Multiply,
}

/// The result of an operation. Integers stay integers, and must fit into 64 bits, signed or not;
/// otherwise both are taken for doubles.
pub fn calculate(left: &Number, operation: Operation, right: &Number) -> Result<Number, Stop> {
    if is_integer(left) && is_integer(right) {
        let exact = |number: &Number| number.as_str().parse::<i128>().ok();
        let result = exact(left).zip(exact(right)).and_then(|(left, right)| match operation {
            Operation::Add => left.checked_add(right),
            Operation::Multiply => left.checked_mul(right),
        });
        let fits = |result: &i128| (i64::MIN.into()..=u64::MAX.into()).contains(result);
        let result = result.filter(fits).ok_or("ERR numeric overflow")?;
        return Ok(number(result.to_string()));
    }
    let result = left.as_f64().zip(right.as_f64()).map(|(left, right)| match operation {
        Operation::Add => left + right,
        Operation::Multiply => left * right,
    });
    Ok(result.and_then(Number::from_f64).ok_or("ERR result is not a number")?)
}

/// Whether `JSON.CLEAR` would change the value.
pub fn can_clear(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(_) | Value::Bool(_) | Value::Null => false,
    }
}

/// Empties a container, or makes a number 0.
pub fn clear(value: &mut Value) {
    match value {
        Value::Array(items) => items.clear(),
        Value::Object(members) => members.clear(),
        Value::Number(old) => *old = Number::from(0),
        Value::String(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Whether two values are the same: integers by value, other numbers as doubles, and never an integer
/// and a double; objects whatever the order of their members.
pub fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => is_same_number(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| is_same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(name, value)| right.get(name).is_some_and(|other| is_same(value, other));
            left.len() == right.len() && left.iter().all(same)
        }
        _ => left == right,
    }
}

fn is_same_number(left: &Number, right: &Number) -> bool {
    if left.as_str() == right.as_str() {
        return true;
    }
    match (is_integer(left), is_integer(right)) {
        // Only zero can be written in two ways.
        (true, true) => left.as_i64() == Some(0) && right.as_i64() == Some(0),
        (false, false) => left.as_f64() == right.as_f64(),
        _ => false,
    }
}

/// The text of a changed document; an error if it nests too deep now.
pub fn finish(root: &Value) -> Result<Vec<u8>, Stop> {
    if depth(root) > JSON_DEPTH_MAX {
        return Err(
            format!("ERR the document would nest deeper than {JSON_DEPTH_MAX} levels").into()
        );
    }
    Ok(print(root))
}

/// Levels of containers in a value.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

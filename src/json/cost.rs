//! What evaluating a path may cost at most.
//!
//! Each `..` after another can find a value once for every level above it, a path from the root inside
//! a filter is evaluated anew for each candidate, and filters nest: a short path can keep a processor
//! busy for hours, or fill the memory with what it finds. The bound found here holds for the worst
//! document with as many values and levels as the one at hand. It counts values that are looked at.

use serde_json::Value;

use super::lexer::{Filter, Segment, Selector};
use crate::limits::{JSON_SEARCH_COST, JSON_SEARCH_DYNAMIC_COST};

/// What a document is to a path.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Values in it.
    values: u64,
    /// Levels of containers.
    levels: u64,
}

impl Size {
    /// The size of a document.
    pub fn of(root: &Value) -> Size {
        fn count(value: &Value, level: u64, size: &mut Size) {
            size.values += 1;
            size.levels = size.levels.max(level);
            match value {
                Value::Array(items) => items.iter().for_each(|item| count(item, level + 1, size)),
                Value::Object(map) => map.values().for_each(|item| count(item, level + 1, size)),
                _ => {}
            }
        }
        let mut size = Size { values: 0, levels: 0 };
        count(root, 1, &mut size);
        size
    }
}

/// A list of values that a path has found so far.
#[derive(Clone, Copy)]
struct Found {
    /// How many there are.
    total: u64,
    /// How many times one value can be among them.
    repeats: u64,
}

/// Bytes of an expression that cost as much as a value.
const LITERAL_BYTES: u64 = 8;

const ROOT: Found = Found { total: 1, repeats: 1 };

/// The cost of a path's evaluation on a document of that size.
pub fn cost(segments: &[Segment], size: Size) -> u64 {
    walk(segments, ROOT, size)
}

fn walk(segments: &[Segment], start: Found, size: Size) -> u64 {
    let mut cost: u64 = 1;
    let mut found = start;
    for segment in segments {
        let applied = applied(segment, found, size);
        let children = size.values.saturating_mul(applied.repeats);
        cost = cost.saturating_add(applied.total);
        found = Found { total: 0, repeats: 0 };
        for selector in &segment.selectors {
            let (results, work) = match selector {
                Selector::Name(_) | Selector::Index(_) => (applied.total, 1),
                Selector::Many => (children, children),
                Selector::Filter(filter) => (children, filtering(filter, applied, size)),
            };
            cost = cost.saturating_add(work);
            found.total = found.total.saturating_add(results);
            found.repeats = found.repeats.saturating_add(applied.repeats);
        }
        found.total = found.total.min(size.values.saturating_mul(found.repeats));
    }
    cost
}

/// The values a segment's selectors are applied to.
fn applied(segment: &Segment, found: Found, size: Size) -> Found {
    match (segment.descends, found.total) {
        (false, _) => found,
        (true, 1) => Found { total: size.values, repeats: 1 },
        (true, _) => {
            let repeats = found.repeats.saturating_mul(size.levels);
            Found { total: size.values.saturating_mul(repeats), repeats }
        }
    }
}

fn filtering(filter: &Filter, applied: Found, size: Size) -> u64 {
    let total = size.values.saturating_mul(applied.repeats);
    let candidates = Found { total, repeats: applied.repeats };
    let searches = filter.searches.saturating_mul(JSON_SEARCH_COST);
    let dynamic = filter.dynamic_searches.saturating_mul(JSON_SEARCH_DYNAMIC_COST);
    // Literals are looked at too; each takes a few bytes of the expression.
    let literals = 1 + filter.bytes as u64 / LITERAL_BYTES;
    let each = searches.saturating_add(dynamic).saturating_add(literals);
    let mut cost = total.saturating_mul(each);
    for (is_absolute, path) in &filter.paths {
        let work = if *is_absolute {
            total.saturating_mul(walk(path, ROOT, size))
        } else {
            walk(path, candidates, size)
        };
        cost = cost.saturating_add(work);
    }
    cost
}

//! JSON documents: text, trees, JSONPath and edits. Knows nothing of commands and the store.
//!
//! A document is kept as *compact text*: no space between tokens, no escape that is not needed,
//! members in their order, each name once, and every number as it was written. Text that comes from a
//! client is checked by one pass of simd-json, whose structural index also tells whether it is
//! compact already ([`compact`]). Only what has to look inside builds a tree ([`parse`]), in which a
//! number is its text. Paths are [`Path`], and what they may cost is bounded before they are
//! evaluated; [`edit`] changes trees.
//!
//! Of several members with one name the last counts, at the place of the first, as in RedisJSON.

mod cost;
pub mod edit;
mod functions;
mod known;
mod lexer;
mod parse;
mod path;
mod print;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::error::Stop;

pub use parse::{compact, parse, parse_arg};
pub use path::{Index, Path, Place, Search, Step};
pub use print::{Format, is_integer, pretty, print};
pub use serde_json::{Number, Value};

/// So many paths are followed through the parser's nodes, which takes time for each, rather than in a
/// tree, which takes more time to be built.
const PATHS_WITHOUT_TREE_MAX: usize = 8;

/// The compact text of a stored string, which is checked only if this process has not seen it yet.
pub fn stored(text: &[u8]) -> Result<Cow<'_, [u8]>, Stop> {
    if known::is_known(text) {
        return Ok(Cow::Borrowed(text));
    }
    let compact = parse::compact_stored(text)?;
    if compact == text {
        known::note(text);
    }
    Ok(compact)
}

/// Shows `then` the values that each path leads to in a stored string.
pub fn look_up<T>(
    text: &[u8],
    paths: &[Path<'_>],
    then: impl FnOnce(&[Vec<&Value>]) -> Result<T, Stop>,
) -> Result<T, Stop> {
    if paths.len() <= PATHS_WITHOUT_TREE_MAX && paths.iter().all(|path| path.fixed().is_some()) {
        let parts = parse::parse_parts(text, paths.iter().filter_map(Path::fixed))?;
        return then(&parts.iter().map(|part| part.iter().collect()).collect::<Vec<_>>());
    }
    let root = parse(text)?;
    let mut search = Search::new(&root);
    let lists: Vec<_> = paths.iter().map(|path| search.find(path)).collect::<Result<_, Stop>>()?;
    then(&lists)
}

/// Remembers that `text` is compact, so that [`stored`] need not find out.
pub fn note_compact(text: &[u8]) {
    known::note(text);
}

//! From text to compact text, and to trees.
//!
//! simd-json does not keep the text of numbers, so they are taken from the input, at the places its
//! structural index gives: the index has the first byte of every token, in order.

use std::borrow::Cow;
use std::cell::RefCell;

use serde_json::{Map, Number, Value};
use simd_json::{Buffers, ErrorType, INPUT_PADDING, Node, StaticNode, Tape};

use super::path::Index;
use super::print;
use crate::error::Stop;
use crate::limits::{JSON_BUFFER_BYTES_MAX, JSON_DEPTH_MAX, JSON_TREE_NODES_MAX};

/// The compact form of a document that a client sent.
pub fn compact(text: &[u8]) -> Result<Cow<'_, [u8]>, Stop> {
    with_parsed(text, "ERR invalid JSON", |parsed| parsed.compact())
}

/// As [`compact`], for a string that lies at a key.
pub fn compact_stored(text: &[u8]) -> Result<Cow<'_, [u8]>, Stop> {
    with_parsed(text, STORED, |parsed| parsed.compact())
}

/// The tree of a string that lies at a key.
pub fn parse(text: &[u8]) -> Result<Value, Stop> {
    with_parsed(text, STORED, |parsed| parsed.tree_at(0))
}

/// Of a string that lies at a key, the trees of the values that steps lead to, one for each list of
/// steps. The rest of the document costs nothing but being validated.
pub fn parse_parts<'s>(
    text: &[u8],
    lists: impl Iterator<Item = &'s [Index]>,
) -> Result<Vec<Option<Value>>, Stop> {
    with_parsed(text, STORED, |parsed| {
        let part = |steps| match parsed.node_at(steps) {
            Some(at) => parsed.tree_at(at).map(Some),
            None => Ok(None),
        };
        lists.map(part).collect()
    })
}

/// The tree of a value that a client sent.
pub fn parse_arg(text: &[u8]) -> Result<Value, Stop> {
    with_parsed(text, "ERR invalid JSON", |parsed| parsed.tree_at(0))
}

const STORED: &str = "ERR the string at this key is not JSON";

/// Memory that parsing needs, kept by each thread.
struct Scratch {
    /// The text, in which simd-json resolves escapes.
    bytes: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Scratch {
    fn new() -> Scratch {
        let buffers = Buffers::with_max_depth(0, JSON_DEPTH_MAX);
        Scratch { bytes: Vec::new(), buffers, tape: Tape(Vec::new()) }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// A document that is valid JSON.
struct Parsed<'t, 'p> {
    source: &'t [u8],
    nodes: &'p [Node<'p>],
    /// Where the tokens begin.
    tokens: &'p [u32],
}

/// Validates `text` and shows it to `then`; `what` begins the error if it is not JSON.
fn with_parsed<'t, T>(
    text: &'t [u8],
    what: &str,
    then: impl FnOnce(Parsed<'t, '_>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    SCRATCH.with_borrow_mut(|scratch| {
        let Scratch { bytes, buffers, tape } = scratch;
        bytes.clear();
        bytes.reserve(text.len() + INPUT_PADDING);
        bytes.extend_from_slice(text);
        bytes.resize(text.len() + INPUT_PADDING, 0);
        let mut used = std::mem::replace(tape, Tape(Vec::new())).reset();
        let result = simd_json::fill_tape_padded(bytes, text.len(), buffers, &mut used)
            .map_err(|error| refusal(what, &error))
            .and_then(|()| {
                let tokens = buffers.structural_indexes();
                then(Parsed { source: text, nodes: &used.0, tokens })
            });
        *tape = used.reset();
        if text.len() > JSON_BUFFER_BYTES_MAX {
            *scratch = Scratch::new();
        }
        result
    })
}

fn refusal(what: &str, error: &simd_json::Error) -> Stop {
    let reason = match error.error() {
        ErrorType::Eof => "it is empty",
        ErrorType::DepthLimitExceeded => {
            return format!("{what}: it nests deeper than {JSON_DEPTH_MAX} levels").into();
        }
        ErrorType::InvalidUtf8 => "it is not UTF-8",
        ErrorType::InvalidNumber => "a number is malformed or out of range",
        ErrorType::InvalidEscape | ErrorType::InvalidUnicodeCodepoint => "an escape is malformed",
        ErrorType::TrailingData => "something follows the value",
        ErrorType::Syntax => {
            "a string or bracket is not closed, or a control character not escaped"
        }
        _ => "a token is not what is expected there",
    };
    match error.index() {
        0 => format!("{what}: {reason}").into(),
        index => format!("{what}: {reason}, at byte {index}").into(),
    }
}

impl<'t> Parsed<'t, '_> {
    fn compact(&self) -> Result<Cow<'t, [u8]>, Stop> {
        if has_repeated_names(self.nodes) {
            // The tree has each name once.
            return Ok(Cow::Owned(print::print(&self.tree_at(0)?)));
        }
        if self.is_spaceless() && memchr::memchr(b'\\', self.source).is_none() {
            return Ok(Cow::Borrowed(self.source));
        }
        let mut out = Vec::with_capacity(self.source.len());
        Walk::from(self, 0).print(&mut out);
        Ok(Cow::Owned(out))
    }

    /// The tree of the value whose node has this number.
    fn tree_at(&self, at: usize) -> Result<Value, Stop> {
        if nodes_of(&self.nodes[at]) <= JSON_TREE_NODES_MAX {
            return Ok(Walk::from(self, at).tree());
        }
        Err(format!(
            "ERR JSON with more than {JSON_TREE_NODES_MAX} names and values can only be set and \
             read as a whole"
        )
        .into())
    }

    /// The node that steps lead to, as its number.
    fn node_at(&self, steps: &[Index]) -> Option<usize> {
        steps.iter().try_fold(0, |at, step| {
            let mut values = children(self.nodes, at);
            match (&self.nodes[at], step) {
                // Of members with one name the last counts.
                (Node::Object { .. }, Index::Name(name)) => {
                    values.filter(|value| name_of(self.nodes, *value) == name).last()
                }
                (Node::Array { len, .. }, Index::At(index)) => {
                    let from_end = if *index < 0 { *len as i64 } else { 0 };
                    values.nth(usize::try_from(index + from_end).ok()?)
                }
                _ => None,
            }
        })
    }

    /// Whether tokens follow each other immediately: then every byte in front of one ends another.
    fn is_spaceless(&self) -> bool {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let [0, rest @ ..] = self.tokens else { return false };
        !rest.iter().any(|&at| is_space(&self.source[at as usize - 1]))
            && !self.source.last().is_some_and(is_space)
    }
}

/// Whether an object has two members of one name.
fn has_repeated_names(nodes: &[Node<'_>]) -> bool {
    let mut sorted: Vec<&str> = Vec::new();
    (0..nodes.len()).any(|at| {
        let Node::Object { len, .. } = nodes[at] else { return false };
        let mut names = children(nodes, at).map(|value| name_of(nodes, value));
        if len <= NAMES_COMPARED_PAIRWISE {
            return std::iter::from_fn(|| names.next().map(|name| (name, names.clone())))
                .any(|(name, mut later)| later.any(|other| other == name));
        }
        sorted.clear();
        sorted.extend(names);
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| pair[0] == pair[1])
    })
}

/// Up to so many names are compared with each other; more are sorted.
const NAMES_COMPARED_PAIRWISE: usize = 16;

/// The values in a container, as the numbers of their nodes.
#[derive(Clone)]
struct Children<'p> {
    nodes: &'p [Node<'p>],
    next: usize,
    end: usize,
    /// Nodes in front of each value: its name, if it has one.
    names: usize,
}

/// The values in the container whose node has this number; none in anything else.
fn children<'p>(nodes: &'p [Node<'p>], at: usize) -> Children<'p> {
    let (count, names) = match nodes[at] {
        Node::Object { count, .. } => (count, 1),
        Node::Array { count, .. } => (count, 0),
        Node::String(_) | Node::Static(_) => (0, 0),
    };
    Children { nodes, next: at + 1 + names, end: at + 1 + count, names }
}

impl Iterator for Children<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let value = Some(self.next).filter(|next| *next < self.end)?;
        self.next += nodes_of(&self.nodes[value]) + self.names;
        Some(value)
    }
}

/// The name of a member whose value has this node.
fn name_of<'p>(nodes: &'p [Node<'p>], value: usize) -> &'p str {
    match nodes[value - 1] {
        Node::String(name) => name,
        _ => unreachable!("the names of members are strings"),
    }
}

/// How many nodes a value takes.
fn nodes_of(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => 1 + count,
        Node::String(_) | Node::Static(_) => 1,
    }
}

/// Goes through the values of a document in order. Recursion is as deep as the document, which
/// simd-json has bounded.
struct Walk<'w, 't> {
    source: &'t [u8],
    nodes: std::slice::Iter<'w, Node<'w>>,
    tokens: std::slice::Iter<'w, u32>,
}

impl<'w, 't> Walk<'w, 't> {
    /// Begins with the node of this number.
    fn from(parsed: &Parsed<'t, 'w>, at: usize) -> Walk<'w, 't> {
        let (nodes, tokens) = (parsed.nodes.iter(), parsed.tokens.iter());
        let mut walk = Walk { source: parsed.source, nodes, tokens };
        for _ in 0..at {
            match walk.node() {
                Node::Static(StaticNode::Null | StaticNode::Bool(_)) => {}
                Node::Static(_) => _ = walk.number(),
                Node::String(_) | Node::Array { .. } | Node::Object { .. } => {}
            }
        }
        walk
    }

    fn node(&mut self) -> &'w Node<'w> {
        self.nodes.next().expect("containers have as many nodes as they say")
    }

    fn name(&mut self) -> &'w str {
        match self.node() {
            Node::String(name) => name,
            _ => unreachable!("the names of members are strings"),
        }
    }

    /// The text of the next number.
    fn number(&mut self) -> &'t str {
        let mut starts = self.tokens.by_ref().map(|&at| &self.source[at as usize..]);
        let rest = starts.find(|rest| matches!(rest.first(), Some(b'-' | b'0'..=b'9')));
        let rest = rest.expect("every number is a token");
        let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).expect("digits are UTF-8")
    }

    fn tree(&mut self) -> Value {
        match self.node() {
            Node::String(text) => Value::String((*text).to_owned()),
            Node::Static(StaticNode::Null) => Value::Null,
            Node::Static(StaticNode::Bool(flag)) => Value::Bool(*flag),
            Node::Static(_) => Value::Number(number(self.number().to_owned())),
            Node::Array { len, .. } => Value::Array((0..*len).map(|_| self.tree()).collect()),
            Node::Object { len, .. } => {
                let mut members = Map::with_capacity(*len);
                for _ in 0..*len {
                    let name = self.name().to_owned();
                    members.insert(name, self.tree());
                }
                Value::Object(members)
            }
        }
    }

    fn print(&mut self, out: &mut Vec<u8>) {
        match self.node() {
            Node::String(text) => print::string(text, out),
            Node::Static(StaticNode::Null) => out.extend_from_slice(b"null"),
            Node::Static(StaticNode::Bool(true)) => out.extend_from_slice(b"true"),
            Node::Static(StaticNode::Bool(false)) => out.extend_from_slice(b"false"),
            Node::Static(_) => out.extend_from_slice(self.number().as_bytes()),
            Node::Array { len, .. } => {
                out.push(b'[');
                for index in 0..*len {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.print(out);
                }
                out.push(b']');
            }
            Node::Object { len, .. } => {
                out.push(b'{');
                for index in 0..*len {
                    if index > 0 {
                        out.push(b',');
                    }
                    print::string(self.name(), out);
                    out.push(b':');
                    self.print(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// A number with exactly this text, which must be one of JSON's.
pub fn number(text: String) -> Number {
    // Parsing would write exponents anew: 1E5 as 1e+5. The function is hidden because it checks
    // nothing; what is given here was checked by simd-json.
    Number::from_string_unchecked(text)
}

//! Paths: RedisJSON's two notations, and where in a document they lead.
//!
//! What begins with `$`, alone or before a point or bracket, is JSONPath and leads to any number of
//! places. Everything else is a *legacy* path (`.`, `.a`, `a.b[0]`): the same with `$` or `$.` put in
//! front, but commands reply with the first value alone and refuse paths that lead nowhere.

use std::borrow::Cow;

use serde_json::Value;
use serde_json_path::{JsonPath, NormalizedPath, PathElement};

use super::cost::{Size, cost};
use super::lexer::{self, Segment, Selector};
use crate::error::Stop;
use crate::limits::{
    JSON_PATH_BYTES_MAX, JSON_PATH_SHOWN_MAX, JSON_PATH_WORK_MAX, JSON_PLACE_COST,
    JSON_PLACE_NAMES_BYTES_MAX,
};

/// A path, ready to be evaluated.
#[derive(Debug)]
pub struct Path<'t> {
    given: &'t str,
    text: Cow<'t, str>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Names and indices: at most one place.
    Fixed(Vec<Index>),
    /// Anything else.
    Query { query: JsonPath, segments: Vec<Segment> },
}

/// A step of a path that leads to at most one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    /// To the member with this name.
    Name(String),
    /// To the element at this index, from the end if negative.
    At(i64),
}

/// A step to a place that exists. The order of places is that of elements in their array.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To the member with this name.
    Name(String),
    /// To the element at this index.
    At(usize),
}

/// Where a value is in its document.
pub type Place = Vec<Step>;

impl<'t> Path<'t> {
    /// The path that `given` stands for.
    pub fn parse(given: &'t [u8]) -> Result<Path<'t>, Stop> {
        if given.len() > JSON_PATH_BYTES_MAX {
            return Err(format!("ERR a path is longer than {JSON_PATH_BYTES_MAX} bytes").into());
        }
        let given = std::str::from_utf8(given).map_err(|_| "ERR a path is not UTF-8")?;
        let text = match given.as_bytes() {
            [b'$'] | [b'$', b'.' | b'[', ..] => Cow::Borrowed(given),
            // RFC 9535 allows spaces in front of a segment.
            [b'$', b' ' | b'\t' | b'\n' | b'\r', ..] => Cow::Borrowed(given),
            [b'.'] => Cow::Borrowed("$"),
            [b'.', ..] => Cow::Owned(format!("${given}")),
            _ => Cow::Owned(format!("$.{given}")),
        };
        let lexed = lexer::lex(&text).map_err(|(reason, at)| {
            Stop::from(format!("ERR invalid path: {reason}, at byte {at} of '{}'", shown(&text)))
        })?;
        let form = match fixed(&lexed.segments) {
            Some(steps) => Form::Fixed(steps),
            None => {
                let query = JsonPath::parse(&lexed.standard).map_err(|_| {
                    let text = shown(&text);
                    Stop::from(format!("ERR invalid path: a filter is not understood in '{text}'"))
                })?;
                Form::Query { query, segments: lexed.segments }
            }
        };
        Ok(Path { given, text, form })
    }

    /// The path to the whole document that commands assume when none is given.
    pub fn root() -> Path<'static> {
        Path { given: ".", text: Cow::Borrowed("$"), form: Form::Fixed(Vec::new()) }
    }

    /// The path as the client wrote it.
    pub fn given(&self) -> &'t str {
        self.given
    }

    /// The path with the `$` that a legacy path lacks.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a legacy path.
    pub fn is_legacy(&self) -> bool {
        self.given != self.text
    }

    /// Whether it is the whole document.
    pub fn is_root(&self) -> bool {
        self.fixed().is_some_and(<[Index]>::is_empty)
    }

    /// The steps of a path that leads to at most one place, whatever the document.
    pub fn fixed(&self) -> Option<&[Index]> {
        match &self.form {
            Form::Fixed(steps) => Some(steps),
            Form::Query { .. } => None,
        }
    }
}

/// A document in which paths are looked up, and what that may still cost.
pub struct Search<'d> {
    root: &'d Value,
    size: Option<Size>,
    left: u64,
}

impl<'d> Search<'d> {
    /// Nothing is looked up yet.
    pub fn new(root: &'d Value) -> Search<'d> {
        Search { root, size: None, left: JSON_PATH_WORK_MAX }
    }

    /// The values a path leads to, in the order it finds them.
    pub fn find(&mut self, path: &Path<'_>) -> Result<Vec<&'d Value>, Stop> {
        self.charge(path, 1)?;
        match &path.form {
            Form::Fixed(steps) => Ok(follow(self.root, steps).into_iter().collect()),
            Form::Query { query, .. } => Ok(query.query(self.root).all()),
        }
    }

    /// The places a path leads to, in the order it finds them.
    pub fn places(&mut self, path: &Path<'_>) -> Result<Vec<Place>, Stop> {
        self.charge(path, JSON_PLACE_COST)?;
        match &path.form {
            Form::Fixed(steps) => Ok(place_of(self.root, steps).into_iter().collect()),
            Form::Query { query, .. } => {
                let found = query.query_located(self.root);
                let mut names_bytes = 0;
                let place = |location: &NormalizedPath<'_>| -> Result<Place, Stop> {
                    let place: Place = location.iter().map(Step::from).collect();
                    names_bytes += place.iter().map(Step::name_bytes).sum::<usize>();
                    if names_bytes <= JSON_PLACE_NAMES_BYTES_MAX {
                        return Ok(place);
                    }
                    Err("ERR the names on the way to all values at the path are too long".into())
                };
                found.locations().map(place).collect()
            }
        }
    }

    fn charge(&mut self, path: &Path<'_>, times: u64) -> Outcome {
        let cost = match &path.form {
            Form::Fixed(steps) => 1 + steps.len() as u64,
            Form::Query { segments, .. } => {
                cost(segments, *self.size.get_or_insert_with(|| Size::of(self.root)))
            }
        };
        let left = self.left.checked_sub(cost.saturating_mul(times)).ok_or_else(|| {
            let path = shown(path.text());
            let max = JSON_PATH_WORK_MAX;
            format!("ERR looking up '{path}' in this document could take more than {max} steps")
        });
        self.left = left?;
        Ok(())
    }
}

type Outcome = Result<(), Stop>;

/// As much of a path as errors quote.
fn shown(path: &str) -> String {
    path.chars().take(JSON_PATH_SHOWN_MAX).collect()
}

impl Step {
    fn name_bytes(&self) -> usize {
        match self {
            Step::Name(name) => name.len(),
            Step::At(_) => 0,
        }
    }
}

impl From<&PathElement<'_>> for Step {
    fn from(element: &PathElement<'_>) -> Step {
        match element {
            PathElement::Name(name) => Step::Name((*name).to_owned()),
            PathElement::Index(index) => Step::At(*index),
        }
    }
}

/// The steps, if each segment has just one.
fn fixed(segments: &[Segment]) -> Option<Vec<Index>> {
    let step = |segment: &Segment| match (segment.descends, &segment.selectors[..]) {
        (false, [Selector::Name(name)]) => Some(Index::Name(name.clone())),
        (false, [Selector::Index(index)]) => Some(Index::At(*index)),
        _ => None,
    };
    segments.iter().map(step).collect()
}

/// The value that steps from `root` lead to.
fn follow<'d>(root: &'d Value, steps: &[Index]) -> Option<&'d Value> {
    steps.iter().try_fold(root, |value, step| match (value, step) {
        (Value::Object(members), Index::Name(name)) => members.get(name),
        (Value::Array(items), Index::At(index)) => items.get(position(*index, items.len())?),
        _ => None,
    })
}

/// The place that steps from `root` lead to.
pub fn place_of(root: &Value, steps: &[Index]) -> Option<Place> {
    let mut value = root;
    let mut place = Place::with_capacity(steps.len());
    for step in steps {
        let (step, next) = match (value, step) {
            (Value::Object(members), Index::Name(name)) => {
                (Step::Name(name.clone()), members.get(name)?)
            }
            (Value::Array(items), Index::At(index)) => {
                let at = position(*index, items.len())?;
                (Step::At(at), items.get(at)?)
            }
            _ => return None,
        };
        place.push(step);
        value = next;
    }
    Some(place)
}

/// The place of an index that may count from the end.
fn position(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(at).ok()
}

//! Checks on keys that need no Datalog: a query over one `key($k)` whose expressions compare `$k`
//! with constants.
//!
//! What is recognised here means exactly what the Datalog engine makes of it (`tests.rs` compares the
//! two), and can never fail to evaluate: everything else is not recognised, and left to the engine.

use std::collections::HashSet;

use biscuit_auth::builder::{Binary, Check, CheckKind, Op, Rule, Term, Unary};
use regex::{Regex, RegexBuilder};

use crate::limits;

/// A check of a token whose queries on keys were recognised.
#[derive(Debug)]
pub(super) struct KeyCheck {
    kind: CheckKind,
    queries: Vec<KeyQuery>,
    tests: usize,
}

/// All expressions of a query must hold.
#[derive(Debug)]
struct KeyQuery {
    expressions: Vec<Test>,
}

/// What is asked of a key.
#[derive(Debug)]
enum Test {
    Constant(bool),
    Starts(String),
    Ends(String),
    Contains(String),
    Equals(String),
    OneOf(HashSet<String>),
    /// `None`: the engine takes a pattern that is not one for one that matches nothing.
    Matches(Option<Regex>),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
}

/// How a check stands after some of a command's keys.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Of each query by its place: whether it was true of a key.
    any: u64,
    /// Whether it was false of a key.
    none: u64,
    /// Whether there was a key.
    found: bool,
}

impl KeyCheck {
    /// The recognised form of `check`; `None` if its queries on keys are something else. Queries that do
    /// not mention keys are not looked at: they are decided without the keys.
    pub(super) fn of(check: &Check) -> Option<KeyCheck> {
        // The engine has `reject if` with several queries pass if one does not match, by their order.
        if check.kind == CheckKind::Reject && check.queries.len() != 1 {
            return None;
        }
        let on_keys = check.queries.iter().filter(|query| mentions_key(query));
        let mut tests = 0;
        let queries: Vec<KeyQuery> =
            on_keys.map(|query| key_query(query, &mut tests)).collect::<Option<_>>()?;
        let is_small = (1..=u64::BITS as usize).contains(&queries.len());
        is_small.then(|| KeyCheck { kind: check.kind.clone(), queries, tests })
    }

    /// Whether the check holds where there are no keys, so that only keys can make it fail.
    pub(super) fn is_reject(&self) -> bool {
        self.kind == CheckKind::Reject
    }

    /// How much it costs to look at a key.
    pub(super) fn tests(&self) -> usize {
        self.tests
    }

    /// Takes one more key into account.
    pub(super) fn look(&self, key: &str, standing: &mut Standing) {
        standing.found = true;
        for (place, query) in self.queries.iter().enumerate() {
            let holds = query.expressions.iter().all(|test| test.holds(key));
            *(if holds { &mut standing.any } else { &mut standing.none }) |= 1 << place;
        }
    }

    /// Whether the check holds, after all keys.
    pub(super) fn holds(&self, standing: Standing) -> bool {
        let all = u64::MAX >> (u64::BITS as usize - self.queries.len());
        match self.kind {
            CheckKind::One => standing.any != 0,
            CheckKind::All => standing.found && standing.none & all != all,
            CheckKind::Reject => standing.any == 0,
        }
    }
}

/// Whether a query or rule asks for keys.
pub(super) fn mentions_key(rule: &Rule) -> bool {
    rule.body.iter().any(|predicate| predicate.name == "key")
}

fn key_query(query: &Rule, tests: &mut usize) -> Option<KeyQuery> {
    let [predicate] = query.body.as_slice() else { return None };
    let [Term::Variable(variable)] = predicate.terms.as_slice() else { return None };
    // A query has no head worth the name; one that is made up could keep it from matching.
    if !query.head.terms.is_empty() {
        return None;
    }
    let expressions = query.expressions.iter();
    let expressions: Vec<Test> = expressions
        .map(|expression| test(&expression.ops, variable, tests))
        .collect::<Option<_>>()?;
    Some(KeyQuery { expressions })
}

/// What may lie on the stack of an expression.
enum Item<'a> {
    Key,
    Text(&'a str),
    Texts(HashSet<String>),
    Test(Test),
    Lazy(&'a [Op]),
}

/// The test that `ops` make, if they are of the kinds that are recognised.
fn test(ops: &[Op], variable: &str, tests: &mut usize) -> Option<Test> {
    let mut stack: Vec<Item> = Vec::new();
    for op in ops {
        *tests += 1;
        let item = match op {
            Op::Value(term) => value(term, variable)?,
            Op::Unary(Unary::Parens) => stack.pop()?,
            Op::Unary(Unary::Negate) => match stack.pop()? {
                Item::Test(test) => Item::Test(Test::Not(Box::new(test))),
                _ => return None,
            },
            Op::Unary(_) => return None,
            Op::Closure(parameters, ops) if parameters.is_empty() => Item::Lazy(ops),
            Op::Closure(..) => return None,
            Op::Binary(binary) => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                Item::Test(both(binary, left, right, variable, tests)?)
            }
        };
        stack.push(item);
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(Item::Test(test)), true) => Some(test),
        _ => None,
    }
}

fn value<'a>(term: &'a Term, variable: &str) -> Option<Item<'a>> {
    let text = |term: &Term| match term {
        Term::Str(text) => Some(text.clone()),
        _ => None,
    };
    match term {
        Term::Variable(name) if name == variable => Some(Item::Key),
        Term::Str(text) => Some(Item::Text(text)),
        Term::Bool(value) => Some(Item::Test(Test::Constant(*value))),
        Term::Set(terms) => terms.iter().map(text).collect::<Option<_>>().map(Item::Texts),
        Term::Array(terms) => terms.iter().map(text).collect::<Option<_>>().map(Item::Texts),
        _ => None,
    }
}

fn both(
    binary: &Binary,
    left: Item<'_>,
    right: Item<'_>,
    variable: &str,
    tests: &mut usize,
) -> Option<Test> {
    use Binary::{And, Contains, Equal, HeterogeneousEqual, HeterogeneousNotEqual, NotEqual};
    Some(match (binary, left, right) {
        (Binary::Prefix, Item::Key, Item::Text(text)) => Test::Starts(text.to_owned()),
        (Binary::Suffix, Item::Key, Item::Text(text)) => Test::Ends(text.to_owned()),
        (Contains, Item::Key, Item::Text(text)) => Test::Contains(text.to_owned()),
        (Contains, Item::Texts(texts), Item::Key) => Test::OneOf(texts),
        (Binary::Regex, Item::Key, Item::Text(text)) => {
            *tests += limits::TOKEN_PATTERN_TESTS;
            Test::Matches(pattern(text).ok()?)
        }
        (Equal | HeterogeneousEqual, Item::Key, Item::Text(text))
        | (Equal | HeterogeneousEqual, Item::Text(text), Item::Key) => {
            Test::Equals(text.to_owned())
        }
        (NotEqual | HeterogeneousNotEqual, Item::Key, Item::Text(text))
        | (NotEqual | HeterogeneousNotEqual, Item::Text(text), Item::Key) => {
            Test::Not(Box::new(Test::Equals(text.to_owned())))
        }
        (And, Item::Test(left), Item::Test(right)) => Test::And(left.into(), right.into()),
        (Binary::Or, Item::Test(left), Item::Test(right)) => Test::Or(left.into(), right.into()),
        (Binary::LazyAnd, Item::Test(left), Item::Lazy(ops)) => {
            Test::And(left.into(), test(ops, variable, tests)?.into())
        }
        (Binary::LazyOr, Item::Test(left), Item::Lazy(ops)) => {
            Test::Or(left.into(), test(ops, variable, tests)?.into())
        }
        _ => return None,
    })
}

/// A pattern is too large to be compiled again and again.
pub(super) struct PatternTooLarge;

/// The compiled `text`; `None` if it is not a pattern.
pub(super) fn pattern(text: &str) -> Result<Option<Regex>, PatternTooLarge> {
    let built = RegexBuilder::new(text)
        .size_limit(limits::TOKEN_PATTERN_BYTES_MAX)
        .dfa_size_limit(limits::TOKEN_PATTERN_CACHE_BYTES)
        .build();
    match built {
        Ok(regex) => Ok(Some(regex)),
        Err(regex::Error::CompiledTooBig(_)) => Err(PatternTooLarge),
        Err(_) => Ok(None),
    }
}

impl Test {
    fn holds(&self, key: &str) -> bool {
        match self {
            Test::Constant(value) => *value,
            Test::Starts(text) => key.starts_with(text.as_str()),
            Test::Ends(text) => key.ends_with(text.as_str()),
            Test::Contains(text) => memchr::memmem::find(key.as_bytes(), text.as_bytes()).is_some(),
            Test::Equals(text) => key == text,
            Test::OneOf(texts) => texts.contains(key),
            Test::Matches(regex) => regex.as_ref().is_some_and(|regex| regex.is_match(key)),
            Test::Not(test) => !test.holds(key),
            Test::And(left, right) => left.holds(key) && right.holds(key),
            Test::Or(left, right) => left.holds(key) || right.holds(key),
        }
    }
}

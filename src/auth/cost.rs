//! What evaluating a token can cost at most, known before it is evaluated.
//!
//! The engine looks at its limits only between rounds, and a single query with many predicates or
//! nested closures runs for hours. So the cost is estimated from the token's shape: how many facts
//! there can be of each name, how many combinations of them a query goes through, and how much work
//! each is. A token that could cost more than [`limits::TOKEN_COST_MAX`] is not accepted, nor is one
//! whose rules derive facts from themselves. The unit is about a tenth of a microsecond.

use std::collections::{BTreeSet, HashMap};

use biscuit_auth::builder::{Binary, Check, Fact, Op, Predicate, Rule, Term};

use super::key_checks::pattern;
use crate::limits;

/// Facts with the same name and number of terms.
type Name = (String, usize);

/// What the cost follows from.
#[derive(Debug, Default)]
pub(super) struct Cost {
    facts: HashMap<Name, u64>,
    rules: Vec<Shape>,
    queries: Vec<Shape>,
    /// What each evaluation costs, whatever it goes through: the engine translates the token for each.
    fixed: u64,
}

/// A rule or query.
#[derive(Debug)]
struct Shape {
    head: Name,
    body: Vec<Name>,
    /// What it costs to try one combination.
    work: u64,
}

/// It cannot be known what it costs, or that is too much.
#[derive(Debug)]
pub(super) struct TooCostly;

/// Facts about a request beside its keys.
const AMBIENT: [&str; 6] = ["database", "command", "class", "client_address", "tls", "time"];

impl Cost {
    pub(super) fn of(
        facts: &[Fact],
        rules: &[Rule],
        checks: &[Check],
        blocks: usize,
    ) -> Result<Cost, TooCostly> {
        let mut cost = Cost::default();
        let mut size = Size::default();
        for name in AMBIENT {
            cost.facts.insert((name.to_owned(), 1), 1);
        }
        for fact in facts {
            size.predicate(&fact.predicate);
            *cost.facts.entry(name(&fact.predicate)).or_default() += 1;
        }
        let queries = || checks.iter().flat_map(|check| &check.queries);
        rules.iter().chain(queries()).for_each(|rule| size.rule(rule));
        let elements = size.elements;
        let shapes = rules.iter().map(|rule| shape(rule, elements));
        cost.rules = shapes.collect::<Result<_, _>>()?;
        cost.queries = queries().map(|rule| shape(rule, elements)).collect::<Result<_, _>>()?;
        // The policies.
        cost.queries.push(Shape {
            head: (String::new(), 0),
            body: vec![("class".to_owned(), 1), ("right".to_owned(), 1)],
            work: 1,
        });
        // Each string is looked up among all, each block gets a copy of them, and a check that does
        // not hold is printed, which copies what was printed once for every operation.
        let strings = size.strings.len() as u64;
        let printed = checks.iter().map(printing).fold(0, u64::saturating_add);
        let lookups = size.terms.saturating_mul(strings) / 32;
        cost.fixed = lookups.saturating_add(blocks as u64 * strings / 2).saturating_add(printed);
        Ok(cost)
    }

    /// What deciding about a command with so many keys costs at most.
    pub(super) fn with_keys(&self, keys: u64) -> Result<u64, TooCostly> {
        let mut counts = self.facts.clone();
        *counts.entry(("key".to_owned(), 1)).or_default() += keys;
        let base = counts.clone();
        let mut rounds = 0_u64;
        // Facts of rules that depend on each other in a chain are known after as many rounds.
        loop {
            let mut next = base.clone();
            for rule in &self.rules {
                let made = combinations(&rule.body, &counts);
                let count = next.entry(rule.head.clone()).or_default();
                *count = count.saturating_add(made);
            }
            rounds += 1;
            if next == counts {
                break;
            }
            if rounds > self.rules.len() as u64 {
                return Err(TooCostly);
            }
            counts = next;
        }
        let all = counts.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let sum = |shapes: &[Shape]| {
            shapes.iter().fold(0_u64, |sum, shape| sum.saturating_add(shape.cost(all, &counts)))
        };
        let total = sum(&self.rules).saturating_mul(rounds + 1).saturating_add(sum(&self.queries));
        let total = total.saturating_add(self.fixed);
        if total > limits::TOKEN_COST_MAX { Err(TooCostly) } else { Ok(total) }
    }
}

impl Shape {
    /// For each combination of the predicates before, the engine walks all facts for the next one.
    fn cost(&self, all: u64, counts: &HashMap<Name, u64>) -> u64 {
        let steps = (0..self.body.len()).map(|end| combinations(&self.body[..end], counts));
        let steps = steps.fold(0, u64::saturating_add).saturating_mul(all) / 4;
        let tried = combinations(&self.body, counts).saturating_mul(self.work);
        steps.saturating_add(tried).saturating_add(1)
    }
}

fn combinations(body: &[Name], counts: &HashMap<Name, u64>) -> u64 {
    body.iter().fold(1, |product: u64, name| {
        product.saturating_mul(counts.get(name).copied().unwrap_or(0))
    })
}

fn name(predicate: &Predicate) -> Name {
    (predicate.name.clone(), predicate.terms.len())
}

fn shape(rule: &Rule, elements: u64) -> Result<Shape, TooCostly> {
    // The engine complains about this on the standard output, which may block, or end the process.
    let is_unbound = |term: &Term| {
        let mut bound = rule.body.iter().flat_map(|predicate| &predicate.terms);
        matches!(term, Term::Variable(_)) && !bound.any(|other| other == term)
    };
    if rule.head.terms.iter().any(is_unbound) {
        return Err(TooCostly);
    }
    let mut work = 2 + rule.body.iter().map(|predicate| predicate.terms.len() as u64).sum::<u64>();
    for expression in &rule.expressions {
        let cost = operations(&expression.ops, elements)?;
        work = work.saturating_add(cost);
    }
    Ok(Shape { head: name(&rule.head), body: rule.body.iter().map(name).collect(), work })
}

/// What evaluating `ops` once costs; a closure is evaluated for each element of a collection.
fn operations(ops: &[Op], elements: u64) -> Result<u64, TooCostly> {
    let mut cost = 0_u64;
    let mut last: Option<&Op> = None;
    for op in ops {
        let more = match op {
            // What is bound to a variable may be a collection.
            Op::Value(Term::Variable(_)) => 1 + elements / 4,
            Op::Value(term) => 1 + terms_in(term),
            Op::Unary(_) => 1,
            Op::Binary(Binary::Regex) => match last {
                Some(Op::Value(Term::Str(text))) => {
                    pattern(text).map_err(|_| TooCostly)?;
                    limits::TOKEN_PATTERN_COST
                }
                // It would be compiled from whatever it turns out to be.
                _ => return Err(TooCostly),
            },
            // Strings are at most as long as all that is put together, and a key may be long.
            Op::Binary(Binary::Add) => 10 * ops.len() as u64,
            Op::Binary(_) => 1 + elements / 4,
            Op::Closure(parameters, ops) => {
                let once = operations(ops, elements)?.saturating_add(2 + elements / 4);
                if parameters.is_empty() { once } else { once.saturating_mul(elements) }
            }
        };
        cost = cost.saturating_add(more);
        last = Some(op);
    }
    Ok(cost)
}

/// A unit is a kilobyte copied.
fn printing(check: &Check) -> u64 {
    let expressions = check.queries.iter().flat_map(|query| &query.expressions);
    let cost = expressions.map(|expression| {
        let mut size = Size::default();
        size.operations(&expression.ops);
        size.bytes.saturating_mul(size.operations) / 1024
    });
    cost.fold(0, u64::saturating_add)
}

fn terms_in(term: &Term) -> u64 {
    match term {
        Term::Set(terms) => terms.iter().map(|term| 1 + terms_in(term)).sum(),
        Term::Array(terms) => terms.iter().map(|term| 1 + terms_in(term)).sum(),
        Term::Map(terms) => terms.values().map(|term| 2 + terms_in(term)).sum(),
        _ => 0,
    }
}

/// How much there is of everything.
#[derive(Debug, Default)]
struct Size {
    strings: BTreeSet<String>,
    /// Of all strings, as often as they occur.
    bytes: u64,
    terms: u64,
    operations: u64,
    /// Of all collections together; none that is computed from them has more.
    elements: u64,
}

impl Size {
    fn rule(&mut self, rule: &Rule) {
        self.predicate(&rule.head);
        rule.body.iter().for_each(|predicate| self.predicate(predicate));
        rule.expressions.iter().for_each(|expression| self.operations(&expression.ops));
    }

    fn predicate(&mut self, predicate: &Predicate) {
        self.string(&predicate.name);
        predicate.terms.iter().for_each(|term| self.term(term));
    }

    fn operations(&mut self, ops: &[Op]) {
        for op in ops {
            self.operations += 1;
            self.bytes += 16;
            match op {
                Op::Value(term) => self.term(term),
                Op::Closure(parameters, ops) => {
                    parameters.iter().for_each(|name| self.string(name));
                    self.operations(ops);
                }
                Op::Unary(_) | Op::Binary(_) => {}
            }
        }
    }

    fn term(&mut self, term: &Term) {
        self.terms += 1;
        self.bytes += 16;
        self.elements += terms_in(term);
        match term {
            Term::Str(text) | Term::Variable(text) => self.string(text),
            Term::Bytes(bytes) => self.bytes += 2 * bytes.len() as u64,
            Term::Set(terms) => terms.iter().for_each(|term| self.term(term)),
            Term::Array(terms) => terms.iter().for_each(|term| self.term(term)),
            Term::Map(terms) => terms.values().for_each(|term| self.term(term)),
            _ => {}
        }
    }

    fn string(&mut self, text: &str) {
        self.terms += 1;
        self.bytes += text.len() as u64;
        if !self.strings.contains(text) {
            self.strings.insert(text.to_owned());
        }
    }
}

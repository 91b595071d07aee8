//! What a token asks about, found out once: which decisions can be kept and for how long, which checks
//! need no Datalog, and what the rest costs.

use biscuit_auth::builder::{Binary, Check, CheckKind, Fact, Op, Rule, Term};
use biscuit_auth::{AuthorizerBuilder, Biscuit};

use super::cost::{Cost, TooCostly};
use super::key_checks::{KeyCheck, mentions_key};
use crate::limits;

/// How one check of a token is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// By the Datalog engine.
    Engine,
    /// By [`Analysis::window`].
    Time,
    /// By this one of [`Analysis::key_checks`], unless it holds without any key.
    Keys(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Analysis {
    /// Decisions differ between databases.
    pub(super) mentions_database: bool,
    /// Decisions differ between connections.
    pub(super) mentions_origin: bool,
    /// Decisions hold for the second in which they are made.
    pub(super) mentions_time: bool,
    /// Decisions need the engine to know the keys.
    pub(super) mentions_keys: bool,
    /// Of which time the plain checks on time are true: from the first second, before the last.
    pub(super) window: (u64, u64),
    pub(super) key_checks: Vec<KeyCheck>,
    /// Those that say what keys must not be: their places and texts.
    pub(super) rejecting: Vec<(usize, String)>,
    pub(super) cost: Cost,
    /// By block and place in it.
    roles: Vec<Vec<Role>>,
}

impl Analysis {
    /// Of a token whose signatures are right. Nothing of it has been evaluated yet.
    pub(super) fn of(token: &Biscuit) -> Result<Analysis, TooCostly> {
        let world = AuthorizerBuilder::new().build(token).map_err(|_| TooCostly)?;
        let (facts, rules, checks, _) = world.dump();
        let blocks = world.snapshot().map_err(|_| TooCostly)?.world.blocks;
        let cost = Cost::of(&facts, &rules, &checks, blocks.len())?;
        cost.with_keys(0)?;
        let made = |name: &str| {
            facts.iter().any(|fact: &Fact| fact.predicate.name == name)
                || rules.iter().any(|rule: &Rule| rule.head.name == name)
        };
        let queries = || checks.iter().flat_map(|check| &check.queries);
        let mentions = |name: &str| {
            let mut all = rules.iter().chain(queries()).flat_map(|rule| &rule.body);
            all.any(|predicate| predicate.name == name)
        };
        let mut analysis = Analysis {
            mentions_database: mentions("database"),
            mentions_origin: mentions("client_address") || mentions("tls"),
            mentions_time: rules.iter().any(mentions_time),
            mentions_keys: made("key") || rules.iter().any(mentions_key),
            window: (0, u64::MAX),
            key_checks: Vec::new(),
            rejecting: Vec::new(),
            cost,
            roles: Vec::new(),
        };
        let makes_time = made("time");
        let roles: Vec<Role> =
            checks.iter().map(|check| analysis.role(check, makes_time)).collect();
        analysis.limit_tests();
        let mut rest = roles.into_iter();
        analysis.roles =
            blocks.iter().map(|block| rest.by_ref().take(block.checks.len()).collect()).collect();
        Ok(analysis)
    }

    /// How the check with this place in this block is decided.
    pub(super) fn role_of(&self, block: u32, check: u32) -> Role {
        let role = self.roles.get(block as usize).and_then(|roles| roles.get(check as usize));
        match role {
            Some(Role::Keys(_)) if self.mentions_keys => Role::Engine,
            Some(role) => *role,
            None => Role::Engine,
        }
    }

    fn role(&mut self, check: &Check, makes_time: bool) -> Role {
        if !makes_time && let Some((from, until)) = window_of(check) {
            self.window = (self.window.0.max(from), self.window.1.min(until));
            return Role::Time;
        }
        self.mentions_time |= check.queries.iter().any(mentions_time);
        if !check.queries.iter().any(mentions_key) {
            return Role::Engine;
        }
        match KeyCheck::of(check) {
            Some(recognised) => {
                if recognised.is_reject() {
                    self.rejecting.push((self.key_checks.len(), check.to_string()));
                }
                self.key_checks.push(recognised);
                Role::Keys(self.key_checks.len() - 1)
            }
            None => {
                self.mentions_keys = true;
                Role::Engine
            }
        }
    }

    /// More tests than are done on every key are left to the engine, which takes few keys.
    fn limit_tests(&mut self) {
        let tests: usize = self.key_checks.iter().map(KeyCheck::tests).sum();
        if tests > limits::TOKEN_KEY_TESTS_MAX
            || self.key_checks.len() > limits::TOKEN_KEY_CHECKS_MAX
        {
            self.mentions_keys = true;
        }
    }
}

fn mentions_time(rule: &Rule) -> bool {
    rule.body.iter().any(|predicate| predicate.name == "time")
}

/// When `check if time($t), $t < DATE` and its like are true.
pub(super) fn window_of(check: &Check) -> Option<(u64, u64)> {
    let [query] = check.queries.as_slice() else { return None };
    let [predicate] = query.body.as_slice() else { return None };
    let [Term::Variable(time)] = predicate.terms.as_slice() else { return None };
    if check.kind == CheckKind::Reject || predicate.name != "time" || !query.head.terms.is_empty() {
        return None;
    }
    let mut window = (0, u64::MAX);
    for expression in &query.expressions {
        let (from, until) = side(&expression.ops, time)?;
        window = (window.0.max(from), window.1.min(until));
    }
    Some(window)
}

/// Of which times one comparison is true.
fn side(ops: &[Op], time: &str) -> Option<(u64, u64)> {
    use Binary::{GreaterOrEqual, GreaterThan, LessOrEqual, LessThan};
    let [Op::Value(left), Op::Value(right), Op::Binary(binary)] = ops else { return None };
    let is_time = |term: &Term| matches!(term, Term::Variable(name) if name == time);
    let (date, binary) = match (left, right) {
        (left, Term::Date(date)) if is_time(left) => (*date, binary.clone()),
        (Term::Date(date), right) if is_time(right) => {
            let turned = match binary {
                LessThan => GreaterThan,
                LessOrEqual => GreaterOrEqual,
                GreaterThan => LessThan,
                GreaterOrEqual => LessOrEqual,
                _ => return None,
            };
            (*date, turned)
        }
        _ => return None,
    };
    // A date at the end of time is left to the engine rather than rounded.
    match binary {
        LessThan => Some((0, date)),
        LessOrEqual => Some((0, date.checked_add(1)?)),
        GreaterThan => Some((date.checked_add(1)?, u64::MAX)),
        GreaterOrEqual => Some((date, u64::MAX)),
        _ => None,
    }
}

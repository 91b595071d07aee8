//! One decision by the Datalog engine.

use std::sync::LazyLock;
use std::time::Duration;

use biscuit_auth::builder::{Fact, Policy, Term};
use biscuit_auth::datalog::RunLimits;
use biscuit_auth::error::{FailedBlockCheck, FailedCheck, Logic, Token};
use biscuit_auth::{AuthorizerBuilder, Biscuit};

use super::{Origin, Request};
use crate::limits;

/// What the engine finds.
#[derive(Debug)]
pub(super) enum Finding {
    /// The token has the right; these checks do not hold.
    Right(Vec<FailedBlockCheck>),
    /// It does not have the right, whatever the checks say.
    NoRight,
    /// It cannot be evaluated.
    Failed(String),
}

/// What `token` says of `request` and the facts `key` of `keys`.
pub(super) fn run<'k>(
    token: &Biscuit,
    origin: &Origin,
    request: &Request<'_>,
    keys: impl Iterator<Item = &'k [u8]>,
) -> Finding {
    match authorize(token, origin, request, keys) {
        Ok(()) => Finding::Right(Vec::new()),
        Err(Token::FailedLogic(Logic::Unauthorized { checks, .. })) => {
            let of_blocks = checks.into_iter().filter_map(|check| match check {
                FailedCheck::Block(check) => Some(check),
                // There are none.
                FailedCheck::Authorizer(_) => None,
            });
            Finding::Right(of_blocks.collect())
        }
        Err(Token::FailedLogic(Logic::NoMatchingPolicy { .. })) => Finding::NoRight,
        Err(error) => Finding::Failed(error.to_string()),
    }
}

/// Without a scope, they see facts of the request and of the authority block.
static POLICIES: LazyLock<[Policy; 2]> = LazyLock::new(|| {
    ["allow if class(\"connection\")", "allow if class($class), right($class)"]
        .map(|text| Policy::try_from(text).expect("the policies are Datalog"))
});

fn authorize<'k>(
    token: &Biscuit,
    origin: &Origin,
    request: &Request<'_>,
    keys: impl Iterator<Item = &'k [u8]>,
) -> Result<(), Token> {
    let fact = |name: &str, term: Term| Fact::new(name.to_owned(), vec![term]);
    let about = [
        fact("database", Term::Integer(request.database.into())),
        fact("command", Term::Str(request.command.to_owned())),
        fact("class", Term::Str(request.class.name().to_owned())),
        fact("client_address", Term::Str(origin.address.clone())),
        fact("tls", Term::Bool(origin.tls)),
        fact("time", Term::Date(request.now)),
    ];
    let keys = keys.map(|key| fact("key", Term::Str(String::from_utf8_lossy(key).into_owned())));
    let mut authorizer = AuthorizerBuilder::new().set_limits(run_limits());
    for fact in about.into_iter().chain(keys) {
        authorizer = authorizer.fact(fact)?;
    }
    authorizer
        .policy(POLICIES[0].clone())?
        .policy(POLICIES[1].clone())?
        .build(token)?
        .authorize()?;
    Ok(())
}

/// What a token may cost is bounded by [`super::cost`]; these are never reached, unless the machine
/// stalls.
pub(super) fn run_limits() -> RunLimits {
    RunLimits {
        max_facts: limits::TOKEN_COST_MAX,
        max_iterations: limits::TOKEN_COST_MAX,
        max_time: Duration::from_millis(limits::TOKEN_RUN_MS_MAX),
    }
}

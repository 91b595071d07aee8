//! What one token allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use biscuit_auth::builder::{Fact, Term};
use biscuit_auth::datalog::RunLimits;
use biscuit_auth::error::{FailedCheck, Logic, Token};
use biscuit_auth::{AuthorizerBuilder, Biscuit};

use super::revoked::Revoked;
use super::{Denied, Origin, Refused, Request};
use crate::limits;

/// A verified token: whose it is, and what it allows.
#[derive(Debug)]
pub struct Grant {
    token: Biscuit,
    origin: Origin,
    tenant: String,
    is_admin: bool,
    revocation_ids: Vec<Vec<u8>>,
    revoked: Arc<Revoked>,
    /// The generation of `revoked` that was looked at last, times two, and one if it revokes this.
    looked: AtomicU64,
}

impl Grant {
    /// The grant of `token`, whose signatures are right.
    pub(super) fn new(
        token: Biscuit,
        origin: &Origin,
        revoked: &Arc<Revoked>,
    ) -> Result<Grant, Refused> {
        let mut facts = AuthorizerBuilder::new()
            .set_limits(run_limits(0))
            .build(&token)
            .map_err(|_| Refused::Unreadable)?;
        // A query sees the authority block only, whatever others say.
        let mut names = |query: &str| -> Result<Vec<String>, Refused> {
            let names: Vec<(String,)> = facts.query(query).map_err(|_| Refused::NoTenant)?;
            Ok(names.into_iter().map(|(name,)| name).collect())
        };
        let rights = names("name($name) <- right($name)")?;
        let tenants = names("name($name) <- tenant($name)")?;
        let [tenant] = tenants.as_slice() else { return Err(Refused::NoTenant) };
        if !is_tenant_name(tenant) {
            return Err(Refused::NoTenant);
        }
        Ok(Grant {
            tenant: tenant.clone(),
            is_admin: rights.iter().any(|right| right == "admin"),
            revocation_ids: token.revocation_identifiers(),
            origin: origin.clone(),
            revoked: revoked.clone(),
            looked: AtomicU64::new(0),
            token,
        })
    }

    /// Whose data it is about.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Whether it has `right("admin")`.
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Whether the revocation list names it, or a token it was made from.
    pub fn is_revoked(&self) -> bool {
        let generation = self.revoked.generation();
        let looked = self.looked.load(Ordering::Relaxed);
        if looked >> 1 == generation {
            return looked & 1 == 1;
        }
        let is_revoked = self.revoked.has_any(&self.revocation_ids);
        self.looked.store(generation << 1 | u64::from(is_revoked), Ordering::Relaxed);
        is_revoked
    }

    /// Whether what it allows depends on the keys of a command.
    pub fn depends_on_keys(&self) -> bool {
        let mentions = |block| {
            self.token.print_block_source(block).is_ok_and(|source| !source.contains("key("))
        };
        !(0..self.token.block_count()).all(mentions)
    }

    /// The first second, in Unix time, at which nothing is allowed any more, as far as that follows
    /// from plain expiry checks.
    pub fn expires(&self) -> Option<u64> {
        None
    }

    /// Whether `request`, which names `keys`, is allowed now.
    pub fn permits<'k>(
        &self,
        request: &Request<'_>,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
    ) -> Result<(), Denied> {
        if self.is_revoked() {
            return Err(Denied("the token has been revoked".to_owned()));
        }
        self.decide(request, keys)
    }

    fn decide<'k>(
        &self,
        request: &Request<'_>,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
    ) -> Result<(), Denied> {
        let mut facts = vec![
            fact("database", Term::Integer(request.database.into())),
            fact("command", Term::Str(request.command.to_owned())),
            fact("class", Term::Str(request.class.name().to_owned())),
            fact("client_address", Term::Str(self.origin.address.clone())),
            fact("tls", Term::Bool(self.origin.tls)),
            fact("time", Term::Date(request.now)),
        ];
        facts.extend(
            keys.map(|key| fact("key", Term::Str(String::from_utf8_lossy(key).into_owned()))),
        );
        let run = run_limits(facts.len());
        let mut authorizer = AuthorizerBuilder::new();
        for fact in facts {
            authorizer = authorizer.fact(fact).map_err(failed)?;
        }
        authorizer
            .policy("allow if class(\"connection\")")
            .and_then(|authorizer| authorizer.policy("allow if class($class), right($class)"))
            .and_then(|authorizer| authorizer.set_limits(run).build(&self.token))
            .and_then(|mut authorizer| authorizer.authorize())
            .map(|_| ())
            .map_err(|error| match error {
                Token::FailedLogic(
                    Logic::Unauthorized { checks, .. } | Logic::NoMatchingPolicy { checks },
                ) => missing(&checks, request),
                other => failed(other),
            })
    }
}

fn fact(name: &str, term: Term) -> Fact {
    Fact::new(name.to_owned(), vec![term])
}

fn missing(checks: &[FailedCheck], request: &Request<'_>) -> Denied {
    match checks.first() {
        Some(FailedCheck::Block(check)) => Denied(shown(&check.rule)),
        Some(FailedCheck::Authorizer(check)) => Denied(shown(&check.rule)),
        None => Denied(format!("right {}", request.class.name())),
    }
}

fn failed(error: Token) -> Denied {
    Denied(shown(&error.to_string()))
}

/// A token's text on one short line, which no client can mistake for a reply of its own.
fn shown(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { '?' } else { c });
    line.take(limits::DENIED_CHARS_MAX).collect()
}

fn run_limits(facts: usize) -> RunLimits {
    RunLimits {
        max_facts: (limits::TOKEN_FACTS_MAX + facts) as u64,
        max_iterations: limits::TOKEN_ITERATIONS_MAX,
        max_time: Duration::from_millis(limits::TOKEN_RUN_MS_MAX),
    }
}

/// 1 to 64 of letters, digits, dot, underscore and minus.
pub fn is_tenant_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=limits::TENANT_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

//! What one token allows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use biscuit_auth::error::FailedBlockCheck;
use biscuit_auth::{AuthorizerBuilder, Biscuit};
use quick_cache::sync::Cache;

use super::analysis::{Analysis, Role};
use super::counts::Counts;
use super::decisions::{Decision, Decisions};
use super::engine::{self, Finding};
use super::key_checks::Standing;
use super::revoked::Revoked;
use super::{Denied, Origin, Refused, Request};
use crate::limits;

/// A token whose signatures are right, and what was found out about it.
#[derive(Debug)]
pub(super) struct Verified {
    token: Biscuit,
    analysis: Analysis,
    tenant: String,
    is_admin: bool,
    revocation_ids: Vec<Vec<u8>>,
}

impl Verified {
    pub(super) fn new(token: Biscuit) -> Result<Verified, Refused> {
        if token.block_count() > limits::TOKEN_BLOCKS_MAX {
            return Err(Refused::TooComplex);
        }
        let analysis = Analysis::of(&token).map_err(|_| Refused::TooComplex)?;
        let mut facts = AuthorizerBuilder::new()
            .set_limits(engine::run_limits())
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
        if !is_tenant_name(tenant.as_bytes()) {
            return Err(Refused::NoTenant);
        }
        Ok(Verified {
            tenant: tenant.clone(),
            is_admin: rights.iter().any(|right| right == "admin"),
            revocation_ids: token.revocation_identifiers(),
            analysis,
            token,
        })
    }

    /// Whether connections from elsewhere get another grant.
    pub(super) fn depends_on_origin(&self) -> bool {
        self.analysis.mentions_origin
    }
}

/// By command, database, second and keys: why it is denied, if it is.
type ByKeys = Cache<Box<[u8]>, Option<Arc<str>>>;

/// What a token allows a connection.
#[derive(Debug)]
pub struct Grant {
    verified: Arc<Verified>,
    origin: Origin,
    revoked: Arc<Revoked>,
    counts: Arc<Counts>,
    /// The generation of `revoked` that was looked at last, times two, and one if it revokes this.
    looked: AtomicU64,
    decisions: Decisions,
    /// The texts of the key checks, as far as they are needed.
    texts: Box<[OnceLock<String>]>,
    /// Decisions that only the engine can make.
    by_keys: OnceLock<ByKeys>,
}

impl Grant {
    pub(super) fn new(
        verified: Arc<Verified>,
        origin: &Origin,
        (revoked, counts): (&Arc<Revoked>, &Arc<Counts>),
        commands: usize,
    ) -> Grant {
        let analysis = &verified.analysis;
        let texts = (0..analysis.key_checks.len()).map(|place| {
            let text = analysis.rejecting.iter().find(|(other, _)| *other == place);
            text.map_or_else(OnceLock::new, |(_, text)| OnceLock::from(shown(text)))
        });
        Grant {
            origin: origin.clone(),
            revoked: revoked.clone(),
            counts: counts.clone(),
            looked: AtomicU64::new(0),
            decisions: Decisions::new(commands, analysis.mentions_database),
            texts: texts.collect(),
            by_keys: OnceLock::new(),
            verified,
        }
    }

    /// Whose data it is about.
    pub fn tenant(&self) -> &str {
        &self.verified.tenant
    }

    /// Whether it has `right("admin")`.
    pub fn is_admin(&self) -> bool {
        self.verified.is_admin
    }

    /// Whether the revocation list names it, or a token it was made from.
    #[inline]
    pub fn is_revoked(&self) -> bool {
        let generation = self.revoked.generation();
        let looked = self.looked.load(Ordering::Relaxed);
        if looked >> 1 == generation { looked & 1 == 1 } else { self.look_again(generation) }
    }

    #[cold]
    fn look_again(&self, generation: u64) -> bool {
        // Read after the generation: a list that changes meanwhile has another one, and is looked at
        // again.
        let is_revoked = self.revoked.has_any(&self.verified.revocation_ids);
        self.looked.store(generation << 1 | u64::from(is_revoked), Ordering::Relaxed);
        is_revoked
    }

    /// Whether what it allows depends on the keys of a command.
    pub fn depends_on_keys(&self) -> bool {
        let analysis = &self.verified.analysis;
        analysis.mentions_keys || !analysis.key_checks.is_empty()
    }

    /// The first second, in Unix time, at which nothing is allowed any more, as far as that follows
    /// from plain expiry checks.
    pub fn expires(&self) -> Option<u64> {
        let until = self.verified.analysis.window.1;
        (until != u64::MAX).then_some(until)
    }

    /// Whether `now` is within what the plain checks on time allow.
    #[inline]
    pub fn is_timely(&self, now: u64) -> bool {
        let (from, until) = self.verified.analysis.window;
        from <= now && now < until
    }

    /// Whether `request`, which names `keys`, is allowed.
    #[inline]
    pub fn permits<'k>(
        &self,
        request: &Request<'_>,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
    ) -> Result<(), Denied> {
        if self.is_revoked() || !self.is_timely(request.now) {
            return Err(self.out_of_force(request.now));
        }
        let stamp = self.stamp(request.now);
        let decision = match self.decisions.get(request.number, request.database, stamp) {
            Some(Decision::Allowed) => return Ok(()),
            Some(decision) => decision,
            None => {
                let decision = self.decide(request);
                self.decisions.put(request.number, request.database, stamp, &decision);
                decision
            }
        };
        match decision {
            Decision::Allowed => Ok(()),
            Decision::Denied(reason) => Err(Denied(reason)),
            Decision::Keys(checks) => self.look_at_keys(checks, keys),
            Decision::Engine => self.ask_engine(request, keys),
        }
    }

    /// Decisions hold as long as their stamp is the same.
    fn stamp(&self, now: u64) -> u32 {
        if self.verified.analysis.mentions_time { now as u32 } else { 0 }
    }

    #[cold]
    fn out_of_force(&self, now: u64) -> Denied {
        let reason = if self.is_revoked() {
            "the token has been revoked"
        } else if now >= self.verified.analysis.window.1 {
            "the token has expired"
        } else {
            "the token is not valid yet"
        };
        Denied(reason.to_owned())
    }

    /// What can be said of `request` without its keys.
    #[cold]
    fn decide(&self, request: &Request<'_>) -> Decision {
        let analysis = &self.verified.analysis;
        if analysis.mentions_keys {
            return Decision::Engine;
        }
        let none = std::iter::empty();
        self.counts.evaluated();
        let failed = match engine::run(&self.verified.token, &self.origin, request, none) {
            Finding::Right(failed) => failed,
            Finding::NoRight => return Decision::Denied(no_right(request)),
            // With the keys, a query may hold before the one that cannot be evaluated.
            Finding::Failed(_) if !analysis.key_checks.is_empty() => return Decision::Engine,
            Finding::Failed(reason) => return Decision::Denied(shown(&reason)),
        };
        let mut checks =
            analysis.rejecting.iter().fold(0, |checks, (place, _)| checks | 1 << place);
        for check in failed {
            match analysis.role_of(check.block_id, check.check_id) {
                Role::Time => {}
                Role::Keys(place) => {
                    let _ = self.texts[place].set(shown(&check.rule));
                    checks |= 1 << place;
                }
                Role::Engine => return Decision::Denied(shown(&check.rule)),
            }
        }
        if checks == 0 { Decision::Allowed } else { Decision::Keys(checks) }
    }

    /// Whether the key checks in the set `checks` hold.
    fn look_at_keys<'k>(
        &self,
        checks: u32,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Result<(), Denied> {
        let all = &self.verified.analysis.key_checks;
        let mut standings = [Standing::default(); limits::TOKEN_KEY_CHECKS_MAX];
        let places = || (0..all.len()).filter(|place| checks & 1 << place != 0);
        for key in keys {
            let key = String::from_utf8_lossy(key);
            places().for_each(|place| all[place].look(&key, &mut standings[place]));
        }
        match places().find(|place| !all[*place].holds(standings[*place])) {
            None => Ok(()),
            Some(place) => Err(Denied(self.texts[place].get().cloned().unwrap_or_default())),
        }
    }

    /// Has the engine decide with all keys, unless it has before.
    fn ask_engine<'k>(
        &self,
        request: &Request<'_>,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
    ) -> Result<(), Denied> {
        let outcome = |denied: Option<Arc<str>>| match denied {
            None => Ok(()),
            Some(reason) => Err(Denied(reason.as_ref().to_owned())),
        };
        let mut asked = Vec::with_capacity(64);
        asked.extend_from_slice(&(request.number as u32).to_le_bytes());
        asked.extend_from_slice(&self.stamp(request.now).to_le_bytes());
        asked.push(request.database);
        let mut count = 0;
        for key in keys.clone() {
            count += 1;
            if count > limits::TOKEN_KEYS_MAX {
                return Err(too_many_keys());
            }
            asked.extend_from_slice(&(key.len() as u32).to_le_bytes());
            asked.extend_from_slice(key);
        }
        let kept = self.by_keys.get_or_init(|| Cache::new(limits::TOKEN_DECISIONS_KEPT));
        if let Some(denied) = kept.get(asked.as_slice()) {
            return outcome(denied);
        }
        let denied = self.engine(request, keys, count as u64).err();
        let denied: Option<Arc<str>> = denied.map(|denied| denied.0.into());
        if asked.len() <= limits::TOKEN_DECISION_BYTES_MAX {
            kept.insert(asked.into_boxed_slice(), denied.clone());
        }
        outcome(denied)
    }

    #[cfg(test)]
    pub(super) fn asks_engine_for_keys(&self) -> bool {
        self.verified.analysis.mentions_keys
    }

    /// What the engine says of `request` with its keys, of which there are `count`.
    pub(super) fn engine<'k>(
        &self,
        request: &Request<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
        count: u64,
    ) -> Result<(), Denied> {
        if self.verified.analysis.cost.with_keys(count).is_err() {
            return Err(too_many_keys());
        }
        self.counts.evaluated();
        match engine::run(&self.verified.token, &self.origin, request, keys) {
            Finding::Right(failed) => match failed.first() {
                None => Ok(()),
                Some(FailedBlockCheck { rule, .. }) => Err(Denied(shown(rule))),
            },
            Finding::NoRight => Err(Denied(no_right(request))),
            Finding::Failed(reason) => Err(Denied(shown(&reason))),
        }
    }
}

fn no_right(request: &Request<'_>) -> String {
    format!("right {}", request.class.name())
}

fn too_many_keys() -> Denied {
    Denied("fewer keys in one command, for checks such as this token's".to_owned())
}

/// A token's text on one short line, which no client can mistake for a reply of its own.
fn shown(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { '?' } else { c });
    line.take(limits::DENIED_CHARS_MAX).collect()
}

/// Whether a tenant can have this name: 1 to 64 of letters, digits, dot, underscore and minus.
pub fn is_tenant_name(name: &[u8]) -> bool {
    (1..=limits::TENANT_NAME_BYTES_MAX).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

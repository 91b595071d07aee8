//! Tokens: who may do what.
//!
//! A token is a biscuit that a holder of a root key signed. Its authority block names a tenant and
//! rights; every holder can add blocks of checks to it, offline, that say what it must not do. An
//! [`Authenticator`] turns a token into a [`Grant`], and a grant says of each command whether it is
//! permitted. This module knows nothing of commands, connections or stores.
//!
//! # What checks may ask
//!
//! | fact | is |
//! | --- | --- |
//! | `tenant(string)` | the tenant, out of the authority block |
//! | `database(integer)` | the database that the command is about |
//! | `command(string)` | its name in lower case, `client\|kill` for a subcommand |
//! | `class(string)` | `read`, `write`, `admin` or `connection` |
//! | `key(string)` | each of its keys; what is not UTF-8 in one stands as U+FFFD, so prefixes are exact |
//! | `client_address(string)` | the client's IP address, or `unix` |
//! | `tls(boolean)` | whether the connection is encrypted |
//! | `time(date)` | now, in whole seconds |
//!
//! A class other than `connection` needs `right(class)` in the authority block. What holders add is
//! seen by their own checks only, as biscuit has it: facts of theirs grant nothing.
//!
//! # What it costs
//!
//! A decision is kept in the grant, and found again by an atomic load (`decisions`). Checks on
//! time that compare it with a date, and checks on keys that compare them with constants, are taken out
//! of the Datalog (`analysis`, `key_checks`); the rest of a decision does not depend on them. What
//! is left is decided by the engine (`engine`), for a token that uses time otherwise again each
//! second, for one that uses keys otherwise for each set of keys. No decision takes long, because
//! tokens that could make one long are refused before anything of them is evaluated (`cost`).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use biscuit_auth::error::{Format, Token};
use biscuit_auth::{Biscuit, PublicKey};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::limits;

mod analysis;
mod cost;
mod counts;
mod decisions;
mod engine;
mod grant;
pub mod issue;
mod key;
mod key_checks;
mod revoked;
#[cfg(test)]
mod tests;

pub use counts::{Counted, Counts};
use grant::Verified;
pub use grant::{Grant, is_tenant_name};
pub use key::{RootKey, keys_of_file};
use revoked::Revoked;

/// Where a connection comes from, as far as tokens may ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `client_address`: an IP address without its port, or `unix`.
    pub address: String,
    /// `tls`: whether the connection is encrypted.
    pub tls: bool,
}

/// What kind of right a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It looks at data.
    Read,
    /// It changes data.
    Write,
    /// It concerns the whole process, or all tenants.
    Admin,
    /// It concerns the connection only, and needs no right.
    Connection,
}

impl Class {
    /// As the fact `class` has it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::Admin => "admin",
            Class::Connection => "connection",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The command's place in the table, below what [`Authenticator::new`] was told.
    pub number: usize,
    /// Its name in lower case, `client|kill` for a subcommand. It always has the same number.
    pub command: &'a str,
    /// The right it needs; always the same for one command.
    pub class: Class,
    /// The database it is about.
    pub database: u8,
    /// The time in Unix seconds.
    pub now: u64,
}

/// Why a token is not accepted. Clients are told no more than that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not a token, or a longer one than is accepted.
    Unreadable,
    /// No root key signed it.
    Unsigned,
    /// It names no tenant, or more than one, or an impossible one.
    NoTenant,
    /// It is on the revocation list.
    Revoked,
    /// Its plain checks on time do not hold.
    Expired,
    /// Evaluating it could take long.
    TooComplex,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Refused::Unreadable => "it is not a token",
            Refused::Unsigned => "no root key signed it",
            Refused::NoTenant => "it does not name one tenant",
            Refused::Revoked => "it has been revoked",
            Refused::Expired => "it has expired, or is not valid yet",
            Refused::TooComplex => "evaluating it could take long",
        })
    }
}

/// What a request lacks, on one short line: `right write`, or the check that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(pub String);

/// Verifies tokens with the root keys.
#[derive(Debug)]
pub struct Authenticator {
    keys: Vec<RootKey>,
    revoked: Arc<Revoked>,
    commands: usize,
    counts: Arc<Counts>,
    /// What became of tokens that a root key signed; with an origin, if that makes a difference.
    known: Cache<Shown, Known, Weight>,
}

/// A token's text, and from where it was shown.
type Shown = (Box<[u8]>, Option<Origin>);

#[derive(Debug, Clone)]
enum Known {
    Refused(Refused),
    Grant(Arc<Grant>),
    /// There is a grant for each origin.
    ByOrigin(Arc<Verified>),
}

/// About the bytes that an entry takes.
#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Shown, Known> for Weight {
    fn weight(&self, (token, _): &Shown, _: &Known) -> u64 {
        limits::TOKEN_KEPT_BYTES + (token.len() as u64) * limits::TOKEN_KEPT_FACTOR
    }
}

impl Authenticator {
    /// Accepts tokens that one of `keys` signed and the list in the file `revoked` does not name.
    /// Requests have numbers below `commands`. A list that cannot be read is an error.
    pub fn new(
        keys: Vec<RootKey>,
        revoked: Option<&Path>,
        commands: usize,
    ) -> Result<Authenticator, String> {
        let bytes_max = limits::TOKENS_KEPT_BYTES_MAX;
        let entries = bytes_max / limits::TOKEN_KEPT_BYTES;
        Ok(Authenticator {
            keys,
            revoked: Arc::new(Revoked::open(revoked)?),
            commands,
            counts: Arc::default(),
            known: Cache::with_weighter(entries as usize, bytes_max, Weight),
        })
    }

    /// What `token`, as it was given in `AUTH`, allows a connection from `origin`.
    ///
    /// A token that is still known costs a look-up. One that no root key signed costs the same as
    /// any other such: reading it, and one signature check for each key it may be signed with.
    pub fn verify(&self, token: &[u8], origin: &Origin, now: u64) -> Result<Arc<Grant>, Refused> {
        let verified = self.look_at(token, origin, now);
        self.counts.verified(verified.is_ok());
        verified
    }

    fn look_at(&self, token: &[u8], origin: &Origin, now: u64) -> Result<Arc<Grant>, Refused> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(Refused::Unreadable);
        }
        let grant = self.grant(token, origin)?;
        if grant.is_revoked() {
            return Err(Refused::Revoked);
        }
        if grant.is_timely(now) { Ok(grant) } else { Err(Refused::Expired) }
    }

    fn grant(&self, token: &[u8], origin: &Origin) -> Result<Arc<Grant>, Refused> {
        let mut key = (Box::from(token), None);
        let known = match self.known.get(&key) {
            Some(known) => {
                self.counts.was_known();
                known
            }
            None => {
                let known = match Verified::new(self.signed(token)?) {
                    Err(refused) => Known::Refused(refused),
                    Ok(verified) if verified.depends_on_origin() => {
                        Known::ByOrigin(Arc::new(verified))
                    }
                    Ok(verified) => Known::Grant(self.new_grant(Arc::new(verified), origin)),
                };
                self.known.insert(key.clone(), known.clone());
                known
            }
        };
        let verified = match known {
            Known::Refused(refused) => return Err(refused),
            Known::Grant(grant) => return Ok(grant),
            Known::ByOrigin(verified) => verified,
        };
        key.1 = Some(origin.clone());
        if let Some(Known::Grant(grant)) = self.known.get(&key) {
            return Ok(grant);
        }
        let grant = self.new_grant(verified, origin);
        self.known.insert(key, Known::Grant(grant.clone()));
        Ok(grant)
    }

    fn new_grant(&self, verified: Arc<Verified>, origin: &Origin) -> Arc<Grant> {
        Arc::new(Grant::new(verified, origin, (&self.revoked, &self.counts), self.commands))
    }

    /// How often tokens were verified and asked.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Reads the revocation list again; whether it is another one. After an error the old one stays.
    pub fn reload(&self) -> Result<bool, String> {
        self.revoked.reload()
    }

    /// The token, if one of the keys it may be signed with did sign it.
    fn signed(&self, token: &[u8]) -> Result<Biscuit, Refused> {
        for nth in 0..self.keys.len() {
            let choose = |id: Option<u32>| self.key(id, nth).ok_or(Format::UnknownPublicKey);
            match Biscuit::from_base64(token, choose) {
                Ok(token) => return Ok(token),
                Err(Token::Format(Format::Signature(_))) => {}
                Err(Token::Format(Format::UnknownPublicKey)) => return Err(Refused::Unsigned),
                Err(_) => return Err(Refused::Unreadable),
            }
        }
        Err(Refused::Unsigned)
    }

    /// The `nth` of the keys for a token that names key `id`.
    fn key(&self, id: Option<u32>, nth: usize) -> Option<PublicKey> {
        let fits = |root: &&RootKey| id.is_none() || root.id.is_none() || root.id == id;
        self.keys.iter().filter(fits).nth(nth).map(|root| root.key)
    }
}

/// The text of a file of at most so many bytes.
fn text_of(path: &Path, bytes_max: usize) -> Result<String, String> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max as u64 + 1).read_to_string(&mut text))
        .map_err(|error| format!("{shown}: {error}"))?;
    if text.len() > bytes_max {
        return Err(format!("{shown}: it is longer than {bytes_max} bytes"));
    }
    Ok(text)
}

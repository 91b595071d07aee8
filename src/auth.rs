//! Tokens: who may do what.
//!
//! A token is a biscuit that a holder of a root key signed. Its authority block names a tenant and
//! rights; every holder can add blocks of checks to it, offline, that say what it must not do. An
//! [`Authenticator`] turns a token into a [`Grant`], and a grant says of each command whether it is
//! permitted. This module knows nothing of commands, connections or stores.

use std::path::Path;
use std::sync::Arc;

use biscuit_auth::error::{Format, Token};
use biscuit_auth::{Biscuit, PublicKey};

use crate::limits;

mod grant;
mod key;
mod revoked;

pub use grant::{Grant, is_tenant_name};
pub use key::{KEY_FORM, RootKey, keys_of_file};
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
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Refused::Unreadable => "it is not a token",
            Refused::Unsigned => "no root key signed it",
            Refused::NoTenant => "it does not name one tenant",
            Refused::Revoked => "it has been revoked",
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
}

impl Authenticator {
    /// Accepts tokens that one of `keys` signed and the list in the file `revoked` does not name.
    /// Requests have numbers below `commands`. A list that cannot be read is an error.
    pub fn new(
        keys: Vec<RootKey>,
        revoked: Option<&Path>,
        commands: usize,
    ) -> Result<Authenticator, String> {
        let _ = commands;
        Ok(Authenticator { keys, revoked: Arc::new(Revoked::open(revoked)?) })
    }

    /// What `token`, as it was given in `AUTH`, allows a connection from `origin`.
    pub fn verify(&self, token: &[u8], origin: &Origin, now: u64) -> Result<Arc<Grant>, Refused> {
        let _ = now;
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(Refused::Unreadable);
        }
        let grant = Grant::new(self.signed(token)?, origin, &self.revoked)?;
        if grant.is_revoked() {
            return Err(Refused::Revoked);
        }
        Ok(Arc::new(grant))
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

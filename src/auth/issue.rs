//! Making tokens: new keys, new tokens, and weaker ones out of those there are.
//!
//! The server only verifies; `ringstone token` and tests call this. Weakening takes no key: whoever
//! holds a token can add checks to it, offline.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use biscuit_auth::builder::{Check, Fact, Term};
use biscuit_auth::error::Token;
use biscuit_auth::{
    Algorithm, BiscuitBuilder, BlockBuilder, KeyPair, PrivateKey, UnverifiedBiscuit,
};

use super::analysis::window_of;
use super::{Class, RootKey, is_tenant_name};
use crate::limits;

/// The private half of a root key: who has it can issue any token.
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// A new random ed25519 key.
    pub fn random() -> SigningKey {
        SigningKey(KeyPair::new())
    }

    /// As files have it: `ed25519-private/HEX`.
    pub fn to_text(&self) -> String {
        self.0.private().to_prefixed_string()
    }

    /// What the server checks its signatures with.
    pub fn public(&self) -> RootKey {
        RootKey { id: None, key: self.0.public() }
    }
}

impl FromStr for SigningKey {
    type Err = String;

    /// Reads `ed25519-private/HEX`, `secp256r1-private/HEX`, bare HEX of an ed25519 key, or PEM.
    fn from_str(text: &str) -> Result<SigningKey, String> {
        let text = text.trim();
        let key = if text.starts_with("-----BEGIN") {
            PrivateKey::from_pem(text)
        } else if text.contains('/') {
            text.parse()
        } else {
            PrivateKey::from_bytes_hex(text, Algorithm::Ed25519)
        };
        // Why not is not said: the text is a secret, or nearly one.
        let key =
            key.map_err(|_| "it is not a private key, ed25519-private/HEX or PEM".to_owned())?;
        Ok(SigningKey(KeyPair::from(&key)))
    }
}

/// The secret stays out of logs.
impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.public())
    }
}

/// What a new token says.
#[derive(Debug, Clone)]
pub struct Mint<'a> {
    /// Whose data it is about; see [`is_tenant_name`].
    pub tenant: &'a str,
    /// What its holder may do.
    pub rights: &'a [Class],
    /// The first second, in Unix time, at which it is no longer valid.
    pub expires: Option<u64>,
    /// The id of the key that signs it, as the server's configuration has it.
    pub key_id: Option<u32>,
}

/// A new token.
pub fn mint(key: &SigningKey, mint: &Mint<'_>) -> Result<String, String> {
    if !is_tenant_name(mint.tenant.as_bytes()) {
        let most = limits::TENANT_NAME_BYTES_MAX;
        return Err(format!("a tenant's name is 1 to {most} of letters, digits and ._-"));
    }
    let fact =
        |name: &str, text: &str| Fact::new(name.to_owned(), vec![Term::Str(text.to_owned())]);
    let build = || {
        let mut token = BiscuitBuilder::new().fact(fact("tenant", mint.tenant))?;
        for right in mint.rights {
            token = token.fact(fact("right", right.name()))?;
        }
        if let Some(expires) = mint.expires {
            token = token.check(expiry(expires)?)?;
        }
        if let Some(id) = mint.key_id {
            token = token.root_key_id(id);
        }
        token.build(&key.0)?.to_base64()
    };
    build().map_err(|error: Token| error.to_string())
}

/// What a weaker token is limited to; empty and `None` leave it as it is.
#[derive(Debug, Clone, Default)]
pub struct Attenuation {
    /// Only commands that read.
    pub read_only: bool,
    /// Only keys that begin with one of these, and no command that touches data without naming keys.
    pub key_prefixes: Vec<String>,
    /// Only these commands and those about the connection; lower case, `client|kill` for subcommands.
    pub commands: Vec<String>,
    /// Only this database.
    pub database: Option<u8>,
    /// The first second, in Unix time, at which it is no longer valid.
    pub expires: Option<u64>,
    /// Only connections from this range.
    pub address: Option<AddressRange>,
}

impl Attenuation {
    fn checks(&self) -> Result<Vec<Check>, Token> {
        let mut checks = Vec::new();
        if self.read_only {
            checks.push(Check::try_from(r#"check if class("read") or class("connection")"#)?);
        }
        if !self.key_prefixes.is_empty() {
            let names: Vec<String> =
                (0..self.key_prefixes.len()).map(|place| format!("p{place}")).collect();
            let tests: Vec<String> =
                names.iter().map(|name| format!("$k.starts_with({{{name}}})")).collect();
            let tests = tests.join(" || ");
            let text = format!(r#"check all key($k), {tests} or class("connection")"#);
            let mut check = Check::try_from(text.as_str())?;
            for (name, prefix) in names.iter().zip(&self.key_prefixes) {
                check.set(name, Term::Str(prefix.clone()))?;
            }
            checks.push(check);
        }
        if !self.commands.is_empty() {
            let text = r#"check if command($c), {names}.contains($c) or class("connection")"#;
            let mut check = Check::try_from(text)?;
            let names = self.commands.iter().map(|name| Term::Str(name.to_ascii_lowercase()));
            check.set("names", Term::Set(names.collect()))?;
            checks.push(check);
        }
        if let Some(database) = self.database {
            let mut check = Check::try_from(r#"check if database({n}) or class("connection")"#)?;
            check.set("n", Term::Integer(database.into()))?;
            checks.push(check);
        }
        checks.extend(self.expires.map(expiry).transpose()?);
        checks.extend(self.address.as_ref().map(AddressRange::check).transpose()?);
        Ok(checks)
    }
}

fn expiry(expires: u64) -> Result<Check, Token> {
    let mut check = Check::try_from("check if time($t), $t < {expires}")?;
    check.set("expires", Term::Date(expires))?;
    Ok(check)
}

/// `token` with one more block, which limits it.
pub fn attenuate(token: &str, limits: &Attenuation) -> Result<String, String> {
    let token = unverified(token)?;
    let build = || {
        let mut block = BlockBuilder::new();
        for check in limits.checks()? {
            block = block.check(check)?;
        }
        if block.checks.is_empty() {
            return Ok(None);
        }
        token.append(block)?.to_base64().map(Some)
    };
    match build() {
        Ok(Some(token)) if token.len() > limits::TOKEN_BYTES_MAX => {
            Err(format!("the token would be longer than {} bytes", limits::TOKEN_BYTES_MAX))
        }
        Ok(Some(token)) => Ok(token),
        Ok(None) => Err("nothing is to be limited".to_owned()),
        Err(Token::AppendOnSealed) => {
            Err("the token is sealed: its holder must not change it".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn unverified(token: &str) -> Result<UnverifiedBiscuit, String> {
    let token = token.trim();
    if token.len() > limits::TOKEN_BYTES_MAX {
        return Err(format!("it is longer than {} bytes", limits::TOKEN_BYTES_MAX));
    }
    UnverifiedBiscuit::from_base64(token).map_err(|_| "it is not a token".to_owned())
}

/// Addresses with the same beginning, as far as a check on their text can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRange {
    /// One address, or `unix`.
    One(String),
    /// All that begin so.
    Prefix(String),
    /// All that match.
    Pattern(String),
}

impl FromStr for AddressRange {
    type Err = String;

    /// Reads an address, `unix`, or a range such as `10.1.0.0/16`.
    fn from_str(text: &str) -> Result<AddressRange, String> {
        let wrong = || format!("{text} is not an address or a range such as 10.1.0.0/16");
        if text == "unix" {
            return Ok(AddressRange::One(text.to_owned()));
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<usize>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        match (address.parse().map_err(|_| wrong())?, bits) {
            (IpAddr::V4(address), Some(bits)) if bits < 32 => Ok(range_4(address.octets(), bits)),
            (IpAddr::V6(address), Some(bits)) if bits < 128 => range_6(address.segments(), bits),
            (address, None | Some(32)) if address.is_ipv4() => {
                Ok(AddressRange::One(address.to_string()))
            }
            (address, None | Some(128)) if address.is_ipv6() => {
                Ok(AddressRange::One(address.to_string()))
            }
            _ => Err(wrong()),
        }
    }
}

fn range_4(octets: [u8; 4], bits: usize) -> AddressRange {
    let whole: String = octets[..bits / 8].iter().map(|octet| format!("{octet}.")).collect();
    if bits.is_multiple_of(8) && bits != 0 {
        return AddressRange::Prefix(whole);
    }
    // Every value that the octet in the middle may have; without any bits, the first may have all.
    let free = 8 - bits % 8;
    let first = usize::from(octets[bits / 8]) >> free << free;
    let values: Vec<String> = (first..first + (1 << free)).map(|value| value.to_string()).collect();
    let end = if bits / 8 == 3 { "$" } else { r"\." };
    let whole = whole.replace('.', r"\.");
    AddressRange::Pattern(format!("^{whole}({}){end}", values.join("|")))
}

/// The text of an IPv6 address leaves out zeros, so only some ranges have a beginning of their own.
fn range_6(segments: [u16; 8], bits: usize) -> Result<AddressRange, String> {
    let whole = &segments[..bits / 16];
    if bits == 0 || !bits.is_multiple_of(16) || whole.contains(&0) {
        return Err("a range of IPv6 addresses ends between groups, none of them zero".to_owned());
    }
    Ok(AddressRange::Prefix(whole.iter().map(|group| format!("{group:x}:")).collect()))
}

impl AddressRange {
    fn check(&self) -> Result<Check, Token> {
        let (text, test) = match self {
            AddressRange::One(text) => (text, "$a == {text}"),
            AddressRange::Prefix(text) => (text, "$a.starts_with({text})"),
            AddressRange::Pattern(text) => (text, "$a.matches({text})"),
        };
        let check = format!("check if client_address($a), {test}");
        let mut check = Check::try_from(check.as_str())?;
        check.set("text", Term::Str(text.clone()))?;
        Ok(check)
    }
}

/// What a token says, as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether the key that was given signed it; `None` without one.
    pub is_signed: Option<bool>,
    /// The id of the key it names.
    pub key_id: Option<u32>,
    /// Its tenants: one, if it is to be accepted.
    pub tenants: Vec<String>,
    /// Its rights.
    pub rights: Vec<String>,
    /// When its plain checks on time stop holding, in Unix seconds and as text.
    pub expires: Option<(u64, String)>,
    /// The authority block, and those that were added to it.
    pub blocks: Vec<BlockInspection>,
}

/// A block of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockInspection {
    /// Its id for the revocation list, in hex: it revokes all tokens with this block.
    pub revocation_id: String,
    /// Its facts, rules and checks in Datalog, without control characters.
    pub lines: Vec<String>,
}

/// What `token` says, and whether `key` signed it.
pub fn inspect(token: &str, key: Option<&RootKey>) -> Result<Inspection, String> {
    let token = unverified(token)?;
    let mut blocks = Vec::new();
    let mut expires = u64::MAX;
    let mut facts = Vec::new();
    for (place, id) in token.revocation_identifiers().iter().enumerate() {
        let text = token.print_block_source(place).map_err(|error| error.to_string())?;
        // What cannot be read back says nothing about tenant and time, but is shown.
        let block = BlockBuilder::new().code(&text).unwrap_or_default();
        let windows = block.checks.iter().filter_map(window_of);
        expires = windows.fold(expires, |expires, (_, until)| expires.min(until));
        if place == 0 {
            facts = block.facts;
        }
        let plain = |c: char| if c.is_control() { '?' } else { c };
        let lines = text.lines().map(|line| line.chars().map(plain).collect());
        let revocation_id = id.iter().map(|byte| format!("{byte:02x}")).collect();
        blocks.push(BlockInspection { revocation_id, lines: lines.collect() });
    }
    let named = |name: &str| {
        let facts = facts.iter().filter(|fact| fact.predicate.name == name);
        let texts = facts.filter_map(|fact| match fact.predicate.terms.as_slice() {
            [Term::Str(text)] => Some(text.replace(char::is_control, "?")),
            _ => None,
        });
        texts.collect()
    };
    Ok(Inspection {
        key_id: token.root_key_id(),
        tenants: named("tenant"),
        rights: named("right"),
        expires: (expires != u64::MAX).then(|| (expires, Term::Date(expires).to_string())),
        blocks,
        is_signed: key.map(|root| token.verify(root.key).is_ok()),
    })
}

//! Root keys: who may issue tokens.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use biscuit_auth::{Algorithm, PublicKey};

use crate::limits;

/// A public key whose tokens are accepted, with the id that tokens may name it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootKey {
    /// A token that names a key id is checked with keys of that id, and with keys that have none.
    pub id: Option<u32>,
    /// What signatures are checked with.
    pub key: PublicKey,
}

/// What a key's text may be, in error messages.
const KEY_FORM: &str = "[ID:]ed25519/HEX";

impl FromStr for RootKey {
    type Err = String;

    /// Reads `[ID:]ed25519/HEX`, `[ID:]secp256r1/HEX`, bare HEX of an ed25519 key, or PEM.
    fn from_str(text: &str) -> Result<RootKey, String> {
        let text = text.trim();
        if text.starts_with("-----BEGIN") {
            let key = PublicKey::from_pem(text).map_err(|_| "it is not a public key".to_owned())?;
            return Ok(RootKey { id: None, key });
        }
        let (id, key) = match text.split_once(':') {
            Some((id, key)) => {
                let id = id.parse().map_err(|_| format!("it is not a public key, {KEY_FORM}"))?;
                (Some(id), key)
            }
            None => (None, text),
        };
        // A private key in the wrong place must not end up in an error message.
        if key.contains("private") {
            return Err("it is a private key; the server needs the public one".to_owned());
        }
        let (algorithm, hex) = match key.split_once('/') {
            Some(("ed25519", hex)) => (Algorithm::Ed25519, hex),
            Some(("secp256r1", hex)) => (Algorithm::Secp256r1, hex),
            Some((other, _)) => return Err(format!("{other} is not ed25519 or secp256r1")),
            None => (Algorithm::Ed25519, key),
        };
        let key = PublicKey::from_bytes_hex(hex, algorithm)
            .map_err(|_| format!("it is not a public key, {KEY_FORM}"))?;
        Ok(RootKey { id, key })
    }
}

impl fmt::Display for RootKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.id {
            write!(out, "{id}:")?;
        }
        write!(out, "{}/{}", self.key.algorithm_string(), self.key.to_bytes_hex())
    }
}

/// The keys in the file at `path`: one PEM block, or one key a line with `#` for comments.
pub fn keys_of_file(path: &Path) -> Result<Vec<RootKey>, String> {
    let text = super::text_of(path, limits::CONFIG_FILE_BYTES_MAX)?;
    keys_of(&text).map_err(|problem| format!("{}: {problem}", path.display()))
}

pub(super) fn keys_of(text: &str) -> Result<Vec<RootKey>, String> {
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(vec![text.parse()?]);
    }
    let lines = text.lines().map(str::trim);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<RootKey> = keys.map(str::parse).collect::<Result<_, _>>()?;
    if keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(keys) }
}

//! Tokens for servers under test, all signed with one key that is no secret.

use biscuit_auth::builder::{Algorithm, BiscuitBuilder, BlockBuilder};
use biscuit_auth::{Biscuit, KeyPair, PrivateKey};

use super::{Conn, Reply, Server};

/// The flag that makes a server accept these tokens.
pub const FLAGS: [&str; 2] = ["--auth-public-key", PUBLIC];
/// The public half of the key.
pub const PUBLIC: &str = "ed25519/ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";

/// The key.
pub fn root() -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&[7; 32], Algorithm::Ed25519).unwrap())
}

/// A token of `tenant` with more Datalog in its authority block.
pub fn mint(tenant: &str, code: &str) -> Biscuit {
    let builder = BiscuitBuilder::new().code(format!("tenant(\"{tenant}\"); {code}")).unwrap();
    builder.build(&root()).unwrap()
}

/// A token of `tenant` that may read and write.
pub fn plain(tenant: &str) -> String {
    text(&mint(tenant, "right(\"read\"); right(\"write\");"))
}

/// A token of `tenant` that may do everything, also what concerns other tenants.
pub fn operator(tenant: &str) -> String {
    text(&mint(tenant, "right(\"read\"); right(\"write\"); right(\"admin\");"))
}

/// The token with one more block.
pub fn attenuate(token: &Biscuit, code: &str) -> Biscuit {
    token.append(BlockBuilder::new().code(code).unwrap()).unwrap()
}

/// As `AUTH` takes it.
pub fn text(token: &Biscuit) -> String {
    token.to_base64().unwrap()
}

/// A point in time, in Unix seconds, as tokens have it.
pub fn date(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A connection that has authenticated.
pub fn connect(server: &Server, token: &str) -> Conn {
    let mut conn = server.connect();
    assert_eq!(conn.call(&["AUTH", token]), Reply::Simple(b"OK".to_vec()));
    conn
}

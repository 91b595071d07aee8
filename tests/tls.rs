//! Property: over TLS everything is as without it, nobody gets in who must not, and what one client does
//! to its records or its handshake disturbs no other.
//!
//! `openssl`, `redis-cli` and rustls are the clients. `RINGSTONE_TEST_SEED` changes what garbage is sent.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "tls/handshakes.rs"]
mod handshakes;
#[path = "tls/lives.rs"]
mod lives;
#[path = "tls/stage.rs"]
mod stage;
#[path = "tls/traffic.rs"]
mod traffic;

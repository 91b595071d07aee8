//! What the black-box tests share: servers started in temporary directories, raw connections, and
//! replies kept both as bytes and as a tree.
//!
//! Nothing here uses ringstone's own code: a mistake in its protocol layer must not cancel itself
//! out in the tests. Every wait has a deadline and fails with what was being waited for.

#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::disallowed_methods)]

pub mod arguments;
mod conn;
pub mod fdb;
pub mod history;
pub mod http;
mod load;
mod reply;
mod rng;
pub mod script;
mod server;
pub mod text;
pub mod tokens;

pub use conn::{Address, Conn, ReadFailure, encode};
pub use load::{Load, kill_under_load};
pub use reply::{Reply, parse_reply};
pub use rng::Rng;
pub use server::{Options, Server, Subject, flush, free_port};

/// How long any single reply, start or stop may take before the test fails.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// Asks again and again until what is told is so, which it must become in time.
pub fn until<T: std::fmt::Debug>(
    what: &str,
    mut ask: impl FnMut() -> T,
    is_so: impl Fn(&T) -> bool,
) -> T {
    let started = std::time::Instant::now();
    loop {
        let told = ask();
        if is_so(&told) {
            return told;
        }
        assert!(started.elapsed() < DEADLINE, "never: {what}\n{told:#?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Waits until something is true, which it must become in time.
pub fn eventually(what: &str, is_true: impl FnMut() -> bool) {
    until(what, is_true, |is_true| *is_true);
}

/// A command from words, for tests that write them inline.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

/// The environment variable `name` as a number, or `default`.
pub fn env_number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

//! Error replies of the gates, in Redis 7.0's words.

use std::fmt::Write as _;

use crate::command::Args;

/// Bytes of a command's name and arguments quoted in an error (Redis: 128).
const QUOTED_BYTES_MAX: usize = 128;

/// Whether a command's name is how an HTTP request begins a line. Redis ends such connections without
/// a word: a browser may have been made to send commands in a request's body.
pub fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// The number of arguments does not fit the command.
pub fn wrong_arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// A container has no such subcommand.
pub fn unknown_subcommand(container: &str, subcommand: &[u8]) -> String {
    let quoted = quote(subcommand, QUOTED_BYTES_MAX);
    format!("ERR unknown subcommand '{quoted}'. Try {} HELP.", container.to_uppercase())
}

/// There is no such command.
pub fn unknown_command(args: Args<'_>) -> String {
    let mut text = String::new();
    let name = quote(args.get(0), QUOTED_BYTES_MAX);
    let _ = write!(text, "ERR unknown command '{name}', with args beginning with: ");
    let mut quoted_len = 0;
    for arg in args.iter().skip(1) {
        if quoted_len >= QUOTED_BYTES_MAX {
            break;
        }
        let quoted = quote(arg, QUOTED_BYTES_MAX - quoted_len);
        quoted_len += quoted.len() + 3;
        let _ = write!(text, "'{quoted}' ");
    }
    text
}

fn quote(bytes: &[u8], bytes_max: usize) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()).min(bytes_max);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

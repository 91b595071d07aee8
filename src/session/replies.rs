//! Error replies of the gates, in Redis 7.0's words.

use crate::command::Args;
use crate::error::quoted;

/// Bytes of a command's name and arguments quoted in an error (Redis: 128).
const QUOTED_BYTES_MAX: usize = 128;

/// Whether a command's name is how an HTTP request begins a line. Redis ends such connections without
/// a word: a browser may have been made to send commands in a request's body.
pub fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// The number of arguments does not fit the command.
pub fn wrong_arity(name: &str) -> Vec<u8> {
    format!("ERR wrong number of arguments for '{name}' command").into_bytes()
}

/// A container has no such subcommand.
pub fn unknown_subcommand(container: &str, subcommand: &[u8]) -> Vec<u8> {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(quoted(subcommand, QUOTED_BYTES_MAX));
    text.extend_from_slice(b"'. Try ");
    text.extend_from_slice(container.to_uppercase().as_bytes());
    text.extend_from_slice(b" HELP.");
    text
}

/// `EXEC` of commands that were permitted when they were queued.
pub fn no_longer_allowed(refusal: &[u8]) -> Vec<u8> {
    [b"-EXECABORT Transaction discarded because of: ", refusal, b"\r\n"].concat()
}

/// There is no such command.
pub fn unknown_command(args: Args<'_>) -> Vec<u8> {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quoted(args.get(0), QUOTED_BYTES_MAX));
    text.extend_from_slice(b"', with args beginning with: ");
    let begin = text.len();
    for arg in args.iter().skip(1) {
        let quoted_len = text.len() - begin;
        if quoted_len >= QUOTED_BYTES_MAX {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(quoted(arg, QUOTED_BYTES_MAX - quoted_len));
        text.extend_from_slice(b"' ");
    }
    text
}

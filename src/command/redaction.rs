//! Which arguments of a command nobody else is shown: what a client proves who it is with.
//!
//! Whatever repeats commands to others (`SLOWLOG`, `MONITOR`, logs) gets their arguments from [`shown`].
//! It hides what Redis hides, and beyond that whatever stands where a secret would in a command that is
//! not right: `HELLO` with a forgotten version, `AUTH` with too many arguments. What names no command
//! has no row and must not be shown at all.

use super::{Args, Spec};
use crate::num;

/// What stands for an argument that is not shown.
pub const REDACTED: &[u8] = b"(redacted)";

/// Parameters of `CONFIG SET` whose values are secrets in Redis; refused here, but somebody typed one.
const SECRET_PARAMETERS: [&[u8]; 5] = [
    b"requirepass",
    b"masterauth",
    b"masteruser",
    b"tls-key-file-pass",
    b"tls-client-key-file-pass",
];

/// What an argument says about itself and those behind it.
enum Found {
    /// It is shown, and so are that many more without a look.
    Plain(usize),
    /// It is shown, and that many behind it are not.
    Before(usize),
    /// Neither it nor any other is.
    Rest,
}

/// The arguments of a command as others may see them, its name first, each in full or [`REDACTED`].
pub fn shown<'a>(spec: &'static Spec, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let look: Option<fn(usize, &[u8]) -> Found> = match spec.name {
        "auth" => Some(auth),
        "hello" => Some(hello),
        "config|set" => Some(config_set),
        _ => None,
    };
    let (mut plain, mut hidden) = (if look.is_some() { 0 } else { usize::MAX }, 0usize);
    args.iter().enumerate().map(move |(at, arg)| {
        if hidden > 0 {
            hidden -= 1;
            return REDACTED;
        }
        if plain > 0 {
            plain -= 1;
            return arg;
        }
        match look.map(|look| look(at, arg)) {
            Some(Found::Plain(count)) => plain = count,
            Some(Found::Before(count)) => hidden = count,
            Some(Found::Rest) => {
                hidden = usize::MAX;
                return REDACTED;
            }
            None => {}
        }
        arg
    })
}

/// `AUTH [username] password`.
fn auth(_: usize, _: &[u8]) -> Found {
    Found::Before(usize::MAX)
}

/// `HELLO [version [AUTH username password] [SETNAME name]]`.
fn hello(at: usize, arg: &[u8]) -> Found {
    match at {
        0 => Found::Plain(0),
        1 if num::parse_i64(arg).is_some() => Found::Plain(0),
        1 => Found::Rest,
        _ if arg.eq_ignore_ascii_case(b"auth") => Found::Before(2),
        _ if arg.eq_ignore_ascii_case(b"setname") => Found::Plain(1),
        _ => Found::Rest,
    }
}

/// `CONFIG SET parameter value [parameter value ...]`.
fn config_set(at: usize, arg: &[u8]) -> Found {
    match at {
        0 => Found::Plain(1),
        _ if SECRET_PARAMETERS.iter().any(|name| arg.eq_ignore_ascii_case(name)) => {
            Found::Before(1)
        }
        _ => Found::Plain(1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Found, lookup};
    use super::*;
    use crate::resp::Span;

    fn redacted(request: &str) -> String {
        let mut start = 0;
        let spans: Vec<Span> = request
            .split(' ')
            .map(|arg| {
                let span = Span { start, len: arg.len() as u32 };
                start += span.len + 1;
                span
            })
            .collect();
        let args = Args::new(request.as_bytes(), &spans);
        let Found::Command(spec) = lookup(args) else { panic!("{request}") };
        let shown = shown(spec, args).map(|arg| String::from_utf8_lossy(arg).into_owned());
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn credentials_are_hidden() {
        for (request, expected) in [
            ("AUTH secret", "AUTH (redacted)"),
            ("auth user secret", "auth (redacted) (redacted)"),
            ("AUTH user secret 3", "AUTH (redacted) (redacted) (redacted)"),
            ("HELLO", "HELLO"),
            ("HELLO 3", "HELLO 3"),
            ("HELLO 3 SETNAME auth", "HELLO 3 SETNAME auth"),
            ("HELLO 3 AUTH user secret", "HELLO 3 AUTH (redacted) (redacted)"),
            (
                "HELLO 3 setname auth auth user secret SETNAME b",
                "HELLO 3 setname auth auth (redacted) (redacted) SETNAME b",
            ),
            ("CONFIG SET requirepass secret", "CONFIG SET requirepass (redacted)"),
            (
                "CONFIG SET port 1 MasterAuth secret dir requirepass tls-key-file-pass secret",
                "CONFIG SET port 1 MasterAuth (redacted) dir requirepass \
                 tls-key-file-pass (redacted)",
            ),
        ] {
            assert_eq!(redacted(request), expected);
        }
    }

    #[test]
    fn what_is_not_right_is_hidden_from_where_a_secret_may_be() {
        for (request, expected) in [
            ("HELLO secret", "HELLO (redacted)"),
            ("HELLO AUTH user secret", "HELLO (redacted) (redacted) (redacted)"),
            ("HELLO 3 AUTH secret", "HELLO 3 AUTH (redacted)"),
            ("HELLO 3 user secret", "HELLO 3 (redacted) (redacted)"),
            ("HELLO 3 AUTH user a secret", "HELLO 3 AUTH (redacted) (redacted) (redacted)"),
            ("CONFIG SET port 1 requirepass", "CONFIG SET port 1 requirepass"),
        ] {
            assert_eq!(redacted(request), expected);
        }
    }

    #[test]
    fn everything_else_is_shown() {
        for request in ["GET auth", "SET auth secret", "MSET a auth b c", "CONFIG GET requirepass"]
        {
            assert_eq!(redacted(request), request);
        }
    }
}

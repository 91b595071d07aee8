//! Which databases a command touches, as far as its arguments tell: what a token is asked about.

use super::{Args, Flags, Spec};
use crate::limits::DATABASES;
use crate::num;

/// The database that `SELECT` selects, if it does.
pub fn selected(args: Args<'_>) -> Option<u8> {
    index(args, 1)
}

/// The databases that the command touches when `current` is the one selected: bit `n` stands for
/// database `n`. What the command refuses anyway may be missing.
pub fn touched(spec: &Spec, args: Args<'_>, current: u8) -> u16 {
    let one = |database: Option<u8>| database.map_or(0, |database| 1 << database);
    let here = one(Some(current));
    match spec.name {
        "flushall" => u16::MAX,
        "select" => one(selected(args).or(Some(current))),
        "move" => here | one(index(args, 2)),
        "swapdb" => one(index(args, 1)) | one(index(args, 2)),
        "copy" => (3..args.len())
            .filter(|&at| args.get(at).eq_ignore_ascii_case(b"db"))
            .fold(here, |touched, at| touched | one(index(args, at + 1))),
        _ if spec.flags.has(Flags::TELLS) => u16::MAX,
        _ => here,
    }
}

/// Whether it may touch other databases than the one selected.
pub fn are_named(spec: &Spec) -> bool {
    matches!(spec.name, "flushall" | "select" | "move" | "swapdb" | "copy")
        || spec.flags.has(Flags::TELLS)
}

fn index(args: Args<'_>, at: usize) -> Option<u8> {
    let text = (at < args.len()).then(|| args.get(at))?;
    let database = u8::try_from(num::parse_i64(text)?).ok()?;
    (database < DATABASES).then_some(database)
}

//! Options that several commands share: conditions, when a key expires, how many random elements.

use super::Args;
use crate::data::collection::Draw;
use crate::error::{self, Stop};
use crate::num;

/// How the time of an expiry is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryUnit {
    /// `EX`: seconds from now.
    Seconds,
    /// `PX`: milliseconds from now.
    Milliseconds,
    /// `EXAT`: Unix time in seconds.
    UnixSeconds,
    /// `PXAT`: Unix time in milliseconds.
    UnixMilliseconds,
}

impl ExpiryUnit {
    /// The unit that an option's name stands for.
    fn named(option: &[u8]) -> Option<ExpiryUnit> {
        let units = [
            (&b"ex"[..], ExpiryUnit::Seconds),
            (b"px", ExpiryUnit::Milliseconds),
            (b"exat", ExpiryUnit::UnixSeconds),
            (b"pxat", ExpiryUnit::UnixMilliseconds),
        ];
        units.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name)).map(|(_, unit)| unit)
    }
}

/// An expiry as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry<'a> {
    /// What the number means.
    pub unit: ExpiryUnit,
    /// The number, not yet read: whether it is one is of interest only once all options are right.
    pub amount: &'a [u8],
}

impl Expiry<'_> {
    /// The moment in Unix milliseconds, never 0; it may be past. Errors name `command`.
    pub fn unix_ms(self, now_ms: u64, command: &str) -> Result<u64, Stop> {
        use ExpiryUnit::{Milliseconds, Seconds, UnixMilliseconds, UnixSeconds};
        let amount = num::parse_i64(self.amount).ok_or(error::NOT_AN_INTEGER)?;
        let scale = if matches!(self.unit, Seconds | UnixSeconds) { 1000 } else { 1 };
        let base = match self.unit {
            Seconds | Milliseconds => now_ms as i64,
            UnixSeconds | UnixMilliseconds => 0,
        };
        let at = (amount > 0).then_some(amount).and_then(|amount| amount.checked_mul(scale));
        at.and_then(|ms| ms.checked_add(base))
            .map(|ms| ms as u64)
            .ok_or_else(|| format!("ERR invalid expire time in '{command}' command").into())
    }
}

/// On what a `SET` depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// `NX`: the key is not there.
    IfAbsent,
    /// `XX`: the key is there.
    IfPresent,
}

/// The options of `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetOptions<'a> {
    /// `NX` or `XX`.
    pub condition: Condition,
    /// `GET`: the reply is the old value.
    pub get: bool,
    /// `KEEPTTL`: the key keeps its expiry.
    pub keep_ttl: bool,
    /// The new expiry.
    pub expiry: Option<Expiry<'a>>,
}

impl<'a> SetOptions<'a> {
    /// Reads what follows the value.
    pub fn parse(args: Args<'a>) -> Result<SetOptions<'a>, Stop> {
        let mut options = SetOptions::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"nx") && options.condition != Condition::IfPresent {
                options.condition = Condition::IfAbsent;
            } else if is(b"xx") && options.condition != Condition::IfAbsent {
                options.condition = Condition::IfPresent;
            } else if is(b"get") {
                options.get = true;
            } else if is(b"keepttl") && options.expiry.is_none() {
                options.keep_ttl = true;
            } else if !options.keep_ttl {
                options.expiry = Some(expiry(option, args.next(), options.expiry)?);
            } else {
                return Err(error::SYNTAX.into());
            }
        }
        Ok(options)
    }
}

/// What `GETEX` does to a key's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GetexOption<'a> {
    /// Nothing.
    Keep,
    /// `PERSIST`: removes it.
    Persist,
    /// Sets it.
    Set(Expiry<'a>),
}

impl<'a> GetexOption<'a> {
    /// Reads what follows the key.
    pub fn parse(args: Args<'a>) -> Result<GetexOption<'a>, Stop> {
        let mut chosen = GetexOption::Keep;
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let persist = option.eq_ignore_ascii_case(b"persist");
            chosen = match chosen {
                GetexOption::Keep | GetexOption::Persist if persist => GetexOption::Persist,
                GetexOption::Keep => GetexOption::Set(expiry(option, args.next(), None)?),
                GetexOption::Set(old) => GetexOption::Set(expiry(option, args.next(), Some(old))?),
                GetexOption::Persist => return Err(error::SYNTAX.into()),
            };
        }
        Ok(chosen)
    }
}

/// The expiry that an option and its value give. One may be given again, but only in the same unit.
fn expiry<'a>(
    option: &[u8],
    amount: Option<&'a [u8]>,
    before: Option<Expiry<'a>>,
) -> Result<Expiry<'a>, Stop> {
    match (ExpiryUnit::named(option), amount) {
        (Some(unit), Some(amount)) if before.is_none_or(|before| before.unit == unit) => {
            Ok(Expiry { unit, amount })
        }
        _ => Err(error::SYNTAX.into()),
    }
}

/// Reads how many random elements are wanted: a negative count means that they may repeat.
pub fn draw(text: &[u8]) -> Result<Draw, Stop> {
    const MOST: i64 = i64::MAX;
    let count = num::parse_i64(text).ok_or(error::NOT_AN_INTEGER)?;
    if count < -MOST {
        return Err(
            format!("ERR value is out of range, value must between -{MOST} and {MOST}").into()
        );
    }
    let magnitude = count.unsigned_abs();
    Ok(if count < 0 { Draw::Repeated(magnitude) } else { Draw::Distinct(magnitude) })
}

/// Reads what follows the key of a command that chooses elements which have values: nothing, or a
/// count, or that and the option that asks for the values. Whether it does.
pub fn draw_with(args: Args<'_>, option: &[u8]) -> Result<(Option<Draw>, bool), Stop> {
    if args.is_empty() {
        return Ok((None, false));
    }
    let draw = draw(args.get(0))?;
    match args.len() {
        1 => return Ok((Some(draw), false)),
        2 if args.get(1).eq_ignore_ascii_case(option) => {}
        _ => return Err(error::SYNTAX.into()),
    }
    // They are twice as many elements of the reply.
    if draw.count() > i64::MAX as u64 / 2 {
        return Err("ERR value is out of range".into());
    }
    Ok((Some(draw), true))
}

//! `BITOP`: whole strings, byte by byte.

use crate::command::{Ctx, Outcome};
use crate::data::entry::check_key;
use crate::data::string;
use crate::error::{self, Stop};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(name: &[u8]) -> Result<Operation, Stop> {
        let names = [
            (&b"and"[..], Operation::And),
            (b"or", Operation::Or),
            (b"xor", Operation::Xor),
            (b"not", Operation::Not),
        ];
        let named = names.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        Ok(named.ok_or(error::SYNTAX)?.1)
    }

    /// Combines what the sources so far gave with the next one. The shorter goes on with zeros.
    fn fold(self, result: &mut Vec<u8>, next: &[u8]) {
        if result.len() < next.len() {
            result.resize(next.len(), 0);
        }
        let (both, rest) = result.split_at_mut(next.len());
        let pairs = both.iter_mut().zip(next);
        match self {
            Operation::And => {
                pairs.for_each(|(old, new)| *old &= new);
                rest.fill(0);
            }
            Operation::Or => pairs.for_each(|(old, new)| *old |= new),
            Operation::Xor => pairs.for_each(|(old, new)| *old ^= new),
            Operation::Not => pairs.for_each(|(old, new)| *old = !new),
        }
    }
}

pub(super) fn bitop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let operation = Operation::parse(ctx.arg(1))?;
    if operation == Operation::Not && ctx.args.len() != 4 {
        return Err("ERR BITOP NOT must be called with a single source key.".into());
    }
    let target = ctx.arg(2);
    check_key(target)?;
    let mut result: Option<Vec<u8>> = None;
    let mut pending = Ok(());
    for key in ctx.args.from(3).iter() {
        let found = string::get(ctx.view, keyspace, key);
        let source = match &found {
            Ok(Some(found)) => found.value(ctx.view, keyspace),
            Ok(None) => Ok((&[][..]).into()),
            Err(stop) => Err(stop.clone()),
        };
        match (source, &mut result) {
            (Ok(source), Some(result)) => operation.fold(result, &source),
            (Ok(source), None) if operation == Operation::Not => {
                result = Some(source.iter().map(|byte| !byte).collect());
            }
            (Ok(source), None) => result = Some(source.into_owned()),
            // Go on, so that all sources are fetched together.
            (Err(Stop::Pending), _) => pending = Err(Stop::Pending),
            (Err(other), _) => return Err(other),
        }
    }
    pending?;
    let result = result.unwrap_or_default();
    if result.is_empty() {
        ctx.view.remove(keyspace, target)?;
    } else {
        let prior = ctx.view.prior_if_cheap(keyspace, target)?;
        string::put(ctx.view, keyspace, target, &[&result], 0, prior)?;
    }
    ctx.reply.integer(result.len() as i64);
    Ok(())
}

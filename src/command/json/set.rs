//! JSON commands that put values into documents and take them out, whatever the values are.

use std::collections::BTreeSet;

use super::{
    Document, NEW_AT_ROOT, NO_DOCUMENT, at_most, check_growth, check_text, path_at, write,
    wrong_arity,
};
use crate::command::options::Condition;
use crate::command::{Ctx, Outcome};
use crate::data::string;
use crate::error::{self, Stop, Together};
use crate::json::edit::{self, at};
use crate::json::{self, Index, Path, Search};

pub(super) fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (key, path, text) = (ctx.arg(1), Path::parse(ctx.arg(2))?, ctx.arg(3));
    let mut condition = Condition::Always;
    let mut options = ctx.args.from(4);
    while !options.is_empty() {
        let may_choose = condition == Condition::Always;
        match &options.get(0).to_ascii_lowercase()[..] {
            b"nx" if may_choose => condition = Condition::IfAbsent,
            b"xx" if may_choose => condition = Condition::IfPresent,
            b"format" => {
                options = options.from(1);
                check_format(options.iter().next())?;
            }
            _ => return Err(error::SYNTAX.into()),
        }
        options = options.from(1);
    }
    reply_done(ctx, |ctx| set_value(ctx, key, &path, text, condition))
}

/// Refuses formats of a value other than JSON, which RedisJSON knows by two names.
fn check_format(name: Option<&[u8]>) -> Outcome {
    match name {
        Some(b"JSON" | b"STRING") => Ok(()),
        Some(_) => Err("ERR wrong format".into()),
        None => Err(error::SYNTAX.into()),
    }
}

/// Replies OK if `act` did something, null otherwise.
fn reply_done(
    ctx: &mut Ctx<'_, '_>,
    act: impl FnOnce(&mut Ctx<'_, '_>) -> Result<bool, Stop>,
) -> Outcome {
    match act(ctx)? {
        true => ctx.reply.ok(),
        false => ctx.reply.null(),
    }
    Ok(())
}

/// Sets the values at a path to `text`; whether it did.
fn set_value(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    path: &Path<'_>,
    text: &[u8],
    condition: Condition,
) -> Result<bool, Stop> {
    if path.is_root() {
        return set_root(ctx, key, text, condition);
    }
    let value = json::parse_arg(text)?;
    let Some(mut document) = Document::open(ctx, key)? else {
        let refused = condition == Condition::IfPresent;
        return if refused { Ok(false) } else { Err(NEW_AT_ROOT.into()) };
    };
    if condition != Condition::IfAbsent {
        let places = edit::outermost(Search::new(&document.root).places(path)?);
        if !places.is_empty() {
            check_growth(ctx, places.len(), text.len())?;
            for place in &places {
                *at(&mut document.root, place).expect("it was found") = value.clone();
            }
            document.save(ctx, key)?;
            return Ok(true);
        }
        if condition == Condition::IfPresent {
            return Ok(false);
        }
    }
    add(ctx, key, path, document, value)
}

/// Makes `text` the document at a key. Of what is there it matters only whether it is a string, and
/// when it expires.
fn set_root(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    text: &[u8],
    condition: Condition,
) -> Result<bool, Stop> {
    let text = json::compact(text)?;
    let keyspace = ctx.keyspace()?;
    let (found, prior) = string::get_to_replace(ctx.view, keyspace, key)?;
    let holds = match condition {
        Condition::Always => true,
        Condition::IfAbsent => found.is_none(),
        Condition::IfPresent => found.is_some(),
    };
    drop(found);
    if holds {
        write(ctx, keyspace, key, &text, prior)?;
    }
    Ok(holds)
}

/// Adds the member that the path ends with; whether there was an object to add it to, without such a
/// member. Objects on the way are not created.
fn add(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    path: &Path<'_>,
    mut document: Document,
    value: json::Value,
) -> Result<bool, Stop> {
    let Some(steps) = path.fixed() else { return Err("Err wrong static path".into()) };
    if let Some(Index::At(_)) = steps.last() {
        let is_there = !Search::new(&document.root).find(path)?.is_empty();
        return if is_there { Ok(false) } else { Err("ERR array index out of range".into()) };
    }
    let added = edit::add_member(&mut document.root, steps, value);
    if added {
        document.save(ctx, key)?;
    }
    Ok(added)
}

pub(super) fn mset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() % 3 != 1 {
        return Err(wrong_arity(ctx));
    }
    let keyspace = ctx.keyspace()?;
    let end = ctx.args.len();
    let triplets = || (1..end).step_by(3);
    let mut paths = Vec::with_capacity(ctx.args.len() / 3);
    let mut together = Together::default();
    for index in triplets() {
        let path = Path::parse(ctx.arg(index + 1))?;
        let looked =
            string::get_to_replace(ctx.view, keyspace, ctx.arg(index)).and_then(
                |found| match found.0 {
                    Some(found) if !path.is_root() => found.value(ctx.view, keyspace).map(drop),
                    _ => Ok(()),
                },
            );
        together.take(looked)?;
        paths.push(path);
    }
    together.end()?;
    reply_done(ctx, |ctx| {
        let (mut all, mut parsed) = (true, 0);
        for (path, index) in paths.iter().zip(triplets()) {
            let (key, text) = (ctx.arg(index), ctx.arg(index + 2));
            if !path.is_root() {
                let found = string::get(ctx.view, keyspace, key)?;
                parsed += found.map_or(0, |found| found.len());
                check_text(parsed)?;
            }
            all &= set_value(ctx, key, path, text, Condition::Always)?;
        }
        Ok(all)
    })
}

pub(super) fn merge(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 6)?;
    if ctx.args.len() > 4 {
        if !ctx.arg(4).eq_ignore_ascii_case(b"format") {
            return Err(error::SYNTAX.into());
        }
        check_format(ctx.args.from(5).iter().next())?;
    }
    let (key, path, text) = (ctx.arg(1), Path::parse(ctx.arg(2))?, ctx.arg(3));
    reply_done(ctx, |ctx| merge_value(ctx, key, &path, text))
}

fn merge_value(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    path: &Path<'_>,
    text: &[u8],
) -> Result<bool, Stop> {
    let patch = json::parse_arg(text)?;
    let Some(mut document) = Document::open(ctx, key)? else {
        // As in RedisJSON, what there is nothing to merge with stays as it is, its nulls included.
        return match path.is_root() {
            true => set_root(ctx, key, text, Condition::Always),
            false => Err(NEW_AT_ROOT.into()),
        };
    };
    let mut places = Search::new(&document.root).places(path)?;
    if places.is_empty() {
        return add(ctx, key, path, document, patch);
    }
    // Each value is merged with once, however often the path finds it.
    let mut seen = BTreeSet::new();
    places.retain(|place| seen.insert(place.clone()));
    check_growth(ctx, places.len(), text.len())?;
    let mut merged = false;
    for place in &places {
        // What an earlier merge removed is not there any more.
        if let Some(value) = at(&mut document.root, place) {
            edit::merge(value, patch.clone());
            merged = true;
        }
    }
    document.save(ctx, key)?;
    Ok(merged)
}

pub(super) fn del(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 3)?;
    let (key, path) = (ctx.arg(1), path_at(ctx, 2)?);
    let removed = if path.is_root() { del_root(ctx, key)? } else { del_values(ctx, key, &path)? };
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn del_root(ctx: &mut Ctx<'_, '_>, key: &[u8]) -> Result<usize, Stop> {
    let keyspace = ctx.keyspace()?;
    // Only to refuse other types.
    string::get(ctx.view, keyspace, key)?;
    Ok(usize::from(ctx.view.remove(keyspace, key)?))
}

fn del_values(ctx: &mut Ctx<'_, '_>, key: &[u8], path: &Path<'_>) -> Result<usize, Stop> {
    let Some(mut document) = Document::open(ctx, key)? else { return Ok(0) };
    let places = edit::outermost(Search::new(&document.root).places(path)?);
    let removed = edit::remove_all(&mut document.root, &places);
    if removed > 0 {
        document.save(ctx, key)?;
    }
    Ok(removed)
}

pub(super) fn clear(ctx: &mut Ctx<'_, '_>) -> Outcome {
    at_most(ctx, 3)?;
    let (key, path) = (ctx.arg(1), path_at(ctx, 2)?);
    let mut document = Document::open(ctx, key)?.ok_or(NO_DOCUMENT)?;
    let mut places = edit::outermost(Search::new(&document.root).places(&path)?);
    places
        .retain(|place| at(&mut document.root, place).is_some_and(|value| edit::can_clear(value)));
    for place in &places {
        edit::clear(at(&mut document.root, place).expect("it was found"));
    }
    if !places.is_empty() {
        document.save(ctx, key)?;
    }
    ctx.reply.integer(places.len() as i64);
    Ok(())
}

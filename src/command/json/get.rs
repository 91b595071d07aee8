//! JSON commands that reply with values.

use std::collections::BTreeSet;

use super::change::reply_number;
use super::{check_text, nowhere, path_at, read, with_text};
use crate::command::{Ctx, Outcome};
use crate::data::string;
use crate::error::{self, Stop, Together};
use crate::json::{self, Format, Path, Search, Value};
use crate::limits::JSON_FORMAT_BYTES_MAX;
use crate::resp::{Protocol, Reply};

/// How RESP3 replies show values, if not as JSON text: `FORMAT` of `JSON.GET` and `JSON.ARRPOP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expand {
    /// `EXPAND1`: containers as JSON text.
    Outermost,
    /// `EXPAND`: containers as arrays and maps.
    All,
}

impl Expand {
    /// The format named `name`, where `text` is the name of JSON text, which is `None`.
    fn parse(ctx: &Ctx<'_, '_>, name: &[u8], text: &[u8]) -> Result<Option<Expand>, Stop> {
        let format = match name {
            b"EXPAND1" => Some(Expand::Outermost),
            b"EXPAND" => Some(Expand::All),
            name if name == text => None,
            _ => return Err("ERR wrong reply format".into()),
        };
        if ctx.reply.protocol() == Protocol::Resp2 {
            return Err("ERR FORMAT argument is not supported on RESP2".into());
        }
        Ok(format)
    }

    /// `FORMAT` of `JSON.ARRPOP`, and the argument behind it.
    pub(super) fn parse_for_pop(ctx: &Ctx<'_, '_>) -> Result<(Option<Expand>, usize), Stop> {
        let is_there = ctx.args.len() > 3 && ctx.arg(2).eq_ignore_ascii_case(b"format");
        if !is_there {
            return Ok((None, 2));
        }
        Ok((Expand::parse(ctx, ctx.arg(3), b"STRINGS")?, 4))
    }
}

/// One value in the types of RESP3.
pub(super) fn reply_value(reply: &mut Reply, value: &Value, expand: Expand) {
    match value {
        Value::Null => reply.null(),
        Value::Bool(flag) => reply.boolean(*flag),
        Value::Number(number) => reply_number(reply, number),
        Value::String(text) if expand == Expand::All => reply.bulk(text.as_bytes()),
        Value::Array(items) if expand == Expand::All => {
            reply.array(items.len());
            items.iter().for_each(|item| reply_value(reply, item, expand));
        }
        Value::Object(members) if expand == Expand::All => {
            reply.map(members.len());
            for (name, item) in members {
                reply.bulk(name.as_bytes());
                reply_value(reply, item, expand);
            }
        }
        text_or_container => reply.bulk(&json::print(text_or_container)),
    }
}

/// The arguments of `JSON.GET` behind the key.
#[derive(Default)]
struct Options<'c> {
    format: Format<'c>,
    expand: Option<Expand>,
    paths: Vec<Path<'c>>,
}

impl<'c> Options<'c> {
    fn parse(ctx: &Ctx<'c, '_>) -> Result<Options<'c>, Stop> {
        let mut options = Options::default();
        let behind_key = ctx.args.from(2);
        let mut args = behind_key.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(Stop::from(error::SYNTAX));
            match &arg.to_ascii_lowercase()[..] {
                b"indent" => options.format.indent = short(value()?)?,
                b"newline" => options.format.newline = short(value()?)?,
                b"space" => options.format.space = short(value()?)?,
                b"format" => options.expand = Expand::parse(ctx, value()?, b"STRING")?,
                // An option of version 1 that never did anything.
                b"noescape" => {}
                _ => options.paths.push(Path::parse(arg)?),
            }
        }
        if options.paths.is_empty() {
            options.paths.push(Path::root());
        }
        Ok(options)
    }

    /// The notation of the whole document, if that is all there is to reply, as stored.
    fn whole_is_legacy(&self) -> Option<bool> {
        match &self.paths[..] {
            [path] if path.is_root() && self.format == Format::default() => Some(path.is_legacy()),
            _ => None,
        }
    }
}

fn short(text: &[u8]) -> Result<&[u8], Stop> {
    if text.len() <= JSON_FORMAT_BYTES_MAX {
        return Ok(text);
    }
    Err(format!("ERR INDENT, NEWLINE and SPACE are limited to {JSON_FORMAT_BYTES_MAX} bytes")
        .into())
}

pub(super) fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = Options::parse(ctx)?;
    let key = ctx.arg(1);
    if options.expand.is_none()
        && let Some(is_legacy) = options.whole_is_legacy()
    {
        return get_whole(ctx, key, is_legacy);
    }
    let bytes_max = ctx.server.config.output_buffer_limit;
    let text = with_text(ctx, key, |stored| {
        json::look_up(stored, &options.paths, |lists| match (options.expand, &options.paths[..]) {
            (Some(expand), _) => expanded(lists, expand, bytes_max),
            (None, [path]) => text_of_one(&lists[0], path, &options.format, bytes_max),
            (None, paths) => text_of_several(lists, paths, &options.format, bytes_max),
        })
    })?;
    match text {
        Some(encoded) if options.expand.is_some() => ctx.reply.raw(&encoded),
        Some(text) => ctx.reply.bulk(&text),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// An array for each path, encoded for RESP3.
fn expanded(lists: &[Vec<&Value>], expand: Expand, bytes_max: usize) -> Result<Vec<u8>, Stop> {
    let mut reply = Reply::new();
    reply.set_protocol(Protocol::Resp3);
    reply.array(lists.len());
    for values in lists {
        reply.array(values.len());
        for value in values {
            reply_value(&mut reply, value, expand);
            if reply.len() > bytes_max {
                return Err(Stop::Unread);
            }
        }
    }
    Ok(reply.take())
}

/// Replies with the stored text, which is what printing the document would give.
fn get_whole(ctx: &mut Ctx<'_, '_>, key: &[u8], is_legacy: bool) -> Outcome {
    let keyspace = ctx.keyspace()?;
    let Some(found) = string::get(ctx.view, keyspace, key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let stored = found.value(ctx.view, keyspace)?;
    let text = json::stored(&stored)?;
    match is_legacy {
        true => ctx.reply.bulk(&text),
        false => ctx.reply.bulk(&[b"[", &text[..], b"]"].concat()),
    }
    Ok(())
}

/// A JSONPath gives an array of all values, a legacy path the first.
fn text_of_one(
    values: &[&Value],
    path: &Path<'_>,
    format: &Format<'_>,
    bytes_max: usize,
) -> Result<Vec<u8>, Stop> {
    let mut text = Vec::new();
    if path.is_legacy() {
        let first = values.first().ok_or_else(|| nowhere(path.text()))?;
        json::pretty(first, format, 0, bytes_max, &mut text)?;
    } else {
        array(values, format, 0, bytes_max, &mut text)?;
    }
    Ok(text)
}

/// An object with the values of each path, once if it is given twice; arrays unless all paths are legacy.
fn text_of_several(
    lists: &[Vec<&Value>],
    paths: &[Path<'_>],
    format: &Format<'_>,
    bytes_max: usize,
) -> Result<Vec<u8>, Stop> {
    let is_legacy = paths.iter().all(Path::is_legacy);
    let mut seen = BTreeSet::new();
    let mut text = vec![b'{'];
    let named = paths.iter().zip(lists);
    for (path, values) in named.filter(|(path, _)| seen.insert(path.given())) {
        format.begin_item(usize::from(text.len() > 1), 1, &mut text);
        text.extend_from_slice(&json::print(&path.given().into()));
        text.push(b':');
        text.extend_from_slice(format.space);
        if is_legacy {
            let first = values.first().ok_or_else(|| nowhere(path.given()))?;
            json::pretty(first, format, 1, bytes_max, &mut text)?;
        } else {
            array(values, format, 1, bytes_max, &mut text)?;
        }
    }
    format.end_items(paths.len(), 0, &mut text);
    text.push(b'}');
    Ok(text)
}

fn array(
    values: &[&Value],
    format: &Format<'_>,
    level: usize,
    bytes_max: usize,
    text: &mut Vec<u8>,
) -> Outcome {
    text.push(b'[');
    for (index, value) in values.iter().enumerate() {
        format.begin_item(index, level + 1, text);
        json::pretty(value, format, level + 1, bytes_max, text)?;
    }
    format.end_items(values.len(), level, text);
    text.push(b']');
    Ok(())
}

pub(super) fn mget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let last = ctx.args.len() - 1;
    let path = Path::parse(ctx.arg(last))?;
    let bytes_max = ctx.server.config.output_buffer_limit;
    ctx.reply.array(last - 1);
    let (mut together, mut parsed) = (Together::default(), 0);
    for index in 1..last {
        ctx.check_replies()?;
        check_text(parsed)?;
        let text = with_text(ctx, ctx.arg(index), |stored| {
            parsed += stored.len() as u64;
            if path.is_root() && path.is_legacy() {
                return Ok(json::stored(stored)?.into_owned());
            }
            json::look_up(stored, std::slice::from_ref(&path), |lists| {
                text_of_one(&lists[0], &path, &Format::default(), bytes_max)
            })
        });
        match text {
            Ok(Some(text)) => ctx.reply.bulk(&text),
            // What is no document, or has no such value, is as good as not there.
            Ok(None) | Err(Stop::Error(_)) => ctx.reply.null(),
            Err(stop) => together.take(Err(stop))?.unwrap_or_default(),
        }
    }
    together.end()
}

pub(super) fn resp(ctx: &mut Ctx<'_, '_>) -> Outcome {
    super::at_most(ctx, 3)?;
    let path = path_at(ctx, 2)?;
    let Some(root) = read(ctx, ctx.arg(1))? else {
        ctx.reply.null();
        return Ok(());
    };
    let values = Search::new(&root).find(&path)?;
    if path.is_legacy() {
        reply_resp(ctx.reply, values.first().ok_or_else(|| nowhere(path.text()))?);
        return Ok(());
    }
    ctx.reply.array(values.len());
    values.into_iter().try_for_each(|value| {
        reply_resp(ctx.reply, value);
        ctx.check_replies()
    })
}

/// A value in the types of RESP2; containers are arrays that begin with their bracket.
fn reply_resp(reply: &mut Reply, value: &Value) {
    match value {
        Value::Null => reply.null(),
        Value::Bool(true) => reply.simple("true"),
        Value::Bool(false) => reply.simple("false"),
        Value::Number(number) => reply_number(reply, number),
        Value::String(text) => reply.bulk(text.as_bytes()),
        Value::Array(items) => {
            reply.array(1 + items.len());
            reply.simple("[");
            items.iter().for_each(|item| reply_resp(reply, item));
        }
        Value::Object(members) => {
            reply.array(1 + 2 * members.len());
            reply.simple("{");
            for (name, item) in members {
                reply.bulk(name.as_bytes());
                reply_resp(reply, item);
            }
        }
    }
}

//! From trees to text.

use serde_json::{Number, Value};

use crate::error::Stop;

/// How to lay out text for people: what stands in front of a line for each level, between lines, and
/// after a colon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Format<'f> {
    /// Per level, at the beginning of a line.
    pub indent: &'f [u8],
    /// Between lines.
    pub newline: &'f [u8],
    /// Between a colon and the value.
    pub space: &'f [u8],
}

/// The compact text of a tree.
pub fn print(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("names are strings, and memory does not fail to be written")
}

/// Appends a string with its quotes and the escapes it needs.
pub fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory does not fail to be written");
}

/// Whether the number has neither a fraction nor an exponent.
pub fn is_integer(number: &Number) -> bool {
    memchr::memchr3(b'.', b'e', b'E', number.as_str().as_bytes()).is_none()
}

/// Appends a tree's text as `format` lays it out, at a level of other containers around it;
/// [`Stop::Unread`] if `out` grows past `bytes_max`.
pub fn pretty(
    value: &Value,
    format: &Format<'_>,
    level: usize,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Stop> {
    if out.len() > bytes_max {
        return Err(Stop::Unread);
    }
    if *format == Format::default() {
        serde_json::to_writer(out, value).expect("memory does not fail to be written");
        return Ok(());
    }
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                format.begin_item(index, level + 1, out);
                pretty(item, format, level + 1, bytes_max, out)?;
            }
            format.end_items(items.len(), level, out);
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (index, (name, item)) in members.iter().enumerate() {
                format.begin_item(index, level + 1, out);
                string(name, out);
                out.push(b':');
                out.extend_from_slice(format.space);
                pretty(item, format, level + 1, bytes_max, out)?;
            }
            format.end_items(members.len(), level, out);
            out.push(b'}');
        }
        Value::String(text) => string(text, out),
        Value::Number(_) | Value::Bool(_) | Value::Null => out.extend_from_slice(&print(value)),
    }
    Ok(())
}

impl Format<'_> {
    /// What stands in front of an item of a container.
    pub fn begin_item(&self, index: usize, level: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.push(b',');
        }
        self.line(level, out);
    }

    /// What stands in front of the closing bracket of a container of `len` items.
    pub fn end_items(&self, len: usize, level: usize, out: &mut Vec<u8>) {
        if len > 0 {
            self.line(level, out);
        }
    }

    fn line(&self, level: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.newline);
        for _ in 0..level {
            out.extend_from_slice(self.indent);
        }
    }
}

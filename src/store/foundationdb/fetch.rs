//! Reads on their way: what was asked of the cluster, and the answers, inside the futures that
//! brought them.

use super::raw::{self, Bytes, Edge, Future, Rows, Waiting};
use super::reads::{Reads, Want};
use crate::store::Scan;

/// What has come of a read.
pub enum Answer {
    /// Nothing yet.
    UnderWay,
    /// A value, or that there is none.
    Value(Bytes),
    /// The records of a range, in the pieces in which they came.
    Rows(Vec<Rows>),
}

/// A read that was asked for.
pub enum Request {
    /// Of one key.
    Value(Future<Bytes>),
    /// Of a range.
    Rows(Future<Rows>),
}

/// A request, and whose answer it is.
pub struct UnderWay {
    /// Place among what was fetched.
    pub at: usize,
    /// The request.
    pub request: Request,
}

/// A buffer for keys, beginning with the prefix.
pub struct Scratch {
    bytes: Vec<u8>,
    prefix_len: usize,
}

impl Scratch {
    /// For keys with this prefix.
    pub fn new(prefix: &[u8]) -> Self {
        Self { bytes: prefix.to_vec(), prefix_len: prefix.len() }
    }

    /// `key` after the prefix.
    pub fn key(&mut self, key: &[u8]) -> &[u8] {
        self.bytes.truncate(self.prefix_len);
        self.bytes.extend_from_slice(key);
        &self.bytes
    }

    /// Two keys at once.
    pub fn keys(&mut self, one: &[u8], other: &[u8]) -> (&[u8], &[u8]) {
        let len = self.key(one).len();
        self.bytes.extend_from_within(..self.prefix_len);
        self.bytes.extend_from_slice(other);
        self.bytes.split_at(len)
    }
}

/// Asks for one read.
pub fn request(
    raw: &raw::Transaction,
    scratch: &mut Scratch,
    want: Want<'_>,
    snapshot: bool,
) -> Request {
    match want {
        Want::Get(key) => Request::Value(raw.get(scratch.key(key), snapshot)),
        Want::Scan(Scan { begin, end, limit, reverse }) => {
            let (begin, end) = scratch.keys(begin, end);
            let edges = (Edge::At(begin), Edge::At(end));
            Request::Rows(raw.get_range(edges, limit, reverse, snapshot))
        }
    }
}

impl Request {
    /// Has `waiting` wait for it.
    pub fn wait_in(&self, waiting: &Waiting) {
        match self {
            Self::Value(future) => waiting.add(future),
            Self::Rows(future) => waiting.add(future),
        }
    }
}

impl Reads<Answer> {
    /// The value of a key that has been fetched.
    pub fn value(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.find(&Want::Get(key))? {
            Answer::Value(value) => Some(value.get()),
            _ => None,
        }
    }

    /// Asks for what is missing of a range; `None` if nothing is.
    pub fn rest(
        &mut self,
        at: usize,
        raw: &raw::Transaction,
        scratch: &mut Scratch,
        snapshot: bool,
    ) -> Option<Future<Rows>> {
        let Answer::Rows(all) = &*self.at(at) else { return None };
        let count: usize = all.iter().map(Rows::len).sum();
        let last = all.last()?;
        let (last_key, _) = last.get(last.len() - 1);
        // It has the prefix already, and lies in a future that stays where it is.
        let last_key = last_key.to_vec();
        let Want::Scan(Scan { begin, end, limit, reverse }) = self.want(at) else { return None };
        let limit = limit.checked_sub(count).filter(|left| *left > 0)?;
        let (begin, end) = scratch.keys(begin, end);
        let edges = if reverse {
            (Edge::At(begin), Edge::At(&last_key))
        } else {
            (Edge::After(&last_key), Edge::At(end))
        };
        Some(raw.get_range(edges, limit, reverse, snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_get_the_prefix() {
        let mut scratch = Scratch::new(b"p/");
        assert_eq!(scratch.key(b"one"), b"p/one");
        assert_eq!(scratch.keys(b"b", b"end"), (&b"p/b"[..], &b"p/end"[..]));
        assert_eq!(scratch.key(b""), b"p/");
    }
}

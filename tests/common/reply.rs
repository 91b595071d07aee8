//! Replies of both protocols as trees, with a parser and an encoder that must agree byte for byte.
//!
//! [`parse_reply`] accepts canonical framing only, so a tree and its bytes say the same and a test
//! may compare either.

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// `+text`
    Simple(Vec<u8>),
    /// `-text`
    Error(Vec<u8>),
    /// `:number`
    Int(i64),
    /// `$length` and bytes
    Bulk(Vec<u8>),
    /// `$-1`
    NilBulk,
    /// `*-1`
    NilArray,
    /// `*count`
    Array(Vec<Reply>),
    /// `_`
    Null,
    /// `#t` or `#f`
    Bool(bool),
    /// `,number`, kept as text
    Double(Vec<u8>),
    /// `(number`, kept as text
    BigNumber(Vec<u8>),
    /// `=length`, the three-letter format and the text
    Verbatim(Vec<u8>),
    /// `%count`
    Map(Vec<(Reply, Reply)>),
    /// `~count`
    Set(Vec<Reply>),
    /// `>count`
    Push(Vec<Reply>),
}

impl Reply {
    /// Whether this is an error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Whether this is nil in any of its three forms.
    pub fn is_nil(&self) -> bool {
        matches!(self, Reply::NilBulk | Reply::NilArray | Reply::Null)
    }

    /// The integer, or a failed test.
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(number) => *number,
            other => panic!("expected an integer reply, got {other:?}"),
        }
    }

    /// The bytes of a bulk reply, `None` for nil, or a failed test.
    pub fn bulk(&self) -> Option<&[u8]> {
        match self {
            Reply::Bulk(bytes) => Some(bytes),
            nil if nil.is_nil() => None,
            other => panic!("expected a bulk reply, got {other:?}"),
        }
    }

    /// The items of an array, or a failed test.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("expected an array reply, got {other:?}"),
        }
    }

    /// Sorts the items of the outermost aggregate, for replies whose order means nothing.
    pub fn sorted(mut self) -> Reply {
        if let Reply::Array(items) | Reply::Set(items) = &mut self {
            items.sort();
        }
        if let Reply::Map(pairs) = &mut self {
            pairs.sort();
        }
        self
    }

    /// The bytes a server sends for this reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Simple(text) => line(out, b'+', text),
            Reply::Error(text) => line(out, b'-', text),
            Reply::Int(number) => line(out, b':', number.to_string().as_bytes()),
            Reply::Bulk(bytes) => blob(out, b'$', bytes),
            Reply::NilBulk => out.extend_from_slice(b"$-1\r\n"),
            Reply::NilArray => out.extend_from_slice(b"*-1\r\n"),
            Reply::Null => out.extend_from_slice(b"_\r\n"),
            Reply::Bool(value) => line(out, b'#', if *value { b"t" } else { b"f" }),
            Reply::Double(text) => line(out, b',', text),
            Reply::BigNumber(text) => line(out, b'(', text),
            Reply::Verbatim(bytes) => blob(out, b'=', bytes),
            Reply::Array(items) => aggregate(out, b'*', items),
            Reply::Set(items) => aggregate(out, b'~', items),
            Reply::Push(items) => aggregate(out, b'>', items),
            Reply::Map(pairs) => {
                line(out, b'%', pairs.len().to_string().as_bytes());
                for (key, value) in pairs {
                    key.encode(out);
                    value.encode(out);
                }
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn blob(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    line(out, kind, bytes.len().to_string().as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn aggregate(out: &mut Vec<u8>, kind: u8, items: &[Reply]) {
    line(out, kind, items.len().to_string().as_bytes());
    for item in items {
        item.encode(out);
    }
}

/// The first reply in `input` and its length in bytes; `None` while it is incomplete; `Err` when
/// these bytes are not a reply.
pub fn parse_reply(input: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    let mut parser = Parser { input, at: 0 };
    match parser.reply() {
        Ok(reply) => {
            let mut bytes = Vec::new();
            reply.encode(&mut bytes);
            if bytes != input[..parser.at] {
                return Err(format!("not canonical: {:?}", input[..parser.at].escape_ascii()));
            }
            Ok(Some((reply, parser.at)))
        }
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Malformed(why)) => Err(why),
    }
}

enum Stop {
    Incomplete,
    Malformed(String),
}

struct Parser<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.input[self.at..];
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return Err(Stop::Incomplete);
        };
        self.at += end + 2;
        Ok(&rest[..end])
    }

    fn number(text: &[u8]) -> Result<i64, Stop> {
        let text = String::from_utf8_lossy(text);
        text.parse().map_err(|_| Stop::Malformed(format!("{text:?} is not a number")))
    }

    fn blob(&mut self, length: i64) -> Result<Vec<u8>, Stop> {
        let length = length as usize;
        let rest = &self.input[self.at..];
        if rest.len() < length + 2 {
            return Err(Stop::Incomplete);
        }
        if &rest[length..length + 2] != b"\r\n" {
            return Err(Stop::Malformed("a bulk is not followed by CRLF".into()));
        }
        self.at += length + 2;
        Ok(rest[..length].to_vec())
    }

    fn items(&mut self, count: i64) -> Result<Vec<Reply>, Stop> {
        (0..count).map(|_| self.reply()).collect()
    }

    fn reply(&mut self) -> Result<Reply, Stop> {
        let line = self.line()?;
        let Some((&kind, text)) = line.split_first() else {
            return Err(Stop::Malformed("an empty line instead of a reply".into()));
        };
        Ok(match kind {
            b'+' => Reply::Simple(text.to_vec()),
            b'-' => Reply::Error(text.to_vec()),
            b':' => Reply::Int(Self::number(text)?),
            b'_' => Reply::Null,
            b'#' => Reply::Bool(text == b"t"),
            b',' => Reply::Double(text.to_vec()),
            b'(' => Reply::BigNumber(text.to_vec()),
            b'$' if text == b"-1" => Reply::NilBulk,
            b'*' if text == b"-1" => Reply::NilArray,
            b'$' | b'=' | b'*' | b'~' | b'>' | b'%' => return self.sized(kind, text),
            _ => return Err(Stop::Malformed(format!("no reply: {:?}", line.escape_ascii()))),
        })
    }

    fn sized(&mut self, kind: u8, text: &[u8]) -> Result<Reply, Stop> {
        let length = Self::number(text)?;
        if length < 0 {
            return Err(Stop::Malformed(format!("length {length}")));
        }
        Ok(match kind {
            b'$' => Reply::Bulk(self.blob(length)?),
            b'=' => Reply::Verbatim(self.blob(length)?),
            b'*' => Reply::Array(self.items(length)?),
            b'~' => Reply::Set(self.items(length)?),
            b'>' => Reply::Push(self.items(length)?),
            _ => {
                let flat = self.items(length * 2)?;
                let mut pairs = Vec::new();
                let mut flat = flat.into_iter();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((key, value));
                }
                Reply::Map(pairs)
            }
        })
    }
}

//! What breaks the protocol, in Redis's words.

use std::fmt;

/// A request that breaks the protocol. The connection is closed after the reply.
///
/// `Display` gives the reply's text behind `-ERR `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError(Violation);

/// The rule a request broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    MultibulkLength,
    MultibulkLine,
    /// Something other than `$`, namely this byte, where a bulk had to begin.
    NotBulk(u8),
    BulkLength,
    BulkLine,
    InlineLength,
    Quotes,
    RequestLength,
    UnauthenticatedMultibulk,
    UnauthenticatedBulk,
}

impl ProtocolError {
    /// The reply's text behind `-ERR `, as bytes: it can quote a byte that is not UTF-8.
    pub fn text(&self) -> Vec<u8> {
        let mut text = b"Protocol error: ".to_vec();
        text.extend_from_slice(self.reason().as_bytes());
        if let Violation::NotBulk(byte) = self.0 {
            text.push(b'\'');
            text.push(printed(byte));
            text.push(b'\'');
        }
        text
    }

    fn reason(&self) -> &'static str {
        match self.0 {
            Violation::MultibulkLength => "invalid multibulk length",
            Violation::MultibulkLine => "too big mbulk count string",
            Violation::NotBulk(_) => "expected '$', got ",
            Violation::BulkLength => "invalid bulk length",
            Violation::BulkLine => "too big bulk count string",
            Violation::InlineLength => "too big inline request",
            Violation::Quotes => "unbalanced quotes in request",
            Violation::RequestLength => "too big request",
            Violation::UnauthenticatedMultibulk => "unauthenticated multibulk length",
            Violation::UnauthenticatedBulk => "unauthenticated bulk length",
        }
    }
}

/// A line break inside an error reply would end it.
fn printed(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }
}

impl From<Violation> for ProtocolError {
    fn from(violation: Violation) -> ProtocolError {
        ProtocolError(violation)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl std::error::Error for ProtocolError {}

//! Why a command stops early, and the error replies that more than one command gives.
//!
//! The texts are those of Redis 7.0, byte for byte, where Redis has one.

use std::borrow::Cow;
use std::time::Duration;

/// What keeps a command handler from finishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The client's mistake: this error reply, and none of the command's writes.
    Error(Cow<'static, [u8]>),
    /// The store has to fetch a record first; the group is executed again once it is there.
    Pending,
    /// The store failed to read; the text says how.
    Failed(String),
    /// The group cannot hold all of this: it is executed in a group of its own, or refused if it
    /// already is.
    TooLarge,
    /// The replies are more than a client may leave unread, which ends its connection.
    Unread,
    /// There is nothing to take: the command is executed again when there is.
    Blocked(Wait),
}

/// How long a blocked command waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// From when it first found nothing; `None`: for ever.
    pub timeout: Option<Duration>,
}

impl Stop {
    /// Whether a key holds another type than the command is for.
    pub fn is_wrong_type(&self) -> bool {
        matches!(self, Stop::Error(text) if **text == *WRONG_TYPE.as_bytes())
    }
}

/// Reads that are wanted together: a pending one does not keep those behind it from being asked for,
/// so that one fetch serves all.
#[derive(Debug, Default)]
pub struct Together {
    pending: bool,
}

impl Together {
    /// What was read; `None` if it is pending.
    pub fn take<T>(&mut self, read: Result<T, Stop>) -> Result<Option<T>, Stop> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Stop::Pending) => {
                self.pending = true;
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// [`Stop::Pending`] if anything was.
    pub fn end(self) -> Result<(), Stop> {
        if self.pending { Err(Stop::Pending) } else { Ok(()) }
    }
}

impl From<&'static str> for Stop {
    fn from(text: &'static str) -> Stop {
        Stop::Error(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Stop {
    fn from(text: Vec<u8>) -> Stop {
        Stop::Error(Cow::Owned(text))
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Error(Cow::Owned(text.into_bytes()))
    }
}

/// The key holds another type.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// The tenant stores as much as it may.
pub const OUT_OF_STORAGE: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// What the reply of an `EXEC` that is refused as a whole begins with; the reason follows.
pub const TRANSACTION_DISCARDED: &str = "EXECABORT Transaction discarded because of: ";
/// Options that contradict each other, or unknown ones.
pub const SYNTAX: &str = "ERR syntax error";
/// An integer argument or value is not one.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// A float argument or value is not one.
pub const NOT_A_FLOAT: &str = "ERR value is not a valid float";
/// An increment left the 64-bit range.
pub const OVERFLOW: &str = "ERR increment or decrement would overflow";
/// A floating-point increment left the range.
pub const NOT_FINITE: &str = "ERR increment would produce NaN or Infinity";
/// `RENAME`, `OBJECT` and others on a key that is not there.
pub const NO_SUCH_KEY: &str = "ERR no such key";
/// A string would grow past the value limit.
pub const STRING_TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
/// A bit offset is negative or past the value limit.
pub const BIT_OFFSET: &str = "ERR bit offset is not an integer or out of range";
/// A key is longer than the store can hold.
pub const KEY_TOO_LONG: &str = "ERR key is longer than 8192 bytes, the limit for keys";
/// A field of a hash, or a member of a set, is longer than the store can hold.
pub const FIELD_TOO_LONG: &str =
    "ERR field or member is longer than 8192 bytes, the limit for fields and members";
/// One command writes more than a transaction can hold.
pub const TRANSACTION_TOO_LARGE: &str =
    "ERR transaction is larger than 10000000 bytes; split it into smaller ones";

/// A value that `DUMP` cannot put into a payload which `RESTORE` could take.
pub const DUMP_TOO_LARGE: &str = "ERR the payload would be larger than 10000000 bytes";
/// `RESTORE` of something else than what `DUMP` made.
pub const BAD_PAYLOAD: &str = "ERR DUMP payload version or checksum are wrong";

/// A command the store did not answer within the deadline. Nothing was written.
pub const TIMED_OUT: &str =
    "TIMEOUT the store did not answer in time; nothing was written, try again";
/// A write whose commit the store did not answer within the deadline.
pub const UNCONFIRMED: &str = "TIMEOUT the store did not confirm the write in time; it may or may not have been \
     stored";

/// The client belongs to a tenant that is not there any more, or to none.
pub const TENANT_GONE: &str =
    "NOAUTH the tenant of this connection does not exist any more; authenticate again";

/// `CLIENT UNBLOCK ... ERROR`.
pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// A command that waited for data until its token permitted it no more.
pub const TOKEN_EXPIRED: &str = "NOPERM the token has expired";

/// As much of an argument as Redis quotes in an error: it ends at a zero byte.
pub fn quoted(bytes: &[u8], bytes_max: usize) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    &bytes[..end.min(bytes_max)]
}

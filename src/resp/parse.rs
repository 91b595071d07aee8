//! The request parser: bytes received on a connection into commands, without copying them.
//!
//! It reads what Redis 7.0 reads, and refuses what Redis refuses with the same words, down to the
//! oddities: the two bytes after a bulk and the byte after a `\r` are not looked at, and a zero
//! byte hides the end of its line. A connection owns one [`Parser`]; it passes all bytes not yet
//! consumed and gets back where the arguments are in them. Incomplete input is a value, not an
//! error, and no byte of it is read twice.

use memchr::memchr2;

use super::error::{ProtocolError, Violation};
use super::inline;
use crate::{limits, num};

/// One argument, as a range of the input buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of its first byte from the start of the input.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
}

impl Span {
    /// The argument's bytes in the buffer that was parsed.
    #[inline]
    pub fn of<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        let start = self.start as usize;
        &input[start..start + self.len as usize]
    }
}

/// Commands parsed from one receive. A command has at least one argument, its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The arguments of all commands, in order.
    pub args: Vec<Span>,
    /// Where each command's arguments end: those of command `i` are `args[ends[i-1]..ends[i]]`.
    pub ends: Vec<u32>,
}

impl Requests {
    /// Forgets all commands and keeps the memory.
    pub fn clear(&mut self) {
        self.args.clear();
        self.ends.clear();
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The arguments of command `index`; panics if there is no such command.
    pub fn command(&self, index: usize) -> &[Span] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.args[start..self.ends[index] as usize]
    }

    /// Ends the command whose arguments were pushed last.
    fn close(&mut self) {
        self.ends.push(self.args.len() as u32);
    }

    /// Index of the first argument that belongs to no command yet.
    fn open(&self) -> usize {
        self.ends.last().map_or(0, |&end| end as usize)
    }
}

/// What a request may cost. Past a bound the parser refuses the request.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// Longest argument, in bytes.
    pub value_bytes_max: usize,
    /// Longest request, in bytes on the wire.
    pub request_bytes_max: usize,
    /// Arguments of one command at most.
    pub arguments_max: usize,
    /// Longest inline command and longest length line, in bytes.
    pub inline_bytes_max: usize,
}

impl Default for ParseLimits {
    fn default() -> ParseLimits {
        ParseLimits {
            value_bytes_max: limits::REQUEST_BYTES_DEFAULT,
            request_bytes_max: limits::REQUEST_BYTES_DEFAULT,
            arguments_max: limits::ARGUMENTS_MAX,
            inline_bytes_max: limits::INLINE_BYTES_MAX,
        }
    }
}

/// How far a call of [`Parser::parse`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of complete commands; the rest of the input belongs to an incomplete one.
    pub consumed: usize,
    /// How many bytes are missing of the argument being received; 0 if that is not known.
    pub needed: usize,
}

/// What is known of the command being read.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Where reading goes on: the start of a line, or of a bulk if `bulk` is known.
    pos: usize,
    /// Bytes from `pos` in which the end of the line has already been searched.
    searched: usize,
    /// Arguments still to come; 0 before the multi-bulk header is read.
    remaining: usize,
    /// Length of the bulk at `pos`.
    bulk: Option<usize>,
}

/// Outcome of reading one command.
enum Step {
    /// The command ends before this offset.
    Complete(usize),
    /// The command is incomplete and misses this many bytes, 0 if unknown.
    Incomplete(usize),
}

/// Longest argument and most arguments of a client that has not authenticated, as in Redis.
const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;
/// Spans kept allocated between commands that arrive in pieces.
const PARTIAL_KEPT_MAX: usize = 1024;

/// Reads the requests of one connection.
#[derive(Debug, Default)]
pub struct Parser {
    /// State of the incomplete command at the front of the next input, offsets from its start.
    head: Head,
    /// That command's arguments so far. Empty if it has not passed its multi-bulk header.
    partial: Vec<Span>,
    unauthenticated: bool,
}

impl Parser {
    /// A parser at the start of a connection's input.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Applies Redis's stricter bounds for clients that have yet to authenticate: 10 arguments of
    /// 16 KiB. As long as they apply, parse one command at a time: it may be the `AUTH` that lifts
    /// them for the next.
    pub fn set_unauthenticated(&mut self, unauthenticated: bool) {
        self.unauthenticated = unauthenticated;
    }

    /// Whether the last call left an incomplete command behind.
    pub fn is_mid_command(&self) -> bool {
        self.head.pos + self.head.searched > 0
    }

    /// Parses as many complete commands as `input` holds, at most `commands_max`, and appends them
    /// to `out`, with spans relative to the start of `input`.
    ///
    /// The caller passes the bytes that were not consumed again at the front of the next input;
    /// what the parser has seen of them it does not read again. The input is `&mut` because quoted
    /// inline arguments are unescaped in place. Input past 4 GiB is left for the next call.
    ///
    /// # Errors
    ///
    /// The first violation of the protocol or of a limit. The commands before it are in `out`; the
    /// parser cannot go on.
    pub fn parse(
        &mut self,
        input: &mut [u8],
        limits: &ParseLimits,
        commands_max: usize,
        out: &mut Requests,
    ) -> Result<Progress, ProtocolError> {
        let usable = input.len().min(u32::MAX as usize);
        let input = &mut input[..usable];
        let commands_end = out.len().saturating_add(commands_max);
        let mut start = 0;
        let mut needed = 0;
        while start < input.len() && out.len() < commands_end {
            let step = if input[start] == b'*' {
                self.multibulk(input, start, limits, out)
            } else {
                self.inline(input, start, limits, out)
            };
            match step {
                Ok(Step::Complete(next)) => start = next,
                Ok(Step::Incomplete(missing)) => {
                    needed = missing;
                    break;
                }
                Err(violation) => {
                    out.args.truncate(out.open());
                    return Err(ProtocolError::from(violation));
                }
            }
        }
        Ok(Progress { consumed: start, needed })
    }

    fn multibulk(
        &mut self,
        input: &[u8],
        start: usize,
        limits: &ParseLimits,
        out: &mut Requests,
    ) -> Result<Step, Violation> {
        if self.is_mid_command() {
            return self.resume(input, limits, out);
        }
        let mut head = Head { pos: start, ..Head::default() };
        let step = self.command(input, start, &mut head, limits, &mut out.args)?;
        match step {
            Step::Complete(_) => {
                if out.args.len() > out.open() {
                    out.close();
                }
            }
            Step::Incomplete(_) => {
                let moved = out.args.drain(out.open()..);
                let offset = start as u32;
                self.partial.extend(moved.map(|arg| Span { start: arg.start - offset, ..arg }));
                self.head = Head { pos: head.pos - start, ..head };
            }
        }
        Ok(step)
    }

    /// Goes on with the incomplete command at the front of the input. Its arguments stay aside
    /// until it is complete: moving them to and fro would cost their number on every receive.
    fn resume(
        &mut self,
        input: &[u8],
        limits: &ParseLimits,
        out: &mut Requests,
    ) -> Result<Step, Violation> {
        let mut head = self.head;
        let mut partial = std::mem::take(&mut self.partial);
        let step = self.command(input, 0, &mut head, limits, &mut partial)?;
        if let Step::Complete(_) = step {
            head = Head::default();
            if !partial.is_empty() {
                out.args.append(&mut partial);
                out.close();
            }
            partial.shrink_to(PARTIAL_KEPT_MAX);
        }
        self.head = head;
        self.partial = partial;
        Ok(step)
    }

    /// Reads on in the multi-bulk command that begins at `start`, from where `head` says.
    #[inline]
    fn command(
        &self,
        input: &[u8],
        start: usize,
        head: &mut Head,
        limits: &ParseLimits,
        args: &mut Vec<Span>,
    ) -> Result<Step, Violation> {
        if head.remaining == 0 {
            let Some(count) = self.count(input, head, limits)? else {
                return Ok(Step::Incomplete(0));
            };
            head.remaining = count;
        }
        while head.remaining > 0 {
            let len = match head.bulk {
                Some(len) => len,
                None => match self.bulk_length(input, head, limits)? {
                    Some(len) => len,
                    None => return Ok(Step::Incomplete(0)),
                },
            };
            let end = head.pos + len + 2;
            if end - start > limits.request_bytes_max {
                return Err(Violation::RequestLength);
            }
            if end > input.len() {
                head.bulk = Some(len);
                return Ok(Step::Incomplete(end - input.len()));
            }
            head.bulk = None;
            args.push(Span { start: head.pos as u32, len: len as u32 });
            head.pos = end;
            head.remaining -= 1;
        }
        Ok(Step::Complete(head.pos))
    }

    /// Reads the multi-bulk header; `Some(0)` for a command without arguments, `None` if there is
    /// not a whole line yet.
    #[inline]
    fn count(
        &self,
        input: &[u8],
        head: &mut Head,
        limits: &ParseLimits,
    ) -> Result<Option<usize>, Violation> {
        let count = match short_length(input, head, b'*') {
            Some(count) => count,
            None => match line(input, head, limits, Violation::MultibulkLine)? {
                None => return Ok(None),
                Some(line) => match num::parse_i64(&line[1..]) {
                    None => return Err(Violation::MultibulkLength),
                    Some(count) => usize::try_from(count).unwrap_or(0),
                },
            },
        };
        if count > limits.arguments_max {
            return Err(Violation::MultibulkLength);
        }
        if self.unauthenticated && count > UNAUTHENTICATED_ARGUMENTS_MAX {
            return Err(Violation::UnauthenticatedMultibulk);
        }
        Ok(Some(count))
    }

    /// Reads the header of a bulk; `None` if there is not a whole line yet.
    #[inline]
    fn bulk_length(
        &self,
        input: &[u8],
        head: &mut Head,
        limits: &ParseLimits,
    ) -> Result<Option<usize>, Violation> {
        let len = match short_length(input, head, b'$') {
            Some(len) => len,
            None => match line(input, head, limits, Violation::BulkLine)? {
                None => return Ok(None),
                Some([b'$', digits @ ..]) => num::parse_i64(digits)
                    .and_then(|len| usize::try_from(len).ok())
                    .ok_or(Violation::BulkLength)?,
                Some(line) => {
                    return Err(Violation::NotBulk(line.first().copied().unwrap_or(b'\r')));
                }
            },
        };
        if len > limits.value_bytes_max.min(u32::MAX as usize) {
            return Err(Violation::BulkLength);
        }
        if self.unauthenticated && len > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(Violation::UnauthenticatedBulk);
        }
        Ok(Some(len))
    }

    fn inline(
        &mut self,
        input: &mut [u8],
        start: usize,
        limits: &ParseLimits,
        out: &mut Requests,
    ) -> Result<Step, Violation> {
        let rest = &input[start..];
        let searched = std::mem::take(&mut self.head).searched;
        let end = match find_end(rest, b'\n', searched, limits.inline_bytes_max) {
            Search::Found(end) => end,
            Search::TooLong => return Err(Violation::InlineLength),
            Search::Missing(searched) => {
                self.head.searched = searched;
                return Ok(Step::Incomplete(0));
            }
        };
        if end >= limits.request_bytes_max {
            return Err(Violation::RequestLength);
        }
        let text_len = rest[..end].strip_suffix(b"\r").map_or(end, <[u8]>::len);
        inline::split(input, start, start + text_len, &mut out.args)
            .map_err(|()| Violation::Quotes)?;
        if out.args.len() > out.open() {
            out.close();
        }
        Ok(Step::Complete(start + end + 1))
    }
}

/// Reads a length line of up to seven digits, which nearly all are, and moves `head` behind it.
/// `None` leaves the line to the slow path, whatever is the matter with it.
#[inline(always)]
fn short_length(input: &[u8], head: &mut Head, kind: u8) -> Option<usize> {
    let line = input.get(head.pos..)?;
    let start = line.first_chunk::<5>()?;
    let first = start[1].wrapping_sub(b'0');
    let second = start[2].wrapping_sub(b'0');
    if start[0] != kind || first > 9 {
        return None;
    }
    let (len, digits) = if start[2] == b'\r' {
        (first as usize, 1)
    } else if start[3] == b'\r' && second <= 9 && first > 0 {
        (first as usize * 10 + second as usize, 2)
    } else {
        longer_length(line)?
    };
    head.pos += 1 + digits + 2;
    head.searched = 0;
    Some(len)
}

/// The value and number of digits of a length line of three to seven digits.
fn longer_length(line: &[u8]) -> Option<(usize, usize)> {
    let line = line.first_chunk::<10>()?;
    let mut len = 0;
    for digits in 0..8 {
        let digit = line[1 + digits].wrapping_sub(b'0');
        if digit > 9 {
            let canonical = digits > 1 && line[1] != b'0';
            return (canonical && line[1 + digits] == b'\r').then_some((len, digits));
        }
        len = len * 10 + digit as usize;
    }
    None
}

/// The line at `head`, without its end, moving `head` behind it; `Ok(None)` if it is not whole yet,
/// `Err(too_long)` if it is longer than it may be.
fn line<'a>(
    input: &'a [u8],
    head: &mut Head,
    limits: &ParseLimits,
    too_long: Violation,
) -> Result<Option<&'a [u8]>, Violation> {
    let rest = input.get(head.pos..).unwrap_or_default();
    match find_end(rest, b'\r', head.searched, limits.inline_bytes_max) {
        // The byte behind the `\r`, a line feed, must have arrived too.
        Search::Found(end) if end + 1 < rest.len() => {
            head.pos += end + 2;
            head.searched = 0;
            Ok(Some(&rest[..end]))
        }
        Search::Found(searched) | Search::Missing(searched) => {
            head.searched = searched;
            Ok(None)
        }
        Search::TooLong => Err(too_long),
    }
}

/// Outcome of searching for the end of a line.
enum Search {
    /// The line ends at this offset.
    Found(usize),
    /// It does not end in the bytes there are; this many need not be searched again.
    Missing(usize),
    /// It does not end where it must at the latest.
    TooLong,
}

/// Finds the byte `end` in `rest`, of which the first `searched` bytes are known not to hold it. A
/// zero byte in front of it hides it, as Redis looks for it with `strchr`.
fn find_end(rest: &[u8], end: u8, searched: usize, bytes_max: usize) -> Search {
    // Bounding what is searched, not what is there, makes the outcome independent of how the input
    // was cut into receives.
    let window = &rest[..rest.len().min(bytes_max + 1)];
    let searched = searched.min(window.len());
    let found = memchr2(end, 0, &window[searched..]).map(|offset| searched + offset);
    match found {
        Some(offset) if window[offset] == end => Search::Found(offset),
        _ if window.len() > bytes_max => Search::TooLong,
        _ => Search::Missing(found.unwrap_or(window.len())),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;

//! Inline commands: one line of text, split into arguments by Redis's quoting rules.
//!
//! The parser finds the line, this file takes it apart. Escapes are resolved in place: an argument
//! never gets longer by it, so what it becomes always fits where it was.

use super::parse::Span;

/// Splits `input[start..end]`, a line without its terminator, and appends its arguments.
///
/// `Err(())`: a quote is not closed, or something other than a space follows a closing quote.
pub(super) fn split(
    input: &mut [u8],
    start: usize,
    end: usize,
    args: &mut Vec<Span>,
) -> Result<(), ()> {
    let line = &mut input[start..end];
    let mut at = 0;
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let token = at;
        let (next, token_end) = argument(line, token)?;
        args.push(Span { start: (start + token) as u32, len: (token_end - token) as u32 });
        at = next;
    }
}

/// Unescapes the argument that starts at `token`; returns where reading goes on, and where the
/// unescaped argument ends.
fn argument(line: &mut [u8], token: usize) -> Result<(usize, usize), ()> {
    let mut at = token;
    let mut written = token;
    while at < line.len() {
        match line[at] {
            // Vertical tab and form feed separate arguments only in front of one.
            b' ' | b'\n' | b'\r' | b'\t' => return Ok((at + 1, written)),
            quote @ (b'"' | b'\'') => {
                (at, written) = quoted(line, at + 1, written, quote)?;
                return Ok((at, written));
            }
            byte => {
                line[written] = byte;
                written += 1;
                at += 1;
            }
        }
    }
    Ok((at, written))
}

/// Unescapes from behind an opening quote to behind the closing one, which ends the argument.
fn quoted(
    line: &mut [u8],
    mut at: usize,
    mut written: usize,
    quote: u8,
) -> Result<(usize, usize), ()> {
    while let Some(&byte) = line.get(at) {
        if byte == quote {
            let closed = line.get(at + 1).is_none_or(|&next| is_space(next));
            return if closed { Ok((at + 1, written)) } else { Err(()) };
        }
        let (value, taken) = match (quote, byte) {
            (b'"', b'\\') => escape(&line[at..]),
            (b'\'', b'\\') if line.get(at + 1) == Some(&b'\'') => (b'\'', 2),
            _ => (byte, 1),
        };
        line[written] = value;
        written += 1;
        at += taken;
    }
    Err(())
}

/// The byte a backslash sequence in double quotes stands for, and the sequence's length.
fn escape(text: &[u8]) -> (u8, usize) {
    if let [_, b'x', high, low, ..] = text
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return (high << 4 | low, 4);
    }
    match text.get(1) {
        None => (b'\\', 1),
        Some(b'n') => (b'\n', 2),
        Some(b'r') => (b'\r', 2),
        Some(b't') => (b'\t', 2),
        Some(b'b') => (0x08, 2),
        Some(b'a') => (0x07, 2),
        Some(&byte) => (byte, 2),
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// C's `isspace` in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::split;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, ()> {
        let mut bytes = line.to_vec();
        let mut args = Vec::new();
        split(&mut bytes, 0, line.len(), &mut args)?;
        Ok(args.iter().map(|arg| arg.of(&bytes).to_vec()).collect())
    }

    #[test]
    fn quoting_follows_redis() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t\x0b\x0c\r ", &[]),
            (b"set k v", &[b"set", b"k", b"v"]),
            (b"  set \t k\rv  ", &[b"set", b"k", b"v"]),
            (b"a\x0bb \x0bc", &[b"a\x0bb", b"c"]),
            (b"\"\" ''", &[b"", b""]),
            (b"a\"b c\" d", &[b"ab c", b"d"]),
            (br#""\x41\x4\n\r\t\b\a\q\\\"""#, &[b"Ax4\n\r\t\x08\x07q\\\""]),
            (br#"'\x41\n it\'s'"#, &[br#"\x41\n it's"#]),
            (b"\"a\"\x0bb", &[b"a", b"b"]),
            (b"\xff\x80", &[b"\xff\x80"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), *expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [&b"\"a"[..], b"'a", b"\"a\"b", b"'a'b", b"\"a\\\"", b"\"\\", b"a '\\'"] {
            assert_eq!(words(line), Err(()), "{}", line.escape_ascii());
        }
    }
}

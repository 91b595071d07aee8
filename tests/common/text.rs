//! Arguments and replies as text a person can read and write: the notation of the scenario files
//! and of what the fuzzer prints.
//!
//! Arguments are bare words or quoted strings with `\r \n \t \" \\ \xHH`; a quoted string may be
//! repeated (`"ab"*1000`) and joined (`"a"*4096+"b"`). A bare `m{1..3}` is `m1 m2 m3`. `{now+N}` and `{nowms+N}` stand for absolute
//! times. Replies are written `+OK`, `-ERR text`, `:1`, `"bulk"`, `$-1`, `*-1`, `_`, `#t`, `,1.5`,
//! `(99`, `="txt:verbatim"`, `*[:1, "a"]`, `~[...]`, `>[...]`, `%["key", :1]`; a bulk too long to
//! print is `$length#hash`.

use super::Reply;

/// Bulks up to this many bytes are always printed whole.
const WHOLE_BYTES_MAX: usize = 120;
/// Relative times this far from now are printed as `{now+N}`, in seconds.
const NEAR_SECONDS: i64 = 1_000_000;

/// The moment shortly before a case started, which `{now}` and `{nowms}` mean.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since the Unix epoch.
    pub ms: i64,
}

impl Now {
    /// A moment no reply is near, so that integers are written as they are.
    pub const NEVER: Now = Now { ms: -4_611_686_018_427_000_000 };

    /// A moment at most two seconds ago.
    pub fn read() -> Now {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        // The fraction is always the same, so that rounding to seconds goes the same way each time.
        Now { ms: (since.as_secs() as i64 - 1) * 1000 + 777 }
    }

    fn seconds(self) -> i64 {
        self.ms / 1000
    }
}

/// Splits a line of arguments; an error says what is wrong with it.
pub fn parse_args(line: &str, now: Now) -> Result<Vec<Vec<u8>>, String> {
    let mut rest = line.trim_start();
    let mut args = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(' ').unwrap_or(rest.len());
        let after = match sequence(&rest[..end]) {
            Some(words) => {
                args.extend(words);
                &rest[end..]
            }
            None => {
                let (arg, after) = parse_arg(rest, now)?;
                args.push(arg);
                after
            }
        };
        if !after.is_empty() && !after.starts_with(' ') {
            return Err(format!("a space is missing before {after:?}"));
        }
        rest = after.trim_start();
    }
    Ok(args)
}

/// The words that a bare word with a range of numbers stands for.
fn sequence(text: &str) -> Option<Vec<Vec<u8>>> {
    let (before, rest) = text.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    let (first, last) = range.split_once("..")?;
    let numbers = first.parse::<u32>().ok()?..=last.parse().ok()?;
    let words = numbers.map(|number| format!("{before}{number}{after}").into_bytes());
    (!before.contains('"')).then(|| words.collect())
}

fn parse_arg(text: &str, now: Now) -> Result<(Vec<u8>, &str), String> {
    if !text.starts_with('"') {
        let end = text.find(' ').unwrap_or(text.len());
        return Ok((word(&text[..end], now)?, &text[end..]));
    }
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (piece, after) = parse_quoted(rest)?;
        rest = after;
        let mut times = 1;
        if let Some(after) = rest.strip_prefix('*') {
            let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            times = after[..end].parse().map_err(|_| format!("a count is missing in {text:?}"))?;
            rest = &after[end..];
        }
        out.extend(piece.repeat(times));
        match rest.strip_prefix('+') {
            Some(after) => rest = after,
            None => return Ok((out, rest)),
        }
    }
}

fn word(text: &str, now: Now) -> Result<Vec<u8>, String> {
    let time = |base: i64, offset: &str| -> Result<Vec<u8>, String> {
        let offset: i64 = if offset.is_empty() {
            0
        } else {
            offset.parse().map_err(|_| format!("{text:?} is not a time"))?
        };
        Ok((base + offset).to_string().into_bytes())
    };
    if let Some(offset) = text.strip_prefix("{nowms").and_then(|t| t.strip_suffix('}')) {
        return time(now.ms, offset);
    }
    if let Some(offset) = text.strip_prefix("{now").and_then(|t| t.strip_suffix('}')) {
        return time(now.seconds(), offset);
    }
    Ok(text.as_bytes().to_vec())
}

fn parse_quoted(text: &str) -> Result<(Vec<u8>, &str), String> {
    let body = text.strip_prefix('"').ok_or_else(|| format!("a quote is missing in {text:?}"))?;
    let mut out = Vec::new();
    let bytes = body.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok((out, &body[at + 1..])),
            b'\\' => {
                at += 1;
                match bytes.get(at) {
                    Some(b'r') => out.push(b'\r'),
                    Some(b'n') => out.push(b'\n'),
                    Some(b't') => out.push(b'\t'),
                    Some(b'x') => {
                        let hex = body.get(at + 1..at + 3).ok_or("\\x needs two digits")?;
                        out.push(
                            u8::from_str_radix(hex, 16).map_err(|e| format!("\\x{hex}: {e}"))?,
                        );
                        at += 2;
                    }
                    Some(&other) => out.push(other),
                    None => break,
                }
                at += 1;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    Err(format!("no closing quote in {text:?}"))
}

/// Bytes as a quoted string.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// Bytes as text that [`parse_args`] reads back, however long: runs are written as repetitions.
pub fn argument(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_graphic() && !b"\"{\\".contains(b);
    if !bytes.is_empty() && bytes.len() <= 40 && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if bytes.len() <= 40 { quote(bytes) } else { runs(bytes) }
}

/// A whole command as one line.
pub fn command(args: &[Vec<u8>]) -> String {
    args.iter().map(|arg| argument(arg)).collect::<Vec<_>>().join(" ")
}

/// Run-length form: equal bytes in a row become `"x"*N`.
fn runs(bytes: &[u8]) -> String {
    let mut pieces: Vec<String> = Vec::new();
    let mut plain: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|&&b| b == bytes[at]).count();
        if run >= 12 {
            if !plain.is_empty() {
                pieces.push(quote(&std::mem::take(&mut plain)));
            }
            pieces.push(format!("{}*{run}", quote(&bytes[at..at + 1])));
        } else {
            plain.extend_from_slice(&bytes[at..at + run]);
        }
        at += run;
    }
    if !plain.is_empty() {
        pieces.push(quote(&plain));
    }
    pieces.join("+")
}

fn bulk(bytes: &[u8]) -> String {
    if bytes.len() <= WHOLE_BYTES_MAX {
        return quote(bytes);
    }
    let text = runs(bytes);
    if text.len() <= 160 || bytes.iter().all(|b| (0x20..0x7f).contains(b)) && bytes.len() < 600 {
        return text;
    }
    format!("${}#{:016x}", bytes.len(), fnv(bytes))
}

/// 64-bit FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A reply as text. Integers that are times near `now` are written relative to it.
pub fn render(reply: &Reply, now: Now) -> String {
    let list =
        |items: &[Reply]| items.iter().map(|item| render(item, now)).collect::<Vec<_>>().join(", ");
    match reply {
        Reply::Simple(text) => format!("+{}", escape(text)),
        Reply::Error(text) => format!("-{}", escape(text)),
        Reply::Int(number) => integer(*number, now),
        Reply::Bulk(bytes) => bulk(bytes),
        Reply::NilBulk => "$-1".into(),
        Reply::NilArray => "*-1".into(),
        Reply::Null => "_".into(),
        Reply::Bool(true) => "#t".into(),
        Reply::Bool(false) => "#f".into(),
        Reply::Double(text) => format!(",{}", escape(text)),
        Reply::BigNumber(text) => format!("({}", escape(text)),
        Reply::Verbatim(bytes) => format!("={}", bulk(bytes)),
        Reply::Array(items) => format!("*[{}]", list(items)),
        Reply::Set(items) => format!("~[{}]", list(items)),
        Reply::Push(items) => format!(">[{}]", list(items)),
        Reply::Map(pairs) => {
            let flat: Vec<_> = pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect();
            format!("%[{}]", list(&flat))
        }
    }
}

/// The reply with every number and text replaced by a letter for its kind, for replies of which
/// only the form is promised.
pub fn shape(reply: &Reply) -> String {
    let list = |items: &[Reply]| items.iter().map(shape).collect::<Vec<_>>().join(", ");
    match reply {
        Reply::Int(_) => ":int".into(),
        Reply::Bulk(_) => "\"text\"".into(),
        Reply::Verbatim(_) => "=text".into(),
        Reply::Array(items) => format!("*[{}]", list(items)),
        Reply::Map(pairs) => {
            let now = Now::NEVER;
            let pair = |(k, v): &(Reply, Reply)| format!("{}, {}", render(k, now), shape(v));
            format!("%[{}]", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => render(other, Now::NEVER),
    }
}

fn escape(text: &[u8]) -> String {
    let quoted = quote(text);
    quoted[1..quoted.len() - 1].replace("\\\"", "\"")
}

fn integer(number: i64, now: Now) -> String {
    let seconds = number.wrapping_sub(now.seconds());
    if seconds.unsigned_abs() < NEAR_SECONDS as u64 {
        return format!(":{{now{seconds:+}}}");
    }
    let whole = (number / 1000).wrapping_sub(now.seconds());
    if number % 1000 == 0 && whole.unsigned_abs() < NEAR_SECONDS as u64 {
        return format!(":{{now{whole:+}}}000");
    }
    let ms = number.wrapping_sub(now.ms);
    if ms.unsigned_abs() < NEAR_SECONDS as u64 * 1000 {
        return format!(":{{nowms{ms:+}}}");
    }
    format!(":{number}")
}

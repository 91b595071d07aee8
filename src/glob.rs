//! Glob patterns as Redis matches them, for `KEYS`, `SCAN`, `PSUBSCRIBE` and `CONFIG GET`.
//!
//! `*` any bytes, `?` one byte, `[abc]`, `[a-z]`, `[^a]` one byte of a class, `\x` the byte itself.
//! A class that is not closed ends with the pattern. An empty text matches the empty pattern only,
//! not even `*`: commands for which `*` means everything ask for that first, as Redis's do.

/// Whether the whole text fits the pattern. Costs at most the product of their lengths.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, Case::Exact)
}

/// As [`matches()`], with ASCII letters of either case the same, but for one escaped in a class.
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, Case::Ignored)
}

/// Whether the pattern has no special byte, so that it fits exactly the text it is.
pub fn literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Exact,
    Ignored,
}

impl Case {
    fn fold(self, byte: u8) -> u8 {
        if self == Case::Ignored { byte.to_ascii_lowercase() } else { byte }
    }
}

/// When something behind a `*` does not fit, only the last `*` needs to take another byte: whatever
/// an earlier one could take, the last can reach as well. That bounds the work.
fn run(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut read) = (0, 0);
    // Where the pattern goes on behind the last star, and where the text does if it takes no more.
    let mut retry: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += stars(&pattern[at..]);
            if at == pattern.len() {
                return true;
            }
            retry = Some((at, read));
            continue;
        }
        match (element(&pattern[at..], text[read], case), retry) {
            (Some(len), _) => {
                at += len;
                read += 1;
            }
            (None, Some((behind, taken))) => {
                (at, read) = (behind, taken + 1);
                retry = Some((behind, taken + 1));
            }
            (None, None) => return false,
        }
    }
    at + stars(&pattern[at..]) == pattern.len()
}

/// Number of stars the pattern begins with.
fn stars(pattern: &[u8]) -> usize {
    pattern.iter().take_while(|&&byte| byte == b'*').count()
}

/// Length of the element that begins the pattern, if it fits the byte. Not for `*`.
fn element(pattern: &[u8], byte: u8, case: Case) -> Option<usize> {
    let (fits, len) = match pattern {
        [] => return None,
        [b'?', ..] => (true, 1),
        [b'[', rest @ ..] => {
            let (fits, len) = class(rest, byte, case);
            (fits, 1 + len)
        }
        [b'\\', escaped, ..] => (case.fold(*escaped) == case.fold(byte), 2),
        [literal, ..] => (case.fold(*literal) == case.fold(byte), 1),
    };
    fits.then_some(len)
}

/// Whether the byte is in the class whose text begins behind the `[`, and the length of that text
/// with its `]`.
fn class(text: &[u8], byte: u8, case: Case) -> (bool, usize) {
    let negated = text.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &text[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                found |= in_range(*start, *end, byte, case);
                at += 3;
            }
            [literal, ..] => {
                found |= case.fold(*literal) == case.fold(byte);
                at += 1;
            }
        }
    }
    (found != negated, at)
}

/// Whether the byte is between the two, in either order. C's `char` is signed where Redis runs
/// most, so that bytes from 0x80 come before ASCII.
fn in_range(start: u8, end: u8, byte: u8, case: Case) -> bool {
    let (low, high) = if start as i8 > end as i8 { (end, start) } else { (start, end) };
    let folded = |byte: u8| case.fold(byte) as i8;
    (folded(low)..=folded(high)).contains(&folded(byte))
}

#[cfg(test)]
mod tests {
    use super::{literal, matches, matches_ignoring_case};

    #[test]
    fn patterns_match_as_in_redis() {
        let yes: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"*", b"a"),
            (b"**", b"abc"),
            (b"a*", b"a"),
            (b"a**", b"a"),
            (b"a*b*c", b"aXbYbZc"),
            (b"*ab", b"aab"),
            (b"h?llo", b"hello"),
            (b"h[ae]llo", b"hallo"),
            (b"h[^e]llo", b"hallo"),
            (b"[a-c]", b"b"),
            (b"[c-a]", b"b"),
            (b"[a-]", b"^"),
            (b"[\\]]", b"]"),
            (b"[\\-x]", b"-"),
            (b"[ab", b"a"),
            (b"[^ab", b"c"),
            (b"[^", b"x"),
            (b"[^]x", b"ax"),
            (b"\\*", b"*"),
            (b"a\\", b"a\\"),
            (b"a[b]*[d-f]?", b"abXXeY"),
            (b"[\x80-a]", b"\xff"),
        ];
        let no: &[(&[u8], &[u8])] = &[
            (b"*", b""),
            (b"", b"a"),
            (b"?", b""),
            (b"a?", b"a"),
            (b"a*[", b"ab"),
            (b"[", b"["),
            (b"[]a]", b"a"),
            (b"h[^e]llo", b"hello"),
            (b"a*b", b"abc"),
            (b"\\*", b"a"),
            (b"A", b"a"),
            (b"[a-\xff]", b"b"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern, text), "{}", pattern.escape_ascii());
        }
        for (pattern, text) in no {
            assert!(!matches(pattern, text), "{}", pattern.escape_ascii());
        }
    }

    #[test]
    fn case_can_be_ignored() {
        assert!(matches_ignoring_case(b"MAX*[M-O]?RY", b"maxmemory"));
        assert!(matches_ignoring_case(b"[abc]", b"B"));
        assert!(!matches_ignoring_case(b"[\\b]", b"B"));
        assert!(!matches(b"MAX*", b"maxmemory"));
    }

    /// What the stars mean, said without regard to cost.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            ([b'?', rest @ ..], [_, text @ ..]) => naive(rest, text),
            ([byte, rest @ ..], [first, text @ ..]) => byte == first && naive(rest, text),
            (_, []) => false,
        }
    }

    #[test]
    fn backtracking_to_the_last_star_misses_nothing() {
        let words = |alphabet: &'static [u8], len: u32| {
            let count = alphabet.len();
            (0..count.pow(len)).map(move |number| -> Vec<u8> {
                (0..len).map(|place| alphabet[number / count.pow(place) % count]).collect()
            })
        };
        for pattern in (0..=5).flat_map(|len| words(b"ab*?", len)) {
            for text in (1..=5).flat_map(|len| words(b"ab", len)) {
                let expected = naive(&pattern, &text);
                assert_eq!(matches(&pattern, &text), expected, "{pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = [&b"a*".repeat(1000)[..], b"b"].concat();
        assert!(!matches(&pattern, &b"a".repeat(20_000)));
    }

    #[test]
    fn literals_have_no_special_byte() {
        assert!(literal(b"") && literal(b"user:1^-]"));
        for pattern in [&b"a*"[..], b"?", b"[", b"\\a"] {
            assert!(!literal(pattern));
        }
    }
}

//! Takes a path apart, and writes it the way RFC 9535 wants it.
//!
//! serde_json_path evaluates paths but does not show what is in them. What has to be known here are
//! the members and indices of a path that leads to one place (`JSON.SET` may create its last member),
//! and what evaluation may cost. RedisJSON also takes paths that the RFC does not; those are written
//! anew: names with bytes such as `-` or beginning with a digit (`$.foo-bar`), a point before a bracket
//! (`$.["a"]`), and `=~` for `search()`.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;

use crate::limits::JSON_PATH_NESTING_MAX;

/// One segment of a path.
#[derive(Debug, Default)]
pub struct Segment {
    /// Whether it looks into all levels below: `..`.
    pub descends: bool,
    /// What it selects.
    pub selectors: Vec<Selector>,
}

/// One selector of a segment.
#[derive(Debug)]
pub enum Selector {
    /// The member with this name.
    Name(String),
    /// The element at this index, from the end if negative.
    Index(i64),
    /// All children, or a slice of them.
    Many,
    /// Children that fulfil an expression.
    Filter(Filter),
}

/// What matters of a filter's expression.
#[derive(Debug, Default)]
pub struct Filter {
    /// The paths in it, and whether each begins at the document's root.
    pub paths: Vec<(bool, Vec<Segment>)>,
    /// Bytes of the expression.
    pub bytes: usize,
    /// Calls of `match` and `search` with the expression as a literal.
    pub searches: u64,
    /// Calls of them with an expression that comes from the document.
    pub dynamic_searches: u64,
}

/// A path taken apart.
#[derive(Debug)]
pub struct Lexed {
    /// Its segments.
    pub segments: Vec<Segment>,
    /// The same path as RFC 9535 writes it.
    pub standard: String,
}

/// Why a path is none: the reason, and the byte at which it was noticed.
pub type Wrong = (&'static str, usize);

/// Takes `text`, which begins with `$`, apart.
pub fn lex(text: &str) -> Result<Lexed, Wrong> {
    let mut lexer =
        Lexer { text, chars: text.char_indices().peekable(), out: String::new(), nesting: 0 };
    lexer.expect('$')?;
    let segments = lexer.segments()?;
    match lexer.peek() {
        None => Ok(Lexed { segments, standard: lexer.out }),
        Some(_) => Err(lexer.wrong("a segment begins with a point or bracket")),
    }
}

struct Lexer<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    out: String,
    nesting: usize,
}

/// A parenthesis of a filter that is open.
#[derive(Default)]
struct Open {
    /// Whether it is that of `match` or `search`.
    searches: bool,
    /// Commas seen in it.
    commas: usize,
    /// Whether its second argument reads from the document.
    dynamic: bool,
}

impl<'t> Lexer<'t> {
    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn wrong(&mut self, reason: &'static str) -> Wrong {
        (reason, self.at())
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, char)| *char)
    }

    /// Takes the next character without writing it.
    fn skip(&mut self) -> Option<char> {
        self.chars.next().map(|(_, char)| char)
    }

    /// Takes and writes the next character if it is this one.
    fn take(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.skip();
            self.out.push(wanted);
        }
        is_next
    }

    fn expect(&mut self, wanted: char) -> Result<(), Wrong> {
        if self.take(wanted) { Ok(()) } else { Err(self.wrong("a closing bracket is missing")) }
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.skip();
        }
    }

    fn nest(&mut self) -> Result<(), Wrong> {
        self.nesting += 1;
        if self.nesting > JSON_PATH_NESTING_MAX {
            return Err(self.wrong("brackets and parentheses nest too deep"));
        }
        Ok(())
    }

    /// The segments up to what is none; spaces behind the last one are left.
    fn segments(&mut self) -> Result<Vec<Segment>, Wrong> {
        let mut segments = Vec::new();
        loop {
            let mut ahead = self.chars.clone();
            while ahead.next_if(|(_, char)| is_space(*char)).is_some() {}
            if !matches!(ahead.peek(), Some((_, '.' | '['))) {
                return Ok(segments);
            }
            self.chars = ahead;
            segments.push(self.segment()?);
        }
    }

    fn segment(&mut self) -> Result<Segment, Wrong> {
        let mut segment = Segment::default();
        if self.peek() == Some('.') {
            self.skip();
            if self.peek() == Some('.') {
                self.skip();
                segment.descends = true;
                self.out.push_str("..");
            }
            match self.peek() {
                Some('[') => {}
                Some('*') => {
                    self.skip();
                    self.out.push_str("[*]");
                    segment.selectors.push(Selector::Many);
                    return Ok(segment);
                }
                _ => {
                    let name = self.shorthand()?;
                    self.out.push('[');
                    self.write_string(&name);
                    self.out.push(']');
                    segment.selectors.push(Selector::Name(name));
                    return Ok(segment);
                }
            }
        }
        self.brackets(&mut segment.selectors)?;
        Ok(segment)
    }

    /// A name after a point.
    fn shorthand(&mut self) -> Result<String, Wrong> {
        let from = self.at();
        while self.peek().is_some_and(is_in_name) {
            self.skip();
        }
        let name = &self.text[from..self.at()];
        if name.is_empty() { Err(self.wrong("a name is missing")) } else { Ok(name.to_owned()) }
    }

    fn brackets(&mut self, selectors: &mut Vec<Selector>) -> Result<(), Wrong> {
        self.expect('[')?;
        self.nest()?;
        loop {
            self.skip_spaces();
            let selector = self.selector()?;
            selectors.push(selector);
            self.skip_spaces();
            if !self.take(',') {
                break;
            }
        }
        self.nesting -= 1;
        self.expect(']')
    }

    fn selector(&mut self) -> Result<Selector, Wrong> {
        match self.peek() {
            Some('\'' | '"') => {
                let name = self.string()?;
                self.write_string(&name);
                Ok(Selector::Name(name))
            }
            Some('*') => {
                self.expect('*')?;
                Ok(Selector::Many)
            }
            Some('?') => {
                self.expect('?')?;
                self.filter().map(Selector::Filter)
            }
            Some('-' | '0'..='9' | ':') => self.index_or_slice(),
            _ => Err(self.wrong("a selector is missing")),
        }
    }

    fn index_or_slice(&mut self) -> Result<Selector, Wrong> {
        let first = if self.peek() == Some(':') { None } else { Some(self.integer()?) };
        self.skip_spaces();
        let mut colons = 0;
        while colons < 2 && self.take(':') {
            colons += 1;
            self.skip_spaces();
            if matches!(self.peek(), Some('-' | '0'..='9')) {
                self.integer()?;
                self.skip_spaces();
            }
        }
        match first {
            Some(index) if colons == 0 => Ok(Selector::Index(index)),
            _ => Ok(Selector::Many),
        }
    }

    /// An integer as the RFC has it: no zeros in front, no negative zero, exact as a double.
    fn integer(&mut self) -> Result<i64, Wrong> {
        let from = self.at();
        while matches!(self.peek(), Some('-' | '0'..='9')) {
            self.skip();
        }
        let text = &self.text[from..self.at()];
        let number: Option<i64> = text.parse().ok();
        let number = number.filter(|number| number.unsigned_abs() < 1 << 53);
        match number.filter(|number| number.to_string() == text) {
            Some(number) => {
                self.out.push_str(text);
                Ok(number)
            }
            None => Err(self.wrong("an index is not an integer or out of range")),
        }
    }

    /// A string in quotes; what it stands for.
    fn string(&mut self) -> Result<String, Wrong> {
        let quote = self.skip().unwrap_or('"');
        let mut text = String::new();
        loop {
            match self.skip() {
                None => return Err(self.wrong("a string is not closed")),
                Some(char) if char == quote => return Ok(text),
                Some('\\') => text.push(self.escape(quote)?),
                Some('\0'..='\x1f') => return Err(self.wrong("a control character is not escaped")),
                Some(char) => text.push(char),
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<char, Wrong> {
        match self.skip() {
            Some('b') => Ok('\x08'),
            Some('f') => Ok('\x0c'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some(char) if char == quote || matches!(char, '/' | '\\') => Ok(char),
            Some('u') => {
                let high = self.hex()?;
                let code = match high {
                    0xd800..=0xdbff if self.skip() == Some('\\') && self.skip() == Some('u') => {
                        let low = self.hex()?;
                        let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400);
                        low.map(|low| 0x10000 + ((high - 0xd800) << 10) + low)
                    }
                    _ => Some(high),
                };
                let char = code.and_then(char::from_u32);
                char.ok_or_else(|| self.wrong("an escape is half a character"))
            }
            _ => Err(self.wrong("an escape is not known")),
        }
    }

    fn hex(&mut self) -> Result<u32, Wrong> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.skip().and_then(|char| char.to_digit(16));
            let digit =
                digit.ok_or_else(|| self.wrong("an escape is not four hexadecimal digits"))?;
            code = code << 4 | digit;
        }
        Ok(code)
    }

    fn write_string(&mut self, text: &str) {
        self.out.push('\'');
        for char in text.chars() {
            match char {
                '\'' | '\\' => self.out.extend(['\\', char]),
                '\0'..='\x1f' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(char));
                }
                _ => self.out.push(char),
            }
        }
        self.out.push('\'');
    }

    /// The expression of a filter, up to the comma or bracket behind it.
    fn filter(&mut self) -> Result<Filter, Wrong> {
        let mut filter = Filter::default();
        let start = self.out.len();
        let mut open: Vec<Open> = Vec::new();
        // Where the last operand begins in the output, for `=~`.
        let mut operand = self.out.len();
        loop {
            match self.peek() {
                None => return Err(self.wrong("a filter is not closed")),
                Some(']' | ',') if open.is_empty() => {
                    filter.bytes = self.out.len() - start;
                    return Ok(filter);
                }
                Some(']' | '[') => return Err(self.wrong("a bracket does not belong there")),
                Some('\'' | '"' | '@' | '$') => {
                    operand = self.out.len();
                    self.operand(&mut filter, &mut open)?;
                }
                Some('(') => {
                    self.nest()?;
                    let searches = ["match", "search"].iter().any(|name| self.out.ends_with(name));
                    open.push(Open { searches, ..Open::default() });
                    self.expect('(')?;
                }
                Some(')') => {
                    let closed = open.pop();
                    let closed = closed.ok_or_else(|| self.wrong("a parenthesis is not open"))?;
                    filter.searches += u64::from(closed.searches && !closed.dynamic);
                    filter.dynamic_searches += u64::from(closed.searches && closed.dynamic);
                    self.nesting -= 1;
                    self.expect(')')?;
                }
                Some(',') => {
                    self.expect(',')?;
                    open.last_mut().expect("some parenthesis is open").commas += 1;
                }
                Some('=') => {
                    self.skip();
                    if self.peek() == Some('~') {
                        self.skip();
                        self.search(operand, &mut filter)?;
                    } else {
                        self.out.push('=');
                    }
                }
                Some(char) => {
                    self.skip();
                    self.out.push(char);
                }
            }
        }
    }

    /// A string or path of a filter.
    fn operand(&mut self, filter: &mut Filter, open: &mut [Open]) -> Result<(), Wrong> {
        if matches!(self.peek(), Some('\'' | '"')) {
            let text = self.string()?;
            self.write_string(&text);
            return Ok(());
        }
        for outer in open {
            outer.dynamic |= outer.searches && outer.commas > 0;
        }
        let is_absolute = self.take('$');
        if !is_absolute {
            self.expect('@')?;
        }
        let segments = self.segments()?;
        filter.paths.push((is_absolute, segments));
        Ok(())
    }

    /// Makes `search(left, right)` of RedisJSON's `left =~ right`, whose left side was written at
    /// `operand`.
    fn search(&mut self, operand: usize, filter: &mut Filter) -> Result<(), Wrong> {
        self.skip_spaces();
        if !matches!(self.peek(), Some('\'' | '"' | '@' | '$')) {
            return Err(self.wrong("=~ needs a string or path"));
        }
        let left = self.out.split_off(operand);
        let _ = write!(self.out, "search({},", left.trim_end());
        let mut open = [Open { searches: true, commas: 1, dynamic: false }];
        self.operand(filter, &mut open)?;
        filter.searches += u64::from(!open[0].dynamic);
        filter.dynamic_searches += u64::from(open[0].dynamic);
        self.out.push(')');
        Ok(())
    }
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r')
}

/// What a name after a point may consist of: the RFC's letters and RedisJSON's.
fn is_in_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || !char.is_ascii() || "-_`+#%$^/:".contains(char)
}

//! Scenario files: parsing, and writing replies back into them.
//!
//!     == title                     a case: empty databases, fresh connections
//!     > SET k v                    a command on the connection without a name
//!     < +OK                        its reply
//!     a> GET k                     a command on connection `a`
//!     >sorted,2 ...                how to send and compare, see [`Mode`]
//!     only redis: reason           the next case, command or reply is for that side alone
//!     all only redis: reason       all cases from here on are
//!     # text                       a comment

use std::collections::BTreeMap;
use std::path::Path;

/// One side of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// redis-server.
    Redis,
    /// ringstone, on any store.
    Ringstone,
}

/// How a command is sent and its replies are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Number of replies to read.
    pub replies: usize,
    /// The server closes the connection afterwards.
    pub closed: bool,
    /// The line is one quoted string, sent as it is.
    pub raw: bool,
    /// Sent one byte at a time.
    pub bytes: bool,
    /// The order of the outermost items means nothing.
    pub sorted: bool,
    /// An integer that depends on when it is asked for: 5 or 5 % either way will do.
    pub ttl: bool,
    /// Only the form of the reply is compared.
    pub shape: bool,
    /// Repeated until the reply is the expected one.
    pub until: bool,
    /// Of an aggregate only the number of items is compared.
    pub count: bool,
    /// Of an aggregate only the number of different items is compared.
    pub different: bool,
    /// SCAN and its like: followed to the end, the keys or elements compared as a set.
    pub scan: bool,
    /// Any reply that is not an error will do.
    pub any: bool,
    /// COMMAND INFO: name, arity, flags and key positions are compared, the rest is not.
    pub info: bool,
}

/// An expected reply.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The side it holds for, if not both, and why.
    pub only: Option<(Side, String)>,
    /// The reply in the notation of `text.rs`.
    pub text: String,
}

/// A command and what it must answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// Line number in the file, from 1.
    pub line: usize,
    /// Name of the connection.
    pub conn: String,
    /// How to send and compare.
    pub mode: Mode,
    /// The arguments as written.
    pub text: String,
    /// The side it is for, if not both.
    pub only: Option<Side>,
    /// The expected replies of both sides.
    pub expected: Vec<Expected>,
}

impl Step {
    /// What `side` must answer.
    pub fn expected(&self, side: Side) -> Vec<&str> {
        let wanted = |e: &&Expected| e.only.as_ref().is_none_or(|(only, _)| *only == side);
        self.expected.iter().filter(wanted).map(|e| e.text.as_str()).collect()
    }
}

/// One case of a file.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its title.
    pub title: String,
    /// The side it is for, if not both.
    pub only: Option<Side>,
    /// Its commands.
    pub steps: Vec<Step>,
}

/// Reads a scenario file; an error names the line.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let (mut only, mut all_only) = (None, None);
    for (index, line) in text.lines().enumerate() {
        let at = |why: &str| format!("line {}: {why}: {line}", index + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(exception) = line.strip_prefix("all only ") {
            let (side, _) = parse_only(exception).ok_or_else(|| at("not `SIDE: reason`"))?;
            all_only = Some(side);
        } else if let Some(exception) = line.strip_prefix("only ") {
            only = Some(parse_only(exception).ok_or_else(|| at("not `only SIDE: reason`"))?);
        } else if let Some(title) = line.strip_prefix("== ") {
            let only = only.take().map(|(side, _)| side).or(all_only);
            cases.push(Case { title: title.into(), only, steps: Vec::new() });
        } else if let Some(text) = line.strip_prefix("< ") {
            let step = cases.last_mut().and_then(|case| case.steps.last_mut());
            let step = step.ok_or_else(|| at("a reply without a command"))?;
            step.expected.push(Expected { only: only.take(), text: text.into() });
        } else {
            let mut step = parse_step(line, index + 1).ok_or_else(|| at("not understood"))?;
            step.only = only.take().map(|(side, _)| side);
            cases.last_mut().ok_or_else(|| at("a command before any case"))?.steps.push(step);
        }
    }
    Ok(cases)
}

fn parse_only(text: &str) -> Option<(Side, String)> {
    let (side, reason) = text.split_once(": ")?;
    let side = match side {
        "redis" => Side::Redis,
        "ringstone" => Side::Ringstone,
        _ => return None,
    };
    (!reason.trim().is_empty()).then(|| (side, reason.trim().to_string()))
}

fn parse_step(line: &str, number: usize) -> Option<Step> {
    let (conn, rest) = line.split_once('>')?;
    if !conn.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let (mode, text) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(Step {
        line: number,
        conn: conn.into(),
        mode: parse_mode(mode)?,
        text: text.into(),
        only: None,
        expected: Vec::new(),
    })
}

fn parse_mode(text: &str) -> Option<Mode> {
    let mut mode = Mode {
        replies: 1,
        closed: false,
        raw: false,
        bytes: false,
        sorted: false,
        ttl: false,
        shape: false,
        until: false,
        count: false,
        different: false,
        scan: false,
        any: false,
        info: false,
    };
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word {
            "none" => mode.replies = 0,
            "closed" => mode.closed = true,
            "raw" => mode.raw = true,
            "bytes" => (mode.raw, mode.bytes) = (true, true),
            "sorted" => mode.sorted = true,
            "ttl~" => mode.ttl = true,
            "shape" => mode.shape = true,
            "until" => mode.until = true,
            "count" => mode.count = true,
            "different" => mode.different = true,
            "scan" => mode.scan = true,
            "any" => mode.any = true,
            "info" => mode.info = true,
            number => mode.replies = number.parse().ok()?,
        }
    }
    Some(mode)
}

/// Replies to write into a file: by line of the command, what redis-server answered.
pub type Blessed = BTreeMap<usize, Vec<String>>;

/// Rewrites the replies of the file at `path`; those that hold for ringstone alone stay.
pub fn bless(path: &Path, blessed: &Blessed) -> std::io::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        out.push_str(lines[at]);
        out.push('\n');
        at += 1;
        let Some(replies) = blessed.get(&at) else { continue };
        let mut kept = String::new();
        let mut reason = None;
        loop {
            let reply_next = lines.get(at + 1).is_some_and(|line| line.starts_with("< "));
            match lines.get(at) {
                Some(line) if line.starts_with("< ") => at += 1,
                Some(line) if line.starts_with("only redis") && reply_next => {
                    reason = Some(*line);
                    at += 2;
                }
                Some(line) if line.starts_with("only ringstone") && reply_next => {
                    kept.push_str(&format!("{line}\n{}\n", lines[at + 1]));
                    at += 2;
                }
                _ => break,
            }
        }
        for reply in replies {
            if let Some(reason) = reason {
                out.push_str(&format!("{reason}\n"));
            }
            out.push_str(&format!("< {reply}\n"));
        }
        out.push_str(&kept);
    }
    std::fs::write(path, out)
}

//! Property: ringstone answers byte for byte what Redis 7.0 answers, on every store and with faults
//! injected. The files in `scenarios/` are run against redis-server and against ringstone; the
//! format is described in `common/script.rs`.
//!
//! `RINGSTONE_TEST_SCENARIOS=text` runs only files and cases whose name contains the text.
//! `RINGSTONE_TEST_BLESS=1` writes what redis-server answers into the files; review the difference.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use common::script::{self, Blessed, Case, Side, Step};
use common::text::{self, Now};
use common::{Conn, DEADLINE, Options, ReadFailure, Reply, Server, Subject, fdb};

/// Mismatches printed unless `RINGSTONE_TEST_SHOWN` says otherwise; the rest is counted.
const SHOWN_DEFAULT: u64 = 25;

#[test]
fn redis_agrees_with_the_files() {
    run(Subject::Redis, &Options::default());
}

#[test]
fn memory_agrees_with_redis() {
    run(Subject::Memory, &Options::default());
}

#[test]
fn embedded_agrees_with_redis() {
    run(Subject::Embedded, &Options::default());
}

#[test]
fn fault_injection_changes_no_reply() {
    run(Subject::Faulty, &Options { unix: true, ..Options::default() });
}

#[test]
fn foundationdb_agrees_with_redis() {
    if fdb::is_here() {
        run(Subject::FoundationDb, &Options::default());
    }
}

#[test]
fn fault_injection_on_foundationdb_changes_no_reply() {
    if fdb::is_here() {
        run(Subject::FaultyFoundationDb, &Options { unix: true, ..Options::default() });
    }
}

fn run(subject: Subject, options: &Options) {
    let filter = std::env::var("RINGSTONE_TEST_SCENARIOS").unwrap_or_default();
    let bless = std::env::var("RINGSTONE_TEST_BLESS").is_ok_and(|value| value == "1");
    if bless && subject != Subject::Redis {
        return;
    }
    let server = Server::start_with(subject, options);
    let mut failures = Vec::new();
    for path in files() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&path).unwrap();
        let cases = script::parse(&source).unwrap_or_else(|why| panic!("{name}.txt: {why}"));
        let mut blessed = Blessed::new();
        for case in &cases {
            if !name.contains(&filter) && !case.title.contains(&filter) {
                continue;
            }
            let mut runner = Runner::new(&server, bless);
            runner.case(case);
            let heading = format!("{name}.txt [{}]", case.title);
            failures.extend(runner.failures.iter().map(|text| format!("{heading} {text}")));
            blessed.append(&mut runner.blessed);
        }
        if bless {
            script::bless(&path, &blessed).unwrap();
        }
    }
    let shown = common::env_number("RINGSTONE_TEST_SHOWN", SHOWN_DEFAULT) as usize;
    let shown = failures.iter().take(shown).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{subject:?}: {} mismatches\n{shown}", failures.len());
}

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

struct Runner<'a> {
    server: &'a Server,
    side: Side,
    bless: bool,
    now: Now,
    conns: HashMap<String, Conn>,
    failures: Vec<String>,
    blessed: Blessed,
}

impl<'a> Runner<'a> {
    fn new(server: &'a Server, bless: bool) -> Runner<'a> {
        let side = if server.subject.is_ringstone() { Side::Ringstone } else { Side::Redis };
        common::flush(&mut server.connect());
        Runner {
            server,
            side,
            bless,
            now: Now::read(),
            conns: HashMap::new(),
            failures: Vec::new(),
            blessed: Blessed::new(),
        }
    }

    fn case(&mut self, case: &Case) {
        if case.only.is_some_and(|only| only != self.side) {
            return;
        }
        for step in &case.steps {
            if step.only.is_some_and(|only| only != self.side) {
                continue;
            }
            if let Err(failure) = self.step(step) {
                self.fail(step, &failure);
                return;
            }
        }
    }

    fn fail(&mut self, step: &Step, what: &str) {
        let text = format!("line {}:\n  {}> {}\n{what}", step.line, step.conn, step.text);
        self.failures.push(text);
    }

    /// Runs one command; an error means that the case cannot go on.
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let expected: Vec<String> = step.expected(self.side).iter().map(|&t| t.into()).collect();
        if step.mode.until {
            return self.until(step, &expected);
        }
        let replies = self.exchange(step)?;
        if self.bless {
            if step.mode.replies > 0 {
                self.blessed.insert(step.line, replies);
            }
            return Ok(());
        }
        if expected.len() != replies.len() {
            let (want, got) = (expected.len(), replies.len());
            return Err(format!("  {want} replies in the file, {got} came: {replies:#?}"));
        }
        for (expected, actual) in expected.iter().zip(&replies) {
            if !self.agree(step, expected, actual) {
                self.fail(step, &format!("  expected {expected}\n  got      {actual}"));
            }
        }
        Ok(())
    }

    /// Repeats a command until it answers as expected.
    fn until(&mut self, step: &Step, expected: &[String]) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let replies = self.exchange(step)?;
            if replies == expected {
                return Ok(());
            }
            if started.elapsed() > DEADLINE {
                return Err(format!("  never answered {expected:?}, last {replies:?}"));
            }
            std::thread::yield_now();
        }
    }

    /// Sends a command and reads what it answers, as text.
    fn exchange(&mut self, step: &Step) -> Result<Vec<String>, String> {
        let args = text::parse_args(&step.text, self.now)?;
        let server = self.server;
        let conn = self.conns.entry(step.conn.clone()).or_insert_with(|| server.connect());
        if step.mode.scan {
            return Ok(vec![scan(conn, args)]);
        }
        let sent = if step.mode.bytes {
            args[0].iter().try_for_each(|&byte| conn.try_send_raw(&[byte]))
        } else if step.mode.raw {
            conn.try_send_raw(&args[0])
        } else {
            conn.try_send_raw(&common::encode(&args))
        };
        sent.map_err(|error| format!("  send: {error}"))?;
        let mut replies = Vec::new();
        for _ in 0..step.mode.replies {
            let (reply, _) = conn.try_read().map_err(describe)?;
            let reply = if step.mode.sorted { reply.sorted() } else { reply };
            replies.push(match &step.mode {
                mode if mode.any && !reply.is_error() => "+(not an error)".into(),
                mode if mode.count && !reply.is_error() => format!(":{}", reply.items().len()),
                mode if mode.different && !reply.is_error() => {
                    format!(":{}", reply.items().iter().collect::<BTreeSet<_>>().len())
                }
                mode if mode.shape => text::shape(&reply),
                mode if mode.info => text::render(&heads(reply), self.now),
                _ => text::render(&reply, self.now),
            });
        }
        if step.mode.closed {
            let rest = conn.read_to_close().map_err(|why| format!("  {why}"))?;
            if !rest.is_empty() {
                return Err(format!("  before it closed came {:?}", rest.escape_ascii()));
            }
            self.conns.remove(&step.conn);
        }
        Ok(replies)
    }

    fn agree(&self, step: &Step, expected: &str, actual: &str) -> bool {
        if !step.mode.ttl {
            return expected == actual;
        }
        let number = |text: &str| -> Option<i64> {
            let args = text::parse_args(text.strip_prefix(':')?, self.now).ok()?;
            String::from_utf8_lossy(args.first()?).parse().ok()
        };
        let offset = |text: &str| -> Option<i64> {
            let digits = text.rsplit_once('+')?.1.strip_suffix('}')?;
            digits.parse().ok()
        };
        match (number(expected), number(actual)) {
            (Some(want), Some(got)) if want > 0 && got > 0 => {
                let scale = offset(expected).unwrap_or(want);
                (want - got).abs() <= (scale / 20).max(5)
            }
            _ => expected == actual,
        }
    }
}

/// COMMAND INFO without what few clients read: categories, tips and key specifications.
fn heads(mut reply: Reply) -> Reply {
    if let Reply::Array(entries) = &mut reply {
        for entry in entries {
            if let Reply::Array(fields) = entry {
                fields.truncate(6);
            }
        }
    }
    reply
}

fn describe(failure: ReadFailure) -> String {
    match failure {
        ReadFailure::Closed(why) => format!("  the connection was closed: {why}"),
        ReadFailure::TimedOut => "  no reply within the deadline".into(),
        ReadFailure::Malformed(why) => format!("  not a reply: {why}"),
    }
}

/// Follows the cursors of a SCAN or its like to the end; the keys, members or pairs as a sorted set.
fn scan(conn: &mut Conn, mut args: Vec<Vec<u8>>) -> String {
    let (cursor, items) = match &args[0].to_ascii_uppercase()[..] {
        b"SCAN" => (1, 1),
        b"SSCAN" => (2, 1),
        _ => (2, 2),
    };
    let mut found = BTreeSet::new();
    for _ in 0..100_000 {
        let reply = conn.call(&args);
        let Reply::Array(parts) = &reply else { return text::render(&reply, Now::NEVER) };
        found.extend(parts[1].items().chunks(items).map(|chunk| match chunk {
            [one] => one.clone(),
            several => Reply::Array(several.to_vec()),
        }));
        args[cursor] = parts[0].bulk().unwrap().to_vec();
        if args[cursor] == b"0" {
            return text::render(&Reply::Array(found.into_iter().collect()), Now::NEVER);
        }
    }
    "a scan without an end".into()
}

//! Property: for any sequence of commands ringstone and redis-server give the same replies.
//!
//! Random sessions over few keys, several databases, `MULTI` blocks and both protocols go,
//! pipelined in random batches, to both servers; the first different reply is reduced to a short
//! sequence that still shows a difference, printed in the notation of the scenario files.
//!
//! `RINGSTONE_TEST_FUZZ_SEED` and `RINGSTONE_TEST_FUZZ_COMMANDS` override where to begin and how much to do.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "differential/generate.rs"]
mod generate;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::text::{self, Now};
use common::{Conn, Options, Reply, Server, Subject, fdb};
use generate::{CONNECTIONS, Command, Compare, Step};

/// Commands of one session; a session starts with empty databases.
const SESSION_COMMANDS: usize = 400;
/// How long reducing a failing session may take.
const REDUCE_FOR: Duration = Duration::from_secs(30);

#[test]
fn redis_agrees_with_itself() {
    fuzz(Subject::Redis, &Options::default(), 20_000);
}

#[test]
fn memory_agrees_with_redis() {
    fuzz(Subject::Memory, &Options::default(), 100_000);
}

#[test]
fn embedded_agrees_with_redis() {
    let options = Options { durability: "interval", unix: true, ..Options::default() };
    fuzz(Subject::Embedded, &options, 100_000);
}

#[test]
fn fault_injection_changes_no_reply() {
    fuzz(Subject::Faulty, &Options::default(), 30_000);
}

#[test]
fn foundationdb_agrees_with_redis() {
    if fdb::is_here() {
        fuzz(Subject::FoundationDb, &Options { unix: true, ..Options::default() }, 20_000);
    }
}

fn fuzz(subject: Subject, options: &Options, commands: u64) {
    let first = common::env_number("RINGSTONE_TEST_FUZZ_SEED", 1);
    let commands = common::env_number("RINGSTONE_TEST_FUZZ_COMMANDS", commands);
    println!("{subject:?}: seed {first}, {commands} commands");
    let servers = [Server::start(Subject::Redis), Server::start_with(subject, options)];
    let mut sent = 0;
    let mut seed = first;
    while sent < commands {
        let steps = generate::session(seed, SESSION_COMMANDS);
        if let Err(mismatch) = run(&servers, &steps) {
            let (steps, mismatch) = reduce(&servers, steps, mismatch);
            let script = script(&steps);
            panic!(
                "{subject:?} differs from redis-server; repeat with RINGSTONE_TEST_FUZZ_SEED={seed}\n\
                 {script}{mismatch}"
            );
        }
        sent += steps.iter().map(Step::commands).sum::<usize>() as u64;
        seed += 1;
    }
}

impl Step {
    fn commands(&self) -> usize {
        match self {
            Step::Batch(_, commands) => commands.len(),
            Step::Scan(..) => 1,
        }
    }
}

/// Runs a session on both servers; an error describes the first different reply.
fn run(servers: &[Server; 2], steps: &[Step]) -> Result<(), String> {
    let mut conns: Vec<[Conn; 2]> = Vec::new();
    for server in servers {
        common::flush(&mut server.connect());
    }
    for number in 0..CONNECTIONS {
        let mut pair = [servers[0].connect(), servers[1].connect()];
        if number == 1 {
            pair.iter_mut().for_each(|conn| drop(conn.command("HELLO 3")));
        }
        conns.push(pair);
    }
    let mut queued: Vec<Vec<Compare>> = vec![Vec::new(); CONNECTIONS];
    for step in steps {
        match step {
            Step::Batch(conn, commands) => {
                run_batch(&mut conns[*conn], commands, &mut queued[*conn])?;
            }
            Step::Scan(conn, args) => {
                let [ours, theirs] = &mut conns[*conn];
                let (left, right) = (scan(ours, args)?, scan(theirs, args)?);
                if left != right {
                    return Err(difference(args, &left, &right));
                }
                if left == Reply::Simple(b"QUEUED".to_vec()) {
                    // A broken EXEC or DISCARD has left the block open. The order of keys is anybody's.
                    queued[*conn].push(Compare::Kind);
                }
            }
        }
    }
    Ok(())
}

fn run_batch(
    pair: &mut [Conn; 2],
    commands: &[Command],
    queued: &mut Vec<Compare>,
) -> Result<(), String> {
    let bytes: Vec<u8> = commands.iter().flat_map(|c| common::encode(&c.args)).collect();
    for conn in pair.iter_mut() {
        conn.try_send_raw(&bytes).map_err(|error| format!("send: {error}\n"))?;
    }
    for command in commands {
        let failed = |side: &str, why| {
            format!("# {side} gave no reply to {}: {why:?}\n", text::command(&command.args))
        };
        let (left, _) = pair[0].try_read().map_err(|why| failed("redis-server", why))?;
        let (right, _) = pair[1].try_read().map_err(|why| failed("ringstone", why))?;
        let is_exec = command.args[0].eq_ignore_ascii_case(b"EXEC");
        let same = match (&left, &right) {
            (Reply::Array(a), Reply::Array(b)) if is_exec && a.len() == b.len() => {
                let kinds = queued.iter().copied().chain(std::iter::repeat(Compare::Exact));
                a.iter().zip(b).zip(kinds).all(|((a, b), kind)| same(a, b, kind))
            }
            _ => same(&left, &right, command.compare),
        };
        if !same {
            return Err(difference(&command.args, &left, &right));
        }
        match &left {
            Reply::Simple(text) if text == b"QUEUED" => queued.push(command.compare),
            // The start or end of a block.
            Reply::Simple(_) | Reply::Array(_) if is_block_edge(&command.args[0]) => queued.clear(),
            _ => {}
        }
    }
    Ok(())
}

fn is_block_edge(name: &[u8]) -> bool {
    let edges: [&[u8]; 4] = [b"MULTI", b"EXEC", b"DISCARD", b"RESET"];
    edges.iter().any(|edge| name.eq_ignore_ascii_case(edge))
}

fn same(left: &Reply, right: &Reply, compare: Compare) -> bool {
    match (compare, left, right) {
        (Compare::Near(slack), Reply::Int(a), Reply::Int(b)) if *a > 0 && *b > 0 => {
            a.abs_diff(*b) <= slack as u64
        }
        (Compare::Sorted, ..) => left.clone().sorted() == right.clone().sorted(),
        (Compare::Kind, Reply::Error(_), _) | (Compare::Kind, _, Reply::Error(_)) => left == right,
        (Compare::Kind, ..) => std::mem::discriminant(left) == std::mem::discriminant(right),
        _ => left == right,
    }
}

/// Follows a SCAN to its end; what it lists as a sorted set, or the reply when it is not a page.
fn scan(conn: &mut Conn, args: &[Vec<u8>]) -> Result<Reply, String> {
    let mut args = args.to_vec();
    let mut found = BTreeSet::new();
    let name = args[0].to_ascii_uppercase();
    let cursor = if name == b"SCAN" { 1 } else { 2 };
    let size = if name == b"HSCAN" || name == b"ZSCAN" { 2 } else { 1 };
    for _ in 0..10_000 {
        conn.try_send_raw(&common::encode(&args)).map_err(|error| format!("send: {error}\n"))?;
        let (reply, _) = conn.try_read().map_err(|why| format!("# no reply to SCAN: {why:?}\n"))?;
        let Reply::Array(parts) = &reply else { return Ok(reply) };
        found.extend(parts[1].items().chunks(size).map(<[Reply]>::to_vec));
        args[cursor] = parts[0].bulk().unwrap().to_vec();
        if args[cursor] == b"0" {
            return Ok(Reply::Array(found.into_iter().flatten().collect()));
        }
    }
    Err("# a SCAN without an end\n".into())
}

fn difference(args: &[Vec<u8>], left: &Reply, right: &Reply) -> String {
    let now = Now::NEVER;
    let (left, right) = (text::render(left, now), text::render(right, now));
    format!("# {}\n# redis-server {left}\n# ringstone    {right}\n", text::command(args))
}

/// Leaves out whatever is not needed for the servers to differ.
fn reduce(servers: &[Server; 2], steps: Vec<Step>, found: String) -> (Vec<Step>, String) {
    let deadline = Instant::now() + REDUCE_FOR;
    let single: Vec<Step> = steps.iter().flat_map(Step::singles).collect();
    let (mut steps, mut found) = match run(servers, &single) {
        Err(mismatch) => (single, mismatch),
        // Only the original batches show it.
        Ok(()) => (steps, found),
    };
    let mut size = steps.len().div_ceil(2);
    while size > 0 && Instant::now() < deadline {
        let mut at = 0;
        while at < steps.len() && Instant::now() < deadline {
            let end = (at + size).min(steps.len());
            let rest: Vec<Step> = steps[..at].iter().chain(&steps[end..]).cloned().collect();
            match run(servers, &rest) {
                Err(mismatch) => (steps, found) = (rest, mismatch),
                Ok(()) => at = end,
            }
        }
        size /= 2;
    }
    (steps, found)
}

impl Step {
    fn singles(&self) -> Vec<Step> {
        match self {
            Step::Batch(conn, commands) => {
                commands.iter().map(|c| Step::Batch(*conn, vec![c.clone()])).collect()
            }
            scan => vec![scan.clone()],
        }
    }
}

/// The session as lines of a scenario file.
fn script(steps: &[Step]) -> String {
    let mut out = String::from("== found by the fuzzer\nb> HELLO 3\n");
    for step in steps {
        match step {
            Step::Batch(conn, commands) => {
                for command in commands {
                    out.push_str(&format!(
                        "{}> {}\n",
                        ["a", "b"][*conn],
                        text::command(&command.args)
                    ));
                }
            }
            Step::Scan(conn, args) => {
                out.push_str(&format!("{}>scan {}\n", ["a", "b"][*conn], text::command(args)));
            }
        }
    }
    out
}

//! Property: the server's latencies agree with its client's.
//!
//! A command's time begins when its worker takes its last byte from the ring, after the client has begun to
//! send it, and ends when the worker sees that its reply was written, which may be after the client has read
//! it, but not after the worker takes the next command of that connection. So with one connection and one
//! command at a time, the server's interval of a command lies between the client's start of it and the
//! client's end of the next one, and no two of the server's intervals overlap. That orders sums and counts
//! without a word about how fast anything is.

use std::time::Instant;

use crate::scrape::when;
use crate::servers;

const COMMANDS: usize = 2_000;

#[test]
fn latencies_lie_within_those_of_the_client() {
    for server in servers() {
        let subject = server.subject;
        let mut conn = server.connect();
        let (mut began, mut ended) = (Vec::new(), Vec::new());
        for number in 0..=COMMANDS {
            began.push(Instant::now());
            // The last one only ends the one before.
            conn.command(if number < COMMANDS { "INCR number" } else { "PING" });
            ended.push(Instant::now());
        }
        let label = ["command=\"incr\""];
        let name = "ringstone_command_seconds";
        let scrape = when(&server, "all is counted", |scrape| {
            scrape.sum("ringstone_command_seconds_count", &label) >= COMMANDS as f64
        });
        let sum = scrape.sum("ringstone_command_seconds_sum", &label);
        let total = (ended[COMMANDS] - began[0]).as_secs_f64();
        assert!(sum > 0.0 && sum <= total, "{subject:?}: {sum} s of {total} s");
        let outer: Vec<f64> =
            (0..COMMANDS).map(|at| (ended[at + 1] - began[at]).as_secs_f64()).collect();
        let buckets = scrape.buckets(name, &label);
        assert!(buckets.iter().any(|(bound, _)| *bound == 0.001), "the objective has a bound");
        for (bound, count) in buckets {
            let within = outer.iter().filter(|latency| **latency <= bound).count() as f64;
            assert!(within <= count, "{subject:?}: {within} of {count} within {bound} s");
            assert!(count <= COMMANDS as f64, "{subject:?}: {count} within {bound} s");
        }
        // The stages of a command are parts of it that do not overlap, and nearly all of it: what the server
        // does between two of them belongs to none.
        let stages = scrape.sum("ringstone_command_stage_seconds_sum", &[]);
        let commands = scrape.sum("ringstone_command_seconds_sum", &[]);
        let are_parts = commands / 2.0 <= stages && stages <= commands * (1.0 + 1e-9);
        assert!(are_parts, "{subject:?}: {stages} s in stages, {commands} s in all");
    }
}

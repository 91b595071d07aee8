//! `MEMORY`: what space a value takes in the store, and what the process takes in memory.

use super::help::help;
use super::info::usage::{self, Memory, difference, ratio};
use super::info::{human, populations};
use super::{Ctx, Flags, Group, Handler, Keys, Outcome, Server, Spec};
use crate::data::inspect;
use crate::error;
use crate::num;

const HELP: Flags = Flags::LOADING.and(Flags::STALE);
const OPERATOR: Flags = Flags::OPERATOR;
/// The key behind the names of `MEMORY USAGE`.
const SECOND: Keys = Keys::range(2, 2, 1);
/// Elements that `MEMORY USAGE` looks at unless it is told otherwise.
const SAMPLES_DEFAULT: i64 = 5;

/// The row of `MEMORY`.
pub const TABLE: &[Spec] = &[Spec::new("memory", -2, Flags::NONE, Keys::NONE, help)
    .doc(
        Group::Server,
        "4.0.0",
        "Depends on the subcommand",
        "Holds the commands about the space that data takes.",
    )
    .with(&[
        sub("memory|doctor", OPERATOR, doctor, "Says what stands out in the use of memory."),
        sub("memory|help", HELP, help, "Lists the subcommands."),
        sub(
            "memory|malloc-stats",
            OPERATOR,
            malloc_stats,
            "Says that the allocator keeps no statistics.",
        ),
        sub(
            "memory|purge",
            OPERATOR,
            purge,
            "Does nothing: free memory goes back to the system by itself.",
        ),
        sub("memory|stats", OPERATOR, stats, "Says what the process uses memory for."),
        Spec::new("memory|usage", -3, Flags::READONLY, SECOND, memory_usage).doc(
            Group::Server,
            "4.0.0",
            "O(N) where N is the number of elements looked at",
            "Gives the bytes a key and its value take in the store; of a large collection, estimated \
             from some of its elements, 5 or as many as SAMPLES says, 0 for all.",
        ),
    ])];

const fn sub(name: &'static str, flags: Flags, run: Handler, summary: &'static str) -> Spec {
    Spec::new(name, 2, flags, Keys::NONE, run).doc(Group::Server, "4.0.0", "O(1)", summary)
}

/// What Redis says when it was built with another allocator than jemalloc.
fn malloc_stats(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.bulk(b"Stats not supported for the current allocator");
    Ok(())
}

fn purge(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.reply.ok();
    Ok(())
}

/// One value of `MEMORY STATS`.
enum Value {
    Count(i64),
    Ratio(f64),
}

/// Redis's fields, in its order, and the parts of `dataset.bytes` behind them.
fn stats(ctx: &mut Ctx<'_, '_>) -> Outcome {
    use Value::{Count, Ratio};
    let populations = populations(ctx)?;
    let keys: u64 = populations.iter().map(|(_, population)| population.keys).sum();
    let memory = Memory::read(ctx.server);
    let records = usage::records(&*ctx.server.store);
    let Memory { used, own_resident, resident, peak, startup, dataset, .. } = memory;
    let bytes = |bytes: u64| Count(bytes as i64);
    let before = [
        ("peak.allocated", bytes(peak)),
        ("total.allocated", bytes(used)),
        ("startup.allocated", bytes(startup)),
        ("replication.backlog", Count(0)),
        ("clients.slaves", Count(0)),
        ("clients.normal", bytes(ctx.server.held_by_clients_of(ctx.client).total)),
        ("cluster.links", Count(0)),
        ("aof.buffer", Count(0)),
        ("lua.caches", Count(0)),
        ("functions.caches", Count(0)),
    ];
    let behind = [
        ("overhead.total", bytes(memory.overhead())),
        ("keys.count", bytes(keys)),
        ("keys.bytes-per-key", bytes(dataset.checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", bytes(dataset)),
        ("dataset.percentage", Ratio(memory.dataset_percent())),
        ("peak.percentage", Ratio(memory.peak_percent())),
        ("allocator.allocated", bytes(used)),
        ("allocator.active", bytes(used)),
        ("allocator.resident", bytes(own_resident)),
        ("allocator-fragmentation.ratio", Ratio(ratio(used, used))),
        ("allocator-fragmentation.bytes", Count(0)),
        ("allocator-rss.ratio", Ratio(ratio(own_resident, used))),
        ("allocator-rss.bytes", Count(difference(own_resident, used))),
        ("rss-overhead.ratio", Ratio(ratio(resident, own_resident))),
        ("rss-overhead.bytes", Count(difference(resident, own_resident))),
        ("fragmentation", Ratio(ratio(resident, used))),
        ("fragmentation.bytes", Count(difference(resident, used))),
    ];
    ctx.reply.map(before.len() + populations.len() + behind.len() + records.len());
    before.into_iter().for_each(|(name, value)| pair(ctx, name, value));
    for (database, _) in populations {
        // Tables of keys are part of the store.
        ctx.reply.bulk(format!("db.{database}").as_bytes());
        ctx.reply.map(3);
        for table in ["main", "expires", "slot-to-keys"] {
            pair(ctx, &format!("overhead.hashtable.{table}"), Count(0));
        }
    }
    behind.into_iter().for_each(|(name, value)| pair(ctx, name, value));
    for (name, value) in records {
        pair(ctx, &format!("store.{name}"), bytes(value));
    }
    Ok(())
}

fn pair(ctx: &mut Ctx<'_, '_>, name: &str, value: Value) {
    ctx.reply.bulk(name.as_bytes());
    match value {
        Value::Count(count) => ctx.reply.integer(count),
        Value::Ratio(ratio) => ctx.reply.double(ratio),
    }
}

fn doctor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let memory = Memory::read(ctx.server);
    let mut text = format!(
        "The process uses {} of memory, {} of it for records; with the program itself {} are in RAM, \
         {} were at the peak.\n",
        human(memory.used),
        human(memory.dataset),
        human(memory.resident),
        human(memory.peak)
    );
    for (name, bytes) in usage::records(&*ctx.server.store) {
        text.push_str(&format!("{}: {}\n", name.replace('_', " "), human(bytes)));
    }
    let mut findings = findings(&memory, ctx.server.clients_len());
    findings.extend(cache_finding(ctx.server));
    if let Some(cause) = ctx.server.store.write_failure() {
        findings.push(format!("The store refuses writes: {cause}."));
    }
    match findings.is_empty() {
        true => text.push_str("\nNothing stands out.\n"),
        false => findings.iter().for_each(|finding| text.push_str(&format!("\n * {finding}\n"))),
    }
    ctx.reply.verbatim(text.as_bytes(), *b"txt");
    Ok(())
}

/// Below this nothing is worth a word, in bytes.
const NOTABLE_BYTES: u64 = 64 << 20;

/// What stands out in these figures.
fn findings(memory: &Memory, clients: usize) -> Vec<String> {
    let Memory { used, own_resident, resident, peak, system, .. } = *memory;
    let mut found = Vec::new();
    let swapped = used.saturating_sub(own_resident);
    if swapped >= 1 << 20 {
        found.push(format!(
            "{} are swapped out, and every command that needs them waits for the disk. Use less \
             memory (--cache-bytes), or turn swapping off.",
            human(swapped)
        ));
    }
    if system > 0 && ratio(resident, system) > 0.8 {
        found.push(format!(
            "It has more than 80 % of this machine's {} of RAM. When that is used up the system ends \
             the process.",
            human(system)
        ));
    }
    if peak >= NOTABLE_BYTES && ratio(peak, resident) > 1.5 {
        found.push(format!(
            "At its peak it had {} in RAM, much more than now: large requests or replies, many \
             connections, or data that is gone. The system has that back, but such a peak may come \
             again.",
            human(peak)
        ));
    }
    let overhead = memory.overhead();
    if overhead >= NOTABLE_BYTES && overhead > memory.dataset {
        found.push(format!(
            "{} are not records. That is buffers of {clients} connections, requests and replies under \
             way, and memory that is free but has not been given back yet.",
            human(overhead)
        ));
    }
    found
}

/// Whether the cache of a store that has one is too small for what is read.
fn cache_finding(server: &Server) -> Option<String> {
    let figures = server.store.figures();
    let figure = |wanted| figures.iter().find(|(name, _)| *name == wanted).map(|found| found.1);
    let (hits, misses) = (figure("cache_hits")?, figure("cache_misses")?);
    let full = ratio(figure("cache_bytes")?, server.config.cache_bytes as u64) > 0.9;
    let missed = ratio(misses, hits + misses);
    (full && missed > 0.2).then(|| {
        format!(
            "The cache is full, and {:.0} % of what is looked up is not in it: more memory for it \
             (--cache-bytes) saves reads from the disk.",
            missed * 100.0
        )
    })
}

fn memory_usage(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut samples = SAMPLES_DEFAULT;
    let options = ctx.args.from(3);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let count = options.next().filter(|_| option.eq_ignore_ascii_case(b"samples"));
        samples = num::parse_i64(count.ok_or(error::SYNTAX)?).ok_or(error::NOT_AN_INTEGER)?;
        if samples < 0 {
            return Err(error::SYNTAX.into());
        }
    }
    let samples = (samples > 0).then_some(samples as u64);
    match inspect::stored_bytes(ctx.view, ctx.keyspace()?, ctx.arg(2), samples)? {
        Some(bytes) => ctx.reply.integer(bytes as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_names_what_stands_out() {
        let mib = |mib: u64| mib << 20;
        let healthy = Memory {
            used: mib(300),
            own_resident: mib(300),
            resident: mib(310),
            peak: mib(320),
            startup: mib(10),
            dataset: mib(250),
            system: mib(16_000),
        };
        assert_eq!(findings(&healthy, 1), [""; 0]);
        for (sick, word) in [
            (Memory { own_resident: mib(200), ..healthy }, "swapped"),
            (Memory { system: mib(320), ..healthy }, "80 %"),
            (Memory { peak: mib(900), ..healthy }, "peak"),
            (Memory { dataset: mib(20), ..healthy }, "not records"),
        ] {
            let found = findings(&sick, 1);
            assert!(found.len() == 1 && found[0].contains(word), "{found:?}");
        }
    }
}

//! `ringstone doctor`: looks at everything the server needs, measures the store, and says what to fix.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::{no_ring, open, registered_buffers};
use crate::clock;
use crate::config::{Config, StoreKind};
use crate::data::keys;
use crate::limits::{COMMAND_DEADLINE, REGISTERED_BUFFER_BYTES, REGISTERED_BUFFERS_MAX};
use crate::net;
use crate::store::{Mode, Mutations, ReadError, Store, wait};

/// Times each thing is measured; the median counts.
const ROUNDS: usize = 21;

/// One finding.
enum Finding {
    Fine(String),
    /// It works, but not as well as it could.
    Improvable(String),
    /// The server would not work.
    Broken(String),
}

use Finding::{Broken, Fine, Improvable};

/// Checks the machine and the store for this configuration, and prints what it finds. Exit code 1 if
/// the server would not work.
pub fn run(config: Config) -> ExitCode {
    let mut broken = false;
    let mut report = |what: &str, finding: Finding| {
        let (mark, text) = match &finding {
            Fine(text) => ("ok", text),
            Improvable(text) => ("warn", text),
            Broken(text) => ("FAIL", text),
        };
        broken |= matches!(finding, Broken(_));
        // A reader that went away has seen what it wanted.
        let _ = writeln!(io::stdout(), "{mark:<5} {what:<12} {text}");
    };
    report("io_uring", io_uring());
    report("memlock", memlock(config.workers));
    report("open files", open_files(config.maxclients));
    match open::open(&config) {
        Ok(store) => {
            for (what, finding) in store_findings(&config, &store) {
                report(what, finding);
            }
            if let Err(cause) = store.close() {
                report("store", Broken(format!("did not close cleanly: {cause}")));
            }
        }
        Err(problem) => report("store", Broken(problem)),
    }
    open::end();
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn io_uring() -> Finding {
    match net::probe() {
        Ok(()) => Fine("a ring can be made".to_owned()),
        Err(error) => Broken(no_ring(error)),
    }
}

fn memlock(workers: usize) -> Finding {
    let buffers = registered_buffers(workers);
    let text = format!(
        "{buffers} buffers of {REGISTERED_BUFFER_BYTES} bytes can be registered for each worker"
    );
    if buffers == REGISTERED_BUFFERS_MAX {
        return Fine(text);
    }
    let wanted = 2 * workers * REGISTERED_BUFFERS_MAX * REGISTERED_BUFFER_BYTES / 1024;
    Improvable(format!(
        "{text}; connections beyond them use ordinary memory, which is a little slower: raise the \
         limit on locked memory to {wanted} KiB (ulimit -l, LimitMEMLOCK=)"
    ))
}

fn open_files(maxclients: usize) -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let possible = limit.map_or(usize::MAX, |files| files as usize);
    if possible > maxclients {
        return Fine(format!("enough for {maxclients} connections"));
    }
    Improvable(format!(
        "at most {possible} files, fewer than --maxclients {maxclients}: raise the hard limit \
         (ulimit -Hn, LimitNOFILE=)"
    ))
}

fn store_findings(config: &Config, store: &Arc<dyn Store>) -> Vec<(&'static str, Finding)> {
    let mut findings = Vec::new();
    match measure(store) {
        Ok([version, read, commit]) => {
            let text = match config.store {
                StoreKind::FoundationDb => format!(
                    "{}: read version {version:.2?}, read {read:.2?}, commit {commit:.2?}",
                    store.name()
                ),
                _ => format!("{}: read {read:.2?}, commit {commit:.2?}", store.name()),
            };
            findings.push(("store", Fine(text)));
        }
        Err(cause) => findings.push(("store", Broken(cause))),
    }
    if let Some(cause) = store.write_failure() {
        findings.push(("store", Broken(format!("refuses writes: {cause}"))));
    }
    findings
}

/// How long it usually takes to get a read version, to read a record, and to commit one.
fn measure(store: &Arc<dyn Store>) -> Result<[Duration; 3], String> {
    let key = keys::commit_marker(store.next_sequence(), 0);
    let failed = |error: ReadError| format!("cannot be read: {error:?}");
    let mut transaction = Arc::clone(store).transaction();
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        let deadline = clock::monotonic() + COMMAND_DEADLINE;
        transaction.begin(Mode::Read, deadline);
        let mut look = |at: u16| {
            let other = keys::commit_marker(round as u64, at);
            let started = clock::monotonic();
            wait::read(&mut *transaction, &mut |snapshot| snapshot.get(&other).map(drop))?;
            Ok(clock::monotonic().duration_since(started))
        };
        // The first read of a transaction takes a read version too.
        let (first, second) = (look(0).map_err(failed)?, look(1).map_err(failed)?);
        times[0].push(first.saturating_sub(second));
        times[1].push(second);
        let mut mutations = Mutations::default();
        match round + 1 < ROUNDS {
            true => mutations.set(&key, &[&[round as u8]]),
            false => mutations.clear(&key),
        };
        transaction.begin(Mode::Write, deadline);
        let (started, sequence) = (clock::monotonic(), store.next_sequence());
        wait::wait(|cx| transaction.poll_commit(cx, sequence, &mutations))
            .map_err(|error| format!("cannot be written: {error:?}"))?;
        times[2].push(clock::monotonic().duration_since(started));
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    }))
}

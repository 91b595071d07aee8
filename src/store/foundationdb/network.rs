//! The client library's network thread: one for the process, from the first store to the exit.
//!
//! The library cannot start it twice, so closing a store does not end it: the server does so as the
//! last thing before it returns from `main` ([`stop`]). If it runs any longer, the library's static
//! destructors run under the feet of its own thread. For processes that end in another way, such as
//! tests, a handler that runs at exit stops it too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use foundationdb::api::{FdbApiBuilder, NetworkStop, get_max_api_version};
use foundationdb::options::NetworkOption;

use super::error::cause;
use super::raw;
use crate::clock;
use crate::limits::{FDB_PAUSE_MIN_S, FDB_STOP_TIMEOUT, STOP_CHECK};

/// Whose behaviour is asked for: FoundationDB 7.3.
pub const API_VERSION: i32 = 730;

enum Network {
    NotStarted,
    Running(NetworkStop, JoinHandle<()>),
    Failed(String),
    Stopped,
}

static NETWORK: Mutex<Network> = Mutex::new(Network::NotStarted);

fn network() -> MutexGuard<'static, Network> {
    // A panic in between left it as it was.
    NETWORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the network unless it runs; the error is a sentence.
pub fn start() -> Result<(), String> {
    let mut network = network();
    if let Network::NotStarted = *network {
        *network = match boot() {
            Ok((stop, thread)) => Network::Running(stop, thread),
            Err(problem) => Network::Failed(problem),
        };
    }
    match &*network {
        Network::Running(..) => Ok(()),
        Network::Failed(problem) => Err(problem.clone()),
        Network::NotStarted | Network::Stopped => {
            Err("FoundationDB's network has been stopped".to_owned())
        }
    }
}

fn boot() -> Result<(NetworkStop, JoinHandle<()>), String> {
    let most = get_max_api_version();
    if most < API_VERSION {
        return Err(format!(
            "libfdb_c supports API version {most} at most, and ringstone needs {API_VERSION}: \
             install the FoundationDB clients 7.3 or later"
        ));
    }
    let failed = |error| format!("cannot start FoundationDB's client library: {}", cause(error));
    let builder =
        FdbApiBuilder::default().set_runtime_version(API_VERSION).build().map_err(failed)?;
    // The pause after a second conflict; the library's own is ten times a transaction's duration.
    let pause = NetworkOption::Knob(format!("default_backoff={FDB_PAUSE_MIN_S}"));
    let builder = builder.set_option(pause).map_err(failed)?;
    let (runner, started) = builder.build().map_err(failed)?;
    let thread = std::thread::Builder::new()
        .name("fdb-network".to_owned())
        .spawn(move || {
            if let Err(error) = raw::run_network(runner) {
                tracing::error!(cause = cause(error), "FoundationDB's network thread has ended");
            }
        })
        .map_err(|error| format!("cannot start FoundationDB's network thread: {error}"))?;
    Ok((started.wait(), thread))
}

/// Has the network stopped at exit at the latest. The handler must run before the destructors of what
/// the library initializes when it is first used, and the last one registered runs first: so it is
/// registered when a database has been used, again and again.
pub fn stop_at_exit() {
    extern "C" fn handler() {
        stop();
    }
    raw::at_exit(handler);
}

/// Stops the network for good, if it runs, and joins its thread. Nothing that is under way will end,
/// and nothing new may begin.
pub fn stop() {
    let Network::Running(stop, thread) = std::mem::replace(&mut *network(), Network::Stopped)
    else {
        return;
    };
    // On a thread of its own: the library uses thread-local variables, and those of a thread that
    // exits have been destroyed when handlers run.
    let stopping = std::thread::Builder::new().name("fdb-stop".to_owned()).spawn(move || {
        if stop.stop().is_ok() {
            let _ = thread.join();
        }
    });
    let deadline = clock::monotonic() + FDB_STOP_TIMEOUT;
    // A thread that hangs must not keep the process from exiting.
    while stopping.as_ref().is_ok_and(|stopping| !stopping.is_finished()) {
        if clock::monotonic() > deadline {
            return;
        }
        std::thread::sleep(STOP_CHECK);
    }
}

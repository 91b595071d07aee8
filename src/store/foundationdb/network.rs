//! The client library's network thread: one for the process, from the first store to the exit.
//!
//! The library cannot start it twice, so closing a store does not end it: the program does at its end
//! ([`stop`]), before the library's static destructors would run under the feet of its own thread. A
//! program that does not, as tests cannot, exits without any destructors.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use foundationdb::api::{FdbApiBuilder, NetworkStop, get_max_api_version};

use super::error::cause;
use super::raw;
use crate::clock;
use crate::limits::{FDB_STOP_TIMEOUT, STOP_CHECK};

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
        Network::NotStarted | Network::Stopped => Err("the process is exiting".to_owned()),
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
    let (runner, started) = builder.build().map_err(failed)?;
    let thread = std::thread::Builder::new()
        .name("fdb-network".to_owned())
        .spawn(move || {
            if let Err(error) = raw::run_network(runner) {
                tracing::error!(cause = cause(error), "FoundationDB's network thread has ended");
            }
        })
        .map_err(|error| format!("cannot start FoundationDB's network thread: {error}"))?;
    let stop = started.wait();
    skip_destructors();
    Ok((stop, thread))
}

/// Has an exit without [`stop`] end the process before anything is destroyed that the library has made
/// so far. It makes most of it when it is first used, so this is called again then.
pub fn skip_destructors() {
    raw::at_exit(exit_if_running);
}

extern "C" fn exit_if_running(status: c_int, _: *mut c_void) {
    if let Network::Running(..) = *network() {
        raw::exit_at_once(status);
    }
}

/// Ends the network thread for good, if it was ever started. Not for a handler at exit: what the
/// library needs for it may have been destroyed by then.
pub fn stop() {
    let Network::Running(stop, thread) = std::mem::replace(&mut *network(), Network::Stopped)
    else {
        return;
    };
    if stop.stop().is_err() {
        return;
    }
    let deadline = clock::monotonic() + FDB_STOP_TIMEOUT;
    while !thread.is_finished() {
        // A thread that hangs must not keep the process from exiting.
        if clock::monotonic() > deadline {
            return;
        }
        std::thread::sleep(STOP_CHECK);
    }
    let _ = thread.join();
}

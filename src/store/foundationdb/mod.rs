//! The store that is a FoundationDB cluster, shared with any number of other processes.
//!
//! A store lives in one directory of the cluster's directory layer (`--fdb-root`), which has two of
//! its own: `data` for the records, and `system` for what only this module knows, the counter behind
//! [`FdbStore::next_sequence`]. `raw` is a thin layer over the C API, `transaction` what the contract
//! makes of it; `assumed` saves round trips for records that hardly ever change; `maintenance` is the
//! one thread of the store's own, and `network` the client library's.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use self::assumed::Assumed;
use self::figures::Figures;
use self::maintenance::Shared;
use self::transaction::FdbTransaction;
use self::watch::FdbWatch;
use crate::clock;
use crate::store::{Store, Transaction, Watch};

mod assumed;
mod error;
mod fetch;
mod figures;
mod maintenance;
mod network;
mod open;
mod raw;
mod reads;
mod sequence;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
mod transaction;
mod watch;

pub use network::stop as stop_network;
pub use open::FdbOptions;

/// See the module.
pub struct FdbStore {
    shared: Arc<Shared>,
    /// What all records' keys begin with in the cluster.
    prefix: Vec<u8>,
    assumed: Assumed,
    figures: Figures,
    cluster_file: PathBuf,
    root: String,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FdbStore {
    fn stop(&self) {
        self.shared.stop();
        if let Some(thread) = self.thread.lock().take() {
            // It looks for the stop between any two waits; a panic was its own affair.
            let _ = thread.join();
        }
    }
}

impl Store for FdbStore {
    fn name(&self) -> &'static str {
        "foundationdb"
    }

    fn transaction(self: Arc<Self>) -> Box<dyn Transaction> {
        Box::new(FdbTransaction::new(self))
    }

    fn watch(self: Arc<Self>, key: &[u8]) -> Option<Box<dyn Watch>> {
        Some(Box::new(FdbWatch::new(self, key)))
    }

    fn next_sequence(&self) -> u64 {
        self.shared.next_sequence()
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let mut figures = self.figures.named();
        figures.extend(self.shared.report.lock().figures());
        figures
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        let mut texts = vec![
            ("cluster_file", self.cluster_file.display().to_string()),
            ("root", self.root.clone()),
            ("client_version", raw::client_version().split(',').next().unwrap_or("").to_owned()),
        ];
        texts.extend(self.shared.report.lock().texts(clock::monotonic()));
        texts
    }

    fn write_failure(&self) -> Option<String> {
        self.shared.report.lock().failure()
    }

    fn close(&self) -> Result<(), String> {
        self.stop();
        Ok(())
    }
}

impl Drop for FdbStore {
    fn drop(&mut self) {
        self.stop();
    }
}

//! What the process takes of the machine's memory, and what for.

use crate::command::Server;
use crate::metrics::process;
use crate::store::Store;

/// Names of those of a store's figures that are bytes of records in this process's memory, see
/// [`Store::figures`].
const RECORDS: [&str; 4] = ["memory_bytes", "buffer_bytes", "cache_bytes", "scan_cache_bytes"];

/// Memory of the process, in bytes.
///
/// The allocator (mimalloc) keeps no count of what it has given out, which is what Redis calls used
/// memory. What stands for it is memory that is the process's own, in RAM or swapped out: everything
/// but the program itself and files that are mapped. It includes what is free but has not been
/// given back to the system yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Own memory, in RAM or swapped out.
    pub used: u64,
    /// The part of it that is in RAM.
    pub own_resident: u64,
    /// All that is in RAM, the program and mapped files included.
    pub resident: u64,
    /// The most that ever was in RAM.
    pub peak: u64,
    /// What was used before the first connection.
    pub startup: u64,
    /// What is used for records: the store's tables, buffers and caches.
    pub dataset: u64,
    /// RAM of the machine.
    pub system: u64,
}

impl Memory {
    /// What it is now.
    pub fn read(server: &Server) -> Memory {
        let process::Memory { own_resident, swapped, resident, resident_peak, .. } =
            process::Memory::read();
        let system = rustix::system::sysinfo();
        let records = records(&*server.store);
        Memory {
            used: own_resident + swapped,
            own_resident,
            resident,
            peak: resident_peak,
            startup: server.startup_bytes,
            dataset: records.iter().map(|(_, bytes)| bytes).sum(),
            system: system.totalram as u64 * u64::from(system.mem_unit),
        }
    }

    /// What is used for anything but records.
    pub fn overhead(&self) -> u64 {
        self.used.saturating_sub(self.dataset)
    }

    /// The share of records in what has come since the start, in percent.
    pub fn dataset_percent(&self) -> f64 {
        let grown = self.used.saturating_sub(self.startup);
        (ratio(self.dataset, grown) * 100.0).min(100.0)
    }

    /// How much of the peak is used now, in percent.
    pub fn peak_percent(&self) -> f64 {
        ratio(self.used, self.peak) * 100.0
    }
}

/// One figure over another; 0 if there is nothing to compare with.
pub fn ratio(one: u64, other: u64) -> f64 {
    if other == 0 { 0.0 } else { one as f64 / other as f64 }
}

/// One figure less another.
pub fn difference(one: u64, other: u64) -> i64 {
    one as i64 - other as i64
}

/// Records that a store has in memory: names and bytes.
pub fn records(store: &dyn Store) -> Vec<(&'static str, u64)> {
    let mut figures = store.figures();
    figures.retain(|(name, _)| RECORDS.contains(name));
    figures
}

//! What the process takes of the machine: memory and processor time, as the system counts them.

use crate::command::Server;
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
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let [own_resident, swapped, resident, peak] =
            ["RssAnon:", "VmSwap:", "VmRSS:", "VmHWM:"].map(|name| bytes(&status, name));
        let system = rustix::system::sysinfo();
        let records = records(&*server.store);
        Memory {
            used: own_resident + swapped,
            own_resident,
            resident,
            peak,
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

/// Own memory of the process in RAM, in bytes.
pub fn own_bytes() -> u64 {
    bytes(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), "RssAnon:")
}

/// A line of `/proc/self/status`, which counts in KiB.
fn bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Processor time, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Processor {
    /// In user space.
    pub user_s: f64,
    /// In the kernel.
    pub system_s: f64,
}

impl Processor {
    /// What the process has used.
    pub fn of_process() -> Processor {
        Processor::parse(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default())
    }

    /// The most that one worker has used: workers are what Redis's main thread is, and when one of
    /// them is busy all the time, its connections wait for each other.
    pub fn of_busiest_worker() -> Processor {
        let mut most = Processor::default();
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        for thread in threads {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            if stat.contains("(worker-") {
                let Processor { user_s, system_s } = Processor::parse(&stat);
                // Each by itself: a counter must not go back when another worker takes the lead.
                most.user_s = most.user_s.max(user_s);
                most.system_s = most.system_s.max(system_s);
            }
        }
        most
    }

    fn parse(stat: &str) -> Processor {
        /// What Linux counts processor time in for user space, on every architecture it now supports.
        const TICKS_PER_SECOND: f64 = 100.0;
        // The name, in parentheses, may hold spaces; user time is the twelfth field behind it.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = behind.split_whitespace().skip(11).map(|ticks| ticks.parse::<f64>());
        let mut next = || fields.next().and_then(Result::ok).unwrap_or(0.0) / TICKS_PER_SECOND;
        Processor { user_s: next(), system_s: next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_words_are_understood() {
        let status = "Name:\tringstone\nVmHWM:\t   12000 kB\nRssAnon:\t    4 kB\n";
        assert_eq!(
            ["VmHWM:", "RssAnon:", "VmSwap:"].map(|n| bytes(status, n)),
            [12_288_000, 4096, 0]
        );
        let stat = "7 (work er) 1) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0";
        let Processor { user_s, system_s } = Processor::parse(stat);
        assert_eq!([user_s, system_s], [1.5, 0.25]);
    }

    #[test]
    fn the_process_knows_itself() {
        assert!(own_bytes() > 0);
        let Processor { user_s, system_s } = Processor::of_process();
        assert!(user_s >= 0.0 && system_s >= 0.0);
    }
}

//! The process as Linux knows it.

use super::Sample;

/// Memory of the process, in bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Memory {
    /// What is in RAM, the program and mapped files included.
    pub resident: u64,
    /// The most that ever was.
    pub resident_peak: u64,
    /// What is in RAM and the process's own.
    pub own_resident: u64,
    /// What is swapped out.
    pub swapped: u64,
    /// Its address space.
    pub size: u64,
}

impl Memory {
    /// What it is now; 0 where Linux does not say.
    pub fn read() -> Memory {
        Memory::parse(&status())
    }

    fn parse(status: &str) -> Memory {
        let [resident, resident_peak, own_resident, swapped, size] =
            ["VmRSS:", "VmHWM:", "RssAnon:", "VmSwap:", "VmSize:"]
                .map(|name| field(status, name) * 1024);
        Memory { resident, resident_peak, own_resident, swapped, size }
    }
}

fn status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// The number on a line of `/proc/self/status`; memory is in KiB.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
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

/// The figures that every process watched by Prometheus has, under their usual names; it started
/// `started_s` after the Unix epoch.
pub fn samples(started_s: f64) -> Vec<Sample> {
    let status = status();
    let (memory, processor) = (Memory::parse(&status), Processor::of_process());
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    vec![
        Sample::number("process_cpu_seconds_total", processor.user_s + processor.system_s),
        Sample::new("process_resident_memory_bytes", memory.resident),
        Sample::new("process_virtual_memory_bytes", memory.size),
        Sample::new("process_open_fds", open as u64),
        Sample::number("process_max_fds", limit.map_or(f64::INFINITY, |limit| limit as f64)),
        Sample::new("process_threads", field(&status, "Threads:")),
        Sample::number("process_start_time_seconds", started_s),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::*;

    #[test]
    fn the_system_s_words_are_understood() {
        let status = "Name:\tringstone\nVmHWM:\t   12000 kB\nRssAnon:\t    4 kB\nThreads:\t7\n";
        let memory = Memory::parse(status);
        let found = [memory.resident_peak, memory.own_resident, memory.swapped];
        assert_eq!((found, field(status, "Threads:")), ([12_288_000, 4096, 0], 7));
        let stat = "7 (work er) 1) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0";
        let Processor { user_s, system_s } = Processor::parse(stat);
        assert_eq!([user_s, system_s], [1.5, 0.25]);
    }

    #[test]
    fn the_process_knows_itself() {
        let memory = Memory::read();
        assert!(memory.own_resident > 0 && memory.resident >= memory.own_resident);
        assert!(memory.resident_peak >= memory.resident && memory.size >= memory.resident);
        let idle = ["process_cpu_seconds_total"];
        for sample in samples(1.0).iter().filter(|sample| !idle.contains(&sample.name)) {
            assert_ne!(sample.value, Value::Number(0.0), "{}", sample.name);
        }
    }
}

//! The process as Linux knows it.

use super::Sample;

/// Memory of the process, in bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Memory {
    /// What is in RAM.
    pub resident: u64,
    /// The most that ever was.
    pub resident_peak: u64,
    /// Its address space.
    pub size: u64,
}

impl Memory {
    /// What it is now; 0 where Linux does not say.
    pub fn read() -> Memory {
        let status = status();
        let bytes = |name| field(&status, name) * 1024;
        Memory { resident: bytes("VmRSS:"), resident_peak: bytes("VmHWM:"), size: bytes("VmSize:") }
    }
}

fn status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Processor time of the process, in seconds: user, system.
pub fn cpu_seconds() -> (f64, f64) {
    /// What Linux counts processor time in for user space, on every architecture it now supports.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces; user time is the twelfth field behind it.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = behind.split_whitespace().skip(11).map(|ticks| ticks.parse::<f64>());
    let mut next = || fields.next().and_then(Result::ok).unwrap_or(0.0) / TICKS_PER_SECOND;
    (next(), next())
}

/// The figures that every process watched by Prometheus has, under their usual names; it started
/// `started_s` after the Unix epoch.
pub fn samples(started_s: f64) -> Vec<Sample> {
    let (memory, (user_s, system_s)) = (Memory::read(), cpu_seconds());
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    vec![
        Sample::number("process_cpu_seconds_total", user_s + system_s),
        Sample::new("process_resident_memory_bytes", memory.resident),
        Sample::new("process_virtual_memory_bytes", memory.size),
        Sample::new("process_open_fds", open as u64),
        Sample::number("process_max_fds", limit.map_or(f64::INFINITY, |limit| limit as f64)),
        Sample::new("process_threads", field(&status(), "Threads:")),
        Sample::number("process_start_time_seconds", started_s),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let memory = Memory::read();
        assert!(memory.resident > 0 && memory.resident_peak >= memory.resident);
        assert!(memory.size >= memory.resident);
        let (user_s, system_s) = cpu_seconds();
        assert!(user_s >= 0.0 && system_s >= 0.0);
        let samples = samples(1.0);
        assert!(samples.iter().all(|sample| sample.value != super::super::Value::Number(0.0)
            || sample.name == "process_cpu_seconds_total"));
    }
}

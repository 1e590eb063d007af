//! What the daemon takes of the machine, as Linux tells it in `/proc/self`; nothing where there is none.

use std::fs;

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::Metric;

/// Renews what is told of the process.
pub fn export() {
    Metric::ProcessorTime.counted(clock_gettime(ClockId::ProcessCPUTime).tv_sec.max(0) as u64, &[]);
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().and_then(|text| resident_bytes(&text)) {
        Metric::ResidentMemory.set(bytes as f64, &[]);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        Metric::OpenFiles.set(open.count().saturating_sub(1) as f64, &[]);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        Metric::OpenFilesLimit.set(most as f64, &[]);
    }
}

/// Resident memory in bytes, from the text of `/proc/PID/status` (proc_pid_status(5): kibibytes).
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes_and_nothing_is_made_up() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\nThreads: 1\n"), Some(2_097_152));
        for text in ["", "VmRSS: x kB", "VmRSS: 5", "Vm: 5 kB"] {
            assert_eq!(resident_bytes(text), None, "{text}");
        }
    }
}

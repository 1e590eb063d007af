//! What the kernel says of a process and of the machine.

use std::{fs, time::Duration};

/// Clock ticks per second in /proc. `USER_HZ` is 100 on every architecture Rust builds Linux binaries for.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time a process has used so far, all its threads together, in steps of 10 ms; `None` where
/// there is no such process.
pub(super) fn cpu(pid: u32) -> Option<Duration> {
    parse_cpu(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Memory of a process in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Resident {
    /// Now.
    pub now_mib: f64,
    /// The most it ever held.
    pub peak_mib: f64,
}

/// Memory a process holds; `None` where there is no such process.
pub(super) fn resident(pid: u32) -> Option<Resident> {
    parse_resident(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The load averages over 1, 5 and 15 minutes; zeros where the kernel does not say.
pub(super) fn load_average() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().filter_map(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}

/// proc(5): VmRSS and VmHWM, in KiB.
fn parse_resident(status: &str) -> Option<Resident> {
    let of = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    };
    Some(Resident { now_mib: of("VmRSS:")?, peak_mib: of("VmHWM:")? })
}

/// proc(5): utime and stime are fields 14 and 15; field 2, the name, may hold spaces and brackets.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_a_name_with_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 1234 1 1";
        assert_eq!(parse_cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse_cpu("42 (cut) S 1 42"), None);
    }

    #[test]
    fn resident_memory_is_told_in_mebibytes() {
        let status = "Name:\tx\nVmHWM:\t    3072 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        assert_eq!(parse_resident(status), Some(Resident { now_mib: 2.0, peak_mib: 3.0 }));
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_has_a_cpu_time_and_a_missing_one_has_none() {
        assert!(cpu(std::process::id()).is_some());
        assert_eq!(cpu(u32::MAX), None);
    }
}

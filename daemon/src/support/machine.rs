//! What a support bundle says of the machine: kinds and amounts. No name of the host, no address, no user.

use std::{fs, path::Path};

use serde_json::{Value, json};

/// The system, its processors and memory, and the disk under `data_dir`.
pub fn of(data_dir: Option<&Path>) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    json!({
        "system": system(&read("/etc/os-release")),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "load": read("/proc/loadavg").split(' ').take(3).filter_map(|load| load.parse::<f64>().ok()).collect::<Vec<_>>(),
        "up_s": read("/proc/uptime").split(' ').next().and_then(|up| up.parse::<f64>().ok()),
        "memory_bytes": kib(&memory, "MemTotal:"),
        "memory_available_bytes": kib(&memory, "MemAvailable:"),
        "swap_bytes": kib(&memory, "SwapTotal:"),
        "systemd": Path::new("/run/systemd/system").is_dir(),
        "data": data_dir.map(data),
    })
}

/// The system's id and version, as os-release(5) has them.
fn system(os_release: &str) -> String {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let parts = [value("ID"), value("VERSION_ID")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// An amount of /proc/meminfo, in bytes.
fn kib(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// The disk under the data, and the sizes of the database's files.
fn data(dir: &Path) -> Value {
    let size = |name: &str| fs::metadata(dir.join(name)).map(|file| file.len()).ok();
    let disk = rustix::fs::statvfs(dir).ok();
    json!({
        "database_bytes": size(outbox::DATABASE_FILE),
        "wal_bytes": size(&format!("{}-wal", outbox::DATABASE_FILE)),
        "disk_bytes": disk.as_ref().map(|disk| disk.f_blocks * disk.f_frsize),
        "free_bytes": disk.as_ref().map(|disk| disk.f_bavail * disk.f_frsize),
        "free_inodes": disk.as_ref().map(|disk| disk.f_favail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_told_by_kind_and_amount() {
        assert_eq!(system("NAME=\"X\"\nID=debian\nVERSION_ID=\"12\"\n"), "debian 12");
        assert_eq!(system(""), "");
        assert_eq!(kib("MemTotal:  2048 kB\nMemFree: 1 kB\n", "MemTotal:"), Some(2_097_152));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(outbox::DATABASE_FILE), [0; 10]).unwrap();
        let told = of(Some(dir.path()));
        assert_eq!(told["data"]["database_bytes"], 10);
        assert!(told["data"]["free_bytes"].as_u64() > Some(0), "{told:#}");
        let path = dir.path().display().to_string();
        assert!(!told.to_string().contains(&path), "no path: {told:#}");
    }
}

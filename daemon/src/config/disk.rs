//! `[disk]`: from which room on people are told that a disk fills up.

use std::time::Duration;

use super::section::Section;

const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(86_400);
/// Any size that a disk may have; 0 switches a bound off.
const BYTES_RANGE: std::ops::RangeInclusive<u64> = 0..=1 << 50;
/// Whole percents of the file system; 0 switches a bound off.
const PERCENT_RANGE: std::ops::RangeInclusive<u64> = 0..=50;
/// The shortest and the longest time that can be asked for.
const WITHIN: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(3_600)..=Duration::from_secs(90 * 86_400);

/// When room is short: as soon as one of the three holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Fewer bytes are free.
    pub free_bytes: u64,
    /// Less of the file system is free, in percent.
    pub free_percent: u8,
    /// As it filled up lately, it will be full within this time.
    pub full_within: Duration,
}

/// `[disk]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// People are told: 4 GiB, 5 percent, or full within 7 days by default.
    pub warning: Short,
    /// Files are not taken either: 1 GiB, 2 percent, or full within a day by default.
    pub critical: Short,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            warning: Short { free_bytes: 4 * GIB, free_percent: 5, full_within: 7 * DAY },
            critical: Short { free_bytes: GIB, free_percent: 2, full_within: DAY },
        }
    }
}

/// Reads `[disk]`.
pub(super) fn read_disk(root: &Section<'_>) -> Disk {
    let usual = Disk::default();
    let read = root.table("disk", |section| {
        let short = |keys: [&'static str; 3], usual: Short| Short {
            free_bytes: section.count(keys[0], BYTES_RANGE, usual.free_bytes).unwrap_or(usual.free_bytes),
            free_percent: section
                .count(keys[1], PERCENT_RANGE, usual.free_percent.into())
                .and_then(|percent| u8::try_from(percent).ok())
                .unwrap_or(usual.free_percent),
            full_within: section.duration(keys[2], WITHIN, usual.full_within).unwrap_or(usual.full_within),
        };
        let warning = ["warning_free_bytes", "warning_free_percent", "warning_full_within"];
        let critical = ["critical_free_bytes", "critical_free_percent", "critical_full_within"];
        let disk = Disk { warning: short(warning, usual.warning), critical: short(critical, usual.critical) };
        let early = [
            (critical[0], disk.critical.free_bytes > disk.warning.free_bytes, "warning_free_bytes"),
            (critical[1], disk.critical.free_percent > disk.warning.free_percent, "warning_free_percent"),
            (critical[2], disk.critical.full_within > disk.warning.full_within, "warning_full_within"),
        ];
        for (key, _, warning) in early.into_iter().filter(|(_, is_early, _)| *is_early) {
            section.fault(
                key,
                &format!("is met before {warning}"),
                format!("write a smaller value, or a larger {warning}"),
            );
        }
        Some(disk)
    });
    read.unwrap_or(usual)
}

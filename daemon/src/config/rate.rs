//! The limits of a destination: how many writes in a second, a minute and a day, how many in one request, and when none.

use jiff::civil::Time;

use super::section::Section;

/// The most writes a second that a limit may be set to.
const MAX_PER_SECOND: u64 = 10_000;
/// The most writes a minute and a day that a quota may be set to.
const MAX_QUOTA: u64 = 100_000_000;
/// The most writes in one batch: a request of some hundred kilobytes.
const MAX_BATCH: u64 = 100;
/// The most quiet spans of a day.
const MAX_QUIET: usize = 8;
/// What a fault suggests for a rate and a quota; without any there is no limit.
const USUAL_PER_SECOND: u64 = 10;

/// How much a destination takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Writes a second: 1 to 10,000; `None`, the default, is as fast as they are answered.
    pub per_second: Option<u32>,
    /// Writes at once after a pause: 1 to 10,000; by default a tenth of a second's worth, at least 1.
    pub burst: u32,
    /// Writes in a minute of the clock; `None` is no quota.
    pub per_minute: Option<u64>,
    /// Writes in a day of the destination's zone; `None` is no quota.
    pub per_day: Option<u64>,
    /// Writes in one request, where the destination takes Bundles of type batch: 1 to 100, 1 (none) by default.
    pub batch: u16,
    /// When nothing but what a clinician asked for is written, in the site's local time.
    pub quiet: Vec<Quiet>,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: None, burst: 1, per_minute: None, per_day: None, batch: 1, quiet: Vec::new() }
    }
}

/// A span of the day, which may run over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// From this time of day on.
    pub from: Time,
    /// Up to this one, exclusive.
    pub to: Time,
}

impl Quiet {
    /// `"22:00-06:00"`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let time = |text: &str| text.parse::<Time>().ok().filter(|_| text.len() == 5);
        let span = Self { from: time(from)?, to: time(to)? };
        (span.from != span.to).then_some(span)
    }

    /// Whether a local time of day lies in it.
    pub fn holds(self, at: Time) -> bool {
        if self.from < self.to { self.from <= at && at < self.to } else { at >= self.from || at < self.to }
    }
}

impl Rate {
    /// Reads the keys of a `[delivery]`.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let small = |key, usual| {
            section.count(key, 1..=MAX_PER_SECOND, usual).and_then(|number| u32::try_from(number).ok())
        };
        let per_second = small("per_second", USUAL_PER_SECOND);
        let burst = small("burst", 1);
        if burst.is_some() && per_second.is_none() && !section.has("per_second") {
            section.fault("burst", "stands without per_second", "write per_second too, or remove it");
        }
        let batch = section.count("batch", 1..=MAX_BATCH, 1).and_then(|number| u16::try_from(number).ok());
        Self {
            per_second,
            burst: burst.unwrap_or(per_second.map_or(1, |rate| (rate / 10).max(1))),
            per_minute: section.count("per_minute", 1..=MAX_QUOTA, 60 * USUAL_PER_SECOND),
            per_day: section.count("per_day", 1..=MAX_QUOTA, 100_000),
            batch: batch.unwrap_or(1),
            quiet: read_quiet(section),
        }
    }
}

fn read_quiet(section: &Section<'_>) -> Vec<Quiet> {
    let example = "[\"22:00-06:00\"]";
    let texts = section.texts("quiet_hours", example).unwrap_or_default();
    let spans: Option<Vec<Quiet>> = texts.iter().map(|text| Quiet::parse(text)).collect();
    match spans.filter(|spans| spans.len() <= MAX_QUIET) {
        Some(spans) => spans,
        None => {
            section.fault(
                "quiet_hours",
                &format!("is not a list of at most {MAX_QUIET} spans of the day, from and to as HH:MM"),
                format!("write quiet_hours = {example}"),
            );
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_its_first_minute_and_not_its_last_also_over_midnight() {
        let at = |hour, minute| Time::constant(hour, minute, 0, 0);
        let night = Quiet::parse("22:00-06:00").unwrap();
        for (time, held) in
            [(at(22, 0), true), (at(21, 59), false), (at(0, 0), true), (at(5, 59), true), (at(6, 0), false)]
        {
            assert_eq!(night.holds(time), held, "{time}");
        }
        let noon = Quiet::parse("12:00-13:00").unwrap();
        assert!(noon.holds(at(12, 0)) && !noon.holds(at(13, 0)) && !noon.holds(at(0, 0)));
        for text in
            ["", "22:00", "22-06", "22:00-22:00", "25:00-06:00", "22:00:00-06:00", "22:00-06:00-07:00"]
        {
            assert_eq!(Quiet::parse(text), None, "{text}");
        }
    }
}

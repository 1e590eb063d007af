//! What was not counted, and what was inferred: one sentence each, nothing of a row's content.

use std::{collections::BTreeMap, fmt::Display};

use clinical::{
    normalize::file::{Apart, FileReadings, MAX_FAULTS_LISTED, Place, RowFault, RowReason},
    outcome::{Exclusion, Outcome},
    policy::{Policy, Thresholds},
    reading::Route,
};

use super::{app_events, export::Export};

/// Line numbers named for one reason; the rest is counted.
pub const MAX_LINES_NAMED: usize = 8;

/// The notes of an export, those that a reader must act on first. Never empty: the resolution of the file
/// is always told.
#[must_use]
pub fn notes(export: &Export) -> Vec<String> {
    let mut notes = Vec::new();
    if !export.outcome.suffices() {
        notes.push("too little data to judge by: take shares and goals as those of these days".to_owned());
    }
    notes.extend(faults(&export.read));
    notes.extend(exclusions(&export.outcome));
    notes.extend(values(&export.outcome));
    notes.extend(export.read.notes.iter().cloned());
    if export.repeated > 0 {
        notes.push(format!("rows that repeat another word for word, counted once: {}", export.repeated));
    }
    if export.outside > 0 {
        notes.push(format!("readings outside of the period: {}", export.outside));
    }
    if export.devices.len() > 1 {
        notes.push(format!("{} devices in the file; --device takes one of them", export.devices.len()));
        let counted = |device: &String| {
            let of = export.sessions.iter().filter(|session| session.device.0 == *device);
            of.map(|session| session.readings).sum::<u64>()
        };
        let named = export.devices.keys().take(MAX_LINES_NAMED);
        let named: Vec<String> = named.map(|name| format!("{name:?} {}", counted(name))).collect();
        notes.push(format!("readings that count, by device: {}", named.join(", ")));
    }
    let scans = export.selection.counted.iter().filter(|counted| counted.reading.route == Route::Scan);
    if let n @ 1.. = scans.count() as u64 {
        notes.push(format!(
            "{} by a person, for want of historic readings: they may miss lows",
            count(n, "scan")
        ));
    }
    notes.extend(own_edges(export.policy));
    notes.extend(export.found.iter().cloned());
    let gaps = export.outcome.gaps;
    if gaps.long > 0 {
        let (hours, minutes) = (gaps.longest_minutes / 60, gaps.longest_minutes % 60);
        notes.push(format!("{}; the longest has {hours} h {minutes:02} min", count(gaps.long, "long gap")));
    }
    notes.extend(app_events::told(&export.app_events));
    notes.extend(kept_apart(&export.read.kept_apart));
    notes.push(format!("resolution of the file: {}", export.read.resolution));
    notes
}

/// Said where the glycemia risk index is computed over ranges that are not those it was published for.
fn own_edges(policy: &Policy) -> Option<String> {
    let (own, published) = (&policy.thresholds, &Policy::standard().thresholds);
    let edges = |of: &Thresholds| {
        let [low, mid, high] = [&of.very_low_below, &of.low_below, &of.high_above].map(|edge| edge.value);
        of.very_high_above.as_ref().map(|top| [low, mid, high, top.value])
    };
    edges(own)
        .filter(|edges_own| Some(edges_own) != edges(published).as_ref())
        .map(|_| "GRI over the ranges of this policy: not comparable with the published index".to_owned())
}

/// Faulty rows by reason, each with its first lines or records, and how many there are.
fn faults(read: &FileReadings) -> Vec<String> {
    let mut by_reason: BTreeMap<RowReason, (Vec<RowFault>, u64)> = BTreeMap::new();
    for fault in &read.faults {
        let (lines, rows) = by_reason.entry(fault.reason).or_default();
        lines.push(*fault);
        *rows += fault.rows();
    }
    for (reason, rows) in &read.more_faults {
        by_reason.entry(*reason).or_default().1 += rows;
    }
    let said = by_reason.into_iter().map(|(reason, (lines, rows))| {
        let why = read.in_words(reason);
        format!("{} not read, {why}: {}", count(rows, "row"), named(&lines, rows, read.place))
    });
    said.collect()
}

/// The first of `rows` places, of which some or none are listed.
fn named(faults: &[RowFault], rows: u64, place: Place) -> String {
    let (word, s) = (place.name(), if rows == 1 { "" } else { "s" });
    let named = &faults[..faults.len().min(MAX_LINES_NAMED)];
    let lines = |fault: &RowFault| match fault.rows() {
        1 => fault.line.to_string(),
        _ => format!("{} to {}", fault.line, fault.last),
    };
    let first: Vec<String> = named.iter().map(lines).collect();
    match (first.len(), rows.saturating_sub(named.iter().map(RowFault::rows).sum())) {
        (0, _) => format!("after the first {MAX_FAULTS_LISTED} faults, of which the {word}s are kept"),
        (_, 0) => format!("{word}{s} {}", first.join(", ")),
        (_, rest) => format!("{word}{s} {} and {rest} more", first.join(", ")),
    }
}

fn exclusions(outcome: &Outcome) -> Vec<String> {
    let said = outcome.excluded.iter().map(|(reason, readings)| {
        let why = match reason {
            Exclusion::Retracted => "not counted: taken back by the source",
            Exclusion::Duplicate => "not counted: the same value twice",
            Exclusion::Conflict => "IN CONFLICT, not counted: another value at the same time stands",
            Exclusion::Overlap => "not counted: another device covers the same minutes",
            Exclusion::Scan => "not counted: scans, where the file has historic readings",
            Exclusion::WarmUp => "not counted: within the warm-up of a sensor",
            Exclusion::EarlyWear => "not counted: within the early wear that the policy leaves out",
            Exclusion::ErrorCode => "not counted: an error code of the sensor, in the place of a value",
            Exclusion::Preliminary => "not counted: preliminary",
            Exclusion::OtherSpecimen => "not counted: glucose in blood, serum or plasma",
            Exclusion::Unreadable => "not counted: could not be read",
        };
        format!("{} {why}", count(*readings, "reading"))
    });
    said.collect()
}

/// What is special about the readings that count.
fn values(outcome: &Outcome) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |n: u64, what: &str| {
        if n > 0 {
            said.push(format!("{} {what}", count(n, "reading")));
        }
    };
    say(
        outcome.censored_low,
        "below what the sensor reports, counted in its range, just under the limit in the mean",
    );
    say(
        outcome.censored_high,
        "above what the sensor reports, counted in its range, just over the limit in the mean",
    );
    say(outcome.low_level_unknown, "below target with the level unknown, counted as low");
    say(outcome.tz_ambiguous, "in the hour that the clocks repeat, taken as the earlier of two times");
    say(outcome.units.re_expressed, "in mmol/L recognized as whole mg/dL and classified there");
    if outcome.units.mg_dl > 0 && outcome.units.mmol_l > 0 {
        said.push(format!("{} readings in mg/dL, {} in mmol/L", outcome.units.mg_dl, outcome.units.mmol_l));
    }
    said
}

fn kept_apart(kinds: &BTreeMap<Apart, u64>) -> Option<String> {
    let said: Vec<_> = kinds.iter().map(|(kind, rows)| format!("{} {rows}", kind_name(*kind))).collect();
    (!said.is_empty()).then(|| format!("rows that are no sensor reading: {}", said.join(", ")))
}

/// The name of a kind of row, as JSON has it too.
#[must_use]
pub const fn kind_name(kind: Apart) -> &'static str {
    match kind {
        Apart::Alert => "alert",
        Apart::ErrorCode => "error_code",
        Apart::Calibration => "calibration",
        Apart::Strip => "strip",
        Apart::Ketone => "ketone",
        Apart::Insulin => "insulin",
        Apart::Food => "food",
        Apart::Event => "event",
        Apart::Unknown => "unknown",
        Apart::Preamble => "preamble",
    }
}

fn count(n: u64, one: impl Display) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    #[test]
    fn every_row_that_was_no_reading_is_told() {
        let notes = notes(&sample());
        let starts = |with: &str| notes.iter().any(|note| note.starts_with(with));
        assert!(notes[0].starts_with("too little data to judge by"), "{notes:?}");
        assert_eq!(notes[1], "1 row not read, the value is neither a number nor a limit: line 9");
        assert!(starts("1 reading below what the sensor reports"), "{notes:?}");
        assert!(starts("rows that are no sensor reading: alert 1, preamble 1"), "{notes:?}");
        assert!(starts("1 long gap; the longest has 15 h 35 min"), "{notes:?}");
        assert!(starts("resolution of the file: mg/dL with 0 decimals, times to the second"), "{notes:?}");
    }

    #[test]
    fn many_lines_are_counted_after_the_first_few() {
        let fault = |line| RowFault { line, last: line, reason: RowReason::TimeMissing };
        let mut read = sample().read;
        read.faults = (1..=10).map(fault).collect();
        assert_eq!(faults(&read), ["10 rows not read, no time: lines 1, 2, 3, 4, 5, 6, 7, 8 and 2 more"]);
        read.more_faults = [(RowReason::TimeMissing, 90), (RowReason::Damaged, 1)].into();
        assert_eq!(
            faults(&read),
            [
                "1 row not read, the record is damaged, or is too long: after the first 1000 faults, of which the lines are kept",
                "100 rows not read, no time: lines 1, 2, 3, 4, 5, 6, 7, 8 and 92 more",
            ]
        );
    }

    #[test]
    fn rows_that_an_open_quote_swallowed_are_all_named_and_counted() {
        let mut read = sample().read;
        let fault = |line, last, reason| RowFault { line, last, reason };
        read.faults = vec![fault(7, 7, RowReason::Broken), fault(401, 464, RowReason::Broken)];
        read.faults.push(fault(500, 500, RowReason::TimeUnreadable));
        assert_eq!(read.unread(), 66);
        assert_eq!(
            faults(&read),
            [
                "65 rows not read, a quote is not closed, or there are too many cells: lines 7, 401 to 464",
                "1 row not read, the time cannot be read (Dexcom Clarity has YYYY-MM-DDThh:mm:ss): line 500",
            ]
        );
    }

    #[test]
    fn a_conflict_is_told_apart_from_a_duplicate() {
        let mut outcome = sample().outcome;
        outcome.excluded = [(Exclusion::Conflict, 2), (Exclusion::Duplicate, 1)].into();
        assert_eq!(
            exclusions(&outcome),
            [
                "1 reading not counted: the same value twice",
                "2 readings IN CONFLICT, not counted: another value at the same time stands"
            ]
        );
    }
}

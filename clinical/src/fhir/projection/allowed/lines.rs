//! The lines of the note, its title and the sentence beside a flat result: each is one of a closed list, word for word,
//! with room for numbers, dates, a zone and a policy only. A name, a remark or a place does not fit.

use super::words::{self, is_date, is_hash, is_number, is_version};
use crate::{calendar::Zone, fhir::provenance::Reason, outcome::Exclusion};

/// Most lines of a note, and most characters of one: a policy's name may be as long as a file's.
const LINES_MOST: usize = 64;
const LINE_MOST: usize = 300;

/// Every line of a note. A word in capitals is a place for a value: `N` a number, `DATE`, `TIME`, `ZONE`, `POLICY`,
/// `UNIT`, `WHY` a reason of an exclusion, `SOFTWARE` and `HASH`. Blanks count once.
const LINES: &[&str] = &[
    "CGM summary",
    "Computed from sensor glucose. Not a laboratory measurement.",
    "Period DATE to DATE (N days)",
    "Period DATE to DATE (N day)",
    "Time zone ZONE",
    "Policy POLICY",
    "Version N",
    "Version N, replaces version N",
    "Computed TIME",
    "Sensor active N % of the period",
    "Sensor active the computation gave no number of the period",
    "Days with data N of N",
    "Mean glucose N UNIT",
    "Mean glucose the computation gave no number",
    "GMI N %",
    "GMI withheld: too few days and too few readings",
    "GMI withheld: too few days",
    "GMI withheld: too few readings",
    "GMI withheld",
    "CV N %",
    "CV none: one reading has no standard deviation",
    "Standard deviation N UNIT",
    "Standard deviation none: one reading has no standard deviation",
    "Time in ranges share of a day",
    "Very high N % N h N min above N UNIT",
    "High N % N h N min above N to N UNIT",
    "High N % N h N min above N UNIT",
    "Target N % N h N min N to N UNIT",
    "Low N % N h N min N to below N UNIT",
    "Very low N % N h N min below N UNIT",
    "Not counted",
    "Not counted nothing",
    "WHY N readings",
    "Counted N readings",
    "Units received N in mg/dL, N in mmol/L",
    "Beyond the sensor N below, N above; in their ranges",
    "Long gaps N, the longest N minutes",
    "Made by Isthmus SOFTWARE from N messages; manifest SHA-256:",
    "HASH",
];

/// True for the text of a note.
pub(super) fn is_note(text: &str) -> bool {
    text.is_ascii()
        && text.lines().count() <= LINES_MOST
        && text.bytes().all(|b| b == b'\n' || b == b' ' || b.is_ascii_graphic())
        && text.lines().all(|line| line.is_empty() || is_line(line))
}

fn is_line(line: &str) -> bool {
    let reasons = [Reason::First, Reason::LateData, Reason::SourceCorrection, Reason::PolicyChange];
    line.len() <= LINE_MOST
        && (LINES.iter().any(|pattern| fits(pattern, line))
            || reasons.iter().any(|reason| fits(&format!("Reason {}", reason.words()), line)))
}

/// True for the title of a document.
pub(super) fn is_title(text: &str) -> bool {
    fits("CGM summary DATE to DATE, version N", text)
}

/// True for the sentence beside a flat result.
pub(super) fn is_sentence(text: &str) -> bool {
    fits("CGM of DATE to DATE (N days), policy POLICY.", text)
}

/// True for how a summary says its policy where nothing else is said in words.
pub(super) fn is_policy(text: &str) -> bool {
    fits("policy POLICY", text)
}

/// True for how a summary says its policy and, where it tells no dates, its length.
pub(super) fn is_policy_and_length(text: &str) -> bool {
    is_policy(text) || fits("policy POLICY, N days", text)
}

fn fits(pattern: &str, text: &str) -> bool {
    let (mut places, mut words) = (pattern.split(' '), text.split_ascii_whitespace());
    loop {
        match (places.next(), words.next()) {
            (None, None) => return true,
            (Some(place), Some(word)) if fits_word(place, word) => {}
            _ => return false,
        }
    }
}

fn fits_word(place: &str, word: &str) -> bool {
    let marks = ['(', ')', ',', ';', ':', '.'];
    let bare = place.trim_matches(marks);
    let Some((before, after)) = place.split_once(bare) else { return place == word };
    let Some(value) = word.strip_prefix(before).and_then(|word| word.strip_suffix(after)) else {
        return false;
    };
    match bare {
        "N" => is_number(value),
        "DATE" => is_date(value),
        "TIME" => {
            value.len() <= 35
                && value.bytes().all(|b| b.is_ascii_digit() || b"T:.+-".contains(&b))
                && value.parse::<jiff::Timestamp>().is_ok()
        }
        "ZONE" => Zone::named(value).is_ok(),
        "POLICY" => words::is_policy(value),
        "UNIT" => ["mg/dL", "mmol/L"].contains(&value),
        "WHY" => {
            Exclusion::ALL.iter().any(|reason| serde_json::to_value(reason).is_ok_and(|name| name == value))
        }
        "SOFTWARE" => is_version(value),
        "HASH" => is_hash(value),
        _ => bare == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_of_ours_word_for_word() {
        for line in [
            "Period               2026-03-02 to 2026-03-15 (14 days)",
            "Version              2, replaces version 1",
            "Reason               late data",
            "Time zone            America/New_York",
            "  warm-up                   6 readings",
            "High                    26.50 %    6 h 22 min  above 180 to 250 mg/dL",
        ] {
            assert!(is_line(line), "{line}");
        }
        for line in [
            "Patient Amy",
            "Reason Amy asked",
            "Version 2, replaces version 1 of Amy",
            "Time zone Amy/Street",
            "Amy 6 readings",
            "GMI withheld: Amy is pregnant",
            "Period 2026-03-02 to Amy (14 days)",
            "Mean glucose 142.35 mg/dL.",
        ] {
            assert!(!is_line(line), "{line}");
        }
        assert!(!is_note("CGM summary\nAmy\n") && is_note("CGM summary\n\n"));
        assert!(!is_note("CGM summary\r\n") && !is_note("CGM summary\u{a0}"));
        assert!(!is_note(&"CGM summary\n".repeat(LINES_MOST + 1)));
    }

    #[test]
    fn a_place_holds_its_value_and_nothing_beside_it() {
        assert!(
            fits_word("(N", "(14") && fits_word("DATE,", "2026-03-15,") && fits_word("SHA-256:", "SHA-256:")
        );
        assert!(!fits_word("N", "14,") && !fits_word("(N", "14") && !fits_word("N", "-1"));
        assert!(is_sentence("CGM of 2026-03-02 to 2026-03-15 (14 days), policy standard/1."));
        assert!(!is_sentence("CGM of 2026-03-02 to 2026-03-15 (14 days), policy Amy."));
    }
}

use std::collections::BTreeMap;

use super::*;
use crate::{
    fhir::{
        project::Version,
        projection::Projection,
        provenance::Reason,
        sample::{outcome, with_version},
    },
    outcome::Exclusion,
};

fn note(outcome: &Outcome, change: impl FnOnce(Version<'_>) -> String) -> String {
    with_version(outcome, Projection::EpicNote, change)
}

const COMPUTED: &str = "2025-01-15T01:00:00-05:00";

#[test]
fn the_note_says_what_a_clinician_asks_for_in_columns_of_a_chart() {
    let made = note(&outcome(), |version| {
        let later = Version { version: 2, supersedes: Some(1), reason: Reason::SourceCorrection, ..version };
        text(&later, MeanUnit::Mass, COMPUTED)
    });
    // Of a day with 1 440 minutes: 64.3 % are 925.92, 2.9 % 41.76, 26.5 % 381.6, 6 % 86.4, 0.3 % 4.32.
    let expected = "\
CGM summary
Computed from sensor glucose. Not a laboratory measurement.

Period               2025-01-01 to 2025-01-14 (14 days)
Time zone            America/New_York
Policy               standard/1
Version              2, replaces version 1
Reason               correction by the source
Computed             2025-01-15T01:00:00-05:00

Sensor active           99.21 % of the period
Days with data             14 of 14
Mean glucose           154.00 mg/dL
GMI                      6.99 %
CV                      32.47 %
Standard deviation      50.00 mg/dL

Time in ranges          share     of a day
Very high                6.00 %    1 h 26 min  above 250 mg/dL
High                    26.50 %    6 h 22 min  above 180 to 250 mg/dL
Target                  64.30 %   15 h 26 min  70 to 180 mg/dL
Low                      2.90 %    0 h 42 min  54 to below 70 mg/dL
Very low                 0.30 %    0 h  4 min  below 54 mg/dL

Not counted
  duplicate                17 readings
  warm-up                   6 readings
Counted                  4000 readings
Units received       3900 in mg/dL, 100 in mmol/L
Beyond the sensor    3 below, 4 above; in their ranges
Long gaps            2, the longest 125 minutes

Made by Isthmus 0.1.0 from 118 messages; manifest SHA-256:
  c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00
";
    assert_eq!(made, expected);
    assert!(made.lines().all(|line| line.len() <= COLUMNS));
}

#[test]
fn ranges_are_those_of_the_policy_in_the_unit_of_the_site() {
    let policy = Policy::named("pregnancy-t1").unwrap();
    let made = note(&outcome(), |version| text(&Version { policy, ..version }, MeanUnit::Molar, COMPUTED));
    assert!(made.contains("3.5 to 7.8 mmol/L\n"), "{made}");
    assert!(made.contains("Mean glucose             8.55 mmol/L\n"), "{made}");
    assert!(!made.contains("Very high") && made.contains("above 7.8 mmol/L\n"), "{made}");
}

#[test]
fn why_a_number_is_missing_is_said() {
    for (reasons, words) in [
        (vec![Insufficiency::TooFewDays], "withheld: too few days\n"),
        (vec![Insufficiency::TooLittleWear], "withheld: too few readings\n"),
        (
            vec![Insufficiency::TooFewDays, Insufficiency::TooLittleWear],
            "withheld: too few days and too few readings\n",
        ),
    ] {
        let bare = Outcome {
            gmi_pct: None,
            cv_pct: None,
            sd_mg_dl: None,
            insufficient: reasons,
            excluded: BTreeMap::new(),
            ..outcome()
        };
        let made = note(&bare, |version| text(&version, MeanUnit::Mass, COMPUTED));
        assert!(made.contains(&format!("GMI                  {words}")), "{made}");
        assert!(made.contains("CV                   none: one reading"), "{made}");
        assert!(made.contains("Not counted          nothing\n"), "{made}");
        assert!(made.contains("Version              1\nReason               first publication\n"), "{made}");
    }
    assert_eq!(Exclusion::ALL.len(), 11, "a new reason needs no line of its own: its name is one");
}

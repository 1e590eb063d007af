use super::*;
use crate::report::{
    export::{Question, export},
    sample::{CLARITY, question, sample},
};

const PLAIN: Paper = Paper { width: 80, colour: false };

fn under(policy: &str) -> Export {
    let asked = Question { policy: Policy::named(policy).unwrap(), ..question() };
    export("a.csv", CLARITY.as_bytes(), &asked).unwrap()
}

/// Five minutes in each range, ten in the target: sixths, of which the two lowest get the missing
/// hundredths of 100.00 (16.67, 16.67, 33.33, 16.67, 16.66), and 4 and 8 hours of 24.
#[test]
fn shares_hours_and_goals_stand_in_one_row() {
    let text = ranges(&sample(), PLAIN);
    let rows: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "  # very high >250       16.66 %  4:00   goal < 5 %: NOT MET",
            "  + high      181-250    16.67 %  4:00",
            "    all above >180       33.33 %  8:00   goal < 25 %: NOT MET",
            "  = target    70-180     33.33 %  8:00   goal > 70 %: NOT MET",
            "    all below <70        33.34 %  8:00   goal < 4 %: NOT MET",
            "  - low       54-69      16.67 %  4:00",
            "  ! very low  <54        16.67 %  4:00   goal < 1 %: NOT MET",
        ]
    );
}

#[test]
fn a_goal_is_decided_on_minutes_and_its_own_number_does_not_meet_it() {
    assert!(!met(Bound::Above(70), 70, 100));
    assert!(met(Bound::Above(70), 700_001, 1_000_000));
    assert!(!met(Bound::Below(4), 4, 100));
    assert!(met(Bound::Below(4), 39_999, 1_000_000));
    assert!(met(Bound::Below(1), 0, 1));
}

#[test]
fn pregnancy_has_no_row_that_it_knows_no_range_for() {
    let text = ranges(&under("pregnancy-t1"), PLAIN);
    assert!(!text.contains("very high") && !text.contains("all above"), "{text}");
    assert!(text.contains("+ high      >140"), "{text}");
    assert!(text.contains("= target    63-140"), "{text}");
    // 60 is in 54 to 62; 100 and 101 are in the target; 200 and 300 are above it.
    assert!(text.contains("- low       54-62      16.67 %"), "{text}");
    assert!(
        text.lines().any(|line| line.contains(">140") && line.contains("goal < 25 %: NOT MET")),
        "{text}"
    );
}

#[test]
fn molar_files_are_shown_with_molar_bounds() {
    let labels = labels(Policy::standard(), Unit::MmolL);
    assert_eq!(labels, ["<3.0", "3.0-3.8", "3.9-10.0", "10.1-13.9", ">13.9"]);
}

/// Mean of 39, 60, 100, 200, 300 and 101 is 800/6 = 133.33 mg/dL, 7.40 mmol/L; SD 98.65; 30 of 2880
/// minutes, and 30 of the 965 from 08:00 to 00:05.
#[test]
fn the_box_says_why_gmi_is_withheld() {
    let text = metrics(&sample().outcome, Policy::standard(), PLAIN);
    for part in [
        "| mean         133.3 mg/dL (7.4 mmol/L) ",
        "| GMI          withheld: the period has 2 of the 14 days it takes;",
        "| CV           74.0 %, stable up to 36 %: NOT MET ",
        "| days of wear 2 of 2 ",
        "| active       1.0 % of the period ",
        "|              3.1 % from first to last reading ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() == 80), "{text}");
}

#[test]
fn cv_is_told_beside_what_the_policy_calls_stable_and_the_bound_is_stable() {
    let mut outcome = sample().outcome;
    for (cv, told) in [
        (Some(35.96), "36.0 %, stable up to 36 %: met"),
        (Some(36.0), "36.0 %, stable up to 36 %: met"),
        (Some(36.01), "36.0 %, stable up to 36 %: NOT MET"),
        (None, "none: one reading"),
    ] {
        outcome.cv_pct = cv;
        assert_eq!(variation(&outcome, Policy::standard()), told);
    }
}

#[test]
fn a_name_that_would_steer_the_terminal_is_shown_as_text() {
    let mut export = sample();
    export.file = "a\u{202e}\u{1b}[2J.csv".to_owned();
    let text = table(&export, PLAIN);
    assert!(text.starts_with("a\\u{202e}\\x1B[2J.csv\n"), "{text}");
    assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
}

#[test]
fn no_line_is_wider_than_the_paper() {
    for policy in Policy::built_in() {
        for width in [40, 50, WIDE - 1, WIDE, 80] {
            let text = table(&under(&policy.id), Paper { width, colour: false });
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{width} columns, {}\n{text}", policy.id);
            assert!(!text.contains('\u{1b}'));
        }
    }
}

#[test]
fn the_header_says_what_was_recognized_and_which_zone_was_taken() {
    let text = header(&sample(), PLAIN);
    assert!(text.starts_with("a.csv\n  format   Dexcom Clarity, recognized by columns Timestamp"), "{text}");
    assert!(text.contains("  period   2025-03-01 to 2025-03-02, 2 days\n"), "{text}");
    assert!(text.contains("  zone     UTC (--tz)\n"), "{text}");
    assert!(text.contains("  policy   Type 1 and type 2 diabetes (standard/1)\n"), "{text}");
}

use serde_json::json;

use super::*;

fn row(id: i64) -> Value {
    json!({
        "row": id, "state": "pending", "destination": "ehr:main", "kind": "Observation/laboratory", "form": "plain-r4",
        "patient": 3, "window": 12, "version": 2, "intent": null, "attempts": 1, "cause": "HTTP 503", "reason": null,
        "created": "2026-03-02T08:00:00Z", "settled": null, "doubt_since": null,
        "waits": {"word": "behind row 7", "told": "row 7 of the same patient goes first"},
        "decision": {"told": "it goes in plain-r4, for the preferred form was closed", "at": "2026-03-02T08:00:00Z"},
        "forms": [{"form": "cgm-ig", "capability": "Observation", "closed": "observed-read-only", "since": "T",
                   "cause": "HTTP 403", "evidence_row": 5}, {"form": "plain-r4", "closed": null}],
        "stands": [{"location": "Observation/(masked)", "row": 9, "at": "2026-03-01T08:00:00Z"}],
    })
}

#[test]
fn a_list_that_is_cut_off_says_so_and_fits_its_width() {
    let whole = json!({"rows": [row(9), row(8)], "total": 2, "more": false});
    let cut = json!({"rows": [row(9), row(8)], "total": 310, "more": true});
    for width in [80, 120] {
        for told in [&whole, &cut] {
            let told = listed(told, width);
            assert!(told.lines().all(|line| line.chars().count() <= width), "{width}:\n{told}");
            assert!(told.contains("isthmus queue show ROW"), "{told}");
        }
        assert!(!listed(&whole, width).contains("--limit"));
    }
    assert!(listed(&cut, 80).contains("2 rows of 310 shown; --limit for more, --before 8 for older ones"));
    assert!(listed(&cut, 150).contains("pending  behind row 7  ehr:main"), "{}", listed(&cut, 150));
    let narrow = listed(&whole, 80);
    assert!(narrow.contains("03-02 08:00") && !narrow.contains("laboratory"), "{narrow}");
    assert!(narrow.contains("QUEUED (Z)") && listed(&whole, 150).contains("08:00:00Z"), "{narrow}");
    assert_eq!(listed(&json!({"rows": [], "total": 0}), 80), "nothing\n");
}

#[test]
fn the_row_of_an_intent_is_of_that_and_of_no_window_0() {
    let mut row = row(9);
    assert_eq!(about(&row), "window 12 v2");
    row["intent"] = json!(4);
    assert_eq!(about(&row), "intent 4, window 12");
    row["window"] = json!(0);
    assert_eq!(about(&row), "intent 4");
}

#[test]
fn a_row_is_shown_with_why_it_waits_what_was_decided_and_where_it_stands() {
    for width in [80, 120] {
        let told = shown(&row(12), width);
        assert!(told.lines().all(|line| line.chars().count() <= width), "{told}");
        let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
        for wanted in [
            "row 12: pending",
            "about patient 3, window 12 v2",
            "queued 2026-03-02T08:00:00Z",
            "attempts 1; the last that was met: HTTP 503",
            "waits row 7 of the same patient goes first",
            "decided it goes in plain-r4, for the preferred form was closed (2026-03-02T08:00:00Z)",
            "closed now cgm-ig (Observation), observed-read-only since T: HTTP 403; isthmus queue show 5 was answered so",
            "stands Observation/(masked), since 2026-03-01T08:00:00Z, by row 9",
        ] {
            assert!(words.contains(wanted), "{wanted} is not in\n{told}");
        }
        assert!(!words.contains("settled"), "{told}");
    }
    let mut row = row(12);
    (row["settled"], row["waits"]) = (json!("2026-03-02T09:00:00Z"), Value::Null);
    assert!(shown(&row, 80).contains("settled     2026-03-02T09:00:00Z"));
    let mut quarantined = row;
    (quarantined["state"], quarantined["reason"]) = (json!("quarantined"), json!("422 value"));
    let told = shown(&quarantined, 80);
    assert!(
        told.contains("isthmus quarantine release row:12") && told.contains("because     422 value"),
        "{told}"
    );
}

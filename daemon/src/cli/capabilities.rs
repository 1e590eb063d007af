//! What a destination takes now, for people: what its file permits, what is closed and why, and which row shows the answer.

use serde_json::Value;

use super::daemon::text;

/// What is in force beside what the file permits: `full permits, read-only in force`.
pub(super) fn modes(site: &Value) -> String {
    let word = |key: &str| site[key].as_str().map_or_else(|| "-".to_owned(), |_| text(&site[key]));
    format!("{} permits, {} in force", word("configured"), word("mode"))
}

/// A line for each capability that is not open, with the row whose answer closed it; without the space before it.
pub(super) fn closed(site: &Value) -> Vec<String> {
    let all = site["capabilities"].as_array().into_iter().flatten();
    all.filter_map(|one| {
        let name = text(&one["capability"]);
        if one["permitted"] == false {
            return Some(format!("{name} is not permitted by the site's file"));
        }
        if one["observed"] == "open" || one["observed"].is_null() {
            return None;
        }
        let (observed, since, cause) = (text(&one["observed"]), text(&one["since"]), text(&one["cause"]));
        let row = one["evidence_row"].as_i64();
        let row = row.map(|row| format!("; what was answered: isthmus queue show {row}")).unwrap_or_default();
        Some(format!("{name} is {observed} since {since}: {cause}{row}"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_closed_is_told_with_its_cause_and_the_row_that_was_answered_so() {
        let one = |name: &str, permitted: bool, observed: &str, row: Option<i64>| {
            json!({"capability": name, "permitted": permitted, "observed": observed, "since": "T", "cause": "HTTP 403",
                   "evidence_row": row})
        };
        let site = json!({"configured": "partial", "mode": "read-only", "capabilities": [
            one("Observation/laboratory", true, "read-only", Some(5)),
            one("DocumentReference", true, "held", None),
            one("Goal", true, "open", None),
            one("Provenance", false, "open", None),
        ]});
        assert_eq!(modes(&site), "partial permits, read-only in force");
        assert_eq!(
            closed(&site),
            [
                "Observation/laboratory is read-only since T: HTTP 403; what was answered: isthmus queue show 5",
                "DocumentReference is held since T: HTTP 403",
                "Provenance is not permitted by the site's file",
            ]
        );
        assert_eq!(modes(&json!({"configured": "full"})), "full permits, - in force");
        assert!(closed(&json!({})).is_empty());
    }
}

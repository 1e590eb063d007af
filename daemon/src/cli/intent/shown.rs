//! Answers about intents, for people.

use serde_json::Value;

use crate::{
    cli::{
        columns::{Columns, broken, hanging, moment},
        daemon::text,
    },
    report::paper::printable,
};

pub(super) fn entered(told: &Value, width: usize) -> String {
    let before = if told["known"] == true { ", entered before" } else { "" };
    let mut out = format!("intent {} is {}{before}\n", told["intent"], text(&told["state"]));
    out += &by_hand(told, width);
    out += &waiting(told, width);
    if told["state"] == "waiting" {
        out += &broken("its rows are made once the outcome that it is about is computed", width);
    }
    out + &broken(&format!("to see where it stands: isthmus intent show {}", told["intent"]), width)
}

/// What no write can take back.
fn by_hand(told: &Value, width: usize) -> String {
    let places = told["by_hand"].as_array().into_iter().flatten();
    let line = |place: &Value| {
        let place = text(place);
        let told = format!(
            "what stands at {place} cannot be marked there: people have to do it by hand (condition withdrawal-needed)"
        );
        broken(&told, width)
    };
    places.map(line).collect()
}

/// A line for each row with its state and why it is not sent now.
fn waiting(told: &Value, width: usize) -> String {
    let mut out = String::new();
    for row in told["rows"].as_array().into_iter().flatten() {
        let why = match row["waits"]["told"].as_str() {
            Some(waits) if row["state"] == "deferred" => format!(": it waits, for {}", printable(waits)),
            Some(waits) => format!(": {}", printable(waits)),
            None => row["reason"].as_str().map_or_else(String::new, |why| format!(": {}", printable(why))),
        };
        let head = format!("  row {} ", row["row"]);
        let (destination, kind, state) = (text(&row["destination"]), text(&row["kind"]), text(&row["state"]));
        out += &hanging(&head, &format!("{kind} to {destination} is {state}{why}"), width);
    }
    out
}

fn table(intents: &[Value], width: usize) -> String {
    let mut table =
        Columns::new(&["INTENT", "STATE", "WHY", "SINCE", "KIND", "ABOUT", "PATIENT", "ENTERED", "OWN"]);
    for intent in intents {
        let about = intent["window"].as_i64().map(|window| format!("window {window}"));
        let own = if intent["own"] == true { "by the box itself" } else { "" };
        table.row([
            intent["intent"].to_string(),
            text(&intent["state"]),
            text(&intent["reason"]),
            moment(&text(&intent["since"])),
            text(&intent["kind"]),
            about.unwrap_or_else(|| "the patient".to_owned()),
            intent["patient"].to_string(),
            moment(&text(&intent["entered"])),
            own.to_owned(),
        ]);
    }
    table.fit(width)
}

pub(super) fn listed(told: &Value, width: usize) -> String {
    let intents = told["intents"].as_array().map(Vec::as_slice).unwrap_or_default();
    match intents {
        [] => "no intent is listed\n".to_owned(),
        intents => table(intents, width),
    }
}

pub(super) fn shown(told: &Value, width: usize) -> String {
    let mut out = table(std::slice::from_ref(told), width);
    for (name, key) in
        [("author", "author"), ("role", "role"), ("typed by", "transcribed_by"), ("behalf", "behalf")]
    {
        if told[key].is_string() {
            out += &format!("  {name:<10} {}\n", text(&told[key]));
        }
    }
    out += &waiting(told, width);
    out += &by_hand(told, width);
    let identifier = &told["identifier"];
    if identifier.is_object() {
        out += &format!("  patient    {} of {}\n", text(&identifier["value"]), text(&identifier["system"]));
        let said = told["wish"]["text"].as_str().map(str::to_owned);
        let said = said.unwrap_or_else(|| told["wish"].to_string());
        for line in said.lines() {
            out += &format!("  | {}\n", printable(line));
        }
    } else {
        out += "  what it says, and whom it names: --reveal --reason TEXT\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_that_waits_says_for_what_and_how_to_see_it() {
        let told = json!({
            "intent": 3, "state": "queued", "known": false, "by_hand": [],
            "rows": [{"row": 12, "destination": "ehr:main", "kind": "DocumentReference", "state": "deferred",
                      "reason": "observed-read-only", "waits": {"told": "the EHR refused such a write"}}],
        });
        let shown = entered(&told, 80);
        assert!(shown.starts_with("intent 3 is queued\n"), "{shown}");
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let waits =
            "row 12 DocumentReference to ehr:main is deferred: it waits, for the EHR refused such a write";
        assert!(words.contains(waits), "{shown}");
        assert!(words.ends_with("isthmus intent show 3"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }

    #[test]
    fn the_list_fits_its_width() {
        let intent = json!({
            "intent": 3, "state": "held", "reason": "deceased", "since": "2026-03-01T00:00:00Z", "kind": "withdraw",
            "window": 12, "patient": 4, "entered": "2026-03-01T00:00:00Z", "own": true,
        });
        for width in [80, 120] {
            let told = listed(&json!({"intents": [intent]}), width);
            assert!(told.lines().all(|line| line.chars().count() <= width), "{told}");
            assert!(!told.contains("window 0"), "{told}");
        }
    }
}

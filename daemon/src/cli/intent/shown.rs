//! Answers about intents, for people.

use serde_json::Value;

use crate::{cli::daemon::text, report::paper::printable};

pub(super) fn entered(told: &Value) -> String {
    let before = if told["known"] == true { ", entered before" } else { "" };
    let mut out = format!("intent {} is {}{before}\n", told["intent"], text(&told["state"]));
    for place in told["by_hand"].as_array().into_iter().flatten() {
        out +=
            &format!("what stands at {} cannot be marked there: people have to do it by hand\n", text(place));
    }
    out
}

fn line_of(intent: &Value) -> String {
    let about = match intent["window"].as_i64() {
        Some(window) => format!("window {window}"),
        None => "the patient".to_owned(),
    };
    let why = text(&intent["reason"]);
    let why = if why.is_empty() { why } else { format!(" ({why})") };
    format!(
        "intent {:<6} {}  patient {:<6} {:<9} about {about:<12} {}{why} since {}\n",
        intent["intent"].to_string(),
        text(&intent["entered"]),
        intent["patient"].to_string(),
        text(&intent["kind"]),
        text(&intent["state"]),
        text(&intent["since"]),
    )
}

pub(super) fn listed(told: &Value) -> String {
    let intents = told["intents"].as_array().map(Vec::as_slice).unwrap_or_default();
    match intents {
        [] => "no intent is listed\n".to_owned(),
        intents => intents.iter().map(line_of).collect(),
    }
}

pub(super) fn shown(told: &Value) -> String {
    let mut out = line_of(told);
    for (name, key) in
        [("author", "author"), ("role", "role"), ("typed by", "transcribed_by"), ("behalf", "behalf")]
    {
        if told[key].is_string() {
            out += &format!("  {name:<10} {}\n", text(&told[key]));
        }
    }
    for row in told["rows"].as_array().into_iter().flatten() {
        let why = row["reason"].as_str().map_or_else(String::new, |why| format!(": {}", printable(why)));
        out += &format!(
            "  row {:<6} {} {} {}{why}\n",
            row["row"].to_string(),
            text(&row["destination"]),
            text(&row["kind"]),
            text(&row["state"])
        );
    }
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

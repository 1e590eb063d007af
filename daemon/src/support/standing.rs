//! What of the status goes into a support bundle: a list of places, each with the shape of what may stand there.

use serde_json::{Map, Value};

/// The shape that a value must have. What has another is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A time as RFC 3339 has it.
    Time,
    /// A word of the program's own: lower case, digits and dashes.
    Word,
    /// A name that the configuration gives a listener, a site or a destination; metrics have it as a label.
    Name,
    /// A version number or a hash.
    Mark,
    /// Where a condition is in force: a name of the configuration, or numbers of ours; else that there is something.
    Scope,
}

use Shape::{Flag, Mark, Name, Number, Scope, Time, Word};

/// What goes in. `*` is every element of a list and every member of an object whose keys are words or names.
const TAKEN: &[(&str, Shape)] = &[
    ("version", Mark),
    ("started", Time),
    ("ready", Flag),
    ("configuration/generation", Number),
    ("configuration/since", Time),
    ("configuration/sha256", Mark),
    ("listeners/*/name", Name),
    ("listeners/*/plain", Flag),
    ("listeners/*/certificate_ends", Time),
    ("listeners/*/messages", Number),
    ("listeners/*/batches", Number),
    ("listeners/*/duplicates", Number),
    ("listeners/*/duplicate_last", Time),
    ("listeners/*/control_id_reuse", Number),
    ("listeners/*/control_id_reuse_last", Time),
    ("listeners/*/framing_faults", Number),
    ("listeners/*/framing_fault_last", Time),
    ("listeners/*/refused", Number),
    ("listeners/*/refused_last", Time),
    ("listeners/*/naks", Number),
    ("listeners/*/unanswered", Number),
    ("listeners/*/turned_away/*", Number),
    ("certificates/*/role", Word),
    ("certificates/*/scope", Name),
    ("certificates/*/ends", Time),
    ("certificates/*/since", Time),
    ("fhir/certificate_ends", Time),
    ("fhir/clients", Number),
    ("fhir/issuers", Number),
    ("spools/*/available", Flag),
    ("spools/*/waiting", Number),
    ("spools/*/done", Number),
    ("spools/*/quarantined", Number),
    ("spools/*/oldest_waiting_age_s", Number),
    ("sites/*/id", Name),
    ("sites/*/destination", Name),
    ("sites/*/configured", Word),
    ("sites/*/mode", Word),
    ("sites/*/since", Time),
    ("sites/*/capabilities/*/permitted", Flag),
    ("sites/*/capabilities/*/observed", Word),
    ("sites/*/capabilities/*/since", Time),
    ("sites/*/capabilities/*/evidence_row", Number),
    ("sites/*/authorization/token_since", Time),
    ("sites/*/authorization/token_left_s", Number),
    ("sites/*/authorization/clock_skew_s", Number),
    ("sites/*/authorization/renewals", Number),
    ("sites/*/authorization/refusals", Number),
    ("sites/*/authorization/last_refusal/at", Time),
    ("sites/*/authorization/last_refusal/word", Word),
    ("upstream/mode", Word),
    ("upstream/since", Time),
    ("outbound/*/destination", Name),
    ("outbound/*/plain", Flag),
    ("outbound/*/halted/since", Time),
    ("outbound/*/halted/row", Number),
    ("outbound/*/pending", Number),
    ("outbound/*/ambiguous", Number),
    ("outbound/*/quarantined", Number),
    ("outbound/*/delivered", Number),
    ("inbox/total", Number),
    ("inbox/pending", Number),
    ("inbox/oldest_pending_age_s", Number),
    ("inbox/quarantined", Number),
    ("inbox/unidentified", Number),
    ("inbox/again", Number),
    ("inbox/windows_due", Number),
    ("inbox/next_window_in_s", Number),
    ("outbox/pending", Number),
    ("outbox/leased", Number),
    ("outbox/ambiguous", Number),
    ("outbox/deferred", Number),
    ("outbox/delivered", Number),
    ("outbox/quarantined", Number),
    ("outbox/superseded", Number),
    ("outbox/dropped", Number),
    ("outbox/shown", Number),
    ("outbox/oldest_undelivered_age_s", Number),
    ("conditions/*/name", Word),
    ("conditions/*/scope", Scope),
    ("conditions/*/since", Time),
];

/// The part of a status that goes into a bundle.
pub fn of(status: &Value) -> Value {
    let names = names(status);
    let mut taken = Value::Object(Map::new());
    for (place, shape) in TAKEN {
        let steps: Vec<&str> = place.split('/').collect();
        take(status, &steps, *shape, &names, &mut taken);
    }
    taken
}

/// The names that the configuration gives, as the status has them.
fn names(status: &Value) -> Vec<&str> {
    let in_list = |list: &'static str, key: &'static str| {
        status[list].as_array().into_iter().flatten().filter_map(move |one| one[key].as_str())
    };
    let spools = status["spools"].as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let named =
        in_list("listeners", "name").chain(in_list("sites", "id")).chain(in_list("sites", "destination"));
    let named = named.chain(in_list("outbound", "destination")).chain(spools).chain(["upstream", "[fhir]"]);
    // A condition of the box as a whole has no scope.
    named.filter(|name| is_name(name)).chain([""]).collect()
}

/// Copies what stands at a place, where it has the shape.
fn take(from: &Value, steps: &[&str], shape: Shape, names: &[&str], to: &mut Value) {
    let Some((step, rest)) = steps.split_first() else {
        if let Some(value) = shaped(from, shape, names) {
            *to = value;
        }
        return;
    };
    match (*step, from) {
        ("*", Value::Array(elements)) => {
            if !to.is_array() {
                *to = Value::Array(vec![Value::Object(Map::new()); elements.len()]);
            }
            for (element, to) in elements.iter().zip(to.as_array_mut().into_iter().flatten()) {
                take(element, rest, shape, names, to);
            }
        }
        ("*", Value::Object(members)) => {
            for (key, member) in members.iter().filter(|(key, _)| is_name(key)) {
                descend(key, member, rest, shape, names, to);
            }
        }
        (key, Value::Object(members)) => {
            if let Some(member) = members.get(key) {
                descend(key, member, rest, shape, names, to);
            }
        }
        _ => {}
    }
}

fn descend(key: &str, from: &Value, rest: &[&str], shape: Shape, names: &[&str], to: &mut Value) {
    let Value::Object(members) = to else { return };
    let mut inside = members.remove(key).unwrap_or_else(|| Value::Object(Map::new()));
    take(from, rest, shape, names, &mut inside);
    if inside.as_object().is_none_or(|inside| !inside.is_empty()) {
        members.insert(key.to_owned(), inside);
    }
}

fn shaped(value: &Value, shape: Shape, names: &[&str]) -> Option<Value> {
    let text = value.as_str();
    let fits = match shape {
        Number => value.is_number(),
        Flag => value.is_boolean(),
        Time => text?.parse::<jiff::Timestamp>().is_ok(),
        Word => is_word(text?),
        Name => is_name(text?),
        Mark => is_mark(text?),
        Scope => return Some(Value::from(scope(text?, names))),
    };
    fits.then(|| value.clone())
}

fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A name as the configuration permits it; anything longer or stranger is none.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte))
}

fn is_mark(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
}

/// A scope of names that the configuration gives, of our own numbers and of the words between them; else that it is left out.
fn scope<'a>(text: &'a str, names: &[&str]) -> &'a str {
    let is_ours = |word: &str| {
        names.contains(&word)
            || ["window", "patient", "at"].contains(&word)
            || (!word.is_empty() && word.len() <= 12 && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if text.split(' ').all(is_ours) { text } else { "(left out)" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_listed_or_has_another_shape_stays_out() {
        let status = json!({
            "version": "0.1.0", "started": "2026-03-02T10:00:00Z", "ready": true, "new_field": "Quibblethorpe",
            "listeners": [{ "name": "adt", "address": "10.1.2.3:2575", "plain": "Quibblethorpe", "messages": 7,
                "certificate_ends": "soon, says Quibblethorpe", "turned_away": { "sender": 2, "Zebediah Q": 3 } }],
            "sites": [{ "id": "main", "destination": "ehr:main", "mode": "read-only", "cause": "Quibblethorpe may not",
                "capabilities": [{ "capability": "x", "permitted": true, "observed": "read-only", "cause": "Zebediah" }] }],
            "conditions": [
                { "name": "read-only", "scope": "ehr:main", "since": "2026-03-02T10:00:00Z", "detail": "Quibblethorpe" },
                { "name": "window-failed", "scope": "window 17 at ehr:main", "detail": "Zebediah" },
                { "name": "spool-waiting", "scope": "Quibblethorpe", "detail": "x" },
                { "name": "Quibblethorpe!", "scope": "", "detail": "x" },
            ],
            "inbox": { "total": 3, "pending": "Zebediah", "quibblethorpe": 4 },
        });
        let taken = of(&status);
        assert_eq!(
            taken,
            json!({
                "version": "0.1.0", "started": "2026-03-02T10:00:00Z", "ready": true,
                "listeners": [{ "name": "adt", "messages": 7, "turned_away": { "sender": 2 } }],
                "sites": [{ "id": "main", "destination": "ehr:main", "mode": "read-only",
                    "capabilities": [{ "permitted": true, "observed": "read-only" }] }],
                "conditions": [
                    { "name": "read-only", "scope": "ehr:main", "since": "2026-03-02T10:00:00Z" },
                    { "name": "window-failed", "scope": "window 17 at ehr:main" },
                    { "name": "spool-waiting", "scope": "(left out)" },
                    { "scope": "" },
                ],
                "inbox": { "total": 3 },
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_with_a_space_or_of_another_script_comes_in_but_scopes_of_ours(text in "\\PC{1,30}") {
            let status = json!({
                "version": text, "started": text, "listeners": [{ "name": text, "messages": text }],
                "conditions": [{ "name": text, "scope": text, "since": text, "detail": text }],
            });
            let told = of(&status).to_string();
            let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]+".contains(&byte));
            if !is_plain && text.trim() == text && text.len() > 3 {
                let quoted = serde_json::to_string(&text).unwrap();
                let within = quoted.trim_matches('"');
                proptest::prop_assert!(!told.contains(within) || text.split(' ').all(|w| w.bytes().all(|b| b.is_ascii_digit())), "{}", told);
            }
        }
    }
}

//! A Task (R4 or R5) as what a person wants written: the mapping of [`super::task`] the other way round.
//!
//! Invariants: what would have to be guessed is refused with the element named; every element that is not listed is such an
//! element, for it may limit or change what is meant; a fault names elements and never a value.
//!
//! | element | taken |
//! |---|---|
//! | `status`, `intent` | `requested`, `order` |
//! | `code` | one of the words of [`Wish::word`] in [`INTENT_CODES`] |
//! | `requester` | `display` is the author; `identifier.value`, if it is there, the role or number beside the name. It is no patient |
//! | `input` | one: `type.text` is `text` (`valueString`, a note), `goal` (`valueString` in the box's own words, `valueQuantity` in %, or `valueRange` in mg/dL or mmol/L), `form` (`valueString`, for a flowsheet); none for a withdrawal |

use serde_json::Value;

use super::{
    fault::{Fault, fault},
    intent::{Goal, GoalUnit, Wish},
    task::INTENT_CODES,
};

/// Elements that say what is wanted, or change nothing of it, in both releases.
const KNOWN: [&str; 24] = [
    "resourceType",
    "id",
    "meta",
    "language",
    "text",
    "contained",
    "extension",
    "identifier",
    "groupIdentifier",
    "basedOn",
    "partOf",
    "status",
    "intent",
    "priority",
    "code",
    "description",
    "focus",
    "for",
    "encounter",
    "authoredOn",
    "lastModified",
    "requester",
    "input",
    // Why somebody wants it is not carried further, and changes nothing of what is wanted.
    "reasonCode",
];
/// The longest name of an element that is told.
const NAME_MOST: usize = 40;
/// Who is no author: what these say is not a clinician's word.
const NO_AUTHORS: [&str; 5] = ["Patient", "RelatedPerson", "Device", "Organization", "Group"];

/// What is wanted, and by whom. No Debug: it may hold free words about a patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// What.
    pub wish: Wish,
    /// The author, as named.
    pub author: String,
    /// Their role or number.
    pub role: Option<String>,
    /// By which it is told that two requests are one: system and value of the first identifier that has both.
    pub request: Option<(String, String)>,
}

/// Reads a Task. Whom and which outcome it is about is for who knows them.
///
/// # Errors
/// [`Fault`] where anything in it cannot be carried out exactly.
pub fn read(task: &Value) -> Result<Asked, Fault> {
    let Some(fields) = task.as_object() else { return fault("Task", "is no object") };
    if let Some(name) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        let is_name = name.len() <= NAME_MOST && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let element = if is_name { format!("Task.{name}") } else { "Task".to_owned() };
        return fault(&element, "limits or changes what is meant in a way that cannot be carried out");
    }
    if task["status"] != "requested" {
        return fault("Task.status", "a Task comes as requested; the box keeps its status from then on");
    }
    if task["intent"] != "order" {
        return fault("Task.intent", "what is to be carried out is an order");
    }
    let codings = task["code"]["coding"].as_array().map(Vec::as_slice).unwrap_or_default();
    let code = codings.iter().find(|coding| coding["system"] == INTENT_CODES);
    let wish = match code.and_then(|coding| coding["code"].as_str()) {
        Some("note") => Wish::Note { text: said(task, "text")?.to_owned() },
        Some("goal") => Wish::Goal { goal: goal(task)? },
        Some("flowsheet") => Wish::Flowsheet { form: said(task, "form")?.to_owned() },
        Some("withdraw") if task["input"].is_null() => Wish::Withdraw,
        Some("withdraw") => return fault("Task.input", "a withdrawal has none"),
        _ => {
            return fault(
                "Task.code",
                "is none that is carried out here: note, goal, flowsheet or withdraw of urn:isthmus:CodeSystem:intents",
            );
        }
    };
    let (author, role) = author(&task["requester"])?;
    let whole = |identifier: &Value| {
        let part = |name: &str| identifier[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Some((part("system")?, part("value")?))
    };
    let request = task["identifier"].as_array().and_then(|all| all.iter().find_map(whole));
    Ok(Asked { wish, author, role, request })
}

fn author(requester: &Value) -> Result<(String, Option<String>), Fault> {
    if requester.is_null() {
        return fault("Task.requester", "is missing: an author is named, by display");
    }
    let reference = requester["reference"].as_str().unwrap_or_default();
    let kinds = [requester["type"].as_str(), reference.rsplit('/').nth(1)];
    if kinds.into_iter().flatten().any(|kind| NO_AUTHORS.contains(&kind)) {
        return fault("Task.requester", "an author is a person who works here: a Practitioner");
    }
    let Some(author) = requester["display"].as_str() else {
        return fault("Task.requester.display", "is missing: the chart says whose word it is");
    };
    Ok((author.to_owned(), requester["identifier"]["value"].as_str().map(str::to_owned)))
}

/// The one input, which is of this type.
fn input<'a>(task: &'a Value, wanted: &str) -> Result<&'a Value, Fault> {
    match task["input"].as_array().map(Vec::as_slice) {
        Some([input]) if input["type"]["text"] == wanted => Ok(input),
        Some([_]) => fault("Task.input[0].type.text", "is another than this code needs: text, goal or form"),
        _ => fault("Task.input", "exactly one says what is wanted"),
    }
}

fn said<'a>(task: &'a Value, wanted: &str) -> Result<&'a str, Fault> {
    match input(task, wanted)?["valueString"].as_str() {
        Some(text) => Ok(text),
        None => fault("Task.input[0].valueString", "is missing"),
    }
}

fn goal(task: &Value) -> Result<Goal, Fault> {
    let input = input(task, "goal")?;
    if let Some(text) = input["valueString"].as_str() {
        return match Goal::of_words(text) {
            Some(goal) => Ok(goal),
            None => fault("Task.input[0].valueString", "is no goal in the words of this box"),
        };
    }
    let quantity = &input["valueQuantity"];
    if !quantity.is_null() {
        // At least so much, which is what a goal of time in range means without a comparator too.
        let meant = matches!(quantity["comparator"].as_str(), None | Some(">="));
        let percent = (quantity["code"] == "%" && meant).then(|| scaled(&quantity["value"], 1.0)).flatten();
        return match percent.and_then(|percent| u8::try_from(percent).ok()) {
            Some(percent) => Ok(Goal::TimeInRange { percent }),
            None => fault("Task.input[0].valueQuantity", "time in range is at least a whole number of %"),
        };
    }
    let range = &input["valueRange"];
    let unit = match range["low"]["code"].as_str().filter(|code| range["high"]["code"] == *code) {
        Some("mg/dL") => Some((GoalUnit::MgDl, 1.0)),
        Some("mmol/L") => Some((GoalUnit::MmolL, 10.0)),
        _ => None,
    };
    let range = unit.and_then(|(unit, scale)| {
        let (low, high) = (scaled(&range["low"]["value"], scale)?, scaled(&range["high"]["value"], scale)?);
        Some(Goal::TargetRange { low, high, unit })
    });
    match range {
        Some(goal) => Ok(goal),
        None => fault("Task.input[0]", "a goal is valueString, valueQuantity in %, or valueRange of glucose"),
    }
}

/// A number in tenths or ones; `None` where it has more decimals, or is none.
fn scaled(number: &Value, scale: f64) -> Option<u16> {
    let scaled = number.as_f64()? * scale;
    let whole = scaled.round();
    // A decimal fraction with one digit is within this of a tenth.
    ((scaled - whole).abs() < 1e-6 && (0.0..=f64::from(u16::MAX)).contains(&whole)).then_some(whole as u16)
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;

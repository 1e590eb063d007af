//! What a person wants written as a Task (R4): where it stands, and why it does not go on.
//!
//! Invariants: the words of a person are in `input` alone; why it is held is one of the box's own texts; the same intent in
//! the same state is the same bytes. Of a Task that a client posted only the three elements of [`STATE`] are ours.
//!
//! | intent | `Task.status` | why |
//! |---|---|---|
//! | waiting | requested | its rows are still to be made |
//! | held | on-hold | a person has to decide; `statusReason` says what about |
//! | queued | in-progress | it is on its way to the EHR |
//! | done | completed | everything of it was delivered |
//! | withdrawn | cancelled | it was taken back before anything of it was sent |
//! | expired | on-hold | its author has to stand by it again, and then it goes on: so neither failed nor cancelled, which are final |

use serde_json::{Value, json};

use super::{
    intent::{NAME_MOST_BYTES, Wish},
    provenance::instant,
    release::Release,
};
use crate::reading::Instant;

/// The canonical URL of the codes of `Task.code`: the words of [`Wish::word`].
pub const INTENT_CODES: &str = "urn:isthmus:CodeSystem:intents";
/// The elements of a Task that the box keeps up to date.
pub const STATE: [&str; 3] = ["status", "statusReason", "lastModified"];

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its rows are still to be made.
    Waiting,
    /// A person has to decide.
    Held,
    /// It is on its way.
    Queued,
    /// It was delivered.
    Done,
    /// It was taken back.
    Withdrawn,
    /// Its author has to stand by it again.
    Expired,
}

impl Stage {
    /// The code of `Task.status`.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Waiting => "requested",
            Self::Held | Self::Expired => "on-hold",
            Self::Queued => "in-progress",
            Self::Done => "completed",
            Self::Withdrawn => "cancelled",
        }
    }
}

/// Where it stands, why and since when.
#[derive(Clone, Copy)]
pub struct State<'a> {
    /// Where.
    pub stage: Stage,
    /// Why it is held, one of the box's own texts; empty where it is not.
    pub reason: &'a str,
    /// Since when.
    pub since: Instant,
}

/// What a Task is made from. No Debug: it names people.
#[derive(Clone, Copy)]
pub struct Intent<'a> {
    /// What is wanted; `None` where the stored words are none of ours any more.
    pub wish: Option<&'a Wish>,
    /// Its kind, [`Wish::word`].
    pub kind: &'a str,
    /// `Patient/<id>`.
    pub patient: &'a str,
    /// `Observation/<id>` of the outcome that it is about.
    pub focus: Option<&'a str>,
    /// Who wants it, as named.
    pub author: &'a str,
    /// When it was entered.
    pub entered: Instant,
    /// Where it stands.
    pub state: State<'a>,
}

/// The Task, without `id`.
pub fn task(intent: &Intent<'_>) -> Value {
    let mut json = json!({
        "resourceType": "Task",
        "intent": "order",
        "code": { "coding": [{ "system": INTENT_CODES, "code": intent.kind }] },
        "for": { "reference": intent.patient },
        "requester": { "display": intent.author.chars().take(NAME_MOST_BYTES).collect::<String>() },
    });
    if let Some(at) = instant(intent.entered) {
        json["authoredOn"] = at.into();
    }
    if let Some(focus) = intent.focus {
        json["focus"] = json!({ "reference": focus });
    }
    if let Some((kind, text)) = intent.wish.and_then(wanted) {
        json["input"] = json!([{ "type": { "text": kind }, "valueString": text }]);
    }
    set(&mut json, &intent.state, Release::R4);
    json
}

/// Says on a Task of this release where its intent stands. Nothing else of it is changed.
pub fn set(task: &mut Value, state: &State<'_>, release: Release) {
    let Value::Object(fields) = task else { return };
    for name in STATE {
        fields.remove(name);
    }
    fields.insert("status".into(), state.stage.status().into());
    let reason = match (state.stage, state.reason) {
        (Stage::Held | Stage::Expired, reason) if !reason.is_empty() => reason,
        (Stage::Expired, _) => "its author has to stand by it again",
        (Stage::Held, _) => "a person has to decide",
        _ => "",
    };
    if !reason.is_empty() {
        let concept = json!({ "text": reason });
        // R5: a CodeableReference.
        let reason = if release == Release::R5 { json!({ "concept": concept }) } else { concept };
        fields.insert("statusReason".into(), reason);
    }
    if let Some(at) = instant(state.since) {
        fields.insert("lastModified".into(), at.into());
    }
}

/// What is wanted, in words, and what kind of words that is.
fn wanted(wish: &Wish) -> Option<(&'static str, String)> {
    match wish {
        Wish::Note { text } => Some(("text", text.clone())),
        Wish::Goal { goal } => Some(("goal", goal.words())),
        Wish::Flowsheet { form } => Some(("form", form.clone())),
        Wish::Withdraw => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::intent::Goal;

    fn made(wish: &Wish, stage: Stage, reason: &str) -> Value {
        let state = State { stage, reason, since: Instant(1_772_409_700_000) };
        task(&Intent {
            wish: Some(wish),
            kind: wish.word(),
            patient: "Patient/1-00000001",
            focus: Some("Observation/2-00000001"),
            author: "Dr. Ode",
            entered: Instant(1_772_409_600_000),
            state,
        })
    }

    #[test]
    fn a_task_says_what_is_wanted_by_whom_and_where_it_stands() {
        let json = made(&Wish::Note { text: "Call her".into() }, Stage::Held, "deceased");
        let wanted = json!({
            "resourceType": "Task", "status": "on-hold", "intent": "order",
            "statusReason": { "text": "deceased" },
            "code": { "coding": [{ "system": "urn:isthmus:CodeSystem:intents", "code": "note" }] },
            "for": { "reference": "Patient/1-00000001" },
            "focus": { "reference": "Observation/2-00000001" },
            "requester": { "display": "Dr. Ode" },
            "authoredOn": "2026-03-02T00:00:00Z",
            "lastModified": "2026-03-02T00:01:40Z",
            "input": [{ "type": { "text": "text" }, "valueString": "Call her" }],
        });
        assert_eq!(json, wanted);
        let goal = made(&Wish::Goal { goal: Goal::TimeInRange { percent: 70 } }, Stage::Done, "");
        assert_eq!(goal["input"][0]["valueString"], "Time in range: at least 70 %");
        assert_eq!((&goal["status"], goal.get("statusReason")), (&json!("completed"), None));
        assert!(made(&Wish::Withdraw, Stage::Queued, "").get("input").is_none());
    }

    #[test]
    fn every_stage_has_a_status_and_what_waits_for_a_person_says_for_what() {
        for (stage, status, reasoned) in [
            (Stage::Waiting, "requested", false),
            (Stage::Held, "on-hold", true),
            (Stage::Queued, "in-progress", false),
            (Stage::Done, "completed", false),
            (Stage::Withdrawn, "cancelled", false),
            (Stage::Expired, "on-hold", true),
        ] {
            let json = made(&Wish::Withdraw, stage, "");
            assert_eq!(json["status"], status);
            assert_eq!(json.get("statusReason").is_some(), reasoned, "{stage:?}");
        }
    }

    #[test]
    fn of_a_task_of_somebody_else_only_the_state_is_changed() {
        let mut json = json!({ "resourceType": "Task", "status": "requested", "note": [{ "text": "x" }],
            "statusReason": { "text": "deceased" } });
        let state = State { stage: Stage::Done, reason: "", since: Instant(1_772_409_600_000) };
        set(&mut json, &state, Release::R4);
        assert_eq!(
            json,
            json!({ "resourceType": "Task", "status": "completed", "note": [{ "text": "x" }],
                "lastModified": "2026-03-02T00:00:00Z" })
        );
        set(&mut json, &State { stage: Stage::Held, reason: "merged", ..state }, Release::R5);
        assert_eq!(json["statusReason"], json!({ "concept": { "text": "merged" } }));
    }
}

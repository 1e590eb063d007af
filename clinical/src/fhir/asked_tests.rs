use serde_json::json;

use super::*;
use crate::{
    fhir::task::{self, Stage, State},
    reading::Instant,
};

fn written(wish: &Wish) -> Value {
    let state = State { stage: Stage::Waiting, reason: "", since: Instant(1_772_409_600_000) };
    task::task(&task::Intent {
        wish: Some(wish),
        kind: wish.word(),
        patient: "Patient/1-00000001",
        focus: None,
        author: "Dr. Ode",
        entered: Instant(1_772_409_600_000),
        state,
    })
}

#[test]
fn what_the_box_writes_of_an_intent_is_read_as_the_same_wish() {
    for wish in [
        Wish::Note { text: "Call her\nsoon".into() },
        Wish::Goal { goal: Goal::TimeInRange { percent: 70 } },
        Wish::Goal { goal: Goal::TargetRange { low: 70, high: 180, unit: GoalUnit::MgDl } },
        Wish::Goal { goal: Goal::TargetRange { low: 39, high: 100, unit: GoalUnit::MmolL } },
        Wish::Flowsheet { form: "epic-flowsheet".into() },
        Wish::Withdraw,
    ] {
        let asked = read(&written(&wish)).unwrap();
        assert!(asked.wish == wish && asked.author == "Dr. Ode", "{wish:?}");
        assert!(asked.role.is_none() && asked.request.is_none());
    }
}

#[test]
fn a_goal_may_be_a_quantity_or_a_range_and_nothing_is_rounded() {
    let with = |value: Value| {
        let mut task = written(&Wish::Goal { goal: Goal::TimeInRange { percent: 1 } });
        let mut input = json!({ "type": { "text": "goal" } });
        for (name, value) in value.as_object().unwrap() {
            input[name] = value.clone();
        }
        task["input"] = json!([input]);
        read(&task).map(|asked| asked.wish)
    };
    let range = |low: Value, high: Value, code: &str| json!({ "valueRange": { "low": { "value": low, "code": code }, "high": { "value": high, "code": code } } });
    let goal = |goal| Ok(Wish::Goal { goal });
    assert!(
        with(json!({ "valueQuantity": { "value": 70, "code": "%" } }))
            == goal(Goal::TimeInRange { percent: 70 })
    );
    let mmol = Goal::TargetRange { low: 39, high: 100, unit: GoalUnit::MmolL };
    assert!(with(range(json!(3.9), json!(10.0), "mmol/L")) == goal(mmol));
    let mg = Goal::TargetRange { low: 70, high: 180, unit: GoalUnit::MgDl };
    assert!(with(range(json!(70), json!(180), "mg/dL")) == goal(mg));
    for bad in [
        json!({ "valueQuantity": { "value": 70.5, "code": "%" } }),
        json!({ "valueQuantity": { "value": 70, "code": "%", "comparator": "<" } }),
        json!({ "valueQuantity": { "value": 70, "code": "mg/dL" } }),
        json!({ "valueString": "Time in range: at least 070 %" }),
        json!({ "valueString": "Glucose target range: 4 to 10.0 mmol/L" }),
        range(json!(3.95), json!(10), "mmol/L"),
        range(json!(70), json!(180), "g"),
        json!({}),
    ] {
        assert!(with(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn what_cannot_be_carried_out_names_its_element() {
    let good = written(&Wish::Note { text: "x".into() });
    for (name, value, element) in [
        ("status", json!("draft"), "Task.status"),
        ("intent", json!("proposal"), "Task.intent"),
        ("doNotPerform", json!(true), "Task.doNotPerform"),
        ("restriction", json!({}), "Task.restriction"),
        ("note", json!([]), "Task.note"),
        ("not a name", json!(1), "Task"),
        ("code", json!({ "coding": [{ "system": "urn:other", "code": "note" }] }), "Task.code"),
        ("requester", Value::Null, "Task.requester"),
        ("requester", json!({ "reference": "Practitioner/1" }), "Task.requester.display"),
        ("requester", json!({ "reference": "Patient/1", "display": "Ada" }), "Task.requester"),
        ("requester", json!({ "type": "Device", "display": "Ada" }), "Task.requester"),
        ("input", Value::Null, "Task.input"),
        ("input", json!([{ "type": { "text": "goal" }, "valueString": "x" }]), "Task.input[0].type.text"),
        ("input", json!([{ "type": { "text": "text" } }]), "Task.input[0].valueString"),
    ] {
        let mut task = good.clone();
        task[name] = value;
        let fault = read(&task).err().unwrap();
        assert_eq!(fault.element, element);
    }
}

#[test]
fn an_author_may_have_a_number_and_a_request_a_name() {
    let mut task = written(&Wish::Note { text: "x".into() });
    task["requester"] = json!({ "reference": "https://h/fhir/Practitioner/7", "display": "Dr. Ode", "identifier": { "value": "4711" } });
    task["identifier"] = json!([{ "value": "only" }, { "system": "urn:app", "value": "1" }]);
    let asked = read(&task).unwrap();
    assert_eq!(asked.role.as_deref(), Some("4711"));
    assert_eq!(asked.request, Some(("urn:app".to_owned(), "1".to_owned())));
}

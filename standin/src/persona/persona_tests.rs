//! One case for each rule of the table in section 1 of the reference: a write that is right, changed in
//! one place, and the rule that refuses it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::call::{Answer, Call, Reply};
use crate::chart::Person;
use crate::conduct::Conduct;
use crate::exchange::Exchange;

/// An EHR of this persona that knows two patients; `rows` has a LOINC too.
pub(super) struct Hospital {
    pub(super) exchange: Exchange,
}

impl Hospital {
    pub(super) fn of(persona: Persona) -> Self {
        Self::behaving(Conduct::of(persona))
    }

    pub(super) fn behaving(conduct: Conduct) -> Self {
        let people = vec![Person::new("urn:p", "77"), Person::new("urn:p", "88").unrelated()];
        let rows = conduct.rows.clone().with("AVERAGE_CGM", "http://loinc.org", "97507-8");
        let conduct = Conduct { people, rows, ..conduct };
        Self { exchange: Exchange::playing("https://ehr.test/fhir".into(), None, conduct) }
    }

    pub(super) fn patient(&self, n: usize) -> String {
        format!("Patient/{}", self.exchange.admitted[n].patient)
    }

    pub(super) fn encounter(&self, n: usize) -> String {
        format!("Encounter/{}", self.exchange.admitted[n].encounters[0])
    }

    fn practitioner(&self) -> String {
        format!("Practitioner/{}", self.exchange.practitioner.as_deref().unwrap())
    }

    pub(super) fn call(
        &mut self,
        method: &str,
        target: &str,
        body: &Value,
        if_match: Option<&str>,
    ) -> Answer {
        let body = body.to_string();
        let call = Call {
            method,
            target: &format!("/fhir{target}"),
            content_type: Some("application/fhir+json"),
            if_match,
            if_none_exist: (method == "POST").then_some("identifier=urn:s|1"),
            body: body.as_bytes(),
            ..Call::default()
        };
        match self.exchange.serve(&call, Duration::ZERO, Timestamp::UNIX_EPOCH) {
            Reply::Answer(answer) => answer,
            Reply::HangUp => panic!("no answer"),
        }
    }

    pub(super) fn post(&mut self, resource: &Value) -> Answer {
        let target = format!("/{}", resource["resourceType"].as_str().unwrap());
        self.call("POST", &target, resource, None)
    }

    /// The verdict on the last request.
    pub(super) fn verdict(&self) -> &'static str {
        self.exchange.log.records().last().unwrap().verdict
    }

    /// Posts the resource with each change and compares the verdict; what is refused leaves nothing.
    fn try_all(&mut self, right: &Value, cases: Vec<(&str, Value, u16, &str)>) {
        for (pointer, value, status, rule) in cases {
            let mut resource = right.clone();
            put(&mut resource, pointer, value.clone());
            let before = self.exchange.store.len();
            let answer = self.post(&resource);
            assert_eq!((answer.status, self.verdict()), (status, rule), "{pointer} = {value}");
            assert_eq!(self.exchange.store.len() - before, usize::from(status == 201), "{pointer} = {value}");
            if status >= 400 {
                assert_eq!(answer.body["resourceType"], "OperationOutcome", "{pointer} = {value}");
            }
        }
    }
}

/// Sets a member by JSON pointer, of which only the last may be missing; null removes it.
fn put(resource: &mut Value, pointer: &str, value: Value) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let parent = resource.pointer_mut(parent).unwrap();
    if value.is_null() {
        parent.as_object_mut().unwrap().remove(name);
    } else {
        parent[name] = value;
    }
}

pub(super) fn flowsheet(hospital: &Hospital) -> Value {
    json!({"resourceType": "Observation", "status": "final",
        "identifier": [{"system": "urn:s", "value": "1"}],
        "category": [{"coding": [{"system": "http://hl7.org/fhir/observation-category", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "97507-8"}]},
        "subject": {"reference": hospital.patient(0)}, "encounter": {"reference": hospital.encounter(0)},
        "effectiveDateTime": "2026-01-14T08:00:00Z", "valueQuantity": {"value": 154, "unit": "mg/dL"}})
}

fn epic_note(hospital: &Hospital) -> Value {
    json!({"resourceType": "DocumentReference", "status": "current", "docStatus": "preliminary",
        "subject": {"reference": hospital.patient(0)},
        "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": "aGVsbG8="}}],
        "context": {"encounter": [{"reference": hospital.encounter(0)}]}})
}

fn result(hospital: &Hospital) -> Value {
    json!({"resourceType": "Observation", "status": "final",
        "identifier": [{"system": "urn:s", "value": "1"}],
        "category": [{"coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "97507-8"}]},
        "subject": {"reference": hospital.patient(0)},
        "effectiveDateTime": "2026-01-14T08:00:00Z", "valueQuantity": {"value": 154, "unit": "mg/dL"}})
}

fn category(code: &str) -> Value {
    json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": code}]}])
}

#[test]
fn epic_files_a_final_vital_sign_on_a_mapped_row_of_this_patients_encounter() {
    let mut epic = Hospital::of(Persona::Epic);
    let right = flowsheet(&epic);
    let encoded = epic.exchange.conduct.rows.coding_of("TIME_IN_RANGE_CGM");
    let (system, code) = encoded.map(|(s, c)| (s.to_owned(), c.to_owned())).unwrap();
    let row = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let elsewhere = RowMap::encoded("another environment");
    let other_code = elsewhere.coding_of("TIME_IN_RANGE_CGM").unwrap().1.to_owned();
    let (theirs, nobody) = (epic.encounter(1), json!({"reference": "Patient/nobody"}));
    epic.try_all(
        &right,
        vec![
            ("/status", json!("final"), 201, "accepted"),
            ("/status", json!("amended"), 400, "epic-status"),
            ("/category", category("vital-signs"), 400, "epic-category"),
            ("/category/0/coding/0/code", json!("laboratory"), 400, "epic-category"),
            ("/effectivePeriod", json!({"start": "2026-01-01"}), 400, "epic-period"),
            ("/effectiveDateTime", Value::Null, 400, "epic-time"),
            ("/code", row(&system, &code), 201, "accepted"),
            ("/code", row(&system, &other_code), 400, "epic-unmapped-row"),
            ("/code", row("http://loinc.org", "97506-0"), 400, "epic-unmapped-row"),
            ("/code", json!({"text": "mean glucose"}), 400, "epic-unmapped-row"),
            ("/subject", nobody, 400, "epic-subject"),
            ("/subject", json!({"identifier": {"system": "urn:p", "value": "77"}}), 400, "epic-subject"),
            ("/encounter", Value::Null, 400, "epic-encounter"),
            ("/encounter/reference", json!("Encounter/nobody"), 400, "epic-encounter"),
            ("/encounter/reference", json!(theirs), 400, "epic-encounter"),
        ],
    );
}

#[test]
fn an_unmapped_row_says_where_and_what_so_that_it_can_be_told_from_bad_data() {
    let mut epic = Hospital::of(Persona::Epic);
    let mut unmapped = flowsheet(&epic);
    unmapped["code"]["coding"][0]["code"] = json!("97506-0");
    let issue = &epic.post(&unmapped).body["issue"][0];
    assert_eq!(issue["code"], "code-invalid");
    assert_eq!(issue["expression"], json!(["Observation.code"]));
    assert_eq!(issue["details"]["coding"][0]["code"], epic::UNMAPPED_ROW.1);
    epic.exchange.conduct.rows = RowMap::default().with("GMI", "http://loinc.org", "97506-0");
    assert_eq!(epic.post(&unmapped).status, 201, "somebody mapped the row");
}

#[test]
fn at_epic_a_repeat_is_a_second_reading_and_nothing_is_overwritten() {
    let mut epic = Hospital::of(Persona::Epic);
    let right = flowsheet(&epic);
    let first = epic.post(&right);
    let location = first.header("location").unwrap().to_owned();
    assert!(location.starts_with("https://ehr.test/fhir/Observation/e"), "{location}");
    assert_eq!(first.header("etag"), None);
    assert_eq!(epic.post(&right).status, 201, "If-None-Exist is not heard");
    let judged = epic.exchange.log.judge();
    assert_eq!((judged.creates, judged.doubled, judged.repeated_facts), (2, 1, 1));
    let id = location.rsplit('/').next().unwrap();
    let mut amended = right.clone();
    amended["id"] = json!(id);
    let put = epic.call("PUT", &format!("/Observation/{id}"), &amended, Some("W/\"1\""));
    assert_eq!((put.status, epic.verdict()), (405, "epic-no-update"));
}

#[test]
fn epic_takes_a_plain_note_with_its_encounter_as_a_draft() {
    let mut epic = Hospital::of(Persona::Epic);
    let right = epic_note(&epic);
    let content = right["content"][0].clone();
    let theirs = epic.encounter(1);
    let media = "/content/0/attachment/contentType";
    epic.try_all(
        &right,
        vec![
            ("/docStatus", json!("preliminary"), 201, "accepted"),
            ("/docStatus", json!("amended"), 400, "epic-doc-status"),
            ("/docStatus", Value::Null, 400, "epic-doc-status"),
            (media, json!("application/pdf"), 400, "epic-plain-text"),
            ("/content", json!([content, content]), 400, "epic-content"),
            ("/content", json!([]), 400, "epic-content"),
            ("/content/0/attachment/data", json!("no base64!"), 400, "epic-content"),
            ("/context/encounter", Value::Null, 400, "epic-encounter"),
            ("/context/encounter/0/reference", json!(theirs), 400, "epic-encounter"),
            ("/subject", Value::Null, 400, "epic-subject"),
        ],
    );
}

#[test]
fn epic_knows_no_provenance_no_bundles_and_no_search_by_patient_alone() {
    let mut epic = Hospital::of(Persona::Epic);
    let provenance = json!({"resourceType": "Provenance", "recorded": "2026-01-01T00:00:00Z", "agent": [{}],
        "target": [{"reference": "Observation/1"}]});
    assert_eq!((epic.post(&provenance).status, epic.verdict()), (404, "epic-no-provenance"));
    let report = json!({"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "x"}});
    assert_eq!((epic.post(&report).status, epic.verdict()), (405, "epic-type"));
    for kind in ["transaction", "batch"] {
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": []});
        let answer = epic.call("POST", "", &bundle, None);
        assert_eq!((answer.status, epic.verdict()), (405, "no-bundles"), "{kind}");
    }
    let patient = epic.patient(0);
    for (query, status) in [
        ("", 400),
        ("&date=2026-01-01", 400),
        ("&category=vital-signs", 200),
        ("&code=97507-8&date=2026-01-01", 200),
    ] {
        let answer = epic.call("GET", &format!("/Observation?patient={patient}{query}"), &Value::Null, None);
        assert_eq!(answer.status, status, "{query}");
    }
}

#[test]
fn bundles_are_taken_where_the_settings_say_so() {
    let bundles = Some(Bundles { transaction: true, batch: true });
    let mut epic = Hospital::behaving(Conduct { bundles, ..Conduct::of(Persona::Epic) });
    let entry = json!({"resource": flowsheet(&epic), "request": {"method": "POST", "url": "Observation"}});
    for kind in ["transaction", "batch"] {
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": [entry]});
        let answer = epic.call("POST", "", &bundle, None);
        assert_eq!(answer.body["entry"][0]["response"]["status"], "201 Created", "{kind}: {}", answer.body);
    }
}

#[test]
fn millennium_takes_one_result_of_one_category_at_one_time() {
    let mut cerner = Hospital::of(Persona::Millennium);
    let right = result(&cerner);
    let own = json!({"coding": [{"system": "https://fhir.cerner.com/tenant/codeSet/72", "code": "703306"}]});
    let both = json!([category("laboratory")[0], category("vital-signs")[0]]);
    let range = json!({"low": {"value": 70}});
    let part = json!([{"code": {"text": "x"}, "valueQuantity": {"value": 1}}]);
    cerner.try_all(
        &right,
        vec![
            ("/status", json!("final"), 201, "accepted"),
            ("/status", json!("corrected"), 201, "accepted"),
            ("/status", json!("preliminary"), 422, "millennium-status"),
            ("/category", Value::Null, 422, "millennium-category"),
            ("/category", both, 422, "millennium-category"),
            ("/category", category("survey"), 422, "millennium-category"),
            ("/effectiveDateTime", Value::Null, 422, "millennium-time"),
            ("/effectivePeriod", json!({"start": "2026-01-01"}), 422, "millennium-time"),
            ("/code", own, 201, "accepted"),
            ("/code/coding/0/system", json!("urn:ours"), 422, "millennium-code"),
            ("/category", category("vital-signs"), 422, "millennium-cgm-vital"),
            ("/referenceRange", json!([range]), 201, "accepted"),
            ("/referenceRange", json!([range, range]), 422, "millennium-reference-range"),
            ("/component", part, 422, "millennium-component"),
            ("/modifierExtension", json!([{"url": "urn:x"}]), 422, "millennium-modifier"),
            ("/implicitRules", json!("urn:x"), 422, "millennium-modifier"),
            ("/subject", json!({"identifier": {"value": "77"}}), 422, "millennium-subject"),
            ("/extension", json!([{"url": "urn:x"}]), 201, "accepted"),
        ],
    );
}

#[test]
fn millenniums_vital_signs_need_a_practitioner_and_a_relationship_and_some_have_parts() {
    let mut cerner = Hospital::of(Persona::Millennium);
    let mut right = result(&cerner);
    right["category"] = category("vital-signs");
    right["code"]["coding"][0]["code"] = json!("85354-9");
    right["performer"] = json!([{"reference": cerner.practitioner()}]);
    right["component"] = json!([{"code": {"text": "systolic"}, "valueQuantity": {"value": 120}}]);
    let stranger = cerner.patient(1);
    cerner.try_all(
        &right,
        vec![
            ("/status", json!("final"), 201, "accepted"),
            ("/code/coding/0/code", json!("59408-5"), 201, "accepted"),
            ("/code/coding/0/code", json!("8867-4"), 422, "millennium-component"),
            ("/performer", Value::Null, 422, "millennium-performer"),
            ("/performer", json!([{"reference": "Practitioner/nobody"}]), 422, "millennium-performer"),
            ("/performer", json!([{"reference": "Device/1"}]), 422, "millennium-performer"),
            ("/subject/reference", json!(stranger), 403, "millennium-relationship"),
        ],
    );
}

#[test]
fn millennium_answers_without_a_body_and_keeps_only_what_it_supports() {
    let mut cerner = Hospital::of(Persona::Millennium);
    let mut sent = result(&cerner);
    sent["note"] = json!([{"text": "kept"}]);
    sent["meta"] = json!({"profile": ["urn:x"]});
    sent["hasMember"] = json!([{"reference": "Observation/1"}]);
    let answer = cerner.post(&sent);
    assert_eq!((answer.status, &answer.body), (201, &Value::Null));
    assert_eq!(answer.header("etag"), Some("W/\"1\""));
    let id = answer.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
    let stored = cerner.call("GET", &format!("/Observation/{id}"), &Value::Null, None).body;
    assert_eq!(stored["note"][0]["text"], "kept");
    assert_eq!((&stored["hasMember"], &stored["meta"]["profile"]), (&Value::Null, &Value::Null));
    assert_ne!(stored["identifier"], sent["identifier"], "the server gives its own");
    let found = cerner.call("GET", "/Observation?identifier=urn:s|1", &Value::Null, None);
    assert_eq!(found.body["total"], 0);
    let patient = cerner.patient(0);
    let search = format!("/Observation?patient={patient}&code=http://loinc.org|97507-8&date=2026-01-14");
    assert_eq!(cerner.call("GET", &search, &Value::Null, None).body["total"], 1);
    assert_eq!(cerner.post(&sent).status, 201, "If-None-Exist is ignored");
    let judged = cerner.exchange.log.judge();
    assert_eq!((judged.doubled, judged.repeated_facts), (1, 1), "by the identifiers as sent");
}

#[test]
fn millennium_keeps_identifiers_where_the_settings_say_so() {
    let mut cerner =
        Hospital::behaving(Conduct { keeps_identifiers: true, ..Conduct::of(Persona::Millennium) });
    let sent = result(&cerner);
    cerner.post(&sent);
    let found = cerner.call("GET", "/Observation?identifier=urn:s|1", &Value::Null, None);
    assert_eq!(found.body["total"], 1);
}

#[test]
fn millenniums_update_names_the_version_it_builds_on() {
    let mut cerner = Hospital::of(Persona::Millennium);
    let mut resource = result(&cerner);
    let answer = cerner.post(&resource);
    let id = answer.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
    resource["id"] = json!(id);
    resource["status"] = json!("corrected");
    let target = format!("/Observation/{id}");
    for (if_match, status) in
        [(None, 428), (Some("W/\"2\""), 409), (Some("W/\"1\""), 200), (Some("W/\"1\""), 409)]
    {
        let answer = cerner.call("PUT", &target, &resource, if_match);
        assert_eq!(answer.status, status, "{if_match:?}");
        if status == 200 {
            assert_eq!((&answer.body, answer.header("etag")), (&Value::Null, Some("W/\"2\"")));
        }
    }
    resource["subject"]["reference"] = json!(cerner.patient(1));
    let moved = cerner.call("PUT", &target, &resource, Some("W/\"2\""));
    assert_eq!((moved.status, cerner.verdict()), (422, "millennium-unmovable"));
}

#[test]
fn millenniums_documents_are_final_and_dated_and_its_provenance_has_one_target() {
    let mut cerner = Hospital::of(Persona::Millennium);
    let right = json!({"resourceType": "DocumentReference", "status": "current", "docStatus": "final",
        "subject": {"reference": cerner.patient(0)},
        "content": [{"attachment": {"contentType": "application/pdf", "data": "aGVsbG8="}}],
        "context": {"period": {"end": "2026-01-14T00:00:00Z"}}});
    let content = right["content"][0].clone();
    cerner.try_all(
        &right,
        vec![
            ("/docStatus", json!("final"), 201, "accepted"),
            ("/docStatus", json!("preliminary"), 422, "millennium-doc-status"),
            ("/context/period/end", Value::Null, 422, "millennium-period-end"),
            ("/content", json!([content, content]), 422, "millennium-content"),
            ("/subject", Value::Null, 422, "millennium-subject"),
        ],
    );
    let target = json!({"reference": "Observation/1"});
    let right = json!({"resourceType": "Provenance", "recorded": "2026-01-01T00:00:00Z", "agent": [{}],
        "target": [target]});
    cerner.try_all(
        &right,
        vec![
            ("/recorded", json!("2026-01-01T00:00:00Z"), 201, "accepted"),
            ("/target", json!([target, target]), 422, "millennium-target"),
        ],
    );
    for kind in ["transaction", "batch"] {
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": []});
        assert_eq!(cerner.call("POST", "", &bundle, None).status, 405, "{kind}");
    }
}

#[test]
fn a_claimed_profile_of_the_cgm_ig_is_held_to_and_an_unclaimed_one_is_not() {
    let mut ig = Hospital::of(Persona::CgmIg);
    let profile = |name: &str| json!([format!("http://hl7.org/fhir/uv/cgm/StructureDefinition/{name}")]);
    let member = json!({"reference": "Observation/1"});
    let right = json!({"resourceType": "Observation", "status": "final",
        "meta": {"profile": profile("cgm-summary")},
        "code": {"coding": [{"system": "http://loinc.org", "code": "107931-8"}]},
        "subject": {"reference": ig.patient(0)},
        "effectivePeriod": {"start": "2026-01-01", "end": "2026-01-14"},
        "hasMember": vec![member.clone(); 6]});
    // The conditional create of every post finds nothing, as no identifier is given.
    ig.try_all(
        &right,
        vec![
            ("/status", json!("final"), 201, "accepted"),
            ("/status", json!("amended"), 201, "accepted"),
            ("/code/coding/0/code", json!("97507-8"), 422, "cgm-ig-code"),
            ("/effectivePeriod/end", Value::Null, 422, "cgm-ig-period"),
            ("/effectivePeriod/end", json!("2026-01-14T00:00:00Z"), 422, "cgm-ig-period"),
            ("/hasMember", json!(vec![member; 5]), 422, "cgm-ig-members"),
            ("/meta/profile", profile("cgm-sensor-reading-mass-per-volume"), 422, "cgm-ig-code"),
            ("/effectivePeriod", Value::Null, 422, "cgm-ig-period"),
            ("/meta", Value::Null, 201, "accepted"),
        ],
    );
    let mut plain = Hospital::of(Persona::Plain);
    plain.try_all(&right, vec![("/effectivePeriod", Value::Null, 201, "accepted")]);
}

#[test]
fn a_cgm_bundle_is_submitted_as_a_dated_transaction_without_provenance_and_only_to_the_ig() {
    let entry = |resource: Value| {
        json!({"request": {"method": "POST", "url": resource["resourceType"]},
        "resource": resource})
    };
    let observation = json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}});
    let provenance = json!({"resourceType": "Provenance", "recorded": "2026-01-01T00:00:00Z", "agent": [{}],
        "target": [{"reference": "Observation/1"}]});
    let right = json!({"resourceType": "Bundle", "type": "transaction", "timestamp": "2026-01-01T00:00:00Z",
        "entry": [entry(observation.clone())]});
    for (pointer, value, status) in [
        ("/type", json!("transaction"), 200),
        ("/type", json!("batch"), 400),
        ("/timestamp", Value::Null, 400),
        ("/entry", json!([entry(observation), entry(provenance)]), 400),
    ] {
        let mut bundle = right.clone();
        put(&mut bundle, pointer, value.clone());
        let mut ig = Hospital::of(Persona::CgmIg);
        let before = ig.exchange.store.len();
        let answer = ig.call("POST", "/$submit-cgm-bundle", &bundle, None);
        assert_eq!(answer.status, status, "{pointer} = {value}");
        assert_eq!(ig.exchange.store.len() - before, usize::from(status == 200));
    }
    let refused = Hospital::of(Persona::Plain).call("POST", "/$submit-cgm-bundle", &right, None);
    assert_eq!(refused.status, 404);
}

#[test]
fn a_patient_is_found_by_identifier_with_their_encounters_and_long_ids() {
    for persona in [Persona::CgmIg, Persona::Plain, Persona::Epic, Persona::Millennium] {
        let mut ehr = Hospital::of(persona);
        let found = ehr.call("GET", "/Patient?identifier=urn:p|77", &Value::Null, None).body;
        let id = found["entry"][0]["resource"]["id"].as_str().unwrap();
        assert_eq!(format!("Patient/{id}"), ehr.patient(0));
        for (query, total) in [
            ("status=in-progress", 1),
            ("status=finished", 0),
            ("status=in-progress,finished&date=ge2021", 1),
        ] {
            let target = format!("/Encounter?patient={id}&{query}");
            assert_eq!(ehr.call("GET", &target, &Value::Null, None).body["total"], total, "{query}");
        }
        let identifier = crate::chart::PRACTITIONER_IDENTIFIER;
        let target = format!("/Practitioner?identifier={}|{}", identifier.0, identifier.1);
        assert_eq!(ehr.call("GET", &target, &Value::Null, None).body["total"], 1);
        let ids = ehr.exchange.admitted.iter().flat_map(|a| a.encounters.iter().chain([&a.patient]));
        assert!(ids.map(String::len).any(|length| length > 64), "{persona:?}");
    }
}

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// 2026-03-01T00:00:00 in New York.
const MARCH: i64 = 1_772_341_200_000;
/// 2026-04-01T00:00:00 there, in summer time.
const APRIL: i64 = 1_775_016_000_000;

fn zone() -> TimeZone {
    TimeZone::get("America/New_York").unwrap()
}

fn reason(code: &str) -> Value {
    json!({"system": ACT_REASON, "code": code})
}

fn person() -> Value {
    json!({"identifier": {"system": "urn:oid:1.2.3", "value": "7700001"}})
}

/// An R4 Consent with this provision.
fn r4(provision: &Value) -> Value {
    json!({
        "resourceType": "Consent", "id": "c1", "status": "active", "patient": person(),
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}],
        "provision": provision,
    })
}

/// An R5 Consent with this decision and these provisions.
fn r5(decision: &str, provisions: &Value) -> Value {
    json!({
        "resourceType": "Consent", "id": "c1", "status": "active", "subject": person(), "decision": decision,
        "category": [{"coding": [{"system": ACT_CODE, "code": "IDSCL"}]}], "provision": provisions,
    })
}

fn rules(json: &Value) -> Vec<(Purpose, bool, Option<i64>, Option<i64>)> {
    let read = read(json, &[], &zone()).unwrap();
    read.rules.into_iter().map(|rule| (rule.purpose, rule.permit, rule.from, rule.until)).collect()
}

fn plain(json: &Value) -> Vec<(Purpose, bool)> {
    rules(json).into_iter().map(|(purpose, permit, ..)| (purpose, permit)).collect()
}

use Purpose::{Analytics, Payment, Treatment};

#[test]
fn every_purpose_that_can_be_said_exactly_and_where_none_is_named_a_denial_is_of_all_and_a_permit_of_treatment()
 {
    for (code, purpose) in
        [("TREAT", Treatment), ("HPAYMT", Payment), ("HOPERAT", Analytics), ("HRESCH", Analytics)]
    {
        for (kind, permit) in [("permit", true), ("deny", false)] {
            assert_eq!(plain(&r4(&json!({"type": kind, "purpose": [reason(code)]}))), [(purpose, permit)]);
        }
    }
    let none = |kind: &str| r4(&json!({"type": kind}));
    let all_denied = [(Treatment, false), (Analytics, false), (Payment, false)];
    assert_eq!(plain(&none("deny")), all_denied);
    assert_eq!(plain(&none("permit")), [(Treatment, true)]);
    assert_eq!(plain(&r5("deny", &json!([]))), all_denied);
    assert_eq!(plain(&r5("permit", &json!([]))), [(Treatment, true)]);
    // An exception to a permit that names no purpose is a denial of its own.
    let but_analytics = r4(&json!({
        "type": "permit", "provision": [{"type": "deny", "purpose": [reason("HRESCH")], "period": {"end": "2026-03"}}],
    }));
    assert_eq!(rules(&but_analytics), [(Treatment, true, None, None), (Analytics, false, None, Some(APRIL))]);
    for (code, permit) in [("OPTIN", true), ("OPTOUT", false)] {
        let mut by_rule = r4(&json!({"purpose": [reason("TREAT")]}));
        by_rule["policyRule"] = json!({"coding": [{"system": ACT_CODE, "code": code}]});
        assert_eq!(plain(&by_rule), [(Treatment, permit)]);
    }
}

#[test]
fn an_exception_is_for_its_purpose_and_its_time_and_the_base_for_the_rest() {
    let of_r4 = r4(&json!({
        "type": "deny", "provision": [{"type": "permit", "purpose": [reason("TREAT")]}],
    }));
    // In R5 a provision is the negation of the decision.
    let of_r5 = r5("deny", &json!([{"purpose": [reason("TREAT")]}]));
    for consent in [of_r4, of_r5] {
        assert_eq!(plain(&consent), [(Treatment, true), (Analytics, false), (Payment, false)]);
    }
    let opted_out = r5("permit", &json!([{"purpose": [reason("HRESCH"), reason("HPAYMT")]}]));
    assert_eq!(plain(&opted_out), [(Treatment, true), (Analytics, false), (Payment, false)]);
    let for_a_month = r5(
        "deny",
        &json!([{"purpose": [reason("TREAT")], "period": {"start": "2026-03", "end": "2026-03"}}]),
    );
    assert_eq!(
        rules(&for_a_month)[..2],
        [(Treatment, false, None, None), (Treatment, true, Some(MARCH), Some(APRIL))],
        "outside of the month the base holds"
    );
}

#[test]
fn a_period_includes_its_end_and_days_are_the_sites() {
    for (start, end, from, until) in [
        ("2026-03-01", "2026-03-31", MARCH, APRIL),
        ("2026-03", "2026-03", MARCH, APRIL),
        ("2026-03-01T00:00:00-05:00", "2026-03-31T23:59:59-04:00", MARCH, APRIL),
        ("2026-03-01T05:00:00Z", "2026-04-01T03:59:59.999Z", MARCH, APRIL),
    ] {
        let provision =
            json!({"type": "permit", "purpose": [reason("TREAT")], "period": {"start": start, "end": end}});
        assert_eq!(rules(&r4(&provision)), [(Treatment, true, Some(from), Some(until))], "{start} {end}");
    }
}

#[test]
fn what_cannot_be_carried_out_exactly_is_refused_with_its_element() {
    let treat = json!({"type": "permit", "purpose": [reason("TREAT")]});
    let with = |name: &str, value: Value| {
        let mut provision = treat.clone();
        provision[name] = value;
        r4(&provision)
    };
    let changed = |name: &str, value: Value| {
        let mut consent = r4(&treat);
        consent[name] = value;
        consent
    };
    let scope = |code: &str| json!({"coding": [{"system": SCOPE, "code": code}]});
    let narrower = json!({"type": "permit", "purpose": [reason("HOUTCOMS")]});
    let foreign = json!({"type": "permit", "purpose": [{"system": "urn:x", "code": "TREAT"}]});
    let nested = |value: Value| r4(&json!({"type": "permit", "provision": [value]}));
    for (element, consent) in [
        ("Consent.provision.actor", with("actor", json!([{}]))),
        ("Consent.provision.action", with("action", json!([{}]))),
        ("Consent.provision.class", with("class", json!([{}]))),
        ("Consent.provision.code", with("code", json!([{}]))),
        ("Consent.provision.securityLabel", with("securityLabel", json!([{}]))),
        ("Consent.provision.dataPeriod", with("dataPeriod", json!({}))),
        ("Consent.provision.data", with("data", json!([{}]))),
        ("Consent.provision.modifierExtension", with("modifierExtension", json!([{}]))),
        ("Consent.provision.type", with("type", json!("maybe"))),
        ("Consent.provision.type", r4(&json!({"purpose": [reason("TREAT")]}))),
        ("Consent.provision.purpose", r4(&narrower)),
        ("Consent.provision.purpose", r4(&foreign)),
        ("Consent.provision.period", with("period", json!({"start": "2026-03-02", "end": "2026-03-01"}))),
        ("Consent.provision.period.start", with("period", json!({"start": "soon"}))),
        ("Consent.provision.period.end", with("period", json!({"end": "2026-02-30"}))),
        ("Consent.provision.provision[0].provision", nested(json!({"type": "deny", "provision": []}))),
        ("Consent.provision.provision[0].purpose", nested(json!({"type": "deny"}))),
        (
            "Consent.provision.provision[0].type",
            nested(json!({"type": "permit", "purpose": [reason("TREAT")]})),
        ),
        ("Consent.modifierExtension", changed("modifierExtension", json!([]))),
        ("Consent.implicitRules", changed("implicitRules", json!("urn:x"))),
        ("Consent.scope", changed("scope", scope("treatment"))),
        ("Consent.scope", changed("scope", scope("research"))),
        ("Consent.scope", changed("scope", scope("adr"))),
        ("Consent.category", changed("category", json!([{"coding": [{"code": "59284-0"}]}]))),
        ("Consent.category", changed("category", json!([]))),
        ("Consent.status", changed("status", json!("draft"))),
        ("Consent.status", changed("status", json!("proposed"))),
        ("Consent.status", changed("status", json!("not-done"))),
        ("Consent.patient.reference", changed("patient", json!({"reference": "Patient/1"}))),
        ("Consent.patient.identifier", changed("patient", json!({"identifier": {"value": "7700001"}}))),
        ("Consent.patient.identifier", changed("patient", json!({"display": "Zebediah"}))),
        ("Consent", changed("decision", json!("permit"))),
        ("Consent.grantee", {
            let mut consent = r5("permit", &json!([]));
            consent["grantee"] = json!([{}]);
            consent
        }),
        ("Consent.decision", {
            let mut consent = r5("permit", &json!([]));
            consent["decision"] = Value::Null;
            consent
        }),
        ("Consent.provision[0].resourceType", r5("deny", &json!([{"resourceType": [{}]}]))),
    ] {
        let fault = read(&consent, &[], &zone()).unwrap_err();
        assert_eq!(fault.element, element, "{fault}");
        assert!(!fault.to_string().contains("7700001") && !fault.to_string().contains("Zebediah"));
    }
    let odd = changed("7700001 Zebediah\u{1b}[2J", json!(1));
    assert_eq!(
        read(&odd, &[], &zone()).unwrap_err().element,
        "Consent",
        "a name from outside is not repeated"
    );
}

#[test]
fn a_consent_that_is_not_in_force_any_more_ends_what_it_said_and_is_the_same_one() {
    let active = r4(&json!({"type": "permit", "purpose": [reason("TREAT")]}));
    let first = read(&active, &[], &zone()).unwrap();
    for status in ["inactive", "rejected", "entered-in-error"] {
        let mut ended = active.clone();
        ended["status"] = json!(status);
        // What an ended one says of scope and provisions is of no account.
        ended["provision"] = json!({"actor": []});
        let ended = read(&ended, &[], &zone()).unwrap();
        assert!(ended.rules.is_empty());
        assert_eq!((ended.key, ended.hash == first.hash), (first.key, false));
    }
    let mut narrated = active.clone();
    narrated["text"] = json!({"div": "other words"});
    assert_eq!(read(&narrated, &[], &zone()).unwrap().hash, first.hash);
    // Stored again unchanged it says the same, and when.
    let mut stored = active;
    stored["meta"] = json!({"versionId": "7", "lastUpdated": "2026-03-01T05:00:00Z", "source": "#kQ8"});
    let again = read(&stored, &[], &zone()).unwrap();
    assert_eq!((again.hash, again.changed_at, again.stamped), (first.hash, Some(MARCH), true));
    stored["meta"] = Value::Null;
    stored["dateTime"] = json!("2026-03");
    let signed = read(&stored, &[], &zone()).unwrap();
    assert_eq!((signed.hash == first.hash, signed.changed_at, signed.stamped), (false, Some(MARCH), false));
}

#[test]
fn an_identifier_with_its_system_is_of_one_consent_everywhere_and_an_id_is_of_one_at_its_source() {
    let key = |id: Value, identifiers: Value| {
        let mut consent = r4(&json!({"type": "deny"}));
        (consent["id"], consent["identifier"]) = (id, identifiers);
        read(&consent, &[], &zone()).unwrap().key
    };
    let whole = json!([{"value": "8"}, {"system": "urn:c", "value": "9"}]);
    let everywhere = key(json!("1"), whole.clone());
    assert!(matches!(everywhere, Key::Everywhere(_)));
    assert_eq!(key(json!("2"), whole), everywhere);
    assert_ne!(key(json!("1"), json!([{"system": "urn:d", "value": "9"}])), everywhere);
    let bare = key(json!("1"), json!([{"value": "9"}]));
    let by_id = key(json!("1"), Value::Null);
    assert!(matches!((bare, by_id), (Key::AtItsSource(_), Key::AtItsSource(_))) && bare != by_id);
    assert_eq!(key(json!("2"), json!([{"value": "9"}])), bare);
    assert_eq!(key(Value::Null, Value::Null), Key::Content);
}

#[test]
fn the_patient_is_found_by_identifier_in_the_consent_or_beside_it() {
    let provision = json!({"type": "permit", "purpose": [reason("TREAT")]});
    let patient = json!({"resourceType": "Patient", "id": "p", "identifier": [
        {"system": "urn:oid:1.2.3", "value": "1"}, {"value": "no system"}, {"system": "urn:x", "value": "2"},
    ]});
    let wanted = [("urn:oid:1.2.3", "1"), ("urn:x", "2")];
    let found = |read: Consent| -> Vec<(String, String)> {
        read.patient.into_iter().map(|key| (key.system, key.value)).collect()
    };
    let own = |pairs: [(&str, &str); 2]| pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    let mut contained = r4(&provision);
    contained["contained"] = json!([patient]);
    contained["patient"] = json!({"reference": "#p"});
    assert_eq!(found(read(&contained, &[], &zone()).unwrap()), own(wanted));
    for target in ["Patient/p", "urn:uuid:1"] {
        let mut consent = r4(&provision);
        consent["patient"] = json!({"reference": target});
        let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
            {"resource": consent}, {"fullUrl": "urn:uuid:1", "resource": patient},
        ]});
        assert!(holds_consent(&bundle));
        let mut read = read_all(&bundle, &zone());
        assert_eq!(read.len(), 1, "the Patient is no Consent");
        assert_eq!(found(read.remove(0).unwrap()), own(wanted));
    }
}

#[test]
fn of_a_bundle_each_consent_counts_or_is_refused_for_itself() {
    let good = r4(&json!({"type": "deny"}));
    let bad = r4(&json!({"type": "deny", "actor": []}));
    let bundle = json!({"resourceType": "Bundle", "entry": [
        {"resource": bad}, {"resource": good}, {"resource": {"resourceType": "Observation"}},
    ]});
    let read = read_all(&bundle, &zone());
    assert_eq!(read[0].as_ref().unwrap_err().element, "Bundle.entry[0].resource.Consent.provision.actor");
    assert_eq!(read[1].as_ref().unwrap().rules.len(), 3);
    assert_eq!(read[2].as_ref().unwrap_err().element, "Bundle.entry[2].resource");
    assert!(!holds_consent(
        &json!({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}]})
    ));
    assert!(!holds_consent(&json!([1, 2])));
}

/// Anything that may stand in the place of an element.
fn odd() -> impl Strategy<Value = Value> {
    let text = proptest::sample::select(vec!["", "active", "2026-02-30", "#", "Patient/", "7700001"]);
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[], {}, null, 1])),
        any::<i32>().prop_map(|number| json!(number)),
        text.prop_map(|text| json!(text)),
        ".{0,12}".prop_map(Value::String),
    ]
}

proptest! {
    #[test]
    fn whatever_stands_in_the_place_of_an_element_is_read_or_refused(
        place in 0..24_usize, value in odd(), is_r5 in any::<bool>(),
    ) {
        let mut consent = match is_r5 {
            true => r5("deny", &json!([{"purpose": [reason("TREAT")], "period": {"start": "2026"}}])),
            false => r4(&json!({"type": "deny", "provision": [{"type": "permit", "purpose": [reason("TREAT")]}]})),
        };
        let names = [
            "status", "scope", "category", "patient", "subject", "provision", "decision", "meta", "identifier", "id",
            "period", "dateTime", "date", "policyRule", "contained", "resourceType",
        ];
        match (names.get(place), is_r5) {
            (Some(name), _) => consent[*name] = value,
            (None, true) => {
                let name = ["purpose", "period", "id", "provision"][place % 4];
                consent["provision"][0][name] = value;
            }
            (None, false) => {
                let name = ["type", "purpose", "period", "provision"][place % 4];
                consent["provision"][name] = value;
            }
        }
        if let Ok(read) = read(&consent, &[], &zone()) {
            prop_assert!(!read.patient.is_empty());
        }
        let _all = read_all(&json!({"resourceType": "Bundle", "entry": [{"resource": consent}]}), &zone());
    }

    #[test]
    fn a_date_of_any_text_is_a_moment_before_its_end_or_none(text in "[0-9]{0,5}[-]?[0-9]{0,3}[-]?[0-9]{0,3}(T[0-9:.Z+-]{0,20})?|.{0,12}") {
        if let Some((from, until)) = moment(&text, &zone()) {
            prop_assert!(from < until);
        }
    }
}

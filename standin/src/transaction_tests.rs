use super::*;

fn transact(store: &mut FhirStore, writes: Vec<Write>, now: &str) -> Result<Vec<Effect>, Refusal> {
    super::transact(store, &Manners::default(), writes, now)
}

const NOW: &str = "2026-01-01T00:00:00Z";

fn observation(value: &str, condition: Option<&str>) -> Write {
    Write::new(
        Verb::Create { if_none_exist: condition.map(str::to_owned) },
        "Observation",
        json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
            "identifier": [{"system": "urn:s", "value": value}]}),
        "Bundle.entry[0]".into(),
    )
}

#[test]
fn a_condition_creates_once_then_hits_and_then_refuses_when_several_match() {
    let mut store = FhirStore::default();
    let conditional = || observation("1", Some("identifier=urn:s|1"));
    let first = transact(&mut store, vec![conditional()], NOW).unwrap();
    assert_eq!(first[0].kind, EffectKind::Created);
    let second = transact(&mut store, vec![conditional()], NOW).unwrap();
    assert_eq!((second[0].kind, &second[0].id), (EffectKind::ConditionalHit, &first[0].id));
    transact(&mut store, vec![observation("1", None)], NOW).unwrap();
    assert_eq!(transact(&mut store, vec![conditional()], NOW).unwrap_err().status, 412);
}

#[test]
fn a_fault_in_the_last_entry_leaves_nothing_of_the_first() {
    let mut store = FhirStore::default();
    let mut bad = observation("2", None);
    bad.resource["status"] = Value::Null;
    let refusal = transact(&mut store, vec![observation("1", None), bad], NOW).unwrap_err();
    assert_eq!((refusal.status, refusal.code), (422, "required"));
    assert!(store.is_empty());
}

#[test]
fn references_between_entries_become_real_ids_and_identifiers_are_left_alone() {
    let mut store = FhirStore::default();
    let mut panel = observation("panel", None);
    panel.resource["hasMember"] = json!([{"reference": "urn:uuid:m"}]);
    panel.resource["identifier"][0]["value"] = json!("urn:uuid:m");
    let mut member = observation("member", None);
    member.full_url = Some("urn:uuid:m".into());
    let effects = transact(&mut store, vec![panel, member], NOW).unwrap();
    let (stored, _) = store.read("Observation", &effects[0].id).unwrap();
    assert_eq!(stored["hasMember"][0]["reference"], format!("Observation/{}", effects[1].id));
    assert_eq!(stored["identifier"][0]["value"], "urn:uuid:m");
}

#[test]
fn a_reference_to_no_entry_refuses_the_transaction() {
    let mut store = FhirStore::default();
    let mut panel = observation("panel", None);
    panel.resource["hasMember"] = json!([{"reference": "urn:uuid:nobody"}]);
    assert_eq!(transact(&mut store, vec![panel], NOW).unwrap_err().status, 400);
    assert!(store.is_empty());
}

#[test]
fn an_update_needs_the_standing_version_and_says_when_it_changes_nothing() {
    let mut store = FhirStore::default();
    let id = transact(&mut store, vec![observation("1", None)], NOW).unwrap()[0].id.clone();
    let update = |status: &str, tag: &str| {
        let mut write = observation("1", None);
        write.resource["id"] = json!(id);
        write.resource["status"] = json!(status);
        write.verb = Verb::Update { id: id.clone(), if_match: Some(tag.into()) };
        write
    };
    let amended = transact(&mut store, vec![update("amended", "W/\"1\"")], NOW).unwrap();
    assert_eq!((amended[0].version, amended[0].unchanged), (2, false));
    assert_eq!(transact(&mut store, vec![update("amended", "W/\"1\"")], NOW).unwrap_err().status, 412);
    let again = transact(&mut store, vec![update("amended", "W/\"2\"")], NOW).unwrap();
    assert!(again[0].unchanged);
}

#[test]
fn two_entries_with_one_condition_are_refused() {
    let mut store = FhirStore::default();
    let same = || observation("1", Some("identifier=urn:s|1"));
    assert_eq!(transact(&mut store, vec![same(), same()], NOW).unwrap_err().code, "duplicate");
}

#[test]
fn a_provenance_speaks_of_the_patient_of_its_target() {
    let mut store = FhirStore::default();
    let mut target = observation("1", None);
    target.resource["subject"] = json!({"identifier": {"system": "urn:p", "value": "77"}});
    let id = transact(&mut store, vec![target], NOW).unwrap()[0].id.clone();
    let mut provenance = observation("2", None);
    provenance.resource = json!({"target": [{"reference": format!("Observation/{id}")}]});
    assert_eq!(provenance.patients(&store), ["77"]);
}

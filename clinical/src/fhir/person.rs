//! What a box knows of a patient, as a Patient (R4).
//!
//! Invariants: nothing is guessed: a name that is not `family, given` is text, a date with fewer digits is a shorter date, a
//! death without a date is said without one; whoever was merged away is not active and says who stands instead; the same
//! knowledge is the same bytes.
//!
//! Sources: hl7.org/fhir/R4/patient.html (link.type, active, deceased\[x\]); table HL7 0203 for the types of identifiers.

use serde_json::{Map, Value, json};

use crate::identity::PatientKey;

/// Code system of the types of identifiers: table HL7 0203.
const TYPE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
/// The system of an authority that has no URI.
const AUTHORITY_PREFIX: &str = "urn:isthmus:authority:";

/// Types of the links of merges (valueset-link-type).
const LINKS: [&str; 2] = ["replaced-by", "replaces"];

/// An identifier bound to a patient, not of the kind that names the site's patients.
#[derive(Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its authority: a namespace or a URI; may be empty.
    pub authority: String,
    /// Its type, a code of table 0203; may be empty.
    pub kind: String,
    /// Patient data.
    pub value: String,
}

/// What is known. No Debug: it is about a person.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The identifier by which the site names the patient.
    pub key: PatientKey,
    /// Those that are bound to it.
    pub aliases: Vec<Alias>,
    /// As `family, given`.
    pub name: Option<String>,
    /// 4, 6 or 8 digits.
    pub birth: Option<String>,
    /// `Y`, or the digits of a date.
    pub death: Option<String>,
    /// `Patient/<id>` of whom this one was merged into.
    pub replaced_by: Option<String>,
    /// `Patient/<id>` of those who were merged into this one.
    pub replaces: Vec<String>,
    /// The patient counts for nobody alone: merged away, or in doubt.
    pub retired: bool,
}

/// The Patient, without `id`.
pub fn patient(person: &Person) -> Value {
    let mut identifiers = vec![json!({
        "use": if person.retired { "old" } else { "usual" },
        "system": person.key.system,
        "value": person.key.value,
    })];
    identifiers.extend(person.aliases.iter().map(alias));
    let mut json = json!({
        "resourceType": "Patient",
        "identifier": identifiers,
        "active": !person.retired,
    });
    if let Some(name) = &person.name {
        json["name"] = json!([named(name)]);
    }
    if let Some(date) = person.birth.as_deref().and_then(date) {
        json["birthDate"] = date.into();
    }
    match person.death.as_deref() {
        None | Some("N") => {}
        Some(death) => match date(death) {
            Some(date) => json["deceasedDateTime"] = date.into(),
            None => json["deceasedBoolean"] = true.into(),
        },
    }
    let links = links(person);
    if !links.is_empty() {
        json["link"] = links.into();
    }
    json
}

/// Of whom the patient was merged into, and of who was merged into them.
fn links(person: &Person) -> Vec<Value> {
    let link = |kind: &str, other: &String| json!({ "other": { "reference": other }, "type": kind });
    let replaced_by = person.replaced_by.iter().map(|other| link(LINKS[0], other));
    replaced_by.chain(person.replaces.iter().map(|other| link(LINKS[1], other))).collect()
}

/// A Patient as somebody else says it, R4 or R5, with what the box knows of merges: who was merged away is not active, and the
/// links of merges are the box's. All else stays.
pub fn with_merges(said: &Value, person: &Person) -> Value {
    let mut json = said.clone();
    let Some(members) = json.as_object_mut() else { return json };
    let stated = members.remove("link").and_then(|links| links.as_array().cloned()).unwrap_or_default();
    let is_of_a_merge = |link: &Value| LINKS.iter().any(|kind| link["type"] == *kind);
    let mut all: Vec<Value> = stated.into_iter().filter(|link| !is_of_a_merge(link)).collect();
    all.extend(links(person));
    if !all.is_empty() {
        members.insert("link".to_owned(), all.into());
    }
    if person.retired {
        members.insert("active".to_owned(), false.into());
    }
    json
}

fn alias(alias: &Alias) -> Value {
    let mut json = Map::new();
    if !alias.kind.is_empty() {
        json.insert("type".into(), json!({ "coding": [{ "system": TYPE_SYSTEM, "code": alias.kind }] }));
    }
    let authority = alias.authority.as_str();
    if !authority.is_empty() {
        let is_uri = authority.contains(':');
        let system = if is_uri { authority.to_owned() } else { format!("{AUTHORITY_PREFIX}{authority}") };
        json.insert("system".into(), system.into());
    }
    json.insert("value".into(), alias.value.as_str().into());
    Value::Object(json)
}

/// A HumanName of `family, given`; of anything else its text alone.
fn named(name: &str) -> Value {
    let mut json = json!({ "text": name });
    if let Some((family, given)) = name.split_once(',') {
        let given: Vec<&str> = given.split_whitespace().collect();
        if !family.trim().is_empty() {
            json["family"] = family.trim().into();
        }
        if !given.is_empty() {
            json["given"] = json!(given);
        }
    }
    json
}

/// A FHIR date of 4, 6 or 8 digits; `None` for any other text, or a day that no calendar has.
fn date(digits: &str) -> Option<String> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to);
    match digits.len() {
        4 => Some(digits.to_owned()),
        6 => {
            let month: i8 = part(4, 6)?.parse().ok()?;
            (1..=12).contains(&month).then(|| format!("{}-{}", &digits[..4], &digits[4..]))
        }
        8 => {
            let text = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
            text.parse::<jiff::civil::Date>().ok().map(|date| date.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_says_of_a_patient_stays_but_for_merges() {
        let person = |replaced_by: Option<&str>, replaces: &[&str]| Person {
            key: PatientKey { system: "urn:s".to_owned(), value: "1".to_owned() },
            aliases: Vec::new(),
            name: None,
            birth: None,
            death: None,
            replaced_by: replaced_by.map(str::to_owned),
            replaces: replaces.iter().map(|other| (*other).to_owned()).collect(),
            retired: replaced_by.is_some(),
        };
        let said = json!({ "resourceType": "Patient", "active": true, "birthDate": "1999-01-01",
            "link": [{ "other": { "reference": "Patient/9" }, "type": "seealso" }] });
        assert_eq!(with_merges(&said, &person(None, &[])), said);
        let merged = with_merges(&said, &person(Some("Patient/2"), &[]));
        assert_eq!((&merged["active"], &merged["birthDate"]), (&json!(false), &json!("1999-01-01")));
        assert_eq!(
            merged["link"],
            json!([
                { "other": { "reference": "Patient/9" }, "type": "seealso" },
                { "other": { "reference": "Patient/2" }, "type": "replaced-by" },
            ])
        );
        // Put back as it was read, and the merge undone: nothing of the merge stays but that it is not active.
        assert_eq!(with_merges(&merged, &person(None, &[]))["link"], said["link"]);
        let survivor = with_merges(&json!({ "resourceType": "Patient" }), &person(None, &["Patient/3"]));
        assert_eq!(survivor["link"][0], json!({ "other": { "reference": "Patient/3" }, "type": "replaces" }));
        assert!(survivor["active"].is_null());
    }

    fn person() -> Person {
        Person {
            key: PatientKey { system: "urn:oid:1.2".into(), value: "P1".into() },
            aliases: Vec::new(),
            name: None,
            birth: None,
            death: None,
            replaced_by: None,
            replaces: Vec::new(),
            retired: false,
        }
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let wanted = json!({
            "resourceType": "Patient", "active": true,
            "identifier": [{ "use": "usual", "system": "urn:oid:1.2", "value": "P1" }],
        });
        assert_eq!(patient(&person()), wanted);
    }

    #[test]
    fn a_person_has_names_dates_and_bound_identifiers_as_far_as_they_are_stated() {
        let alias = |authority: &str, kind: &str| Alias {
            authority: authority.into(),
            kind: kind.into(),
            value: "9".into(),
        };
        let made = patient(&Person {
            aliases: vec![alias("VENDOR", "PI"), alias("urn:v", ""), alias("", "AN")],
            name: Some("Ode, Amy Jo".into()),
            birth: Some("198002".into()),
            death: Some("20260301".into()),
            ..person()
        });
        let identifiers = &made["identifier"];
        assert_eq!(identifiers[1]["system"], "urn:isthmus:authority:VENDOR");
        assert_eq!(identifiers[1]["type"]["coding"][0]["code"], "PI");
        assert_eq!(identifiers[2], json!({ "system": "urn:v", "value": "9" }));
        assert!(identifiers[3].get("system").is_none());
        assert_eq!(made["name"], json!([{ "text": "Ode, Amy Jo", "family": "Ode", "given": ["Amy", "Jo"] }]));
        assert_eq!(
            (&made["birthDate"], &made["deceasedDateTime"]),
            (&json!("1980-02"), &json!("2026-03-01"))
        );
        for (birth, wanted) in [("1980", Some("1980")), ("19800230", None), ("198013", None), ("x", None)] {
            let made = patient(&Person { birth: Some(birth.into()), ..person() });
            assert_eq!(made["birthDate"].as_str(), wanted, "{birth}");
        }
        for (death, said) in [("Y", json!(true)), ("N", Value::Null)] {
            let made = patient(&Person { death: Some(death.into()), ..person() });
            assert_eq!(made["deceasedBoolean"], said);
        }
        assert_eq!(named("Amy"), json!({ "text": "Amy" }));
    }

    #[test]
    fn who_was_merged_away_says_who_stands_instead() {
        let made = patient(&Person { retired: true, replaced_by: Some("Patient/2-0".into()), ..person() });
        assert_eq!(made["active"], false);
        assert_eq!(made["link"], json!([{ "other": { "reference": "Patient/2-0" }, "type": "replaced-by" }]));
        let made = patient(&Person { replaces: vec!["Patient/1-0".into()], ..person() });
        assert_eq!(made["link"][0]["type"], "replaces");
    }
}

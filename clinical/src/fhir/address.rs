//! Subject and encounter of the EHR's own, put in when a resource is sent.
//!
//! A resource is made and stored with the patient's identifier, or a pseudonym; an EHR that wants its own ids gets them in
//! the copy that is sent. Invariants: nothing but subject and encounter is changed; the same copy twice is the same; a
//! resource of another kind (a Provenance) comes out as it went in.

use serde_json::{Value, json};

use super::location::Location;

/// Why a resource cannot be addressed. The reference is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `Patient/<id>`.
    #[error("the subject is not a reference to a Patient")]
    Subject,
    /// Not `Encounter/<id>`.
    #[error("the encounter is not a reference to an Encounter")]
    Encounter,
}

/// Puts in the references that are given: `Patient/<id>`, `Encounter/<id>`.
///
/// # Errors
/// [`AddressError`]; the resource is unchanged then.
pub fn address(
    resource: &mut Value,
    subject: Option<&str>,
    encounter: Option<&str>,
) -> Result<(), AddressError> {
    if !subject.is_none_or(|reference| is_of("Patient", reference)) {
        return Err(AddressError::Subject);
    }
    if !encounter.is_none_or(|reference| is_of("Encounter", reference)) {
        return Err(AddressError::Encounter);
    }
    let kind = resource["resourceType"].as_str().unwrap_or_default().to_owned();
    if !["Observation", "DiagnosticReport", "DocumentReference", "Goal"].contains(&kind.as_str()) {
        return Ok(());
    }
    if let Some(subject) = subject {
        resource["subject"] = json!({ "reference": subject });
    }
    // R4: a goal belongs to no encounter.
    if kind == "Goal" {
        return Ok(());
    }
    match encounter {
        // R4: an encounter is part of a document's context, and may be several.
        Some(encounter) if kind == "DocumentReference" => {
            resource["context"]["encounter"] = json!([{ "reference": encounter }]);
        }
        Some(encounter) => resource["encounter"] = json!({ "reference": encounter }),
        None => {}
    }
    Ok(())
}

fn is_of(kind: &str, reference: &str) -> bool {
    Location::parse(reference)
        .is_some_and(|location| location.resource_type() == kind && location.reference() == reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_gets_the_references_where_its_kind_has_them() {
        let mut observation = json!({ "resourceType": "Observation", "subject": { "type": "Patient" } });
        address(&mut observation, Some("Patient/eQ.7"), Some("Encounter/9")).unwrap();
        let expected = json!({
            "resourceType": "Observation",
            "subject": { "reference": "Patient/eQ.7" },
            "encounter": { "reference": "Encounter/9" },
        });
        assert_eq!(observation, expected);
        address(&mut observation, Some("Patient/eQ.7"), Some("Encounter/9")).unwrap();
        assert_eq!(observation, expected, "twice is once");
        let mut document = json!({ "resourceType": "DocumentReference", "context": { "period": {} } });
        address(&mut document, None, Some("Encounter/9")).unwrap();
        assert_eq!(
            document["context"],
            json!({ "period": {}, "encounter": [{ "reference": "Encounter/9" }] })
        );
        let mut provenance = json!({ "resourceType": "Provenance" });
        address(&mut provenance, Some("Patient/1"), Some("Encounter/9")).unwrap();
        assert_eq!(provenance, json!({ "resourceType": "Provenance" }));
    }

    #[test]
    fn what_is_no_reference_of_its_kind_changes_nothing() {
        let whole = json!({ "resourceType": "Observation" });
        for subject in
            ["Patient/", "Patient/Amy Smith", "Encounter/1", "4711", "https://e/Patient/1", "Patient/../1"]
        {
            let mut resource = whole.clone();
            assert_eq!(address(&mut resource, Some(subject), None), Err(AddressError::Subject), "{subject}");
            assert_eq!(resource, whole);
        }
        let mut resource = whole;
        assert_eq!(address(&mut resource, None, Some("Patient/1")), Err(AddressError::Encounter));
        assert!(!AddressError::Subject.to_string().contains("Amy"));
    }
}

//! What has another name in the other release, and which codes stand nearest to those that it lacks.
//!
//! Source: the "R4 Diff" of each resource of R5 (hl7.org/fhir/R5/consent.html#diff and so on).

use crate::Release;

/// Group, its name in R4, its name in R5: backbones that were renamed.
const GROUPS: [(&str, &str); 2] = [
    // Named `value` inside now, as the names of other resources are.
    ("Device.deviceName", "Device.name"),
    // The standards that a device conforms to, of any kind.
    ("Device.specialization", "Device.conformsTo"),
];

/// Group of R4, member of R4, member of R5.
const MEMBERS: [(&str, &str, &str); 18] = [
    ("AuditEvent", "period", "occurredPeriod"),
    ("AuditEvent", "purposeOfEvent", "authorization"),
    ("AuditEvent.agent", "purposeOfUse", "authorization"),
    // What was a choice of one date became one of several kinds of record; who agrees is the grantee, who runs it
    // the manager, and what was coded as the policy is the regulatory basis.
    ("Consent", "dateTime", "date"),
    ("Consent", "organization", "manager"),
    ("Consent", "patient", "subject"),
    ("Consent", "performer", "grantee"),
    ("Consent", "policyRule", "regulatoryBasis"),
    ("Device", "deviceName", "name"),
    ("Device", "specialization", "conformsTo"),
    ("Device.deviceName", "name", "value"),
    ("Device.property", "valueCode", "valueCodeableConcept"),
    ("Device.specialization", "systemType", "specification"),
    ("DiagnosticReport", "imagingStudy", "study"),
    ("Dosage", "asNeededBoolean", "asNeeded"),
    ("Dosage", "asNeededCodeableConcept", "asNeededFor"),
    // A CodeableConcept in R4, a CodeableReference in R5.
    ("Provenance", "reason", "authorization"),
    ("Task", "performerType", "requestedPerformer"),
];

/// Element of R4 or R5, a code that the other release lacks, and the nearest that it has. Codes that are not here have no
/// near one: their element is kept as an extension alone.
const CODES: [(Release, &str, &str, &str); 21] = [
    // Never a code that says more consent than there is.
    (Release::R5, "Consent.status", "proposed", "draft"),
    (Release::R5, "Consent.status", "rejected", "not-done"),
    (Release::R4, "Consent.status", "not-done", "rejected"),
    (Release::R4, "Consent.status", "unknown", "draft"),
    (Release::R4, "Device.udiCarrier.entryType", "electronic-transmission", "unknown"),
    (Release::R5, "Device.deviceName.type", "udi-label-name", "registered-name"),
    (Release::R5, "Device.deviceName.type", "manufacturer-name", "registered-name"),
    (Release::R5, "Device.deviceName.type", "model-name", "registered-name"),
    (Release::R5, "Device.deviceName.type", "other", "user-friendly-name"),
    (Release::R4, "Device.name.type", "registered-name", "manufacturer-name"),
    (Release::R4, "DiagnosticReport.status", "modified", "amended"),
    (Release::R4, "DocumentReference.docStatus", "registered", "preliminary"),
    (Release::R4, "DocumentReference.docStatus", "partial", "preliminary"),
    (Release::R4, "DocumentReference.docStatus", "corrected", "amended"),
    (Release::R4, "DocumentReference.docStatus", "appended", "amended"),
    (Release::R4, "OperationOutcome.issue.code", "success", "informational"),
    (Release::R4, "OperationOutcome.issue.code", "limited-filter", "informational"),
    (Release::R4, "OperationOutcome.issue.severity", "success", "information"),
    (Release::R4, "Provenance.entity.role", "instantiates", "derivation"),
    (Release::R5, "Provenance.entity.role", "derivation", "instantiates"),
    (Release::R4, "Timing.repeat.when", "IMD", "C"),
];

/// The name that a group of the other release has in this one.
pub(super) fn group(to: Release, name: &str) -> &str {
    let found = match to {
        Release::R5 => GROUPS.iter().find(|it| it.0 == name).map(|it| it.1),
        Release::R4 => GROUPS.iter().find(|it| it.1 == name).map(|it| it.0),
    };
    found.unwrap_or(name)
}

/// The name that a member of a group of the other release has in this one.
pub(super) fn member<'a>(to: Release, of: &str, name: &'a str) -> &'a str {
    let found = match to {
        Release::R5 => MEMBERS.iter().find(|it| it.0 == of && it.1 == name).map(|it| it.2),
        Release::R4 => {
            let of = group(Release::R4, of);
            MEMBERS.iter().find(|it| it.0 == of && it.2 == name).map(|it| it.1)
        }
    };
    found.unwrap_or(name)
}

/// The code that stands nearest to one that this release lacks.
pub(super) fn nearest(to: Release, of: &str, element: &str, code: &str) -> Option<&'static str> {
    let path = |it: &str| it.strip_prefix(of).and_then(|rest| rest.strip_prefix('.')) == Some(element);
    CODES.iter().find(|it| it.0 == to && path(it.1) && it.2 == code).map(|it| it.3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::elements;

    #[test]
    fn every_name_of_the_tables_is_an_element_of_its_release() {
        let (r4, r5) = (elements(Release::R4), elements(Release::R5));
        for (old, new) in GROUPS {
            assert!(r4.group(old).is_some() && r5.group(new).is_some() && r5.group(old).is_none(), "{old}");
        }
        for (of, old, new) in MEMBERS {
            let (before, after) = (r4.group(of).expect(of), r5.group(group(Release::R5, of)).expect(of));
            assert!(before.member(old).is_some() && after.member(new).is_some(), "{of}.{old} {new}");
            assert_eq!(member(Release::R5, of, old), new);
            assert_eq!(member(Release::R4, &after.name, new), old);
        }
        for (to, path, code, nearest) in CODES {
            let from = if to == Release::R4 { Release::R5 } else { Release::R4 };
            let (of, element) = path.rsplit_once('.').expect("a path");
            let here = |release, of: &str| {
                elements(release).group(of).and_then(|it| it.element(element)).expect(path).codes.clone()
            };
            assert!(here(from, of).contains(&code), "{path} {code}");
            let there = here(to, group(to, of));
            assert!(there.contains(&nearest) && !there.contains(&code), "{path} {code} {nearest}");
        }
    }
}

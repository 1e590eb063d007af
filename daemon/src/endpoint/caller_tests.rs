use super::*;

fn caller(role: Role, scopes: &str, patient: Option<&str>) -> Caller {
    Caller {
        name: "a".to_owned(),
        site: "main".into(),
        role,
        scopes: Scopes::read(scopes),
        patient: patient.map(str::to_owned),
        reason: None,
        ceiling: None,
    }
}

#[test]
fn every_role_has_exactly_the_acts_of_the_table_on_every_kind() {
    const CLINICAL: [Kind; 9] = [
        Kind::Patient,
        Kind::Device,
        Kind::Observation,
        Kind::DiagnosticReport,
        Kind::Provenance,
        Kind::ServiceRequest,
        Kind::DocumentReference,
        Kind::Task,
        Kind::Group,
    ];
    let mut looked = 0;
    for kind in Kind::ALL {
        let [viewer, operator, officer, glass] = match kind {
            Kind::Consent => ["", "crus", "rs", "rs"],
            Kind::AuditEvent => ["", "", "rs", "rs"],
            kind => {
                assert!(CLINICAL.contains(&kind));
                ["rs", "crus", "", "rs"]
            }
        };
        for (role, letters) in Role::ALL.into_iter().zip([viewer, operator, officer, glass]) {
            for (act, letter) in Act::ALL.into_iter().zip(['c', 'r', 'u', 's']) {
                let expected = letters.contains(letter);
                assert_eq!(role.permits(act, kind), expected, "{role:?} {act:?} {kind:?}");
                let whole = caller(role, "system/*.cruds", None).may(act, kind);
                assert_eq!(whole.is_ok(), expected, "{role:?} {act:?} {kind:?}");
                // Without a scope the role is worth nothing.
                assert!(caller(role, "", None).may(act, kind).is_err());
                looked += 1;
            }
        }
    }
    assert_eq!(looked, 11 * 4 * 4);
}

#[test]
fn a_patient_scope_confines_to_the_launch_patient_and_grants_nothing_without_one() {
    let kind = Kind::Observation;
    let may = |scopes: &str, patient| caller(Role::Viewer, scopes, patient).may(Act::Read, kind);
    assert!(may("patient/*.rs", Some("p1")) == Ok(Within::Patient("p1".to_owned())));
    assert!(may("patient/*.rs", None) == Err(Denied::Scope));
    assert!(may("user/*.rs patient/*.rs", Some("p1")) == Ok(Within::All));
    // A launch patient alone confines nobody whose scopes do not.
    assert!(may("system/Observation.r", Some("p1")) == Ok(Within::All));
}

#[test]
fn a_token_beside_a_certificate_never_widens_what_the_certificate_may() {
    let token = caller(Role::Operator, "system/*.crus", None);
    let under = |role, scopes: &str| Caller {
        ceiling: Some(Ceiling { role, scopes: Scopes::read(scopes) }),
        ..token.clone()
    };
    let kind = Kind::Observation;
    assert!(under(Role::Viewer, "system/*.crus").may(Act::Create, kind) == Err(Denied::Role));
    assert!(under(Role::Viewer, "system/*.crus").may(Act::Read, kind) == Ok(Within::All));
    assert!(under(Role::Operator, "system/Patient.crus").may(Act::Read, kind) == Err(Denied::Scope));
    assert!(under(Role::Operator, "system/*.rs").may(Act::Create, kind) == Err(Denied::Scope));
}

#[test]
fn what_is_printed_of_a_caller_names_no_patient_and_no_reason() {
    let mut glass = caller(Role::BreakGlass, "patient/*.rs", Some("patient-4711"));
    glass.reason = Some("unconscious in the emergency room".to_owned());
    let told = format!("{glass:?}");
    assert!(!told.contains("4711") && !told.contains("unconscious"), "{told}");
}

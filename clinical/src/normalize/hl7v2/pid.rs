//! The patient of a PID segment: the one repetition of PID-3 that the site's rule selects.
//!
//! Repetitions are the same identifier where value and authority are equal, so that a number given twice
//! counts once, and the same number of two authorities is two patients.

use std::collections::BTreeSet;

use super::{field::Field, segment::Segment};
use crate::identity::{IdentityFault, PatientKey, PatientRule};

/// Prefix of the system made from an authority's name.
const AUTHORITY_PREFIX: &str = "urn:isthmus:authority:";
/// The authority of a repetition that names none.
const UNASSIGNED: &str = "unassigned";

/// The patient that the rule selects. Errs where no identifier, or several different ones, match.
pub(super) fn patient(pid: &Segment<'_>, rule: &PatientRule) -> Result<PatientKey, IdentityFault> {
    let matching: BTreeSet<_> =
        pid.field(3).repetitions().filter_map(|repetition| matching(repetition, rule)).collect();
    let mut matching = matching.into_iter();
    let (value, authority) = matching.next().ok_or(IdentityFault::NoMatch)?;
    if matching.next().is_some() {
        return Err(IdentityFault::Ambiguous);
    }
    let system = rule.system.clone().unwrap_or_else(|| system_of(&authority));
    Ok(PatientKey { system, value })
}

/// Value and authority of a repetition that matches the rule. The authority is the namespace (CX.4.1),
/// or the universal id (CX.4.2) where only that is given.
fn matching(repetition: Field<'_>, rule: &PatientRule) -> Option<(String, String)> {
    let value = repetition.component(1).text();
    let named = repetition.component(4);
    let authority = match named.subcomponent(1).text() {
        namespace if namespace.is_empty() => named.subcomponent(2).text(),
        namespace => namespace,
    };
    let fits = !value.is_empty()
        && repetition.component(5).text() == rule.kind.as_str()
        && rule.authority.as_ref().is_none_or(|wanted| authority == wanted.as_str());
    fits.then(|| (value.into_owned(), authority.into_owned()))
}

/// The system of an authority: its name with what a URN may not hold (RFC 8141 section 2) as `-`. `%`
/// and `/` count among that, so that the name is one segment and never reads as an encoded one.
fn system_of(authority: &str) -> String {
    let name = if authority.is_empty() { UNASSIGNED } else { authority };
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
    let name = name.chars().map(|c| if safe(c) { c } else { '-' });
    AUTHORITY_PREFIX.chars().chain(name).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::segment::segments, *};

    fn patient_of(pid3: &str, rule: &PatientRule) -> Result<(String, String), IdentityFault> {
        let message = format!("MSH|^~\\&|\rPID|1||{pid3}\r");
        let pid = segments(&message).unwrap().nth(1).unwrap();
        patient(&pid, rule).map(|key| (key.system, key.value))
    }

    fn north() -> PatientRule {
        PatientRule { authority: Some("NORTH".into()), ..PatientRule::default() }
    }

    #[test]
    fn the_one_matching_repetition_names_the_patient() {
        for (pid3, system, value) in [
            ("123^^^NORTH^MR", "urn:isthmus:authority:NORTH", "123"),
            ("123^^^NORTH&1.2.3&ISO^MR", "urn:isthmus:authority:NORTH", "123"),
            ("9^^^NORTH^AN~123^^^NORTH^MR~8^^^SSA^SS", "urn:isthmus:authority:NORTH", "123"),
            ("123^^^NORTH^MR~123^^^NORTH^MR", "urn:isthmus:authority:NORTH", "123"),
            (r"1\T\2^^^NORTH^MR", "urn:isthmus:authority:NORTH", "1&2"),
            ("123^^^^MR", "urn:isthmus:authority:unassigned", "123"),
            ("123^^^&1.2.3&ISO^MR", "urn:isthmus:authority:1.2.3", "123"),
            ("123^^^North Wing/é%41^MR", "urn:isthmus:authority:North-Wing---41", "123"),
        ] {
            assert_eq!(
                patient_of(pid3, &PatientRule::default()),
                Ok((system.to_owned(), value.to_owned())),
                "{pid3}"
            );
        }
    }

    #[test]
    fn none_or_several_matching_repetitions_name_nobody() {
        for (pid3, rule, fault) in [
            ("", PatientRule::default(), IdentityFault::NoMatch),
            ("123", PatientRule::default(), IdentityFault::NoMatch),
            ("123^^^NORTH^AN", PatientRule::default(), IdentityFault::NoMatch),
            ("^^^NORTH^MR", PatientRule::default(), IdentityFault::NoMatch),
            ("\"\"^^^NORTH^MR", PatientRule::default(), IdentityFault::NoMatch),
            ("1^^^NORTH^MR~2^^^NORTH^MR", PatientRule::default(), IdentityFault::Ambiguous),
            ("1^^^NORTH^MR~1^^^SOUTH^MR", PatientRule::default(), IdentityFault::Ambiguous),
            ("1^^^SOUTH^MR", north(), IdentityFault::NoMatch),
            ("1^^^^MR", north(), IdentityFault::NoMatch),
        ] {
            assert_eq!(patient_of(pid3, &rule), Err(fault), "{pid3}");
        }
    }

    #[test]
    fn an_authority_and_a_system_of_the_rule_are_honoured() {
        assert_eq!(patient_of("1^^^SOUTH^MR~2^^^NORTH^MR", &north()).unwrap().1, "2");
        let rule = PatientRule { system: Some("urn:oid:1.2.3".into()), kind: "PI".into(), ..north() };
        assert_eq!(patient_of("1^^^NORTH^MR~2^^^NORTH^PI", &rule), Ok(("urn:oid:1.2.3".into(), "2".into())));
    }
}

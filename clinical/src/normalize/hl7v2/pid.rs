//! The patient of a PID segment: the one repetition of PID-3 that the site's rule selects.
//!
//! Beside it stand the other repetitions, and PID-2 and PID-4 where a message still uses them.
//! Repetitions are the same identifier where value and authority are equal, so that a number given twice
//! counts once, and the same number of two authorities is two patients.

use std::collections::BTreeSet;

use super::{field::Field, segment::Segment};
use crate::{
    birth_date::BirthDate,
    identity::{Details, Identifier, IdentityFault, Name, PatientKey, PatientRule, Stated},
};

/// Prefix of the system made from an authority's name.
const AUTHORITY_PREFIX: &str = "urn:isthmus:authority:";
/// The system of identifiers that name no authority; no authority can have it.
const NO_AUTHORITY: &str = "urn:isthmus:no-authority";
/// Most identifiers of one person in one segment: no registration gives half as many. Each costs a few statements of
/// the store, and some events each of them with each.
pub const IDENTIFIERS_MOST: usize = 64;

/// The patient that the rule selects. Errs where no identifier, or several different ones, match.
pub(super) fn patient(pid: &Segment<'_>, rule: &PatientRule) -> Result<PatientKey, IdentityFault> {
    select(&identifiers([pid.field(3)])?, rule)
}

/// The one identifier among these that the rule selects.
pub(super) fn select(
    identifiers: &BTreeSet<Identifier>,
    rule: &PatientRule,
) -> Result<PatientKey, IdentityFault> {
    let mut matching = identifiers.iter().filter(|identifier| fits(identifier, rule));
    if matching.clone().any(is_garbled) {
        return Err(IdentityFault::Garbled);
    }
    let one = matching.next().ok_or(IdentityFault::NoMatch)?;
    if matching.next().is_some() { Err(IdentityFault::Ambiguous) } else { Ok(key_of(one, rule)) }
}

/// What an identifier is at a site: one that names its patients, or another.
pub(super) fn name(identifier: &Identifier, rule: &PatientRule) -> Name {
    match fits(identifier, rule) {
        true => Name::Patient(key_of(identifier, rule)),
        false => Name::Other(identifier.clone()),
    }
}

/// The identifiers among these that the rule does not select.
pub(super) fn others(identifiers: &BTreeSet<Identifier>, rule: &PatientRule) -> Vec<Identifier> {
    identifiers
        .iter()
        .filter(|identifier| !fits(identifier, rule) && !is_garbled(identifier))
        .cloned()
        .collect()
}

/// Whether some of it could not be decoded. Two patients' identifiers may look alike then, so it names nobody.
fn is_garbled(identifier: &Identifier) -> bool {
    identifier.value.contains(char::REPLACEMENT_CHARACTER)
}

/// Every identifier (CX) in these fields that has a value, once each. The authority is the namespace (CX.4.1),
/// or the universal id (CX.4.2) where only that is given. Errs where the fields together repeat more often than
/// [`IDENTIFIERS_MOST`].
pub(super) fn identifiers<'a>(
    fields: impl IntoIterator<Item = Field<'a>>,
) -> Result<BTreeSet<Identifier>, IdentityFault> {
    let read = |repetition: Field<'a>| {
        let value = repetition.component(1).text();
        let named = repetition.component(4);
        let authority = match named.subcomponent(1).text() {
            namespace if namespace.is_empty() => named.subcomponent(2).text(),
            namespace => namespace,
        };
        let kind = repetition.component(5).text();
        // An escape may have been a blank.
        let [authority, kind, value] = [authority, kind, value].map(|text| text.trim().to_owned());
        (!value.is_empty()).then_some(Identifier { authority, kind, value })
    };
    let stated = fields.into_iter().filter(|field| !field.is_empty());
    let mut repetitions = stated.flat_map(Field::repetitions);
    let found = repetitions.by_ref().take(IDENTIFIERS_MOST).filter_map(read).collect();
    if repetitions.next().is_some() { Err(IdentityFault::TooMany) } else { Ok(found) }
}

fn fits(identifier: &Identifier, rule: &PatientRule) -> bool {
    identifier.kind == rule.kind
        && rule.authority.as_ref().is_none_or(|wanted| identifier.authority == *wanted)
}

fn key_of(identifier: &Identifier, rule: &PatientRule) -> PatientKey {
    let system = rule.system.clone().unwrap_or_else(|| system_of(&identifier.authority));
    PatientKey { system, value: identifier.value.clone() }
}

/// PID-7, where it is a date.
pub(super) fn birth_date(pid: &Segment<'_>) -> Option<BirthDate> {
    BirthDate::parse(&pid.field(7).component(1).text())
}

/// Name, birth date and death as the segment states them.
pub(super) fn details(pid: &Segment<'_>) -> Details {
    let birth_date = birth_date(pid).map_or_else(|| unless_null(pid.field(7)), Stated::Value);
    let name = person_name(pid.field(5)).map_or_else(|| unless_null(pid.field(5)), Stated::Value);
    let died = BirthDate::parse(&pid.field(29).component(1).text()).map(|date| date.digits().to_owned());
    let death = match (died, pid.field(30).text().as_ref()) {
        (Some(date), _) => Stated::Value(date),
        (None, "Y") => Stated::Value("Y".to_owned()),
        (None, "N") => Stated::Withdrawn,
        (None, _) => unless_null(pid.field(30)),
    };
    Details { name, birth_date, death }
}

/// What a field without a value says: that nothing is known, or that what was known is so no more.
fn unless_null<T>(field: Field<'_>) -> Stated<T> {
    if field.is_null() { Stated::Withdrawn } else { Stated::Unstated }
}

/// `family, given second`: the legal name (XPN.7 of L) where one is marked so, else the first.
fn person_name(field: Field<'_>) -> Option<String> {
    let legal = field.repetitions().find(|name| name.component(7).text() == "L");
    let name = legal.unwrap_or_else(|| field.first());
    let family = name.component(1).subcomponent(1).text();
    let given: Vec<_> =
        [2, 3].map(|at| name.component(at).text()).into_iter().filter(|it| !it.is_empty()).collect();
    let given = given.join(" ");
    match (family.is_empty(), given.is_empty()) {
        (true, true) => None,
        (false, true) => Some(family.into_owned()),
        (true, false) => Some(given),
        (false, false) => Some(format!("{family}, {given}")),
    }
}

impl PatientRule {
    /// The system of every patient that the rule selects, where the rule alone says it; `None` where that is made of
    /// each message's authority.
    pub fn one_system(&self) -> Option<String> {
        let of_authority = || self.authority.as_deref().map(system_of);
        self.system.clone().or_else(of_authority)
    }
}

/// The system of an authority: its name, with what a URN may not hold as it stands (RFC 8141 section 2), `%` and `/`
/// percent-encoded, so that two authorities never share a system.
fn system_of(authority: &str) -> String {
    if authority.is_empty() {
        return NO_AUTHORITY.to_owned();
    }
    let mut system = AUTHORITY_PREFIX.to_owned();
    for byte in authority.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            system.push(char::from(byte));
        } else {
            system.push_str(&format!("%{byte:02X}"));
        }
    }
    system
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
            (r"123\X20\^^^\X20\NORTH^MR", "urn:isthmus:authority:NORTH", "123"),
            (r"1\T\2^^^NORTH^MR", "urn:isthmus:authority:NORTH", "1&2"),
            ("123^^^^MR", "urn:isthmus:no-authority", "123"),
            ("123^^^&1.2.3&ISO^MR", "urn:isthmus:authority:1.2.3", "123"),
            ("123^^^North Wing/é%41^MR", "urn:isthmus:authority:North%20Wing%2F%C3%A9%2541", "123"),
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
            ("7\u{FFFD}1^^^NORTH^MR", PatientRule::default(), IdentityFault::Garbled),
            ("1^^^NORTH^MR~7\u{FFFD}1^^^NORTH^MR", PatientRule::default(), IdentityFault::Garbled),
            ("1^^^NORTH^MR~2^^^NORTH^MR", PatientRule::default(), IdentityFault::Ambiguous),
            ("1^^^NORTH^MR~1^^^SOUTH^MR", PatientRule::default(), IdentityFault::Ambiguous),
            ("1^^^SOUTH^MR", north(), IdentityFault::NoMatch),
            ("1^^^^MR", north(), IdentityFault::NoMatch),
            (&"1^^^NORTH^MR~".repeat(IDENTIFIERS_MOST), north(), IdentityFault::TooMany),
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

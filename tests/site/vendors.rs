//! Sites at EHRs that play by their vendors' rules, and what stands there.

use serde_json::Value;
use standin::{
    Conduct, Person, Persona, RowMap,
    conduct::ENVIRONMENT,
    persona::FLOWSHEET_SYSTEM,
    rig::{Rig, RigSettings},
};

use super::{daily, edit_site, people, prepare, with_delivery};

/// The day that the tests' data are of.
pub const DAY: &str = "2026-03-02";
/// The system under which the rig's site knows its patients.
pub const SYSTEM: &str = "urn:oid:1.2.3";
/// The names of the rows in the configuration, and of the flowsheet rows in use that they are mapped to.
pub const ROWS: [(&str, &str); 13] = [
    ("period-start", "REPORTING_PERIOD_START_CGM"),
    ("period-end", "REPORTING_PERIOD_END_CGM"),
    ("sensor-active", "ACTIVE_WEAR_TIME_CGM"),
    ("days-of-wear", "DAYS_WITH_DATA_CGM"),
    ("mean", "AVERAGE_CGM"),
    ("time-very-low", "TIME_BELOW_RANGE_VERY_LOW_CGM"),
    ("time-low", "TIME_BELOW_RANGE_LOW_CGM"),
    ("time-in-target", "TIME_IN_RANGE_CGM"),
    ("time-high", "TIME_ABOVE_RANGE_HIGH_CGM"),
    ("time-very-high", "TIME_ABOVE_RANGE_VERY_HIGH_CGM"),
    ("gmi", "GLUCOSE_MANAGEMENT_INDICATOR"),
    ("cv", "COEFFICIENT_OF_VARIATION_CGM"),
    ("sd", "STANDARD_DEVIATION_CGM"),
];
/// An hour of patient `n` at 120, on [`DAY`].
pub fn hour(n: u32) -> Vec<u8> {
    people::hour(&format!("H{n}"), n, DAY, 120)
}

/// The patient `n` as the EHR has them.
pub fn charted(n: u32) -> Person {
    Person::new(SYSTEM, &people::person(n).mrn).born("1931-07-09")
}

pub fn conduct(persona: Persona, patients: u32) -> Conduct {
    Conduct { people: (0..patients).map(charted).collect(), ..Conduct::of(persona) }
}

/// A site with these `[[projection]]` tables, at an EHR that behaves so; patients are looked up unless told otherwise.
pub async fn prepared(
    dir: &std::path::Path,
    conduct: Conduct,
    subject: &str,
    forms: &str,
    main: &str,
) -> Rig {
    let settings = RigSettings {
        conduct,
        subject: subject.to_owned(),
        site_extra: forms.to_owned(),
        main_extra: main.to_owned(),
        ..daily()
    };
    let rig = prepare(dir, settings).await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    with_delivery(&rig, "retry_min = \"50ms\"\nretry_max = \"200ms\"\ntimeout = \"2s\"");
    rig
}

/// The flowsheet with every row mapped, as the EHR has them.
pub fn flowsheet() -> String {
    let map = RowMap::encoded(ENVIRONMENT);
    let rows = ROWS
        .map(|(row, name)| format!("{{ row = \"{row}\", code = \"{}\" }}", map.coding_of(name).unwrap().1));
    format!(
        "[[projection]]\nname = \"epic-flowsheet\"\nsystem = \"{FLOWSHEET_SYSTEM}\"\nwindow = \"1d\"\nrows = [{}]\n",
        rows.join(", ")
    )
}

/// Later data of the patient's day.
pub fn late(id: &str, n: u32, value: u32) -> Vec<u8> {
    people::message(id, &people::person(n), &people::readings(people::day(DAY), 200, &[value; 12]))
}

/// Everything of a type that stands.
pub fn standing(rig: &Rig, kind: &str) -> Vec<Value> {
    rig.ehr.resources().into_iter().filter(|one| one["resourceType"] == kind).collect()
}

/// The results of a type that are about this patient.
pub fn of_patient(rig: &Rig, kind: &str, patient: &str) -> Vec<Value> {
    let about = format!("Patient/{patient}");
    standing(rig, kind).into_iter().filter(|one| one["subject"]["reference"] == about.as_str()).collect()
}

/// The one of these with this code.
pub fn coded<'a>(all: &'a [Value], code: &str) -> &'a Value {
    let mut found = all.iter().filter(|one| one["code"]["coding"][0]["code"] == code);
    let one = found.next().unwrap_or_else(|| panic!("no {code} in {all:#?}"));
    assert!(found.next().is_none(), "{code} stands twice: {all:#?}");
    one
}

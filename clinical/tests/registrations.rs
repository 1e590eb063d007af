//! Public ADT messages beside the repository, where they are: each registers the one person it is about.

#![allow(clippy::unwrap_used, reason = "a test stops where a file cannot be read")]
#![allow(clippy::print_stdout, reason = "says that it was skipped")]

use std::path::Path;

use clinical::{
    identity::{PatientRule, Stated},
    normalize::{
        clock::Zone,
        hl7v2::adt::{Change, adt},
    },
};

#[test]
fn every_public_registration_gives_its_patient_a_number_a_name_and_a_birth_date() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["../../shared/data/hl7", "../../../shared/data/hl7"].map(|folder| here.join(folder));
    let Some(Ok(entries)) = folders.iter().find(|folder| folder.is_dir()).map(std::fs::read_dir) else {
        println!("skipped: no ../shared/data");
        return;
    };
    let zone = Zone::named("Etc/UTC").unwrap();
    let mut read = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.contains("_ADT_A") || !name.starts_with("simhosp") {
            continue;
        }
        let rule = PatientRule { kind: "MRN".into(), ..PatientRule::default() };
        let told = adt(&std::fs::read_to_string(&path).unwrap(), &rule, &zone);
        assert!(told.faults.is_empty() && told.said_at.is_some(), "{name}: {:?}", told.faults);
        let [Change::Register(person)] = told.changes.as_slice() else { panic!("{name}: no registration") };
        assert!(matches!(person.details.birth_date, Stated::Value(_)), "{name}: no birth date");
        assert!(matches!(person.details.name, Stated::Value(_)), "{name}: no name");
        read += 1;
    }
    println!("{read} registrations");
    assert!(read > 0, "the folder is there and holds no registration");
}

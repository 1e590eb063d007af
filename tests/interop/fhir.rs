//! The golden FHIR of `clinical/tests/golden`, judged by @medplum/core, pyrofile-validator with the profiles of the CGM
//! guide, fhir.resources (R5), and HAPI's validator with the same profiles.
//!
//! Each judge is first shown resources with a planted fault, which it must find: a judge that finds nothing at all proves
//! nothing. What one of them gets wrong stands in `Judge::mistaken`, with the reason.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::peers::{Kind, Peers};

/// The golden files and their release.
const FILES: [(&str, &str); 16] = [
    ("submission-r4.json", "r4"),
    ("molar-r4.json", "r4"),
    ("withheld-r4.json", "r4"),
    ("singles-r4.json", "r4"),
    ("code-system.json", "r4"),
    ("submission-r5.json", "r5"),
    ("singles-r5.json", "r5"),
    ("code-system.json", "r5"),
    ("plain-r4.json", "r4"),
    ("plain-r5.json", "r5"),
    ("epic-flowsheet.json", "r4"),
    ("epic-note.json", "r4"),
    ("millennium-lab.json", "r4"),
    ("millennium-document.json", "r4"),
    ("upstream-summary.json", "r4"),
    ("upstream-summary-months.json", "r4"),
];

fn golden(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clinical/tests/golden");
    serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// One of the judges.
struct Judge {
    kind: Kind,
    script: &'static str,
    releases: &'static [&'static str],
    /// Whether it knows the profiles of the guide.
    profiles: bool,
    /// Complaints that are its own mistakes: a golden file, part of the complaint, and how often.
    mistaken: &'static [(&'static str, &'static str, usize)],
}

impl Judge {
    /// The errors that it finds in each.
    fn judge(&self, peers: &Peers, args: &[String], cases: &[(&str, Value)]) -> Vec<Vec<String>> {
        let input: String = cases
            .iter()
            .map(|(release, resource)| format!("{}\n", json!({ "release": release, "resource": resource })))
            .collect();
        let judged = peers.run(self.script, args, &input);
        assert_eq!(judged.len(), cases.len());
        let told = |json: &Value| -> Vec<String> { serde_json::from_value(json["errors"].clone()).unwrap() };
        judged.iter().map(told).collect()
    }

    /// The faults that it must find: what was done, and the resource.
    fn planted(&self) -> Vec<(&'static str, &'static str, Value)> {
        let observation = |file: &str, n: usize| golden(file)["entry"][n]["resource"].clone();
        let mut planted = Vec::new();
        for release in self.releases {
            let file = if *release == "r4" { "submission-r4.json" } else { "submission-r5.json" };
            let mut unknown = observation(file, 1);
            unknown["colour"] = "red".into();
            planted.push(("an unknown element", *release, unknown));
            let mut without = observation(file, 1);
            without.as_object_mut().unwrap().remove("status");
            planted.push(("no status", *release, without));
        }
        if self.releases.contains(&"r4") {
            let mut row = observation("epic-flowsheet.json", 0);
            row["effectiveDateTime"] = "15 March".into();
            planted.push(("a time that is none", "r4", row));
            let mut note = observation("epic-note.json", 0);
            note["context"]["colour"] = "red".into();
            planted.push(("an unknown element of a document", "r4", note));
        }
        if self.releases.contains(&"r5") {
            let provenance =
                golden("submission-r4.json")["entry"].as_array().unwrap().last().unwrap().clone();
            planted.push(("a Provenance of R4 as one of R5", "r5", provenance["resource"].clone()));
        }
        if self.profiles {
            let mut unit = observation("submission-r4.json", 1);
            unit["valueQuantity"]["unit"] = "mg/dL".into();
            planted.push(("another unit text than the guide's", "r4", unit));
            let mut withheld = observation("submission-r4.json", 3);
            withheld.as_object_mut().unwrap().remove("valueQuantity");
            planted.push(("a GMI that claims its profile without a value", "r4", withheld));
            let mut period = observation("submission-r4.json", 2);
            period["effectivePeriod"].as_object_mut().unwrap().remove("end");
            planted.push(("a period without an end", "r4", period));
        }
        planted
    }

    /// Judges all, or says that it was skipped.
    fn sit(&self, args: &[String]) {
        let Some(peers) = Peers::of(self.kind) else { return };
        let planted = self.planted();
        let files: Vec<_> =
            FILES.into_iter().filter(|(_, release)| self.releases.contains(release)).collect();
        let cases: Vec<(&str, Value)> = planted
            .iter()
            .map(|(_, release, resource)| (*release, resource.clone()))
            .chain(files.iter().map(|(name, release)| (*release, golden(name))))
            .collect();
        let mut found = self.judge(&peers, args, &cases);
        let of_files = found.split_off(planted.len());
        for ((what, release, _), errors) in planted.iter().zip(found) {
            assert!(!errors.is_empty(), "{:?} has not found {what} ({release})", self.kind);
        }
        for ((name, release), mut errors) in files.iter().zip(of_files) {
            for (file, complaint, times) in self.mistaken.iter().filter(|(file, ..)| file == name) {
                let before = errors.len();
                errors.retain(|error| !error.contains(complaint));
                assert_eq!(before - errors.len(), *times, "{file}: {complaint} is no longer complained of");
            }
            assert!(errors.is_empty(), "{:?} of {name} ({release}): {errors:#?}", self.kind);
        }
        println!(
            "{} golden files judged by {:?}, {} planted faults found",
            files.len(),
            self.kind,
            planted.len()
        );
    }
}

#[test]
fn the_golden_resources_are_sound_to_medplum() {
    let judge = Judge {
        kind: Kind::Medplum,
        script: "judge_medplum.mjs",
        releases: &["r4"],
        profiles: false,
        mistaken: &[],
    };
    judge.sit(&[]);
}

#[test]
fn the_golden_resources_keep_to_the_guide_by_pyrofile_and_r5_ones_to_fhir_resources() {
    let judge = Judge {
        kind: Kind::Pyrofile,
        script: "judge_pyrofile.py",
        releases: &["r4", "r5"],
        profiles: true,
        // A retracted reading has no value (0..1 in the guide); it asks for the pattern of the value all the same.
        mistaken: &[("singles-r4.json", "Profile pattern mismatch for Observation.value[x]", 2)],
    };
    judge.sit(&[]);
}

#[test]
fn the_golden_resources_keep_to_the_guide_by_hapi() {
    let judge = Judge {
        kind: Kind::Hapi,
        script: "hapi/Judge.java",
        releases: &["r4"],
        profiles: true,
        mistaken: &[],
    };
    // Its profiles come from the same table as those of the other judge.
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/cgm_profiles.py");
    let made = std::process::Command::new("python3").arg("-B").arg(table).output();
    let Some(made) = made.ok().filter(|made| made.status.success()) else {
        println!("skipped: python3 makes the profiles for HAPI");
        return;
    };
    let profiles = tempfile::NamedTempFile::new().unwrap();
    fs::write(profiles.path(), made.stdout).unwrap();
    judge.sit(&[profiles.path().display().to_string()]);
}

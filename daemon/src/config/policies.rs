//! `policies.d/*.toml`: a hospital's own policies and tables of sensors, beside those that are built in.
//!
//! Invariants: each names a built-in file as its base, or is whole; its id is nobody else's, so that a name in an
//! outcome means one file; a fault of any of them is a fault of the configuration. What the values mean is read in
//! `clinical/`; here are files, names and lines. The folder may be absent. A fault is told once: who names a file that
//! has one is not told that there is no such file. Bounds: 256 files, [`Sheet::MAX_TEXT_BYTES`] each.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use clinical::{
    device::Devices,
    policy::{self, Policy, Sheet, SheetFault},
    quantity::Quantity,
};

use super::{
    bundle::Bundle,
    fault::{Fault, Faults},
    load::{open_at_most, toml_files},
    section::Findings,
    spelling::nearest,
};

/// The folder of these files, beside `isthmus.toml`.
pub const POLICIES_FOLDER: &str = "policies.d";
/// The most files in it: a policy for every site, and none by mistake.
const MAX_POLICY_FILES: usize = 256;
/// The quantity of the policies that sites can use.
const GLUCOSE: &str = "glucose";

/// Every policy and table of sensors that there is: the built-in ones and the hospital's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// The hospital's own files, by id.
    own: BTreeMap<String, (PathBuf, Sheet)>,
    policies: BTreeMap<String, Arc<Policy>>,
    devices: BTreeMap<String, Arc<Devices>>,
    /// The ids of files whose faults are told.
    faulty: BTreeSet<String>,
}

impl Policies {
    /// A policy about glucose by its id, the hospital's own or a built-in one.
    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.get(id).map(Arc::as_ref).or_else(|| Policy::named(id))
    }

    /// Whether the file of that id has faults that are told already.
    pub(super) fn is_faulty(&self, id: &str) -> bool {
        self.faulty.contains(id)
    }

    /// All policies about glucose, the built-in ones first.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        Policy::built_in().iter().chain(self.policies.values().map(Arc::as_ref))
    }

    /// All tables of sensors, the built-in one first.
    pub fn devices(&self) -> impl Iterator<Item = Arc<Devices>> {
        std::iter::once(Devices::built_in()).chain(self.devices.values().cloned())
    }

    /// All files about quantities that no site publishes yet, the built-in ones first.
    pub fn quantities(&self) -> impl Iterator<Item = &Sheet> {
        let own = self.own.values().map(|(_, sheet)| sheet).filter(|sheet| sheet.quantity != GLUCOSE);
        policy::quantities().iter().chain(own)
    }

    /// Where a file of the hospital's own is.
    pub fn file(&self, id: &str) -> Option<&Path> {
        self.own.get(id).map(|(path, _)| path.as_path())
    }
}

/// Reads the policies beside `isthmus.toml` at `main_path`, and nothing else.
///
/// # Errors
/// Every fault of every file at once.
pub fn load_policies(main_path: &Path) -> Result<Policies, Faults> {
    let findings = Findings::default();
    let policies = read_policies(main_path, None, &findings);
    let (faults, ..) = findings.into_parts();
    if faults.is_empty() { Ok(policies) } else { Err(Faults::new(faults)) }
}

/// Reads the folder, and the policies of a bundle. What is faulty is noted and left out.
pub(super) fn read_policies(main_path: &Path, bundle: Option<&Bundle>, findings: &Findings) -> Policies {
    let mut found = read_folder(main_path, findings);
    for (id, text) in bundle.iter().flat_map(|bundle| &bundle.policies) {
        let path = PathBuf::from(format!("{POLICIES_FOLDER} of the bundle/{id}.toml"));
        match read_text(&path, text, findings) {
            Ok(sheet) if sheet.id == *id => take_id(path, sheet, &mut found, findings),
            Ok(sheet) => {
                let what = format!("`id` = \"{}\" is not the id that the bundle names: \"{id}\"", sheet.id);
                findings.note(Fault::new(&path, sheet.id_line, what, "write the same id in both places"));
            }
            Err(id) => found.faulty.extend(id),
        }
    }
    understand(&mut found, findings);
    found
}

fn read_folder(main_path: &Path, findings: &Findings) -> Policies {
    let folder = main_path.parent().unwrap_or(Path::new("")).join(POLICIES_FOLDER);
    if !folder.exists() {
        return Policies::default();
    }
    let paths = match toml_files(&folder) {
        Ok(paths) => paths,
        Err(error) => {
            let what = format!("the policies in {} cannot be listed ({error})", folder.display());
            findings.note(Fault::new(main_path, 1, what, "give this user the right to read that folder"));
            return Policies::default();
        }
    };
    if paths.len() > MAX_POLICY_FILES {
        let what = format!("{} policies in {}", paths.len(), folder.display());
        findings.note(Fault::new(main_path, 1, what, format!("keep at most {MAX_POLICY_FILES}")));
    }
    let mut found = Policies::default();
    for path in paths.into_iter().take(MAX_POLICY_FILES) {
        match read_sheet(&path, findings) {
            Ok(sheet) => take_id(path, sheet, &mut found, findings),
            Err(id) => found.faulty.extend(id),
        }
    }
    found
}

/// Reads a file; where faults were noted, its id as far as it states one.
fn read_sheet(path: &Path, findings: &Findings) -> Result<Sheet, Option<String>> {
    let source = open_at_most(path, Sheet::MAX_TEXT_BYTES as u64, findings).ok_or(None)?;
    // UTF-8 was checked when the file was read.
    let text = str::from_utf8(source.bytes()).map_err(|_| None)?;
    read_text(path, text, findings)
}

fn read_text(path: &Path, text: &str, findings: &Findings) -> Result<Sheet, Option<String>> {
    let table = Devices::built_in();
    let base = |id: &str| if id == table.sheet().id { Some(table.sheet()) } else { policy::sheet_named(id) };
    Sheet::parse(text, base).map_err(|faults| {
        note(path, faults, findings);
        Sheet::stated_id(text)
    })
}

fn note(path: &Path, faults: Vec<SheetFault>, findings: &Findings) {
    for fault in faults {
        findings.note(Fault::new(path, fault.line, fault.what, fault.instead));
    }
}

fn take_id(path: PathBuf, sheet: Sheet, found: &mut Policies, findings: &Findings) {
    let built_in = policy::sheet_named(&sheet.id).is_some() || sheet.id == Devices::built_in().sheet().id;
    let other = found.own.get(&sheet.id).map(|(path, _)| path.display().to_string());
    let other = other.or_else(|| built_in.then(|| "the built-in files".to_owned()));
    match other {
        Some(other) => findings.note(Fault::new(
            &path,
            sheet.id_line,
            format!("`id` = \"{}\" is an id in {other} too", sheet.id),
            "give the file an id of its own, and name what it changes as its base",
        )),
        None => drop(found.own.insert(sheet.id.clone(), (path, sheet))),
    }
}

/// Reads what the values mean: tables of sensors first, because policies name them.
fn understand(found: &mut Policies, findings: &Findings) {
    let Policies { own, policies, devices, faulty } = found;
    let table_base = format!("{}/", Devices::built_in().sheet().id);
    let is_table = |sheet: &Sheet| sheet.base.as_ref().is_some_and(|base| base.starts_with(&table_base));
    for (id, (path, sheet)) in own.iter().filter(|(_, (_, sheet))| is_table(sheet)) {
        match Devices::from_sheet(sheet) {
            Ok(table) => drop(devices.insert(id.clone(), Arc::new(table))),
            Err(faults) => {
                note(path, faults, findings);
                faulty.insert(id.clone());
            }
        }
    }
    for (id, (path, sheet)) in own.iter().filter(|(_, (_, sheet))| !is_table(sheet)) {
        if sheet.quantity != GLUCOSE {
            if let Err(faults) = Quantity::from_sheet(sheet) {
                note(path, faults, findings);
                faulty.insert(id.clone());
            }
            continue;
        }
        // A policy is read under the built-in table where its own has faults: for the faults of the policy.
        let (table, good) = match named_table(path, sheet, devices, faulty, findings) {
            Some(table) => (table, true),
            None => (Devices::built_in(), false),
        };
        match Policy::from_sheet(sheet, table) {
            Ok(policy) if good => drop(policies.insert(id.clone(), Arc::new(policy))),
            Ok(_) => drop(faulty.insert(id.clone())),
            Err(faults) => {
                note(path, faults, findings);
                faulty.insert(id.clone());
            }
        }
    }
}

/// The table of sensors that a policy names, or the built-in one; `None` where a fault was noted.
fn named_table(
    path: &Path,
    sheet: &Sheet,
    tables: &BTreeMap<String, Arc<Devices>>,
    faulty: &BTreeSet<String>,
    findings: &Findings,
) -> Option<Arc<Devices>> {
    let built_in = Devices::built_in();
    let Some(name) = sheet.devices.as_deref().filter(|name| *name != built_in.sheet().id) else {
        return Some(built_in);
    };
    if let Some(table) = tables.get(name) {
        return Some(Arc::clone(table));
    }
    if faulty.contains(name) {
        return None;
    }
    let instead = match nearest(name, tables.keys().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write a file with id = \"{name}\" and base = \"sensors\", or remove the key"),
    };
    let what = format!("`devices` = \"{name}\" names no table of sensors in {POLICIES_FOLDER}");
    findings.note(Fault::new(path, sheet.devices_line, what, instead));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Policies, Faults>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(POLICIES_FOLDER)).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(POLICIES_FOLDER).join(name), text).unwrap();
        }
        let read = load_policies(&dir.path().join("isthmus.toml"));
        (dir, read)
    }

    const SENSORS: &str = "id = \"our-sensors\"\nversion = 1\ntitle = \"Ours\"\nbase = \"sensors\"\n\
                           [libre-2.interval]\nminutes = [5]\nsource = \"our exports\"\n";
    const ADULTS: &str =
        "id = \"adults\"\nversion = 1\ntitle = \"Adults\"\nbase = \"standard\"\ndevices = \"our-sensors\"\n";

    #[test]
    fn the_example_of_the_manual_is_good() {
        let manual = include_str!("../../../docs/policies.md");
        let example = manual.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let (_dir, read) = folder(&[("north.toml", example)]);
        let policies = read.unwrap();
        let policy = policies.policy("north-adults").unwrap();
        assert_eq!(policy.thresholds.high_above.value.mg_dl.to_string(), "185");
        assert_eq!(
            (policies.policies().count(), policies.policy("nobody")),
            (Policy::built_in().len() + 1, None)
        );
    }

    #[test]
    fn a_policy_takes_up_a_table_of_sensors_whose_file_comes_after_it() {
        let (_dir, read) = folder(&[("a.toml", ADULTS), ("b.toml", SENSORS)]);
        let policies = read.unwrap();
        let adults = policies.policy("adults").unwrap();
        assert_eq!(adults.devices.sheet().id, "our-sensors");
        let (_dir, read) = folder(&[("a.toml", &ADULTS.replace("devices = \"our-sensors\"\n", ""))]);
        let without = read.unwrap().policy("adults").unwrap().mark();
        assert_ne!(adults.mark().sha256, without.sha256, "the table decides numbers, so it is hashed too");
    }

    #[test]
    fn every_fault_of_every_file_is_told_in_one_run() {
        let lost = ADULTS.replace("our-sensors", "our-sensor");
        let (_dir, read) = folder(&[
            ("a.toml", lost.as_str()),
            ("b.toml", SENSORS),
            ("c.toml", SENSORS),
            ("d.toml", "id = \"x\"\n"),
            (".hidden.toml", "nonsense"),
            ("notes.txt", "nonsense"),
        ]);
        let told = read.unwrap_err().to_string();
        for part in
            ["a.toml:5: ", "did you mean \"our-sensors\"?", "c.toml:1: `id` = \"our-sensors\"", "d.toml:1: "]
        {
            assert!(told.contains(part), "{part}\n{told}");
        }
        assert!(!told.contains("hidden") && !told.contains("notes"));
        let broken_table = SENSORS.replace("[5]", "[500]");
        let (_dir, read) = folder(&[("b.toml", &broken_table)]);
        assert!(read.unwrap_err().to_string().contains("b.toml:6: `libre-2.interval` minutes"));
    }
    #[test]
    fn a_fault_of_a_table_of_sensors_is_told_once_and_not_of_the_policies_that_name_it() {
        for (broken, line) in [
            (SENSORS.replace("[5]", "[500]"), "b.toml:6: `libre-2.interval` minutes"),
            (SENSORS.replace("version = 1", "version = 0"), "b.toml:2: `version`"),
            (SENSORS.replace("version = 1", "version = = 1"), "b.toml:2: not TOML"),
        ] {
            let (_dir, read) = folder(&[("a.toml", ADULTS), ("b.toml", &broken)]);
            let faults = read.unwrap_err();
            assert!(faults.as_slice().len() == 1 && faults.to_string().contains(line), "{faults}");
            // The policy's own faults are told in the same run.
            let faulty = format!("{ADULTS}[goals.very-high]\nbelow_pct = 160\nsource = \"a\"\n");
            let (_dir, read) = folder(&[("a.toml", &faulty), ("b.toml", &broken)]);
            let faults = read.unwrap_err();
            assert!(faults.as_slice().len() == 2 && faults.to_string().contains("a.toml:7: "), "{faults}");
        }
    }

    #[test]
    fn a_file_may_be_as_large_as_a_sheet_and_no_larger() {
        let filled = |bytes: usize| format!("{SENSORS}#{}", "x".repeat(bytes - SENSORS.len() - 1));
        let (_dir, read) = folder(&[("b.toml", &filled(Sheet::MAX_TEXT_BYTES))]);
        assert!(read.is_ok());
        let (_dir, read) = folder(&[("b.toml", &filled(Sheet::MAX_TEXT_BYTES + 1))]);
        let told = read.unwrap_err().to_string();
        assert!(told.contains("b.toml:1: this file is larger than the 256 KiB"), "{told}");
    }
}

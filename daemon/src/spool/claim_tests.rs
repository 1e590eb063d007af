use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

struct Drop {
    _dir: tempfile::TempDir,
    folder: Folder,
}

fn drop_folder() -> Drop {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(&dir.path().join("drop"), None).unwrap();
    Drop { _dir: dir, folder }
}

impl Drop {
    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.root().join(name), text).unwrap();
    }

    /// As a scan that found everything whole would hand it over.
    fn whole(&self, name: &str) -> Whole {
        let seen = seen(&fs::symlink_metadata(self.folder.root().join(name)).unwrap()).unwrap();
        let beside = name::sidecar(OsStr::new(name));
        let sidecars = if self.folder.root().join(&beside).exists() { vec![beside] } else { Vec::new() };
        let class = Class::of(OsStr::new(name)).unwrap();
        Whole { name: name.into(), class, seen, sidecars, unclear: false, waited: false }
    }

    fn claim(&self, name: &str, number: u64) -> Option<Claim> {
        match self.folder.claim(&self.whole(name), number).unwrap() {
            Taken::Claim(claim) => Some(claim),
            Taken::Later => None,
        }
    }

    fn names(&self, part: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.root().join(part)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// Folders in `work/`.
    fn in_work(&self) -> usize {
        fs::read_dir(self.folder.work()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count()
    }
}

#[test]
fn a_file_is_taken_with_its_sidecar_and_settled_with_its_letter() {
    let drop = drop_folder();
    drop.put("a.csv", "one");
    drop.put("a.csv.patient.json", "{}");
    let whole = drop.whole("a.csv");
    let claim = drop.claim("a.csv", 7).unwrap();
    assert!(drop.names("").is_empty());
    assert!(matches!(drop.folder.claim(&whole, 8).unwrap(), Taken::Later), "nobody takes it twice");
    assert_eq!((claim.read(9).unwrap(), claim.sidecar().unwrap()), (Bytes::from("one"), b"{}".to_vec()));
    drop.folder.settle(&claim, Place::Done, "taken").unwrap();
    assert_eq!(drop.names("done"), ["a.csv", "a.csv.patient.json", "a.csv.receipt.txt"]);
    assert_eq!(drop.in_work(), 0);
}

#[test]
fn each_end_of_a_process_while_it_read_a_file_is_counted_and_none_other() {
    let drop = drop_folder();
    drop.put("a.csv", "one");
    let claim = drop.claim("a.csv", 7).unwrap();
    for deaths in 0..=attempt::MOST_DEATHS {
        let again = drop.folder.recover().unwrap().pop().unwrap();
        assert_eq!(again.deaths, deaths);
        // Read in good order, and taken up again: no end.
        again.begin().unwrap();
        again.ended();
        assert_eq!(drop.folder.recover().unwrap().pop().unwrap().deaths, deaths);
        again.begin().unwrap();
    }
    assert!(drop.folder.put_back(&claim).unwrap());
    assert_eq!((drop.names(""), drop.in_work()), (vec!["a.csv".to_owned()], 0), "no mark is left");
    assert_eq!(drop.claim("a.csv", 8).unwrap().deaths, 0, "whoever moves it back has it read again");
}

#[test]
fn a_sidecar_that_cannot_be_read_or_is_too_long_is_one_all_the_same_and_is_not_lost() {
    let drop = drop_folder();
    drop.put("a.csv", "one");
    drop.put("a.csv.patient.json", &"x".repeat(SIDECAR_MAX_BYTES as usize + 9));
    let claim = drop.claim("a.csv", 1).unwrap();
    assert_eq!(claim.sidecar().unwrap().len() as u64, SIDECAR_MAX_BYTES + 1);
    drop.folder.settle(&claim, Place::Quarantine, "").unwrap();
    let kept = fs::metadata(drop.folder.quarantine().join("a.csv.patient.json")).unwrap();
    assert_eq!((kept.len(), drop.in_work()), (SIDECAR_MAX_BYTES + 9, 0));
    // What is no regular file cannot be read.
    fs::write(drop.folder.root().join("b.csv"), "two").unwrap();
    symlink("nowhere", drop.folder.root().join("b.csv.patient.json")).unwrap();
    let whole = Whole { sidecars: vec!["b.csv.patient.json".into()], ..drop.whole("b.csv") };
    let Taken::Claim(claim) = drop.folder.claim(&whole, 2).unwrap() else { panic!("it is there") };
    assert_eq!(claim.sidecar(), Some(Vec::new()));
}

#[test]
fn a_second_file_of_a_name_stands_beside_the_first() {
    let drop = drop_folder();
    for (number, text) in [(1, "one"), (2, "two")] {
        drop.put("a.hl7", text);
        let claim = drop.claim("a.hl7", number).unwrap();
        drop.folder.settle(&claim, Place::Quarantine, text).unwrap();
    }
    let names = drop.names("quarantine");
    assert_eq!(names, ["a.hl7", "a.hl7.reason.txt", "a.hl7~2", "a.hl7~2.reason.txt"]);
    assert_eq!(fs::read(drop.folder.quarantine().join("a.hl7~2")).unwrap(), b"two");
}

#[test]
fn what_changed_since_it_was_seen_or_became_a_link_is_not_taken() {
    let drop = drop_folder();
    drop.put("a.hl7", "one");
    let whole = drop.whole("a.hl7");
    drop.put("a.hl7", "one and more");
    assert!(matches!(drop.folder.claim(&whole, 1).unwrap(), Taken::Later));
    assert_eq!((drop.names(""), drop.in_work()), (vec!["a.hl7".to_owned()], 0));
    drop.put("secret", "x");
    fs::remove_file(drop.folder.root().join("a.hl7")).unwrap();
    symlink(drop.folder.root().join("secret"), drop.folder.root().join("a.hl7")).unwrap();
    assert!(matches!(drop.folder.claim(&whole, 2).unwrap(), Taken::Later));
    assert_eq!(drop.in_work(), 0);
}

#[test]
fn a_sidecar_that_came_after_the_scan_is_waited_for() {
    let drop = drop_folder();
    drop.put("a.csv", "one");
    let whole = drop.whole("a.csv");
    drop.put("a.csv.patient.json", "{}");
    assert!(matches!(drop.folder.claim(&whole, 1).unwrap(), Taken::Later));
    assert_eq!(drop.names("").len(), 2);
}

#[test]
fn a_sidecar_whose_file_never_came_is_set_aside_and_one_whose_file_is_there_is_not() {
    let drop = drop_folder();
    drop.put("a.csv.patient.json", "{}");
    drop.put("b.csv.patient.json", "{}");
    drop.put("b.csv", "two");
    assert!(drop.folder.set_aside(OsStr::new("a.csv.patient.json"), "why").unwrap());
    assert!(!drop.folder.set_aside(OsStr::new("b.csv.patient.json"), "why").unwrap());
    assert_eq!(drop.names("quarantine"), ["a.csv.patient.json", "a.csv.patient.json.reason.txt"]);
    assert_eq!(drop.names(""), ["b.csv", "b.csv.patient.json"]);
}

#[test]
fn a_file_is_not_put_back_over_another_of_its_name() {
    let drop = drop_folder();
    drop.put("a.hl7", "one");
    let claim = drop.claim("a.hl7", 1).unwrap();
    drop.put("a.hl7", "two");
    assert!(!drop.folder.put_back(&claim).unwrap());
    assert_eq!(claim.read(9).unwrap(), "one");
    fs::remove_file(drop.folder.root().join("a.hl7")).unwrap();
    assert!(drop.folder.put_back(&claim).unwrap());
    assert_eq!((drop.names(""), drop.in_work()), (vec!["a.hl7".to_owned()], 0));
}

#[test]
fn whatever_step_a_process_dies_at_the_file_and_its_sidecar_stay_together() {
    // Before the file was taken: the sidecar alone is in work.
    let drop = drop_folder();
    drop.put("a.csv", "one");
    fs::create_dir(drop.folder.work().join("5")).unwrap();
    fs::write(drop.folder.work().join("5/a.csv.patient.json"), "{}").unwrap();
    assert!(drop.folder.recover().unwrap().is_empty());
    assert_eq!((drop.names(""), drop.in_work()), (vec!["a.csv".into(), "a.csv.patient.json".into()], 0));

    // After it was taken, and after the letter was begun or written: both are read again.
    let claim = drop.claim("a.csv", 6).unwrap();
    fs::write(claim.folder.join(LETTER), "half a let").unwrap();
    fs::write(drop.folder.done().join("a.csv.receipt.txt"), "of the time before").unwrap();
    let again = drop.folder.recover().unwrap().pop().unwrap();
    assert_eq!((again.number, again.sidecar(), again.class), (6, Some(b"{}".to_vec()), Class::Csv));
    drop.folder.settle(&again, Place::Done, "taken").unwrap();
    assert_eq!(drop.names("done"), ["a.csv", "a.csv.patient.json", "a.csv.receipt.txt"]);
    assert_eq!(fs::read(drop.folder.done().join("a.csv.receipt.txt")).unwrap(), b"taken");

    // After it was settled, before its folder was cleared: the copy of the sidecar is litter.
    fs::create_dir(drop.folder.work().join("6")).unwrap();
    fs::write(drop.folder.work().join("6/a.csv.patient.json"), "{}").unwrap();
    assert!(drop.folder.recover().unwrap().is_empty());
    assert_eq!((drop.names("").len(), drop.in_work()), (0, 0));
}

/// What may happen to a folder.
#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Take(u8),
    Settle,
    /// The process ends, with or without the letter of the file at hand written.
    Die(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3u8).prop_map(Step::Put),
        (0..3u8).prop_map(Step::Take),
        Just(Step::Settle),
        any::<bool>().prop_map(Step::Die),
    ];
    prop::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whoever_dies_when_every_file_is_settled_once_with_its_own_bytes(steps in steps()) {
        let drop = drop_folder();
        let (mut put, mut number) = (Vec::new(), 0_u64);
        let mut at_hand: Option<Claim> = None;
        for step in steps {
            number += 1;
            match step {
                Step::Put(which) => {
                    let name = format!("{which}.hl7");
                    if !drop.folder.root().join(&name).exists() {
                        let text = format!("{which} {number}");
                        drop.put(&name, &text);
                        put.push(text);
                    }
                }
                Step::Take(which) => {
                    let name = format!("{which}.hl7");
                    if at_hand.is_none() && drop.folder.root().join(&name).exists() {
                        at_hand = drop.claim(&name, number);
                    }
                }
                Step::Settle => {
                    if let Some(claim) = at_hand.take() {
                        drop.folder.settle(&claim, Place::Done, "").unwrap();
                    }
                }
                Step::Die(late) => {
                    if let Some(claim) = at_hand.take().filter(|_| late) {
                        fs::write(claim.folder.join(LETTER), "half").unwrap();
                    }
                    at_hand = drop.folder.recover().unwrap().pop();
                }
            }
        }
        for claim in drop.folder.recover().unwrap() {
            drop.folder.settle(&claim, Place::Done, "").unwrap();
        }
        for name in drop.names("") {
            number += 1;
            drop.folder.settle(&drop.claim(&name, number).unwrap(), Place::Done, "").unwrap();
        }
        let settled = drop.names("done").into_iter().filter(|name| !name.ends_with(".receipt.txt"));
        let mut settled: Vec<String> =
            settled.map(|name| fs::read_to_string(drop.folder.done().join(name)).unwrap()).collect();
        settled.sort();
        put.sort();
        prop_assert_eq!(settled, put);
        prop_assert_eq!(drop.in_work(), 0);
    }
}

#[test]
fn nothing_is_written_or_read_through_a_link() {
    let drop = drop_folder();
    let victim = drop.folder.root().with_file_name("victim");
    fs::write(&victim, "kept").unwrap();
    symlink(&victim, drop.folder.work().join(LETTER)).unwrap();
    drop.put("a.csv.patient.json", "{}");
    assert!(drop.folder.set_aside(OsStr::new("a.csv.patient.json"), "why").unwrap());
    assert_eq!(fs::read(&victim).unwrap(), b"kept");
    let letter = drop.folder.quarantine().join("a.csv.patient.json.reason.txt");
    assert_eq!(fs::read(letter).unwrap(), b"why");
    drop.put("b.csv", "two");
    let claim = drop.claim("b.csv", 1).unwrap();
    fs::remove_file(claim.path()).unwrap();
    symlink(&victim, claim.path()).unwrap();
    assert!(claim.read(9).is_err());
}

#[test]
fn sidecars_in_any_case_are_taken_and_two_of_one_file_stay_with_it() {
    let drop = drop_folder();
    drop.put("a.csv", "one");
    let alone = drop.whole("a.csv");
    drop.put("A.CSV.PATIENT.JSON", "1");
    assert!(matches!(drop.folder.claim(&alone, 1).unwrap(), Taken::Later), "it came since the scan");
    drop.put("a.CSV.patient.json", "2");
    let sidecars = ["A.CSV.PATIENT.JSON", "a.CSV.patient.json"].map(OsString::from).to_vec();
    let Taken::Claim(claim) = drop.folder.claim(&Whole { sidecars, ..alone }, 2).unwrap() else { panic!() };
    assert_eq!((claim.sidecar().unwrap(), claim.rivals().unwrap().len()), (b"1".to_vec(), 1));
    // As after a process that ended.
    let claim = drop.folder.recover().unwrap().pop().unwrap();
    assert_eq!(claim.rivals().unwrap(), ["a.CSV.patient.json"]);
    drop.folder.settle(&claim, Place::Quarantine, "two").unwrap();
    let names = drop.names("quarantine");
    assert_eq!(names, ["a.CSV.patient.json", "a.csv", "a.csv.patient.json", "a.csv.reason.txt"]);
    assert_eq!((drop.names("").len(), drop.in_work()), (0, 0));
}

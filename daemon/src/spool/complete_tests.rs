use super::*;

const STABLE: Duration = Duration::from_millis(2_000);
const WAIT: Duration = Duration::from_millis(60_000);

fn seen(bytes: u64, mtime: i128) -> Seen {
    Seen { bytes, mtime_ns: mtime, inode: 1 }
}

fn scan(files: &[(&str, Seen)]) -> Vec<(OsString, Class, Seen)> {
    files.iter().map(|(name, seen)| (name.into(), Class::of(OsStr::new(name)).unwrap(), *seen)).collect()
}

fn names(tracker: &Tracker, now_ms: i64) -> Vec<OsString> {
    whole(tracker, now_ms).into_iter().map(|whole| whole.name).collect()
}

fn whole(tracker: &Tracker, now_ms: i64) -> Vec<Whole> {
    tracker.whole(now_ms, STABLE, WAIT, |name| name.to_string_lossy().starts_with("whose"))
}

#[test]
fn a_file_is_whole_once_it_has_stood_still_and_not_a_millisecond_before() {
    let mut tracker = Tracker::default();
    tracker.look(scan(&[("a.hl7", seen(9, 1))]), 1_000);
    assert!(names(&tracker, 2_999).is_empty());
    assert_eq!(names(&tracker, 3_000), ["a.hl7"]);
    // A look that sees the same does not begin anew; one that sees another size, time or inode does.
    tracker.look(scan(&[("a.hl7", seen(9, 1))]), 2_500);
    assert_eq!(names(&tracker, 3_000), ["a.hl7"]);
    for (n, changed) in [seen(10, 1), seen(10, 2), Seen { inode: 2, ..seen(10, 2) }].into_iter().enumerate() {
        let at = 10_000 * (n as i64 + 1);
        tracker.look(scan(&[("a.hl7", changed)]), at);
        assert!(names(&tracker, at + 1_999).is_empty());
        assert_eq!(names(&tracker, at + 2_000), ["a.hl7"]);
    }
}

#[test]
fn a_file_that_was_renamed_in_is_whole_at_once_until_it_changes() {
    let mut tracker = Tracker::default();
    tracker.renamed_in(OsStr::new("a.hl7"));
    tracker.look(scan(&[("a.hl7", seen(9, 1)), ("b.hl7", seen(9, 1))]), 1_000);
    assert_eq!(names(&tracker, 1_000), ["a.hl7"]);
    tracker.look(scan(&[("a.hl7", seen(10, 1)), ("b.hl7", seen(9, 1))]), 1_100);
    assert!(names(&tracker, 1_100).is_empty());
    // The rename of a file that was gone at the next look says nothing of a later one.
    tracker.renamed_in(OsStr::new("c.hl7"));
    tracker.look(Vec::new(), 1_200);
    tracker.look(scan(&[("c.hl7", seen(9, 1))]), 1_300);
    assert!(names(&tracker, 1_300).is_empty());
}

#[test]
fn a_rename_of_ours_makes_nothing_whole() {
    let mut tracker = Tracker::default();
    tracker.changed(OsStr::new("a.hl7"), seen(9, 1), Class::Hl7, 1_000);
    tracker.renamed_in(OsStr::new("a.hl7"));
    tracker.look(scan(&[("a.hl7", seen(9, 1))]), 1_100);
    assert!(names(&tracker, 1_100).is_empty());
    assert_eq!(names(&tracker, 3_000), ["a.hl7"]);
}

#[test]
fn an_empty_file_is_waited_for_ten_times_as_long_also_after_a_rename() {
    let mut tracker = Tracker::default();
    tracker.renamed_in(OsStr::new("a.hl7"));
    tracker.look(scan(&[("a.hl7", seen(0, 1))]), 0);
    assert!(names(&tracker, 19_999).is_empty());
    assert_eq!(names(&tracker, 20_000), ["a.hl7"]);
}

#[test]
fn the_oldest_comes_first_and_names_decide_between_equals() {
    let mut tracker = Tracker::default();
    tracker.look(scan(&[("a.hl7", seen(1, 7)), ("c.hl7", seen(1, 3)), ("b.hl7", seen(1, 3))]), 0);
    assert_eq!(names(&tracker, 2_000), ["b.hl7", "c.hl7", "a.hl7"]);
}

#[test]
fn an_export_waits_for_its_sidecar_and_goes_without_it_in_the_end() {
    let mut tracker = Tracker::default();
    let (file, beside) = (("whose.csv", seen(9, 1)), ("whose.csv.patient.json", seen(9, 1)));
    tracker.look(scan(&[file]), 0);
    assert!(names(&tracker, 59_999).is_empty());
    let after = whole(&tracker, 60_000);
    assert_eq!((after[0].sidecars.len(), after[0].waited), (0, true));
    // The pair goes when both are whole, however long that takes, and a sidecar never goes alone.
    tracker.look(scan(&[file, beside]), 59_000);
    assert!(names(&tracker, 60_999).is_empty());
    assert_eq!(names(&tracker, 61_000), ["whose.csv"]);
    assert_eq!(whole(&tracker, 61_000)[0].sidecars.len(), 1);
    tracker.look(scan(&[beside]), 62_000);
    assert!(names(&tracker, 99_000).is_empty());
}

#[test]
fn a_sidecar_whose_file_does_not_come_in_its_time_must_go_and_no_other() {
    let mut tracker = Tracker::default();
    let names = ["late.csv.patient.json", "whose.csv.patient.json", "whose.csv"];
    tracker.look(scan(&names.map(|name| (name, seen(9, 1)))), 0);
    let orphans = |tracker: &Tracker, at, wait| tracker.orphans(at, Duration::from_secs(wait));
    assert!(orphans(&tracker, 59_999, 0).is_empty());
    assert_eq!(orphans(&tracker, 60_000, 0), ["late.csv.patient.json"], "a minute at least");
    assert!(orphans(&tracker, 119_999, 120).is_empty());
    assert_eq!(orphans(&tracker, 120_000, 120), ["late.csv.patient.json"]);
}

#[test]
fn only_what_nothing_else_names_a_patient_for_waits() {
    let mut tracker = Tracker::default();
    tracker.look(scan(&[("known.csv", seen(9, 1)), ("whose.hl7", seen(9, 1)), ("whose.txt", seen(9, 1))]), 0);
    assert_eq!(names(&tracker, 2_000), ["known.csv", "whose.hl7", "whose.txt"]);
    // A text turned out to be an export.
    tracker.needs_sidecar(OsStr::new("whose.txt"));
    assert_eq!(names(&tracker, 2_000), ["known.csv", "whose.hl7"]);
    assert_eq!(names(&tracker, 60_000), ["known.csv", "whose.hl7", "whose.txt"]);
}

#[test]
fn what_grows_for_an_hour_is_told() {
    let mut tracker = Tracker::default();
    for minute in 0..=60 {
        let at = minute * 60_000;
        tracker.look(scan(&[("a.hl7", seen(minute as u64 + 1, 1)), ("b.hl7", seen(9, 1))]), at);
        let told = usize::from(minute >= 60);
        assert_eq!(tracker.stuck(at, STABLE), told, "minute {minute}");
    }
    assert_eq!(tracker.oldest_ms(3_600_000), Some(3_600_000));
    tracker.look(Vec::new(), 3_700_000);
    assert_eq!((tracker.stuck(3_700_000, STABLE), tracker.oldest_ms(3_700_000)), (0, None));
}

/// A file and its sidecars.
type Pair = (&'static str, &'static [&'static str]);

#[test]
fn a_sidecar_is_of_its_file_in_whatever_case_and_of_two_files_that_of_its_spelling() {
    let table: [(&[&str], &[Pair], &[&str]); 4] = [
        (&["a.csv", "A.CSV.PATIENT.JSON"], &[("a.csv", &["A.CSV.PATIENT.JSON"])], &[]),
        (
            &["a.csv", "A.csv.patient.json", "a.csv.patient.json"],
            &[("a.csv", &["a.csv.patient.json", "A.csv.patient.json"])],
            &[],
        ),
        (
            &["A.csv", "a.csv", "A.csv.Patient.json", "a.csv.patient.json"],
            &[("A.csv", &["A.csv.Patient.json"]), ("a.csv", &["a.csv.patient.json"])],
            &[],
        ),
        (
            &["A.csv", "a.csv", "a.CSV.patient.json"],
            &[("A.csv", &[]), ("a.csv", &[])],
            &["a.CSV.patient.json"],
        ),
    ];
    for (stand, expected, orphans) in table {
        let mut tracker = Tracker::default();
        tracker.look(scan(&stand.iter().map(|name| (*name, seen(9, 1))).collect::<Vec<_>>()), 0);
        let whole = whole(&tracker, 61_000);
        let found: Vec<(&OsStr, Vec<&OsStr>)> = whole
            .iter()
            .map(|whole| {
                let theirs = whole.sidecars.iter().filter(|_| !whole.unclear);
                (whole.name.as_os_str(), theirs.map(OsString::as_os_str).collect())
            })
            .collect();
        let expected: Vec<(&OsStr, Vec<&OsStr>)> = expected
            .iter()
            .map(|(name, sidecars)| (OsStr::new(*name), sidecars.iter().map(OsStr::new).collect()))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(tracker.orphans(61_000, WAIT), orphans);
    }
}

#[test]
fn a_sidecar_that_only_looks_like_a_files_puts_that_file_in_doubt() {
    let whole_of = |files: &[&str]| -> Vec<(String, bool, usize)> {
        let mut tracker = Tracker::default();
        let files: Vec<_> = files.iter().map(|name| (*name, seen(9, 1))).collect();
        tracker.look(scan(&files), 0);
        let of = |it: Whole| (it.name.to_string_lossy().into_owned(), it.unclear, it.sidecars.len());
        whole(&tracker, 2_000).into_iter().map(of).collect()
    };
    let of = |name: &str, unclear, sidecars| (name.to_owned(), unclear, sidecars);
    // Composed and decomposed.
    let (composed, decomposed) = ("M\u{fc}ller.csv", "Mu\u{308}ller.csv");
    assert_eq!(whole_of(&[composed, &format!("{decomposed}.patient.json")]), [of(composed, true, 1)]);
    assert_eq!(whole_of(&[composed, &format!("{composed}.patient.json")]), [of(composed, false, 1)]);
    // One that spells neither of two.
    let two = whole_of(&["A.csv", "a.csv", "A.CSV.patient.json"]);
    assert_eq!(two, [of("A.csv", true, 1), of("a.csv", true, 1)]);
    // Another person's file has its own; no message asks whose it is.
    let (one, other) = ("M\u{f6}ller.csv", "M\u{fc}ller.csv");
    let both = whole_of(&[one, other, &format!("{other}.patient.json")]);
    assert_eq!(both, [of(one, false, 0), of(other, false, 1)]);
    assert_eq!(
        whole_of(&["A.hl7", "a.hl7", "A.HL7.patient.json"]),
        [of("A.hl7", false, 0), of("a.hl7", false, 0)]
    );
}

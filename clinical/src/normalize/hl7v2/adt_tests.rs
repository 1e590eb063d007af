//! Every event of the table, by hand.

use super::*;
use crate::identity::{Details, Stated};

fn read(kind: &str, segments: &[&str]) -> Adt {
    let message =
        format!("MSH|^~\\&|A|B|C|D|20260302120000||ADT^{kind}|1|P|2.5.1\r{}\r", segments.join("\r"));
    let rule =
        PatientRule { authority: Some("NORTH".into()), kind: "MR".into(), system: Some("urn:mr".into()) };
    adt(&message, &rule, &Zone::named("Etc/UTC").unwrap())
}

fn key(value: &str) -> PatientKey {
    PatientKey { system: "urn:mr".into(), value: value.into() }
}

fn other(authority: &str, kind: &str, value: &str) -> Identifier {
    Identifier { authority: authority.into(), kind: kind.into(), value: value.into() }
}

fn changes(kind: &str, segments: &[&str]) -> Vec<Change> {
    let adt = read(kind, segments);
    assert!(adt.faults.is_empty(), "{kind}: {:?}", adt.faults);
    adt.changes
}

fn faults(kind: &str, segments: &[&str]) -> Vec<(&'static str, FaultReason)> {
    let adt = read(kind, segments);
    assert!(adt.changes.is_empty(), "{kind}: {:?}", adt.changes);
    adt.faults.iter().map(|fault| (fault.segment, fault.reason)).collect()
}

fn bare(value: &str) -> Change {
    Change::Register(Person { patient: key(value), others: Vec::new(), details: Details::default() })
}

#[test]
fn every_event_about_one_patient_says_who_has_which_identifiers() {
    let pid = format!(
        "PID|1||1^^^NORTH^MR~V9^^^DEXCOM^PI~A7^^^NORTH^AN||Doe^Jane^Q^^^^L||19710203|F{}20260301|Y",
        "|".repeat(21)
    );
    let wanted = [Change::Register(Person {
        patient: key("1"),
        others: vec![other("DEXCOM", "PI", "V9"), other("NORTH", "AN", "A7")],
        details: Details {
            name: Stated::Value("Doe, Jane Q".into()),
            birth_date: Stated::Value(crate::birth_date::BirthDate::parse("19710203").unwrap()),
            death: Stated::Value("20260301".into()),
        },
    })];
    for event in ["A01", "A02", "A03", "A04", "A05", "A08", "A11", "A13", "A28", "A31"] {
        assert_eq!(changes(event, &["EVN|", &pid, "PV1|1"]), wanted, "{event}");
    }
}

#[test]
fn what_is_not_said_and_what_is_taken_back_are_two_things() {
    let details = |pid: &str| match changes("A08", &[pid]).remove(0) {
        Change::Register(person) => person.details,
        change => panic!("{change:?}"),
    };
    assert_eq!(details("PID|1||1^^^NORTH^MR"), Details::default());
    let null = details("PID|1||1^^^NORTH^MR||\"\"||\"\"|||||||||||||||||||||||N");
    assert_eq!(
        (null.name, null.birth_date, null.death),
        (Stated::Withdrawn, Stated::Withdrawn, Stated::Withdrawn)
    );
    let unreadable = details("PID|1||1^^^NORTH^MR||^^||UNKNOWN");
    assert_eq!(unreadable, Details::default(), "what is no date is not stated");
    assert_eq!(
        details("PID|1||1^^^NORTH^MR||Alias^A^^^^^A~Legal^L^^^^^L").name,
        Stated::Value("Legal, L".into())
    );
    assert_eq!(details("PID|1||1^^^NORTH^MR|||||||||||||||||||||||||||Y").death, Stated::Value("Y".into()));
}

#[test]
fn a_person_without_an_identifier_of_the_sites_kind_is_not_spoken_of() {
    assert_eq!(changes("A01", &["PID|1||V9^^^DEXCOM^PI"]), []);
    assert_eq!(changes("A01", &["NTE|1"]), []);
    let two = "PID|1||1^^^NORTH^MR~2^^^NORTH^MR";
    assert_eq!(faults("A01", &[two]), [("PID", FaultReason::SeveralPatients)]);
    let one = "PID|1||1^^^NORTH^MR";
    assert_eq!(faults("A01", &[one, one]), [("PID", FaultReason::SecondPatient)]);
}

#[test]
fn a_merge_names_who_goes_on_and_whose_identifier_ends() {
    let merged =
        |survivor: &str, retired: &str| Change::Merge { survivor: key(survivor), retired: key(retired) };
    for event in ["A40", "A18", "A34", "A36"] {
        let one = changes(event, &["EVN|", "PID|1||1^^^NORTH^MR", "MRG|2^^^NORTH^MR"]);
        assert_eq!(one, [bare("1"), merged("1", "2")], "{event}");
    }
    let repeated = [
        "PID|1||1^^^NORTH^MR",
        "PD1|",
        "MRG|2^^^NORTH^MR",
        "PID|2||3^^^NORTH^MR",
        "MRG|4^^^NORTH^MR~X^^^EPI^PI",
    ];
    assert_eq!(changes("A40", &repeated), [bare("1"), merged("1", "2"), bare("3"), merged("3", "4")]);
    let places = read("A40", &repeated).places.into_iter().map(|at| (at.segment, at.ordinal, at.field));
    let line = |n: usize| 2 + n as u32;
    let wanted = repeated.iter().enumerate().filter_map(|(n, text)| match &text[..3] {
        "PID" => Some(("PID", line(n), 3)),
        "MRG" => Some(("MRG", line(n), 1)),
        _ => None,
    });
    assert_eq!(places.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "each where it is said");
    assert_eq!(changes("A40", &["PID|1||1^^^NORTH^MR", "MRG|1^^^NORTH^MR"]), [bare("1")], "with itself");
    assert_eq!(changes("A40", &["PID|1||1^^^EPI^PI", "MRG|2^^^EPI^PI"]), [], "of another kind");
}

#[test]
fn a_merge_that_cannot_be_read_wholly_is_not_read() {
    for (segments, wanted) in [
        (vec!["PID|1||1^^^NORTH^MR", "MRG|2"], ("MRG", FaultReason::NoPatient)),
        (vec!["PID|1||1", "MRG|2^^^NORTH^MR"], ("PID", FaultReason::NoPatient)),
        (vec!["PID|1||1^^^NORTH^MR", "MRG|2^^^NORTH^MR~3^^^NORTH^MR"], ("MRG", FaultReason::SeveralPatients)),
        (vec!["PID|1||1^^^NORTH^MR"], ("PID", FaultReason::NoPrior)),
        (vec!["MRG|2^^^NORTH^MR"], ("MRG", FaultReason::NoPatientBefore)),
    ] {
        assert_eq!(faults("A40", &segments), [wanted], "{segments:?}");
    }
}

#[test]
fn a_changed_identifier_names_the_one_before_and_the_one_now() {
    for event in ["A47", "A46"] {
        let wanted = [Change::Renumber { former: key("OLD"), present: key("NEW") }, bare("NEW")];
        assert_eq!(changes(event, &["PID|1||NEW^^^NORTH^MR", "MRG|OLD^^^NORTH^MR"]), wanted, "{event}");
    }
}

#[test]
fn what_stands_on_both_sides_is_moved_from_one_to_the_other() {
    let vendor = Name::Other(other("DEXCOM", "PI", "V9"));
    let wanted = Change::Move {
        moved: vendor,
        to: vec![Name::Patient(key("2"))],
        from: vec![Name::Patient(key("1"))],
    };
    let segments = ["PID|1||V9^^^DEXCOM^PI~2^^^NORTH^MR", "MRG|V9^^^DEXCOM^PI~1^^^NORTH^MR"];
    assert_eq!(changes("A43", &segments), [wanted]);

    // The record number itself is moved to another person, by today's and by the older form.
    let epi = |value: &str| Name::Other(other("EPI", "PI", value));
    let wanted =
        [Change::Move { moved: Name::Patient(key("1")), to: vec![epi("E2")], from: vec![epi("E1")] }];
    let today = ["PID|1||1^^^NORTH^MR~E2^^^EPI^PI", "MRG|1^^^NORTH^MR~E1^^^EPI^PI"];
    assert_eq!(changes("A43", &today), wanted);
    let older = ["PID|1|E2^^^EPI^PI|1^^^NORTH^MR", "MRG|1^^^NORTH^MR|||E1^^^EPI^PI"];
    assert_eq!(changes("A43", &older), wanted);

    // Without a shared identifier, all that is known under MRG-1 is moved.
    let wanted =
        Change::Move { moved: Name::Patient(key("9")), to: vec![Name::Patient(key("1"))], from: vec![] };
    assert_eq!(changes("A43", &["PID|1||1^^^NORTH^MR", "MRG|9^^^NORTH^MR"]), [wanted]);
    assert_eq!(
        faults("A43", &["PID|1||1^^^NORTH^MR", "MRG|1^^^NORTH^MR"]),
        [("PID", FaultReason::NoPatient)],
        "nobody to move it to"
    );
}

#[test]
fn an_identifier_without_an_authority_moves_nothing_and_nothing_is_moved_to_it() {
    let [one, two] = ["1^^^NORTH^MR", "2^^^NORTH^MR"];
    let moved = |there: &str, here: &str| read("A43", &[&format!("PID|1||{there}"), &format!("MRG|{here}")]);
    // Not itself, and not patient 1 in its stead.
    let alone = moved(&format!("7~{two}"), &format!("7~{one}"));
    assert_eq!((alone.changes, alone.faults[0].reason), (vec![], FaultReason::NoPatient));
    let nowhere = moved(&format!("{one}~7"), &format!("{one}~8"));
    assert_eq!((nowhere.changes, nowhere.faults[0].reason), (vec![], FaultReason::NoPatient));
    let beside = moved(&format!("{one}~7~E2^^^EPI^PI"), &format!("{one}~8~E1^^^EPI^PI"));
    let epi = |value: &str| vec![Name::Other(other("EPI", "PI", value))];
    assert_eq!(
        beside.changes,
        [Change::Move { moved: Name::Patient(key("1")), to: epi("E2"), from: epi("E1") }]
    );
}

#[test]
fn a_message_inside_the_message_is_a_fault_and_nothing_of_either_is_read() {
    for second in ["MSH|^~\\&|X", " \u{b}MSH|^~\\&|X", "MSH$^~\\&$X", "MSH", "\nMSH|"] {
        let wanted = [("MSH", FaultReason::SecondHeader)];
        assert_eq!(faults("A01", &["PID|1||1^^^NORTH^MR", second, "PV1|1"]), wanted, "{second:?}");
    }
    assert_eq!(changes("A01", &["PID|1||1^^^NORTH^MR", "MSHX|1"]), [bare("1")]);
}

#[test]
fn what_no_source_has_to_say_is_one_fault_and_nothing_of_it_is_read() {
    let repeated = |count: usize, from: usize| -> String {
        let numbers: Vec<_> = (from..from + count).map(|n| format!("{n}^^^EPI^PI")).collect();
        numbers.join("~")
    };
    let pid = |count| format!("PID|1||1^^^NORTH^MR~{}", repeated(count, 0));
    let too_many = |segment| vec![(segment, FaultReason::TooManyIdentifiers)];
    assert_eq!(changes("A01", &[&pid(63)]).len(), 1);
    assert_eq!(faults("A01", &[&pid(64)]), too_many("PID"));
    let mrg = format!("MRG|2^^^NORTH^MR~{}", repeated(64, 0));
    for event in ["A40", "A47", "A43"] {
        assert_eq!(faults(event, &[&pid(2), "MRG|2^^^NORTH^MR", &pid(2), &mrg]), too_many("MRG"), "{event}");
        assert_eq!(faults(event, &[&pid(10_000), &format!("MRG|{}", repeated(10_000, 0))]), too_many("PID"));
    }
    // Many merges into one: who goes on is read once.
    let retired: Vec<String> = (0..10_000).map(|n| format!("MRG|R{n}^^^NORTH^MR")).collect();
    let merges = |count: usize| -> Vec<&str> {
        ["PID|1||1^^^NORTH^MR"].into_iter().chain(retired.iter().take(count).map(String::as_str)).collect()
    };
    assert_eq!(changes("A40", &merges(CHANGES_MOST - 1)).len(), CHANGES_MOST);
    assert_eq!(faults("A40", &merges(CHANGES_MOST)), [("PID", FaultReason::TooManyChanges)]);
    assert_eq!(faults("A40", &merges(10_000)), [("MRG", FaultReason::TooManyChanges)]);
}

#[test]
fn a_link_names_two_patients_and_is_taken_back_by_its_counterpart() {
    let two = ["PID|1||1^^^NORTH^MR", "PV1|1", "PID|2||2^^^NORTH^MR"];
    assert_eq!(changes("A24", &two), [Change::Link { one: key("1"), other: key("2") }]);
    assert_eq!(changes("A37", &two), [Change::Unlink { one: key("1"), other: key("2") }]);
    assert_eq!(faults("A24", &two[..1]), [("PID", FaultReason::NotTwoPatients)]);
    assert_eq!(faults("A24", &["PID|1||1^^^NORTH^MR", "PID|2||2"]), [("PID", FaultReason::NoPatient)]);
}

#[test]
fn events_about_something_else_say_nothing_of_patients() {
    for event in
        ["A17", "A20", "A23", "A29", "A30", "A35", "A39", "A41", "A44", "A45", "A50", "B01", "A4", ""]
    {
        assert_eq!(changes(event, &["PID|1||1^^^NORTH^MR", "MRG|2^^^NORTH^MR"]), [], "{event}");
    }
}

#[test]
fn when_it_was_said_is_when_it_was_entered_else_when_it_was_sent() {
    let noon = Instant(20_514 * Instant::DAY_MS + 12 * 3_600_000);
    let pid = "PID|1||1^^^NORTH^MR";
    assert_eq!(read("A08", &["EVN|A08|20260302110000", pid]).said_at, Some(Instant(noon.0 - 3_600_000)));
    assert_eq!(read("A08", &["EVN|A08|", pid]).said_at, Some(noon));
    assert_eq!(read("A08", &["EVN|A08|soon", pid]).said_at, Some(noon));
    assert_eq!(read("", &["EVN|A08|", pid]).changes, [bare("1")], "the event may stand in EVN-1 alone");
}

#[test]
fn nothing_of_a_person_is_shown_for_debugging() {
    let pid = "PID|1||4711^^^NORTH^MR~V4711^^^DEXCOM^PI||Doe^Jane||19710203";
    let shown = format!("{:?}", read("A08", &[pid]));
    for hidden in ["4711", "Doe", "Jane", "1971"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

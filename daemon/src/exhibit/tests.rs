use proptest::prelude::*;

use super::*;

const VIEW: View<'_> = View { reveal: false, authority: None, from: 1, segments: 100 };
const MESSAGE: &str = "MSH|^~\\&|CGMHUB|NORTH|ISTHMUS|LAB|20260302101500||ORU^R01^ORU_R01|X17|P|2.5.1\r\
    PID|1||7700001^^^NORTH^MR||Quibblethorpe^Zebediah||19310709|M|||4711 Marmalade Crescent^^Upper Wobbleton\r\
    OBR|1|||99504-3^Glucose^LN|||20260302101500\r\
    OBX|1|NM|99504-3^Glucose^LN|1|120|furlong|||||F|||20260302101500+0000\r";

fn at(segment: &str, ordinal: Option<u32>, field: usize, reason: &str) -> Fault {
    let place = Place { segment: segment.to_owned(), ordinal, field: Some(field) };
    Fault { place: Some(place), reason: reason.to_owned() }
}

fn text(exhibit: &Exhibit) -> String {
    serde_json::to_string(exhibit).unwrap()
}

#[test]
fn a_message_is_shown_with_its_form_and_without_its_patient() {
    let exhibit = exhibit(MESSAGE.as_bytes(), &[at("OBX", Some(4), 6, "the unit is not known")], VIEW);
    let lines: Vec<String> = exhibit.lines.iter().map(|line| line.fields.join("|")).collect();
    assert_eq!(
        lines,
        [
            "MSH|^~\\&|CGMHUB|NORTH|ISTHMUS|LAB|20260302101500||ORU^R01^ORU_R01|X17|P|2.5.1",
            "PID|1||[digits 5-8]^^^[text 5-8]^MR||[text 9-16]^[text 5-8]||[digits 5-8]|[text 1-4]|||\
             [text 17-32]^^[text 9-16]",
            "OBR|1|||99504-3^[text 5-8]^LN|||20260302######",
            "OBX|1|NM|99504-3^[text 5-8]^LN|1|[digits 1-4]|furlong|||||F|||20260302######+0000",
        ]
    );
    assert_eq!(exhibit.lines[1].title, "Patient Identification");
    let pointed = &exhibit.lines[3].faults[0];
    assert_eq!((pointed.field, pointed.name.as_str()), (Some(6), "OBX-6 Units"));
    assert_eq!(exhibit.lines[3].fields[6], "furlong");
}

#[test]
fn of_an_assigning_authority_only_the_one_that_the_site_expects_is_shown() {
    for (authority, shown) in
        [(Some("NORTH"), "[digits 5-8]^^^NORTH^MR"), (Some("DOE"), "[digits 5-8]^^^[text 5-8]^MR")]
    {
        let exhibit = exhibit(MESSAGE.as_bytes(), &[], View { authority, ..VIEW });
        assert_eq!(exhibit.lines[1].fields[3], shown);
    }
}

#[test]
fn a_fault_of_the_header_is_pointed_at_by_its_own_count() {
    let exhibit = exhibit(MESSAGE.as_bytes(), &[at("MSH", None, 10, "missing")], VIEW);
    let pointed = &exhibit.lines[0].faults[0];
    assert_eq!(pointed.name, "MSH-10 Message Control ID");
    assert_eq!(exhibit.lines[0].fields[pointed.field.unwrap()], "X17");
}

#[test]
fn a_fault_without_a_place_in_the_message_is_told_beside_it() {
    let nowhere = Fault { place: None, reason: "no site".to_owned() };
    let exhibit = exhibit(MESSAGE.as_bytes(), &[nowhere, at("OBX", Some(9), 6, "gone")], VIEW);
    assert_eq!(exhibit.elsewhere, ["no site", "gone"]);
}

#[test]
fn what_is_revealed_is_whole_and_harmless_to_a_terminal() {
    let message = MESSAGE.replace("Zebediah", "Zeb\u{1b}[2Jediah");
    let exhibit = exhibit(message.as_bytes(), &[], View { reveal: true, ..VIEW });
    assert!(exhibit.lines[1].fields[5].contains("Quibblethorpe^Zeb\\x1B[2Jediah"), "{exhibit:?}");
    assert_eq!(exhibit.lines[3].fields[5], "120");
}

#[test]
fn a_view_has_its_bound_and_what_is_faulty_is_in_it() {
    let mut message = String::from("MSH|^~\\&|A\r");
    for number in 2..=5_000 {
        message.push_str(&format!("OBX|{number}|NM\r"));
    }
    let view = View { from: 3, segments: 2, ..VIEW };
    let faults = [at("OBX", Some(4_000), 2, "x")];
    let few = exhibit(message.as_bytes(), &faults, view);
    assert_eq!(few.lines.iter().map(|line| line.ordinal).collect::<Vec<_>>(), [3, 4, 4_000]);
    assert_eq!(few.segments, 5_000);
    let all = exhibit(message.as_bytes(), &[], View { segments: usize::MAX, ..VIEW });
    assert_eq!(all.lines.len(), LINES_MOST);
    let wide = format!("MSH|^~\\&|A\rOBX{}\rNTE|1||{}\r", "|x".repeat(5_000), "a^".repeat(5_000));
    let wide = exhibit(wide.as_bytes(), &[], VIEW);
    assert_eq!((wide.lines[1].fields.len(), wide.lines[1].more_fields), (101, 4_900));
    assert!(wide.lines[2].fields[3].ends_with("[more]"));
}

#[test]
fn what_is_no_message_is_masked_line_by_line() {
    let exhibit = exhibit(b"Quibblethorpe\r\x1b[2J\rDOE|JOHN\r", &[], VIEW);
    assert_eq!(exhibit.separator, None);
    let told = text(&exhibit);
    assert!(!told.contains("Quibble") && !told.contains("DOE") && !told.contains('\u{1b}'), "{told}");
    assert_eq!(exhibit.lines.len(), 3);
}

#[test]
fn a_torn_line_and_a_segment_of_the_senders_own_are_masked_whole() {
    let message = "MSH|^~\\&|A\rDOE|JOHN|19310709\rZPI|1|F|99504-3\rZOE JANE\r";
    let exhibit = exhibit(message.as_bytes(), &[], VIEW);
    let lines: Vec<String> = exhibit.lines.iter().skip(1).map(|line| line.fields.join("|")).collect();
    assert_eq!(lines, ["???|[text 1-4]|[digits 5-8]", "Z??|[digits 1-4]|[text 1-4]|[number 5-8]", "???"]);
}

/// Data of a made-up person in every spelling that a field may hold it in.
const PLANTED: [&str; 6] =
    ["7700001", "Quibblethorpe", "Zebediah", "19310709", "4711 Marmalade Crescent", "(201)555-0177"];

fn planted() -> impl Strategy<Value = String> {
    prop::sample::select(&PLANTED[..]).prop_map(str::to_owned)
}

/// A field: planted data, something ordinary, or both in its parts.
fn any_field() -> impl Strategy<Value = String> {
    let part = prop_oneof![planted(), "[A-Z0-9]{0,3}", Just("99504-3".to_owned()), Just("mg/dL".to_owned())];
    prop::collection::vec((part, prop::sample::select(&["^", "~", "&", ""][..])), 0..4)
        .prop_map(|parts| parts.into_iter().map(|(part, end)| part + end).collect())
}

fn any_segment() -> impl Strategy<Value = String> {
    let name = prop::sample::select(
        &[
            "PID",
            "OBX",
            "OBR",
            "NTE",
            "PV1",
            "MSH",
            "ZPI",
            "NK1",
            "SPM",
            "EVN",
            "MSA",
            "Quibblethorpe",
            "ORC",
            "MRG",
        ][..],
    );
    (name, prop::collection::vec(any_field(), 0..24))
        .prop_map(|(name, fields)| format!("{name}|{}", fields.join("|")))
}

proptest! {
    #[test]
    fn wherever_a_patient_is_named_the_masked_message_names_nobody(
        before in prop::collection::vec(any_segment(), 0..5), after in prop::collection::vec(any_segment(), 0..5),
    ) {
        let pid = "PID|1||7700001^^^NORTH^MR||Quibblethorpe^Zebediah||19310709|M|||4711 Marmalade Crescent||(201)555-0177";
        let message = format!("MSH|^~\\&|A|B\r{}\r{pid}\r{}\r", before.join("\r"), after.join("\r"));
        let faults = [at("PID", None, 3, "two"), at("OBX", None, 3, "code")];
        let told = text(&exhibit(message.as_bytes(), &faults, VIEW)).to_lowercase();
        for piece in ["7700001", "quibblethorpe", "zebediah", "19310709", "marmalade", "555-0177", "4711"] {
            prop_assert!(!told.contains(piece), "{} in {}", piece, told);
        }
    }

    #[test]
    fn without_a_sound_pid_what_stands_in_a_patients_places_is_masked_all_the_same(
        segments in prop::collection::vec(("PID|PV1|NK1|NTE|ZPI|GT1|IN1|Q", prop::collection::vec(planted(), 0..30)), 0..6),
    ) {
        let lines: Vec<String> =
            segments.into_iter().map(|(name, fields)| format!("{name}|{}", fields.join("|"))).collect();
        let message = format!("MSH|^~\\&|A|B\r{}\r", lines.join("\r"));
        let told = text(&exhibit(message.as_bytes(), &[], VIEW)).to_lowercase();
        for piece in ["7700001", "quibblethorpe", "zebediah", "19310709", "marmalade", "555-0177"] {
            prop_assert!(!told.contains(piece), "{} in {}", piece, told);
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic_and_never_steer_a_terminal(
        bytes in prop::collection::vec(any::<u8>(), 0..400), header: bool, reveal: bool,
    ) {
        let message = if header { [&b"MSH|^~\\&|"[..], &bytes].concat() } else { bytes };
        let exhibit = exhibit(&message, &[at("MSH", None, 3, "x")], View { reveal, ..VIEW });
        let shown = exhibit.lines.iter().flat_map(|line| &line.fields).chain(&exhibit.elsewhere);
        for text in shown {
            prop_assert!(!text.contains(char::is_control), "{:?}", text);
        }
    }
}

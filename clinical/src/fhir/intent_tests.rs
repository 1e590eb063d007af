use super::*;
use crate::identity::PatientKey;

const SECRET: SiteSecret = SiteSecret::new([7; 32]);

fn subject() -> Subject {
    Subject::Identifier(PatientKey { system: "urn:oid:1.2.3".to_owned(), value: "4711".to_owned() })
}

fn request<'a>(carrier: Projection, form: &'a Form, subject: &'a Subject) -> Request<'a> {
    Request {
        carrier,
        form,
        destination: "ehr:main",
        subject,
        secret: &SECRET,
        key: "00ff",
        about: Some("CGM outcome of 2026-03-02 to 2026-03-15"),
        signed: Signature {
            author: "Dr. Ada Quibble",
            role: Some("diabetologist"),
            behalf: Some("North Clinic"),
            transcriber: Some("user nurse (uid 1001)"),
            entered: Instant(1_773_500_000_123),
        },
        maker: Maker { box_id: "box-1", software: "0.1.0" },
    }
}

fn text_of(item: &Item) -> String {
    let data = item.resource().unwrap()["content"][0]["attachment"]["data"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
}

#[test]
fn a_note_says_who_said_it_and_who_typed_it_whatever_the_site_knows_of_provenance() {
    for carrier in
        [Projection::EpicNote, Projection::MillenniumDocument, Projection::PlainR4, Projection::PlainR5]
    {
        let (form, subject) = (Form::of(carrier), subject());
        let item = note(&request(carrier, &form, &subject), "Ate late.\nSee next week.\n").unwrap();
        let text = text_of(&item);
        for line in [
            "Author: Dr. Ada Quibble, diabetologist",
            "On behalf of: North Clinic",
            "Entered by user nurse (uid 1001) for Dr. Ada Quibble, 2026-03-14T14:53:20Z",
            "About: CGM outcome of 2026-03-02 to 2026-03-15",
            "See next week.",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
        assert_eq!(item.if_none_exist.is_some(), carrier.conditional());
        let status = if carrier == Projection::EpicNote { "preliminary" } else { "final" };
        assert_eq!(item.resource().unwrap()["docStatus"], status);
    }
}

#[test]
fn a_provenance_names_author_enterer_and_box_and_its_target() {
    let (form, subject) = (Form::of(Projection::PlainR4), subject());
    let request = request(Projection::PlainR4, &form, &subject);
    let made = provenance(&request, &["urn:uuid:00".to_owned()], false).unwrap();
    let json = made.resource().unwrap();
    let agents: Vec<&str> = json["agent"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["type"]["coding"][0]["code"].as_str().unwrap())
        .collect();
    assert_eq!(agents, ["author", "enterer", "assembler"]);
    assert_eq!(json["agent"][0]["who"]["display"], "Dr. Ada Quibble");
    assert_eq!(json["agent"][0]["onBehalfOf"]["display"], "North Clinic");
    assert_eq!(json["agent"][1]["who"]["display"], "user nurse (uid 1001)");
    assert!(json.to_string().find("4711").is_none(), "it names no patient");
    let mut alone = request;
    alone.signed = Signature { transcriber: None, behalf: None, role: None, ..request.signed };
    let alone = provenance(&alone, &["urn:uuid:00".to_owned()], true).unwrap();
    assert_eq!(alone.resource().unwrap()["agent"].as_array().unwrap().len(), 2);
    assert_eq!(alone.resource().unwrap()["activity"]["coding"][0]["code"], "NULLIFY");
}

#[test]
fn goals_are_what_a_goal_may_be_and_are_written_with_their_unit() {
    let wish = |goal| Wish::Goal { goal }.check();
    let range = |low, high, unit| Goal::TargetRange { low, high, unit };
    for (goal, right) in [
        (Goal::TimeInRange { percent: 0 }, false),
        (Goal::TimeInRange { percent: 1 }, true),
        (Goal::TimeInRange { percent: 100 }, true),
        (Goal::TimeInRange { percent: 101 }, false),
        (range(70, 180, GoalUnit::MgDl), true),
        (range(40, 400, GoalUnit::MgDl), true),
        (range(39, 180, GoalUnit::MgDl), false),
        (range(70, 401, GoalUnit::MgDl), false),
        (range(180, 180, GoalUnit::MgDl), false),
        (range(39, 100, GoalUnit::MmolL), true),
        (range(70, 223, GoalUnit::MmolL), false),
    ] {
        assert_eq!(wish(goal).is_ok(), right, "{goal:?}");
    }
    let (form, subject) = (Form::of(Projection::PlainR4), subject());
    let request = request(Projection::PlainR4, &form, &subject);
    let made = goal(&request, range(39, 100, GoalUnit::MmolL)).unwrap();
    let json = made.resource().unwrap();
    assert_eq!(json["target"][0]["detailRange"]["low"]["value"].to_string(), "3.9");
    assert_eq!(json["description"]["text"], "Glucose target range: 3.9 to 10.0 mmol/L");
    let made = goal(&request, Goal::TimeInRange { percent: 70 }).unwrap();
    assert_eq!(made.resource().unwrap()["target"][0]["detailQuantity"]["comparator"], ">=");
    assert!(!is_goal("Time in range: at least Amy %") && !is_goal("Glucose target range: 1 to Amy mg/dL"));
}

#[test]
fn free_words_are_bounded_hold_no_control_characters_and_are_in_no_debug_output() {
    let note = |text: &str| Wish::Note { text: text.to_owned() };
    assert_eq!(note("Zebediah\nsaid so").check(), Ok(()));
    assert_eq!(note(" \n").check(), Err(WishFault::Empty));
    assert_eq!(note(&"x".repeat(TEXT_MOST_BYTES)).check(), Ok(()));
    assert_eq!(note(&"x".repeat(TEXT_MOST_BYTES + 1)).check(), Err(WishFault::Long));
    for text in ["a\r", "a\u{1b}[2J", "a\u{7f}", "a\tb", "a\u{85}"] {
        assert_eq!(note(text).check(), Err(WishFault::Control), "{text:?}");
    }
    assert_eq!(format!("{:?}", note("Zebediah")), "note");
    for (name, right) in [("", false), ("a\nb", false), (" ", false), ("Ada", true)] {
        let signed =
            Signature { author: name, role: None, behalf: None, transcriber: None, entered: Instant(0) };
        assert_eq!(signed.check().is_ok(), right, "{name:?}");
    }
    assert!(!is_document("CGM summary\n") && !is_document(&format!("{TITLE}\n\u{7}")));
}

#[test]
fn a_note_leaves_only_where_the_site_takes_notes() {
    let subject = subject();
    let mut form = Form::of(Projection::PlainR4);
    form.document.code = NOTE_CODE.to_owned();
    assert!(note(&request(Projection::PlainR4, &form, &subject), "x").is_ok());
    form.notes = false;
    assert!(note(&request(Projection::PlainR4, &form, &subject), "x").is_err());
}

#[test]
fn what_is_taken_back_is_an_observation_or_a_report_and_nothing_else() {
    let mut one = json!({ "resourceType": "Observation", "status": "final" });
    assert!(withdraw(&mut one));
    assert_eq!(one["status"], "entered-in-error");
    assert!(!withdraw(&mut json!({ "resourceType": "Provenance" })));
    assert!(withdrawable(Projection::PlainR4) && !withdrawable(Projection::EpicFlowsheet));
}

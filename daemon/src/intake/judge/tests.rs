use bytes::Bytes;

use super::*;

fn judged(msh: &str, answering: &Answering) -> Option<(Class, u16, Option<u16>, Option<u16>)> {
    let refusal = judge(&Envelope::scan(&Bytes::copy_from_slice(msh.as_bytes())), answering)?;
    let location = refusal.fault.location.unwrap();
    assert_eq!((location.segment.as_ref(), location.sequence), ("MSH", 1));
    Some((refusal.class, refusal.fault.code, location.field, location.component))
}

fn msh(kind: &str, id: &str, processing: &str, version: &str, charset: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|2026||{kind}|{id}|{processing}|{version}||||||{charset}\rPID|1\r")
}

#[test]
fn every_row_of_the_table_is_refused_with_its_class_code_and_place() {
    let reject = |code, field| Some((Class::Reject, code, Some(field), Some(1)));
    for (message, expected) in [
        (msh("ORU^R01", "1", "P", "2.5.1", ""), None),
        ("no message".to_owned(), Some((Class::Error, 100, None, None))),
        ("MSH|^^^^|A".to_owned(), Some((Class::Error, 102, Some(2), None))),
        (msh("ORU^R01", "", "P", "2.5.1", ""), Some((Class::Error, 101, Some(10), None))),
        (msh("", "1", "P", "2.5.1", ""), Some((Class::Reject, 101, Some(9), None))),
        (msh("ABC^R01", "1", "P", "2.5.1", ""), reject(200, 9)),
        (msh("oru^R01", "1", "P", "2.5.1", ""), reject(200, 9)),
        (msh("ZCG^Z01", "1", "P", "2.5.1", ""), None),
        (msh("SIU^S99", "1", "P", "2.5.1", ""), None),
        (msh("ORU^R99", "1", "P", "2.5.1", ""), Some((Class::Reject, 201, Some(9), Some(2)))),
        (msh("ADT^R01", "1", "P", "2.5.1", ""), Some((Class::Reject, 201, Some(9), Some(2)))),
        (msh("ORU", "1", "P", "2.5.1", ""), None),
        (msh("ORU^R01", "1", "P^T", "2.5.1", ""), None),
        (msh("ORU^R01", "1", "T", "2.5.1", ""), reject(202, 11)),
        (msh("ORU^R01", "1", "", "2.5.1", ""), reject(202, 11)),
        (msh("ORU^R01", "1", "PP", "2.5.1", ""), reject(202, 11)),
        (msh("ORU^R01", "1", "P", "2.5.1^USA", ""), None),
        (msh("ORU^R01", "1", "P", "", ""), None),
        (msh("ORU^R01", "1", "P", "\"\"", ""), None),
        (msh("ORU^R01", "1", "P", "2.51", ""), reject(203, 12)),
        (msh("ORU^R01", "1", "P", "3.0", ""), reject(203, 12)),
        (msh("ORU^R01", "1", "P", "2.5.1", "UNICODE UTF-16"), Some((Class::Error, 103, Some(18), None))),
        (msh("ORU^R01", "1", "P", "2.5.1", "utf-32"), Some((Class::Error, 103, Some(18), None))),
        (msh("ORU^R01", "1", "P", "2.5.1", "8859/1~UTF-16"), Some((Class::Error, 103, Some(18), None))),
        (msh("ORU^R01", "1", "P", "2.5.1", "8859/1~UNICODE UTF-8"), None),
        (msh("ORU^R01", "1", "P", "2.5.1", "KLINGON"), None),
        // The first fault decides.
        (msh("ABC^R01", "1", "T", "9.9", "UTF-16"), reject(200, 9)),
    ] {
        assert_eq!(judged(&message, &Answering::default()), expected, "{message}");
    }
}

#[test]
fn a_listener_may_take_other_traffic() {
    let tests_too = Answering { processing_ids: vec!["P", "T"], ..Answering::default() };
    assert_eq!(judged(&msh("ORU^R01", "1", "T", "2.5.1", ""), &tests_too), None);
    assert_eq!(judged(&msh("ORU^R01", "1", "P", "2.5.1", ""), &tests_too), None);
    assert!(judged(&msh("ORU^R01", "1", "D", "2.5.1", ""), &tests_too).is_some());
    let keeping = Answering { unknown_types: UnknownTypes::Keep, ..Answering::default() };
    assert_eq!(judged(&msh("ABC^R01", "1", "P", "2.5.1", ""), &keeping), None);
    assert!(
        judged(&msh("ORU^R99", "1", "P", "2.5.1", ""), &keeping).is_some(),
        "an event is another question"
    );
}

#[test]
fn a_reason_names_the_field_and_not_what_stands_in_it() {
    for message in [
        msh("DOE^JOHN", "1", "P", "2.5.1", ""),
        msh("ORU^DOE", "1", "P", "2.5.1", ""),
        msh("ORU^R01", "1", "DOE", "2.5.1", ""),
        msh("ORU^R01", "1", "P", "DOE", ""),
        msh("ORU^R01", "1", "P", "2.5", "UTF-16DOE"),
    ] {
        let refusal = judge(&Envelope::scan(&Bytes::from(message)), &Answering::default()).unwrap();
        assert!(!format!("{refusal:?}").contains("DOE"));
    }
}

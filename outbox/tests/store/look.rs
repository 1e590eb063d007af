//! Rows as people ask for them, and what one waits for.

use outbox::{NewRow, RowFilter, State};

use crate::folder::{Folder, row};

const EHR: &str = "ehr:main";

fn at(destination: &str, key: u64) -> NewRow {
    NewRow { destination: destination.into(), ..row(key) }
}

fn all() -> RowFilter {
    RowFilter { limit: 100, ..RowFilter::default() }
}

fn found(folder: &Folder, filter: RowFilter) -> (Vec<i64>, u64) {
    let (rows, total) = folder.read(|reader| reader.find_rows(&filter));
    (rows.iter().map(|row| row.id).collect(), total)
}

#[test]
fn rows_are_found_by_what_people_know_of_them_with_how_many_there_are() {
    let folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    folder.publish(a, 20, vec![at(EHR, 1), at("upstream", 2)], 1_000);
    folder.publish(b, 20, vec![at(EHR, 3)], 1_000);
    folder.publish(b, 21, vec![at(EHR, 4)], 1_000);
    assert_eq!(found(&folder, all()), (vec![4, 3, 2, 1], 4));
    assert_eq!(
        found(&folder, RowFilter { limit: 2, ..all() }),
        (vec![4, 3], 4),
        "cut off, and told of how many"
    );
    assert_eq!(found(&folder, RowFilter { before: Some(3), ..all() }), (vec![2, 1], 4));
    let of_ehr = RowFilter { destination: Some(EHR.into()), ..all() };
    assert_eq!(found(&folder, of_ehr.clone()), (vec![4, 3, 1], 3));
    assert_eq!(found(&folder, RowFilter { patients: vec![b], ..all() }), (vec![4, 3], 2));
    assert_eq!(found(&folder, RowFilter { patients: vec![a], ..of_ehr }), (vec![1], 1));
    let window = folder.read(|reader| reader.row(4)).unwrap().window_id;
    assert_eq!(found(&folder, RowFilter { window: Some(window), ..all() }), (vec![4], 1));
    let site = folder.read(|reader| reader.patient(a)).unwrap().site;
    assert_eq!(found(&folder, RowFilter { site: Some(site), ..all() }).1, 4);
    assert_eq!(found(&folder, RowFilter { site: Some("elsewhere".into()), ..all() }), (vec![], 0));
    for (state, total) in [(State::Pending, 4), (State::Delivered, 0)] {
        assert_eq!(found(&folder, RowFilter { state: Some(state), ..all() }).1, total);
    }
}

#[test]
fn a_row_behind_another_of_its_line_or_of_its_window_says_which() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    folder.publish(patient, 20, vec![at(EHR, 1)], 1_000);
    let after = NewRow { kind: "Provenance".into(), depends_on: Some(0), ..at(EHR, 3) };
    folder.publish(patient, 21, vec![at(EHR, 2), after], 1_000);
    let queued = |row| folder.read(|reader| reader.queued(row));
    assert_eq!((queued(1).behind, queued(1).needs), (None, None), "it is the first");
    assert_eq!(queued(2).behind, Some((1, "pending".to_owned())));
    assert_eq!((queued(3).behind, queued(3).needs), (None, Some((2, "pending".to_owned()))));
    assert_eq!(queued(99), outbox::Queued::default(), "there is none");
}

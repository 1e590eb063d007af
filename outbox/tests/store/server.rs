//! Which server a destination writes to: what was written to one says nothing of another.

use outbox::{
    AuditEntry, Conflict, MoveServer, MovedRows, NewRow, Server, Standing, State, Verdict, WriteError,
    Written,
};

use crate::folder::{Folder, row};

const OLD: &str = "https://old/fhir";
const NEW: &str = "https://new/fhir";

fn at(folder: &Folder, base: &str) -> Server {
    folder.writer().server("ehr", base, 1).wait().unwrap()
}

fn moved(folder: &Folder, base: &str, same: bool) -> Result<MovedRows, WriteError> {
    let audit = AuditEntry {
        actor: "somebody".into(),
        action: "server moved".into(),
        object: "ehr".into(),
        detail: String::new(),
        at: 9,
    };
    let moved =
        MoveServer { destination: "ehr".into(), base: base.into(), same, audit: vec![audit], at: 9_000 };
    folder.writer().move_server(moved).wait()
}

fn standing(folder: &Folder, identifier: &str) -> Option<Standing> {
    folder.read(|r| r.written("ehr", &[identifier])).remove(identifier)
}

fn deliver(folder: &Folder, row: i64, identifier: &str, location: &str) {
    let one = Written {
        identifier: identifier.into(),
        location: location.into(),
        etag: None,
        content_hash: [1; 32],
        told: false,
    };
    folder.settle(row, Verdict::Delivered { written: vec![one] }, 5_000);
}

#[test]
fn an_address_is_taken_while_nothing_was_written_and_asked_about_afterwards() {
    let mut folder = Folder::new();
    assert_eq!(at(&folder, OLD), Server::Same);
    assert_eq!(at(&folder, NEW), Server::Same, "nothing was written");
    let patient = folder.patient("A");
    let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
    folder.lease(2_000);
    folder.settle(id, Verdict::Ambiguous { at: 3_000, cause: "time-out".into() }, 2_000);
    // It may have been.
    assert_eq!(at(&folder, OLD), Server::Moved { from: NEW.into() });
    folder.reopen();
    assert_eq!(at(&folder, OLD), Server::Moved { from: NEW.into() });
    assert_eq!(at(&folder, NEW), Server::Same);
}

#[test]
fn what_stands_at_one_server_is_unknown_at_another_and_known_again_when_it_comes_back() {
    let folder = Folder::new();
    at(&folder, OLD);
    let patient = folder.patient("A");
    let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
    let window = folder.lease(2_000)[0].window_id;
    deliver(&folder, id, "one", "Observation/1");
    let version =
        |folder: &Folder| folder.read(|r| r.standing_version(window, "ehr")).map(|standing| standing.version);
    assert_eq!((standing(&folder, "one").is_some(), version(&folder)), (true, Some(1)));

    moved(&folder, NEW, false).unwrap();
    assert_eq!((standing(&folder, "one"), version(&folder)), (None, None));
    let id = folder.publish(patient, 20, vec![row(2)], 6_000)[0];
    folder.lease(7_000);
    deliver(&folder, id, "one", "Observation/7");
    assert_eq!(standing(&folder, "one").unwrap().location, "Observation/7");

    // Under another address it is the same; and the first is the one that it was.
    moved(&folder, "https://alias/fhir", true).unwrap();
    assert_eq!(standing(&folder, "one").unwrap().location, "Observation/7");
    moved(&folder, OLD, false).unwrap();
    assert_eq!(
        (standing(&folder, "one").unwrap().location.as_str(), version(&folder)),
        ("Observation/1", Some(1))
    );
    assert_eq!(folder.read(|r| r.audit_after(0, 9)).len(), 3);
}

#[test]
fn what_waits_is_written_whole_to_another_server_and_what_is_about_something_elsewhere_is_set_aside() {
    let folder = Folder::new();
    at(&folder, OLD);
    let of_a_version = |row: NewRow, depends_on| NewRow { form: "single".into(), depends_on, ..row };
    let (first, second, third) = (folder.patient("A"), folder.patient("B"), folder.patient("C"));
    // Of the first patient's version half is written, of the second's it is not known, of the third's there is a wish for
    // another form, which follows what was written.
    let halves = vec![of_a_version(row(1), None), of_a_version(row(2), None)];
    let halves = folder.publish(first, 20, halves, 1_000);
    let doubt = folder.publish(second, 20, vec![of_a_version(row(3), None)], 1_000)[0];
    let follower = NewRow { form: "other".into(), kind: "note".into(), depends_on: Some(0), ..row(5) };
    let third = folder.publish(third, 20, vec![of_a_version(row(4), None), follower], 1_000);
    folder.lease(2_000);
    assert_eq!(moved(&folder, NEW, false), Err(WriteError::Conflict(Conflict::Edge)), "they are under way");
    deliver(&folder, halves[0], "one", "Observation/1");
    folder.settle(doubt, Verdict::Ambiguous { at: 3_000, cause: "time-out".into() }, 2_000);
    deliver(&folder, third[0], "four", "Observation/4");

    assert_eq!(moved(&folder, NEW, false), Ok(MovedRows { renewed: 2, set_aside: 1 }));
    let states: Vec<State> =
        [halves[0], halves[1], doubt, third[0], third[1]].map(|id| folder.state(id)).to_vec();
    let (pending, aside) = (State::Pending, State::Quarantined);
    assert_eq!(states, [pending, pending, pending, State::Delivered, aside]);
    // In the order in which they were made, and as what was never sent.
    let leased = folder.lease(10_000);
    assert_eq!(leased.iter().map(|row| row.id).collect::<Vec<_>>(), [halves[0], doubt]);
    assert!(leased.iter().all(|row| !row.ambiguous));
    deliver(&folder, halves[0], "one", "Observation/9");
    assert_eq!(folder.lease(11_000)[0].id, halves[1]);
}

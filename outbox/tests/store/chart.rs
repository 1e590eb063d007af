//! What stands at a destination beside the newest version of a window, and what people are asked about it.

use outbox::{Condition, Outcome, State, Verdict, Written};

use crate::folder::{Folder, row, version, window_key};

fn written(identifier: &str) -> Vec<Written> {
    let (identifier, location) = (identifier.to_owned(), format!("Observation/{identifier}"));
    vec![Written { identifier, location, etag: None, content_hash: [1; 32] }]
}

/// Delivers the head of the line, which leaves this resource there.
fn deliver(folder: &Folder, identifier: &str) {
    let row = folder.lease(9_000).remove(0);
    folder.settle(row.id, Verdict::Delivered { written: written(identifier) }, 9_000);
}

#[test]
fn what_an_earlier_version_wrote_is_outdated_until_the_newest_has_written_it_too() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let outdated = || {
        let window = folder.read(|r| r.window(&window_key(patient, 20))).unwrap().id;
        folder.read(|r| r.is_outdated(window, "ehr"))
    };
    folder.publish(patient, 20, vec![row(1), row(2)], 1_000);
    deliver(&folder, "mean");
    deliver(&folder, "cv");
    assert!(!outdated());
    // The second version has one of them.
    folder.publish(patient, 20, vec![row(3)], 2_000);
    assert!(outdated(), "until it is there");
    deliver(&folder, "mean");
    assert!(outdated(), "the other goes on standing");
    folder.publish(patient, 20, vec![row(4), row(5)], 3_000);
    deliver(&folder, "mean");
    assert!(outdated());
    deliver(&folder, "cv");
    assert!(!outdated());
    // Somebody else's row took it over: it was marked as entered in error.
    folder.publish(patient, 20, vec![row(6)], 4_000);
    deliver(&folder, "mean");
    assert!(outdated());
    folder.publish(patient, 21, vec![row(7)], 4_000);
    deliver(&folder, "cv");
    assert!(!outdated());
}

#[test]
fn what_is_in_doubt_of_an_earlier_version_may_be_outdated_until_it_is_found_out() {
    for (verdict, wanted) in [
        (Verdict::Retry { at: 5_000, cause: "it is not there".into() }, false),
        (Verdict::Delivered { written: written("cv") }, true),
        (Verdict::Quarantine { reason: outbox::UNPROVEN.into() }, true),
    ] {
        let folder = Folder::new();
        let patient = folder.patient("a");
        folder.publish(patient, 20, vec![row(1)], 1_000);
        let leased = folder.lease(1_000).remove(0);
        folder.settle(leased.id, Verdict::Ambiguous { at: 2_000, cause: "cut".into() }, 1_000);
        folder.publish(patient, 20, vec![row(2)], 2_000);
        let window = folder.read(|r| r.window(&window_key(patient, 20))).unwrap().id;
        assert!(folder.read(|r| r.is_outdated(window, "ehr")));
        let looked = folder.lease(3_000).remove(0);
        assert!(looked.overtaken);
        folder.settle(looked.id, verdict.clone(), 3_000);
        deliver(&folder, "mean");
        assert_eq!(folder.read(|r| r.is_outdated(window, "ehr")), wanted, "{verdict:?}");
    }
}

#[test]
fn what_people_are_asked_with_a_version_is_in_the_audit_log_with_it() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let window = folder.dirty(patient, 20, 1_000);
    let mut publish = version(&window, vec![row(1)], 1_000);
    let asked = Condition {
        name: "number-withheld".into(),
        scope: "window 1 at ehr".into(),
        detail: "version 2 withholds cv".into(),
        since: 1_000,
    };
    if let Outcome::Version { conditions, .. } = &mut publish.result {
        conditions.push(asked.clone());
    }
    let ids = folder.writer().publish(publish).wait().unwrap();
    assert_eq!(folder.state(ids[0]), State::Pending);
    assert_eq!(folder.read(|r| r.conditions()), std::slice::from_ref(&asked));
    let told = folder.read(|r| r.audit_after(0, 9));
    let told: Vec<_> = told.iter().map(|(_, one)| (&*one.action, &*one.object, &*one.detail)).collect();
    assert_eq!(told, [("number-withheld raised", &*asked.scope, &*asked.detail)]);
}

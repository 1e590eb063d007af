//! What was logged beside glucose: kept with the readings of its message, and where theirs go it goes.

use outbox::{Absorb, ChunkWrite, Conflict, WriteError};

use crate::folder::{Folder, arrival, nothing};
use crate::identity::*;

fn events(patient: i64, day: i32, expected_version: i64, body: &str) -> ChunkWrite {
    ChunkWrite { patient, device: "pen".into(), day, expected_version, count: 1, body: body.into() }
}

impl Folder {
    fn keep(&self, app_events: Vec<ChunkWrite>) -> Result<(), WriteError> {
        let at = self.read(|r| r.watermark());
        self.writer().absorb(Absorb { app_events, ..nothing(at, at) }).wait()
    }

    /// The bodies that count for a patient, by day.
    fn logged(&self, value: &str) -> Vec<(i32, String)> {
        let mut found = Vec::new();
        for member in self.members(value) {
            let stored = self.read(|r| r.app_events(member, i32::MIN, i32::MAX));
            found.extend(stored.into_iter().map(|day| (day.day, String::from_utf8(day.body).unwrap())));
        }
        found.sort();
        found
    }
}

#[test]
fn events_are_written_with_the_readings_of_their_message_or_not_at_all() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    folder.keep(vec![events(patient, 20, 0, "one")]).unwrap();
    folder.intake(arrival(1, 1)).unwrap();
    let chunk = |expected_version| ChunkWrite {
        patient,
        device: "G7".into(),
        day: 20,
        expected_version,
        count: 1,
        body: vec![1],
    };
    let absorb = |version, chunk| Absorb {
        chunks: vec![chunk],
        app_events: vec![events(patient, 20, version, "two")],
        ..nothing(0, 1)
    };
    // Computed from another version than stands, of the events or of the readings: nothing of the step is done.
    for step in [absorb(0, chunk(0)), absorb(2, chunk(0)), absorb(1, chunk(7))] {
        assert_eq!(folder.writer().absorb(step).wait(), Err(WriteError::Conflict(Conflict::Chunk)));
        assert_eq!((folder.read(|r| r.watermark()), folder.logged("A")), (0, vec![(20, "one".to_owned())]));
        assert!(folder.read(|r| r.chunk(patient, "G7", 20)).is_none());
    }
    folder.writer().absorb(absorb(1, chunk(0))).wait().unwrap();
    let stored = folder.read(|r| r.app_events_of(patient, "pen", 20)).unwrap();
    assert_eq!((stored.version, stored.body.as_slice()), (2, &b"two"[..]));
    assert!(folder.read(|r| r.app_events_of(patient, "another", 20)).is_none());
    assert!(folder.read(|r| r.app_events(patient, 21, 30)).is_empty());
    assert!(folder.read(|r| r.app_events(patient, 19, 20)).is_empty(), "the last day is left out");
}

#[test]
fn events_go_along_with_a_merge_and_come_back_when_it_is_undone() {
    let folder = Folder::new();
    let (survivor, retired) = (folder.patient("S"), folder.patient("R"));
    folder.keep(vec![events(survivor, 20, 0, "theirs"), events(retired, 21, 0, "mine")]).unwrap();
    folder.say(1, merge("S", "R"));
    let all = vec![(20, "theirs".to_owned()), (21, "mine".to_owned())];
    assert_eq!((folder.logged("S"), folder.logged("R")), (all, Vec::new()));
    // Events alone are enough for the windows to be looked at again.
    let rehomed = folder.read(|r| r.rehomed(9, &["main"]));
    assert_eq!(
        rehomed.iter().map(|entry| (entry.member, entry.owner)).collect::<Vec<_>>(),
        [(retired, survivor)]
    );
    folder.redirty();
    folder.unlink(1);
    assert_eq!(folder.logged("S"), [(20, "theirs".to_owned())]);
    assert_eq!(folder.logged("R"), [(21, "mine".to_owned())]);
    assert!(!folder.read(|r| r.rehomed(9, &["main"])).is_empty());
}

#[test]
fn events_of_an_identifier_that_is_bound_to_a_patient_are_that_patients() {
    let folder = Folder::new();
    folder.say(1, bind("A", &["V"]));
    let (holder, _) = folder.seat(&[vendor("V")]).unwrap();
    folder.keep(vec![events(holder, 20, 0, "of V")]).unwrap();
    assert_eq!(folder.logged("A"), [(20, "of V".to_owned())]);
    folder.say(2, shift(vendor("V"), &[name("B")], &[name("A")]));
    assert_eq!((folder.logged("A"), folder.logged("B")), (Vec::new(), vec![(20, "of V".to_owned())]));
}

//! What a version of a resource brings about: it is there with it, or neither is; once; and only as it was looked at.

use outbox::{
    CancelIntent, Conflict, Effect, Fact, Imported, IntentState, NewVersion, Placed, Prospect, Purpose,
    PutResources, ResourceId, Ruling, Shown, VersionBody, WriteError,
};

use crate::consent_fhir::{rule, saying};
use crate::folder::{Folder, arrival};
use crate::intent::note;

fn version(id: ResourceId, kind: &str, expected: Option<i64>) -> NewVersion {
    NewVersion {
        id,
        site: "main".to_owned(),
        kind: kind.to_owned(),
        release: "r4".to_owned(),
        body: VersionBody::Message(0),
        span: (1_000, 1_000),
        keys: vec![1],
        expected,
        shows: None,
    }
}

/// A version with what it brings about, in the message of this number.
fn put(folder: &Folder, message: u64, version: NewVersion, effect: Effect) -> Result<Placed, WriteError> {
    let put = PutResources {
        messages: vec![arrival(message, message)],
        versions: vec![version],
        effects: vec![(0, effect)],
        at: 2_000,
        ..PutResources::default()
    };
    folder.runtime.block_on(folder.writer().put_resources(put))
}

#[test]
fn what_a_version_brings_about_is_there_with_it_or_neither_is() {
    let mut folder = Folder::new();
    let patient = folder.patient("A");
    let id = folder.writer().new_resource(1);
    let denial = || Effect::Consent(saying(patient, 1, vec![rule(Purpose::Treatment, false)]));
    assert!(put(&folder, 1, version(id, "Consent", None), denial()).is_ok());
    assert_eq!(folder.read(|reader| reader.consent_head()).entries, 1);
    let found = folder.read(|reader| reader.consent_entry(1)).unwrap().0;
    let stored = folder.read(|reader| reader.resource(id.number, None)).unwrap();
    assert_eq!(found.inbox_id, Some(stored.inbox_id), "the entry leads to the message");
    // The same message again, after a restart too, is known and decides nothing again.
    folder.reopen();
    let other = folder.writer().new_resource(2);
    let Placed::Done(took) = put(&folder, 1, version(other, "Consent", None), denial()).unwrap() else {
        panic!("it is known");
    };
    assert!(took[0].known && took[0].id == id);
    assert_eq!(folder.read(|reader| reader.consent_head()).entries, 1);

    // One that would not count as it was looked at keeps its version out.
    let late = saying(folder.patient("B"), 2, vec![rule(Purpose::Treatment, true)]);
    assert!(matches!(
        folder.read(|reader| reader.consent_prospect(&late)),
        Prospect::Not(Imported::OtherPatient { .. })
    ));
    let next = folder.writer().new_resource(3);
    assert_eq!(put(&folder, 2, version(next, "Consent", None), Effect::Consent(late)), Ok(Placed::Changed));
    assert!(folder.read(|reader| reader.resource(next.number, None)).is_none());
    let grant = saying(patient, 2, vec![rule(Purpose::Treatment, true)]);
    assert_eq!(
        folder.read(|reader| reader.consent_prospect(&grant)),
        Prospect::Counts(vec![(Purpose::Treatment, Ruling::Grant)])
    );
    assert!(put(&folder, 3, version(id, "Consent", Some(1)), Effect::Consent(grant)).is_ok());
    assert_eq!(folder.read(|reader| reader.consent_head()).entries, 2);
}

#[test]
fn an_intent_is_entered_with_the_version_that_shows_it_and_taken_back_with_the_next() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let id = folder.writer().new_resource(1);
    let enter = |number| Effect::Enter(note(number, patient, None, 2_000));
    assert!(put(&folder, 1, version(id, "Task", None), enter(1)).is_ok());
    let intent = folder.read(|reader| reader.intent_by_key(&[1; 32])).unwrap().id;
    assert_eq!(folder.read(|reader| reader.resource_showing(Shown::Intent, intent, "")), Some(id));
    // Another Task of the same request was too late: it is told, and nothing of it is kept.
    let late = folder.writer().new_resource(2);
    assert_eq!(put(&folder, 2, version(late, "Task", None), enter(1)), Ok(Placed::Changed));
    // Two in one request: neither is kept.
    let both = [folder.writer().new_resource(3), folder.writer().new_resource(4)];
    let twice = PutResources {
        messages: vec![arrival(3, 3), arrival(4, 4)],
        versions: vec![
            version(both[0], "Task", None),
            NewVersion { body: VersionBody::Message(1), ..version(both[1], "Task", None) },
        ],
        effects: vec![(0, enter(2)), (1, enter(2))],
        at: 2_000,
        ..PutResources::default()
    };
    let told = folder.runtime.block_on(folder.writer().put_resources(twice));
    assert_eq!(told, Err(WriteError::Conflict(Conflict::Intent)));
    assert!(folder.read(|reader| reader.intent_by_key(&[2; 32])).is_none());
    assert!(both.iter().all(|id| folder.read(|reader| reader.resource(id.number, None)).is_none()));

    let cancel = || {
        Effect::Cancel(CancelIntent { id: intent, actor: "app".into(), reason: "request".into(), at: 2_100 })
    };
    assert!(put(&folder, 5, version(id, "Task", Some(1)), cancel()).is_ok());
    assert_eq!(folder.read(|reader| reader.intent(intent)).unwrap().state, IntentState::Withdrawn);
}

#[test]
fn a_birth_date_is_learned_with_its_patient() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let id = folder.writer().new_resource(1);
    let fact = Fact { fact: "result-birth", value: "19700102".into() };
    assert!(
        put(
            &folder,
            1,
            version(id, "Patient", None),
            Effect::Learn(outbox::Whose::Number(patient), fact, 2_000)
        )
        .is_ok()
    );
    let births = folder.read(|reader| reader.births(patient));
    assert_eq!((births.of_results.as_deref(), births.registered), (Some("19700102"), None));
}

//! Resources: written with their messages in one commit, once, and only where nothing changed meanwhile.

use outbox::{
    AuditEntry, Find, Guard, NewVersion, Order, Placed, PutResources, ResourceId, Shown, Shows, Took,
    Unserved, VersionBody,
};

use crate::folder::{Folder, arrival};

fn new(id: ResourceId, body: VersionBody, keys: &[i64], expected: Option<i64>) -> NewVersion {
    NewVersion {
        id,
        site: "main".to_owned(),
        kind: "Observation".to_owned(),
        release: "r4".to_owned(),
        body,
        span: (1_000, 1_000),
        keys: keys.to_vec(),
        expected,
        shows: None,
    }
}

/// A message with this body, known by it.
fn message(body: &str) -> outbox::Arrival {
    let mut key = [0; 16];
    key[..body.len().min(16)].copy_from_slice(&body.as_bytes()[..body.len().min(16)]);
    outbox::Arrival { key, body: body.to_owned().into(), ..arrival(0, 0) }
}

fn done(put: Placed) -> Vec<Took> {
    match put {
        Placed::Done(stood) => stood,
        Placed::Changed | Placed::Known(_) | Placed::Overtaken(_) => panic!("nothing had changed"),
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_message_and_its_resource_are_one_commit_and_the_same_message_is_the_same_resource_after_a_restart() {
    let mut folder = Folder::new();
    let writer = folder.writer();
    let id = writer.new_resource(5);
    let put = |id| PutResources {
        messages: vec![message("{\"a\":1.10}")],
        versions: vec![new(id, VersionBody::Message(0), &[11], None)],
        guards: vec![Guard { key: 11, begins: (i64::MIN, i64::MAX), found: Vec::new() }],
        audit: vec![AuditEntry {
            actor: "app".into(),
            action: "fhir create".into(),
            object: "Observation".into(),
            detail: String::new(),
            at: 1,
        }],
        at: 77,
        ..PutResources::default()
    };
    let stood = done(block(writer.put_resources(put(id))).unwrap());
    assert_eq!(stood, [Took { id, version: 1, at: 77, known: false, inbox_id: 1 }]);
    let found = folder.read(|reader| reader.resource(id.number, None)).unwrap();
    assert_eq!((&found.body[..], found.version, found.id), (&b"{\"a\":1.10}"[..], 1, id));
    let message = folder.read(|reader| reader.message(found.inbox_id)).unwrap();
    assert_eq!(message.body, found.body, "the resource is the message, and no copy");
    drop(writer);
    folder.reopen();
    let again = folder.writer().new_resource(6);
    assert!(again.number > id.number, "a number is given out once, also over a restart");
    // The condition does not hold any more, and need not: the message has had its effect.
    let known = done(block(folder.writer().put_resources(put(again))).unwrap());
    assert_eq!(known, [Took { id, version: 1, at: 77, known: true, inbox_id: 1 }]);
    assert!(folder.read(|reader| reader.resource(again.number, None)).is_none());
    assert!(folder.read(|reader| reader.message(message.id + 1)).is_none(), "nothing was stored");
}

#[test]
fn what_changed_meanwhile_keeps_all_of_a_request_out_and_its_neighbours_stand() {
    let folder = Folder::new();
    let writer = folder.writer();
    let (first, second) = (writer.new_resource(1), writer.new_resource(2));
    let create = |id, name: &str, found| PutResources {
        messages: vec![message(name)],
        versions: vec![new(id, VersionBody::Message(0), &[11], None)],
        guards: vec![Guard { key: 11, begins: (i64::MIN, i64::MAX), found }],
        ..PutResources::default()
    };
    // Both looked when nothing was there; they come at once.
    let (one, two) = block(async {
        tokio::join!(
            writer.put_resources(create(first, "one", Vec::new())),
            writer.put_resources(create(second, "two", Vec::new()))
        )
    });
    assert_eq!(done(one.unwrap()).len(), 1);
    assert_eq!(two.unwrap(), Placed::Changed);
    assert_eq!(folder.read(|reader| reader.resources_under(11, (i64::MIN, i64::MAX))), [first.number]);
    assert!(matches!(
        block(writer.put_resources(create(second, "two", vec![first.number]))).unwrap(),
        Placed::Done(_)
    ));

    let update = |expected, body: &str| PutResources {
        messages: vec![message(body)],
        versions: vec![new(first, VersionBody::Message(0), &[12], expected)],
        ..PutResources::default()
    };
    assert_eq!(done(block(writer.put_resources(update(Some(1), "v2"))).unwrap())[0].version, 2);
    assert_eq!(block(writer.put_resources(update(Some(1), "v2 too"))).unwrap(), Placed::Changed);
    // Sent again while it stands it is known; once another has followed it would undo that, and changes nothing.
    assert_eq!(done(block(writer.put_resources(update(Some(2), "v2"))).unwrap())[0].version, 2);
    assert_eq!(done(block(writer.put_resources(update(Some(2), "v3"))).unwrap())[0].version, 3);
    assert_eq!(block(writer.put_resources(update(Some(3), "v2"))).unwrap(), Placed::Overtaken(0));
    assert_eq!(folder.read(|reader| reader.resource(first.number, None)).unwrap().version, 3);
    // Another tag is another resource: one of before a restore.
    let stranger = ResourceId { tag: 9, ..first };
    let put = PutResources {
        versions: vec![new(stranger, VersionBody::Made(b"x".to_vec()), &[], Some(3))],
        ..PutResources::default()
    };
    assert_eq!(block(writer.put_resources(put)).unwrap(), Placed::Changed);
    let versions = folder.read(|reader| reader.resource_history(first.number, None, 9));
    assert_eq!(versions.iter().map(|it| &it.body[..]).collect::<Vec<_>>(), [&b"v3"[..], b"v2", b"one"]);
}

#[test]
fn what_shows_the_box_is_one_resource_for_each_part_and_done_only_where_nothing_changed_since() {
    let folder = Folder::new();
    let writer = folder.writer();
    let patient = folder.patient("1");
    let waiting = folder.read(|reader| reader.unserved(9));
    assert_eq!(waiting, [Unserved { what: Shown::Patient, id: patient, turn: 1 }]);
    let show = |id| NewVersion {
        shows: Some(Shows::Part(Shown::Patient, patient, String::new())),
        ..new(id, VersionBody::Made(b"{}".repeat(200)), &[1], None)
    };
    let id = writer.new_resource(1);
    let put = PutResources { versions: vec![show(id)], served: waiting.clone(), ..PutResources::default() };
    assert_eq!(done(writer.serve_resources(put).wait().unwrap())[0].id, id);
    let reader = folder.store().readers().get().unwrap();
    assert_eq!(reader.unserved(9).unwrap(), []);
    assert_eq!(reader.resource_showing(Shown::Patient, patient, "").unwrap(), Some(id));
    assert_eq!(reader.shown_by(id.number).unwrap(), Some((Shown::Patient, patient)));
    assert_eq!(reader.resource(id.number, None).unwrap().unwrap().body, b"{}".repeat(200));
    drop(reader);
    // By the identifier it is the same patient.
    let key = folder.read(|reader| reader.patient(patient)).unwrap();
    let named = NewVersion { shows: Some(Shows::Patient(key)), ..show(writer.new_resource(3)) };
    let put = PutResources { versions: vec![named], ..PutResources::default() };
    assert_eq!(writer.serve_resources(put).wait().unwrap(), Placed::Changed);
    let twice = PutResources { versions: vec![show(writer.new_resource(2))], ..PutResources::default() };
    assert_eq!(writer.serve_resources(twice).wait().unwrap(), Placed::Changed);
    let find = Find {
        site: "main".into(),
        kind: "Observation".into(),
        all_of: vec![vec![1]],
        begins_before: None,
        begins_from: None,
        ends_from: None,
        updated: (None, None),
        order: Order::Updated,
        descending: false,
        budget: 10,
    };
    assert_eq!(folder.read(|reader| reader.find_resources(&find, None, 5)).found.len(), 1);
}

#[test]
fn a_message_leads_to_the_version_that_it_is() {
    let folder = Folder::new();
    let writer = folder.writer();
    let id = writer.new_resource(3);
    let put = |body: &str, expected| PutResources {
        messages: vec![message(body)],
        versions: vec![new(id, VersionBody::Message(0), &[1], expected)],
        ..PutResources::default()
    };
    done(block(writer.put_resources(put("one", None))).unwrap());
    done(block(writer.put_resources(put("two", Some(1)))).unwrap());
    let inbox_id = folder.read(|reader| reader.resource(id.number, Some(1))).unwrap().inbox_id;
    let found = folder.read(|reader| reader.resource_of_message(inbox_id)).unwrap();
    assert_eq!((found.id, found.version, found.latest, &found.body[..]), (id, 1, 2, &b"one"[..]));
    assert!(folder.read(|reader| reader.resource_of_message(0)).is_none());
    assert!(folder.read(|reader| reader.resource_of_message(inbox_id + 9)).is_none());
}

#[test]
fn a_window_is_to_be_served_anew_when_it_is_published_emptied_or_its_patient_merged_or_split() {
    use crate::identity::merge;
    let folder = Folder::new();
    let (one, other) = (folder.patient("1"), folder.patient("2"));
    folder.publish(one, 100, Vec::new(), 5_000);
    let windows = || -> Vec<Unserved> { folder.read(|reader| reader.unserved_after(Shown::Window, 0, 9)) };
    let window = windows()[0];
    assert_eq!((windows().len(), window.turn), (1, 1));
    let serve = || {
        let put = PutResources { served: windows(), ..PutResources::default() };
        assert_eq!(folder.writer().serve_resources(put).wait().unwrap(), Placed::Done(Vec::new()));
        assert!(windows().is_empty());
    };
    serve();
    folder.say(1, merge("2", "1"));
    assert_eq!(windows()[0].id, window.id, "its patient was merged away");
    assert_eq!(folder.read(|reader| reader.owner(one)), Some(other));
    serve();
    let link = folder.read(|reader| reader.links(1))[0].id;
    folder.writer().unlink(link, crate::identity::how(true, 9_500), "person").wait().unwrap();
    assert_eq!(windows()[0].id, window.id, "and stands alone again");
    assert!(folder.read(|reader| reader.unserved_after(Shown::Window, window.id, 9)).is_empty());
}

#[test]
fn of_versions_that_refer_to_each_other_one_that_is_known_is_told_before_anything_is_written() {
    let folder = Folder::new();
    let writer = folder.writer();
    let device = writer.new_resource(1);
    let alone = PutResources {
        messages: vec![message("device")],
        versions: vec![new(device, VersionBody::Message(0), &[1], None)],
        ..PutResources::default()
    };
    done(block(writer.put_resources(alone)).unwrap());
    let linked = |is_linked| PutResources {
        messages: vec![message("device"), message("reading of the new device")],
        versions: vec![
            new(writer.new_resource(2), VersionBody::Message(0), &[1], None),
            new(writer.new_resource(3), VersionBody::Message(1), &[2], None),
        ],
        is_linked,
        ..PutResources::default()
    };
    let Placed::Known(known) = block(writer.put_resources(linked(true))).unwrap() else {
        panic!("the device is known under another name")
    };
    assert_eq!(
        known.iter().map(|(at, took)| (*at, took.id, took.known)).collect::<Vec<_>>(),
        [(0, device, true)]
    );
    assert_eq!(
        folder.read(|reader| reader.resources_under(2, (i64::MIN, i64::MAX))),
        [0_i64; 0],
        "nothing of it was written"
    );
    let took = done(block(writer.put_resources(linked(false))).unwrap());
    assert_eq!((took[0].id, took[1].known), (device, false), "each for itself");
}

#[test]
fn what_is_committed_later_is_not_stamped_earlier() {
    let folder = Folder::new();
    let writer = folder.writer();
    let put = |body: &str, at| PutResources {
        messages: vec![message(body)],
        versions: vec![new(writer.new_resource(1), VersionBody::Message(0), &[1], None)],
        at,
        ..PutResources::default()
    };
    let stamps: Vec<i64> = [("one", 500), ("overtaken", 400), ("two", 600)]
        .into_iter()
        .map(|(body, at)| done(block(writer.put_resources(put(body, at))).unwrap())[0].at)
        .collect();
    assert_eq!(stamps, [500, 500, 600]);
}

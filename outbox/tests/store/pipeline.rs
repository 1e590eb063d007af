//! Absorbing and publishing: all of a step or nothing, and never over what has changed.

use outbox::{ChunkWrite, Conflict, DirtyWindow, Outcome, PatientKey, Publish, WriteError};

use crate::folder::{Folder, arrival, manifest, nothing, row, version, window_key};

/// The sites of these tests.
const SITES: [&str; 1] = ["main"];

fn chunk(patient: i64, day: i32, expected_version: i64, body: &str) -> ChunkWrite {
    ChunkWrite { patient, device: "G7".into(), day, expected_version, count: 1, body: body.into() }
}

#[test]
fn a_window_is_never_due_before_it_ends_however_often_it_is_dirtied() {
    let folder = Folder::new();
    let patient = folder.patient("1");
    for (step, now) in [1_000, 2_000, 4_000].into_iter().enumerate() {
        let window = window_key(patient, 20);
        let dirty = DirtyWindow { window, now, due_at: 5_100, closes_at: 5_000, max_wait_ms: 400 };
        folder.intake(arrival(step as u64 + 1, 1)).unwrap();
        let at = step as i64;
        folder.writer().absorb(outbox::Absorb { dirty: vec![dirty], ..nothing(at, at + 1) }).wait().unwrap();
        assert!(folder.read(|r| r.due_windows(5_099, 9, &SITES)).is_empty(), "dirtied at {now}");
        assert_eq!(folder.read(|r| r.due_windows(5_100, 9, &SITES)).len(), 1, "dirtied at {now}");
    }
}

#[test]
fn a_patients_windows_are_due_in_the_order_of_their_ends_and_only_at_sites_that_are_there() {
    let folder = Folder::new();
    let patient = folder.patient("1");
    let dirty = [(21, 1_000), (20, 2_000)].map(|(end_day, due_at)| DirtyWindow {
        window: window_key(patient, end_day),
        now: 0,
        due_at,
        closes_at: 0,
        max_wait_ms: 10_000,
    });
    folder.intake(arrival(1, 1)).unwrap();
    folder.writer().absorb(outbox::Absorb { dirty: dirty.to_vec(), ..nothing(0, 1) }).wait().unwrap();
    assert!(folder.read(|r| r.due_windows(1_999, 9, &SITES)).is_empty(), "the earlier one is dirty still");
    let ends: Vec<i32> =
        folder.read(|r| r.due_windows(2_000, 9, &SITES)).iter().map(|window| window.key.end_day).collect();
    assert_eq!(ends, [20, 21]);
    assert!(folder.read(|r| r.due_windows(2_000, 9, &["elsewhere"])).is_empty());
}

#[test]
fn a_patients_due_windows_stand_together_and_the_patient_whose_window_ends_first_goes_first() {
    let folder = Folder::new();
    let [first, second] = ["1", "2"].map(|value| folder.patient(value));
    let dirty =
        [(second, 22), (first, 21), (second, 20), (first, 23)].map(|(patient, end_day)| DirtyWindow {
            window: window_key(patient, end_day),
            now: 0,
            due_at: 1_000,
            closes_at: 0,
            max_wait_ms: 10_000,
        });
    folder.intake(arrival(1, 1)).unwrap();
    folder.writer().absorb(outbox::Absorb { dirty: dirty.to_vec(), ..nothing(0, 1) }).wait().unwrap();
    let all = [(second, 20), (second, 22), (first, 21), (first, 23)];
    for limit in 1..=5 {
        let due = folder.read(|r| r.due_windows(1_000, limit, &SITES));
        let due: Vec<_> = due.iter().map(|window| (window.key.patient, window.key.end_day)).collect();
        assert_eq!(due, all[..limit.min(all.len())], "{limit}");
    }
}

#[test]
fn a_step_that_expects_another_watermark_changes_nothing() {
    let folder = Folder::new();
    folder.intake(arrival(1, 1)).unwrap();
    let conflict = Err(WriteError::Conflict(Conflict::Watermark));
    assert_eq!(folder.writer().absorb(nothing(1, 1)).wait(), conflict);
    assert_eq!(folder.writer().absorb(nothing(0, 2)).wait(), conflict, "there is no message 2");
    assert_eq!(folder.writer().absorb(nothing(0, 1)).wait(), Ok(()));
    assert_eq!(folder.writer().absorb(nothing(0, 1)).wait(), conflict, "done already");
    assert_eq!(folder.writer().absorb(nothing(1, 0)).wait(), conflict, "never backwards");
    assert_eq!(folder.read(|r| r.watermark()), 1);
}

#[test]
fn a_step_with_one_stale_chunk_leaves_nothing_of_itself() {
    let folder = Folder::new();
    folder.intake(arrival(1, 1)).unwrap();
    let patient = folder.patient("a");
    let first = outbox::Absorb { chunks: vec![chunk(patient, 10, 0, "one")], ..nothing(0, 0) };
    folder.writer().absorb(first).wait().unwrap();
    let mut stale = nothing(0, 1);
    stale.chunks = vec![chunk(patient, 11, 0, "new"), chunk(patient, 10, 0, "stale")];
    stale.quarantine = vec![outbox::QuarantineEntry {
        inbox_id: 1,
        stage: "s".into(),
        place: String::new(),
        reason: "r".into(),
        at: 1,
    }];
    assert_eq!(folder.writer().absorb(stale).wait(), Err(WriteError::Conflict(Conflict::Chunk)));
    let (watermark, chunks, counts) =
        folder.read(|r| Ok((r.watermark()?, r.chunks(patient, 0, 100)?, r.counts()?)));
    assert_eq!((watermark, chunks.len(), counts.quarantine), (0, 1, 0));
    // Its identity did not leave the map in memory either.
    assert!(folder.intake(arrival(1, 1)).unwrap().duplicate);
}

#[test]
fn a_failing_command_does_not_undo_its_neighbours() {
    let folder = Folder::new();
    let writer = folder.writer();
    let results = folder.runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..40_u8 {
            let writer = writer.clone();
            tasks.spawn(async move {
                if number % 2 == 0 {
                    writer.put_meta(&format!("n{number}"), vec![number]).await.is_ok()
                } else {
                    writer.absorb(nothing(99, 99)).await.is_ok()
                }
            });
        }
        tasks.join_all().await
    });
    assert_eq!(results.iter().filter(|ok| **ok).count(), 20);
    for number in (0..40_u8).step_by(2) {
        assert_eq!(folder.read(|r| r.meta(&format!("n{number}"))), Some(vec![number]));
    }
}

#[test]
fn chunks_are_read_by_day_with_the_last_day_left_out() {
    let folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    let chunks =
        vec![chunk(a, 12, 0, "12"), chunk(a, 10, 0, "10"), chunk(b, 11, 0, "b"), chunk(a, 11, 0, "11")];
    folder.writer().absorb(outbox::Absorb { chunks, ..nothing(0, 0) }).wait().unwrap();
    let next = vec![chunk(a, 11, 1, "11 again")];
    folder.writer().absorb(outbox::Absorb { chunks: next, ..nothing(0, 0) }).wait().unwrap();
    let found = folder.read(|r| r.chunks(a, 10, 12));
    let found: Vec<_> = found.iter().map(|c| (c.day, c.version, c.body.as_slice())).collect();
    assert_eq!(found, [(10, 1, b"10".as_slice()), (11, 2, b"11 again".as_slice())]);
    assert_eq!(folder.read(|r| r.chunk(b, "G7", 11)).map(|c| c.body), Some(b"b".to_vec()));
    assert!(folder.read(|r| r.chunk(b, "G6", 11)).is_none());
}

#[test]
fn a_patient_keeps_its_number() {
    let mut folder = Folder::new();
    let key = |value: &str| PatientKey { site: "main".into(), system: "urn:mr".into(), value: value.into() };
    let first = folder.writer().patients(vec![key("a"), key("b"), key("a")]).wait().unwrap();
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0], first[1]);
    folder.reopen();
    assert_eq!(folder.patient("b"), first[1]);
    assert_eq!(folder.read(|r| r.patient(first[0])), Some(key("a")));
    assert!(!format!("{:?}", key("secret")).contains("secret"));
}

#[test]
fn dirtying_puts_a_window_off_but_never_beyond_its_longest_wait() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let dirty = |now: i64, due_at: i64| {
        let window =
            DirtyWindow { window: window_key(patient, 20), now, due_at, closes_at: 0, max_wait_ms: 100 };
        folder.writer().absorb(outbox::Absorb { dirty: vec![window], ..nothing(0, 0) }).wait().unwrap();
        let window = folder.read(|r| r.window(&window_key(patient, 20))).unwrap();
        (window.due_at.unwrap(), window.generation)
    };
    assert_eq!(dirty(1_000, 1_060), (1_060, 1));
    assert_eq!(dirty(1_030, 1_090), (1_090, 2));
    assert_eq!(dirty(1_080, 1_140), (1_100, 3), "100 after it first became dirty");
    assert_eq!(folder.read(|r| r.next_due_at()), Some(1_100));
    assert!(folder.read(|r| r.due_windows(1_099, 9, &SITES)).is_empty());
    let due = folder.read(|r| r.due_windows(1_100, 9, &SITES));
    assert_eq!((due.len(), due[0].site.as_str()), (1, "main"));
    let unchanged = Publish {
        window_id: due[0].id,
        expected_version: 0,
        expected_generation: 3,
        result: Outcome::Unchanged,
        at: 1_100,
    };
    folder.writer().publish(unchanged).wait().unwrap();
    assert_eq!(folder.read(|r| r.next_due_at()), None);
    assert_eq!(dirty(2_000, 2_060), (2_060, 4), "a new wait begins");
}

#[test]
fn a_window_survives_a_restart_while_it_waits() {
    let mut folder = Folder::new();
    let patient = folder.patient("a");
    let before = folder.dirty(patient, 20, 7_000);
    folder.reopen();
    assert_eq!(folder.read(|r| r.due_windows(7_000, 9, &SITES)), [before]);
}

#[test]
fn an_outcome_of_older_readings_is_not_recorded_over_newer_ones() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let stale = folder.dirty(patient, 20, 1_000);
    let fresh = folder.dirty(patient, 20, 1_000);
    let conflict = Err(WriteError::Conflict(Conflict::Window));
    assert_eq!(folder.writer().publish(version(&stale, vec![row(1)], 1_000)).wait(), conflict);
    assert_eq!(folder.read(|r| r.window(&fresh.key)), Some(fresh.clone()));
    folder.writer().publish(version(&fresh, vec![row(1)], 1_000)).wait().unwrap();
    assert_eq!(folder.writer().publish(version(&fresh, vec![row(2)], 1_000)).wait(), conflict);
}

#[test]
fn a_version_is_kept_with_its_outcome_and_manifest() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let window = folder.dirty(patient, 20, 1_000);
    let computed = |outcome: &str, of: &str, expected_version, expected_generation| {
        let result =
            Outcome::Computed { outcome_json: outcome.into(), manifest: manifest(of), decisions: Vec::new() };
        let publish =
            Publish { window_id: window.id, expected_version, expected_generation, result, at: 1_000 };
        folder.writer().publish(publish).wait().unwrap();
    };
    let kept = || {
        let kept = folder.read(|r| r.published(window.id)).unwrap();
        (kept.outcome_json, kept.window.version, kept.window.first_published_at)
    };
    // Long enough to be packed.
    let long = format!("{{\"events\":[{}]}}", "{\"kind\":\"low\"},".repeat(9_000));
    computed(&long, "m0", 0, 1);
    assert_eq!(kept(), (long.clone(), 0, None));
    folder.publish(patient, 20, vec![row(1)], 2_000);
    assert_eq!(kept(), ("{\"version\":1}".to_owned(), 1, Some(2_000)));
    // Computed later, and no version: it is the last, and the version is what it was.
    let generation = folder.dirty(patient, 20, 2_500).generation;
    computed(&long, "m1", 1, generation);
    assert_eq!(kept(), (long, 1, Some(2_000)));
    folder.publish(patient, 20, vec![row(2)], 3_000);
    assert_eq!(kept(), ("{\"version\":2}".to_owned(), 2, Some(2_000)));
    let kept = folder.read(|r| r.published(window.id)).unwrap();
    assert_eq!((kept.window.version, kept.window.first_published_at), (2, Some(2_000)));
    assert_eq!((kept.window.display_hash, kept.window.computed_at), (Some([2; 32]), Some(3_000)));
    assert_eq!(folder.read(|r| r.manifest(&kept.manifest)).map(|m| m.count), Some(1));
    let by_hash = |byte| folder.read(|r| r.find_manifest(|sha256| *sha256 == [byte; 32]));
    assert_eq!((by_hash(3).map(|m| m.count), by_hash(4)), (Some(1), None));
    assert_eq!(folder.read(|r| r.outcomes(patient, 9)).len(), 1);
}

#[test]
fn a_publication_that_cannot_be_whole_leaves_nothing() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    folder.publish(patient, 20, vec![row(1)], 1_000);
    let window = folder.dirty(patient, 20, 2_000);
    let refused = |rows| folder.writer().publish(version(&window, rows, 2_000)).wait().unwrap_err();
    assert_eq!(refused(vec![row(2), row(1)]), Conflict::EffectKey.into());
    let forward = outbox::NewRow { depends_on: Some(0), ..row(2) };
    assert_eq!(refused(vec![forward]), Conflict::Dependency.into());
    let elsewhere = outbox::NewRow { destination: "up".into(), depends_on: Some(0), ..row(3) };
    assert_eq!(refused(vec![row(2), elsewhere]), Conflict::Dependency.into());
    assert_eq!(folder.read(|r| r.rows(None, 9)).len(), 1);
    assert_eq!(folder.read(|r| r.window(&window.key)), Some(window.clone()));
}

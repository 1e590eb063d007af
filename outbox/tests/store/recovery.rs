//! Readers beside the writer, and how the store behaves when many use it.

use outbox::{ReadError, State, Verdict};

use crate::folder::{Folder, arrival, row};

#[test]
fn a_reader_sees_one_moment_however_long_it_reads() {
    let folder = Folder::new();
    folder.intake(arrival(1, 1)).unwrap();
    let readers = folder.store().readers();
    let before = readers.get().unwrap();
    assert_eq!(before.counts().unwrap().inbox_total, 1);
    folder.intake(arrival(2, 2)).unwrap();
    assert_eq!(before.counts().unwrap().inbox_total, 1);
    drop(before);
    assert_eq!(readers.with(|r| r.counts()).unwrap().inbox_total, 2);
}

#[test]
fn readers_share_a_bounded_number_of_connections() {
    let folder = Folder::new();
    let readers = folder.store().readers();
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let read: Result<i64, ReadError> = readers.with(|r| r.watermark());
                    assert_eq!(read, Ok(0));
                }
            });
        }
    });
}

#[test]
fn many_threads_publish_and_deliver_and_every_row_is_delivered_once() {
    let folder = Folder::new();
    let patients: Vec<i64> = (0..6).map(|n| folder.patient(&n.to_string())).collect();
    for (key, patient) in (0_u64..).zip(patients.iter().cycle().take(30)) {
        folder.publish(*patient, 20 + key as i32, vec![row(key)], 1_000);
    }
    let writer = folder.writer();
    let mut delivered: Vec<i64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    for _ in 0..40 {
                        let lease = outbox::Lease {
                            destination: "ehr".into(),
                            limit: 2,
                            now: 1_000,
                            take: outbox::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
                            quotas: Vec::new(),
                        };
                        for leased in writer.lease(lease).wait().unwrap() {
                            folder.deliver(leased.id);
                            mine.push(leased.id);
                        }
                    }
                    mine
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    delivered.sort_unstable();
    let before = delivered.len();
    delivered.dedup();
    assert_eq!(before, delivered.len(), "none twice");
    assert_eq!(delivered.len(), 30);
    assert_eq!(folder.read(|r| r.counts()).rows(State::Delivered), 30);
}

#[test]
fn what_was_queued_or_tried_while_the_clock_was_ahead_waits_no_longer_once_it_is_right() {
    const AHEAD: i64 = 1_000_000_000_000;
    let mut folder = Folder::new();
    let queued = folder.publish(folder.patient("A"), 20, vec![row(1)], AHEAD)[0];
    assert_eq!(folder.lease(2_000).len(), 0);
    folder.reopen();
    assert_eq!(folder.lease(2_000)[0].id, queued);
    folder.deliver(queued);

    // Told while it is open, as after a jump.
    let tried = folder.publish(folder.patient("B"), 20, vec![row(2)], 1_000)[0];
    folder.lease(AHEAD);
    folder.settle(tried, Verdict::Retry { at: AHEAD + 60_000, cause: "503".into() }, AHEAD);
    assert_eq!(folder.writer().put_waits_right(3_000).wait(), Ok(1));
    assert_eq!(folder.lease(3_000)[0].id, tried);

    // What waits by the right clock goes on waiting.
    let hour = 3_600_000;
    folder.settle(tried, Verdict::Retry { at: 3_000 + hour, cause: "429".into() }, 3_000);
    assert_eq!(folder.writer().put_waits_right(3_000).wait(), Ok(0));
    assert_eq!(folder.read(|r| r.next_attempt_at("ehr")), Some(3_000 + hour));
}

//! Taking messages in: one effect each, whatever is sent again.

use outbox::{IdentityEntry, QuarantineEntry, Receipt, Store, StoreOptions};

use crate::folder::{Folder, arrival, key, nothing};

fn stored(id: i64, received_at: i64) -> Receipt {
    Receipt { id, received_at, duplicate: false, control_id_reused: false, refused: false }
}

#[test]
fn a_resend_gets_the_first_receipt_also_after_a_restart() {
    let mut folder = Folder::new();
    assert_eq!(folder.intake(arrival(1, 1)), Ok(stored(1, 2_001)));
    assert_eq!(folder.intake(arrival(2, 2)), Ok(stored(2, 2_002)));
    let mut again = arrival(1, 1);
    again.received_at = 9_999;
    let duplicate = Receipt { duplicate: true, ..stored(1, 2_001) };
    assert_eq!(folder.intake(again.clone()), Ok(duplicate));
    folder.reopen();
    assert_eq!(folder.intake(again), Ok(duplicate));
    assert_eq!(folder.intake(arrival(3, 3)), Ok(stored(3, 2_003)));
    assert_eq!(folder.read(|r| r.counts()).inbox_total, 3);
}

#[test]
fn a_control_id_with_another_body_is_another_message_and_flagged() {
    let mut folder = Folder::new();
    folder.intake(arrival(1, 7)).unwrap();
    folder.reopen();
    let reused = folder.intake(arrival(2, 7)).unwrap();
    assert_eq!(reused, Receipt { control_id_reused: true, ..stored(2, 2_002) });
    assert!(folder.read(|r| r.message(2)).unwrap().control_id_reused);
}

#[test]
fn senders_racing_with_one_message_store_it_once_and_learn_the_same_id() {
    let folder = Folder::new();
    let writer = folder.writer();
    let receipts: Vec<Receipt> = folder.runtime.block_on(async {
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let writer = writer.clone();
            racing.spawn(async move { writer.intake(arrival(5, 5)).await.unwrap() });
        }
        racing.join_all().await
    });
    assert_eq!(receipts.iter().filter(|receipt| !receipt.duplicate).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.id == 1));
    assert_eq!(folder.read(|r| r.counts()).inbox_total, 1);
}

#[test]
fn a_message_set_aside_is_processed_afresh_when_it_is_sent_again() {
    for identity in [false, true] {
        let mut folder = Folder::new();
        folder.intake(arrival(1, 1)).unwrap();
        let mut absorb = nothing(0, 1);
        if identity {
            absorb.identity = vec![IdentityEntry { inbox_id: 1, reason: "two MR".into(), at: 1 }];
        } else {
            absorb.quarantine = vec![QuarantineEntry {
                inbox_id: 1,
                stage: "normalize".into(),
                place: "OBX 3, field 6".into(),
                reason: "no unit".into(),
                at: 1,
            }];
        }
        folder.writer().absorb(absorb).wait().unwrap();
        if identity {
            folder.reopen();
        }
        assert_eq!(folder.intake(arrival(1, 1)), Ok(stored(2, 2_001)));
        assert!(folder.intake(arrival(1, 1)).unwrap().duplicate);
        let counts = folder.read(|r| r.counts());
        assert_eq!(counts.quarantine + counts.identity_queue, 1);
    }
}

#[test]
fn a_refused_message_is_kept_and_quarantined_and_never_offered() {
    let folder = Folder::new();
    assert_eq!(folder.intake(refused("no MSH-10")), Ok(Receipt { refused: true, ..stored(1, 2_001) }));
    // Its identity was not entered.
    assert_eq!(folder.intake(arrival(1, 1)), Ok(stored(2, 2_001)));
    let (offered, kept, counts) =
        folder.read(|r| Ok((r.messages_after(0, 9, 999)?, r.message(1)?, r.counts()?)));
    assert_eq!(offered.iter().map(|m| m.id).collect::<Vec<_>>(), [2]);
    assert_eq!(kept.map(|m| (m.refused, m.body)), Some((true, "message 1".into())));
    assert_eq!((counts.inbox_total, counts.inbox_pending, counts.quarantine), (2, 1, 1));
    assert_eq!(folder.read(|r| r.quarantine(1))[0].reason, "no MSH-10");
}

fn refused(reason: &str) -> outbox::Arrival {
    outbox::Arrival { refusal: Some(reason.into()), ..arrival(1, 1) }
}

#[test]
fn a_refused_message_that_comes_again_is_counted_on_its_first_row_and_judged_afresh() {
    let mut folder = Folder::new();
    let first = Receipt { refused: true, ..stored(1, 2_001) };
    assert_eq!(folder.intake(refused("MSH-11")), Ok(first));
    let again = outbox::Arrival { received_at: 5_000, ..refused("MSH-12") };
    for _ in 0..3 {
        assert_eq!(folder.intake(again.clone()), Ok(Receipt { duplicate: true, ..first }));
        folder.reopen();
    }
    let entries = folder.read(|r| r.refused(9));
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].inbox_id, entries[0].seen, entries[0].at, entries[0].last_at),
        (1, 4, 2_001, 5_000)
    );
    assert_eq!(entries[0].reason, "MSH-12", "the reason that stands in its way now");
    let counts = folder.read(|r| r.counts());
    assert_eq!((counts.inbox_total, counts.quarantine), (1, 1));
    // Once it is accepted it stays accepted, whatever is thought of it later.
    assert_eq!(folder.intake(arrival(1, 1)), Ok(stored(2, 2_001)));
    assert_eq!(folder.intake(refused("MSH-11")), Ok(Receipt { duplicate: true, ..stored(2, 2_001) }));
}

#[test]
fn the_messages_of_a_frame_are_taken_in_together_and_each_is_known_by_itself() {
    let folder = Folder::new();
    folder.intake(arrival(2, 2)).unwrap();
    let frame = vec![arrival(1, 1), arrival(2, 2), refused("no"), arrival(3, 3), arrival(3, 3)];
    let frame: Vec<_> = frame.into_iter().map(|one| outbox::Arrival { received_at: 7_000, ..one }).collect();
    let together = |arrivals| folder.runtime.block_on(folder.writer().intake_together(arrivals)).unwrap();
    let receipts = together(frame.clone());
    let seen: Vec<_> = receipts.iter().map(|r| (r.id, r.duplicate, r.refused)).collect();
    // The refused one has the identity of the first, which was accepted: it is that message.
    let expected =
        [(2, false, false), (1, true, false), (2, true, false), (3, false, false), (3, true, false)];
    assert_eq!(seen, expected);
    assert!(together(frame).iter().all(|receipt| receipt.duplicate));
    assert_eq!(folder.read(|r| r.counts()).inbox_total, 3);
    assert_eq!(together(Vec::new()), []);
}

#[test]
fn messages_are_read_by_count_and_by_bytes() {
    let folder = Folder::new();
    for number in 1..=5 {
        folder.intake(arrival(number, number)).unwrap();
    }
    let ids = |after, limit, bytes| {
        let messages = folder.read(|r| r.messages_after(after, limit, bytes));
        messages.into_iter().map(|m| m.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(0, 3, 1_000), [1, 2, 3]);
    assert_eq!(ids(3, 3, 1_000), [4, 5]);
    // A body is nine bytes: ten are reached with the second.
    assert_eq!(ids(0, 3, 10), [1, 2]);
    assert_eq!(ids(0, 3, 1), [1]);
    assert!(ids(5, 3, 1_000).is_empty());
}

#[test]
fn beyond_the_horizon_a_resend_is_a_new_message() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { dedupe_horizon_ms: 1_000, ..StoreOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Store::open(dir.path(), key(), options.clone(), 2_000).unwrap();
    let take = |store: &Store, number| runtime.block_on(store.writer().intake(arrival(number, number)));
    assert_eq!(take(&store, 1).unwrap().id, 1);
    drop(store);
    // Taken in at 2,001; exactly one horizon later it is still known, a millisecond after that no more.
    let store = Store::open(dir.path(), key(), options.clone(), 3_001).unwrap();
    assert!(take(&store, 1).unwrap().duplicate);
    drop(store);
    let store = Store::open(dir.path(), key(), options, 3_002).unwrap();
    assert!(!take(&store, 1).unwrap().duplicate);
}

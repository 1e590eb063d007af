use std::sync::Arc;

use mllp::asked::Mode;
use outbox::{Key, Store, StoreOptions};

use super::*;
use crate::config::Answering;

/// An intake before a store that takes commits for as long as it is held.
fn with_store() -> (Intake, Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Key::from_hex(&"a".repeat(64)).unwrap(), StoreOptions::default(), 0);
    let store = store.unwrap();
    let (wake, _woken) = Wake::new();
    (Intake::new(store.writer(), Board::default(), wake), store, dir)
}

/// An intake before a store that takes nothing any more.
fn without_store() -> Intake {
    let (intake, store, _dir) = with_store();
    assert!(store.close());
    intake
}

fn feed(answering: Answering) -> Feed {
    let mut feed = Feed::new("f", "main");
    feed.answering = Arc::new(answering);
    feed
}

fn message(accept: &str, application: &str) -> Bytes {
    format!("MSH|^~\\&|A|B|C|D|2026||ORU^R01|X1|P|2.5.1|||{accept}|{application}\r").into()
}

fn code(reply: &Reply) -> Option<AckCode> {
    match reply {
        Reply::Acknowledge { code, bytes, .. } => {
            assert!(bytes.windows(5).any(|part| part == b"|207^"), "{bytes:?}");
            Some(*code)
        }
        Reply::Nothing | Reply::Close => None,
    }
}

#[tokio::test]
async fn a_store_that_fails_earns_no_answer_unless_the_listener_says_so_and_never_a_positive_one() {
    let intake = without_store();
    let closing = feed(Answering::default());
    let rejecting = feed(Answering { on_store_failure: StoreFailure::Reject, ..Answering::default() });
    let batch = Bytes::from_static(b"BHS|^~\\&|A||||||||B1\rMSH|^~\\&|A|B|C|D|2026||ORU^R01|X1|P|2.5.1\r");
    for (frame, expected) in [
        (message("", ""), Some(AckCode::AR)),
        (message("AL", ""), Some(AckCode::CE)),
        (message("ER", ""), Some(AckCode::CE)),
        // Where no negative answer is wanted, only the end of the connection can tell.
        (message("NE", ""), None),
        (message("SU", ""), None),
        (Bytes::from_static(b"garbage"), Some(AckCode::AR)),
        (batch, Some(AckCode::AR)),
    ] {
        assert_eq!(intake.take(&closing, frame.clone()).await, Reply::Close);
        let reply = intake.take(&rejecting, frame.clone()).await;
        assert_eq!(code(&reply), expected, "{frame:?}");
        assert_ne!(reply, Reply::Nothing, "silence would say that it was taken");
    }
    assert_eq!(intake.conditions.all().len(), 1, "told to people");
}

#[tokio::test]
async fn a_frame_over_the_cap_is_rejected_as_it_asks() {
    let (intake, _store, _dir) = with_store();
    for (mode, head, expected) in [
        (Mode::AsAsked, message("", ""), Some(AckCode::AR)),
        (Mode::AsAsked, message("AL", ""), Some(AckCode::CR)),
        (Mode::AsAsked, message("NE", ""), None),
        (Mode::Original, message("NE", ""), Some(AckCode::AR)),
        (Mode::Enhanced, message("", ""), Some(AckCode::CR)),
    ] {
        let feed = feed(Answering { acknowledge: mode, ..Answering::default() });
        let batch = Bytes::from_static(b"BHS|^~\\&|A||||||||B1\rMSH|^~\\&|A|B|C|D|2026||ORU^R01|X1|P|2.5");
        let Reply::Acknowledge { bytes, .. } = intake.too_long(&feed, batch.clone(), 10).await else {
            panic!("no answer")
        };
        assert!(bytes.windows(4).any(|part| part == b"|B1|"), "{bytes:?}");
        assert_eq!(code(&intake.too_long(&feed, head.clone(), 10).await), expected, "{mode:?} {head:?}");
    }
}

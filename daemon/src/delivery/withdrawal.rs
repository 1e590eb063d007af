//! Ends the request to withdraw what turned out not to stand anywhere.
//!
//! Invariant: a window of which nothing stands, or may stand, at any destination has nothing to withdraw: what was under
//! way when its patient was merged away, or when its readings were taken back, was found not to have been written.

use outbox::{Readers, Writer};

use crate::conditions::{Board, Kind};

/// Clears `withdrawal-needed` of windows of which nothing stands, in the store and on the board. A store that cannot be
/// read or written is asked again the next time.
pub(super) async fn clear_unwritten(conditions: &Board, readers: &Readers, writer: &Writer) {
    for scope in conditions.scopes(Kind::WithdrawalNeeded) {
        let Some(window) = scope.strip_prefix("window ").and_then(|id| id.parse().ok()) else { continue };
        let stands = readers.with(|reader| reader.stands(window));
        if matches!(stands, Ok(false)) && writer.clear(Kind::WithdrawalNeeded.word(), &scope).await.is_ok() {
            conditions.clear(Kind::WithdrawalNeeded, &scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use outbox::{Lease, Settle, Take, Verdict};

    use super::*;
    use crate::delivery::birth_date::tests::store_with_a_row;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_withdrawal_is_asked_for_only_while_something_may_stand() {
        for (verdict, asked) in [
            (None, true),
            (Some(Verdict::Ambiguous { at: 2, cause: "time-out".to_owned() }), true),
            (Some(Verdict::Quarantine { reason: outbox::UNPROVEN.to_owned() }), true),
            (Some(Verdict::Delivered { written: Vec::new() }), true),
            (Some(Verdict::Quarantine { reason: "422".to_owned() }), false),
            (Some(Verdict::Retry { at: 2, cause: "refused".to_owned() }), false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().to_owned();
            let store = tokio::task::spawn_blocking(move || store_with_a_row(&path)).await.unwrap();
            let (writer, readers) = (store.writer(), store.readers());
            let lease = Lease {
                destination: "ehr".to_owned(),
                limit: 1,
                now: 1,
                take: Take::Any,
                quotas: Vec::new(),
            };
            let row_id = writer.lease(lease).await.unwrap()[0].id;
            let board = Board::default();
            board.raise(Kind::WithdrawalNeeded, "window 1", String::new(), 1);
            writer.raise(Kind::WithdrawalNeeded.word(), "window 1", "", 1).await.unwrap();
            if let Some(verdict) = verdict.clone() {
                let settle = Settle {
                    row_id,
                    lease: None,
                    verdict,
                    wrote: true,
                    modes: Vec::new(),
                    audit: Vec::new(),
                    at: 1,
                };
                writer.settle(settle).await.unwrap();
            }
            clear_unwritten(&board, &readers, &writer).await;
            let stored = readers.with(|reader| reader.conditions()).unwrap();
            assert_eq!((board.all().len() == 1, stored.len() == 1), (asked, asked), "{verdict:?}");
        }
    }
}

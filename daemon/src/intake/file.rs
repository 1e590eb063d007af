//! The way in for what stands in files: messages, which nobody waits for an answer to, and bodies that are no HL7.
//!
//! Invariants: as for a connection's messages. What is told of a message is told only after its commit was synced; the
//! identity of a body that is no HL7 is its source, kind and bytes, so the same content under another name is the same.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use mllp::envelope::Envelope;
use outbox::{Arrival, Receipt, WriteError};
use sha2::{Digest, Sha256};

use super::{
    Intake,
    arrival::{arrival, first},
    readable, verdict,
};
use crate::{
    feed::Feed,
    route::{Handler, PART},
    time, traces,
};

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// It had been received before; nothing was stored.
    pub duplicate: bool,
    /// Where it was stored only to be looked at: why, in words without patient data.
    pub refusal: Option<String>,
}

/// A body that is no HL7 v2 message.
#[derive(Clone)]
pub struct Deposit {
    /// What it is, in place of MSH-9: "csv" and the like.
    pub kind: &'static str,
    /// Stands for MSH-10; holds no patient data.
    pub control_id: Box<str>,
    /// The bytes.
    pub body: Bytes,
    /// What the pipeline does with it.
    pub handler: Handler,
    /// Where it is stored only to be looked at: why.
    pub refusal: Option<Box<str>>,
}

impl Intake {
    /// Commits one message of a file, judged and placed as a listener's would be. `None` where the store cannot take it
    /// at the moment; the condition is told.
    pub async fn receive(&self, feed: &Feed, body: Bytes) -> Option<Received> {
        let scanned = Envelope::scan(&body);
        let refusal = verdict(feed, &scanned, &body);
        let envelope = readable(&scanned);
        let place = self.place(feed, envelope);
        let receipt = self.commit(feed, arrival(feed, envelope, place, body, refusal.as_ref())).await?;
        feed.count_receipt(&receipt, refusal.as_ref().map(|refusal| refusal.fault.code));
        // One that was accepted before stays so, whatever is thought of it now.
        let refusal = refusal.filter(|_| receipt.refused).map(|refusal| refusal.fault.text.into_owned());
        Some(Received { duplicate: receipt.duplicate, refusal })
    }

    /// Commits a body that is no HL7 v2. `None` where the store cannot take it at the moment; the condition is told.
    pub async fn keep(&self, feed: &Feed, deposit: Deposit) -> Option<Receipt> {
        let arrival = self::deposit(feed, deposit);
        self.commit(feed, arrival).await
    }

    async fn commit(&self, feed: &Feed, arrival: Arrival) -> Option<Receipt> {
        let started = Instant::now();
        let committed: Result<Receipt, WriteError> = self.writer.intake_file(arrival).await;
        match committed {
            Ok(receipt) => {
                feed.count_commit(started.elapsed());
                traces::received(feed, &receipt, started, started);
                self.committed();
                Some(receipt)
            }
            Err(error) => {
                self.tell_not_stored(&error);
                None
            }
        }
    }
}

/// The arrival of a body that is no HL7 v2, for who commits it.
pub(crate) fn deposit(feed: &Feed, deposit: Deposit) -> Arrival {
    let Deposit { kind, control_id, body, handler, refusal } = deposit;
    let hash: [u8; 32] = Sha256::digest(&body).into();
    // The leading word keeps these apart from messages, whose parts have their lengths before them.
    let mut identity = Sha256::new_with_prefix("deposit\0");
    for part in [feed.source.as_bytes(), kind.as_bytes(), &hash] {
        identity.update((part.len() as u64).to_be_bytes());
        identity.update(part);
    }
    let identity = identity.finalize();
    Arrival {
        source: Arc::clone(&feed.source),
        site: Arc::clone(&feed.site),
        // What is no message and no export is kept, and never read as one.
        handler: if handler == Handler::Keep { PART } else { handler.word() },
        kind: kind.into(),
        control_id,
        received_at: time::now_ms(),
        key: first(&identity),
        // No id that its sender gave could be used for another body.
        control_key: first(&identity[16..]),
        hash,
        body,
        refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deposit_is_known_by_source_kind_and_bytes_and_by_nothing_else() {
        let of = |source: &str, kind: &'static str, id: &str, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            let deposit =
                Deposit { kind, control_id: id.into(), body, handler: Handler::File, refusal: None };
            super::deposit(&Feed::new(source, "main"), deposit)
        };
        let first = of("drop", "csv", "1", "a");
        assert_eq!(of("drop", "csv", "2", "a").key, first.key);
        for other in [of("drop2", "csv", "1", "a"), of("drop", "json", "1", "a"), of("drop", "csv", "1", "b")]
        {
            assert_ne!(other.key, first.key);
            assert_ne!(other.control_key, first.control_key);
        }
    }
}

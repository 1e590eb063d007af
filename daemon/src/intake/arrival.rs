//! A message on its way into the store: its labels and its identity.
//!
//! Invariant: the identity is a SHA-256 over source, MSH-3, MSH-4, MSH-10 and the body, each with its length before it,
//! so that no two fields can be shifted into each other. The source is the feed's configured name and not the peer's
//! address, because engines fail over.

use std::sync::Arc;

use bytes::Bytes;
use mllp::envelope::Envelope;
use outbox::Arrival;
use sha2::{Digest, Sha256};

use super::judge::Refusal;
use crate::{
    feed::Feed,
    route::{Handler, PART},
    time,
};

/// Longest text of MSH-9 and MSH-10 kept beside the raw bytes; longer ones are cut there, never in the bytes.
const LABEL_MAX_BYTES: usize = 200;

/// Where a message belongs, and what is done with it.
pub(super) struct Place {
    pub(super) site: Arc<str>,
    pub(super) handler: Handler,
}

/// What is handed to the store for one message.
pub(super) fn arrival(
    feed: &Feed,
    envelope: Option<&Envelope>,
    place: Place,
    body: Bytes,
    refusal: Option<&Refusal>,
) -> Arrival {
    let hash: [u8; 32] = Sha256::digest(&body).into();
    let kind = envelope.map_or(&[][..], |envelope| envelope.field(9));
    let (control_key, key) = identity(feed, envelope, b"", &hash);
    Arrival {
        source: Arc::clone(&feed.source),
        site: place.site,
        handler: place.handler.word(),
        kind: label(kind),
        control_id: label(control_id(envelope)),
        received_at: time::now_ms(),
        key,
        control_key,
        hash,
        body,
        refusal: refusal.map(|refusal| refusal.fault.text.as_ref().into()),
    }
}

/// What is handed to the store for a batch: `body`, which is what stands around its messages, or the whole frame where
/// it is refused. Its identity is that of the whole `frame`.
pub(super) fn of_batch(
    feed: &Feed,
    envelope: Option<&Envelope>,
    frame: &Bytes,
    body: Bytes,
    refusal: Option<&Refusal>,
) -> Arrival {
    let (control_key, key) = identity(feed, envelope, b"batch", &Sha256::digest(frame).into());
    Arrival {
        source: Arc::clone(&feed.source),
        site: Arc::clone(&feed.site),
        handler: PART,
        kind: "batch".into(),
        control_id: label(control_id(envelope)),
        received_at: time::now_ms(),
        key,
        control_key,
        hash: Sha256::digest(&body).into(),
        body,
        refusal: refusal.map(|refusal| refusal.fault.text.as_ref().into()),
    }
}

/// The identity of the control id at its source, and that of the message. `apart` keeps the ids of batches from those of
/// messages; it is empty for these.
fn identity(feed: &Feed, envelope: Option<&Envelope>, apart: &[u8], hash: &[u8; 32]) -> ([u8; 8], [u8; 16]) {
    let field = |pick: fn(&Envelope) -> &[u8]| envelope.map_or(&[][..], pick);
    let mut identity = Sha256::new();
    for part in [
        feed.source.as_bytes(),
        field(Envelope::sending_application),
        field(Envelope::sending_facility),
        control_id(envelope),
    ] {
        identity.update((part.len() as u64).to_be_bytes());
        identity.update(part);
    }
    identity.update(apart);
    let control_key = first(&identity.clone().finalize());
    identity.update(hash);
    (control_key, first(&identity.finalize()))
}

fn control_id(envelope: Option<&Envelope>) -> &[u8] {
    envelope.map_or(&[][..], Envelope::control_id)
}

pub(super) fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| digest[i])
}

fn label(text: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&text[..text.len().min(LABEL_MAX_BYTES)]).into_owned().into_boxed_str()
}

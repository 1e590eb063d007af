//! FHIR Consents in a file: stored as one message, and taken into the consent ledger each for itself.
//!
//! Invariants: the file is in the inbox, committed and synced, before any of it counts; a kill between the two leaves it in
//! `work/`, and read again it is known; where any part of it does not count, the file stays for people with the element
//! named, and the other parts count.

use serde::Deserialize;
use serde_json::Value;

use super::{Content, Lane, Read, STORE_PAUSE};
use crate::{
    consent::{Door, Taken},
    route::Handler,
    spool::letter::Report,
};

/// The longest file that is looked at for Consents; they hold no data, and a thousand of them are less.
const MOST_BYTES: usize = 16 * 1024 * 1024;
const ADVICE: &str = "Have the named elements changed at the source, or record the decision by `isthmus consent grant` or \
    `withdraw`. docs/consent.md says what can be carried out.";

impl Lane {
    /// Takes Consents in; `None` where the file holds none.
    pub(super) fn consents(&mut self, content: &Content<'_>, text: &[u8]) -> Option<Read> {
        if text.len() > MOST_BYTES || !may_hold(text) {
            return None;
        }
        let document: Value = serde_json::from_slice(text).ok()?;
        if !clinical::fhir::consent::holds_consent(&document) {
            return None;
        }
        let generation = self.current.get();
        let site = generation.config.sites.get(&self.settings.site)?;
        let mut report = Report { content: "FHIR Consent".to_owned(), ..Report::default() };
        let bytes = content.bytes.clone();
        let Some(receipt) = self.keep("consent", content, bytes, Handler::Keep, None, &mut report) else {
            return Some(Read::Stopped);
        };
        let (writer, readers) = (self.writer.clone(), self.readers.clone());
        let door = Door {
            site,
            writer: &writer,
            readers: &readers,
            actor: format!("spool {}", self.settings.name),
            reason: format!("FHIR Consent in message {}", receipt.id),
            inbox_id: receipt.id,
            source: Some(format!("spool {}", self.settings.name)),
            is_trial: false,
        };
        let taken = loop {
            match door.take(&document) {
                Ok(taken) => break taken,
                Err(error) => {
                    tracing::warn!(spool = %self.settings.name, %error, "a Consent could not be taken yet");
                    if !self.pause(STORE_PAUSE) {
                        return Some(Read::Stopped);
                    }
                }
            }
        };
        for (number, one) in (1..).zip(&taken) {
            report.say(format!("Consent {number}: {}", one.line()));
        }
        if taken.iter().any(|one| matches!(one, Taken::Refused(_) | Taken::Halved(..))) {
            report.set_aside = true;
            ADVICE.clone_into(&mut report.advice);
        }
        Some(Read::Settle(report))
    }
}

/// The beginning of a resource: nothing else of it is kept.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    kind: Option<String>,
}

/// Whether JSON says that it is a Consent or a Bundle.
fn may_hold(text: &[u8]) -> bool {
    let head = serde_json::from_slice::<Head>(text);
    head.is_ok_and(|head| matches!(head.kind.as_deref(), Some("Consent" | "Bundle")))
}

//! What the box itself takes back: a published window that has no readings left, because their source took them back or they
//! came to count for another patient.
//!
//! Invariants: it is an intent like a person's `withdraw`, and goes the same way (`withdraw.rs`), once for each version that
//! was taken back, after what of its window is under way; that no reading is left is asked once more in the transaction
//! that queues it. Where the form cannot say it, or the place is not known, or another patient's record holds it, it stays
//! with people, and the condition says why. Readings that come back make a new version: what was not sent of the taking
//! back is given up then, and what was is amended by the version behind it.
//!
//! Not taken back by itself: what was written for a patient who was merged into another. There the hospital decides what its
//! EHR does with the record, and the numbers are not wrong.

use clinical::{
    fhir::intent::{Signature, Wish},
    reading::Instant,
};
use sha2::{Digest, Sha256};

use super::{IntentError, Intents, refused};
use crate::time;

/// Who says it, as lists of intents name them.
const OWN_NAME: &str = "Isthmus";
/// In which role: why no person did.
const OWN_ROLE: &str = "by itself: no reading of the window is left";

impl Intents {
    /// Takes back what stands of a window. What came of it in a few words; `None` where nothing is to be done (any more),
    /// or it was begun before.
    ///
    /// # Errors
    /// [`IntentError`]; nothing was stored then, and what is refused is for people.
    pub(crate) fn take_back(&self, id: i64) -> Result<Option<String>, IntentError> {
        let (window, gone, stands) = self
            .readers
            .with(|reader| Ok((reader.window_by_id(id)?, reader.was_taken_back(id)?, reader.stands(id)?)))?;
        let Some(window) = window.filter(|_| gone && stands) else { return Ok(None) };
        let site = self.site(Some(&window.site))?;
        let key = key_of(&site.id, id, window.version);
        if self.readers.with(|reader| reader.intent_by_key(&key))?.is_some() {
            return Ok(None);
        }
        if self.readers.with(|reader| reader.is_under_way(id))? {
            return refused(
                "a write of it is under way or in doubt, and it is marked as entered in error after that",
            );
        }
        let at = time::now_ms();
        let signed = Signature {
            author: OWN_NAME,
            role: Some(OWN_ROLE),
            behalf: None,
            transcriber: None,
            entered: Instant(at),
        };
        let patient = window.key.patient;
        let plan = self.plan(&site, (patient, Some(window)), &Wish::Withdraw, &signed, &key, true)?;
        let prepared = self.prepared(plan, &Wish::Withdraw, &signed, (key, i64::MAX), ("isthmus", at))?;
        let taken = self.store(prepared)?;
        let number = taken.entered.id;
        Ok(Some(match taken.by_hand.as_slice() {
            [] => format!("it is being marked as entered in error (intent {number})"),
            left => format!(
                "it is being marked as entered in error (intent {number}), but for {}, where people have to do it by hand, \
                 then: isthmus site withdrawn \"window {id}\" --reason TEXT",
                left.join(", ")
            ),
        }))
    }

    /// Takes back what stands of the windows that people are asked to withdraw, as far as that is the box's own to do, and
    /// says of the others why it is not. What is refused is tried again the next time: it may be under way at the moment.
    pub(super) fn take_back_all(&self, conditions: &crate::conditions::Board) {
        use crate::conditions::Kind::WithdrawalNeeded;
        for scope in conditions.scopes(WithdrawalNeeded) {
            let Some(id) = scope.strip_prefix("window ").and_then(|id| id.parse().ok()) else { continue };
            let what = match self.take_back(id) {
                Ok(None) => continue,
                Ok(Some(what)) => what,
                Err(IntentError::Refused(why)) => why,
                Err(error) => {
                    tracing::warn!(window = id, %error, "what was taken back could not be marked");
                    continue;
                }
            };
            let detail = format!("window {id} was published, and no reading of it is left: {what}");
            // It may have ended meanwhile.
            conditions.renew(WithdrawalNeeded, &scope, detail);
        }
    }
}

/// The same version of a window is taken back once. No name of a request has this key.
fn key_of(site: &str, window: i64, version: i64) -> [u8; 32] {
    let mut key = Sha256::new_with_prefix(b"taken back");
    key.update((site.len() as u64).to_be_bytes());
    key.update(site);
    key.update(window.to_be_bytes());
    key.update(version.to_be_bytes());
    key.finalize().into()
}

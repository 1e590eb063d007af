//! What people permit and want written: reads of the consent ledger and of intents.

use super::Reader;
use crate::{
    consent::{self, ConsentAnswer, ConsentEntry, ConsentHead, Purpose},
    consent_chain,
    consent_import::{self, ConsentSaying, Prospect},
    consent_rows::{self, Leased, Stood},
    error::ReadError,
    in_force,
    intent_rows::{self, Intent, IntentFilter, IntentPlace, WrittenPart},
    intent_standing::IntentState,
    lineage, rehome,
    windows::{self, Window},
};

impl Reader {
    /// Whether something of a patient may leave for a purpose; `at` is now.
    pub fn consent(&self, patient: i64, purpose: Purpose, at: i64) -> Result<ConsentAnswer, ReadError> {
        Ok(in_force::answer(self.conn()?, patient, purpose, at)?)
    }

    /// Whether consent, as it is recorded now, lets a leased row of a patient leave for its destination.
    pub fn lets_leave(
        &self,
        destination: &str,
        patient: i64,
        row: Leased,
        at: i64,
    ) -> Result<bool, ReadError> {
        Ok(consent_rows::lets_leave(self.conn()?, destination, patient, row, at)?)
    }

    /// Whether readings came for a patient, or outcomes were computed, under any of the patient's identifiers.
    pub fn has_results(&self, patient: i64) -> Result<bool, ReadError> {
        for member in in_force::person(self.conn()?, patient)? {
            if windows::has_results(self.conn()?, member)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The identifiers whose decisions are one patient's, of any of them.
    pub fn person(&self, patient: i64) -> Result<Vec<i64>, ReadError> {
        Ok(in_force::person(self.conn()?, patient)?)
    }

    /// Entries of the consent ledger with their numbers, the newest first: those before `before`; of these identifiers
    /// where any are named.
    pub fn consents(
        &self,
        patients: &[i64],
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, ConsentEntry)>, ReadError> {
        consent::newest(self.conn()?, patients, before, limit)
    }

    /// One entry of the consent ledger and its hash.
    pub fn consent_entry(&self, id: i64) -> Result<Option<(ConsentEntry, [u8; 32])>, ReadError> {
        consent::entry(self.conn()?, id)
    }

    /// The end of the consent ledger as it is stored; nothing is checked.
    pub fn consent_head(&self) -> Result<ConsentHead, ReadError> {
        Ok(consent_chain::head(self.conn()?)?)
    }

    /// What a FHIR Consent would become in the ledger now; nothing is recorded.
    pub fn consent_prospect(&self, said: &ConsentSaying) -> Result<Prospect, ReadError> {
        Ok(consent_import::prospect(self.conn()?, said)?)
    }

    /// Walks the consent ledger's whole chain of hashes; a head that was exported earlier must be in it.
    pub fn verify_consent(&self, known: Option<ConsentHead>) -> Result<ConsentHead, ReadError> {
        consent_chain::verify(self.conn()?, known)
    }

    /// Whether the time of any decision came or passed after `since`, up to `at`.
    pub fn consent_turns(&self, since: i64, at: i64) -> Result<bool, ReadError> {
        consent::turns(self.conn()?, since, at)
    }

    /// How many rows are held for want of consent.
    pub fn held_for_consent(&self) -> Result<u64, ReadError> {
        consent_rows::held(self.conn()?)
    }

    /// The destinations for which a version was not written for want of consent, which is in force at `at` and reaches
    /// back to it.
    pub fn owed_by_consent(&self, window_id: i64, version: i64, at: i64) -> Result<Vec<String>, ReadError> {
        consent_rows::owed(self.conn()?, window_id, version, at)
    }

    /// What stands, or may stand, of a patient at destinations of a purpose: at most `limit`.
    pub fn stood(&self, patient: i64, purpose: Purpose, limit: usize) -> Result<Vec<Stood>, ReadError> {
        consent_rows::stood(self.conn()?, patient, purpose, limit)
    }

    /// Intents, the newest first.
    pub fn intents(&self, filter: &IntentFilter) -> Result<Vec<Intent>, ReadError> {
        intent_rows::list(self.conn()?, filter)
    }

    /// One intent.
    pub fn intent(&self, id: i64) -> Result<Option<Intent>, ReadError> {
        Ok(intent_rows::by_id(self.conn()?, id)?)
    }

    /// The intent of a request.
    pub fn intent_by_key(&self, key: &[u8; 32]) -> Result<Option<Intent>, ReadError> {
        Ok(intent_rows::by_key(self.conn()?, key)?)
    }

    /// Whether a write of a window is out, or in doubt.
    pub fn is_under_way(&self, window_id: i64) -> Result<bool, ReadError> {
        Ok(rehome::is_under_way(self.conn()?, window_id)?)
    }

    /// Whether a window was published and has no readings left.
    pub fn was_taken_back(&self, window_id: i64) -> Result<bool, ReadError> {
        Ok(windows::was_taken_back(self.conn()?, window_id)?)
    }

    /// A page of the intents whose rows are still to be made: those after a number, in their order; empty behind the last.
    pub fn waiting_intents(&self, after: i64) -> Result<Vec<Intent>, ReadError> {
        Ok(intent_rows::waiting_for_rows(self.conn()?, after)?)
    }

    /// The rows that an intent became, of its last round.
    pub fn intent_places(&self, id: i64) -> Result<Vec<IntentPlace>, ReadError> {
        Ok(intent_rows::places(self.conn()?, id)?)
    }

    /// How many intents are in each state.
    pub fn intent_counts(&self) -> Result<Vec<(IntentState, u64)>, ReadError> {
        Ok(intent_rows::counts(self.conn()?)?)
    }

    /// For whom an identifier counts now; `None` where that is nobody, or several.
    pub fn owner(&self, patient: i64) -> Result<Option<i64>, ReadError> {
        Ok(match lineage::root(self.conn()?, patient)? {
            lineage::Root::One(owner) => Some(owner),
            lineage::Root::Nobody | lineage::Root::Several => None,
        })
    }

    /// A window by its number.
    pub fn window_by_id(&self, id: i64) -> Result<Option<Window>, ReadError> {
        Ok(windows::by_id(self.conn()?, id)?)
    }

    /// What we know to stand of a window at a destination, in the order in which it was written.
    pub fn written_parts(&self, window_id: i64, destination: &str) -> Result<Vec<WrittenPart>, ReadError> {
        Ok(intent_rows::written(self.conn()?, window_id, destination)?)
    }
}

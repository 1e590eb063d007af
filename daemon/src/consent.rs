//! Consent in the daemon: FHIR Consents are taken into the ledger, decisions whose time comes take effect, the ledger's
//! chain is checked, and its state is told.
//!
//! Invariants: a Consent counts for exactly the patient it names, or for nobody: an identifier that is not known is taken
//! only where it has the system of the site's patients, and identifiers of two people are refused; a Consent that has but
//! an id is one of its source, for another server may give that id to another one; no text of a Consent is
//! told but the names of its elements; a ledger that does not verify is told to people, and what it says goes on to hold.
//!
//! Numbers: decisions whose time has come are looked for every `TURN`, and none is late at the lease, which asks itself.

use std::time::Duration;

use clinical::fhir::{
    consent::{self as fhir, Consent, Key},
    fault::Fault,
};
use outbox::{
    ConsentDocument, ConsentHead, ConsentRule, ConsentSaying, Imported, Misdated, PatientKey, Prospect,
    Purpose, ReadError, Readers, Recorded, Ruling, WriteError, Writer,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    conditions::{Board, Kind},
    config,
    drain::Draining,
    telemetry::Metric,
    time,
};

/// Between two looks for decisions whose time has come.
const TURN: Duration = Duration::from_secs(5);

/// Why a Consent could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// The store refused.
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
}

/// What became of one Consent of a document, in words without patient data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It counts: entries of the ledger, and what they did to the queue.
    Counts(Recorded),
    /// What it denies counts, and what it permits does not: why.
    Halved(Recorded, String),
    /// It says nothing that the ledger does not have already.
    Known(String),
    /// It counts for nothing: the element and why.
    Refused(String),
}

impl Taken {
    /// The word for scripts.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Counts(_) => "recorded",
            Self::Known(_) => "known",
            Self::Halved(..) | Self::Refused(_) => "refused",
        }
    }

    /// What was recorded of it.
    pub const fn recorded(&self) -> Option<&Recorded> {
        match self {
            Self::Counts(recorded) | Self::Halved(recorded, _) => Some(recorded),
            Self::Known(_) | Self::Refused(_) => None,
        }
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let numbers =
            |recorded: &Recorded| recorded.entries.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Counts(recorded) => format!("recorded as entry {}", numbers(recorded)),
            Self::Halved(recorded, why) => {
                format!("what it denies is recorded as entry {}; {why}", numbers(recorded))
            }
            Self::Known(why) | Self::Refused(why) => why.clone(),
        }
    }
}

/// Where Consents come in, and by whom.
pub struct Door<'a> {
    /// The site whose patients they name.
    pub site: &'a config::Site,
    /// Commands to the store.
    pub writer: &'a Writer,
    /// Reads of the store.
    pub readers: &'a Readers,
    /// Who had them read.
    pub actor: String,
    /// Why, for the ledger.
    pub reason: String,
    /// The message that holds them.
    pub inbox_id: i64,
    /// Where they come from, as far as it is known: of one source an id is that of one Consent.
    pub source: Option<String>,
    /// Whether nothing is written: who has no number yet is number 0, which is nobody's.
    pub is_trial: bool,
}

/// The number of no patient.
pub(crate) const NOBODY: i64 = 0;

impl Door<'_> {
    /// Takes every Consent of a document into the ledger, each for itself; versions in the order in which their server
    /// stored them, for a history lists the newest first. What became of each is in the order of the document. Blocks.
    ///
    /// # Errors
    /// [`TakeError`] where the store cannot be asked; what was taken before stays taken, and is known the next time.
    pub fn take(&self, document: &Value) -> Result<Vec<Taken>, TakeError> {
        let mut read: Vec<_> =
            fhir::read_all(document, &self.site.timezone).into_iter().enumerate().collect();
        let stamp = |consent: &Consent| consent.changed_at.filter(|_| consent.stamped);
        read.sort_by_key(|(_, read)| read.as_ref().ok().and_then(stamp));
        let taken = read.into_iter().map(|(place, read)| Ok((place, self.take_one(read)?)));
        let mut taken: Vec<(usize, Taken)> = taken.collect::<Result<_, TakeError>>()?;
        taken.sort_by_key(|(place, _)| *place);
        Ok(taken.into_iter().map(|(_, taken)| taken).collect())
    }

    fn take_one(&self, read: Result<Consent, Fault>) -> Result<Taken, TakeError> {
        let consent = match read {
            Ok(consent) => consent,
            Err(fault) => return Ok(Taken::Refused(fault.to_string())),
        };
        let saying = match self.saying(&consent)? {
            Ok(saying) => saying,
            Err(why) => return Ok(Taken::Refused(why.to_owned())),
        };
        let taken = told(self.writer.import_consent(saying).wait()?, consent.stamped);
        if let Some(recorded) = taken.recorded() {
            count(self.readers, recorded)?;
        }
        Ok(taken)
    }

    /// What a Consent says, for the ledger; or the element and why it cannot be said. Gives its patient a number where there
    /// was none, but in a trial. Blocks.
    pub(crate) fn saying(&self, consent: &Consent) -> Result<Result<ConsentSaying, &'static str>, TakeError> {
        let patient = match self.patient(consent)? {
            Ok(patient) => patient,
            Err(why) => return Ok(Err(why)),
        };
        let Some(key) = self.key_of(consent) else { return Ok(Err(NO_SOURCE)) };
        Ok(Ok(ConsentSaying {
            document: ConsentDocument {
                key,
                hash: consent.hash,
                changed_at: consent.changed_at,
                stamped: consent.stamped,
            },
            patient,
            rules: consent.rules.iter().map(rule).collect(),
            inbox_id: self.inbox_id,
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            at: time::now_ms(),
        }))
    }

    /// What is the same for all versions of a Consent at this site, and for no other Consent; `None` where it has but an id
    /// and the source is not known.
    fn key_of(&self, consent: &Consent) -> Option<[u8; 32]> {
        let site = Sha256::new_with_prefix("consent\0").chain_update(&self.site.id).chain_update([0]);
        let key = match (consent.key, &self.source) {
            (Key::Everywhere(key), _) => site.chain_update(key),
            (Key::AtItsSource(key), Some(source)) => site
                .chain_update("source\0")
                .chain_update((source.len() as u64).to_le_bytes())
                .chain_update(source)
                .chain_update(key),
            (Key::AtItsSource(_), None) => return None,
            (Key::Content, _) => site.chain_update(consent.hash),
        };
        Some(key.finalize().into())
    }

    /// The number of the patient, or why there is none.
    fn patient(&self, consent: &Consent) -> Result<Result<i64, &'static str>, TakeError> {
        let key = |key: &clinical::identity::PatientKey| PatientKey {
            site: self.site.id.clone(),
            system: key.system.clone(),
            value: key.value.clone(),
        };
        let keys: Vec<PatientKey> = consent.patient.iter().map(key).collect();
        let mut people: Vec<(i64, Vec<i64>)> = Vec::new();
        for key in &keys {
            let found = self.readers.with(|reader| match reader.find_patient(key)? {
                Some(number) => Ok(Some((number, reader.person(number)?))),
                None => Ok(None),
            })?;
            people.extend(found);
        }
        if let Some((number, person)) = people.first() {
            if people.iter().any(|(_, other)| other != person) {
                return Ok(Err("Consent.patient: its identifiers are those of different patients here"));
            }
            return Ok(Ok(*number));
        }
        // Nobody yet: what is decided before the first result holds from the first result on.
        let own = self.site.patient.one_system();
        match keys.into_iter().find(|key| own.as_ref() == Some(&key.system)) {
            Some(_) if self.is_trial => Ok(Ok(NOBODY)),
            Some(key) => {
                let numbers = self.writer.patients(vec![key]).wait()?;
                Ok(numbers.first().copied().ok_or("Consent.patient: has no identifier"))
            }
            None => Ok(Err(
                "Consent.patient.identifier: is of nobody known here, and its system is not that of the site's patients \
                 ([patient] system in the site's file)",
            )),
        }
    }
}

fn rule(rule: &fhir::Rule) -> ConsentRule {
    let purpose = match rule.purpose {
        fhir::Purpose::Treatment => Purpose::Treatment,
        fhir::Purpose::Analytics => Purpose::Upstream,
        fhir::Purpose::Payment => Purpose::Payer,
    };
    ConsentRule { purpose, permit: rule.permit, from: rule.from, until: rule.until }
}

/// What to do where an id is all that a Consent has, and nobody says whose.
const NO_SOURCE: &str = "Consent.identifier: has no system and value, and another server may give its id to another \
    Consent: say --source NAME, the same one for all that comes from there";

fn told(imported: Imported, stamped: bool) -> Taken {
    match imported {
        Imported::Recorded(recorded) => Taken::Counts(recorded),
        Imported::Denials { recorded, date } => Taken::Halved(recorded, misdated(date, stamped)),
        Imported::Misdated(date) => Taken::Refused(misdated(date, stamped)),
        Imported::Known { entry } => {
            Taken::Known(format!("this version is in the ledger already (entry {entry})"))
        }
        Imported::Older { entry } => {
            let place =
                entry.map_or_else(String::new, |entry| format!(", and in the ledger (entry {entry})"));
            Taken::Known(format!("a later version of it was met already{place}"))
        }
        Imported::Nothing => {
            Taken::Known("it is not in force, and the ledger has nothing of it to end".to_owned())
        }
        Imported::Denied { entry } => Taken::Refused(format!(
            "Consent.status: it had denied (entry {entry}), and a denial ends by a grant, not by the end of its document"
        )),
        Imported::OtherPatient { entry } => Taken::Refused(format!(
            "Consent.patient: the version before it named another patient (entry {entry})"
        )),
    }
}

/// Why what a Consent permits does not count, and what to do.
fn misdated(date: Misdated, stamped: bool) -> String {
    let element = if stamped { "Consent.meta.lastUpdated" } else { "Consent.dateTime or date" };
    let what = match date {
        Misdated::Ahead => {
            "lies ahead of this box's clock; put right whichever clock is wrong and send it again".to_owned()
        }
        Misdated::Before(entry) => {
            let of = entry.map_or_else(String::new, |entry| format!(" (entry {entry})"));
            format!(
                "lies before what is known of it{of}; have its source send it with the time of its last change"
            )
        }
    };
    format!(
        "what it permits counts for nothing. {element}: {what}, or record the decision by isthmus consent grant"
    )
}

/// Counts what was recorded, by purpose and decision.
pub(crate) fn count(readers: &Readers, recorded: &Recorded) -> Result<(), ReadError> {
    for id in &recorded.entries {
        if let Some((entry, _)) = readers.with(|reader| reader.consent_entry(*id))? {
            count_one(entry.purpose, entry.ruling);
        }
    }
    Ok(())
}

/// Counts one decision.
pub(crate) fn count_one(purpose: Purpose, ruling: Ruling) {
    let labels = [("purpose", purpose.word().to_owned()), ("decision", ruling.word().to_owned())];
    Metric::ConsentDecisions.add(1, &labels);
}

/// Why a Consent that is to count whole would not: the element and why.
pub(crate) fn not_whole(prospect: &Prospect, stamped: bool) -> Option<String> {
    match prospect {
        Prospect::Counts(_) => None,
        Prospect::Halved(date) => Some(misdated(*date, stamped)),
        Prospect::Not(imported) => Some(match told(imported.clone(), stamped) {
            Taken::Known(why) => format!("Consent.meta.lastUpdated: {why}"),
            taken => taken.line(),
        }),
    }
}

/// Checks the ledger's chain and shows whether it holds.
///
/// # Errors
/// Where the store cannot be read; a chain that does not hold is no error.
pub fn check(readers: &Readers, conditions: &Board) -> Result<(), ReadError> {
    show(readers.with(|reader| reader.verify_consent(None)), conditions)
}

fn show(walked: Result<ConsentHead, ReadError>, conditions: &Board) -> Result<(), ReadError> {
    match walked {
        Ok(_) => {
            conditions.clear(Kind::ConsentLedgerBroken, "");
            Ok(())
        }
        Err(broken @ ReadError::ConsentBroken(_)) => {
            conditions.raise(Kind::ConsentLedgerBroken, "", in_words(&broken), time::now_ms());
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What people are told of a ledger that does not verify.
pub(crate) fn in_words(broken: &ReadError) -> String {
    format!(
        "{broken}, by something else than isthmus; what it says holds meanwhile: compare it with the audit log and a copy \
         of the store, and find out who can write to the store's file"
    )
}

/// What is said of a head that is not in a chain that holds with another.
pub(crate) fn not_in_chain(known: ConsentHead, head: ConsentHead) -> String {
    let ConsentHead { entries: kept, .. } = known;
    let there = head.entries;
    if kept > there {
        format!(
            "the ledger ends at entry {there}, and the head that was kept is of entry {kept}: {} entries are missing at its end, as \
             where an older backup was put in place or the end was cut off. What they decided is not in force: find the newer store, \
             or have those decisions recorded again",
            kept - there
        )
    } else {
        format!(
            "the chain holds, and its entry {kept} is not the one whose head was kept: another ledger took this one's place, or it was \
             written anew. Compare it with a copy of the store, and find out who can write to the store's file"
        )
    }
}

/// Has decisions take effect whose time comes or passes, until the drain begins.
pub(crate) async fn turn(
    writer: Writer,
    readers: Readers,
    queued: watch::Sender<u64>,
    replied: watch::Sender<u64>,
    mut draining: Draining,
) {
    // What came to pass while the daemon was down is looked at too.
    let mut since = 0;
    loop {
        let now = time::now_ms();
        // A clock that was ahead has been put right: what comes from now on was not looked at.
        if now < since {
            since = 0;
        }
        let looking = readers.clone();
        let due =
            tokio::task::spawn_blocking(move || looking.with(|reader| reader.consent_turns(since, now)))
                .await;
        match due {
            Ok(Ok(false)) => since = now,
            Ok(Ok(true)) => match writer.renew_consent(now).await {
                Ok(moved) => {
                    since = now;
                    if moved != outbox::Moved::default() {
                        queued.send_modify(|turn| *turn += 1);
                        replied.send_modify(|turn| *turn += 1);
                    }
                }
                Err(error) => tracing::warn!(%error, "decisions about consent could not be renewed yet"),
            },
            Ok(Err(error)) => tracing::warn!(%error, "the consent ledger could not be looked at"),
            Err(error) => tracing::warn!(%error, "the consent ledger could not be looked at"),
        }
        tokio::select! {
            () = tokio::time::sleep(TURN) => {}
            () = draining.begun() => return,
        }
    }
}

/// The ledger's state, for status.
pub(crate) fn summary(readers: &Readers) -> Value {
    match readers.with(|reader| Ok((reader.consent_head()?.entries, reader.held_for_consent()?))) {
        Ok((entries, held)) => json!({ "entries": entries, "held": held }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// Renews the ledger's gauges.
pub(crate) fn export(readers: &Readers) {
    let told = summary(readers);
    if let (Some(entries), Some(held)) = (told["entries"].as_u64(), told["held"].as_u64()) {
        Metric::ConsentEntries.set(entries as f64, &[]);
        Metric::ConsentHeld.set(held as f64, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_does_not_hold_is_told_with_its_entry_until_it_holds() {
        let board = Board::default();
        assert_eq!(show(Err(ReadError::ConsentBroken(7)), &board), Ok(()));
        let told = &board.all()[0];
        assert!(told.name == Kind::ConsentLedgerBroken && told.detail.contains("entry 7"), "{told:?}");
        assert_eq!(show(Err(ReadError::Closed), &board), Err(ReadError::Closed));
        assert_eq!(board.all().len(), 1, "what could not be walked says nothing");
        assert_eq!(show(Ok(ConsentHead { entries: 0, hash: [0; 32] }), &board), Ok(()));
        assert!(board.all().is_empty());
    }
}

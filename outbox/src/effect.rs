//! What a version of a resource brings about beside standing there: a decision in the consent ledger, an intent, a birth date.
//!
//! Invariants: it is in the transaction of its version, so neither is there without the other, after any stop; a message that
//! was received before brings nothing about again; where it would not become what its caller looked at, nothing of the
//! request is kept ([`crate::Placed::Changed`], or a conflict).

use rusqlite::Connection;

use crate::{
    command::{Command, Hot},
    consent_import::{self, ConsentSaying, Prospect},
    error::{Conflict, WriteError},
    facts::{self, Fact},
    intent::{CancelIntent, ConfirmIntent, NewIntent},
    intent_rows,
    patients::{self, Name, PatientKey},
    resource::Shown,
    unserved,
};

/// What a version brings about. No Debug: it may hold words about a patient.
#[derive(Clone)]
pub enum Effect {
    /// A FHIR Consent is taken into the ledger, whole; the message is the version's.
    Consent(ConsentSaying),
    /// An intent is entered, and the version shows it.
    Enter(NewIntent),
    /// A person stands by an intent.
    Confirm(ConfirmIntent),
    /// An intent is taken back.
    Cancel(CancelIntent),
    /// Something is known of a patient: who, what, and since when (ms).
    Learn(Whose, Fact, i64),
}

/// Of whom something is known.
#[derive(Clone)]
pub enum Whose {
    /// The patient with this number.
    Number(i64),
    /// Who has this identifier, and gets a number in the same transaction.
    Named(PatientKey),
}

impl Effect {
    /// Whether it becomes what its caller looked at.
    pub(crate) fn holds(&self, conn: &Connection) -> Result<bool, WriteError> {
        Ok(match self {
            Self::Consent(said) => {
                matches!(consent_import::prospect(conn, said)?, Prospect::Counts(_))
            }
            Self::Enter(intent) => intent_rows::by_key(conn, &intent.key)?.is_none(),
            Self::Confirm(_) | Self::Cancel(_) | Self::Learn(..) => true,
        })
    }

    /// Whether what it brought about when its message came first was followed by something else.
    pub(crate) fn is_followed(&self, conn: &Connection, inbox_id: i64) -> Result<bool, WriteError> {
        match self {
            Self::Consent(said) => Ok(consent_import::is_followed(conn, said.patient, inbox_id)?),
            _ => Ok(false),
        }
    }

    /// Brings it about; returns the intent that was entered. `inbox_id` is the version's message.
    pub(crate) fn apply(
        self,
        conn: &Connection,
        hot: &mut Hot,
        inbox_id: i64,
    ) -> Result<Option<i64>, WriteError> {
        match self {
            Self::Consent(said) => {
                // Another one of the same request may have come first.
                if !matches!(consent_import::prospect(conn, &said)?, Prospect::Counts(_)) {
                    return Err(Conflict::Consent.into());
                }
                consent_import::import(conn, ConsentSaying { inbox_id, ..said })?;
            }
            Self::Enter(intent) => {
                let entered = intent.apply(conn, hot)?;
                // What shows it is another resource.
                if entered.known {
                    return Err(Conflict::Intent.into());
                }
                return Ok(Some(entered.id));
            }
            Self::Confirm(confirm) => {
                let id = confirm.id;
                confirm.apply(conn, hot)?;
                unserved::show_again(conn, Shown::Intent, id)?;
            }
            Self::Cancel(cancel) => {
                let id = cancel.id;
                cancel.apply(conn, hot)?;
                unserved::show_again(conn, Shown::Intent, id)?;
            }
            Self::Learn(whose, fact, at) => {
                let patient = match whose {
                    Whose::Number(number) => number,
                    Whose::Named(key) => patients::row(conn, &Name { key, alias: false })?,
                };
                facts::put(conn, patient, &fact, at, inbox_id, at)?;
            }
        }
        Ok(None)
    }
}

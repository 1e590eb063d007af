//! From the identifiers of a result to the number its readings are stored under, and to the patient they count for.
//!
//! Nothing is guessed: identifiers that lead to nobody, or to several patients, give no seat.

use rusqlite::Connection;

use crate::{
    command::{Command, Hot},
    error::WriteError,
    facts::{self, Births},
    lineage::{self, Root},
    patients::{self, Name},
};

/// Where a result belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seat {
    /// Here.
    Of {
        /// Under which number its readings are stored.
        holder: i64,
        /// The patient they count for.
        owner: i64,
        /// What is known of the patient's birth date.
        births: Births,
        /// What was registered under the identifier itself before it was merged into the patient.
        before: Option<String>,
    },
    /// None of the identifiers is bound to a patient.
    Nobody,
    /// They are bound to several.
    Several,
}

/// The command that finds seats. An identifier of the kind that names patients gets a number on first sight; any
/// other has one only where it was bound.
pub(crate) struct FindSeats(pub Vec<Vec<Name>>);

impl Command for FindSeats {
    type Out = Vec<Seat>;

    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|name| name.key.value.len()).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Vec<Seat>, WriteError> {
        self.0.iter().map(|names| find(conn, names)).collect()
    }
}

fn find(conn: &Connection, names: &[Name]) -> Result<Seat, WriteError> {
    for name in names.iter().filter(|name| !name.alias) {
        patients::row(conn, name)?;
    }
    Ok(look(conn, names)?)
}

/// Where results with these identifiers belong; nothing is written. The numbers are 0 where one is known only once
/// results come.
pub(crate) fn look(conn: &Connection, names: &[Name]) -> rusqlite::Result<Seat> {
    let mut found: Option<(i64, i64)> = None;
    for name in names {
        let root = match patients::find_any(conn, &name.key)? {
            Some(holder) => (holder, lineage::root(conn, holder)?),
            None if name.alias => continue,
            None => (0, Root::One(0)),
        };
        match (root, found) {
            ((holder, Root::One(owner)), None) => found = Some((holder, owner)),
            ((_, Root::One(owner)), Some((_, before))) if owner == before => {}
            ((_, Root::Nobody), _) => {}
            ((_, Root::One(_) | Root::Several), _) => return Ok(Seat::Several),
        }
    }
    let Some((holder, owner)) = found else { return Ok(Seat::Nobody) };
    let before = if holder == owner { None } else { facts::births(conn, holder)?.registered };
    Ok(Seat::Of { holder, owner, births: facts::births(conn, owner)?, before })
}

//! Recording decisions of the consent ledger: each with what follows for the queue and with its audit entry, in one
//! transaction.
//!
//! Invariants: what a command is told of is committed and synced, and no row of that patient is leased to be sent from
//! then on; a FHIR Consent is recorded once, however often it comes, and an older version of it never after a newer one.

use rusqlite::{Connection, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    consent::{self, ConsentDocument, ConsentEntry, ConsentHead, Purpose, Ruling},
    consent_rows::{self, Moved},
    error::WriteError,
    in_force, windows,
};

/// What was recorded, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Numbers of the new entries.
    pub entries: Vec<i64>,
    /// The end of the ledger with them.
    pub head: ConsentHead,
    /// Rows that were held or let go by it.
    pub moved: Moved,
    /// Windows to be looked at again: a grant reaches back to what was not written of them.
    pub windows: usize,
}

/// The command that appends decisions, all of them or none.
pub(crate) struct Record(pub Vec<ConsentEntry>);

impl Command for Record {
    type Out = Recorded;

    fn bytes(&self) -> usize {
        self.0.iter().map(|entry| entry.reason.len() + entry.behalf.len()).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Recorded, WriteError> {
        record(conn, &self.0)
    }
}

fn record(conn: &Connection, entries: &[ConsentEntry]) -> Result<Recorded, WriteError> {
    let mut recorded =
        Recorded { entries: Vec::new(), head: consent::head(conn)?, moved: Moved::default(), windows: 0 };
    let mut audits = Vec::new();
    for entry in entries {
        let (id, head) = consent::append(conn, entry)?;
        recorded.entries.push(id);
        recorded.head = head;
        let hash: String = head.hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        audits.push(AuditEntry {
            actor: entry.actor.clone(),
            action: format!("consent {}", entry.ruling.word()),
            object: format!("patient {} {}", entry.patient, entry.purpose.word()),
            detail: format!("consent entry {id} ({hash}): {}", entry.reason),
            at: entry.at,
        });
    }
    for entry in entries {
        recorded.moved += consent_rows::renew(conn, entry.patient, entry.at)?;
        if entry.ruling == Ruling::Grant && entry.past {
            recorded.windows += look_back(conn, entry)?;
        }
    }
    if let (Some(last), Some(entry)) = (audits.last_mut(), entries.last()) {
        let Moved { held, released, lapsed } = recorded.moved;
        last.detail = format!("{}; rows held {held}, released {released}, given up {lapsed}", last.detail);
        last.at = entry.at;
    }
    audit::append(conn, &audits)?;
    Ok(recorded)
}

/// Has the windows looked at again whose version was not written for want of this consent.
fn look_back(conn: &Connection, entry: &ConsentEntry) -> rusqlite::Result<usize> {
    let mut windows = conn.prepare_cached(
        "SELECT DISTINCT w.id, d.destination FROM outcome_window w
         JOIN decision d ON d.window_id = w.id AND d.version = w.version
         WHERE w.patient = ?1 AND w.version > 0 AND d.decision = 'suppress' AND d.reason = ?2",
    )?;
    let mut touched = 0;
    for member in in_force::person(conn, entry.patient)? {
        let found = windows
            .query_map(params![member, consent_rows::NO_CONSENT], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        for (id, destination) in found {
            if Purpose::of(&destination) == entry.purpose {
                touched += windows::touch(conn, id, entry.at)?;
            }
        }
    }
    Ok(touched)
}

/// What a version of a FHIR Consent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentSaying {
    /// Which version of which Consent.
    pub document: ConsentDocument,
    /// Number of the identifier that it names.
    pub patient: i64,
    /// What it permits and denies; empty where it is not in force any more.
    pub rules: Vec<ConsentRule>,
    /// The message that it came in.
    pub inbox_id: i64,
    /// Who had it read.
    pub actor: String,
    /// Why, for the ledger.
    pub reason: String,
    /// Now, in milliseconds.
    pub at: i64,
}

/// One rule of a FHIR Consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentRule {
    /// For what.
    pub purpose: Purpose,
    /// It permits; otherwise it denies.
    pub permit: bool,
    /// From then on, where it says so.
    pub from: Option<i64>,
    /// Before then, where it says so.
    pub until: Option<i64>,
}

/// What became of a FHIR Consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// It says something new.
    Recorded(Recorded),
    /// This very version was recorded before.
    Known {
        /// By this entry, the last of it.
        entry: i64,
    },
    /// A later version was recorded before.
    Older {
        /// By this entry.
        entry: i64,
    },
    /// It is not in force, and nothing was recorded of it: there is nothing to end.
    Nothing,
    /// It is not in force any more, and what it had said was a denial: only a grant ends that.
    Denied {
        /// This entry.
        entry: i64,
    },
    /// Another patient was named by the version before.
    OtherPatient {
        /// In this entry.
        entry: i64,
    },
}

/// The command that records what a FHIR Consent says.
pub(crate) struct Import(pub ConsentSaying);

impl Command for Import {
    type Out = Imported;

    fn bytes(&self) -> usize {
        self.0.reason.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Imported, WriteError> {
        let said = self.0;
        let before = consent::of_document(conn, &said.document.key)?;
        if let Some((entry, last)) = before.last() {
            let entry = *entry;
            if before.iter().any(|(_, it)| it.document.is_some_and(|it| it.hash == said.document.hash)) {
                return Ok(Imported::Known { entry });
            }
            if last.patient != said.patient {
                return Ok(Imported::OtherPatient { entry });
            }
            let times = (last.document.and_then(|it| it.changed_at), said.document.changed_at);
            if matches!(times, (Some(known), Some(new)) if new < known) {
                return Ok(Imported::Older { entry });
            }
        }
        let blank = |purpose, ruling, from, until| ConsentEntry {
            at: said.at,
            patient: said.patient,
            purpose,
            ruling,
            from,
            until,
            past: false,
            link: 0,
            source: "fhir".to_owned(),
            inbox_id: Some(said.inbox_id),
            document: Some(said.document),
            actor: said.actor.clone(),
            behalf: String::new(),
            reason: said.reason.clone(),
        };
        let unsaid = Purpose::ALL
            .into_iter()
            .filter(|purpose| !said.rules.iter().any(|rule| rule.purpose == *purpose));
        let left: Vec<(Purpose, Left)> =
            unsaid.filter_map(|purpose| Some((purpose, left_of(purpose, &before)?))).collect();
        let mut entries: Vec<ConsentEntry> = Vec::new();
        for (purpose, left) in &left {
            match left {
                Left::Ended => entries.push(blank(*purpose, Ruling::End, said.at, None)),
                Left::DeniedWhole => entries.push(blank(*purpose, Ruling::Withdraw, said.at, None)),
                Left::Denied(_) => {}
            }
        }
        for rule in &said.rules {
            let ruling = if rule.permit { Ruling::Grant } else { Ruling::Withdraw };
            entries.push(blank(rule.purpose, ruling, rule.from.unwrap_or(said.at), rule.until));
        }
        if !entries.is_empty() {
            return Ok(Imported::Recorded(record(conn, &entries)?));
        }
        let denied = left.iter().find_map(|(_, left)| match left {
            Left::Denied(entry) => Some(*entry),
            Left::Ended | Left::DeniedWhole => None,
        });
        Ok(denied.map_or(Imported::Nothing, |entry| Imported::Denied { entry }))
    }
}

/// What is left of a purpose that a later version of a Consent names no more.
enum Left {
    /// Nothing: it was granted.
    Ended,
    /// A denial, whose exceptions end.
    DeniedWhole,
    /// A denial as it stands, by this entry.
    Denied(i64),
}

/// What the version that spoke last of a purpose leaves of it. A grant ends with its document, a denial does not.
fn left_of(purpose: Purpose, before: &[(i64, ConsentEntry)]) -> Option<Left> {
    let of_purpose = || before.iter().filter(|(_, entry)| entry.purpose == purpose);
    let (last, newest) = of_purpose().next_back()?;
    let same = of_purpose().filter(|(_, entry)| entry.document == newest.document);
    let rulings: Vec<Ruling> = same.map(|(_, entry)| entry.ruling).collect();
    match (rulings.contains(&Ruling::Withdraw), rulings.contains(&Ruling::Grant)) {
        (true, true) => Some(Left::DeniedWhole),
        (true, false) => Some(Left::Denied(*last)),
        (false, true) => Some(Left::Ended),
        (false, false) => None,
    }
}

/// What holds at a site where the ledger says nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsentDefault {
    /// The site.
    pub site: String,
    /// For what.
    pub purpose: Purpose,
    /// It may leave.
    pub permit: bool,
}

/// The command that puts the sites' defaults in force, in the place of all before; rows that are held and may go by them
/// are let go. What may not is stopped at the lease.
pub(crate) struct SetDefaults {
    pub defaults: Vec<ConsentDefault>,
    pub at: i64,
}

impl Command for SetDefaults {
    type Out = Moved;

    fn bytes(&self) -> usize {
        self.defaults.len() * 32
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Moved, WriteError> {
        conn.prepare_cached("DELETE FROM consent_default")?.execute([])?;
        let mut insert =
            conn.prepare_cached("INSERT INTO consent_default (site, purpose, permit) VALUES (?1, ?2, ?3)")?;
        for default in &self.defaults {
            insert.execute(params![default.site, default.purpose.word(), default.permit])?;
        }
        Renew { at: self.at }.apply(conn, hot)
    }
}

/// The command that lets go what is held and may leave by now. What may not leave any more is stopped at the lease.
pub(crate) struct Renew {
    pub at: i64,
}

impl Command for Renew {
    type Out = Moved;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Moved, WriteError> {
        let mut moved = Moved::default();
        for patient in consent_rows::held_patients(conn)? {
            moved += consent_rows::renew(conn, patient, self.at)?;
        }
        Ok(moved)
    }
}

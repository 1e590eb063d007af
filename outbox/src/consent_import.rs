//! Recording what FHIR Consents say.
//!
//! Invariants
//! - A version of a Consent that comes again right after itself is recorded once. One that comes again after another is
//!   recorded again, unless its server's own stamp proves that it is the very version that was replaced.
//! - A version that denies, or that ends, is recorded whatever its date: of one that is dated before what is known, or
//!   ahead of the clock, what it denies counts and what it permits does not, and that is told.
//! - What only permits and is dated before what is known changes nothing; where no stamp proves the order, that is told.
//!
//! Numbers: a date may be up to [`AHEAD_MS`] ahead of this box's clock.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::{
    command::{Command, Hot},
    consent::{self, ConsentDocument, ConsentEntry, Purpose, Ruling},
    consent_record::{Recorded, record},
    error::WriteError,
};

/// How far a Consent's date may be ahead of this box's clock: two clocks that are kept by NTP differ by less, and a date
/// beyond it would be taken for the last word until that time.
const AHEAD_MS: i64 = 10 * 60_000;

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
    /// What it denies was recorded; what it permits was not, because of its date.
    Denials {
        /// What was.
        recorded: Recorded,
        /// What is wrong with the date.
        date: Misdated,
    },
    /// This very version was recorded before, and is the last of it; or is known to have been replaced since.
    Known {
        /// By this entry, the last of the Consent.
        entry: i64,
    },
    /// It only permits, and its server stored another version later, which came before it.
    Older {
        /// The last entry of the Consent, where there is one.
        entry: Option<i64>,
    },
    /// What it permits is not recorded because of its date; what it denies, if anything, was recorded before.
    Misdated(Misdated),
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

/// What a FHIR Consent would become, for those who take it whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prospect {
    /// All that it says is in force with it: these entries are new.
    Counts(Vec<(Purpose, Ruling)>),
    /// What it denies would count, and what it permits would not, because of its date.
    Halved(Misdated),
    /// Nothing of it would be in force by it: why.
    Not(Imported),
}

/// What is wrong with the date of a FHIR Consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdated {
    /// It is ahead of this box's clock.
    Ahead,
    /// It is before that of what came before it: the last entry of the Consent, where there is one.
    Before(Option<i64>),
}

/// The command that records what a FHIR Consent says.
pub(crate) struct Import(pub ConsentSaying);

impl Command for Import {
    type Out = Imported;

    fn bytes(&self) -> usize {
        self.0.reason.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Imported, WriteError> {
        import(conn, self.0)
    }
}

/// Records what a FHIR Consent says.
pub(crate) fn import(conn: &Connection, said: ConsentSaying) -> Result<Imported, WriteError> {
    let judged = judge(conn, &said)?;
    if !matches!(judged, Judged::Told(Imported::OtherPatient { .. })) {
        keep_stamp(conn, &said)?;
    }
    let (entries, cut) = match judged {
        Judged::Told(imported) => return Ok(imported),
        Judged::Says { entries, cut } => (entries, cut),
    };
    let recorded = record(conn, &entries)?;
    Ok(match cut {
        Some(date) => Imported::Denials { recorded, date },
        None => Imported::Recorded(recorded),
    })
}

/// What a FHIR Consent would become now; nothing is recorded.
pub(crate) fn prospect(conn: &Connection, said: &ConsentSaying) -> rusqlite::Result<Prospect> {
    Ok(match judge(conn, said)? {
        Judged::Says { cut: Some(date), .. } => Prospect::Halved(date),
        Judged::Says { entries, cut: None } => {
            Prospect::Counts(entries.iter().map(|entry| (entry.purpose, entry.ruling)).collect())
        }
        Judged::Told(Imported::Nothing) => Prospect::Counts(Vec::new()),
        Judged::Told(Imported::Known { entry }) => {
            let before = consent::of_document(conn, &said.document.key)?;
            let last = before.last().and_then(|(_, entry)| entry.document);
            match last.is_some_and(|last| last.hash == said.document.hash) {
                true => Prospect::Counts(Vec::new()),
                // A version that its server has replaced since is known, and not in force.
                false => Prospect::Not(Imported::Older { entry: Some(entry) }),
            }
        }
        Judged::Told(imported) => Prospect::Not(imported),
    })
}

/// What a version amounts to, before anything of it is recorded.
enum Judged {
    /// Nothing new is to be recorded.
    Told(Imported),
    /// These entries; where what it permits is not among them because of its date: why.
    Says { entries: Vec<ConsentEntry>, cut: Option<Misdated> },
}

fn judge(conn: &Connection, said: &ConsentSaying) -> rusqlite::Result<Judged> {
    let mut said = said.clone();
    let before = consent::of_document(conn, &said.document.key)?;
    let last = before.last().map(|(entry, _)| *entry);
    let place = place(conn, &said, &before)?;
    if let Some((entry, it)) = before.last()
        && place != Place::Known
        && it.patient != said.patient
    {
        return Ok(Judged::Told(Imported::OtherPatient { entry: *entry }));
    }
    let ends = said.rules.is_empty();
    let denies = ends || said.rules.iter().any(|rule| !rule.permit);
    let misdated = match place {
        Place::Known => return Ok(Judged::Told(Imported::Known { entry: last.unwrap_or_default() })),
        Place::Newest => None,
        Place::Replaced if !denies => return Ok(Judged::Told(Imported::Older { entry: last })),
        Place::Replaced | Place::Before => Some(Misdated::Before(last)),
        Place::Ahead => Some(Misdated::Ahead),
    };
    let cut = misdated.is_some() && said.rules.iter().any(|rule| rule.permit);
    if let Some(date) = misdated {
        said.rules.retain(|rule| !rule.permit);
        if date == Misdated::Ahead {
            // What is not believed must not be compared with what comes.
            (said.document.changed_at, said.document.stamped) = (None, false);
        }
        if cut {
            // Half of a version is not that version: sent again with a better date, it counts whole.
            said.document.hash = half_of(&said.document.hash);
        }
        let known = before.last().and_then(|(_, entry)| entry.document);
        if !denies || known.is_some_and(|known| known.hash == said.document.hash) {
            return Ok(Judged::Told(Imported::Misdated(date)));
        }
    }
    // What is left of a version that is not the newest says nothing of other purposes.
    let silent = misdated.is_some() && !ends;
    let (entries, denied) = entries_of(&said, &before, silent);
    if !entries.is_empty() {
        return Ok(Judged::Says { entries, cut: misdated.filter(|_| cut) });
    }
    Ok(Judged::Told(denied.map_or(Imported::Nothing, |entry| Imported::Denied { entry })))
}

/// The entries of what is said; also the denial that it leaves as it stands, if there is one.
fn entries_of(
    said: &ConsentSaying,
    before: &[(i64, ConsentEntry)],
    silent: bool,
) -> (Vec<ConsentEntry>, Option<i64>) {
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
        .filter(|purpose| !silent && !said.rules.iter().any(|rule| rule.purpose == *purpose));
    let left: Vec<(Purpose, Left)> =
        unsaid.filter_map(|purpose| Some((purpose, left_of(purpose, before)?))).collect();
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
    let denied = left.iter().find_map(|(_, left)| match left {
        Left::Denied(entry) => Some(*entry),
        Left::Ended | Left::DeniedWhole => None,
    });
    (entries, denied)
}

/// Where a version stands among those that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the last one, or one that is known, replaced by its server since.
    Known,
    /// Nothing says that it is not the newest.
    Newest,
    /// Its server stored another version later.
    Replaced,
    /// It is dated before the last one, and nothing proves that it is older.
    Before,
    /// It is dated ahead of the clock.
    Ahead,
}

/// The hash of what a version denies, where what it permits does not count.
fn half_of(hash: &[u8; 32]) -> [u8; 32] {
    Sha256::new_with_prefix("denials of ").chain_update(hash).finalize().into()
}

fn is_ahead(said: &ConsentSaying) -> bool {
    said.document.changed_at.is_some_and(|changed| changed > said.at.saturating_add(AHEAD_MS))
}

/// Keeps when the server stored this version: one that stores the same content again says it anew.
fn keep_stamp(conn: &Connection, said: &ConsentSaying) -> rusqlite::Result<()> {
    let stamp = said.document.changed_at.filter(|_| said.document.stamped && !is_ahead(said));
    let Some(at) = stamp else { return Ok(()) };
    conn.prepare_cached(
        "INSERT INTO consent_stamp (document, at) VALUES (?1, ?2)
         ON CONFLICT (document) DO UPDATE SET at = max(at, excluded.at)",
    )?
    .execute(params![said.document.key, at])?;
    Ok(())
}

/// Where a version stands.
fn place(conn: &Connection, said: &ConsentSaying, before: &[(i64, ConsentEntry)]) -> rusqlite::Result<Place> {
    let document = said.document;
    let last = before.last().and_then(|(_, entry)| entry.document);
    if last.is_some_and(|last| last.hash == document.hash) {
        return Ok(Place::Known);
    }
    if is_ahead(said) {
        return Ok(Place::Ahead);
    }
    let met: Option<i64> = conn
        .prepare_cached("SELECT at FROM consent_stamp WHERE document = ?1")?
        .query_row([document.key], |row| row.get(0))
        .optional()?;
    let is_replaced =
        document.stamped && matches!((document.changed_at, met), (Some(new), Some(met)) if new < met);
    if is_replaced {
        let is_it = |it: &ConsentDocument| {
            it.hash == document.hash && it.stamped && it.changed_at == document.changed_at
        };
        let was_recorded = before.iter().any(|(_, entry)| entry.document.as_ref().is_some_and(is_it));
        return Ok(if was_recorded { Place::Known } else { Place::Replaced });
    }
    let known = last.and_then(|last| last.changed_at);
    let is_before = matches!((document.changed_at, known), (Some(new), Some(known)) if new < known);
    Ok(if is_before { Place::Before } else { Place::Newest })
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

/// Whether a decision about a patient that this message brought was followed by one of another, for the same purpose.
pub(crate) fn is_followed(conn: &Connection, patient: i64, inbox_id: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT 1 FROM consent said JOIN consent later
         ON later.patient = said.patient AND later.purpose = said.purpose AND later.id > said.id
         WHERE said.patient = ?1 AND said.inbox_id = ?2 AND later.inbox_id IS NOT ?2",
    )?
    .exists(params![patient, inbox_id])
}

//! What a decision does to rows of the queue, and the gate that every row passes on its way out.
//!
//! Invariants
//! - No row is leased to be sent while consent for its destination's purpose is denied to its patient: asked in the
//!   transaction of the lease, whoever queued the row and whatever was decided when it was made. A row in doubt is leased
//!   only to be looked for, and not sent again; where its destination has nothing to look with (`mllp:`), it waits.
//! - A row held for want of consent goes again only when consent is in force now, and was, or is by a grant that reaches
//!   back, when the row was queued; and only where nothing overtook it. One that a grant does not cover is taken out of
//!   its line with the reason and a decision beside it, so that it holds up nothing that may go.
//!
//! Numbers: a doubt that must wait is looked at again after [`LOOK_AGAIN_MS`].

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    consent::{ConsentAnswer, Purpose},
    error::{ReadError, WriteError},
    in_force::{self, Looked, Moment},
    queue::{self, Note, Place, State, Step},
};

/// Why a row is held that its patient's consent does not cover. Stored; indexes name it.
pub const NO_CONSENT: &str = "no-consent";
/// Why a row was given up when consent came that does not reach back to it.
const NOT_COVERED: &str = "no consent was in force when it was queued, and the grant does not reach back";
/// When a row in doubt that may not be sent again is looked at again: the time of a grant may have come.
const LOOK_AGAIN_MS: i64 = 60_000;

/// What a decision did to rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Held from now on.
    pub held: usize,
    /// Queued again.
    pub released: usize,
    /// Given up, because the grant does not reach back to them.
    pub lapsed: usize,
}

impl std::ops::AddAssign for Moved {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.released += other.released;
        self.lapsed += other.lapsed;
    }
}

/// How a row passes the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It may leave.
    Free,
    /// It may be looked for, and not sent again.
    LookOnly,
    /// It stays, and has been told why.
    Held,
}

/// The last look before a row is leased.
pub(crate) fn gate(conn: &Connection, row: &Place, at: i64) -> Result<Passage, WriteError> {
    let purpose = Purpose::of(&row.destination);
    let looked = in_force::look(conn, row.patient, purpose)?;
    let answer = looked.now(at);
    if answer.permit {
        if row.state != State::Ambiguous && !covers(conn, row.id, &looked)? {
            lapse(conn, row, at)?;
            return Ok(Passage::Held);
        }
        return Ok(Passage::Free);
    }
    if row.state == State::Ambiguous && !row.destination.starts_with(queue::MLLP) {
        return Ok(Passage::LookOnly);
    }
    // What is in doubt is looked at again and again while consent lacks, and told once.
    if !hold(conn, row, at)? {
        return Ok(Passage::Held);
    }
    audit::append(
        conn,
        &[AuditEntry {
            actor: "isthmus".to_owned(),
            action: "consent held a write".to_owned(),
            object: format!("{} row {}", row.destination, row.id),
            detail: answer.why(),
            at,
        }],
    )?;
    Ok(Passage::Held)
}

/// Whether consent was in force when a row was queued, or is by a grant that reaches back to then.
fn covers(conn: &Connection, row_id: i64, looked: &Looked) -> rusqlite::Result<bool> {
    let queued: Moment = conn
        .prepare_cached("SELECT created_at, consent FROM outbox WHERE id = ?1")?
        .query_row([row_id], |row| Ok(Moment { at: row.get(0)?, entries: row.get(1)? }))?;
    Ok(looked.then(queued).permit)
}

/// Whether consent lets a leased row of a patient leave: in force now and, unless it may have left before, when it was
/// queued.
pub(crate) fn lets_leave(
    conn: &Connection,
    destination: &str,
    patient: i64,
    row: Leased,
    at: i64,
) -> rusqlite::Result<bool> {
    let looked = in_force::look(conn, patient, Purpose::of(destination))?;
    if !looked.now(at).permit {
        return Ok(false);
    }
    match row {
        Leased::InDoubt => Ok(true),
        Leased::New(id) => covers(conn, id, &looked),
    }
}

/// Of a leased row, what is asked of consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leased {
    /// Its number; nothing of it left yet.
    New(i64),
    /// It may have left before.
    InDoubt,
}

/// Whether consent denies a row to be sent.
pub(crate) fn is_denied(conn: &Connection, row: &Place, at: i64) -> rusqlite::Result<bool> {
    Ok(!in_force::answer(conn, row.patient, Purpose::of(&row.destination), at)?.permit)
}

/// Holds a row that waits. Whether that is new.
fn hold(conn: &Connection, row: &Place, at: i64) -> Result<bool, WriteError> {
    match row.state {
        State::Pending => {
            queue::step(conn, row, Step::Defer, Note { reason: Some(NO_CONSENT), at, ..Note::default() })?;
        }
        // It was not sent for another reason, which may end before this one.
        State::Deferred => {
            let sql = "UPDATE outbox SET reason = ?2 WHERE id = ?1 AND reason IS NOT ?2";
            return Ok(conn.prepare_cached(sql)?.execute(params![row.id, NO_CONSENT])? > 0);
        }
        State::Ambiguous => {
            let known = conn
                .prepare_cached("SELECT 1 FROM outbox WHERE id = ?1 AND reason = ?2")?
                .exists(params![row.id, NO_CONSENT])?;
            conn.prepare_cached("UPDATE outbox SET reason = ?2, next_at = ?3 WHERE id = ?1")?
                .execute(params![row.id, NO_CONSENT, at + LOOK_AGAIN_MS])?;
            return Ok(!known);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A row that waits, and why it does.
struct Waiting {
    place: Place,
    reason: Option<String>,
}

/// Holds or lets go what waits of a patient, by what is in force now.
pub(crate) fn renew(conn: &Connection, patient: i64, at: i64) -> Result<Moved, WriteError> {
    let mut moved = Moved::default();
    if patient == 0 {
        return Ok(moved);
    }
    let destinations: Vec<String> = conn
        .prepare_cached("SELECT DISTINCT destination FROM outbox_count ORDER BY destination")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for member in in_force::person(conn, patient)? {
        for destination in &destinations {
            let rows = waiting(conn, destination, member)?;
            if rows.is_empty() {
                continue;
            }
            let looked = in_force::look(conn, member, Purpose::of(destination))?;
            let now = looked.now(at);
            for row in rows {
                moved += decide(conn, &row, &looked, now, at)?;
            }
        }
    }
    Ok(moved)
}

fn waiting(conn: &Connection, destination: &str, patient: i64) -> Result<Vec<Waiting>, WriteError> {
    let found: Vec<(i64, Option<String>)> = conn
        .prepare_cached(
            "SELECT id, reason FROM outbox INDEXED BY outbox_line
             WHERE destination = ?1 AND patient = ?2 AND state IN ('pending', 'leased', 'deferred', 'ambiguous')
             ORDER BY id",
        )?
        .query_map(params![destination, patient], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let with_place = |(id, reason)| Ok(Waiting { place: queue::place(conn, id)?, reason });
    found.into_iter().map(with_place).collect()
}

fn decide(
    conn: &Connection,
    row: &Waiting,
    looked: &Looked,
    now: ConsentAnswer,
    at: i64,
) -> Result<Moved, WriteError> {
    let mut moved = Moved::default();
    let place = &row.place;
    let is_held = row.reason.as_deref() == Some(NO_CONSENT);
    if !now.permit {
        // What is in doubt is decided on when its turn comes; what is under way, by its answer.
        if matches!(place.state, State::Pending | State::Deferred) && hold(conn, place, at)? {
            moved.held += 1;
        }
        return Ok(moved);
    }
    match place.state {
        State::Deferred if is_held => {
            if queue::is_overtaken(conn, place)? {
                let reason = Some(queue::OVERTAKEN);
                queue::step(conn, place, Step::Supersede, Note { reason, at, ..Note::default() })?;
            } else if covers(conn, place.id, looked)? {
                queue::step(conn, place, Step::Release, Note { next_at: Some(at), at, ..Note::default() })?;
                moved.released += 1;
            } else {
                lapse(conn, place, at)?;
                moved.lapsed += 1;
            }
        }
        State::Pending if !covers(conn, place.id, looked)? => {
            lapse(conn, place, at)?;
            moved.lapsed += 1;
        }
        State::Ambiguous if is_held => {
            conn.prepare_cached("UPDATE outbox SET reason = NULL, next_at = min(next_at, ?2) WHERE id = ?1")?
                .execute([place.id, at])?;
            moved.released += 1;
        }
        _ => {}
    }
    Ok(moved)
}

/// Gives a row up as its version would have been suppressed when it was published, and writes that down.
fn lapse(conn: &Connection, row: &Place, at: i64) -> Result<(), WriteError> {
    let reason = Some(NOT_COVERED);
    queue::step(conn, row, Step::Supersede, Note { reason, at, ..Note::default() })?;
    if row.window_id != 0 {
        conn.prepare_cached(
            "INSERT INTO decision (window_id, version, destination, decision, form, reason, at)
             VALUES (?1, ?2, ?3, 'suppress', '', ?4, ?5)",
        )?
        .execute(params![row.window_id, row.version, row.destination, NO_CONSENT, at])?;
    }
    Ok(())
}

/// Patients with rows that are held for want of consent.
pub(crate) fn held_patients(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT DISTINCT patient FROM outbox INDEXED BY outbox_unconsented
         WHERE state = 'deferred' AND reason = 'no-consent' ORDER BY patient",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}

/// How many rows are held for want of consent.
pub(crate) fn held(conn: &Connection) -> Result<u64, ReadError> {
    let sql = "SELECT count(*) FROM outbox INDEXED BY outbox_unconsented
        WHERE state = 'deferred' AND reason = 'no-consent'";
    Ok(conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0))? as u64)
}

/// The destinations for which a version was not written for want of consent, the last that was decided of it, although
/// consent is in force now and reaches back to when it was published.
pub(crate) fn owed(
    conn: &Connection,
    window_id: i64,
    version: i64,
    at: i64,
) -> Result<Vec<String>, ReadError> {
    let published: Option<(i64, Moment)> = conn
        .prepare_cached(
            "SELECT w.patient, v.at, v.consent FROM outcome_window w
             JOIN published_version v ON v.window_id = w.id AND v.version = ?2 WHERE w.id = ?1",
        )?
        .query_row([window_id, version], |row| {
            Ok((row.get(0)?, Moment { at: row.get(1)?, entries: row.get(2)? }))
        })
        .optional()?;
    let Some((patient, published)) = published else { return Ok(Vec::new()) };
    let suppressed: Vec<String> = conn
        .prepare_cached(
            "SELECT destination FROM decision d WHERE window_id = ?1 AND version = ?2 AND decision = 'suppress'
               AND reason = 'no-consent' AND id = (SELECT max(id) FROM decision l WHERE l.window_id = ?1
                 AND l.version = ?2 AND l.destination = d.destination)
             ORDER BY destination",
        )?
        .query_map([window_id, version], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut owed = Vec::new();
    for destination in suppressed {
        let looked = in_force::look(conn, patient, Purpose::of(&destination))?;
        if looked.now(at).permit && looked.then(published).permit {
            owed.push(destination);
        }
    }
    Ok(owed)
}

/// Something that stands at a destination, or was sent there, of a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stood {
    /// The destination.
    pub destination: String,
    /// What, in the row's words.
    pub kind: String,
    /// The window; 0 of what people had written about none.
    pub window_id: i64,
    /// The window's version.
    pub version: i64,
    /// Where the receiver keeps it, as far as it said.
    pub location: Option<String>,
    /// When it was written last.
    pub at: i64,
    /// The address of the server that keeps it, where that is not the one written to now: its places are not this one's.
    pub former_server: Option<String>,
    /// Whether it is known to stand, or only may.
    pub certain: bool,
}

/// What stands, or may stand, of a patient at destinations of a purpose, of windows and of what people wanted written
/// (whose rows have none): at most `limit`, by identifier and destination.
pub(crate) fn stood(
    conn: &Connection,
    patient: i64,
    purpose: Purpose,
    limit: usize,
) -> Result<Vec<Stood>, ReadError> {
    let mut find = conn.prepare_cached(
        "SELECT o.destination, o.kind, o.version, nullif(r.location, ''), coalesce(r.at, o.settled_at, o.leased_at, o.created_at),
           o.state = 'delivered', o.window_id,
           CASE WHEN r.server <> coalesce((SELECT number FROM server f WHERE f.destination = o.destination AND f.in_force = 1), 0)
             THEN (SELECT base FROM server f WHERE f.destination = o.destination AND f.number = r.server) END
         FROM (SELECT p.id FROM outcome_window w JOIN outbox p ON p.window_id = w.id WHERE w.patient = ?1
               UNION ALL SELECT id FROM outbox INDEXED BY outbox_windowless
                 WHERE patient = ?1 AND window_id = 0 AND patient <> 0) of_patient
         JOIN outbox o ON o.id = of_patient.id LEFT JOIN written r ON r.row_id = o.id
         WHERE (o.state IN ('leased', 'ambiguous')
           OR (o.state = 'quarantined' AND o.reason = ?2) OR (o.state = 'delivered' AND r.row_id IS NOT NULL)
           OR (o.state = 'delivered' AND (o.window_id = 0
                 OR NOT EXISTS (SELECT 1 FROM outbox l WHERE l.window_id = o.window_id
                   AND l.destination = o.destination AND l.state = 'delivered' AND l.version > o.version))))
         ORDER BY o.destination, o.id",
    )?;
    let mut found = Vec::new();
    for member in in_force::person(conn, patient)? {
        let rows = find.query_map(params![member, queue::UNPROVEN], |row| {
            Ok(Stood {
                destination: row.get(0)?,
                kind: row.get(1)?,
                version: row.get(2)?,
                location: row.get(3)?,
                at: row.get(4)?,
                certain: row.get(5)?,
                window_id: row.get(6)?,
                former_server: row.get(7)?,
            })
        })?;
        for row in rows {
            let row = row?;
            if Purpose::of(&row.destination) == purpose && found.len() < limit {
                found.push(row);
            }
        }
    }
    Ok(found)
}

//! What people at a site want written: taken once, queued like any write, and held where a person has to decide anew.
//!
//! Invariants
//! - One key is one intent, however often it is sent; the intent and its rows of the queue are one transaction.
//! - Whether it may still go ([`standing`]) is asked when it is entered, every time it is looked at ([`Review`]), and in the
//!   transaction of the lease ([`gate`]): nothing of an intent leaves for a patient whose identifier was retired, for one
//!   who died, or after its author last stood by it for longer than its time, unless a person decided so.
//! - What is held has no row in the queue, so that it holds up nothing else of its patient; let go, it gets new rows at the
//!   end of their lines. Nothing is dropped: it waits for a person.
//! - Of what was begun the rest goes on: a note that stands without its author is worse than one that comes late.

use rusqlite::{Connection, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    conditions::{self, Condition},
    consent_rows::Passage,
    error::{Conflict, WriteError},
    intent_queue::{self, IntentRow},
    intent_rows::{self, Intent},
    intent_standing::{IntentState, Standing, standing},
    lineage::{self, Root},
    queue::{self, Note, Place, State, Step},
    windows,
};

/// Why the rows of an intent are taken out of their lines.
const TAKEN_OUT: &str = "the intent is held until a person decides";
/// Why those of a withdrawn intent are.
const TAKEN_BACK: &str = "the intent was taken back";
/// Why the box gives up an intent of its own.
const CAME_BACK: &str = "its window has readings again";
/// Why an intent is held whose rows were given up by others, as for want of consent.
const GIVEN_UP: &str = "given-up";

/// An intent to take. No Debug: it may hold free words about a patient.
#[derive(Clone)]
pub struct NewIntent {
    /// Of the request: asked again, it is not taken again.
    pub key: [u8; 32],
    /// The identifier that it names.
    pub patient: i64,
    /// The window that it is about.
    pub window: Option<i64>,
    /// `note`, `goal`, `flowsheet`, `withdraw`.
    pub kind: String,
    /// What is wanted, in the caller's words.
    pub body: String,
    /// Who wants it.
    pub author: String,
    /// In which role.
    pub role: Option<String>,
    /// For whom.
    pub behalf: Option<String>,
    /// Who typed it.
    pub transcribed: Option<String>,
    /// How long the author's word holds, in milliseconds.
    pub fresh_ms: i64,
    /// The box itself takes back what stands of a window that has no readings left. It is refused with
    /// [`Conflict::Window`] where that is not so (any more), and nobody's word: no age and no event of a patient holds it.
    pub own: bool,
    /// Its rows, each after those it depends on; none where they are made later.
    pub rows: Vec<IntentRow>,
    /// The versions that stood where the rows were made from them; where that has changed nothing is done.
    pub stood: Vec<(String, Option<i64>)>,
    /// What of it people have to do by hand: raised where its rows are queued.
    pub by_hand: Vec<Condition>,
    /// Who did it, for the audit log.
    pub actor: String,
    /// Now, in milliseconds.
    pub at: i64,
}

/// What became of a [`NewIntent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// Its number.
    pub id: i64,
    /// Where it stands.
    pub state: IntentState,
    /// It had been taken before.
    pub known: bool,
}

impl Command for NewIntent {
    type Out = Entered;

    fn bytes(&self) -> usize {
        self.body.len() + intent_queue::size(&self.rows)
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Entered, WriteError> {
        if let Some(known) = intent_rows::by_key(conn, &self.key)? {
            // Another wish under the name of this one would be lost.
            if !self.own && !self.is_the_same(conn, &known)? {
                return Err(Conflict::Intent.into());
            }
            return Ok(Entered { id: known.id, state: known.state, known: true });
        }
        let id = conn
            .prepare_cached(
                "INSERT INTO intent (key, patient, window_id, kind, body, author, role, behalf, transcribed, entered_at,
                   confirmed_at, fresh_ms, state, state_at, own)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, 'waiting', ?10, ?12)",
            )?
            .insert(params![
                self.key,
                self.patient,
                self.window,
                self.kind,
                self.body,
                self.author,
                self.role,
                self.behalf,
                self.transcribed,
                self.at,
                self.fresh_ms,
                self.own
            ])?;
        tell(conn, &self.actor, "intent entered", id, &self.kind, self.at)?;
        let state = begin(conn, id, &self.rows, &self.stood, self.at)?;
        ask_people(conn, state, &self.by_hand)?;
        Ok(Entered { id, state, known: false })
    }
}

impl NewIntent {
    /// Whether a known intent is this one: the same words about the same person. Who typed it may be another.
    fn is_the_same(&self, conn: &Connection, known: &Intent) -> rusqlite::Result<bool> {
        let said = (&self.kind, &self.body, &self.window) == (&known.kind, &known.body, &known.window);
        let signed = (&self.author, &self.role, &self.behalf) == (&known.author, &known.role, &known.behalf);
        // Merged since, its identifier may have led to another number.
        let owners = (lineage::root(conn, self.patient)?, lineage::root(conn, known.patient)?);
        let same_person = self.patient == known.patient
            || matches!(owners, (Root::One(one), Root::One(other)) if one == other);
        Ok(said && signed && same_person)
    }
}

/// The command that gives a waiting intent its rows.
pub struct QueueIntent {
    /// Its number.
    pub id: i64,
    /// Its rows.
    pub rows: Vec<IntentRow>,
    /// Where no rows can be made: why, and it is held.
    pub cannot: Option<String>,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for QueueIntent {
    type Out = IntentState;

    fn bytes(&self) -> usize {
        intent_queue::size(&self.rows)
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<IntentState, WriteError> {
        let intent = intent_rows::by_id(conn, self.id)?.ok_or(Conflict::Missing)?;
        if intent.state != IntentState::Waiting {
            return Ok(intent.state);
        }
        if let Some(why) = &self.cannot {
            hold(conn, &intent, IntentState::Held, why, self.at)?;
            return Ok(IntentState::Held);
        }
        begin(conn, self.id, &self.rows, &[], self.at)
    }
}

/// The command by which a person stands by an intent. One that is held or expired begins anew with these rows; one that is
/// under way holds for longer.
#[derive(Clone)]
pub struct ConfirmIntent {
    /// Its number.
    pub id: i64,
    /// For whom it is meant: whom its identifier counts for now.
    pub patient: i64,
    /// Its rows, made anew; none where they are made later.
    pub rows: Vec<IntentRow>,
    /// As in [`NewIntent::stood`].
    pub stood: Vec<(String, Option<i64>)>,
    /// As in [`NewIntent::by_hand`].
    pub by_hand: Vec<Condition>,
    /// It goes although the patient died.
    pub decided: bool,
    /// Who did it, for the audit log.
    pub actor: String,
    /// Why, for the audit log.
    pub reason: String,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for ConfirmIntent {
    type Out = IntentState;

    fn bytes(&self) -> usize {
        intent_queue::size(&self.rows)
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<IntentState, WriteError> {
        let intent = intent_rows::by_id(conn, self.id)?.ok_or(Conflict::Missing)?;
        if matches!(intent.state, IntentState::Done | IntentState::Withdrawn) {
            return Err(Conflict::Edge.into());
        }
        conn.prepare_cached("UPDATE intent SET confirmed_at = ?2, decided = max(decided, ?3) WHERE id = ?1")?
            .execute(params![self.id, self.at, self.decided])?;
        tell(conn, &self.actor, "intent confirmed", self.id, &self.reason, self.at)?;
        if !intent.state.wants_a_person() {
            return Ok(intent.state);
        }
        conn.prepare_cached(
            "UPDATE intent SET patient = ?2, state = 'waiting', reason = '', state_at = ?3 WHERE id = ?1",
        )?
        .execute(params![self.id, self.patient, self.at])?;
        let state = begin(conn, self.id, &self.rows, &self.stood, self.at)?;
        ask_people(conn, state, &self.by_hand)?;
        Ok(state)
    }
}

/// The command that takes an intent back. Refused with [`Conflict::Edge`] where something of it was sent, or may have been.
#[derive(Clone)]
pub struct CancelIntent {
    /// Its number.
    pub id: i64,
    /// Who did it, for the audit log.
    pub actor: String,
    /// Why, for the audit log.
    pub reason: String,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for CancelIntent {
    type Out = IntentState;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<IntentState, WriteError> {
        let intent = intent_rows::by_id(conn, self.id)?.ok_or(Conflict::Missing)?;
        match intent.state {
            IntentState::Withdrawn => return Ok(IntentState::Withdrawn),
            IntentState::Done => return Err(Conflict::Edge.into()),
            _ if intent_rows::has_begun(conn, self.id, None)? => return Err(Conflict::Edge.into()),
            _ => {}
        }
        take_out(conn, self.id, TAKEN_BACK, self.at)?;
        set(conn, self.id, IntentState::Withdrawn, "", self.at)?;
        tell(conn, &self.actor, "intent cancelled", self.id, &self.reason, self.at)?;
        Ok(IntentState::Withdrawn)
    }
}

/// The command that looks at a page of the intents under way.
pub(crate) struct Review {
    pub after: i64,
    pub at: i64,
}

/// What a look at intents came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reviewed {
    /// How many it held.
    pub held: usize,
    /// After which intent the next look goes on; `None` where that was all.
    pub next: Option<i64>,
}

impl Command for Review {
    type Out = Reviewed;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Reviewed, WriteError> {
        let mut held = 0;
        let page = intent_rows::under_way(conn, self.after)?;
        let next = page.last().map(|last| last.id).filter(|_| page.len() == intent_rows::UNDER_WAY_MOST);
        for intent in page {
            let begun = intent_rows::has_begun(conn, intent.id, None)?;
            let stands = stands(conn, &intent, self.at)?;
            if let (false, Some((state, why))) = (begun, stands.held()) {
                hold(conn, &intent, state, why, self.at)?;
                held += 1;
            } else if intent.state == IntentState::Queued && intent_rows::was_given_up(conn, intent.id)? {
                hold(conn, &intent, IntentState::Held, GIVEN_UP, self.at)?;
                held += 1;
            } else {
                intent_queue::follow(conn, &intent)?;
            }
        }
        Ok(Reviewed { held, next })
    }
}

/// The last look before a row is leased.
pub(crate) fn gate(conn: &Connection, row: &Place, at: i64) -> Result<Passage, WriteError> {
    let Some(intent) = intent_rows::of_row(conn, row.id)? else { return Ok(Passage::Free) };
    let Some((state, why)) = stands(conn, &intent, at)?.held() else { return Ok(Passage::Free) };
    if row.state == State::Ambiguous {
        return Ok(Passage::LookOnly);
    }
    if intent_rows::has_begun(conn, intent.id, Some(row.id))? {
        return Ok(Passage::Free);
    }
    hold(conn, &intent, state, why, at)?;
    Ok(Passage::Held)
}

fn stands(conn: &Connection, intent: &Intent, at: i64) -> rusqlite::Result<Standing> {
    Ok(standing(at, &intent_rows::facts(conn, intent)?))
}

/// Queues an intent that waits, or holds it. Without rows it goes on waiting for them.
fn begin(
    conn: &Connection,
    id: i64,
    rows: &[IntentRow],
    stood: &[(String, Option<i64>)],
    at: i64,
) -> Result<IntentState, WriteError> {
    let intent = intent_rows::by_id(conn, id)?.ok_or(Conflict::Missing)?;
    if let Some((state, why)) = stands(conn, &intent, at)?.held() {
        hold(conn, &intent, state, why, at)?;
        return Ok(state);
    }
    let taken_back = match intent.window.filter(|_| intent.own) {
        Some(window) => windows::was_taken_back(conn, window)?,
        None => !intent.own,
    };
    if !taken_back {
        return Err(Conflict::Window.into());
    }
    if rows.is_empty() {
        return Ok(intent.state);
    }
    intent_queue::enqueue(conn, &intent, rows, stood, at)?;
    set(conn, id, IntentState::Queued, "", at)?;
    Ok(IntentState::Queued)
}

/// Raises what people have to do of an intent that goes; of one that is held nobody is asked anything else yet.
fn ask_people(conn: &Connection, state: IntentState, by_hand: &[Condition]) -> rusqlite::Result<()> {
    for asked in by_hand.iter().filter(|_| state == IntentState::Queued) {
        conditions::raise(conn, &asked.name, &asked.scope, &asked.detail, asked.since)?;
    }
    Ok(())
}

fn hold(
    conn: &Connection,
    intent: &Intent,
    state: IntentState,
    why: &str,
    at: i64,
) -> Result<(), WriteError> {
    take_out(conn, intent.id, TAKEN_OUT, at)?;
    set(conn, intent.id, state, why, at)?;
    tell(conn, "isthmus", "intent held", intent.id, why, at)
}

/// The readings of a window came back, and a version of it follows: what the box itself was to take back of it, and has
/// not begun to, stays as it is.
pub(crate) fn give_up_own(conn: &Connection, window_id: i64, at: i64) -> Result<(), WriteError> {
    for id in intent_rows::own_of(conn, window_id)? {
        if !intent_rows::has_begun(conn, id, None)? {
            take_out(conn, id, CAME_BACK, at)?;
            set(conn, id, IntentState::Withdrawn, "", at)?;
            tell(conn, "isthmus", "intent cancelled", id, CAME_BACK, at)?;
        }
    }
    Ok(())
}

/// Takes the rows that wait out of their lines.
fn take_out(conn: &Connection, id: i64, why: &str, at: i64) -> Result<(), WriteError> {
    for row_id in intent_rows::waiting(conn, id)? {
        let row = queue::place(conn, row_id)?;
        queue::step(conn, &row, Step::Supersede, Note { reason: Some(why), at, ..Note::default() })?;
    }
    Ok(())
}

fn set(conn: &Connection, id: i64, state: IntentState, why: &str, at: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE intent SET state = ?2, reason = ?3, state_at = ?4 WHERE id = ?1")?
        .execute(params![id, state.name(), why, at])?;
    Ok(())
}

fn tell(
    conn: &Connection,
    actor: &str,
    action: &str,
    id: i64,
    detail: &str,
    at: i64,
) -> Result<(), WriteError> {
    let entry = AuditEntry {
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: format!("intent {id}"),
        detail: detail.to_owned(),
        at,
    };
    audit::append(conn, &[entry])?;
    Ok(())
}

//! What people at a site want written: the one way in, for the command line and for the local API.
//!
//! Invariants: what is taken is checked whole before anything is stored; the same request is taken once; the intent and its
//! rows of the queue are one transaction, and hold at the lease, before it is answered; nobody's words are in a log, an
//! error, a metric or an audit entry; who typed it is who the kernel says.
//!
//! The rows are made here, but for an outcome in another form: that has to be computed, so the pipeline makes them
//! (`pipeline/wish.rs`).

mod rows;
mod take_back;
mod watch;
mod withdraw;

use clinical::{
    calendar::LocalDay,
    fhir::{
        identifier::SiteSecret,
        intent::{Signature, Wish, WishFault},
    },
    reading::Instant,
};
use outbox::{
    AuditEntry, Condition, ConfirmIntent, Conflict, Entered, Intent, IntentRow, IntentState, NewIntent,
    ReadError, Readers, Window, WriteError, Writer,
};
use sha2::{Digest, Sha256};
use tokio::sync::watch as turns;

pub(crate) use self::rows::{author_of, provenance_row};
pub(crate) use self::watch::{Watch, export, summary};
use crate::{
    conditions::{self, Board, Kind},
    config,
    generation::Current,
    observations::Observations,
    pipeline::Wake,
    telemetry::Metric,
    time,
};

/// Longest name of a request, by which a repetition is known.
const REQUEST_MOST_BYTES: usize = 200;

/// What takes intents; cheap to clone.
#[derive(Clone)]
pub struct Intents {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of the store.
    pub readers: Readers,
    /// The configuration in force.
    pub current: Current,
    /// What is learned of destinations.
    pub observations: Observations,
    /// Where it is told what people have to do by hand.
    pub conditions: Board,
    /// Wakes the pipeline, which makes the rows of some.
    pub wake: Wake,
    /// Wakes the deliverers.
    pub queued: turns::Sender<u64>,
    /// The box's secret for identifiers.
    pub secret: SiteSecret,
    /// The box's id.
    pub box_id: String,
}

/// Of whom or of what an intent is. No Debug: it may name a patient.
#[derive(Clone, PartialEq, Eq)]
pub enum About {
    /// A patient of the site, by identifier: system and value.
    Patient(String, String),
    /// A published window of the site, by its number.
    Window(i64),
}

/// What is asked to be taken. No Debug: it may hold free words about a patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// What is wanted.
    pub wish: Wish,
    /// The site; else the box's.
    pub site: Option<String>,
    /// About what.
    pub about: About,
    /// Who wants it, as named.
    pub author: String,
    /// In which role, as given.
    pub role: Option<String>,
    /// For whom the author acts.
    pub behalf: Option<String>,
    /// The name of this request at the site: the same again is not taken again.
    pub request: String,
}

/// Why an intent was not taken, or not let go. Nothing of a patient, and no word of a person, is in it.
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// The store refused.
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
    /// What is wanted is none of what there is.
    #[error("{0}")]
    Wish(#[from] WishFault),
    /// There is no such thing, or the site does not take it: what to do.
    #[error("{0}")]
    Refused(String),
    /// A resource could not be made; a defect.
    #[error("the resources could not be made: {0}")]
    Made(String),
}

fn refused<T>(why: impl Into<String>) -> Result<T, IntentError> {
    Err(IntentError::Refused(why.into()))
}

/// An intent's patient, window and rows, as they are at the moment.
struct Plan {
    patient: i64,
    window: Option<Window>,
    rows: Vec<IntentRow>,
    stood: Vec<(String, Option<i64>)>,
    /// Where people have to do it by hand.
    by_hand: Vec<String>,
    /// The box itself wants it.
    own: bool,
}

impl Plan {
    fn of(patient: i64, window: Option<Window>, own: bool) -> Self {
        Self { patient, window, rows: vec![], stood: vec![], by_hand: vec![], own }
    }
}

/// An intent that may be stored.
pub(crate) enum Prepared {
    /// It is new, or the same as one that is known: the store tells. With the destinations at which people have to do it by
    /// hand.
    New(Box<NewIntent>, Vec<String>),
    /// It was taken before.
    Known(Taken),
}

/// An intent that was taken.
pub struct Taken {
    /// Its number and where it stands.
    pub entered: Entered,
    /// Destinations at which people have to do it by hand.
    pub by_hand: Vec<String>,
}

impl Intents {
    /// Takes what a person wants written. `actor` is who asked, for the audit log; `transcriber` who typed it, where that
    /// is not the author: the local API, which knows its author, says `None`.
    ///
    /// # Errors
    /// [`IntentError`]; no intent was stored then. Where all that stands has to be taken back by hand, people are asked to.
    pub fn enter(
        &self,
        command: &Command,
        actor: &str,
        transcriber: Option<&str>,
    ) -> Result<Taken, IntentError> {
        self.store(self.prepare(command, actor, transcriber)?)
    }

    /// All that [`Self::enter`] does before it stores: for who stores the intent together with something else, and calls
    /// [`Self::entered`] then.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub(crate) fn prepare(
        &self,
        command: &Command,
        actor: &str,
        transcriber: Option<&str>,
    ) -> Result<Prepared, IntentError> {
        let at = time::now_ms();
        let (plan, signed, key) = self.planned(command, transcriber, at)?;
        let fresh = self.current.get().config.main.intent.reconfirm_after;
        let fresh_ms = i64::try_from(fresh.as_millis()).unwrap_or(i64::MAX);
        self.prepared(plan, &command.wish, &signed, (key, fresh_ms), (actor, at))
    }

    /// Whether [`Self::prepare`] would take it. Nothing is stored, and nobody is asked for anything.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub(crate) fn would_take(&self, command: &Command, transcriber: Option<&str>) -> Result<(), IntentError> {
        let (plan, ..) = self.planned(command, transcriber, time::now_ms())?;
        if command.wish == Wish::Withdraw && plan.rows.is_empty() {
            return refused("what stands cannot be marked where it stands: people have to do it by hand");
        }
        Ok(())
    }

    /// What is to be done for it, who signs it, and its key.
    fn planned<'a>(
        &self,
        command: &'a Command,
        transcriber: Option<&'a str>,
        at: i64,
    ) -> Result<(Plan, Signature<'a>, [u8; 32]), IntentError> {
        command.wish.check()?;
        let signed = Signature {
            author: &command.author,
            role: command.role.as_deref(),
            behalf: command.behalf.as_deref(),
            transcriber,
            entered: Instant(at),
        };
        signed.check()?;
        if command.request.is_empty() || command.request.len() > REQUEST_MOST_BYTES {
            return refused(format!("a request has a name of 1 to {REQUEST_MOST_BYTES} bytes"));
        }
        let site = self.site(command.site.as_deref())?;
        let key = key_of(&site.id, &command.request);
        let (patient, window) = self.about(&site, &command.about)?;
        // What is taken back was written for whom it was written; who takes it back knows whose window it is now.
        let owner = self.readers.with(|reader| reader.owner(patient))?;
        let patient = owner.filter(|_| command.wish == Wish::Withdraw).unwrap_or(patient);
        let plan = self.plan(&site, (patient, window), &command.wish, &signed, &key, false)?;
        Ok((plan, signed, key))
    }

    /// An intent with its rows, to be stored once for each key.
    fn prepared(
        &self,
        plan: Plan,
        wish: &Wish,
        signed: &Signature<'_>,
        (key, fresh_ms): ([u8; 32], i64),
        (actor, at): (&str, i64),
    ) -> Result<Prepared, IntentError> {
        let body = serde_json::to_string(wish).map_err(|error| IntentError::Made(error.to_string()))?;
        // The box's own is told of by the condition that had it take back.
        let by_hand = if plan.own { Vec::new() } else { asked_by_hand(&plan, at) };
        if *wish == Wish::Withdraw && plan.rows.is_empty() {
            // A request that was taken before asks nobody anew for what its intent left to people.
            return match self.readers.with(|reader| reader.intent_by_key(&key))? {
                Some(known) => {
                    let entered = Entered { id: known.id, state: known.state, known: true };
                    Ok(Prepared::Known(Taken { entered, by_hand: plan.by_hand }))
                }
                None => self.people_alone(by_hand, actor),
            };
        }
        let intent = NewIntent {
            key,
            patient: plan.patient,
            window: plan.window.as_ref().map(|window| window.id),
            kind: wish.word().to_owned(),
            body,
            author: signed.author.to_owned(),
            role: signed.role.map(str::to_owned),
            behalf: signed.behalf.map(str::to_owned),
            transcribed: signed.transcriber.map(str::to_owned),
            fresh_ms,
            own: plan.own,
            rows: plan.rows,
            stood: plan.stood,
            by_hand,
            actor: actor.to_owned(),
            at,
        };
        Ok(Prepared::New(Box::new(intent), plan.by_hand))
    }

    fn store(&self, prepared: Prepared) -> Result<Taken, IntentError> {
        let (intent, by_hand) = match prepared {
            Prepared::Known(taken) => return Ok(taken),
            Prepared::New(intent, by_hand) => (intent, by_hand),
        };
        let entered = self.writer.enter_intent((*intent).clone()).wait().map_err(busy)?;
        match entered.known {
            true => self.go_on(),
            false => self.entered(*intent, entered.state),
        }
        Ok(Taken { entered, by_hand })
    }

    /// What follows once a new intent is stored.
    pub(crate) fn entered(&self, intent: NewIntent, state: IntentState) {
        self.ask_people(state, intent.by_hand);
        Metric::Intents.add(1, &[("kind", intent.kind)]);
        self.go_on();
    }

    /// Its author stands by an intent: it goes, or goes on, and is as fresh as on the day it was entered. `by` is the
    /// author's name as entered: nobody lends their word to another's, for the chart says whose it is.
    ///
    /// # Errors
    /// [`IntentError`]; nothing was changed then.
    pub fn confirm(&self, id: i64, by: &str, reason: &str, actor: &str) -> Result<IntentState, IntentError> {
        let confirm = self.confirming(id, by, reason, actor)?;
        let state = self.writer.confirm_intent(confirm.clone()).wait().map_err(busy)?;
        self.confirmed(confirm, state);
        Ok(state)
    }

    /// All that [`Self::confirm`] does before it stores: for who stores it together with something else, and calls
    /// [`Self::confirmed`] then.
    ///
    /// # Errors
    /// As [`Self::confirm`].
    pub(crate) fn confirming(
        &self,
        id: i64,
        by: &str,
        reason: &str,
        actor: &str,
    ) -> Result<ConfirmIntent, IntentError> {
        let Some(intent) = self.readers.with(|reader| reader.intent(id))? else {
            return refused(format!("there is no intent {id}"));
        };
        // What the box itself takes back is nobody's word: whoever decides is in the audit log.
        if !intent.own && by.trim() != intent.author {
            return refused(
                "its author has to stand by it, named as entered; who takes it over cancels it and enters it in their own name",
            );
        }
        let wish: Wish =
            serde_json::from_str(&intent.body).map_err(|error| IntentError::Made(error.to_string()))?;
        let named = self.readers.with(|reader| reader.patient(intent.patient))?;
        let site = self.site(named.as_ref().map(|key| key.site.as_str()))?;
        let Some(owner) = self.readers.with(|reader| reader.owner(intent.patient))? else {
            return refused("its identifier counts for nobody now: cancel it, and enter it for the patient");
        };
        let window = match intent.window {
            None => None,
            Some(window) => self.readers.with(|reader| reader.window_by_id(window))?,
        };
        let signed = signature(&intent);
        let plan = match intent.state.wants_a_person() {
            true => self.plan(&site, (owner, window), &wish, &signed, &intent.key, intent.own)?,
            false => Plan::of(owner, window, intent.own),
        };
        let at = time::now_ms();
        let by_hand = if plan.own { Vec::new() } else { asked_by_hand(&plan, at) };
        if wish == Wish::Withdraw && !plan.own && intent.state.wants_a_person() && plan.rows.is_empty() {
            return self.people_alone(by_hand, actor);
        }
        Ok(ConfirmIntent {
            id,
            patient: owner,
            rows: plan.rows,
            stood: plan.stood,
            by_hand,
            decided: intent.state == IntentState::Held,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            at,
        })
    }

    /// What follows once a person's word is stored.
    pub(crate) fn confirmed(&self, confirm: ConfirmIntent, state: IntentState) {
        self.ask_people(state, confirm.by_hand);
        self.go_on();
    }

    /// The site of that id, or the box's.
    fn site(&self, named: Option<&str>) -> Result<config::Site, IntentError> {
        let generation = self.current.get();
        let id = named.unwrap_or(&generation.config.main.site);
        match generation.config.sites.get(id) {
            Some(site) => Ok(site.clone()),
            None => refused("no such site is configured"),
        }
    }

    fn about(&self, site: &config::Site, about: &About) -> Result<(i64, Option<Window>), IntentError> {
        match about {
            About::Patient(system, value) => {
                let key = outbox::PatientKey {
                    site: site.id.clone(),
                    system: system.clone(),
                    value: value.clone(),
                };
                match self.readers.with(|reader| reader.find_patient(&key))? {
                    Some(number) => Ok((number, None)),
                    None => {
                        refused("no patient of this identifier is known at this site, and nothing was taken")
                    }
                }
            }
            About::Window(id) => match self.readers.with(|reader| reader.window_by_id(*id))? {
                Some(window) if window.site == site.id => Ok((window.key.patient, Some(window))),
                _ => refused(
                    "there is no such window at this site; isthmus status and the audit log name windows",
                ),
            },
        }
    }

    fn plan(
        &self,
        site: &config::Site,
        (patient, window): (i64, Option<Window>),
        wish: &Wish,
        signed: &Signature<'_>,
        key: &[u8; 32],
        own: bool,
    ) -> Result<Plan, IntentError> {
        let generation = self.current.get();
        let id = format!("ehr:{}", site.id);
        let Some(destination) = generation.destination(&id) else {
            return refused("this site has no EHR to write to");
        };
        if destination.ceiling == crate::mode::Ceiling::Shadow {
            return refused("this site is in shadow: nothing is written there, and nothing waits");
        }
        let mut plan = Plan::of(patient, window, own);
        let making = rows::Making { intents: self, destination: &destination, signed, key };
        match wish {
            Wish::Note { text } => plan.rows = making.note(&plan, text)?,
            Wish::Goal { goal } => plan.rows = making.goal(&plan, *goal)?,
            Wish::Flowsheet { form } => {
                published(plan.window.as_ref())?;
                if destination.ways.iter().all(|way| way.projection.name() != form) {
                    let known: Vec<&str> = destination.ways.iter().map(|way| way.projection.name()).collect();
                    return refused(format!("the site's forms are {}", known.join(", ")));
                }
            }
            Wish::Withdraw => {
                published(plan.window.as_ref())?;
                for destination in generation.destinations_of(&site.id) {
                    making.withdraw(destination, &mut plan)?;
                }
                match (plan.rows.is_empty(), plan.by_hand.is_empty()) {
                    (true, true) => return refused("nothing of this window stands that could be taken back"),
                    (true, false) if own => {
                        let places = plan.by_hand.join(", ");
                        return refused(format!(
                            "what stands at {places} cannot be marked there: people have to do it by hand"
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(plan)
    }

    /// Shows what the store has of what people have to do for an intent that goes.
    fn ask_people(&self, state: IntentState, by_hand: Vec<Condition>) {
        for asked in by_hand.into_iter().filter(|_| state == IntentState::Queued) {
            self.conditions.raise(Kind::WithdrawalNeeded, &asked.scope, asked.detail, asked.since);
        }
    }

    /// Nothing of what is wanted can be written: there is no intent to follow, but people are asked, for as long as it takes.
    fn people_alone<T>(&self, by_hand: Vec<Condition>, actor: &str) -> Result<T, IntentError> {
        let mut told: Vec<String> = Vec::new();
        for asked in by_hand {
            let audit = AuditEntry {
                actor: actor.to_owned(),
                action: "withdrawal asked for".to_owned(),
                object: asked.scope.clone(),
                detail: asked.detail.clone(),
                at: asked.since,
            };
            self.writer.audit(vec![audit]).wait()?;
            self.writer.raise(&asked.name, &asked.scope, &asked.detail, asked.since).wait()?;
            told.push(asked.detail.clone());
            self.conditions.raise(Kind::WithdrawalNeeded, &asked.scope, asked.detail, asked.since);
        }
        refused(format!("nothing can be written; condition withdrawal-needed stands: {}", told.join("; ")))
    }

    /// Wakes whoever goes on with it.
    pub(crate) fn go_on(&self) {
        self.wake.wake();
        self.queued.send_modify(|turn| *turn += 1);
    }
}

/// What people have to take back by hand, and how they say that they did.
fn asked_by_hand(plan: &Plan, at: i64) -> Vec<Condition> {
    let Some(window) = &plan.window else { return Vec::new() };
    let of = |destination: &String| {
        let scope = conditions::window_at(window.id, destination);
        let detail = format!(
            "somebody takes back what stands of window {} at {destination}, and no write can mark it there: mark it by hand, \
             then: isthmus site withdrawn \"{scope}\" --reason TEXT",
            window.id
        );
        Condition { name: Kind::WithdrawalNeeded.word().to_owned(), scope, detail, since: at }
    };
    plan.by_hand.iter().map(of).collect()
}

/// The same request at the same site is the same intent.
pub(crate) fn key_of(site: &str, request: &str) -> [u8; 32] {
    let mut key = Sha256::new_with_prefix(b"intent");
    for part in [site, request] {
        key.update((part.len() as u64).to_be_bytes());
        key.update(part);
    }
    key.finalize().into()
}

/// Who wanted an intent.
pub(crate) fn signature(intent: &Intent) -> Signature<'_> {
    Signature {
        author: &intent.author,
        role: intent.role.as_deref(),
        behalf: intent.behalf.as_deref(),
        transcriber: intent.transcribed.as_deref(),
        entered: Instant(intent.entered_at),
    }
}

fn published(window: Option<&Window>) -> Result<(), IntentError> {
    match window {
        Some(window) if window.version > 0 => Ok(()),
        Some(_) => refused("this window was never published"),
        None => refused("this is about a window: say --window N, or in a Task the focus"),
    }
}

/// What stood when the rows were made stands no more, or something of the window is under way.
pub(crate) fn busy(error: WriteError) -> IntentError {
    match error {
        WriteError::Conflict(Conflict::Window) => IntentError::Refused(
            "a write of this window is under way or in doubt: try again when it is settled".to_owned(),
        ),
        WriteError::Conflict(Conflict::Intent) => IntentError::Refused(
            "something else was entered under this --request name at this site: choose another name"
                .to_owned(),
        ),
        other => other.into(),
    }
}

/// The dates of a window, as its outcome tells them.
pub(crate) fn dates_of(window: &Window) -> String {
    let last = LocalDay(window.key.end_day).plus(-1);
    let first = LocalDay(window.key.end_day).plus(-i32::from(window.key.days));
    format!("CGM outcome of {first} to {last} ({} days)", window.key.days)
}

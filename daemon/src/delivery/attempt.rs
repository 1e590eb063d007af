//! One attempt to write one row: reconcile what is unknown, send the rest, read the answer.
//!
//! Invariants: what may have taken effect is looked for before it is sent again; a conditional create
//! that found something is compared with what we meant to write; nothing is learned from a resource that
//! does not carry our identifier; doubt ends with proof and not with a refusal to look; an update carries
//! the ETag we know; what the configuration does not permit is left out, and the Bundle is checked against
//! the destination's allow-list as the last thing before it leaves; what was overtaken while in doubt is not sent again,
//! whether or not the destination lets us look.

pub mod batch;
mod fault;
mod lookup;
mod request;
pub mod told;

use std::collections::{BTreeMap, BTreeSet};

use clinical::fhir::{
    address::address,
    answer::EntryAnswer,
    bundle::{self, Entry},
    issue::{OperationOutcome, names_code, names_patient},
    location::Location,
    projection::{Amends, Style},
    readback::same_as,
    release::Release,
};
use outbox::Written;
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::{lookup::Found, told::Told as ToldOf};
use super::{http::Told, seat::Seat};
use crate::{
    destination::{Destination, PROVENANCE, Way},
    pipeline::resources::{Part, Write, capability},
    verdict::{Answer, Attempt, Verdict, judge},
};

/// Rounds of one attempt: the write, and after a read-back or a conflict one more with what was learned.
const ROUNDS: usize = 2;
/// What is said of a create that cannot be conditional and may have taken effect.
const NOT_SHOWN: &str =
    "it may have been written, and the destination does not let us look; it is not sent blindly";
/// The same, where a search finds nothing so soon after the request whose answer did not come.
const TOO_EARLY: &str = "it may have been written, and a search does not show it yet; it is looked for again before it is sent again";
/// What is said of a resource that a search, a conditional create or the ledger led to.
const NOT_OURS: &str = "the search found a resource that is not ours";

/// Where a resource stands at the destination.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its place.
    pub location: Location,
    /// Its ETag, where known.
    pub etag: Option<String>,
    /// SHA-256 of the part as it was written there by us, where that is known.
    pub content_hash: Option<[u8; 32]>,
}

/// What an attempt came to.
pub struct Outcome {
    /// What follows.
    pub verdict: Verdict,
    /// Where the resources stand now, where the verdict is delivered.
    pub written: Vec<Written>,
    /// Whether a write was answered: what was only looked up says nothing about permission.
    pub wrote: bool,
    /// Whether what was answered last was to update something.
    pub amending: bool,
    /// Whether what was asked last was not answered.
    pub silent: bool,
    /// Whether an earlier attempt may still have taken effect: the destination did not let us look.
    pub doubt: bool,
    /// HTTP status of the answer to the last write; `None` where none was answered.
    pub status: Option<u16>,
}

impl Outcome {
    /// An attempt that ended before anything was asked of the destination.
    pub fn unasked(verdict: Verdict, ambiguous: bool) -> Self {
        let (written, status) = (Vec::new(), None);
        Self { verdict, written, wrote: false, amending: false, silent: false, doubt: ambiguous, status }
    }
}

/// What is known of a row before it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// The version of its window, from 1.
    pub version: i64,
    /// An earlier attempt may have taken effect.
    pub ambiguous: bool,
    /// And if it has not, it must not any more: [`outbox::LeasedRow::overtaken`].
    pub overtaken: bool,
    /// It was asked for so lately that a search which finds nothing proves nothing: the request may still be under way at
    /// the destination, or not indexed there.
    pub recent: bool,
}

/// A row to write.
pub struct Item {
    /// Its form.
    pub form: String,
    /// Its bytes.
    pub body: Vec<u8>,
    /// By `urn:uuid:`, what the ledger knows of its resources and of those that they refer to.
    pub standing: BTreeMap<String, Standing>,
    /// Likewise, those of its resources that stand by a person's word alone, or nobody knows where.
    pub told: BTreeMap<String, ToldOf>,
    /// Whom the EHR knows the patient as.
    pub seat: Seat,
    /// What is known of it.
    pub past: Past,
    /// Asked before each write of it: to find its patient and what an earlier attempt did may take long.
    pub last_look: LastLook,
}

/// Whether what was leased may still leave; the verdict where it may not.
pub type LastLook = Box<dyn Fn() -> Result<(), Verdict> + Send + Sync>;

/// Writes one row.
pub async fn attempt(destination: &Destination, item: &Item) -> Outcome {
    let mut sending = match Sending::of(destination, item) {
        Ok(sending) => sending,
        Err(verdict) => return Outcome::unasked(verdict, item.past.ambiguous),
    };
    let ended = sending.run(item.past).await;
    sending.outcome(ended)
}

/// Where resources go, in which form, and about whom.
#[derive(Clone, Copy)]
struct To<'a> {
    destination: &'a Destination,
    release: Release,
    way: &'a Way,
    seat: &'a Seat,
}

struct Sending<'a> {
    to: To<'a>,
    last_look: &'a LastLook,
    /// What is still to be written.
    open: Vec<Part>,
    standing: BTreeMap<String, Standing>,
    told: BTreeMap<String, ToldOf>,
    written: Vec<Written>,
    /// A write was answered.
    wrote: bool,
    /// The HTTP status of the last such answer.
    status: Option<u16>,
    /// What was answered last was to update something.
    amending: bool,
    /// What was asked last was not answered.
    silent: bool,
    /// What would be created blindly was not found, too soon for that to be a proof.
    early: bool,
    /// An earlier attempt may have taken effect, and nothing has shown whether it did.
    doubt: bool,
    /// No earlier version of the window was ever made: whatever of ours stands there is this version.
    first: bool,
    /// Provenances for which the destination took another's: it does not know the search that they are
    /// created by, so they are created without one.
    unmatched: BTreeSet<String>,
}

impl<'a> Sending<'a> {
    /// What a row asks to be written; the verdict where nothing of it is to be sent.
    fn of(destination: &'a Destination, item: &'a Item) -> Result<Self, Verdict> {
        let write = serde_json::from_slice::<Write>(&item.body)
            .map_err(|_| Verdict::Data("the stored row is not readable".to_owned()))?;
        let way = destination.way(&item.form).ok_or(Verdict::Unlisted)?;
        // The row may have been queued under a configuration that permitted more.
        let release = write.release();
        let mut open = write.resources;
        open.retain(|part| capability(&part.resource).is_some_and(|one| destination.permits(one)));
        if open.is_empty() {
            return Err(Verdict::Withheld);
        }
        Ok(Self {
            to: To { destination, release, way, seat: &item.seat },
            last_look: &item.last_look,
            open,
            standing: item.standing.clone(),
            told: item.told.clone(),
            written: Vec::new(),
            wrote: false,
            status: None,
            amending: false,
            silent: false,
            early: false,
            doubt: false,
            first: item.past.version == 1,
            unmatched: BTreeSet::new(),
        })
    }

    fn outcome(mut self, ended: Result<(), Verdict>) -> Outcome {
        let (verdict, written) = match ended {
            Ok(()) => (Verdict::Delivered, std::mem::take(&mut self.written)),
            Err(verdict) => (verdict, Vec::new()),
        };
        let Self { wrote, amending, silent, doubt, status, .. } = self;
        Outcome { verdict, written, wrote, amending, silent, doubt, status }
    }

    async fn run(&mut self, past: Past) -> Result<(), Verdict> {
        self.begin(past).await?;
        self.rounds(1).await
    }

    /// What is known before anything is sent: what an earlier attempt may have done, and what stands by our own ledger.
    async fn begin(&mut self, past: Past) -> Result<(), Verdict> {
        self.forget_earlier();
        if past.ambiguous {
            let looked = self.reconcile(past).await;
            self.silent = matches!(looked, Err(Verdict::Ambiguous(_)));
            looked?;
            if self.early {
                return Err(Verdict::Ambiguous(TOO_EARLY.to_owned()));
            }
            // Known not to have happened: the store takes it out of its line. Unknown: what was overtaken must not be put
            // over what took its place, or be written for somebody it is no longer about, so people are told.
            if past.overtaken && !self.open.is_empty() {
                return Err(if self.doubt { Verdict::Overtaken } else { Verdict::Withheld });
            }
            // Sent again it would be a second one: it waits until it can be looked for.
            if self.doubt && self.open.iter().any(|part| self.is_blind(part)) {
                return Err(Verdict::Ambiguous(NOT_SHOWN.to_owned()));
            }
            // Should the answer to what goes now be lost too, then absence has to be proved anew.
            if self.written.is_empty() && self.open.iter().any(|part| self.is_blind(part)) {
                return Err(Verdict::Absent);
            }
        } else {
            self.leave_out_unchanged();
        }
        self.find_told(past).await
    }

    /// Whether a part, sent twice, would stand twice.
    fn is_blind(&self, part: &Part) -> bool {
        part.if_none_exist.is_none() && !self.standing.contains_key(&part.full_url)
    }

    /// Every error ends the attempt, except for a conflict that the destination answered: after it there
    /// is one more look and one more round.
    async fn rounds(&mut self, from: usize) -> Result<(), Verdict> {
        for round in from..=ROUNDS {
            if self.open.is_empty() {
                return Ok(());
            }
            let entries = self.open.iter().map(|part| self.entry(part)).collect::<Result<Vec<_>, _>>()?;
            match self.send(&entries).await {
                Ok(answers) => self.take(&entries, &answers).await?,
                Err(Verdict::Conflict(_)) if round < ROUNDS => self.look_again().await?,
                Err(refusal) => return Err(refusal),
            }
        }
        if self.open.is_empty() {
            return Ok(());
        }
        Err(Verdict::Conflict("another version stands at the destination".to_owned()))
    }

    /// Where every version is a document of its own, the earlier one is not what is written now.
    fn forget_earlier(&mut self) {
        if self.to.way.projection.amends() != Amends::Anew {
            return;
        }
        for part in &self.open {
            let same = |standing: &Standing| standing.content_hash == Some(content_hash(part));
            if self.standing.get(&part.full_url).is_some_and(|standing| !same(standing)) {
                self.standing.remove(&part.full_url);
            }
            if self.told.get(&part.full_url).is_some_and(|told| !told.is(part)) {
                self.told.remove(&part.full_url);
            }
        }
    }

    /// Files what stands there already, by our own ledger: a new version of a window seldom changes all of
    /// its resources, and an update that says nothing new is noise in a chart's history.
    fn leave_out_unchanged(&mut self) {
        for part in std::mem::take(&mut self.open) {
            match self.standing.get(&part.full_url).cloned() {
                Some(standing) if standing.content_hash == Some(content_hash(&part)) => {
                    self.file(&part, &standing);
                }
                // The ledger says all that is known of it.
                None if self.told.get(&part.full_url).is_some_and(|told| told.is(&part)) => {}
                _ => self.open.push(part),
            }
        }
    }

    /// Looks for every resource; what stands there as we meant it is written already. What the destination
    /// does not show is tried again, for a conditional create and an update may be repeated, and the doubt
    /// is kept.
    async fn reconcile(&mut self, past: Past) -> Result<(), Verdict> {
        for part in std::mem::take(&mut self.open) {
            let location = self.standing.get(&part.full_url).map(|standing| standing.location.clone());
            let found = match &location {
                Some(location) => lookup::read(self.to, &part, location).await?,
                None => lookup::search(self.to, &part, &self.resolved(&part)?).await?,
            };
            match found {
                Found::Ours(theirs, standing) => self.compare(part, &theirs, standing),
                Found::Foreign if location.is_some() => return Err(not_ours()),
                Found::Absent => {
                    self.standing.remove(&part.full_url);
                    self.early |= past.recent && self.is_blind(&part);
                    self.open.push(part);
                }
                // It may be let go or set aside by what is found: not by what nobody answered.
                Found::Unauthorized if past.overtaken => {
                    return Err(Verdict::Ambiguous("HTTP 401 when reading back".to_owned()));
                }
                // A search that gave us others' resources did not search for ours.
                Found::Foreign | Found::Hidden | Found::Unauthorized => {
                    self.doubt = true;
                    self.open.push(part);
                }
            }
        }
        Ok(())
    }

    /// After a conflict: what do the resources that we wanted to update look like now?
    async fn look_again(&mut self) -> Result<(), Verdict> {
        for part in std::mem::take(&mut self.open) {
            let Some(location) = self.standing.get(&part.full_url).map(|standing| standing.location.clone())
            else {
                self.open.push(part);
                continue;
            };
            match lookup::read(self.to, &part, &location).await? {
                Found::Ours(theirs, standing) => self.compare(part, &theirs, standing),
                Found::Foreign => return Err(not_ours()),
                Found::Hidden | Found::Unauthorized => self.open.push(part),
                // It was deleted there: it is created anew.
                Found::Absent => {
                    self.standing.remove(&part.full_url);
                    self.open.push(part);
                }
            }
        }
        Ok(())
    }

    /// Files a part under written where the destination holds the same content, else under open, with
    /// what was learned of the place. `theirs` is known to be ours.
    fn compare(&mut self, part: Part, theirs: &Value, standing: Standing) {
        let ours = self.resolved(&part);
        let same = ours.is_ok_and(|ours| same_as(self.to.way.projection, &ours, theirs));
        self.standing.insert(part.full_url.clone(), standing.clone());
        if same { self.file(&part, &standing) } else { self.open.push(part) }
    }

    fn file(&mut self, part: &Part, standing: &Standing) {
        self.standing.insert(part.full_url.clone(), standing.clone());
        self.written.push(Written {
            identifier: part.full_url.clone(),
            location: standing.location.reference(),
            etag: standing.etag.clone(),
            content_hash: content_hash(part),
            told: false,
        });
    }

    /// The part as it is sent: with its references to resources that stand at the destination, and with the EHR's own
    /// names for patient and encounter.
    fn resolved(&self, part: &Part) -> Result<Value, Verdict> {
        let known = self.standing.iter().map(|(urn, at)| (urn.clone(), at.location.reference())).collect();
        let mut resource = part.resource.clone();
        let unresolved = bundle::resolve(&mut resource, &known).is_err();
        // In a transaction what is left unresolved is in the same Bundle.
        if unresolved && self.to.way.projection.style() == Style::Single {
            request::leave_out_unresolved(&mut resource)?;
        }
        let Seat { subject, encounter } = self.to.seat;
        address(&mut resource, subject.as_deref(), encounter.as_deref())
            .map_err(|error| Verdict::Defect(error.to_string()))?;
        Ok(resource)
    }

    /// Sends the entries; a positive answer has one answer for each of them.
    async fn send(&mut self, entries: &[Entry]) -> Result<Vec<EntryAnswer>, Verdict> {
        (self.last_look)()?;
        let answered = match (self.to.way.projection.style(), entries) {
            (Style::Single, [entry]) => request::single(self.to, entry).await,
            _ => request::transaction(self.to, entries).await,
        };
        self.silent = matches!(answered, Err(Verdict::Ambiguous(_)));
        let (told, answers) = answered?;
        self.judged(&told, &answers, entries).map(|()| answers)
    }

    /// Judges the answers to entries.
    fn judged(&mut self, told: &Told, answers: &[EntryAnswer], entries: &[Entry]) -> Result<(), Verdict> {
        (self.wrote, self.status) = (true, Some(told.status));
        self.amending = entries.iter().any(|entry| matches!(entry, Entry::Update { .. }));
        match judge(&Attempt::Answered(self.reduce(told, answers, entries.len()))) {
            Verdict::Delivered | Verdict::ReadBack => Ok(()),
            Verdict::Configuration(cause) | Verdict::Data(cause)
                if self.may_be_gone(told, answers, entries) =>
            {
                Err(Verdict::Conflict(cause))
            }
            refusal => Err(refusal),
        }
    }

    fn entry(&self, part: &Part) -> Result<Entry, Verdict> {
        let resource = self.resolved(part)?;
        let full_url = part.full_url.clone();
        Ok(match self.standing.get(&part.full_url) {
            Some(Standing { location, etag, .. }) => {
                Entry::Update { resource, full_url, location: location.clone(), etag: etag.clone() }
            }
            None => {
                let search = part.if_none_exist.clone().filter(|_| !self.unmatched.contains(&full_url));
                Entry::Create { resource, full_url, if_none_exist: search }
            }
        })
    }

    /// Files every entry of a positive answer; a conditional create that found something is read back.
    async fn take(&mut self, entries: &[Entry], answers: &[EntryAnswer]) -> Result<(), Verdict> {
        let parts = std::mem::take(&mut self.open);
        for ((part, entry), answer) in parts.into_iter().zip(entries).zip(answers) {
            let etag = answer.etag.clone();
            let at = |location| Standing { location, etag, content_hash: None };
            let stated = answer.location.as_deref().and_then(Location::parse);
            match (entry, stated) {
                (Entry::Update { location, .. }, _) => self.file(&part, &at(location.clone())),
                (Entry::Create { .. }, stated) if answer.status == Some(201) => {
                    match stated.filter(|it| it.resource_type() == lookup::kind(&part)) {
                        Some(location) => self.file(&part, &at(location)),
                        None => self.place(part).await?,
                    }
                }
                (Entry::Create { .. }, Some(location)) => self.take_existing(part, at(location)).await?,
                (Entry::Create { .. }, None) => self.take_unplaced(part).await?,
            }
        }
        Ok(())
    }

    /// Something was created, and the server does not say where. What travels alone is looked for at once, for others refer
    /// to it; in a transaction they did so within the Bundle, and the next version searches. What is not
    /// found then, and its correction would create a second time, is kept as standing nobody knows where.
    async fn place(&mut self, part: Part) -> Result<(), Verdict> {
        if self.to.way.projection.style() == Style::Single {
            match lookup::search(self.to, &part, &self.resolved(&part)?).await? {
                Found::Ours(_, standing) => self.file(&part, &standing),
                // Its next version must not be created beside it.
                _ if part.if_none_exist.is_none() => self.written.push(told::unplaced(&part)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A conditional create found something at a known place. Where that cannot be read, it is this very
    /// version if there never was another; else our values are put there, lest old ones stand.
    async fn take_existing(&mut self, part: Part, standing: Standing) -> Result<(), Verdict> {
        if standing.location.resource_type() != lookup::kind(&part) {
            return Err(self.found_foreign());
        }
        match lookup::read(self.to, &part, &standing.location).await? {
            Found::Ours(theirs, standing) => self.compare(part, &theirs, standing),
            Found::Foreign => return self.take_foreign(part),
            Found::Absent | Found::Hidden | Found::Unauthorized if self.first => self.file(&part, &standing),
            Found::Absent | Found::Hidden | Found::Unauthorized => {
                self.standing.insert(part.full_url.clone(), standing);
                self.open.push(part);
            }
        }
        Ok(())
    }

    /// A conditional create found something, and the server does not say where. Where that cannot be
    /// searched for either, it is this very version if there never was another.
    async fn take_unplaced(&mut self, part: Part) -> Result<(), Verdict> {
        match lookup::search(self.to, &part, &self.resolved(&part)?).await? {
            Found::Ours(theirs, standing) => self.compare(part, &theirs, standing),
            Found::Foreign => return self.take_foreign(part),
            Found::Absent | Found::Hidden | Found::Unauthorized if self.first => {}
            Found::Absent | Found::Hidden | Found::Unauthorized => {
                let cause = "an earlier version may stand where the destination does not let us look";
                return Err(Verdict::Conflict(cause.to_owned()));
            }
        }
        Ok(())
    }

    /// A Provenance is found by a search that servers may not know, so another's may be taken for it; then
    /// it is written without that search. An Observation's identifier is known to every server.
    fn take_foreign(&mut self, part: Part) -> Result<(), Verdict> {
        if lookup::kind(&part) != PROVENANCE.name() {
            return Err(self.found_foreign());
        }
        self.unmatched.insert(part.full_url.clone());
        self.open.push(part);
        Ok(())
    }

    /// A 404 or 410 to a transaction with an update may mean that what was to be updated is gone: a matter of
    /// that resource, not of the site's permission.
    fn may_be_gone(&self, told: &Told, answers: &[EntryAnswer], entries: &[Entry]) -> bool {
        let gone = |status: u16| matches!(status, 404 | 410);
        entries.iter().any(|entry| matches!(entry, Entry::Update { .. }))
            && (gone(told.status) || answers.iter().any(|answer| answer.status.is_some_and(gone)))
    }

    /// The destination took somebody else's resource for ours. Had ours stood there, its conditional
    /// create would have found two and refused; so of this row nothing stands, and there is no doubt.
    fn found_foreign(&mut self) -> Verdict {
        self.doubt = false;
        not_ours()
    }

    /// The answer without what could be patient data.
    fn reduce(&self, told: &Told, answers: &[EntryAnswer], sent: usize) -> Answer {
        let whole = OperationOutcome::read(told.json());
        let of_entries = answers.iter().filter(|answer| answer.status.is_none_or(|status| status >= 300));
        let outcomes: Vec<&OperationOutcome> =
            whole.iter().chain(of_entries.filter_map(|answer| answer.outcome.as_ref())).collect();
        let identifier = self
            .open
            .iter()
            .find_map(|part| part.resource["subject"]["identifier"]["value"].as_str())
            .unwrap_or("");
        Answer {
            status: told.status,
            entries: answers.iter().map(|answer| answer.status.unwrap_or(0)).collect(),
            sent,
            retry_after: told.retry_after,
            names_patient: outcomes.iter().any(|outcome| names_patient(outcome, identifier)),
            names_code: outcomes.iter().any(|outcome| names_code(outcome)),
            fault: fault::fingerprint(outcomes),
        }
    }
}

/// SHA-256 of a part as it is made, before the EHR's own names are put in: what the ledger has of it.
pub fn content_hash(part: &Part) -> [u8; 32] {
    Sha256::digest(part.resource.to_string().as_bytes()).into()
}

fn not_ours() -> Verdict {
    Verdict::Conflict(NOT_OURS.to_owned())
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod absence_tests;

#[cfg(test)]
mod told_tests;

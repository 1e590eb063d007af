//! From leased rows to their request: whom the EHR knows each patient as, what the ledger knows, and the last look.
//!
//! Invariant: where finding that out took longer than [`LOOK_GOOD_FOR`] since the lease, consent, configuration and mode are
//! asked again before each write; a decision that was made meanwhile holds, and nothing of the row leaves. Whether the
//! destination still has the address that the row is to leave for is asked before every write: the store's number of its
//! server (`outbox`: server) may be another's since.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use clinical::fhir::location::Location;
use outbox::{Leased, LeasedRow, Readers, Writer};

use super::{
    Deliverer, Done,
    attempt::{self, Item, LastLook, Past, Standing, told::Told},
    seat,
    verdicts::Ended,
};
use crate::{
    broker, capability::Capability, destination::Destination, generation::Current, mode::Observed,
    observations::Observations, pipeline::resources::Write, telemetry::Metric, time, verdict::Verdict,
};

/// How long what was asked at the lease is good. A healthy request is made within a few milliseconds.
const LOOK_GOOD_FOR: Duration = Duration::from_millis(100);

/// What the rows of one request are sent with.
#[derive(Clone)]
pub(super) struct Departure {
    destination: Arc<Destination>,
    /// One row of a closed capability, to see whether it is open again.
    is_probe: bool,
    leased_at: Instant,
    readers: Readers,
    writer: Writer,
    current: Current,
    observations: Observations,
}

impl Deliverer {
    /// For rows that were leased just now.
    pub(super) fn departure(&self, destination: &Arc<Destination>, is_probe: bool) -> Departure {
        Departure {
            destination: Arc::clone(destination),
            is_probe,
            leased_at: Instant::now(),
            readers: self.readers.clone(),
            writer: self.writer.clone(),
            current: self.current.clone(),
            observations: self.observations.clone(),
        }
    }
}

impl Departure {
    /// Sends the rows of one request.
    pub(super) async fn send(self, rows: Vec<LeasedRow>) -> Done {
        let (began, destination) = (Instant::now(), Arc::clone(&self.destination));
        let (mut items, mut outcomes) = (Vec::new(), Vec::new());
        for row in &rows {
            match self.ready(row).await {
                Ok(item) => {
                    items.push(item);
                    outcomes.push(None);
                }
                Err(verdict) => outcomes.push(Some(attempt::Outcome::unasked(verdict, row.ambiguous))),
            }
        }
        let mut sent = match items.as_slice() {
            [] => Vec::new(),
            [item] => vec![attempt::attempt(&destination, item).await],
            items => attempt::batch::batch(&destination, items).await,
        }
        .into_iter();
        let seconds = began.elapsed().as_secs_f64();
        let ended = rows.into_iter().zip(outcomes).filter_map(|(row, outcome)| {
            Metric::DeliverySeconds.record(seconds, &[("destination", destination.id.clone())]);
            let outcome = outcome.or_else(|| sent.next())?;
            Some(Ended { row: Box::new(row), outcome, began })
        });
        Done::Sent(ended.collect())
    }

    /// A row with all that is known of it.
    ///
    /// # Errors
    /// The verdict where it may not be sent.
    async fn ready(&self, row: &LeasedRow) -> Result<Item, Verdict> {
        let seat = seat::take(&self.destination, &self.readers, &self.writer, row).await?;
        let known = ledger(&self.destination, &self.readers, row);
        let (standing, told) = known.map_err(|error| Verdict::Unsent(format!("ledger: {error}")))?;
        let counts_after = self.destination.delivery.absence_counts_after.as_millis() as i64;
        let past = Past {
            version: row.version,
            ambiguous: row.ambiguous,
            overtaken: row.overtaken,
            // In what is the future now it is recent too, until the store has put it right.
            recent: row.doubt_since.is_some_and(|since| time::now_ms() - since < counts_after),
        };
        let last_look = self.last_look(row);
        Ok(Item { form: row.form.clone(), body: row.body.clone(), standing, told, seat, past, last_look })
    }

    fn last_look(&self, row: &LeasedRow) -> LastLook {
        let (departure, kind, patient) = (self.clone(), row.kind.clone(), row.patient);
        let leased = if row.ambiguous { Leased::InDoubt } else { Leased::New(row.id) };
        Box::new(move || {
            departure.is_for_its_server()?;
            match departure.leased_at.elapsed() < LOOK_GOOD_FOR {
                true => Ok(()),
                false => departure.may_leave(&kind, patient, leased),
            }
        })
    }

    /// The address may have changed between the look at it and the lease, and a person have said what it is.
    fn is_for_its_server(&self) -> Result<(), Verdict> {
        let now = self.current.get().destination(&self.destination.id);
        match now.is_some_and(|now| now.base_url == self.destination.base_url) {
            true => Ok(()),
            false => Err(Verdict::Recalled("the address changed before it was sent")),
        }
    }

    /// What was true at the lease, asked again.
    fn may_leave(&self, kind: &str, patient: i64, leased: Leased) -> Result<(), Verdict> {
        let id = &self.destination.id;
        let same = self.current.get().destination(id).is_some_and(|now| Arc::ptr_eq(&now, &self.destination));
        if !same {
            return Err(Verdict::Recalled("the configuration changed before it was sent"));
        }
        let observed = match self.observations.of(id, kind) {
            Observed::ReadOnly | Observed::Probing if self.is_probe => Observed::Open,
            observed => observed,
        };
        let capability = Capability::named(kind);
        if capability.is_some_and(|one| broker::closed(&self.destination.ceiling, one, observed).is_some()) {
            return Err(Verdict::Recalled("writes were closed before it was sent"));
        }
        let lasts = |last: outbox::Standstill| last.ended_at.is_none();
        match self.readers.with(|reader| Ok(reader.standstill()?.is_some_and(lasts))) {
            Ok(false) => {}
            Ok(true) => return Err(Verdict::Recalled("a standstill began before it was sent")),
            Err(error) => return Err(Verdict::Unsent(format!("standstill: {error}"))),
        }
        match self.readers.with(|reader| reader.lets_leave(id, patient, leased, time::now_ms())) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Verdict::Recalled("consent was withdrawn before it was sent")),
            Err(error) => Err(Verdict::Unsent(format!("consent: {error}"))),
        }
    }
}

/// What the ledger knows by the names of resources: where they stand, and what stands by a person's word.
type Known = (BTreeMap<String, Standing>, BTreeMap<String, Told>);

fn ledger(destination: &Destination, readers: &Readers, row: &LeasedRow) -> Result<Known, outbox::ReadError> {
    let mut names = Vec::new();
    let own = serde_json::from_slice::<Write>(&row.body).map(|write| write.resources).unwrap_or_default();
    for part in &own {
        names.push(part.full_url.clone());
        for list in ["target", "hasMember", "derivedFrom"] {
            let named = part.resource[list].as_array().map(Vec::as_slice).unwrap_or_default();
            names.extend(named.iter().filter_map(|one| one["reference"].as_str()).map(str::to_owned));
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let written = readers.with(|reader| reader.written(&destination.id, &names))?;
    let (mut standing, mut told) = (BTreeMap::new(), BTreeMap::new());
    for (name, at) in written {
        let (location, content_hash) = (Location::parse(&at.location), at.content_hash);
        if at.told || at.location.is_empty() {
            let stood = match readers.with(|reader| reader.body(at.row_id)) {
                // Looked for by what is to be written instead, it is not found where nothing names it, and people are told, of
                // the damage too (`crate::damage`).
                Err(outbox::ReadError::BodyCorrupt(_)) => None,
                body => body?.and_then(|body| serde_json::from_slice::<Write>(&body).ok()),
            };
            let parts = stood.map(|write| write.resources).unwrap_or_default();
            let part = parts.iter().chain(&own).find(|part| part.full_url == name).cloned();
            let recent =
                time::now_ms() - at.at < destination.delivery.absence_counts_after.as_millis() as i64;
            told.extend(part.map(|part| (name, Told { part, location, content_hash, recent })));
        } else if let Some(location) = location {
            standing.insert(name, Standing { location, etag: at.etag, content_hash: Some(content_hash) });
        }
    }
    Ok((standing, told))
}

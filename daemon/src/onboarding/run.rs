//! Goes through the steps of the trial, in order, one request at a time.
//!
//! Invariants: nothing is written before the test patient was found once, where the site finds patients at all; whatever
//! stands afterwards is in `left`, whoever wrote it there; a step that cannot be tried says why and fails nothing; the
//! site's mode does not hold the trial back where it is `shadow` or `read-only`, since that is how a site is rehearsed, but
//! what a site of mode `partial` does not list is written only to see it refused.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use clinical::{
    birth_date::BirthDate,
    fhir::{identifier::SiteSecret, location::Location},
    policy::Policy,
    reading,
};
use outbox::{NewRow, PatientKey};
use serde_json::Value;

use super::{
    playbook::{Finding, Step},
    probe::words,
    specimen::{self, Setting, Window},
    statement::Statement,
    step,
};
use crate::{
    config::{Ehr, Site},
    delivery::{
        attempt::{Item, Past, Standing, attempt},
        http::{self, Request, Told},
        seat::Seat,
    },
    destination::{Destination, MESSAGES, Way},
    mode::Ceiling,
    pipeline::resources::Write,
    smart::Channel,
    time,
    verdict::Verdict,
};

/// What a person asks for.
pub struct Asked {
    /// The test patient.
    pub key: PatientKey,
    /// Their birth date, which the EHR's may not contradict.
    pub born: BirthDate,
    /// One step alone, with what it needs.
    pub only: Option<Step>,
    /// Drawn for this run.
    pub chance: [u8; 32],
}

/// Something that the trial left at the EHR.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// `Type/id`; empty where the EHR did not say.
    pub location: String,
    /// The step that wrote it.
    pub step: Step,
    /// `entered-in-error`, or `stands`: then somebody has to take it back by hand.
    pub state: &'static str,
    /// What was sent, by which it is known again; null where that is not known.
    #[serde(skip)]
    pub sent: Value,
}

/// A form, and what of it stands at the EHR.
pub(super) struct Written {
    pub(super) way: Way,
    pub(super) rows: Vec<NewRow>,
    pub(super) standing: BTreeMap<String, Standing>,
}

/// What came of writing rows.
pub(super) struct Delivered {
    pub(super) standing: BTreeMap<String, Standing>,
    /// Every verdict that was not one of success.
    pub(super) refused: Option<Verdict>,
    /// Whether anything was written, beside what was looked up.
    pub(super) wrote: bool,
    /// Resources that the rows hold, without those that the configuration does not permit.
    pub(super) sent: usize,
    /// Those resources, by their names.
    pub(super) bodies: BTreeMap<String, Value>,
}

/// A run.
pub struct Run<'a> {
    pub(super) site: &'a Site,
    pub(super) ehr: &'a Ehr,
    pub(super) policy: &'a Policy,
    pub(super) destination: Destination,
    /// What the site's file permits; the destination's own ceiling is that of the rehearsal.
    pub(super) permitted: Ceiling,
    pub(super) asked: Asked,
    pub(super) statement: Option<Statement>,
    pub(super) seat: Seat,
    /// Whether there is somebody to write about.
    pub(super) ready: bool,
    pub(super) written: Vec<Written>,
    pub(super) slowest: Duration,
    /// Everything that the trial wrote.
    pub left: Vec<Left>,
    /// What came of each step.
    pub findings: Vec<Finding>,
    tell: &'a mut dyn FnMut(&Finding),
}

impl<'a> Run<'a> {
    /// A run against a site's EHR, which tells of each finding as it comes.
    pub fn new(
        (site, ehr, policy): (&'a Site, &'a Ehr, &'a Policy),
        destination: Destination,
        asked: Asked,
        tell: &'a mut dyn FnMut(&Finding),
    ) -> Self {
        let permitted = destination.ceiling.clone();
        let mut destination = destination;
        if matches!(permitted, Ceiling::Shadow | Ceiling::ReadOnly) {
            destination.ceiling = Ceiling::Full;
        }
        Self {
            site,
            ehr,
            policy,
            destination,
            permitted,
            asked,
            statement: None,
            seat: Seat::default(),
            ready: false,
            written: Vec::new(),
            slowest: Duration::ZERO,
            left: Vec::new(),
            findings: Vec::new(),
            tell,
        }
    }

    /// Goes through all steps that are asked for.
    pub async fn go(&mut self) {
        for step in Step::ALL {
            if !step.is_in(self.asked.only) {
                continue;
            }
            let began = Instant::now();
            let findings = step::take(self, step).await;
            let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            for mut finding in findings {
                finding.took_ms = took;
                (self.tell)(&finding);
                self.findings.push(finding);
            }
        }
    }

    /// What the EHR calls its software; empty where it was not asked or does not say.
    pub fn software(&self) -> String {
        self.statement.as_ref().map(|one| one.software.clone()).unwrap_or_default()
    }

    /// The ways whose carrier may be written and which travel to the EHR itself.
    pub(super) fn ways(&self) -> Vec<Way> {
        let open = |way: &&Way| way.carrier() != MESSAGES && self.destination.permits(way.carrier());
        self.destination.ways.iter().filter(open).cloned().collect()
    }

    /// The seat of a form: an encounter goes where it is asked for.
    pub(super) fn seat(&self, way: &Way) -> Seat {
        let encounter = self.seat.encounter.clone().filter(|_| way.form.encounter);
        Seat { subject: self.seat.subject.clone(), encounter }
    }

    /// The rows of a made-up window in a form.
    pub(super) fn rows(&self, way: &Way, window: Window) -> Result<Vec<NewRow>, String> {
        let zone = &self.site.timezone;
        let last = window.last(zone).ok_or("the site's zone has no such day in 2024")?;
        let usual = self.site.publish.first().map_or(specimen::DAYS, |rule| u32::from(rule.window_days));
        let days = way.form.days.unwrap_or(usual);
        let outcome = specimen::outcome(last, days, zone, self.policy);
        let outcome = outcome.ok_or("the site's zone has no name or no such day")?;
        let key = clinical::identity::PatientKey {
            system: self.asked.key.system.clone(),
            value: self.asked.key.value.clone(),
        };
        let secret = SiteSecret::new(self.asked.chance);
        let recorded = reading::Instant(time::now_ms());
        let setting = Setting { policy: self.policy, key: &key, secret: &secret, recorded };
        specimen::rows(&self.destination, way, &outcome, &setting)
    }

    /// The ordinary window of this run.
    pub(super) fn ordinary(&self) -> Window {
        Window::Ordinary(u16::from_be_bytes([self.asked.chance[0], self.asked.chance[1]]))
    }

    /// Writes rows as the daemon delivers them: `doubtful` as after an answer that did not come.
    pub(super) async fn deliver(&mut self, way: &Way, rows: &[NewRow], doubtful: bool) -> Delivered {
        let seat = self.seat(way);
        let past = Past { version: 1, ambiguous: doubtful, overtaken: false, recent: false };
        let mut destination = self.destination.clone();
        // The trial may write a form in another unit than the file has.
        for one in destination.ways.iter_mut().filter(|one| one.projection == way.projection) {
            *one = way.clone();
        }
        let mut done = Delivered {
            standing: BTreeMap::new(),
            refused: None,
            wrote: false,
            sent: 0,
            bodies: BTreeMap::new(),
        };
        for row in rows {
            let began = Instant::now();
            let item = Item {
                form: way.projection.name().to_owned(),
                body: row.body.clone(),
                standing: done.standing.clone(),
                told: BTreeMap::new(),
                seat: seat.clone(),
                past,
                // Of the test patient, by who runs the trial.
                last_look: Box::new(|| Ok(())),
            };
            let outcome = attempt(&destination, &item).await;
            self.slowest = self.slowest.max(began.elapsed());
            if outcome.verdict == Verdict::Withheld {
                continue;
            }
            done.wrote |= outcome.wrote;
            let parts = parts(row);
            done.sent += parts.len();
            done.bodies.extend(parts.into_iter().map(|part| (part.full_url, part.resource)));
            for written in outcome.written {
                if let Some(location) = Location::parse(&written.location) {
                    let standing = Standing { location, etag: written.etag, content_hash: None };
                    done.standing.insert(written.identifier, standing);
                }
            }
            if outcome.verdict != Verdict::Delivered {
                done.refused = Some(outcome.verdict);
                break;
            }
        }
        done
    }

    /// What the trial wrote in a step is to be taken back.
    pub(super) fn leave(&mut self, step: Step, location: &str, sent: Value) {
        if location.is_empty() || self.left.iter().all(|left| left.location != location) {
            self.left.push(Left { location: location.to_owned(), step, state: "stands", sent });
        }
    }

    /// Everything of a delivery.
    pub(super) fn leave_all(&mut self, step: Step, done: &Delivered) {
        for (name, one) in &done.standing {
            let sent = done.bodies.get(name).cloned().unwrap_or_default();
            self.leave(step, &one.location.reference(), sent);
        }
    }

    /// One request as it is, with our token or without.
    ///
    /// # Errors
    /// Why no answer came.
    pub(super) async fn send(
        &mut self,
        request: Request<'_>,
        body: Option<Vec<u8>>,
        with_token: bool,
    ) -> Result<Told, String> {
        let open;
        let channel = if with_token {
            &self.destination.client
        } else {
            open = Channel::from(self.destination.client.http());
            &open
        };
        let began = Instant::now();
        let told = http::send(channel, self.destination.release(), request, body).await;
        self.slowest = self.slowest.max(began.elapsed());
        told.map_err(|attempt| words(&attempt))
    }

    /// Reads what stands at a location; the status instead where it is not shown.
    ///
    /// # Errors
    /// What came instead.
    pub(super) async fn read(&mut self, location: &Location) -> Result<(Value, Option<String>), String> {
        let url = format!("{}/{}", self.destination.base_url, location.reference());
        let told = self.send(Request::get(&url), None, true).await?;
        match (told.status, told.json()) {
            (200, json) if json.is_object() => Ok((json.clone(), told.etag)),
            (status, _) => Err(format!("HTTP {status}")),
        }
    }
}

/// The resources of a row.
pub(super) fn parts(row: &NewRow) -> Vec<crate::pipeline::resources::Part> {
    serde_json::from_slice::<Write>(&row.body).map(|write| write.resources).unwrap_or_default()
}

//! The rows of the queue that an intent becomes at an EHR: a document, a goal, and who said it.

use clinical::{
    fhir::{
        intent::{self, Goal, Request, Signature},
        project::Item,
        provenance::Maker,
        subject::Subject,
    },
    identity::PatientKey,
};
use outbox::{Enters, IntentRow};

use super::{IntentError, Intents, Plan, dates_of, refused};
use crate::{
    broker::{self, Priority},
    destination::{Destination, IntentWay, PROVENANCE},
    hex::hex,
    observations::Observations,
    pipeline::resources::{Part, Write, capability_of, part},
};

/// What rows are made with.
pub(super) struct Making<'a> {
    pub intents: &'a Intents,
    pub destination: &'a Destination,
    pub signed: &'a Signature<'a>,
    pub key: &'a [u8; 32],
}

impl Making<'_> {
    /// A note and who said it.
    pub(super) fn note(&self, plan: &Plan, text: &str) -> Result<Vec<IntentRow>, IntentError> {
        let Some(way) = self.destination.intents.as_ref().filter(|way| way.notes) else {
            return refused(
                "this site takes no notes: none of its forms makes documents, and its file does not say notes = \
                 \"document\" under [intent]",
            );
        };
        self.written(plan, way, |request| intent::note(request, text))
    }

    /// A goal, as a resource where the site takes it so, else as a note.
    pub(super) fn goal(&self, plan: &Plan, goal: Goal) -> Result<Vec<IntentRow>, IntentError> {
        match self.destination.intents.as_ref().filter(|way| way.goals) {
            Some(way) => self.written(plan, way, |request| intent::goal(request, goal)),
            None => self.note(plan, &goal.words()),
        }
    }

    fn written(
        &self,
        plan: &Plan,
        way: &IntentWay,
        make: impl FnOnce(&Request<'_>) -> Result<Item, clinical::fhir::projection::Leak>,
    ) -> Result<Vec<IntentRow>, IntentError> {
        let Some(named) = self.intents.readers.with(|reader| reader.patient(plan.patient))? else {
            return refused("there is no such patient");
        };
        let subject = Subject::Identifier(PatientKey { system: named.system, value: named.value });
        let (key, about) = (hex(self.key), plan.window.as_ref().map(dates_of));
        let request = Request {
            carrier: way.carrier,
            form: &way.way.form,
            destination: &self.destination.id,
            subject: &subject,
            secret: &self.intents.secret,
            key: &key,
            about: about.as_deref(),
            signed: *self.signed,
            maker: Maker { box_id: &self.intents.box_id, software: env!("CARGO_PKG_VERSION") },
        };
        let item = make(&request).map_err(|leak| IntentError::Made(leak.to_string()))?;
        let kind = capability_of(&item);
        let enters = enters(self.destination, &self.intents.observations, kind);
        let target = item.full_url();
        let mut rows = vec![row(self.destination, way, kind.name(), enters, vec![part(&item)], None)?];
        if way.provenance {
            rows.push(provenance_row(
                self.destination,
                &self.intents.observations,
                &request,
                &[target],
                (false, Some(0)),
            )?);
        }
        Ok(rows)
    }
}

/// What a Provenance of an intent is made from, where nothing else of it is written in the form of intents.
pub(crate) fn author_of<'a>(
    destination: &'a Destination,
    subject: &'a Subject,
    (secret, box_id): (&'a clinical::fhir::identifier::SiteSecret, &'a str),
    key: &'a str,
    signed: Signature<'a>,
) -> Option<Request<'a>> {
    let way = destination.intents.as_ref().filter(|way| way.provenance)?;
    Some(Request {
        carrier: way.carrier,
        form: &way.way.form,
        destination: &destination.id,
        subject,
        secret,
        key,
        about: None,
        signed,
        maker: Maker { box_id, software: env!("CARGO_PKG_VERSION") },
    })
}

/// The row that says who had targets written, or taken back; it follows the row at a place of the list.
pub(crate) fn provenance_row(
    destination: &Destination,
    observations: &Observations,
    request: &Request<'_>,
    targets: &[String],
    (withdraws, follows): (bool, Option<usize>),
) -> Result<IntentRow, IntentError> {
    let Some(way) = &destination.intents else { return refused("this site takes no Provenance of people") };
    let made = intent::provenance(request, targets, withdraws)
        .map_err(|leak| IntentError::Made(leak.to_string()))?;
    let enters = enters(destination, observations, PROVENANCE);
    row(destination, way, PROVENANCE.name(), enters, vec![part(&made)], follows)
}

/// How a write enters the queue: as what the site permits and was seen to do has it.
pub(super) fn enters(
    destination: &Destination,
    observations: &Observations,
    kind: crate::capability::Capability,
) -> Enters {
    let observed = observations.of(&destination.id, kind.name());
    match broker::closed(&destination.ceiling, kind, observed) {
        Some(reason) => Enters::Deferred(reason.word().to_owned()),
        None => Enters::Pending,
    }
}

fn row(
    destination: &Destination,
    way: &IntentWay,
    kind: &str,
    enters: Enters,
    resources: Vec<Part>,
    depends_on: Option<usize>,
) -> Result<IntentRow, IntentError> {
    let write = Write { release: way.way.form.release.name().to_owned(), resources };
    Ok(IntentRow {
        destination: destination.id.clone(),
        patient: None,
        kind: kind.to_owned(),
        form: way.way.projection.name().to_owned(),
        priority: Priority::Clinician.rank(),
        version: None,
        key: None,
        depends_on,
        withdraws: false,
        enters,
        body: serde_json::to_vec(&write).map_err(|error| IntentError::Made(error.to_string()))?,
    })
}

//! Taking back what stands of a window: the very resources that were written, marked as entered in error.
//!
//! Invariants: only what our own ledger says stands is marked, in the form in which it was written, by an update of the
//! version that we know (If-Match); what cannot be marked there is told to people. What the box itself takes back
//! ([`super::take_back`]) goes the same way, with a Provenance of the box's, and only where it was written for the patient
//! whose window it is: for another it would go in another line, and might overtake what follows.

use std::collections::BTreeMap;

use clinical::fhir::{
    intent::{withdraw, withdrawable},
    project::Item,
    projection::{Projection, Style},
    provenance::Maker,
    subject::Subject,
    taken_back::{self, TakenBack},
};
use outbox::{IntentRow, WrittenPart};

use super::{IntentError, Plan, author_of, provenance_row, rows};
use crate::{
    broker::Priority,
    capability::Capability,
    destination::{Destination, PROVENANCE, Way},
    hex::hex,
    pipeline::resources::{Part, Write, part},
};

/// Why nobody is asked to take back by hand what is being written.
const UNDER_WAY: &str =
    "a write of this window is under way or in doubt: try again when isthmus status shows none";

/// For whom it was written, its form, its kind, and its place where it travels alone.
type Group = (i64, String, String, usize);

impl rows::Making<'_> {
    /// Adds to the plan what takes back what stands at a destination.
    pub(super) fn withdraw(&self, destination: &Destination, plan: &mut Plan) -> Result<(), IntentError> {
        let Some(window) = &plan.window else { return Ok(()) };
        let readers = &self.intents.readers;
        let stands = readers.with(|reader| reader.standing_version(window.id, &destination.id))?;
        let Some(stands) = stands else { return Ok(()) };
        let written = readers.with(|reader| reader.written_parts(window.id, &destination.id))?;
        let groups = self.marked(&written)?;
        let others = plan.own && written.iter().any(|one| one.patient != window.key.patient);
        // Something is there of which the ledger does not know where, or its form knows no such status.
        if groups.is_empty() || others || written.iter().any(|one| !one.placed) {
            // It may not stand yet, or where it stands is told in a moment.
            if readers.with(|reader| reader.is_under_way(window.id))? {
                return super::refused(UNDER_WAY);
            }
            plan.by_hand.push(destination.id.clone());
            return Ok(());
        }
        plan.stood.push((destination.id.clone(), Some(stands.version)));
        let mut targets = Vec::new();
        let mut said_after = None;
        for ((patient, form, kind, _), mut write) in groups {
            let marked: Vec<String> = write.resources.iter().map(|part| part.full_url.clone()).collect();
            let way = destination.way(&form).filter(|_| plan.own);
            match way.filter(|way| way.projection.provenance_in_bundle()) {
                Some(way) => {
                    write.resources.extend(self.account(destination, way, &marked)?.as_ref().map(part));
                }
                None => said_after = way.cloned().or(said_after),
            }
            targets.extend(marked);
            let capability = Capability::named(&kind);
            let enters = capability.map_or(outbox::Enters::Pending, |kind| {
                rows::enters(destination, &self.intents.observations, kind)
            });
            plan.rows.push(IntentRow {
                destination: destination.id.clone(),
                patient: Some(patient),
                kind,
                form,
                priority: Priority::Clinician.rank(),
                version: None,
                key: None,
                depends_on: None,
                withdraws: true,
                enters,
                body: serde_json::to_vec(&write).map_err(|error| IntentError::Made(error.to_string()))?,
            });
        }
        if plan.own {
            if let Some(way) = said_after
                && let Some(item) = self.account(destination, &way, &targets)?
            {
                plan.rows.push(self.said(destination, &way, &item, plan)?);
            }
            return Ok(());
        }
        let (key, nobody) = (hex(self.key), Subject::Reference(String::new()));
        let box_of = (&self.intents.secret, self.intents.box_id.as_str());
        if let Some(request) = author_of(destination, &nobody, box_of, &key, *self.signed) {
            let last = plan.rows.len() - 1;
            let observations = &self.intents.observations;
            plan.rows.push(provenance_row(
                destination,
                observations,
                &request,
                &targets,
                (true, Some(last)),
            )?);
        }
        Ok(())
    }

    /// What says that the box marked the targets.
    fn account(
        &self,
        destination: &Destination,
        way: &Way,
        targets: &[String],
    ) -> Result<Option<Item>, IntentError> {
        let made = taken_back::provenance(&TakenBack {
            projection: way.projection,
            form: &way.form,
            destination: &destination.id,
            secret: &self.intents.secret,
            key: &hex(self.key),
            maker: Maker { box_id: &self.intents.box_id, software: env!("CARGO_PKG_VERSION") },
            recorded: self.signed.entered,
            targets,
        });
        made.map_err(|leak| IntentError::Made(leak.to_string()))
    }

    /// The row of such a Provenance where it goes after its targets.
    fn said(
        &self,
        destination: &Destination,
        way: &Way,
        item: &Item,
        plan: &Plan,
    ) -> Result<IntentRow, IntentError> {
        let write = Write { release: way.form.release.name().to_owned(), resources: vec![part(item)] };
        Ok(IntentRow {
            destination: destination.id.clone(),
            patient: None,
            kind: PROVENANCE.name().to_owned(),
            form: way.projection.name().to_owned(),
            priority: Priority::Clinician.rank(),
            version: None,
            key: None,
            depends_on: plan.rows.len().checked_sub(1),
            withdraws: true,
            enters: rows::enters(destination, &self.intents.observations, PROVENANCE),
            body: serde_json::to_vec(&write).map_err(|error| IntentError::Made(error.to_string()))?,
        })
    }

    /// What stands, marked: together where its form travels together, else each alone.
    fn marked(&self, written: &[WrittenPart]) -> Result<BTreeMap<Group, Write>, IntentError> {
        let mut groups: BTreeMap<Group, Write> = BTreeMap::new();
        for (place, one) in written.iter().enumerate() {
            let Some(projection) = Projection::of_name(&one.form).filter(|it| withdrawable(*it)) else {
                continue;
            };
            let body = self.intents.readers.with(|reader| reader.body(one.row_id))?;
            let write: Option<Write> = body.and_then(|body| serde_json::from_slice(&body).ok());
            let Some(write) = write else { continue };
            let release = write.release.clone();
            let part = write.resources.into_iter().find(|part| part.full_url == one.identifier);
            let Some(part) = part.and_then(marked) else { continue };
            let place = if projection.style() == Style::Single { place } else { 0 };
            let group = groups.entry((one.patient, one.form.clone(), one.kind.clone(), place));
            group.or_insert_with(|| Write { release, resources: Vec::new() }).resources.push(part);
        }
        Ok(groups)
    }
}

fn marked(mut part: Part) -> Option<Part> {
    withdraw(&mut part.resource).then_some(part)
}

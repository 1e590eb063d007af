//! A DocumentReference with the note of [`crate::fhir::note`], for Epic and for Millennium.
//!
//! Epic files it as a draft that people review (`docStatus` preliminary); Millennium takes final documents alone, with
//! `context.period.end` and one content, and dates that have a time of day (reference: ehr, section 1; Oracle's text of
//! the update: "All provided dates must have a time component"). The type is the site's.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha1::{Digest, Sha1};

use super::{Made, ProjectionError, Search, Version, time};
use crate::{
    fhir::{
        form::Form,
        note::{self, TITLE},
        projection::{Kind, Projection},
        provenance::instant,
        summary::Resource,
    },
    reading::Instant,
};

/// The name of the document in its identifiers; no slug of a metric or a row.
const SLUG: &str = "note";
/// The system of the category of notes (US Core, which both vendors' reads are made for).
pub(in crate::fhir) const NOTE_CATEGORY_SYSTEM: &str =
    "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category";
/// The category of notes.
pub(in crate::fhir) const NOTE_CATEGORY: &str = "clinical-note";

/// The document of a version.
pub(super) fn document(
    projection: Projection,
    form: &Form,
    version: &Version<'_>,
) -> Result<Made, ProjectionError> {
    let scope = version.scope(projection);
    let identifier = scope.named(version.secret, SLUG);
    let period = &version.outcome.period;
    // To the second: nobody reads a thousandth in a chart.
    let computed = Instant(version.recorded.0 - version.recorded.0.rem_euclid(1_000));
    let text = note::text(version, form.glucose, &time::local(version.outcome, computed)?);
    let title = format!("{TITLE} {} to {}, version {}", period.first_date, period.last_date, version.version);
    let type_of = json!({ "system": form.document.system, "code": form.document.code });
    let doc_status = if projection == Projection::EpicNote { "preliminary" } else { "final" };
    let json = json!({
        "resourceType": "DocumentReference",
        "masterIdentifier": scope.version_of(version.secret, SLUG, version.version).to_json(),
        "identifier": [identifier.to_json()],
        "status": "current",
        "docStatus": doc_status,
        "type": { "coding": [type_of], "text": TITLE },
        "category": [{ "coding": [{ "system": NOTE_CATEGORY_SYSTEM, "code": NOTE_CATEGORY }] }],
        "subject": version.subject.to_json(),
        "date": instant(version.recorded).ok_or(ProjectionError::Time)?,
        "description": title,
        "content": [{ "attachment": {
            "contentType": "text/plain",
            "data": STANDARD.encode(&text),
            "size": text.len(),
            "hash": STANDARD.encode(Sha1::digest(&text)),
            "title": title,
        } }],
        "context": { "period": {
            "start": time::local(version.outcome, period.start)?,
            "end": time::end(version.outcome)?,
        } },
    });
    Ok(Made {
        slug: SLUG.to_owned(),
        kind: Kind::DocumentReference,
        category: NOTE_CATEGORY,
        reconcile: Search::Content {
            parameter: "type",
            token: format!("{}|{}", form.document.system, form.document.code),
            when: "period",
            day: time::last_day(version.outcome)?,
        },
        resource: Resource { metric: None, json, identifier },
    })
}

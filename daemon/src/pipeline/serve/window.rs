//! A published window: the panel and its members, the statement about them, and the report that leads to them.
//!
//! Invariants: the numbers are those last computed of the window, from the readings that stand; a window that waits to be
//! computed is waited for; a window of which no reading is left, or whose patient was merged away without it, is entered in
//! error, and so is a number that a later version does not have.

use std::collections::{BTreeMap, BTreeSet};

use clinical::{
    calendar::{LocalDay, Zone},
    fhir::{
        bundle::resolve,
        form::Form,
        identifier::Scope,
        intent::withdraw,
        project::{Version, project},
        projection::Projection,
        provenance::{Maker, Manifest, Reason},
        subject::Subject,
        summary::Status,
        window_report::{WindowReport, window_report},
    },
    reading::Instant,
};
use fhir::Kind;
use outbox::{Shown, Window};

use super::{
    super::{
        Pipeline, PipelineError,
        look::{Looked, look},
        resources::{ResourceError, cited},
        version::{reason_after, shows_figures},
    },
    Unmade,
    sheet::Sheet,
};
use crate::generation::Generation;

/// The part of a window that is its report.
const REPORT: &str = "report";

/// The form in which a site's outcomes are served: the guide's, in the unit of glucose of the site's first form for an EHR,
/// with our own codes where a change of them makes a new version.
pub fn form_of(generation: &Generation, site: &str) -> Form {
    let mut ways = generation.destinations_of(site).flat_map(|destination| destination.ways.iter());
    let form = Form::of(Projection::CgmIg);
    let form = match ways.find(|way| way.projection != Projection::UpstreamSummary) {
        Some(way) => form.in_unit(way.form.glucose),
        None => form,
    };
    Form { local_codes: shows_figures(generation, site), ..form }
}

impl Pipeline {
    pub(super) fn window(
        &self,
        sheet: &mut Sheet<'_>,
        id: i64,
        generation: &Generation,
    ) -> Result<(), Unmade> {
        let reader = sheet.reader;
        let Some(window) = reader.window_by_id(id)?.filter(|window| window.version > 0) else {
            return Ok(());
        };
        let patient = window.key.patient;
        if window.due_at.is_some() || reader.is_rehomed(patient)? {
            return Err(Unmade::Later);
        }
        // Its readings are gone, so that it cannot be made anew: what is shown of it stays as it is.
        if reader.is_closed(&window.key)? {
            return Ok(());
        }
        let members = reader.members(patient)?;
        if members.is_empty() || reader.was_taken_back(id)? {
            return entered_in_error(sheet, &window, &BTreeSet::new());
        }
        let Some(subject) = sheet.patient(patient)? else { return Err(Unmade::Later) };
        let policy = &window.key.policy;
        let policy = generation.policy(policy).ok_or_else(|| PipelineError::Policy { id: policy.clone() })?;
        let zone = Zone::named(&window.key.zone).map_err(PipelineError::from)?;
        let end = LocalDay(window.key.end_day);
        let days = (&zone, end.plus(-i32::from(window.key.days)), end.plus(-1));
        let Some(looked) = look(reader, &members, days, policy)? else { return Err(Unmade::Later) };
        let Some(computed) = reader.published(id)? else { return Err(Unmade::Later) };
        let (Some(manifest), Some(kept_at)) =
            (reader.manifest(&computed.manifest)?, reader.manifest_kept_at(&computed.manifest)?)
        else {
            return Err(Unmade::Later);
        };
        let before = reader.version_published_before(id, window.version)?.map(|(version, _at)| version);
        let reason = reason_after(reader, id, before, &looked.cited, &looked.outcome.policy.sha256)?;
        let sha256 = cited(&manifest.sha256);
        let destination = format!("fhir:{}", window.site);
        let version = Version {
            destination: &destination,
            outcome: &looked.outcome,
            policy,
            patient: &window.origin.to_string(),
            subject: &Subject::Reference(subject),
            secret: &self.secret,
            version: window.version as u32,
            supersedes: before.map(|before| before as u32),
            reason,
            sessions: &looked.sessions,
            app_events: &looked.app_events,
            manifest: Manifest { count: manifest.count, sha256: &sha256 },
            maker: Maker { box_id: &self.box_id, software: env!("CARGO_PKG_VERSION") },
            recorded: Instant(kept_at),
        };
        let form = form_of(generation, &window.site);
        let made = parts(sheet, &window, &form, &version, &looked)?;
        entered_in_error(sheet, &window, &made)
    }
}

/// The resources of a version; returns the names of its parts.
fn parts(
    sheet: &mut Sheet<'_>,
    window: &Window,
    form: &Form,
    version: &Version<'_>,
    looked: &Looked,
) -> Result<BTreeSet<String>, Unmade> {
    let items = project(Projection::CgmIg, form, version).map_err(ResourceError::from)?;
    let (mut places, mut known, mut results) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut made = BTreeSet::new();
    for item in &items {
        let place = sheet.place(Shown::Window, window.id, &item.slug)?;
        let Some(resource) = item.resource() else { continue };
        let kind = resource["resourceType"].as_str().and_then(Kind::named).ok_or(ResourceError::NoKind)?;
        let reference = place.reference(kind);
        if kind == Kind::Observation {
            results.push(reference.clone());
        }
        known.insert(item.full_url(), reference);
        made.insert(item.slug.clone());
        places.push((place, resource.clone()));
    }
    for (place, mut resource) in places {
        resolve(&mut resource, &known).map_err(|_| ResourceError::Unresolved)?;
        sheet.put(place, &window.site, &resource)?;
    }
    let report = window_report(&WindowReport {
        scope: Scope::of(version.destination, version.patient, &looked.outcome),
        secret: version.secret,
        subject: version.subject,
        status: Status::of(if version.supersedes.is_none() { Reason::First } else { version.reason }),
        issued: version.recorded,
        results: &results,
    });
    let place = sheet.place(Shown::Window, window.id, REPORT)?;
    sheet.put(place, &window.site, &report)?;
    made.insert(REPORT.to_owned());
    Ok(made)
}

/// Marks what stands of a window and is not among its parts any more. A Provenance has no status: what was said of an
/// earlier version stays said.
fn entered_in_error(sheet: &mut Sheet<'_>, window: &Window, but: &BTreeSet<String>) -> Result<(), Unmade> {
    for (part, _) in sheet.reader.parts_showing(Shown::Window, window.id)? {
        if but.contains(&part) {
            continue;
        }
        let place = sheet.place(Shown::Window, window.id, &part)?;
        if let Some(mut json) = place.json()?
            && withdraw(&mut json)
        {
            sheet.put(place, &window.site, &json)?;
        }
    }
    Ok(())
}

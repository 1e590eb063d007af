//! Operations: `$everything`, `$outcomes`, `$submit-cgm-bundle`; `$validate` has a file of its own.

use std::sync::Arc;

use bytes::Bytes;
use fhir::{Code, Issue, Kind, Release, convert, search::place};
use jiff::{Timestamp, tz::TimeZone};
use outbox::{Reader, Shown};
use serde_json::Value;

use super::{
    ask::Answer,
    audit::resource,
    batch::{self, Form},
    body::{self, Body},
    bundled::{Sheaf, implied},
    caller::{Act, Within},
    everything::{OF_EVERYTHING, everything},
    negotiation::body_release,
    outcomes::{self, Answerer, Asked, Span},
    parameters::Parameters,
    read,
    service::{Done, Interactions, Request},
    shelf::{at_length, failed, look, unreadable},
};
use crate::{generation::Generation, time};

/// Kinds that `$submit-cgm-bundle` takes (HL7 CGM guide, CapabilityStatement of the receiver).
const OF_CGM: [Kind; 3] = [Kind::Observation, Kind::DiagnosticReport, Kind::Device];
/// Parameters of `$outcomes`.
const OF_OUTCOMES: Known = Known {
    names: &["days", "start", "end", "policy", "_format", "_pretty"],
    told: "$outcomes has days and end, or start and end, and policy",
};
const LOINC: &str = "http://loinc.org";

/// The parameters that an operation has.
pub(super) struct Known {
    /// Their names.
    pub(super) names: &'static [&'static str],
    /// What they are, for who sent another one.
    pub(super) told: &'static str,
}

impl Known {
    /// Whether a name is one of these.
    ///
    /// # Errors
    /// 400 with the place where it is none.
    pub(super) fn has(&self, name: &str, place: impl FnOnce() -> String) -> Result<(), Answer> {
        if self.names.contains(&name) {
            return Ok(());
        }
        Err(Answer::refusal(400, Issue::error(Code::NotSupported, self.told).at(place())))
    }
}

impl Interactions {
    /// `$everything`.
    pub(super) async fn everything(
        &self,
        request: &Arc<Request>,
        id: &str,
        body: Bytes,
    ) -> Result<Done, Answer> {
        let parameters = self.parameters_of(request, &body, &OF_EVERYTHING)?;
        let (shared, wanted) = (Arc::clone(request), id.to_owned());
        let (answer, resources) =
            look(&self.readers, move |reader| everything(reader, &shared, &wanted, &parameters)).await?;
        Ok(Done { answer, object: resource(Kind::Patient, Some(id)), resources, is_told: false })
    }

    /// The parameters of an operation: those of the path, and of a Parameters resource behind them.
    fn parameters_of(&self, request: &Request, body: &[u8], known: &Known) -> Result<Parameters, Answer> {
        let mut parameters = request.parameters.clone();
        for (name, _) in &parameters {
            known.has(name, || place(name))?;
        }
        if !body.is_empty() {
            let value = body::parse(body, self.limits().max_depth)?;
            for (at, parameter) in value["parameter"].as_array().into_iter().flatten().enumerate() {
                let name = parameter["name"].as_str().unwrap_or_default().to_owned();
                // In a body a name is a value, and none is told.
                known.has(&name, || format!("Parameters.parameter[{at}].name"))?;
                let value =
                    parameter.as_object().into_iter().flatten().find(|(name, _)| name.starts_with("value"));
                let text =
                    value.map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                parameters.push((name, text.unwrap_or_default()));
            }
        }
        Ok(parameters)
    }

    /// `$submit-cgm-bundle`: what a Bundle of CGM data holds, each resource for itself, created once by its identifier. All
    /// of it is about one patient.
    pub(super) async fn submit_cgm(&self, request: &Arc<Request>, bytes: Bytes) -> Result<Done, Answer> {
        let (release, limits) = (body_release(&request.head)?, self.limits());
        let parsed = at_length(bytes.len(), || {
            let (value, bytes) = bundle_of(body::parse(&bytes, limits.max_depth)?, &bytes);
            match &value["resourceType"] {
                kind if kind == "Bundle" => Ok((batch::resources(&bytes)?, value["type"] == "transaction")),
                _ => Err(no_bundle()),
            }
        });
        let (entries, is_transaction) = match parsed {
            Ok(parsed) => parsed,
            Err(refusal) => return Err(self.keep_refused(request, "Bundle", release, bytes, refusal).await),
        };
        if entries.len() > limits.max_entries {
            let text =
                format!("more than {} entries (fhir max_entries); divide the Bundle", limits.max_entries);
            return Err(Answer::refusal(413, Issue::error(Code::TooLong, text).at("Bundle.entry")));
        }
        let bodies: Vec<Result<Body, Answer>> = at_length(bytes.len(), || {
            entries.iter().map(|(_, resource)| of_cgm(resource.clone(), release, limits.max_depth)).collect()
        });
        if let Some(refusal) = of_several(&bodies) {
            return Err(self.keep_refused(request, "Bundle", release, bytes, refusal).await);
        }
        let asked = entries.into_iter().zip(bodies).map(|((full_url, _), body)| Ok(implied(full_url, body?)));
        let sheaf = Sheaf {
            bytes,
            release,
            form: Form::Submission,
            entries: asked.collect(),
            max_depth: limits.max_depth,
        };
        let ended = self.together(request, &Arc::new(sheaf)).await?;
        // A Bundle that came as a transaction is answered as one (HL7 CGM guide, submit-cgm-bundle).
        let kind = if is_transaction { "transaction-response" } else { "batch-response" };
        self.respond(request, kind, ended).await
    }
}

/// The Bundle in a Parameters resource, or what came as it is; with its bytes.
fn bundle_of(value: Value, bytes: &Bytes) -> (Value, Bytes) {
    let is_resource = |it: &&Value| it["name"] == "resource" || it["resource"]["resourceType"] == "Bundle";
    let inner = match value["resourceType"].as_str() {
        Some("Parameters") => value["parameter"].as_array().into_iter().flatten().find(is_resource),
        _ => None,
    };
    match inner.map(|parameter| parameter["resource"].clone()) {
        Some(inner) => {
            let bytes = Bytes::from(inner.to_string());
            (inner, bytes)
        }
        None => (value, bytes.clone()),
    }
}

fn no_bundle() -> Answer {
    Answer::refusal(400, Issue::error(Code::Invalid, "a Bundle of CGM data is taken here").at("resourceType"))
}

/// A resource that the operation takes.
fn of_cgm(resource: Option<Bytes>, release: fhir::Release, max_depth: usize) -> Result<Body, Answer> {
    let resource = resource
        .ok_or_else(|| Answer::refusal(400, Issue::error(Code::Required, "the entry has no resource")))?;
    let body = Body::read(resource, None, release, max_depth)?;
    let is_coded = match body.kind {
        Kind::Observation => clinical::normalize::fhir::is_cgm(&body.value),
        Kind::DiagnosticReport => body.value["code"]["coding"]
            .as_array()
            .is_some_and(|codings| codings.iter().any(|coding| coding["system"] == LOINC)),
        _ => true,
    };
    if OF_CGM.contains(&body.kind) && is_coded {
        return Ok(body);
    }
    let text =
        "a CGM Bundle holds sensor glucose, CGM summaries, their reports and devices, by their LOINC codes";
    let at = if is_coded { "resourceType".to_owned() } else { format!("{}.code", body.kind.name()) };
    Err(Answer::refusal(422, Issue::error(Code::NotSupported, text).at(at)))
}

/// 422 where resources are about several patients.
fn of_several(bodies: &[Result<Body, Answer>]) -> Option<Answer> {
    let subjects =
        bodies.iter().filter_map(|body| body.as_ref().ok()).filter(|body| body.kind != Kind::Device);
    let mut subjects = subjects.map(|body| subject(&body.value));
    let first = subjects.next()?;
    let differs = first.is_none() || subjects.any(|subject| subject != first);
    differs.then(|| {
        let text = "everything in a CGM Bundle is about one patient, named the same way in each subject";
        Answer::refusal(422, Issue::error(Code::BusinessRule, text).at("Bundle.entry.resource.subject"))
    })
}

fn subject(resource: &Value) -> Option<(Option<String>, Option<String>, Option<String>)> {
    let subject = &resource["subject"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let found = (
        text(&subject["reference"]),
        text(&subject["identifier"]["system"]),
        text(&subject["identifier"]["value"]),
    );
    (found.0.is_some() || found.2.is_some()).then_some(found)
}

impl Interactions {
    /// `$outcomes`: the metrics of a window on demand. Nothing is kept or published.
    pub(super) async fn outcomes(
        &self,
        request: &Arc<Request>,
        id: &str,
        body: Bytes,
    ) -> Result<Done, Answer> {
        request.within(Act::Search, Kind::Observation)?;
        let parameters = self.parameters_of(request, &body, &OF_OUTCOMES)?;
        let (shared, wanted, generation) = (Arc::clone(request), id.to_owned(), self.current.get());
        let (secret, box_id) = (Arc::clone(&self.secret), Arc::clone(&self.box_id));
        let Ok(_turn) = self.computing.acquire().await else { return Err(failed()) };
        let looked = look(&self.readers, move |reader| {
            let by = Answerer { secret: &secret, box_id: &box_id, now: time::now_ms() };
            on_demand(reader, &generation, &shared, &by, (&wanted, &parameters))
        });
        let (answer, resources) = looked.await?;
        Ok(Done { answer, object: format!("Patient/{id}/$outcomes"), resources, is_told: false })
    }
}

/// What `$outcomes` answers; also how many resources.
fn on_demand(
    reader: &Reader,
    generation: &Generation,
    request: &Request,
    by: &Answerer<'_>,
    (id, parameters): (&str, &[(String, String)]),
) -> Result<(Answer, usize), Answer> {
    let bounds = request.bounds(Act::Read, Kind::Patient)?;
    let patient = read::find(reader, &request.site.id, Kind::Patient, id, None, &bounds)?;
    // What is computed are Observations: who may see those of one patient alone sees no others.
    if let Within::Patient(theirs) = request.within(Act::Search, Kind::Observation)?
        && theirs != id
    {
        return Err(read::not_found(Kind::Patient));
    }
    let of = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let today =
        Timestamp::from_millisecond(by.now).unwrap_or_default().to_zoned(zone_of(generation, request)).date();
    let refused = |issue: Issue| {
        let status = match issue.code {
            Code::NotFound => 404,
            Code::Transient => 503,
            Code::Exception => 500,
            _ => 400,
        };
        Answer::refusal(status, issue)
    };
    let span = Span::of((of("days"), of("start"), of("end")), today).map_err(refused)?;
    let shown = reader.shown_by(patient.version.id.number).map_err(|error| unreadable(&error))?;
    let Some((Shown::Patient, number)) = shown else { return Err(read::not_found(Kind::Patient)) };
    let subject = patient.reference();
    let asked =
        Asked { site: &request.site.id, patient: number, subject: &subject, span, policy: of("policy") };
    let bundle = outcomes::outcomes(reader, generation, &asked, by).map_err(refused)?;
    let resources = bundle["entry"].as_array().map_or(0, Vec::len);
    let bundle = convert::convert(&bundle, Release::R4, request.manner.release);
    Ok((Answer::fhir(200, request.manner.release, bundle.to_string().into()), resources))
}

/// The zone whose days a site's are.
fn zone_of(generation: &Generation, request: &Request) -> TimeZone {
    let site = generation.config.sites.get(&request.site.id);
    site.map_or(TimeZone::UTC, |site| site.timezone.clone())
}

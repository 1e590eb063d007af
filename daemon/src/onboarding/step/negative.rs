//! What must be refused: kinds that are not permitted, codes nobody mapped, broken bodies, strangers, and writes without a
//! token or a scope.

use clinical::fhir::projection::{Projection, Style};
use serde_json::{Value, json};

use super::{NOBODY, write};
use crate::{
    capability::{Capability, ResourceKind},
    config::SubjectForm,
    delivery::http::{Request, Told},
    destination::Way,
    mode::Ceiling,
    onboarding::{
        playbook::{Finding, Step, is_refusal},
        run::{Run, parts},
        specimen::MAKER,
    },
    smart::Act,
};

/// The Patient that no EHR has.
const NO_PATIENT: &str = "Patient/isthmus-acceptance-nobody";
/// The code that nobody mapped.
const UNMAPPED: (&str, &str) = ("urn:isthmus:acceptance-test", "unmapped-row");
const TAKEN: &str =
    "the EHR took it: what is declared is not what is enforced; the trace is listed at the end";

pub(super) async fn forbidden_kinds(run: &mut Run<'_>) -> Vec<Finding> {
    let (sent, expected) = ("a minimal resource of a kind that is not permitted", "a refusal (HTTP 4xx)");
    let new = || Finding::new(Step::ForbiddenKinds, sent, expected);
    if !run.ready {
        return vec![new().left_out(NOBODY)];
    }
    let mut findings = Vec::new();
    for (capability, by) in forbidden(run) {
        let Some(body) = minimal(run, capability) else { continue };
        let finding = new();
        let told = post(run, capability.resource.name(), &body, true).await;
        let mut finding = refused(run, finding, told, &body);
        finding.sent = format!("a minimal {capability}: {by}");
        finding.why = format!("{capability}: {}", finding.why);
        findings.push(finding);
    }
    if findings.is_empty() {
        findings.push(new().left_out("the EHR states every kind that we make, and the matrix permits them"));
    }
    findings
}

/// The kinds that the matrix does not list, or the statement does not offer; with who says so.
fn forbidden(run: &Run<'_>) -> Vec<(Capability, &'static str)> {
    let mut found = Vec::new();
    for capability in Capability::ALL {
        if capability.resource == ResourceKind::Message {
            continue;
        }
        let by_matrix = matches!(&run.permitted, Ceiling::Partial(_)) && !run.permitted.permits(capability);
        // A kind as a whole is not permitted where a category of it is.
        let partly =
            run.permitted.permits(Capability::observation(clinical::fhir::form::Category::Laboratory))
                || run.permitted.permits(Capability::observation(clinical::fhir::form::Category::VitalSigns));
        let whole = capability == Capability::of(ResourceKind::Observation);
        let name = capability.resource.name();
        let by_site = run.statement.as_ref().is_some_and(|one| !one.kind(name).create);
        if by_matrix && !(whole && partly) {
            found.push((capability, "the matrix does not list it"));
        } else if by_site && capability.category.is_none() {
            found.push((capability, "the EHR does not state it"));
        }
    }
    found
}

/// A small resource about the test patient that says of itself what it is.
fn minimal(run: &Run<'_>, capability: Capability) -> Option<Value> {
    let subject = subject(run)?;
    let code = json!({"coding": [{"system": UNMAPPED.0, "code": MAKER}], "text": "acceptance test, made up"});
    Some(match capability.resource {
        ResourceKind::Observation => {
            let category = capability.category.map_or("laboratory", |one| one.code());
            let system = "http://terminology.hl7.org/CodeSystem/observation-category";
            json!({"resourceType": "Observation", "status": "final", "subject": subject,
                "category": [{"coding": [{"system": system, "code": category}]}],
                "code": code, "effectiveDateTime": "2024-04-01T00:00:00Z", "valueString": "acceptance test"})
        }
        ResourceKind::DiagnosticReport => {
            json!({"resourceType": "DiagnosticReport", "status": "final", "subject": subject, "code": code,
                "effectiveDateTime": "2024-04-01T00:00:00Z"})
        }
        ResourceKind::DocumentReference => json!({"resourceType": "DocumentReference", "status": "current",
            "subject": subject, "type": code, "docStatus": "preliminary",
            "content": [{"attachment": {"contentType": "text/plain", "data": "YWNjZXB0YW5jZSB0ZXN0"}}]}),
        ResourceKind::Provenance => json!({"resourceType": "Provenance", "target": [subject],
            "recorded": "2024-04-01T00:00:00Z", "agent": [{"who": {"display": MAKER}}]}),
        // A goal that a server took by mistake would stand in a care plan.
        ResourceKind::Goal | ResourceKind::Message => return None,
    })
}

fn subject(run: &Run<'_>) -> Option<Value> {
    match &run.seat.subject {
        Some(reference) => Some(json!({ "reference": reference })),
        None if run.destination.subject == SubjectForm::Identifier => {
            let key = &run.asked.key;
            Some(json!({"identifier": {"system": key.system, "value": key.value}}))
        }
        None => None,
    }
}

async fn post(run: &mut Run<'_>, kind: &str, body: &Value, with_token: bool) -> Result<Told, String> {
    let url = format!("{}/{kind}", run.destination.base_url);
    run.send(Request::post(&url), Some(body.to_string().into_bytes()), with_token).await
}

/// Judges an answer that should be a refusal, and keeps the trace of one that is not.
fn refused(run: &mut Run<'_>, finding: Finding, told: Result<Told, String>, sent: &Value) -> Finding {
    let told = match told {
        Ok(told) => told,
        Err(why) => return finding.judged(false, why, "no answer came"),
    };
    let came = format!("HTTP {}", told.status);
    if (200..300).contains(&told.status) {
        let place = told.location.as_deref().and_then(clinical::fhir::location::Location::parse);
        let place = place.map(|place| place.reference()).unwrap_or_default();
        run.leave(finding.step, &place, sent.clone());
        return finding.judged(false, came, TAKEN);
    }
    match is_refusal(told.status) {
        true => finding.judged(true, came, "refused as it should be"),
        false => {
            finding.judged(false, came, "neither taken nor refused: this answer says nothing about the write")
        }
    }
}

/// The first resource that a form sends, as it is sent.
fn first(run: &Run<'_>, way: &Way) -> Option<Value> {
    let rows = run.rows(way, run.ordinary()).ok()?;
    let part = rows.iter().flat_map(parts).find(|part| part.resource["subject"].is_object())?;
    Some(write::as_sent(run, way, &part.resource, &std::collections::BTreeMap::new()))
}

pub(super) async fn unmapped_row(run: &mut Run<'_>) -> Vec<Finding> {
    let (sent, expected) = ("a result under a code of our own that nobody mapped", "a refusal (HTTP 4xx)");
    let new = || Finding::new(Step::UnmappedRow, sent, expected);
    let rows = |way: &Way| matches!(way.projection, Projection::EpicFlowsheet | Projection::MillenniumLab);
    let ways: Vec<Way> = run.ways().into_iter().filter(rows).collect();
    let mut findings = Vec::new();
    for way in ways {
        let finding = new().of(way.projection.name());
        if !run.ready {
            findings.push(finding.left_out(NOBODY));
            continue;
        }
        let Some(mut body) = first(run, &way) else {
            findings.push(finding.left_out("the form makes nothing of this window"));
            continue;
        };
        body["code"] = json!({"coding": [{"system": UNMAPPED.0, "code": UNMAPPED.1}]});
        let told = post(run, "Observation", &body, true).await;
        findings.push(refused(run, finding, told, &body));
    }
    if findings.is_empty() {
        findings.push(new().left_out("no form of the site has rows"));
    }
    findings
}

pub(super) async fn malformed(run: &mut Run<'_>) -> Finding {
    let finding = Finding::new(Step::Malformed, "a create whose body breaks off", "a refusal (HTTP 4xx)");
    let Some(kind) = run.ways().first().map(|way| way.carrier().resource.name()) else {
        return finding.left_out("no form is written to this EHR");
    };
    let url = format!("{}/{kind}", run.destination.base_url);
    let body = format!("{{\"resourceType\":\"{kind}\",").into_bytes();
    let told = run.send(Request::post(&url), Some(body), true).await;
    refused(run, finding, told, &Value::Null)
}

pub(super) async fn unknown_patient(run: &mut Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::UnknownPatient,
        "a result of a Patient that the EHR does not have",
        "a refusal (HTTP 4xx)",
    );
    if run.destination.subject != SubjectForm::Lookup {
        return finding
            .left_out("resources name an identifier here, which FHIR does not ask a server to know");
    }
    let way = run.ways().into_iter().find(|way| way.projection.style() == Style::Single);
    let way = way.or_else(|| run.ways().into_iter().next());
    let Some(mut body) = way.filter(|_| run.ready).and_then(|way| first(run, &way)) else {
        return finding.left_out(NOBODY);
    };
    body["subject"] = json!({ "reference": NO_PATIENT });
    let kind = body["resourceType"].as_str().unwrap_or_default().to_owned();
    let told = post(run, &kind, &body, true).await;
    refused(run, finding, told, &body)
}

pub(super) async fn without_token(run: &mut Run<'_>) -> Finding {
    let finding =
        Finding::new(Step::WithoutToken, "a create without an Authorization header", "HTTP 401 or 403");
    if run.destination.client.authorizer().is_none() {
        return finding.left_out("the site's file has no [ehr.auth]: the certificate proves us");
    }
    let Some(body) = run.ways().first().and_then(|way| minimal(run, way.carrier())).filter(|_| run.ready)
    else {
        return finding.left_out(NOBODY);
    };
    let kind = body["resourceType"].as_str().unwrap_or_default().to_owned();
    let told = post(run, &kind, &body, false).await;
    let finding = refused(run, finding, told, &body);
    let by_token = matches!(finding.came.as_str(), "HTTP 401" | "HTTP 403");
    if finding.status == crate::onboarding::playbook::Status::Passed && !by_token {
        let came = finding.came.clone();
        return finding.judged(false, came, "refused, but not for want of a token");
    }
    finding
}

pub(super) async fn without_scope(run: &mut Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::WithoutScope,
        "a create of a kind that no granted scope covers",
        "a refusal (HTTP 4xx)",
    );
    let Some(granted) = run.destination.client.granted() else {
        return finding.left_out("no token is used, or none was granted");
    };
    let kinds = [ResourceKind::DiagnosticReport, ResourceKind::DocumentReference, ResourceKind::Provenance];
    let kinds = kinds.into_iter().chain([ResourceKind::Observation]);
    let Some(kind) = kinds.into_iter().find(|kind| !granted.may(Act::Create, kind.name())) else {
        return finding.left_out("the granted scopes cover every kind that we make");
    };
    let Some(body) = minimal(run, Capability::of(kind)).filter(|_| run.ready) else {
        return finding.left_out(NOBODY);
    };
    let told = post(run, kind.name(), &body, true).await;
    let mut finding = refused(run, finding, told, &body);
    finding.sent = format!("a minimal {}, which no granted scope covers", kind.name());
    finding
}

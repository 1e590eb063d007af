//! Whether a resend makes a second copy, and whether a stale version is refused.

use clinical::fhir::projection::Amends;

use super::{NOTHING, write};
use crate::{
    delivery::http::Request,
    onboarding::{
        playbook::{Finding, Step},
        run::{Run, parts},
    },
};

/// A version that no server is at after a first write.
const STALE: &str = "W/\"isthmus-stale\"";

pub(super) async fn resend(run: &mut Run<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let written: Vec<_> =
        run.written.iter().map(|one| (one.way.clone(), one.rows.clone(), one.standing.clone())).collect();
    for (way, rows, standing) in written {
        let conditional = way.projection.conditional();
        let sent = match conditional {
            true => "the same writes once more, with If-None-Exist",
            false => {
                "the same writes as after an answer that was lost: searched by patient, code and date first"
            }
        };
        let finding =
            Finding::new(Step::Resend, sent, "everything is found where it stands; nothing is created");
        let finding = finding.of(way.projection.name());
        let done = run.deliver(&way, &rows, !conditional).await;
        let second: Vec<(String, String)> = done
            .standing
            .iter()
            .filter(|(urn, at)| {
                standing.get(*urn).is_none_or(|first| first.location.reference() != at.location.reference())
            })
            .map(|(urn, at)| (urn.clone(), at.location.reference()))
            .collect();
        for (urn, place) in &second {
            run.leave(Step::Resend, place, done.bodies.get(urn).cloned().unwrap_or_default());
        }
        let found = done.standing.len() - second.len();
        let came = format!("{found} of {} found, {} created anew", standing.len(), second.len());
        findings.push(if let Some(verdict) = &done.refused {
            finding.judged(false, write::told(&done), write::advice(verdict))
        } else if !second.is_empty() || (done.wrote && !conditional) {
            let why = "after a lost answer results would stand twice: conditional create, or the search, does not do \
                       what is stated";
            finding.judged(false, came, why)
        } else {
            finding.judged(true, came, "a lost answer does no harm")
        });
    }
    if findings.is_empty() {
        findings.push(
            Finding::new(Step::Resend, "the same writes once more", "nothing is created").left_out(NOTHING),
        );
    }
    findings
}

pub(super) async fn conflict(run: &mut Run<'_>) -> Vec<Finding> {
    let (sent, expected) = ("an update whose If-Match names a version that never was", "HTTP 409 or 412");
    let mut findings = Vec::new();
    for at in 0..run.written.len() {
        let way = run.written[at].way.clone();
        let finding = Finding::new(Step::Conflict, sent, expected).of(way.projection.name());
        if way.projection.amends() != Amends::Update {
            findings.push(finding.left_out("what stands in this form is never updated"));
            continue;
        }
        let Some((url, body)) = stale_update(run, at) else {
            findings.push(finding.left_out(NOTHING));
            continue;
        };
        let request = Request { if_match: Some(STALE), ..Request::put(&url) };
        findings.push(match run.send(request, Some(body), true).await {
            Err(why) => finding.judged(false, why, "no answer came"),
            Ok(told) => {
                let refused = matches!(told.status, 409 | 412);
                let why = match refused {
                    true => "nobody's later change is overwritten unseen",
                    false => {
                        "the EHR did not hold the update against the version that stands: changes can be lost"
                    }
                };
                finding.judged(refused, format!("HTTP {}", told.status), why)
            }
        });
    }
    if findings.is_empty() {
        findings.push(Finding::new(Step::Conflict, sent, expected).left_out(NOTHING));
    }
    findings
}

/// An update of something that stands, whose body is what stands: taken or not, it changes nothing.
pub(in crate::onboarding) fn stale_update(run: &Run<'_>, at: usize) -> Option<(String, Vec<u8>)> {
    let written = run.written.get(at)?;
    let part = written.rows.iter().flat_map(parts).find(|part| {
        part.resource["resourceType"] != "Provenance" && written.standing.contains_key(&part.full_url)
    })?;
    let location = &written.standing.get(&part.full_url)?.location;
    let mut body = write::as_sent(run, &written.way, &part.resource, &written.standing);
    body["id"] = location.id().into();
    let url = format!("{}/{}", run.destination.base_url, location.reference());
    Some((url, serde_json::to_vec(&body).ok()?))
}

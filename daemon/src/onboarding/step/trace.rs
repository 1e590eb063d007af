//! The burst, what a lost answer would do, and the traces.

use std::time::{Duration, Instant};

use clinical::fhir::{location::Location, projection::Amends};
use serde_json::Value;

use super::{
    NOTHING,
    ours::{Patient, is_ours},
    resend,
};
use crate::{
    delivery::http::Request,
    onboarding::{
        playbook::{Finding, Step},
        run::{Left, Run},
    },
    verdict::RETRY_AFTER_RANGE,
};

/// Requests of the burst: enough to meet a bucket that is too small, few enough to trouble nobody.
const BURST: u32 = 10;
/// The status of what is taken back.
const WITHDRAWN: &str = "entered-in-error";
/// What a read is answered where nothing is shown any more.
const GONE: [&str; 2] = ["HTTP 404", "HTTP 410"];
/// The pace where the site's file names no rate.
const USUAL_PER_SECOND: u32 = 10;

pub(super) async fn throttle(run: &mut Run<'_>) -> Finding {
    let rate = run.destination.delivery.rate.per_second.unwrap_or(USUAL_PER_SECOND).min(100);
    let sent = format!("{BURST} writes that change nothing, {rate} a second");
    let finding = Finding::new(Step::Throttle, &sent, "no HTTP 429 or 503");
    if !run.ready {
        return finding.left_out(super::NOBODY);
    }
    // An outdated update where there is something to update, else a create that breaks off: neither has an effect.
    let updates = run.written.iter().position(|one| one.way.projection.amends() == Amends::Update);
    let update = updates.and_then(|at| resend::stale_update(run, at));
    let Some(kind) = run.ways().first().map(|way| way.carrier().resource.name()) else {
        return finding.left_out(NOTHING);
    };
    let (url, body) = update
        .clone()
        .unwrap_or_else(|| (format!("{}/{kind}", run.destination.base_url), b"{\"resourceType\":".to_vec()));
    let (began, step) = (Instant::now(), Duration::from_secs(1) / rate.max(1));
    for turn in 0..BURST {
        tokio::time::sleep_until((began + step * turn).into()).await;
        let request = match &update {
            Some(_) => Request { if_match: Some("W/\"isthmus-stale\""), ..Request::put(&url) },
            None => Request::post(&url),
        };
        let told = match run.send(request, Some(body.clone()), true).await {
            Ok(told) => told,
            Err(why) => return finding.judged(false, why, "no answer came in the middle of the burst"),
        };
        if matches!(told.status, 429 | 503) {
            let form = match told.retry_after {
                None => "without a Retry-After that can be read".to_owned(),
                Some(wait) if wait > RETRY_AFTER_RANGE.1 => {
                    "with a Retry-After beyond an hour (a moment, not a wait?)".to_owned()
                }
                Some(wait) => format!("with Retry-After of {} s", wait.as_secs()),
            };
            let came = format!("HTTP {} at request {} of {BURST}, {form}", told.status, turn + 1);
            let why = format!(
                "the EHR takes less than {rate} a second: ask for its limit and write per_second in [delivery]"
            );
            return finding.judged(false, came, why);
        }
    }
    finding.judged(true, format!("{BURST} answers, none of them a throttle"), "the configured rate is taken")
}

pub(super) fn timeout(run: &Run<'_>) -> Finding {
    let finding =
        Finding::new(Step::Timeout, "nothing", "not provoked: an EHR's answers cannot be lost on purpose");
    let (slowest, limit) = (run.slowest.as_millis(), run.destination.delivery.timeout.as_millis());
    let mut finding = finding.left_out(
        "a lost answer is in doubt: the write is looked for and never sent blindly again (docs/projections.md); the resend \
         step shows that it is found",
    );
    finding.came = format!("the slowest answer of this run took {slowest} ms; the limit is {limit} ms");
    finding
}

pub(super) async fn clean_up(run: &mut Run<'_>) -> Finding {
    let finding = Finding::new(
        Step::CleanUp,
        "updates to entered-in-error of what the trial wrote, where this EHR amends",
        "everything is taken back, or listed for the analyst with its location",
    );
    if run.left.is_empty() {
        return finding.left_out("the trial left nothing");
    }
    let amends = run.ways().iter().any(|way| way.projection.amends() == Amends::Update);
    let mut left = std::mem::take(&mut run.left);
    if amends {
        // What refers to others comes first: a panel before its members.
        for one in left.iter_mut().rev() {
            if withdraw(run, one).await {
                one.state = WITHDRAWN;
            }
        }
    }
    let nowhere = left.iter().filter(|one| one.location.is_empty()).count();
    let stands = left.iter().filter(|one| one.state == "stands").count();
    let came = format!("{} taken back, {stands} listed", left.len() - stands);
    run.left = left;
    if nowhere > 0 {
        return finding.judged(
            false,
            format!("{came}, of which {nowhere} without a location"),
            "the EHR did not say where it filed them: find them on the test patient's chart by their dates in 2024",
        );
    }
    let why = match stands {
        0 => "nothing of the trial is left that counts",
        _ => {
            "hand the list of what stands to the analyst: the EHR shows them as they were, or as another's, or lets nobody take them back over FHIR"
        }
    };
    finding.judged(true, came, why)
}

/// Marks what stands as entered in error, where it is what was written; whether that is what the EHR shows then.
async fn withdraw(run: &mut Run<'_>, left: &Left) -> bool {
    let Some(location) = Location::parse(&left.location) else { return false };
    if !matches!(location.resource_type(), "Observation" | "DocumentReference" | "DiagnosticReport") {
        return false;
    }
    let Ok((mut standing, etag)) = run.read(&location).await else { return false };
    // The EHR said where it filed it, and may be wrong.
    if !is_known(run, &left.sent, &standing) {
        return false;
    }
    let Value::Object(fields) = &mut standing else { return false };
    fields.insert("status".to_owned(), WITHDRAWN.into());
    let url = format!("{}/{}", run.destination.base_url, location.reference());
    let request = Request { if_match: etag.as_deref(), ..Request::put(&url) };
    let told = run.send(request, Some(standing.to_string().into_bytes()), true).await;
    // Taken is not done: what the EHR shows now counts. Some show nobody what was entered in error.
    told.is_ok_and(|told| matches!(told.status, 200 | 201 | 204))
        && match run.read(&location).await {
            Ok((shown, _)) => shown["status"] == WITHDRAWN && is_known(run, &left.sent, &shown),
            Err(why) => GONE.contains(&why.as_str()),
        }
}

fn is_known(run: &Run<'_>, sent: &Value, stands: &Value) -> bool {
    let key = &run.asked.key;
    let patient = Patient { reference: run.seat.subject.as_deref(), identifier: (&key.system, &key.value) };
    is_ours(sent, stands, &patient)
}

//! The allowed writes of every form, and whether what stands afterwards is what was written.

use std::collections::BTreeMap;

use clinical::fhir::{address::address, bundle, readback::same_as};
use jiff::Timestamp;
use serde_json::Value;

use super::{NOBODY, NOTHING};
use crate::{
    delivery::attempt::Standing,
    destination::{MESSAGES, Way},
    onboarding::{
        playbook::{Finding, Step},
        run::{Delivered, Run, Written, parts},
    },
    verdict::Verdict,
};

pub(super) async fn write(run: &mut Run<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for way in run.destination.ways.clone() {
        let finding = Finding::new(
            Step::Write,
            "a made-up outcome in this form, as the daemon delivers it",
            "every resource is taken, and the answer says where it stands",
        )
        .of(way.projection.name());
        findings.push(match () {
            () if way.carrier() == MESSAGES => {
                finding.left_out("HL7 v2 messages go over MLLP: try them with isthmus send")
            }
            () if !run.destination.permits(way.carrier()) => {
                finding.left_out(format!("[capability] allow does not list {}", way.carrier()))
            }
            () if !run.ready => finding.left_out(NOBODY),
            () => one(run, &way, finding).await,
        });
    }
    findings
}

async fn one(run: &mut Run<'_>, way: &Way, finding: Finding) -> Finding {
    let rows = match run.rows(way, run.ordinary()) {
        Ok(rows) => rows,
        // The file permits a form that no window of the site fits.
        Err(why) => {
            return finding.judged(
                false,
                why,
                "nothing would ever be written in this form: mend its choices",
            );
        }
    };
    let done = run.deliver(way, &rows, false).await;
    run.leave_all(Step::Write, &done);
    let told = told(&done);
    let standing = done.standing.clone();
    if !standing.is_empty() {
        run.written.push(Written { way: way.clone(), rows, standing });
    }
    if done.refused.is_none() && done.standing.len() < done.sent {
        for _ in done.standing.len()..done.sent {
            run.leave(Step::Write, "", Value::Null);
        }
        let why = "the EHR did not say where it stands, so it can be neither amended nor taken back: ask for Location";
        return finding.judged(false, told, why);
    }
    match &done.refused {
        None => finding.judged(true, told, "the EHR takes this form"),
        Some(verdict) => finding.judged(false, told, advice(verdict)),
    }
}

/// What came of a delivery, in words.
pub(super) fn told(done: &Delivered) -> String {
    let stand = format!("{} of {} resources stand there", done.standing.len(), done.sent);
    match &done.refused {
        None => stand,
        Some(verdict) => format!("{}{}; {stand}", verdict.word(), cause(verdict)),
    }
}

/// The fingerprint of a fault; it is closed text of our own.
fn cause(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Data(cause)
        | Verdict::Configuration(cause)
        | Verdict::Patient(cause)
        | Verdict::Identity(cause)
        | Verdict::Auth(cause)
        | Verdict::Conflict(cause)
        | Verdict::Defect(cause)
        | Verdict::Unsent(cause)
        | Verdict::Ambiguous(cause) => format!(" ({cause})"),
        _ => String::new(),
    }
}

pub(super) const fn advice(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Data(_) => {
            "the EHR takes such writes, not this shape: compare the form's choices with the analyst"
        }
        Verdict::Configuration(_) => {
            "the EHR does not permit this write: ask the analyst to permit it, or take it off the matrix"
        }
        Verdict::Patient(_) => "the EHR refuses this patient: name a test patient without restrictions",
        Verdict::Auth(_) => "the EHR does not accept us: check the registration",
        Verdict::Throttled(_) => "the EHR throttles: lower per_second in [delivery]",
        Verdict::Unsent(_) | Verdict::Ambiguous(_) => {
            "no whole answer came: check the way there, then run it again"
        }
        _ => "this should not happen: keep the report and ask the maker of Isthmus",
    }
}

/// A resource as it was sent.
pub(super) fn as_sent(
    run: &Run<'_>,
    way: &Way,
    resource: &Value,
    standing: &BTreeMap<String, Standing>,
) -> Value {
    let known = standing.iter().map(|(urn, at)| (urn.clone(), at.location.reference())).collect();
    let (mut sent, seat) = (resource.clone(), run.seat(way));
    // What could not be put in was not sent either: it shows in the comparison.
    let _resolved = bundle::resolve(&mut sent, &known);
    let _addressed = address(&mut sent, seat.subject.as_deref(), seat.encounter.as_deref());
    sent
}

/// Reads all of a form back. The pairs are what was sent and what stands; the text is why one could not be read.
pub(super) async fn read_back(
    run: &mut Run<'_>,
    way: &Way,
    rows: &[outbox::NewRow],
    standing: &BTreeMap<String, Standing>,
) -> (Vec<(Value, Value)>, Option<String>) {
    let (mut pairs, mut hidden) = (Vec::new(), None);
    for part in rows.iter().flat_map(parts) {
        let Some(at) = standing.get(&part.full_url) else { continue };
        let ours = as_sent(run, way, &part.resource, standing);
        match run.read(&at.location).await {
            Ok((theirs, _)) => pairs.push((ours, theirs)),
            Err(why) => hidden = Some(why),
        }
    }
    (pairs, hidden)
}

pub(super) async fn compare(run: &mut Run<'_>, step: Step) -> Vec<Finding> {
    let expected = match step {
        Step::ReadBack => "the same content, as far as this form's receivers keep it",
        Step::Decimals => "every number with the places it was sent with: 6.90 and not 6.9",
        _ => "every moment the same instant, whatever its offset",
    };
    let mut findings = Vec::new();
    let written: Vec<_> =
        run.written.iter().map(|one| (one.way.clone(), one.rows.clone(), one.standing.clone())).collect();
    if written.is_empty() {
        return vec![Finding::new(step, "a read of everything that was written", expected).left_out(NOTHING)];
    }
    for (way, rows, standing) in written {
        let finding =
            Finding::new(step, "a read of everything that was written", expected).of(way.projection.name());
        let (pairs, hidden) = read_back(run, &way, &rows, &standing).await;
        if let Some(why) = hidden {
            let told = "the daemon compares what stands before it amends: ask for read of these types";
            findings.push(match step {
                Step::ReadBack => finding.judged(false, format!("not every one can be read: {why}"), told),
                _ => finding.left_out(told),
            });
            continue;
        }
        findings.push(match step {
            Step::ReadBack => judge_content(finding, &way, &pairs),
            Step::Decimals => judge_decimals(finding, &pairs),
            _ => judge_moments(finding, &pairs),
        });
    }
    findings
}

pub(super) fn judge_content(finding: Finding, way: &Way, pairs: &[(Value, Value)]) -> Finding {
    let same = pairs.iter().filter(|(ours, theirs)| same_as(way.projection, ours, theirs)).count();
    let came = format!("{same} of {} are the same", pairs.len());
    match same == pairs.len() {
        true => finding.judged(true, came, "what people see there is what was computed"),
        false => finding.judged(
            false,
            came,
            "the EHR changes what it stores: do not go live before the analyst knows what and why",
        ),
    }
}

/// The numbers of a resource, as they are spelt.
fn numbers(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Number(number) if name == "value" => found.push(number.to_string()),
                    value => numbers(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| numbers(item, found)),
        _ => {}
    }
}

fn judge_decimals(finding: Finding, pairs: &[(Value, Value)]) -> Finding {
    let (mut kept, mut all) = (0, 0);
    for (ours, theirs) in pairs {
        let (mut sent, mut stand) = (Vec::new(), Vec::new());
        numbers(ours, &mut sent);
        numbers(theirs, &mut stand);
        all += sent.len();
        kept += sent.iter().filter(|number| stand.contains(number)).count();
    }
    if all == 0 {
        return finding.left_out("this form has no numbers outside its text");
    }
    let came = format!("{kept} of {all} numbers as they were sent");
    match kept == all {
        true => finding.judged(true, came, "FHIR R4 asks servers to keep the precision of a decimal"),
        false => finding.judged(
            false,
            came,
            "the EHR drops decimal places (FHIR R4, datatypes: the precision of a decimal has significance); ask the \
             analyst how the row or result is set up",
        ),
    }
}

fn judge_moments(finding: Finding, pairs: &[(Value, Value)]) -> Finding {
    let moment =
        |json: &Value| json["effectiveDateTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let with: Vec<_> = pairs.iter().filter(|(ours, _)| moment(ours).is_some()).collect();
    if with.is_empty() {
        return finding.left_out("this form has dates and no moments with an offset");
    }
    let same = with.iter().filter(|(ours, theirs)| moment(ours) == moment(theirs)).count();
    let came = format!("{same} of {} moments are the same instant", with.len());
    let why = match same == with.len() {
        true => "the offset of the site's zone is understood",
        false => {
            "the EHR shifts times: results would stand on another hour or day; ask for its zone settings"
        }
    };
    finding.judged(same == with.len(), came, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::onboarding::playbook::Status;

    fn pair(ours: &str, theirs: &str) -> Vec<(Value, Value)> {
        vec![(serde_json::from_str(ours).unwrap(), serde_json::from_str(theirs).unwrap())]
    }

    #[test]
    fn a_place_that_is_gone_is_seen_and_an_element_more_is_not() {
        let judged = |ours: &str, theirs: &str| {
            judge_decimals(Finding::new(Step::Decimals, "", ""), &pair(ours, theirs)).status
        };
        let ours = r#"{"valueQuantity":{"value":6.90}}"#;
        assert_eq!(judged(ours, r#"{"id":"1","valueQuantity":{"value":6.90,"unit":"%"}}"#), Status::Passed);
        assert_eq!(judged(ours, r#"{"valueQuantity":{"value":6.9}}"#), Status::Failed);
        assert_eq!(judged(ours, r#"{"valueQuantity":{"value":7}}"#), Status::Failed);
        assert_eq!(judged("{}", "{}"), Status::NotApplicable);
    }

    #[test]
    fn a_moment_in_another_offset_is_the_same_and_one_without_its_offset_is_not() {
        let ours = json!({"effectiveDateTime": "2024-03-10T23:59:59-04:00"});
        for (theirs, wanted) in [
            ("2024-03-11T03:59:59Z", Status::Passed),
            ("2024-03-10T23:59:59Z", Status::Failed),
            ("2024-03-10", Status::Failed),
        ] {
            let pairs = [(ours.clone(), json!({"effectiveDateTime": theirs}))];
            assert_eq!(judge_moments(Finding::new(Step::Moments, "", ""), &pairs).status, wanted, "{theirs}");
        }
    }
}

//! An outcome, from its canonical Observations.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Envelope, LOCAL_SYSTEM, OBX_MOST, Order, OruError, Person, head, order, segment::Line};
use crate::fhir::{
    metric::{LOINC, Metric},
    report::{ATTACHMENT_BYTES_MOST, Attachment, Form, ReportError},
    summary::Resource,
};

/// One ORU^R01 with the numbers of `observations` (what [`crate::fhir::summary::observations`] gives, the panel first)
/// and the report, where there is one.
///
/// # Errors
/// [`OruError`].
pub fn summary(
    envelope: &Envelope<'_>,
    person: &Person<'_>,
    about: &Order<'_>,
    observations: &[Resource],
    report: Option<&Attachment<'_>>,
) -> Result<String, OruError> {
    let panel = observations.first().ok_or(OruError::NoResult)?;
    let period = &panel.json["effectivePeriod"];
    let [from, to] = ["start", "end"].map(|edge| digits(period[edge].as_str().unwrap_or_default()));
    let mut results = Vec::new();
    for resource in observations.iter().filter(|resource| resource.metric != Some(Metric::Summary)) {
        collect(&resource.json, &mut results);
    }
    let count = results.len() + usize::from(report.is_some());
    match count {
        0 => return Err(OruError::NoResult),
        count if count > OBX_MOST => return Err(OruError::TooMany { count }),
        _ => {}
    }
    let names =
        [person.value, person.authority, envelope.from.0, envelope.from.1, envelope.to.0, envelope.to.1];
    let mut message = head(envelope, person, "2.5.1", names.iter().all(|name| name.is_ascii()))?;
    let service = [Metric::Summary.loinc(), Metric::Summary.title(), "LN"];
    message.push_str(&order(about, &service, (&from, &to))?);
    for (n, result) in (1usize..).zip(&results) {
        message.push_str(&observation(n, result, about.status()));
    }
    if let Some(report) = report {
        message.push_str(&document(count, report, about.status())?);
    }
    Ok(message)
}

/// What has an OBX: the value of an Observation, then its components; an Observation with neither value nor reason says
/// nothing by itself.
fn collect<'a>(json: &'a Value, results: &mut Vec<&'a Value>) {
    let components = json["component"].as_array().into_iter().flatten();
    let speaks = |said: &&Value| {
        ["valueQuantity", "valueCodeableConcept", "dataAbsentReason"]
            .iter()
            .any(|name| said.get(name).is_some())
    };
    results.extend(std::iter::once(json).chain(components).filter(speaks));
}

/// OBX for an Observation or a component, and NTE where it says why there is no value.
fn observation(n: usize, said: &Value, status: &str) -> String {
    let mut obx = Line::new("OBX");
    obx.text(&n.to_string());
    let coded = &said["valueCodeableConcept"];
    let number = said["valueQuantity"]["value"].as_number().map(ToString::to_string);
    obx.text(if coded.is_null() { "NM" } else { "CWE" });
    obx.parts(&code(&said["code"])).empty(1);
    if coded.is_null() {
        obx.text(number.as_deref().unwrap_or_default());
    } else {
        obx.parts(&code(coded));
    }
    let unit = said["valueQuantity"]["code"].as_str();
    obx.parts(&[unit.unwrap_or_default(), "", if unit.is_some() { "UCUM" } else { "" }]).empty(4);
    let absent = said.get("dataAbsentReason");
    // X: the result cannot be obtained (HL7 table 0085).
    obx.text(if absent.is_some() { "X" } else { status });
    let mut lines = obx.end();
    let why = absent.and_then(|reason| reason["text"].as_str().or(reason["coding"][0]["code"].as_str()));
    if let Some(why) = why {
        lines.push_str(&Line::new("NTE").text("1").empty(1).text(why).end());
    }
    lines
}

/// Code, text and coding system of a CodeableConcept.
fn code(concept: &Value) -> [&str; 3] {
    let coding = &concept["coding"][0];
    let system = if coding["system"].as_str() == Some(LOINC) { "LN" } else { LOCAL_SYSTEM };
    [coding["code"].as_str().unwrap_or_default(), concept["text"].as_str().unwrap_or_default(), system]
}

/// The report in an OBX of ED (v2.5.1, 2.A.24), which stands under the panel's own code.
fn document(n: usize, report: &Attachment<'_>, status: &str) -> Result<String, OruError> {
    match report.bytes.len() {
        0 => return Err(ReportError::Empty.into()),
        bytes if bytes > ATTACHMENT_BYTES_MOST => return Err(ReportError::TooLarge { bytes }.into()),
        _ => {}
    }
    let (kind, subtype) = match report.form {
        Form::Pdf => ("Application", "PDF"),
        Form::Html => ("Text", "HTML"),
    };
    let mut obx = Line::new("OBX");
    obx.text(&n.to_string()).text("ED");
    obx.parts(&[Metric::Summary.loinc(), crate::fhir::report::REPORT_TITLE, "LN"]).empty(1);
    obx.parts(&["", kind, subtype, "Base64", &STANDARD.encode(report.bytes)]).empty(5).text(status);
    Ok(obx.end())
}

/// A FHIR date as HL7 writes it.
fn digits(date: &str) -> String {
    date.chars().filter(char::is_ascii_digit).collect()
}

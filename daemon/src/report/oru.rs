//! The ORU^R01 messages that an outcome, or the readings that count, would be; to nobody and from no box.
//!
//! The control id and the filler number are made of the file and the period: the same file gives the same message, but
//! for its times.

use clinical::{
    fhir::{codes::OUTCOME_CODES, report::Attachment},
    oru::{self, Envelope, OBX_MOST, Order, OruError, Person},
};
use sha2::{Digest, Sha256};

use super::{
    bundle::{About, Choice, counted, summary as observations},
    export::Export,
};

/// Hexadecimal digits of the control id after its first letter, and of the filler number.
const ID_DIGITS: usize = 19;

/// One message with the summary, and the report where there is one.
///
/// # Errors
/// [`OruError`].
pub fn summary(export: &Export, about: &About<'_>, choice: &Choice<'_>) -> Result<String, OruError> {
    let resources = observations(export, about.patient, choice);
    let report: Option<&Attachment<'_>> = choice.report.as_ref();
    let id = id(export, about, "summary", 0);
    let filler = id.clone();
    oru::summary(&envelope(about, &id), &person(about), &order(about, &filler), &resources, report)
}

/// The readings that count, in as many messages as they take.
///
/// # Errors
/// [`OruError`].
pub fn readings(export: &Export, about: &About<'_>) -> Result<String, OruError> {
    let all = counted(export);
    let messages = all.chunks(OBX_MOST).enumerate().map(|(n, chunk)| {
        let id = id(export, about, "readings", n);
        let filler = id.clone();
        oru::readings(&envelope(about, &id), &person(about), &order(about, &filler), chunk)
    });
    messages.collect()
}

/// The name of a message: of its content's kind, file, period and place.
fn id(export: &Export, about: &About<'_>, what: &str, n: usize) -> String {
    let period = &export.outcome.period;
    let parts = [OUTCOME_CODES, what, about.sha256, &period.first_date, &period.last_date, &period.zone];
    let digest = Sha256::digest(format!("{} {n}", parts.join(" ")));
    let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("I{}", &hex[..ID_DIGITS])
}

const fn envelope<'a>(about: &About<'a>, control_id: &'a str) -> Envelope<'a> {
    Envelope {
        from: ("ISTHMUS", "OUTCOMES"),
        to: ("", ""),
        sent: about.recorded,
        control_id,
        processing: 'P',
    }
}

fn person<'a>(about: &About<'a>) -> Person<'a> {
    Person { value: &about.patient.value, authority: &about.patient.system, kind: "MR" }
}

const fn order<'a>(about: &About<'_>, filler: &'a str) -> Order<'a> {
    Order { placer: None, filler, reported: about.recorded, corrected: false }
}

#[cfg(test)]
mod tests {
    use clinical::{fhir::summary::MeanUnit, identity::PatientKey, reading::Instant};

    use super::*;
    use crate::report::sample::{fortnight, question, sample};

    const PLAIN: Choice<'static> = Choice { glucose: MeanUnit::Mass, local_codes: true, report: None };

    #[test]
    fn a_summary_is_one_message_and_readings_are_as_many_as_they_take() {
        let patient = PatientKey { system: "NORTH".into(), value: "47|11".into() };
        let sha256 = "ab".repeat(32);
        let about = About { patient: &patient, sha256: &sha256, recorded: Instant(0) };
        let message = summary(&sample(), &about, &PLAIN).unwrap();
        assert_eq!(message.matches("MSH|").count(), 1);
        assert!(message.contains("PID|1||47\\F\\11^^^NORTH^MR||"), "{message}");
        assert!(message.contains("|gri^"), "{message}");
        let export = crate::report::export::export("a.csv", fortnight().as_bytes(), &question()).unwrap();
        let messages = readings(&export, &about).unwrap();
        let results = messages.matches("\rOBX|").count();
        assert_eq!(results as u64, export.outcome.n);
        let ids: std::collections::BTreeSet<&str> = messages
            .split('\r')
            .filter(|line| line.starts_with("MSH|"))
            .filter_map(|line| line.split('|').nth(9))
            .collect();
        assert_eq!(ids.len(), results.div_ceil(OBX_MOST));
    }
}

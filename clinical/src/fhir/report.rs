//! The report for people as a DiagnosticReport: the bytes of a PDF or an HTML page, with what they are a report of.
//!
//! Invariants: the bytes are handed in and leave as they are; size and hash are of the bytes and not of their base64
//! text (FHIR R4, Attachment: SHA-1, which here proves that nothing was damaged, not who made it); the guide's
//! `cgm-summary-pdf` demands a PDF, so a report without one does not claim it; both PDF and HTML may stand side by side.
//!
//! Numbers: an attachment has at most [`ATTACHMENT_BYTES_MOST`]; one page has some 50 kB.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::{
    identifier::{Scope, SiteSecret},
    metric::{LOINC, Metric},
    subject::Subject,
    summary::{Resource, Status},
};

/// Largest attachment: FHIR servers refuse requests of some megabytes, and base64 adds a third.
pub const ATTACHMENT_BYTES_MOST: usize = 4 << 20;
/// The guide's profile of a report with a PDF.
pub const PDF_PROFILE: &str = "http://hl7.org/fhir/uv/cgm/StructureDefinition/cgm-summary-pdf";
/// What people read beside the code and the attachment.
pub const REPORT_TITLE: &str = "Glucose profile report";
/// Code system of `DiagnosticReport.category`.
pub const SECTION_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";
/// The report's name in its identifier; no slug of a [`Metric`].
pub(super) const SLUG: &str = "report";

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `application/pdf`.
    Pdf,
    /// `text/html`, in UTF-8.
    Html,
}

impl Form {
    /// The MIME type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// A report's bytes. No Debug: they hold a patient's name.
#[derive(Clone, Copy)]
pub struct Attachment<'a> {
    /// PDF or HTML.
    pub form: Form,
    /// The file.
    pub bytes: &'a [u8],
}

/// Why there is no DiagnosticReport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// There is nothing to present.
    #[error("a report without an attachment")]
    NoAttachment,
    /// An attachment is empty.
    #[error("an attachment is empty")]
    Empty,
    /// An attachment is larger than [`ATTACHMENT_BYTES_MOST`].
    #[error("an attachment has {bytes} bytes; at most {ATTACHMENT_BYTES_MOST}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// What a report is made from.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// The window, as in its Observations.
    pub scope: Scope<'a>,
    /// The box's secret for identifiers.
    pub secret: &'a SiteSecret,
    /// Whom it is about.
    pub subject: &'a Subject,
    /// First or later version.
    pub status: Status,
    /// The files.
    pub attachments: &'a [Attachment<'a>],
}

/// The DiagnosticReport of a window, whose result is the window's panel.
///
/// # Errors
/// [`ReportError`].
pub fn report(about: &Report<'_>) -> Result<Resource, ReportError> {
    if about.attachments.is_empty() {
        return Err(ReportError::NoAttachment);
    }
    let identifier = about.scope.named(about.secret, SLUG);
    let panel = about.scope.outcome(about.secret, Metric::Summary).full_url();
    let forms = about.attachments.iter().map(form).collect::<Result<Vec<_>, _>>()?;
    let mut json = json!({
        "resourceType": "DiagnosticReport",
        "identifier": [identifier.to_json()],
        "status": about.status.code(),
        "category": [{ "coding": [{ "system": SECTION_SYSTEM, "code": "LAB" }] }],
        "code": { "coding": [{ "system": LOINC, "code": Metric::Summary.loinc() }], "text": Metric::Summary.title() },
        "subject": about.subject.to_json(),
        "effectivePeriod": { "start": about.scope.first_date, "end": about.scope.last_date },
        "result": [{ "reference": panel }],
        "presentedForm": forms,
    });
    if about.attachments.iter().any(|attachment| attachment.form == Form::Pdf) {
        json["meta"] = json!({ "profile": [PDF_PROFILE] });
    }
    Ok(Resource { metric: None, json, identifier })
}

fn form(attachment: &Attachment<'_>) -> Result<Value, ReportError> {
    let bytes = attachment.bytes;
    match bytes.len() {
        0 => return Err(ReportError::Empty),
        bytes if bytes > ATTACHMENT_BYTES_MOST => return Err(ReportError::TooLarge { bytes }),
        _ => {}
    }
    Ok(json!({
        "contentType": attachment.form.content_type(),
        "data": STANDARD.encode(bytes),
        "size": bytes.len(),
        "hash": STANDARD.encode(Sha1::digest(bytes)),
        "title": REPORT_TITLE,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::{
        projection::{Projection, minimize},
        release::{Release, write},
        sample::{SECRET, outcome, resources, subject},
        summary::Wording,
    };

    fn made(attachments: &[Attachment<'_>]) -> Result<Resource, ReportError> {
        let (outcome, subject) = (outcome(), subject());
        let scope = Scope::of("main", "7", &outcome);
        report(&Report { scope, secret: &SECRET, subject: &subject, status: Status::Final, attachments })
    }

    #[test]
    fn the_bytes_leave_as_they_are_with_their_size_and_sha_1() {
        // SHA-1 of "abc": FIPS 180-2, appendix A.1: a9993e36 4706816a ba3e2571 7850c26c 9cd0d89d.
        let json = made(&[Attachment { form: Form::Pdf, bytes: b"abc" }]).unwrap().json;
        let form = &json["presentedForm"][0];
        assert_eq!((&form["data"], &form["size"]), (&json!("YWJj"), &json!(3)));
        assert_eq!(form["hash"], "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
        assert_eq!(json["code"]["coding"][0]["code"], "107931-8");
        assert_eq!(
            json["meta"]["profile"][0],
            "http://hl7.org/fhir/uv/cgm/StructureDefinition/cgm-summary-pdf"
        );
        let panel = resources(&outcome(), Status::Final, Wording::Full).remove(0);
        assert_eq!(json["result"][0]["reference"], panel.full_url().as_str());
    }

    #[test]
    fn a_page_without_a_pdf_claims_no_profile_that_demands_one() {
        let page = Attachment { form: Form::Html, bytes: b"<p>" };
        let json = made(&[page]).unwrap().json;
        assert!(json.get("meta").is_none());
        assert_eq!(json["presentedForm"][0]["contentType"], "text/html; charset=utf-8");
        let both = made(&[page, Attachment { form: Form::Pdf, bytes: b"%PDF" }]).unwrap();
        assert!(both.json.get("meta").is_some());
    }

    #[test]
    fn what_is_empty_or_too_large_is_no_report() {
        let of = |bytes| made(&[Attachment { form: Form::Pdf, bytes }]).err();
        assert_eq!(made(&[]).err(), Some(ReportError::NoAttachment));
        assert_eq!(of(b""), Some(ReportError::Empty));
        let large = vec![b'x'; ATTACHMENT_BYTES_MOST + 1];
        assert_eq!(of(&large), Some(ReportError::TooLarge { bytes: large.len() }));
        assert_eq!(of(&large[1..]), None);
    }

    #[test]
    fn the_report_of_every_standing_may_leave() {
        let (outcome, subject) = (outcome(), subject());
        let (scope, attachments) =
            (Scope::of("main", "7", &outcome), &[Attachment { form: Form::Pdf, bytes: b"%PDF" }]);
        for status in [Status::Final, Status::Amended, Status::Corrected] {
            let json = report(&Report { scope, secret: &SECRET, subject: &subject, status, attachments });
            assert_eq!(minimize(Projection::CgmIg, &json.unwrap().json), Ok(()), "{status:?}");
        }
    }

    #[test]
    fn it_goes_to_an_ehr_in_both_releases_and_never_upstream() {
        let json = made(&[Attachment { form: Form::Pdf, bytes: &[7; 100_000] }]).unwrap().json;
        for release in Release::ALL {
            assert_eq!(minimize(Projection::CgmIg, &write(release, &json)), Ok(()));
        }
        assert!(minimize(Projection::UpstreamSummary, &json).is_err());
        let mut planted = json.clone();
        planted["conclusion"] = "Amy is well".into();
        assert!(minimize(Projection::CgmIg, &planted).is_err());
        let mut planted = json;
        planted["presentedForm"][0]["data"] = "Amy's report".into();
        assert!(minimize(Projection::CgmIg, &planted).is_err());
    }
}

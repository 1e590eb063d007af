//! `$outcomes`: the outcome of a patient over days that somebody asks for, computed now and kept nowhere.
//!
//! Invariants: everything is read at one moment; nothing is published, queued, counted or written; numbers, exclusions and
//! gaps are those that a publication of the same readings would have; an identifier in the answer is none of a published
//! outcome.
//!
//! Numbers: at most [`DAYS_MOST`] days. It takes milliseconds for two weeks and some tenths of a second for a year of a
//! sensor that measures every minute, so it belongs on a thread that may block.

use clinical::{
    calendar::LocalDay,
    fhir::{
        form::Form,
        identifier::SiteSecret,
        project::{ProjectionError, Version, project},
        projection::Projection,
        provenance::{Maker, Manifest, Reason},
        subject::Subject,
    },
    reading::Instant,
};
use fhir::{Code, Issue, Severity, issue};
use jiff::{Timestamp, civil::Date};
use outbox::Reader;
use serde_json::{Value, json};

use crate::{
    generation::Generation,
    pipeline::{PipelineError, look::look, resources::cited, serve::form_of},
};

/// Longest period.
pub const DAYS_MOST: u32 = 400;
/// The destination in the identifiers of an answer.
const ON_REQUEST: &str = "fhir:$outcomes";
/// Why such an outcome was made, in its Provenance.
const REASON: &str = "computed on request; kept nowhere";

/// The days that are asked for, in the zone of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    first: LocalDay,
    last: LocalDay,
}

impl Span {
    /// Of the parameters `days` with `end` (the last included date; today where it is absent), or `start` and `end`, both
    /// included. `today` is the date at the site.
    ///
    /// # Errors
    /// What of them is wrong.
    pub fn of(
        (days, start, end): (Option<&str>, Option<&str>, Option<&str>),
        today: Date,
    ) -> Result<Self, Issue> {
        let wrong =
            |name: &str, why: &str| Issue::error(Code::Value, why.to_owned()).at(format!("http.{name}"));
        let date = |name: &str, text: Option<&str>| match text {
            None => Ok(None),
            // A date of exactly ten characters: anything longer would have its time cut off unseen.
            Some(text) => match text.parse::<Date>().ok().filter(|date| date.to_string() == text) {
                Some(date) => Ok(Some(LocalDay::from_civil(date))),
                None => Err(wrong(name, "give a date, YYYY-MM-DD")),
            },
        };
        let (start, end) = (date("start", start)?, date("end", end)?);
        let last = end.unwrap_or_else(|| LocalDay::from_civil(today));
        let first = match (days, start) {
            (Some(_), Some(_)) => return Err(wrong("days", "give days or start, not both")),
            (None, None) => return Err(wrong("days", "give days, or start")),
            (None, Some(first)) => first,
            (Some(days), None) => {
                let counted = days.parse::<u32>().ok().filter(|count| (1..=DAYS_MOST).contains(count));
                let Some(counted) = counted else {
                    return Err(wrong("days", &format!("days is a number from 1 to {DAYS_MOST}")));
                };
                last.plus(1 - counted as i32)
            }
        };
        if last < first {
            return Err(wrong("start", "start is after end"));
        }
        if i64::from(last.0) - i64::from(first.0) >= i64::from(DAYS_MOST) {
            let why = format!("a period has at most {DAYS_MOST} days");
            return Err(Issue::error(Code::TooCostly, why).at("http.start"));
        }
        Ok(Self { first, last })
    }
}

/// What is asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Whose site.
    pub site: &'a str,
    /// The patient's number.
    pub patient: i64,
    /// `Patient/<id>`, for the subject.
    pub subject: &'a str,
    /// Which days.
    pub span: Span,
    /// By which policy; the site's where none is named.
    pub policy: Option<&'a str>,
}

/// The box that answers.
#[derive(Clone, Copy)]
pub struct Answerer<'a> {
    /// Its secret for identifiers.
    pub secret: &'a SiteSecret,
    /// Its id.
    pub box_id: &'a str,
    /// Now (ms UTC).
    pub now: i64,
}

/// The outcome as a collection Bundle: the guide's Observations with our own codes beside them, and the Provenance that
/// accounts for policy, exclusions, gaps and sensors. Where no reading counts it has no Observation and says so in an
/// OperationOutcome. Blocks; see the head.
///
/// # Errors
/// An unknown site, patient or policy; a defect.
pub fn outcomes(
    reader: &Reader,
    generation: &Generation,
    asked: &Asked<'_>,
    by: &Answerer<'_>,
) -> Result<Value, Issue> {
    let Some(site) = generation.site(asked.site) else {
        return Err(Issue::error(Code::NotFound, "the configuration in force has no such site"));
    };
    let id = asked.policy.unwrap_or(&site.policy);
    let Some(policy) = generation.policy(id) else {
        let why = "no policy of this name is in force; isthmus policy list shows them";
        return Err(Issue::error(Code::NotFound, why).at("http.policy"));
    };
    // Whoever was merged away has no readings: they count for another.
    let members = reader.members(asked.patient).map_err(|error| ours(&error.into()))?;
    let days = (&site.zone, asked.span.first, asked.span.last);
    let looked = look(reader, &members, days, policy).map_err(|error| ours(&error))?;
    let Some(looked) = looked else { return Ok(nothing(members.is_empty(), by.now)) };
    let form = Form { local_codes: true, ..form_of(generation, &site.id) };
    let sha256 = cited(&looked.listing.sha256);
    let version = Version {
        // Identifiers of their own, so that nobody takes this for what was published.
        destination: ON_REQUEST,
        outcome: &looked.outcome,
        policy,
        patient: &asked.patient.to_string(),
        subject: &Subject::Reference(asked.subject.to_owned()),
        secret: by.secret,
        version: 1,
        supersedes: None,
        reason: Reason::First,
        sessions: &looked.sessions,
        app_events: &looked.app_events,
        manifest: Manifest { count: looked.listing.count, sha256: &sha256 },
        maker: Maker { box_id: by.box_id, software: env!("CARGO_PKG_VERSION") },
        recorded: Instant(by.now),
    };
    let items = project(Projection::CgmIg, &form, &version).map_err(|error| made(&error))?;
    // Of days that are not over more may come.
    let is_open = asked.span.last >= site.zone.day_of(Instant(by.now));
    let entries: Vec<Value> = items
        .iter()
        .filter_map(|item| {
            let mut resource = item.resource()?.clone();
            if resource["resourceType"] == "Provenance" {
                resource["reason"] = json!([{ "text": REASON }]);
            } else if is_open && resource["status"] == "final" {
                resource["status"] = "preliminary".into();
            }
            Some(json!({ "fullUrl": item.full_url(), "resource": resource }))
        })
        .collect();
    Ok(bundle(entries, by.now))
}

/// Nothing counts: an answer, and no fault.
fn nothing(merged: bool, now: i64) -> Value {
    let why = match merged {
        true => "The patient was merged into another, who has the readings: see Patient.link.",
        false => "No reading of the period counts.",
    };
    let issue = Issue { severity: Severity::Information, ..Issue::error(Code::Informational, why) };
    bundle(vec![json!({ "resource": issue::outcome(&[issue]) })], now)
}

fn bundle(entries: Vec<Value>, now: i64) -> Value {
    let mut json = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    if let Ok(at) = Timestamp::from_millisecond(now) {
        json["timestamp"] = format!("{at:.3}").into();
    }
    json
}

/// A fault of the store or of what is stored. What it is stands in no answer.
fn ours(error: &PipelineError) -> Issue {
    match error {
        PipelineError::Calendar(_) => {
            Issue::error(Code::Value, "the period lies outside the years 1 to 9998").at("http.end")
        }
        PipelineError::Read(_) | PipelineError::Write(_) => {
            Issue::error(Code::Transient, "the store could not be read; try again")
        }
        _ => Issue::error(Code::Exception, "the stored readings could not be computed"),
    }
}

fn made(_: &ProjectionError) -> Issue {
    Issue::error(Code::Exception, "the resources could not be made; this is a defect of isthmus")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_days_up_to_a_date_or_two_dates_and_never_longer_than_may_be_asked() {
        let today = "2026-03-14".parse().unwrap();
        let span = |days, start, end| Span::of((days, start, end), today);
        let days = |first: &str, last: &str| {
            let day = |text: &str| LocalDay::from_civil(text.parse().unwrap());
            Ok(Span { first: day(first), last: day(last) })
        };
        assert_eq!(span(Some("14"), None, None), days("2026-03-01", "2026-03-14"));
        assert_eq!(span(Some("1"), None, Some("2024-02-29")), days("2024-02-29", "2024-02-29"));
        assert_eq!(span(None, Some("2026-03-01"), None), days("2026-03-01", "2026-03-14"));
        assert!(span(Some("400"), None, None).is_ok());
        assert!(span(None, Some("2025-02-08"), Some("2026-03-14")).is_ok(), "400 days");
        for (days, start, end, place) in [
            (None, None, None, "http.days"),
            (None, None, Some("2026-03-14"), "http.days"),
            (Some("14"), Some("2026-03-01"), None, "http.days"),
            (Some("0"), None, None, "http.days"),
            (Some("401"), None, None, "http.days"),
            (Some("-1"), None, None, "http.days"),
            (Some("14"), None, Some("2026-02-30"), "http.end"),
            (Some("14"), None, Some("2026-03-14T10:00:00Z"), "http.end"),
            (None, Some("2026-03-15"), None, "http.start"),
            (None, Some("2025-02-07"), Some("2026-03-14"), "http.start"),
        ] {
            let issue = span(days, start, end).unwrap_err();
            assert!(issue.is_error() && issue.expression == place, "{days:?} {start:?} {end:?}: {issue:?}");
        }
    }
}

//! A decision of the consent ledger as a Consent (R4): the mapping of [`super::consent`] the other way round.
//!
//! Invariants: what is written here is read there as the same decision; what people wrote about a decision (why, on whose
//! behalf) is not in it; the same decision is the same bytes.
//!
//! A decision for a time is written with its end included, as FHIR's Period has it: one millisecond before what it is
//! before.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::consent::{ACT_CODE, ACT_REASON, LOINC, Purpose, SCOPE};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may leave.
    Permit,
    /// It may not.
    Deny,
    /// What had been permitted counts no more.
    Ended,
}

/// A decision. Times in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit<'a> {
    /// `Patient/<id>`.
    pub patient: &'a str,
    /// For what.
    pub purpose: Purpose,
    /// What.
    pub decision: Decision,
    /// When it was recorded.
    pub at: i64,
    /// From then on, where a time was named.
    pub from: Option<i64>,
    /// And before then.
    pub until: Option<i64>,
}

/// The Consent, without `id`; `None` where a time lies outside the years 1 to 9999.
pub fn consent(permit: &Permit<'_>) -> Option<Value> {
    let deny = permit.decision == Decision::Deny;
    let codings = |codes: &[&str]| -> Vec<Value> {
        codes.iter().map(|code| json!({ "system": ACT_REASON, "code": code })).collect()
    };
    let purposes = match permit.purpose {
        Purpose::Treatment => codings(&["TREAT"]),
        Purpose::Analytics => codings(&["HOPERAT", "HRESCH"]),
        Purpose::Payment => codings(&["HPAYMT"]),
    };
    let mut provision = json!({ "type": if deny { "deny" } else { "permit" }, "purpose": purposes });
    let mut period = Map::new();
    if let Some(from) = permit.from {
        period.insert("start".into(), moment(from)?.into());
    }
    if let Some(until) = permit.until {
        period.insert("end".into(), moment(until - 1)?.into());
    }
    if !period.is_empty() {
        provision["period"] = Value::Object(period);
    }
    Some(json!({
        "resourceType": "Consent",
        "status": if permit.decision == Decision::Ended { "inactive" } else { "active" },
        "scope": { "coding": [{ "system": SCOPE, "code": "patient-privacy" }] },
        "category": [{ "coding": [{ "system": LOINC, "code": "59284-0" }] }],
        "patient": { "reference": permit.patient },
        "dateTime": moment(permit.at)?,
        "policyRule": { "coding": [{ "system": ACT_CODE, "code": if deny { "OPTOUT" } else { "OPTIN" } }] },
        "provision": provision,
    }))
}

fn moment(ms: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(ms).ok()?;
    let year = at.to_zoned(jiff::tz::TimeZone::UTC).year();
    (1..=9_999).contains(&year).then(|| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::fhir::consent::{Rule, read};

    #[test]
    fn what_is_written_is_read_as_the_same_decision() {
        let beside = [json!({ "resource": {
            "resourceType": "Patient", "id": "1-0", "identifier": [{ "system": "urn:mr", "value": "1" }],
        } })];
        for purpose in Purpose::ALL {
            for (decision, permits) in
                [(Decision::Permit, Some(true)), (Decision::Deny, Some(false)), (Decision::Ended, None)]
            {
                for (from, until) in [(None, None), (Some(1_000_000_000_123), Some(1_900_000_000_001))] {
                    let permit = Permit {
                        patient: "Patient/1-0",
                        purpose,
                        decision,
                        at: 1_750_000_000_000,
                        from,
                        until,
                    };
                    let json = consent(&permit).unwrap();
                    let read = read(&json, &beside, &TimeZone::UTC).unwrap();
                    let rules: Vec<Rule> =
                        permits.map(|permit| Rule { purpose, permit, from, until }).into_iter().collect();
                    assert_eq!(read.rules, rules, "{permit:?}");
                    assert_eq!((read.changed_at, read.patient.len()), (Some(1_750_000_000_000), 1));
                }
            }
        }
    }

    #[test]
    fn a_time_that_fhir_cannot_write_makes_none() {
        let permit = Permit {
            patient: "Patient/1-0",
            purpose: Purpose::Treatment,
            decision: Decision::Permit,
            at: i64::MAX,
            from: None,
            until: None,
        };
        assert_eq!(consent(&permit), None);
    }
}

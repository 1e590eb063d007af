//! The searches that are measured. Pure.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    client,
    fill::Filled,
    phase::Asked,
    resource::{self, SYSTEM, chance},
};

/// Days of a search for a span.
const SPAN_DAYS: i64 = 2;

/// Each shape with its name; `deep` are the links of pages far behind.
pub(super) fn shapes(filled: &Arc<Filled>, deep: Vec<String>) -> Vec<(&'static str, Asked)> {
    let of = |search: fn(&Filled, u64) -> String| {
        let filled = Arc::clone(filled);
        Asked::new(200, move |connection, n, out| client::get(out, &search(&filled, chance(connection, n))))
    };
    let mut shapes = vec![
        ("patient+code+date", of(patient_code_date)),
        ("patient", of(|filled, n| format!("Observation?patient={}", patient(filled, n)))),
        ("identifier", of(identifier)),
        ("code", of(|_, _| "Observation?code=http://loinc.org%7C15074-8".to_owned())),
        ("status=preliminary", of(|_, _| "Observation?status=preliminary".to_owned())),
        (
            "patient+status=final",
            of(|filled, n| format!("Observation?patient={}&status=final", patient(filled, n))),
        ),
        (
            "_lastUpdated=gt",
            of(|filled, n| format!("Observation?_lastUpdated=gt{}", instant(filled.taken_ms(n)))),
        ),
        ("_lastUpdated, nothing new", of(|_, _| "Observation?_lastUpdated=gt2100-01-01".to_owned())),
        ("_sort=_lastUpdated", of(|_, _| "Observation?_sort=_lastUpdated".to_owned())),
        (
            "patient, _total=accurate",
            of(|filled, n| format!("Observation?patient={}&_total=accurate", patient(filled, n))),
        ),
        ("code+status=preliminary", of(|_, _| "Observation?code=99504-3&status=preliminary".to_owned())),
        (
            "code+status, finds nothing",
            of(|_, _| "Observation?code=99504-3&status=entered-in-error".to_owned()),
        ),
        ("wide, finds nothing", of(|_, _| "Observation?code=99504-3&value-quantity=gt900".to_owned())),
        (
            "patient, _include=subject",
            of(|filled, n| {
                format!("Observation?patient={}&_include=Observation:subject", patient(filled, n))
            }),
        ),
        (
            "patient, _revinclude=Provenance",
            of(|filled, n| {
                format!("Observation?patient={}&_revinclude=Provenance:target", patient(filled, n))
            }),
        ),
    ];
    if !deep.is_empty() {
        let deep = Asked::new(200, move |connection, n, out| {
            client::get(out, &deep[(chance(connection, n) % deep.len() as u64) as usize]);
        });
        shapes.push(("deep page of 1,000", deep));
    }
    shapes
}

/// What apps ask for most, in turn.
pub(super) fn mixed(filled: &Arc<Filled>) -> Asked {
    let filled = Arc::clone(filled);
    Asked::new(200, move |connection, n, out| {
        let by = chance(connection, n);
        let path = match n % 4 {
            0 | 1 => patient_code_date(&filled, by),
            2 => identifier(&filled, by),
            _ => format!("Observation?_lastUpdated=gt{}&_count=20", instant(filled.taken_ms(by))),
        };
        client::get(out, &path);
    })
}

fn patient(filled: &Filled, n: u64) -> &str {
    &filled.patients[(n % filled.patients.len() as u64) as usize]
}

fn patient_code_date(filled: &Filled, n: u64) -> String {
    let steps = (n >> 32) % filled.readings_of_one();
    let from = (resource::FIRST_S + steps as i64 * resource::STEP_S) * 1_000;
    let until = from + SPAN_DAYS * 24 * 3_600_000;
    format!(
        "Observation?patient={}&code=http://loinc.org%7C99504-3&date=ge{}&date=lt{}",
        patient(filled, n),
        instant(from),
        instant(until)
    )
}

fn identifier(filled: &Filled, n: u64) -> String {
    format!("Observation?identifier={SYSTEM}%7Cf{}", n % filled.observations)
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

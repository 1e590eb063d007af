//! The count at the end: what was acknowledged against what the store holds and the receivers were told.
//!
//! Invariants: the daemon is stopped while its store is read; what is expected comes from the acknowledged
//! bytes alone (`expected`), what was written from the stand-ins' own records. Numbers: shares and means agree
//! within [`TOLERANCE`], because they are written with two decimals and shares are made to sum to 100.00.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use jiff::civil::Date;
use outbox::{Key, KeyError, OpenError, PatientKey, ReadError, Reader, State, Store, StoreOptions};
use serde_json::Value;
use standin::{Ehr, engine::Oracle};

use super::expected::{Expected, Ledger, WindowOf};
use crate::time;

/// Half a hundredth by rounding, one by the sum, a hair by floating point.
const TOLERANCE: f64 = 0.0151;
/// Messages read from the store at once.
const BATCH: usize = 2_000;
/// Their bytes.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Outcomes of one patient: a year has 379 windows of 14 days.
const OUTCOMES_MAX: usize = 10_000;
/// UTC days that hold any reading: years 1 to 9998.
const DAYS: (i32, i32) = (-719_162, 2_932_531);

/// Why the store could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Its key could not be read.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// It could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// It could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
}

/// What was found in the store and at the receivers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Audit {
    /// Messages stored.
    pub(super) stored: u64,
    /// Acknowledged messages that are not stored.
    pub(super) messages_missing: u64,
    /// Acknowledged messages that are stored more than once.
    pub(super) stored_twice: u64,
    /// Readings stored.
    pub(super) readings: u64,
    /// Acknowledged readings that are not stored.
    pub(super) readings_missing: u64,
    /// Versions of outcomes made.
    pub(super) outcomes: u64,
    /// Messages or parts of them in quarantine.
    pub(super) quarantined: u64,
    /// Writes that ended neither delivered nor superseded.
    pub(super) stranded: u64,
    /// Windows that should stand at each receiver.
    pub(super) windows: u64,
    /// Windows that do not stand at the EHR with the values they should have.
    pub(super) wrong_at_ehr: u64,
    /// The same at the upstream, where patients have no names.
    pub(super) wrong_upstream: u64,
}

impl Audit {
    /// Everything that was lost on the way.
    pub(super) fn lost(&self) -> u64 {
        self.messages_missing
            + self.readings_missing
            + self.stranded
            + self.wrong_at_ehr
            + self.wrong_upstream
    }

    /// Counts the store in `dir` and the resources that stand at the receivers.
    ///
    /// # Errors
    /// [`AuditError`] where the store cannot be read: it is open elsewhere, for instance.
    pub(super) fn take(
        dir: &Path,
        oracle: &Oracle,
        ledger: &Ledger,
        windows: &BTreeMap<WindowOf, Expected>,
        ehr: &Ehr,
        upstream: &Ehr,
    ) -> Result<Self, AuditError> {
        let (key, _loose_mode) = Key::from_file(&dir.join("db.key"))?;
        let store = Store::open(&dir.join("data"), key, StoreOptions::default(), time::now_ms())?;
        let readers = store.readers();
        let mut audit = readers.with(|reader| {
            let mut audit = Self { windows: windows.len() as u64, ..Self::default() };
            audit.count_messages(reader, oracle)?;
            audit.count_readings(reader, ledger)?;
            let counts = reader.counts()?;
            audit.quarantined = counts.quarantine;
            let settled = [State::Delivered, State::Superseded];
            audit.stranded = State::ALL
                .iter()
                .filter(|state| !settled.contains(state))
                .map(|state| counts.rows(*state))
                .sum();
            Ok(audit)
        })?;
        store.close();
        audit.wrong_at_ehr = wrong_at_ehr(windows, &standing(&ehr.resources()));
        audit.wrong_upstream = wrong_upstream(windows, &standing(&upstream.resources()));
        Ok(audit)
    }

    fn count_messages(&mut self, reader: &Reader, oracle: &Oracle) -> Result<(), ReadError> {
        let acknowledged = oracle.acknowledged();
        let mut copies: HashMap<&[u8], u64> = acknowledged.iter().map(|bytes| (&bytes[..], 0)).collect();
        let mut after = 0;
        loop {
            let messages = reader.messages_after(after, BATCH, BATCH_BYTES)?;
            let Some(last) = messages.last() else { break };
            after = last.id;
            self.stored += messages.len() as u64;
            for message in &messages {
                if let Some(count) = copies.get_mut(&message.body[..]) {
                    *count += 1;
                }
            }
        }
        self.messages_missing = copies.values().filter(|count| **count == 0).count() as u64;
        self.stored_twice = copies.values().map(|count| count.saturating_sub(1)).sum();
        Ok(())
    }

    fn count_readings(&mut self, reader: &Reader, ledger: &Ledger) -> Result<(), ReadError> {
        for (patient, expected) in ledger.counts() {
            let key = PatientKey {
                site: "main".to_owned(),
                system: "urn:oid:1.2.3".to_owned(),
                value: patient.to_owned(),
            };
            let Some(id) = reader.find_patient(&key)? else {
                self.readings_missing += expected;
                continue;
            };
            let chunks = reader.chunks(id, DAYS.0, DAYS.1)?;
            let stored: u64 = chunks.iter().map(|chunk| u64::from(chunk.count)).sum();
            self.readings += stored;
            self.readings_missing += expected.saturating_sub(stored);
            let outcomes = reader.outcomes(id, OUTCOMES_MAX)?;
            self.outcomes += outcomes.iter().map(|outcome| outcome.window.version.max(0) as u64).sum::<u64>();
        }
        Ok(())
    }
}

/// What stands at a receiver: the metrics of each window, by subject and last day.
fn standing(resources: &[Value]) -> BTreeMap<WindowOf, Expected> {
    let mut found: BTreeMap<WindowOf, Expected> = BTreeMap::new();
    for resource in resources.iter().filter(|resource| resource["resourceType"] == "Observation") {
        let subject = resource["subject"]["identifier"]["value"].as_str();
        let end = resource["effectivePeriod"]["end"].as_str().and_then(|end| end.parse::<Date>().ok());
        let code = resource["code"]["coding"][0]["code"].as_str();
        let (Some(subject), Some(end), Some(code)) = (subject, end, code) else { continue };
        let nothing = Expected { shares_pct: [f64::NAN; 5], mean_mg_dl: f64::NAN, days_of_wear: 0 };
        let window = found.entry((subject.to_owned(), end)).or_insert(nothing);
        let value = |of: &Value| of["valueQuantity"]["value"].as_f64().unwrap_or(f64::NAN);
        match code {
            "97507-8" => window.mean_mg_dl = value(resource),
            "104636-6" => window.days_of_wear = value(resource) as u32,
            "106793-3" => {
                for (place, code) in
                    ["104642-4", "104641-6", "97510-2", "104640-8", "104639-0"].iter().enumerate()
                {
                    let components = resource["component"].as_array().map(Vec::as_slice).unwrap_or_default();
                    let named = components.iter().find(|c| c["code"]["coding"][0]["code"] == *code);
                    window.shares_pct[place] = named.map_or(f64::NAN, &value);
                }
            }
            _ => {}
        }
    }
    found
}

/// Windows that are absent or say something else, and windows that nobody asked for.
fn wrong_at_ehr(expected: &BTreeMap<WindowOf, Expected>, standing: &BTreeMap<WindowOf, Expected>) -> u64 {
    let wrong = expected.iter().filter(|(window, e)| !standing.get(window).is_some_and(|s| agrees(e, s)));
    let unasked = standing.keys().filter(|window| !expected.contains_key(window));
    (wrong.count() + unasked.count()) as u64
}

/// The same where subjects are pseudonyms: the windows of each last day, whoever's they are, in order of mean.
fn wrong_upstream(expected: &BTreeMap<WindowOf, Expected>, standing: &BTreeMap<WindowOf, Expected>) -> u64 {
    let by_end = |windows: &BTreeMap<WindowOf, Expected>| {
        let mut days: BTreeMap<Date, Vec<Expected>> = BTreeMap::new();
        for ((_, end), window) in windows {
            days.entry(*end).or_default().push(window.clone());
        }
        days.values_mut().for_each(|day| day.sort_by(|a, b| a.mean_mg_dl.total_cmp(&b.mean_mg_dl)));
        days
    };
    let (expected, mut standing) = (by_end(expected), by_end(standing));
    let mut wrong = 0;
    for (end, expected) in expected {
        let stand = standing.remove(&end).unwrap_or_default();
        let agreeing = expected.iter().zip(&stand).filter(|(e, s)| agrees(e, s)).count();
        wrong += expected.len().max(stand.len()) - agreeing;
    }
    (wrong + standing.values().map(Vec::len).sum::<usize>()) as u64
}

fn agrees(expected: &Expected, standing: &Expected) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= TOLERANCE;
    expected.days_of_wear == standing.days_of_wear
        && near(expected.mean_mg_dl, standing.mean_mg_dl)
        && expected.shares_pct.iter().zip(standing.shares_pct).all(|(e, s)| near(*e, s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use serde_json::json;

    fn window(mean: f64) -> Expected {
        Expected { shares_pct: [0.0, 10.0, 80.0, 10.0, 0.0], mean_mg_dl: mean, days_of_wear: 14 }
    }

    fn windows(of: &[(&str, i8, f64)]) -> BTreeMap<WindowOf, Expected> {
        of.iter().map(|(who, day, mean)| (((*who).to_owned(), date(2025, 1, *day)), window(*mean))).collect()
    }

    #[test]
    fn a_window_that_is_absent_wrong_or_unasked_is_counted() {
        let expected = windows(&[("a", 1, 120.0), ("b", 1, 150.0)]);
        for (standing, at_ehr, upstream) in [
            (windows(&[("a", 1, 120.01), ("b", 1, 149.99)]), 0, 0),
            (windows(&[("a", 1, 120.0)]), 1, 1),
            (windows(&[("a", 1, 120.0), ("b", 1, 150.1)]), 1, 1),
            (windows(&[("a", 1, 120.0), ("b", 1, 150.0), ("b", 2, 150.0)]), 1, 1),
            // The other patient's values: only where patients have names is it seen.
            (windows(&[("a", 1, 150.0), ("b", 1, 120.0)]), 2, 0),
        ] {
            assert_eq!(wrong_at_ehr(&expected, &standing), at_ehr, "{standing:?}");
            assert_eq!(wrong_upstream(&expected, &standing), upstream, "{standing:?}");
        }
    }

    #[test]
    fn what_stands_is_read_from_the_observations() {
        let observation = |code: &str, rest: Value| {
            let mut resource = json!({
                "resourceType": "Observation", "code": { "coding": [{ "code": code }] },
                "subject": { "identifier": { "value": "7" } }, "effectivePeriod": { "end": "2025-01-10" },
            });
            resource.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            resource
        };
        let share = |code: &str, value: f64| json!({ "code": { "coding": [{ "code": code }] }, "valueQuantity": { "value": value } });
        let resources = [
            observation("97507-8", json!({ "valueQuantity": { "value": 120.00 } })),
            observation("104636-6", json!({ "valueQuantity": { "value": 14 } })),
            observation(
                "106793-3",
                json!({ "component": [
                    share("104639-0", 0.0), share("104642-4", 0.0), share("104641-6", 10.0),
                    share("97510-2", 80.0), share("104640-8", 10.0),
                ]}),
            ),
        ];
        assert_eq!(standing(&resources), windows(&[("7", 10, 120.0)]));
        assert!(!agrees(&window(120.0), &standing(&resources[..1])[&("7".to_owned(), date(2025, 1, 10))]));
    }
}

//! What stands in the chart: Observations read from the stand-in's own memory.

use std::collections::BTreeMap;

use serde_json::Value;
use standin::{Ehr, Record};

/// LOINC of the mean in mg/dL.
pub const MEAN: &str = "97507-8";
/// LOINC of the panel whose components are the times in ranges.
pub const TIME_IN_TARGET: &str = "97510-2";

/// A number in the chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// As a number.
    pub value: f64,
    /// `final` or `amended`.
    pub status: String,
    /// Counted by the server, from 1.
    pub version: u64,
    /// The server's id.
    pub id: String,
}

/// The mean of the patient's window that ends on this day; there must be one Observation at most.
pub fn mean(ehr: &Ehr, mrn: &str, last_day: &str) -> Option<Standing> {
    let resources = ehr.resources();
    let mut found = resources.iter().filter(|resource| {
        resource["code"]["coding"][0]["code"] == MEAN
            && resource["subject"]["identifier"]["value"] == mrn
            && resource["effectivePeriod"]["end"] == last_day
    });
    let resource = found.next()?;
    assert!(found.next().is_none(), "the mean of one window stands twice");
    Some(Standing {
        value: resource["valueQuantity"]["value"].as_f64().unwrap(),
        status: resource["status"].as_str().unwrap().to_owned(),
        version: resource["meta"]["versionId"].as_str().unwrap().parse().unwrap(),
        id: resource["id"].as_str().unwrap().to_owned(),
    })
}

/// The share of time in target, in per cent.
pub fn in_target(ehr: &Ehr, mrn: &str, last_day: &str) -> Option<f64> {
    let resources = ehr.resources();
    let of_window = resources.iter().filter(|resource| {
        resource["subject"]["identifier"]["value"] == mrn && resource["effectivePeriod"]["end"] == last_day
    });
    let mut components =
        of_window.flat_map(|resource| resource["component"].as_array().into_iter().flatten());
    let component = components.find(|component| component["code"]["coding"][0]["code"] == TIME_IN_TARGET)?;
    component["valueQuantity"]["value"].as_f64()
}

/// Every number in the chart by subject, code and period; statuses, versions and ids aside.
pub fn numbers(ehr: &Ehr) -> BTreeMap<[String; 4], String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resources = ehr.resources();
    let observations = resources.iter().filter(|resource| resource["resourceType"] == "Observation");
    let mut numbers = BTreeMap::new();
    for observation in observations {
        let period = &observation["effectivePeriod"];
        let key = [
            text(&observation["subject"]["identifier"]["value"]),
            text(&observation["code"]["coding"][0]["code"]),
            text(&period["start"]),
            text(&period["end"]),
        ];
        let said =
            ["valueQuantity", "component", "dataAbsentReason"].map(|part| observation[part].to_string());
        assert!(numbers.insert(key.clone(), said.join(" ")).is_none(), "stands twice: {key:?}");
    }
    numbers
}

/// The requests that asked for a change.
pub fn writes(ehr: &Ehr) -> Vec<Record> {
    ehr.log().records().iter().filter(|record| record.is_write).cloned().collect()
}

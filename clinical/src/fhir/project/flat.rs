//! An Observation for each mapped row: a flowsheet, or results whose interface refuses components.
//!
//! Each says one number as of the end of the window. It has no place for the window itself, so the form decides which
//! length goes, and where words are allowed a sentence tells the period.

use serde_json::{Value, json};

use super::{Made, ProjectionError, Search, Version, glucose_of, status, time};
use crate::fhir::{
    form::{Form, RowCode},
    projection::{Kind, Projection},
    quantity::{UCUM, number},
    row::{Row, RowValue},
    summary::Resource,
};

/// One Observation for each mapped row that has a value; the order is that of [`Row::ALL`].
pub(super) fn results(
    projection: Projection,
    form: &Form,
    version: &Version<'_>,
) -> Result<Vec<Made>, ProjectionError> {
    let (status, end) = (status(form, version)?, time::end(version.outcome)?);
    let day = time::last_day(version.outcome)?;
    let scope = version.scope(projection);
    let mut made = Vec::new();
    for entry in Row::ALL.iter().filter_map(|row| form.row(*row)) {
        let Some(value) = entry.row.value(version.outcome, glucose_of(form, entry)) else { continue };
        let (name, value) = written(entry, value);
        let identifier = scope.named(version.secret, entry.row.slug());
        let coding = json!({ "system": entry.coding.system, "code": entry.coding.code });
        let category = json!({ "system": form.category_system.uri(), "code": form.category.code() });
        let mut json = json!({
            "resourceType": "Observation",
            "identifier": [identifier.to_json()],
            "status": status.code(),
            "category": [{ "coding": [category] }],
            "code": { "coding": [coding], "text": entry.row.title() },
            "subject": version.subject.to_json(),
            "effectiveDateTime": end,
            name: value,
        });
        if form.notes {
            json["note"] = json!([{ "text": sentence(version) }]);
        }
        made.push(Made {
            slug: entry.row.slug().to_owned(),
            kind: Kind::Observation,
            category: form.category.code(),
            reconcile: Search::Content {
                parameter: "code",
                token: format!("{}|{}", entry.coding.system, entry.coding.code),
                when: "date",
                day,
            },
            resource: Resource { metric: None, json, identifier },
        });
    }
    if made.is_empty() { Err(ProjectionError::Nothing) } else { Ok(made) }
}

/// The element of a value.
fn written(entry: &RowCode, value: RowValue) -> (&'static str, Value) {
    match value {
        RowValue::Date(date) if entry.as_text => ("valueString", date.into()),
        RowValue::Date(date) => ("valueDateTime", date.into()),
        RowValue::Number(value, unit) => {
            let (code, _) = unit.code_and_text();
            let text = entry.unit.map_or(code, |text| text.text());
            let quantity = json!({ "value": number(value), "unit": text, "system": UCUM, "code": code });
            ("valueQuantity", quantity)
        }
    }
}

/// What the number is of. It names no version: a number that a later one leaves as it is need not be written again.
fn sentence(version: &Version<'_>) -> String {
    let period = &version.outcome.period;
    format!(
        "CGM of {} to {} ({} days), policy {}.",
        period.first_date, period.last_date, period.days, version.outcome.policy.id
    )
}

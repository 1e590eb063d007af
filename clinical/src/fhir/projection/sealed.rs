//! The allow-list closed further by what a site chose: codes, performer and dates are those of its form; and by what a
//! pseudonym is for.

use serde_json::Value;

use super::{Leak, Projection, minimize};
use crate::fhir::form::{Coding, Dates, Form};

/// How a moment ends that tells a day alone.
const MIDNIGHT: &str = "T00:00:00Z";

/// As [`minimize`], and what the form chose is what stands there: a code of a row is one of its map, a performer and an
/// author are its performer, a document has its type, no date is told to the day where dates are months, and no Provenance
/// has a hash or a moment of its own beside a pseudonym.
///
/// # Errors
/// As [`minimize`].
pub fn sealed(projection: Projection, form: &Form, value: &Value) -> Result<(), Leak> {
    minimize(projection, value)?;
    let leak = |path: &str| Leak { projection: projection.name(), path: path.to_owned() };
    match value["resourceType"].as_str().unwrap_or_default() {
        "Bundle" => {
            for entry in value["entry"].as_array().into_iter().flatten() {
                sealed(projection, form, &entry["resource"])?;
            }
        }
        "Observation" => {
            if projection.flat() && !all(&value["code"]["coding"], |coding| of_rows(form, coding)) {
                return Err(leak("Observation.code.coding"));
            }
            if !all(&value["performer"], |performer| is_performer(form, performer)) {
                return Err(leak("Observation.performer"));
            }
            if form.dates == Dates::Month && value.get("effectivePeriod").is_some() {
                return Err(leak("Observation.effectivePeriod"));
            }
        }
        // A person's own words go only where notes go.
        "DocumentReference" if projection == Projection::Intent && !form.notes => {
            return Err(leak("DocumentReference.content"));
        }
        "DocumentReference" => {
            if !all(&value["type"]["coding"], |coding| same(&form.document, coding)) {
                return Err(leak("DocumentReference.type.coding"));
            }
            if !all(&value["author"], |author| is_performer(form, author)) {
                return Err(leak("DocumentReference.author"));
            }
        }
        "Provenance" if !form.provenance => return Err(leak("Provenance")),
        // What others are told of the same version would lead from a pseudonym to a name.
        "Provenance" if projection == Projection::UpstreamSummary => {
            if value["recorded"].as_str().is_some_and(|recorded| !recorded.ends_with(MIDNIGHT)) {
                return Err(leak("Provenance.recorded"));
            }
            if value["entity"].to_string().contains(r#""sha256""#) {
                return Err(leak("Provenance.entity.extension.extension.url"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// True where it is not there, or a list of what holds; an element in the place of a list could be anything.
fn all(list: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    list.is_null() || list.as_array().is_some_and(|list| list.iter().all(holds))
}

fn same(coding: &Coding, written: &Value) -> bool {
    written["system"] == coding.system.as_str() && written["code"] == coding.code.as_str()
}

fn of_rows(form: &Form, written: &Value) -> bool {
    form.rows.iter().any(|entry| same(&entry.coding, written))
}

fn is_performer(form: &Form, written: &Value) -> bool {
    form.performer.as_deref().is_some_and(|performer| written["reference"] == performer)
}

//! What a destination gets: which resources, in which requests, and not one element more.
//!
//! Invariants: a projection is a closed set of names; its allow-list names every element that may
//! leave, with the shape of its value where the value itself could tell too much. What is not listed is
//! an error and not a silent removal: it means that a builder and its list disagree, and somebody must
//! look before anything is sent.

use serde_json::{Map, Value};

mod allowed;
mod facts;
mod sealed;

use allowed::{Rule, rules};
pub use facts::{Amends, Kind, ProvenanceForm, Style};
pub use sealed::sealed;

/// Deepest element that is looked at. Ours end at eight; a deeper one is refused.
const MAX_DEPTH: usize = 16;

/// Longest element path in an error.
const MAX_PATH_CHARS: usize = 120;

/// A projection from the canonical form to what one kind of destination takes. What each is like stands in `facts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// The HL7 CGM guide as it stands: an EHR.
    CgmIg,
    /// The guide's Observations without a claim to its profiles, one by one: a plain FHIR R4 server.
    PlainR4,
    /// The same in R5.
    PlainR5,
    /// A row of a flowsheet for each number: Epic.
    EpicFlowsheet,
    /// A short note in plain text: Epic.
    EpicNote,
    /// A flat result for each number: Oracle Health Millennium.
    MillenniumLab,
    /// A short note in plain text: Oracle Health Millennium.
    MillenniumDocument,
    /// ORU^R01 of HL7 v2.5.1, over MLLP.
    OruR01,
    /// The upstream platform: pseudonymous subject, summaries, no words.
    UpstreamSummary,
    /// Single readings and single events, for a site that takes them beside the summaries. They have a list of their
    /// own, so that none of them can pass as a summary.
    CgmReadings,
    /// What a person at the site enters: a note, a goal, and who entered it. No site chooses it; a site that takes such
    /// writes does so beside its forms ([`super::intent`]).
    Intent,
}

/// An element that the projection does not list, or whose value has not the listed shape. It holds
/// element names only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the projection {projection} does not permit {path}")]
pub struct Leak {
    /// The projection's name.
    pub projection: &'static str,
    /// The element, `Observation.note.text`; shortened, and `?` for a name that is none.
    pub path: String,
}

/// Checks a resource, or a transaction Bundle with the resources in it, against the allow-list.
///
/// # Errors
/// At the first element that is not listed, or is empty, null, too deep, or of another shape than listed.
pub fn minimize(projection: Projection, value: &Value) -> Result<(), Leak> {
    let leak = |path: String| Leak { projection: projection.name(), path };
    let Value::Object(fields) = value else {
        return Err(leak("?".to_owned()));
    };
    let name = fields.get("resourceType").and_then(Value::as_str).unwrap_or("");
    let Some(rules) = rules(projection, name) else {
        return Err(leak("resourceType".to_owned()));
    };
    let walk = Walk { projection, rules, bundle: name == "Bundle" };
    walk.object(name, fields, 0)
}

/// One pass over one resource.
struct Walk {
    projection: Projection,
    rules: &'static [(&'static str, Rule)],
    bundle: bool,
}

impl Walk {
    fn leak(&self, path: &str) -> Leak {
        Leak { projection: self.projection.name(), path: path.chars().take(MAX_PATH_CHARS).collect() }
    }

    fn object(&self, path: &str, fields: &Map<String, Value>, depth: usize) -> Result<(), Leak> {
        if fields.is_empty() || depth > MAX_DEPTH {
            return Err(self.leak(path));
        }
        for (name, value) in fields {
            // A name with a point in it could pass for a path.
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(self.leak(&format!("{path}.?")));
            }
            self.value(&format!("{path}.{name}"), value, depth + 1)?;
        }
        Ok(())
    }

    fn value(&self, path: &str, value: &Value, depth: usize) -> Result<(), Leak> {
        match value {
            Value::Object(fields) if self.bundle && path == "Bundle.entry.resource" => {
                // A Bundle in a Bundle has no place in a transaction, and would recurse without end.
                if fields.get("resourceType").and_then(Value::as_str) == Some("Bundle") {
                    return Err(self.leak(path));
                }
                minimize(self.projection, value)
            }
            Value::Object(fields) => self.object(path, fields, depth),
            Value::Array(items) if !items.is_empty() && depth <= MAX_DEPTH => {
                items.iter().try_for_each(|item| self.value(path, item, depth + 1))
            }
            leaf => {
                let listed = self.rules.iter().find(|(listed, _)| *listed == path);
                match listed {
                    Some((_, rule)) if rule.permits(leaf) => Ok(()),
                    _ => Err(self.leak(path)),
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "projection_tests.rs"]
mod tests;

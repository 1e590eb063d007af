//! An OperationOutcome of a server, read with bounds.
//!
//! Its texts may repeat what was sent, a patient's identifier included: they are kept for the person who
//! looks at a refused write, and Debug shows severities and codes only.

use std::fmt;

use serde_json::Value;

/// Most issues that are kept. A server that lists more repeats itself.
pub const MAX_ISSUES: usize = 32;
/// Most expressions of one issue that are kept.
pub const MAX_EXPRESSIONS: usize = 8;
/// Longest text that is kept, in bytes: enough for a validator's sentence, too little for a page.
pub const MAX_TEXT_BYTES: usize = 2_048;
/// How far before "relationship" a negation may stand, in words ("no active patient relationship").
const NEGATION_REACH: usize = 4;

/// How bad an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The action failed and nothing more was checked.
    Fatal,
    /// The action failed.
    Error,
    /// The action may have succeeded.
    Warning,
    /// No relevance for success.
    Information,
    /// Missing, or not of FHIR's set.
    Unknown,
}

impl Severity {
    /// True unless the issue says of itself that it is no reason for a failure.
    pub const fn may_fail(self) -> bool {
        !matches!(self, Self::Warning | Self::Information)
    }
}

/// One issue. Absent texts are empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Issue {
    /// How bad.
    pub severity: Severity,
    /// FHIR's issue type: `forbidden`, `business-rule`; shortened.
    pub code: String,
    /// `details.text`, or the first coding's display; shortened.
    pub details: String,
    /// The first code of `details.coding`; shortened.
    pub details_code: String,
    /// For whoever looks after the server; shortened.
    pub diagnostics: String,
    /// Elements, by `expression` and then by the older `location`.
    pub expression: Vec<String>,
}

/// The issues of an OperationOutcome, at most [`MAX_ISSUES`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OperationOutcome {
    /// In the server's order.
    pub issues: Vec<Issue>,
}

impl fmt::Debug for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A code is one of FHIR's words; a text in its place could be anything.
        let is_word = self.code.len() <= 32 && self.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        write!(f, "{:?}/{}", self.severity, if is_word { self.code.as_str() } else { "?" })
    }
}

impl fmt::Debug for OperationOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.issues).finish()
    }
}

impl OperationOutcome {
    /// Reads an OperationOutcome; `None` for any other JSON. Missing and mistyped parts are empty.
    pub fn read(json: &Value) -> Option<Self> {
        if json.get("resourceType").and_then(Value::as_str) != Some("OperationOutcome") {
            return None;
        }
        let issues = list(&json["issue"]).take(MAX_ISSUES).map(Issue::read).collect();
        Some(Self { issues })
    }
}

impl Issue {
    fn read(json: &Value) -> Self {
        let details = &json["details"];
        let coding = &details["coding"][0];
        let written = text(&details["text"]);
        let expression = list(&json["expression"]).chain(list(&json["location"]));
        Self {
            severity: match json["severity"].as_str() {
                Some("fatal") => Severity::Fatal,
                Some("error") => Severity::Error,
                Some("warning") => Severity::Warning,
                Some("information") => Severity::Information,
                _ => Severity::Unknown,
            },
            code: text(&json["code"]),
            details: if written.is_empty() { text(&coding["display"]) } else { written },
            details_code: text(&coding["code"]),
            diagnostics: text(&json["diagnostics"]),
            expression: expression.take(MAX_EXPRESSIONS).map(text).collect(),
        }
    }

    fn names_patient(&self, identifier: &str) -> bool {
        let texts = [&self.details, &self.details_code, &self.diagnostics];
        self.expression.iter().any(|path| ends_at_patient(path))
            || texts.iter().any(|text| contains_word(text, identifier) || speaks_of_access(text))
    }
}

/// True where a refusal is about one patient rather than about the site: an issue points at the subject,
/// repeats the patient's identifier value, or speaks of break-the-glass or a missing relationship.
/// Warnings and information do not count: they are not why a write was refused.
pub fn names_patient(outcome: &OperationOutcome, identifier: &str) -> bool {
    outcome.issues.iter().any(|issue| issue.severity.may_fail() && issue.names_patient(identifier))
}

/// True where a refusal is about what the resource is filed under: an issue of type `code-invalid` that points at the
/// resource's own code (or a document's type), as of a flowsheet row that nobody mapped. Every patient's would be refused
/// alike, so it is a matter of configuration and not of one item's data.
pub fn names_code(outcome: &OperationOutcome) -> bool {
    let unmapped = |issue: &Issue| {
        issue.severity.may_fail()
            && issue.code == "code-invalid"
            && issue.expression.iter().any(|path| ends_at_code(path))
    };
    outcome.issues.iter().any(unmapped)
}

/// `Observation.code`, `Observation.code.coding[0].code`, `Bundle.entry[0].resource.component[1].code`; and not
/// `Observation.valueQuantity.code`, which is a unit.
fn ends_at_code(path: &str) -> bool {
    let names: Vec<&str> = path
        .split(['.', '/'])
        .map(|name| name.split(['[', '(']).next().unwrap_or_default())
        .map(|name| name.rsplit(':').next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect();
    let concept = match names.as_slice() {
        [before @ .., "coding", "code" | "system" | "display"] | [before @ .., "coding"] => before,
        all => all,
    };
    matches!(
        concept,
        [.., "Observation" | "DiagnosticReport" | "resource" | "component", "code"]
            | [.., "DocumentReference" | "resource", "type"]
    )
}

/// `Observation.subject`, `Bundle.entry[0].resource.subject.identifier`, `/f:Observation/f:subject`.
fn ends_at_patient(path: &str) -> bool {
    let mut names = path
        .split(['.', '/'])
        .map(|name| name.split(['[', '(']).next().unwrap_or_default())
        .map(|name| name.rsplit(':').next().unwrap_or_default())
        .rev()
        .skip_while(|name| matches!(*name, "" | "reference" | "identifier" | "value" | "@value"));
    matches!(names.next(), Some("subject" | "patient"))
}

/// True where `text` holds `word` with no letter or digit right before or after it, so that the
/// identifier `12` is not found in `2012`.
fn contains_word(text: &str, word: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// Words by which servers refuse access to one patient.
fn speaks_of_access(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let glass = words.windows(3).any(|w| w == ["break", "the", "glass"]) || words.contains(&"breaktheglass");
    // "don't have a relationship" leaves the word "t".
    let unrelated = words.iter().enumerate().any(|(at, word)| {
        matches!(*word, "relationship" | "relationships")
            && words[at.saturating_sub(NEGATION_REACH)..at]
                .iter()
                .any(|w| matches!(*w, "no" | "not" | "without" | "lacks" | "missing" | "t"))
    });
    glass || unrelated
}

/// The items of an array; one item for anything that is not null and no array; none for null.
fn list(json: &Value) -> impl Iterator<Item = &Value> {
    let (many, one) = match json {
        Value::Array(items) => (items.as_slice(), None),
        Value::Null => ([].as_slice(), None),
        other => ([].as_slice(), Some(other)),
    };
    many.iter().chain(one)
}

/// A text cut to [`MAX_TEXT_BYTES`] at a character's edge; empty for what is no text.
pub(super) fn text(json: &Value) -> String {
    let text = json.as_str().unwrap_or_default();
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

#[cfg(test)]
#[path = "issue_tests.rs"]
mod tests;

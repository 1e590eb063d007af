//! What the stand-in answers when it does not do what was asked: a status and an OperationOutcome.

use serde_json::{Value, json};

/// A refusal: HTTP status, FHIR issue type (`http://hl7.org/fhir/issue-type`), a sentence, and where
/// in the request the fault lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) diagnostics: String,
    pub(crate) expression: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, diagnostics: impl Into<String>) -> Self {
        Self { status, code, diagnostics: diagnostics.into(), expression: None }
    }

    pub(crate) fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// The request is not FHIR as this server reads it.
    pub(crate) fn invalid(diagnostics: impl Into<String>) -> Self {
        Self::new(400, "invalid", diagnostics)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(404, "not-found", format!("{what} is not known here"))
    }

    /// The OperationOutcome, one issue of severity error.
    pub(crate) fn outcome(&self) -> Value {
        let mut issue = json!({
            "severity": "error",
            "code": self.code,
            "diagnostics": self.diagnostics,
        });
        if let Some(expression) = &self.expression {
            issue["expression"] = json!([expression]);
        }
        json!({ "resourceType": "OperationOutcome", "issue": [issue] })
    }
}

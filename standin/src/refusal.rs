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
    /// `details.coding` of the issue, as system and code.
    pub(crate) coding: Option<&'static (&'static str, &'static str)>,
    /// The rule of a persona that was broken, for the log.
    pub(crate) rule: &'static str,
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<&'static str>,
}

/// What the log says of a refusal that no persona's rule stands behind: any FHIR server would refuse so.
pub(crate) const ANY_SERVER: &str = "any-server";

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, diagnostics: impl Into<String>) -> Self {
        Self {
            status,
            code,
            diagnostics: diagnostics.into(),
            expression: None,
            coding: None,
            rule: ANY_SERVER,
            challenge: None,
        }
    }

    /// A refusal by a named rule of a persona.
    pub(crate) fn by(
        rule: &'static str,
        status: u16,
        code: &'static str,
        diagnostics: impl Into<String>,
    ) -> Self {
        Self { rule, ..Self::new(status, code, diagnostics) }
    }

    pub(crate) fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// The fault lies in this element of a resource that itself stands at `place`.
    pub(crate) fn within(mut self, place: &str) -> Self {
        let own = self.expression.take();
        self.expression = Some(match own {
            Some(own) if place.starts_with("Bundle") => format!("{place}.resource.ofType({own})"),
            Some(own) => own,
            None => place.to_owned(),
        });
        self
    }

    pub(crate) fn coded(mut self, coding: &'static (&'static str, &'static str)) -> Self {
        self.coding = Some(coding);
        self
    }

    pub(crate) fn challenging(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
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
        if let Some((system, code)) = &self.coding {
            issue["details"] = json!({"coding": [{"system": system, "code": code}]});
        }
        json!({ "resourceType": "OperationOutcome", "issue": [issue] })
    }
}

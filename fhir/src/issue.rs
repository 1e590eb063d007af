//! Faults as FHIR tells them: OperationOutcome.issue (hl7.org/fhir/R4/operationoutcome.html, valueset-issue-type).

use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing was done, and nothing more could be looked at.
    Fatal,
    /// Nothing was done.
    Error,
    /// It was done; a person should look.
    Warning,
    /// It was done.
    Information,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fatal, Self::Error, Self::Warning, Self::Information];

    /// The code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// What is wrong, by the required value set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

codes! {
    /// The content is invalid, in no nearer way.
    Invalid = "invalid",
    /// Not to be read as FHIR's JSON.
    Structure = "structure",
    /// An element is missing.
    Required = "required",
    /// An element's value is invalid.
    Value = "value",
    /// A rule of the resource is broken.
    Invariant = "invariant",
    /// A rule of security.
    Security = "security",
    /// Nobody is known to ask.
    Login = "login",
    /// Who asks is unknown.
    Unknown = "unknown",
    /// What was shown has expired.
    Expired = "expired",
    /// Who asks may not.
    Forbidden = "forbidden",
    /// Something was left out for want of a right.
    Suppressed = "suppressed",
    /// It was not done, in no nearer way.
    Processing = "processing",
    /// It is not supported.
    NotSupported = "not-supported",
    /// It is there already.
    Duplicate = "duplicate",
    /// More than one matches.
    MultipleMatches = "multiple-matches",
    /// There is no such thing.
    NotFound = "not-found",
    /// It was there, and is no more.
    Deleted = "deleted",
    /// It is too long.
    TooLong = "too-long",
    /// A code is not known.
    CodeInvalid = "code-invalid",
    /// An extension is not understood.
    Extension = "extension",
    /// It would cost too much.
    TooCostly = "too-costly",
    /// A rule of the site.
    BusinessRule = "business-rule",
    /// It conflicts with what stands.
    Conflict = "conflict",
    /// It may work later.
    Transient = "transient",
    /// Somebody else holds it.
    LockError = "lock-error",
    /// The store did not take it.
    NoStore = "no-store",
    /// The fault is ours.
    Exception = "exception",
    /// It took too long.
    Timeout = "timeout",
    /// Not everything was done or found.
    Incomplete = "incomplete",
    /// Too many requests.
    Throttled = "throttled",
    /// Nothing is wrong.
    Informational = "informational",
}

/// One thing that is wrong, or worth knowing. Holds no value of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub code: Code,
    /// For people: what happened and what to do.
    pub diagnostics: String,
    /// Where: a FHIRPath such as `Observation.value.ofType(Quantity)`, or `http.PARAMETER`; empty where it is everything.
    pub expression: String,
}

impl Issue {
    /// An error.
    pub fn error(code: Code, diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, diagnostics: diagnostics.into(), expression: String::new() }
    }

    /// A warning.
    pub fn warning(code: Code, diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, diagnostics) }
    }

    /// The same, at this place.
    #[must_use]
    pub fn at(self, expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), ..self }
    }

    /// Whether nothing was done.
    pub fn is_error(&self) -> bool {
        matches!(self.severity, Severity::Fatal | Severity::Error)
    }

    /// One of an OperationOutcome of ours; `None` where it is none.
    pub fn read(json: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Self {
            severity: *Severity::ALL.iter().find(|it| json["severity"] == it.code())?,
            code: *Code::ALL.iter().find(|it| json["code"] == it.code())?,
            diagnostics: text(&json["diagnostics"]),
            expression: text(&json["expression"][0]),
        })
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "severity": self.severity.code(),
            "code": self.code.code(),
            "diagnostics": self.diagnostics,
        });
        if !self.expression.is_empty() {
            json["expression"] = json!([self.expression]);
        }
        json
    }
}

/// An OperationOutcome. Of no issues it says that nothing is wrong, because one at least is required.
pub fn outcome(issues: &[Issue]) -> Value {
    let nothing = [Issue {
        severity: Severity::Information,
        code: Code::Informational,
        diagnostics: "Nothing is wrong.".to_owned(),
        expression: String::new(),
    }];
    let issues = if issues.is_empty() { &nothing[..] } else { issues };
    json!({ "resourceType": "OperationOutcome", "issue": issues.iter().map(Issue::json).collect::<Vec<_>>() })
}

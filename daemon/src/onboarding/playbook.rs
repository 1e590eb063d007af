//! The steps of the trial, and what comes of one. Pure.

use serde::Serialize;

/// A step. The order is that of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Reachability, TLS, the certificate's end.
    Reach,
    /// The CapabilityStatement goes with the matrix.
    Statement,
    /// A token: lifetime, scopes, clock.
    Token,
    /// The test patient is found, once, with its birth date.
    Patient,
    /// An encounter to write under.
    Encounter,
    /// The writes of a form are taken.
    Write,
    /// What was written stands there.
    ReadBack,
    /// Decimals keep their places.
    Decimals,
    /// Moments keep their instant.
    Moments,
    /// A resend makes no second resource.
    Resend,
    /// A stale version is refused.
    Conflict,
    /// Glucose in either unit is not changed.
    Units,
    /// A window that ends on 29 February.
    LeapDay,
    /// A window that ends on a change of the clock.
    ClockChange,
    /// Kinds that are not permitted are refused.
    ForbiddenKinds,
    /// A code that nobody mapped is refused.
    UnmappedRow,
    /// What is no JSON is refused.
    Malformed,
    /// A patient that does not exist is refused.
    UnknownPatient,
    /// A write without a token is refused.
    WithoutToken,
    /// A write that no scope covers is refused.
    WithoutScope,
    /// A burst within the configured rate is not throttled.
    Throttle,
    /// How a lost answer would be treated.
    Timeout,
    /// What was written is taken back or listed.
    CleanUp,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 23] = [
        Self::Reach,
        Self::Statement,
        Self::Token,
        Self::Patient,
        Self::Encounter,
        Self::Write,
        Self::ReadBack,
        Self::Decimals,
        Self::Moments,
        Self::Resend,
        Self::Conflict,
        Self::Units,
        Self::LeapDay,
        Self::ClockChange,
        Self::ForbiddenKinds,
        Self::UnmappedRow,
        Self::Malformed,
        Self::UnknownPatient,
        Self::WithoutToken,
        Self::WithoutScope,
        Self::Throttle,
        Self::Timeout,
        Self::CleanUp,
    ];

    /// The name, as in `--only`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::Statement => "statement",
            Self::Token => "token",
            Self::Patient => "patient",
            Self::Encounter => "encounter",
            Self::Write => "write",
            Self::ReadBack => "read-back",
            Self::Decimals => "decimals",
            Self::Moments => "moments",
            Self::Resend => "resend",
            Self::Conflict => "conflict",
            Self::Units => "units",
            Self::LeapDay => "leap-day",
            Self::ClockChange => "clock-change",
            Self::ForbiddenKinds => "forbidden-kinds",
            Self::UnmappedRow => "unmapped-row",
            Self::Malformed => "malformed",
            Self::UnknownPatient => "unknown-patient",
            Self::WithoutToken => "without-token",
            Self::WithoutScope => "without-scope",
            Self::Throttle => "throttle",
            Self::Timeout => "timeout",
            Self::CleanUp => "clean-up",
        }
    }

    /// What it finds out, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Reach => "The EHR is reached over TLS",
            Self::Statement => "What the EHR states goes with our configuration",
            Self::Token => "A token is granted with what is asked",
            Self::Patient => "The test patient is found, once",
            Self::Encounter => "The test patient has an encounter to write under",
            Self::Write => "Results are taken",
            Self::ReadBack => "What was written is what stands there",
            Self::Decimals => "Decimal places survive",
            Self::Moments => "Times keep their instant",
            Self::Resend => "Sending again makes no second copy",
            Self::Conflict => "An outdated change is refused",
            Self::Units => "mg/dL and mmol/L are not mixed up",
            Self::LeapDay => "A window that ends on 29 February",
            Self::ClockChange => "A window that ends when the clock changes",
            Self::ForbiddenKinds => "What is not permitted is refused",
            Self::UnmappedRow => "A code that nobody mapped is refused",
            Self::Malformed => "A broken message is refused",
            Self::UnknownPatient => "A patient who does not exist is refused",
            Self::WithoutToken => "A write without a token is refused",
            Self::WithoutScope => "A write that no scope covers is refused",
            Self::Throttle => "A burst within the agreed rate is not throttled",
            Self::Timeout => "A lost answer",
            Self::CleanUp => "The trial's traces are taken back or listed",
        }
    }

    /// The step of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// Whether it is run where only one step is wanted: that one, and what it cannot do without.
    pub fn is_in(self, only: Option<Self>) -> bool {
        let Some(only) = only else { return true };
        let alone = matches!(only, Self::Reach | Self::Statement | Self::Token);
        let for_patient = matches!(only, Self::Patient | Self::Encounter);
        self == only
            || match self {
                Self::Patient => !alone,
                Self::Encounter => !alone && !for_patient,
                Self::Write => matches!(
                    only,
                    Self::ReadBack
                        | Self::Decimals
                        | Self::Moments
                        | Self::Resend
                        | Self::Conflict
                        | Self::Throttle
                        | Self::CleanUp
                ),
                Self::CleanUp => !alone && !for_patient,
                _ => false,
            }
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// It does not arise here, or could not be tried.
    NotApplicable,
}

impl Status {
    /// The words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// What came of a step, with its evidence; no text of the EHR's and nothing of a patient is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The step.
    pub step: Step,
    /// Of a step that is done for each form: which.
    pub form: Option<&'static str>,
    /// What came of it.
    pub status: Status,
    /// What was sent.
    pub sent: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub came: String,
    /// Why it has its status, and what to do.
    pub why: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Finding {
    /// A finding about nothing in particular yet.
    pub fn new(step: Step, sent: &str, expected: &str) -> Self {
        Self {
            step,
            form: None,
            status: Status::NotApplicable,
            sent: sent.to_owned(),
            expected: expected.to_owned(),
            came: String::new(),
            why: String::new(),
            took_ms: 0,
        }
    }

    /// Of this form.
    #[must_use]
    pub fn of(mut self, form: &'static str) -> Self {
        self.form = Some(form);
        self
    }

    /// Passed or failed by what came, and why.
    #[must_use]
    pub fn judged(mut self, passed: bool, came: impl Into<String>, why: impl Into<String>) -> Self {
        self.status = if passed { Status::Passed } else { Status::Failed };
        (self.came, self.why) = (came.into(), why.into());
        self
    }

    /// Not applicable, because of this.
    #[must_use]
    pub fn left_out(mut self, why: impl Into<String>) -> Self {
        (self.status, self.why) = (Status::NotApplicable, why.into());
        self
    }
}

/// Whether an answer is the refusal that a forbidden write should get: the request's own fault, and neither a throttle nor a
/// failure that says nothing.
pub fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_step_and_the_list_is_in_order() {
        assert!(Step::ALL.is_sorted());
        for step in Step::ALL {
            assert_eq!(Step::named(step.name()), Some(step));
            assert!(step.is_in(None) && step.is_in(Some(step)));
        }
        assert_eq!(Step::named("all"), None);
    }

    #[test]
    fn one_step_takes_along_what_it_needs_and_whatever_writes_is_cleaned_up() {
        let run = |only: Step| -> Vec<&str> {
            Step::ALL.into_iter().filter(|step| step.is_in(Some(only))).map(Step::name).collect()
        };
        assert_eq!(run(Step::Token), ["token"]);
        assert_eq!(run(Step::Encounter), ["patient", "encounter"]);
        assert_eq!(run(Step::Malformed), ["patient", "encounter", "malformed", "clean-up"]);
        assert_eq!(run(Step::Conflict), ["patient", "encounter", "write", "conflict", "clean-up"]);
    }

    #[test]
    fn a_refusal_is_the_requests_fault_and_no_throttle() {
        for (status, wanted) in
            [(200, false), (201, false), (302, false), (400, true), (401, true), (403, true), (404, true)]
        {
            assert_eq!(is_refusal(status), wanted, "{status}");
        }
        for (status, wanted) in
            [(408, false), (422, true), (429, false), (499, true), (500, false), (503, false)]
        {
            assert_eq!(is_refusal(status), wanted, "{status}");
        }
    }
}

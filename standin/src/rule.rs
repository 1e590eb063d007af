//! Rules of the script: which requests they are about, and what is done with these.
//!
//! A rule goes before the plays of [`crate::Play`]; of several, the first that applies is followed. It may
//! let some requests pass first, be followed a number of times only, hold for a span of the log's clock,
//! and be withdrawn while the server runs. A rule that names a type, a category, a patient or an
//! identifier is about single resources: in a batch it is asked of each entry, elsewhere of the whole.
//! The verdict each answer should earn is section 2 of the reference.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::Answer;
use crate::script::{About, Level, RetryAfter};

/// What kind of request a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum What {
    /// Whatever asks for a change.
    #[default]
    Writes,
    /// POST to a type.
    Creates,
    /// PUT to an id.
    Updates,
    /// Reads and searches.
    Reads,
    /// Requests for a token.
    Tokens,
    /// Everything but requests for a token.
    Anything,
}

/// Which requests a rule is about; an empty list asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct When {
    /// The kind of request.
    pub what: What,
    /// One of these resource types is written or read.
    pub resource_types: Vec<String>,
    /// A written resource has one of these category codes.
    pub categories: Vec<String>,
    /// One of these patients is spoken of: identifier values, or `Patient/id`.
    pub patients: Vec<String>,
    /// A written resource carries one of these identifier values.
    pub identifiers: Vec<String>,
}

impl When {
    /// Whether it is about single resources rather than about requests.
    fn is_narrow(&self) -> bool {
        [&self.resource_types, &self.categories, &self.patients, &self.identifiers]
            .iter()
            .any(|wanted| !wanted.is_empty())
    }

    fn holds(&self, about: &About<'_>) -> bool {
        let kind = match self.what {
            What::Writes => about.is_write,
            What::Creates => about.is_write && about.creates,
            What::Updates => about.is_write && !about.creates,
            What::Reads => !about.is_write && !about.is_token,
            What::Tokens => about.is_token,
            What::Anything => !about.is_token,
        };
        let level = match about.level {
            Level::Alone => true,
            Level::Batch => !self.is_narrow(),
            Level::Entry => self.is_narrow(),
        };
        let one_of = |wanted: &[String], have: &[String]| {
            wanted.is_empty() || wanted.iter().any(|wanted| have.contains(wanted))
        };
        kind && level
            && one_of(&self.resource_types, about.resource_types)
            && one_of(&self.categories, about.categories)
            && one_of(&self.patients, about.patients)
            && one_of(&self.identifiers, about.identifiers)
    }
}

/// One issue of an OperationOutcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Of `http://hl7.org/fhir/issue-type`.
    pub code: String,
    /// A sentence.
    pub diagnostics: String,
    /// FHIRPath of what is at fault.
    pub expression: Option<String>,
    /// `details.coding`: system and code.
    pub coding: Option<(String, String)>,
}

impl Issue {
    /// An issue of this type that says no more.
    pub fn new(code: &str) -> Self {
        Self { code: code.into(), diagnostics: format!("scripted: {code}"), expression: None, coding: None }
    }

    /// It lies here.
    #[must_use]
    pub fn at(mut self, expression: &str) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// It is coded so.
    #[must_use]
    pub fn coded(mut self, system: &str, code: &str) -> Self {
        self.coding = Some((system.into(), code.into()));
        self
    }

    fn json(&self) -> Value {
        let mut issue = json!({"severity": "error", "code": self.code, "diagnostics": self.diagnostics});
        if let Some(expression) = &self.expression {
            issue["expression"] = json!([expression]);
        }
        if let Some((system, code)) = &self.coding {
            issue["details"] = json!({"coding": [{"system": system, "code": code}]});
        }
        issue
    }
}

/// An answer instead of the effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Any status.
    pub status: u16,
    /// None: the answer has no body.
    pub issues: Vec<Issue>,
    /// `Retry-After`.
    pub retry_after: RetryAfter,
}

impl Refused {
    /// This status, with one issue of this type.
    pub fn new(status: u16, code: &str) -> Self {
        Self { status, issues: vec![Issue::new(code)], retry_after: RetryAfter::Absent }
    }

    /// This issue in place of what it had.
    #[must_use]
    pub fn because(mut self, issue: Issue) -> Self {
        self.issues = vec![issue];
        self
    }

    /// With this `Retry-After`.
    #[must_use]
    pub fn retry(mut self, retry_after: RetryAfter) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// The answer at `now`.
    pub(crate) fn answer(&self, now: Timestamp) -> Answer {
        let issues: Vec<Value> = self.issues.iter().map(Issue::json).collect();
        let body = if issues.is_empty() {
            Value::Null
        } else {
            json!({"resourceType": "OperationOutcome", "issue": issues})
        };
        let answer = Answer::new(self.status, body);
        match self.retry_after.header(now) {
            Some(value) => answer.with("retry-after", value),
            None => answer,
        }
    }
}

/// How an answer to something that was done is spoilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoilt {
    /// No body.
    EmptyBody,
    /// A body about something else.
    WrongBody(Value),
    /// A body that is no JSON.
    NotJson,
    /// Another status, 200 for a create for example.
    Status(u16),
    /// No `Location`, nor one of an entry.
    WithoutLocation,
    /// No `ETag`, nor one of an entry.
    WithoutEtag,
    /// Numbers lose the zeros at their end.
    ShortDecimals,
}

impl Spoilt {
    pub(crate) fn spoil(&self, answer: &mut Answer) {
        match self {
            Self::EmptyBody => answer.body = Value::Null,
            Self::WrongBody(body) => answer.body = body.clone(),
            Self::NotJson => {
                answer.raw = Some("<html><body>Welcome</body></html>".to_owned());
                answer.headers.push(("content-type", "text/html".to_owned()));
            }
            Self::Status(status) => answer.status = *status,
            Self::WithoutLocation => leave_out(answer, "location"),
            Self::WithoutEtag => leave_out(answer, "etag"),
            Self::ShortDecimals => shorten(&mut answer.body),
        }
    }
}

/// Leaves this out of the answer's head and of the entries of a Bundle.
fn leave_out(answer: &mut Answer, name: &str) {
    answer.without(name);
    for entry in answer.body["entry"].as_array_mut().into_iter().flatten() {
        if let Some(response) = entry["response"].as_object_mut() {
            response.remove(name);
        }
    }
}

/// What a server makes of decimals that keeps them as binary numbers.
fn shorten(json: &mut Value) {
    match json {
        Value::Number(number) => *json = json!(number.as_f64()),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// What is done with a request a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// As if there were no rule: an exception to later ones.
    Pass,
    /// Nothing is done; this is the answer.
    Refuse(Refused),
    /// What was asked is done at once and answered this much later.
    Slow(Duration),
    /// Nothing is done, and the connection is closed without an answer.
    ResetBeforeEffect,
    /// What was asked is done, and the connection is closed without an answer.
    ResetAfterBody,
    /// What was asked is done; if it was, the answer is spoilt.
    Spoil(Vec<Spoilt>),
}

impl Act {
    /// The name under which the log keeps it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse(_) => "refuse",
            Self::Slow(_) => "slow",
            Self::ResetBeforeEffect => "reset-before-effect",
            Self::ResetAfterBody => "reset-after-body",
            Self::Spoil(_) => "spoil",
        }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// For the log, and for [`crate::Ehr::withdraw`].
    pub name: String,
    /// Which requests.
    pub when: When,
    /// What is done with them.
    pub act: Act,
    /// So many of them pass first.
    pub skip: u32,
    /// After so many it is over; none: it stays.
    pub times: Option<u32>,
    /// It holds from this moment of the log's clock,
    pub from: Option<Duration>,
    /// and before this one.
    pub until: Option<Duration>,
}

impl Rule {
    /// Does this with every write.
    pub fn new(name: &str, act: Act) -> Self {
        let when = When::default();
        Self { name: name.into(), when, act, skip: 0, times: None, from: None, until: None }
    }

    /// About this kind of request instead.
    #[must_use]
    pub fn on(mut self, what: What) -> Self {
        self.when.what = what;
        self
    }

    /// About this resource type only; may be said again for another.
    #[must_use]
    pub fn of_type(mut self, resource_type: &str) -> Self {
        self.when.resource_types.push(resource_type.into());
        self
    }

    /// About this category only; may be said again for another.
    #[must_use]
    pub fn of_category(mut self, code: &str) -> Self {
        self.when.categories.push(code.into());
        self
    }

    /// About this patient only, by identifier value or `Patient/id`; may be said again for another.
    #[must_use]
    pub fn of_patient(mut self, patient: &str) -> Self {
        self.when.patients.push(patient.into());
        self
    }

    /// Lets so many pass first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Is over after so many.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Holds between these moments of the log's clock.
    #[must_use]
    pub fn between(mut self, from: Duration, until: Duration) -> Self {
        (self.from, self.until) = (Some(from), Some(until));
        self
    }

    /// Whether it is to be followed now; counts the request where it is about it.
    pub(crate) fn applies(&mut self, about: &About<'_>, at: Duration) -> bool {
        let early = self.from.is_some_and(|from| at < from);
        let late = self.until.is_some_and(|until| at >= until);
        if early || late || self.times == Some(0) || !self.when.holds(about) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times = self.times.map(|left| left - 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(5);

    fn about<'a>(patients: &'a [String], types: &'a [String], categories: &'a [String]) -> About<'a> {
        About {
            is_write: true,
            creates: true,
            patients,
            resource_types: types,
            categories,
            ..About::default()
        }
    }

    #[test]
    fn a_rule_counts_only_the_requests_it_is_about() {
        let (p7, p8) = (["7".to_owned()], ["8".to_owned()]);
        let mut rule = Rule::new("r", Act::Pass).of_patient("7").after(1).times(2);
        let asked = [&p7, &p8, &p7, &p8, &p7, &p7].map(|patient| rule.applies(&about(patient, &[], &[]), AT));
        assert_eq!(asked, [false, false, true, false, true, false]);
    }

    #[test]
    fn every_condition_must_hold_and_a_list_holds_by_any_of_its_members() {
        let types = ["Observation".to_owned()];
        let lab = ["laboratory".to_owned()];
        let rule = |what| Rule::new("r", Act::Pass).on(what);
        for (mut rule, expected) in [
            (rule(What::Writes), true),
            (rule(What::Creates), true),
            (rule(What::Updates), false),
            (rule(What::Reads), false),
            (rule(What::Tokens), false),
            (rule(What::Anything), true),
            (rule(What::Writes).of_type("Observation"), true),
            (rule(What::Writes).of_type("Provenance").of_type("Observation"), true),
            (rule(What::Writes).of_type("Provenance"), false),
            (rule(What::Writes).of_category("laboratory"), true),
            (rule(What::Writes).of_category("vital-signs").of_type("Observation"), false),
        ] {
            assert_eq!(rule.applies(&about(&[], &types, &lab), AT), expected, "{rule:?}");
        }
    }

    #[test]
    fn a_rule_holds_for_a_span_of_the_clock_and_not_at_its_end() {
        let mut rule = Rule::new("r", Act::Pass).between(Duration::from_secs(1), Duration::from_secs(2));
        let at =
            [999, 1000, 1999, 2000].map(|ms| rule.applies(&about(&[], &[], &[]), Duration::from_millis(ms)));
        assert_eq!(at, [false, true, true, false]);
    }

    #[test]
    fn a_narrow_rule_is_asked_of_the_entries_of_a_batch_and_a_broad_one_of_the_whole() {
        let types = ["Observation".to_owned()];
        let at_level = |level| About { level, ..about(&[], &types, &[]) };
        let mut narrow = Rule::new("n", Act::Pass).of_type("Observation");
        let mut broad = Rule::new("b", Act::Pass);
        for (level, expected) in
            [(Level::Alone, (true, true)), (Level::Batch, (false, true)), (Level::Entry, (true, false))]
        {
            let got = (narrow.applies(&at_level(level), AT), broad.applies(&at_level(level), AT));
            assert_eq!(got, expected, "{level:?}");
        }
    }
}

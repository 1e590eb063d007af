//! The report of a trial: a page for people, an object for machines, the same findings in both. Pure.
//!
//! Invariant: the test patient is in it by the system of its identifier alone.

mod html;
mod json;

pub use self::{html::page, json::document};

use super::{
    playbook::{Finding, Status, Step},
    run::Left,
};

/// Everything that a report says.
pub struct Report<'a> {
    /// The site's id.
    pub site: &'a str,
    /// The EHR's address.
    pub base_url: &'a str,
    /// What the EHR calls its software, printable; empty where it does not say.
    pub software: &'a str,
    /// The mode that the site's file permits.
    pub mode: &'a str,
    /// The system of the test patient's identifier.
    pub patient_system: &'a str,
    /// When the trial began, RFC 3339.
    pub began: &'a str,
    /// How long it took, in seconds.
    pub took_s: u64,
    /// The one step that was asked for, where not all were.
    pub only: Option<&'a str>,
    /// The version of Isthmus.
    pub version: &'a str,
    /// The fingerprint of the configuration in force.
    pub configuration: &'a str,
    /// What came of each step.
    pub findings: &'a [Finding],
    /// What the trial wrote.
    pub left: &'a [Left],
    /// The public key that signs it, PEM.
    pub public_key: &'a str,
    /// SHA-256 of that key, hex.
    pub fingerprint: &'a str,
}

impl Report<'_> {
    /// How many findings have a status.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// Whether nothing failed, and something passed; of a whole trial, whether something was written too.
    pub fn passed(&self) -> bool {
        let passed = |finding: &&Finding| finding.status == Status::Passed;
        let wrote = self.findings.iter().filter(passed).any(|finding| finding.step == Step::Write);
        self.count(Status::Failed) == 0 && self.count(Status::Passed) > 0 && (wrote || self.only.is_some())
    }
}

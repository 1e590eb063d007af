//! The FHIR form of an outcome, by the HL7 CGM implementation guide 1.0.0 (`hl7.fhir.uv.cgm`): R4, and R5 written
//! from it.
//!
//! Invariants:
//! - The same outcome, scope and status give the same bytes: nothing here reads a clock, draws a random
//!   number or iterates over an unordered map.
//! - An identifier depends on what a resource is about (destination, patient, window, policy, metric) and
//!   not on its version, so that a later version replaces the earlier one wherever it was written.
//! - A number is written from decimal text: `64.30` keeps both places on the way out.
//! - Nothing leaves that [`projection::minimize`] does not list.
//! - What a server answers is data of a stranger: it is read with bounds and never trusted to be whole.
//!
//! The story: [`summary`] makes the Observations of a window, those under our own [`codes`] from [`figures`],
//! [`reading`] those of single readings and events, [`report`] the DiagnosticReport with a page, [`provenance`] the one
//! statement about them; this is the canonical form. [`project`] makes of it what a destination takes, by its
//! [`projection`] and the [`form`] that the site chose: [`row`]s, a [`note`], a message. The projection's list says what
//! may leave; [`address`] puts in what is the EHR's own, [`bundle`] packs one request, [`release`] writes it as R4 or R5,
//! [`answer`] reads the reply and [`readback`] compares what a server holds with what was written. What is absent: HTTP,
//! the store, retries, verdicts. Beside that way: [`consent`] reads what a Consent permits;
//! [`asked`] what a Task wants written, both with a [`fault`] where it cannot be said exactly;
//! [`person`], [`permit`], [`task`] and [`window_report`] are what the box's own endpoint shows of what it knows.

pub mod address;
pub mod answer;
pub mod asked;
pub mod bundle;
pub mod codes;
pub mod compared;
pub mod consent;
pub mod fault;
pub mod figures;
pub mod form;
pub mod identifier;
pub mod intent;
pub mod issue;
pub mod location;
pub mod metric;
pub mod note;
pub mod permit;
pub mod person;
pub mod project;
pub mod projection;
pub mod provenance;
pub(crate) mod quantity;
pub mod readback;
pub mod reading;
pub mod release;
pub mod report;
pub mod row;
pub mod subject;
pub mod summary;
pub mod taken_back;
pub mod task;
pub mod window_report;

#[cfg(test)]
mod sample;

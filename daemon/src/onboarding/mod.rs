//! The first day at a site: what its EHR states is held against the site's file, and what the file says is tried out
//! on a test patient.
//!
//! Invariants:
//! - Everything an EHR states is data of a stranger: read with bounds, reduced to words of closed sets, shown through
//!   `printable`.
//! - Nothing is proposed that would send credentials anywhere else: addresses of token endpoints and base URLs are told
//!   and never written.
//! - What is written for a trial is made up, is about the one patient that a person named and confirmed, goes the way of
//!   the daemon's own deliveries, and is taken back or listed at the end.
//! - A report holds no identifier of the patient, only its system.
//!
//! The story: [`statement`] and [`smart`] read what the site states, [`proposal`] compares and says what to change,
//! [`edit`] changes the text of the file and [`diff`] shows it. [`playbook`] lists the steps of the trial, [`specimen`]
//! makes up what is written, [`run`] goes through the steps (`step/`), [`report`] writes down what came of them and
//! [`signature`] signs it. Waiting and asking is in `probe`, `run` and `step/`; all else is pure.

pub mod diff;
pub mod edit;
pub mod playbook;
pub mod probe;
pub mod proposal;
pub mod report;
pub mod run;
pub mod signature;
pub mod smart;
pub mod specimen;
pub mod statement;
mod step;

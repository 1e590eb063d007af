//! The meaning of CGM data, pure: no I/O, no clock, no tokio.
//!
//! Invariants: an outcome is a function of the set of readings and the policy version; a value is
//! never converted to be classified; only this room knows a glucose threshold, and it takes it from a
//! policy. What is absent: sockets, files, the store, the time of day.

pub mod birth_date;
pub mod calendar;
pub mod chunk;
pub mod decimal;
pub mod fhir;
pub mod glucose;
pub mod identity;
pub mod level;
pub mod normalize;
pub mod oru;
pub mod outcome;
pub mod outcomes;
pub mod policy;
pub mod profile;
pub mod reading;
pub mod select;
pub mod shown;
pub mod wall_clock;

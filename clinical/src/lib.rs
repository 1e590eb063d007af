//! The meaning of CGM data, pure: no I/O, no clock, no tokio.
//!
//! Invariants: an outcome is a function of the set of readings and the policy version; a value is
//! never converted to be classified; only this room knows a glucose threshold, and it takes it from a
//! policy. What is absent: sockets, files, the store, the time of day.

pub mod app_event;
pub mod birth_date;
pub mod calendar;
pub mod chunk;
mod daily_difference;
pub mod day;
pub mod decimal;
pub mod device;
mod distribution;
pub mod events;
pub mod fhir;
pub mod glucose;
pub mod history;
pub mod identity;
pub mod level;
pub mod measurements;
pub mod metrics;
mod moments;
pub mod normalize;
pub mod oru;
pub mod outcome;
pub mod outcomes;
pub mod parts;
pub mod policy;
pub mod profile;
pub mod quantity;
pub mod reading;
mod scale;
pub mod select;
pub mod sentinel;
mod series;
pub mod session;
pub mod shown;
pub mod wall_clock;

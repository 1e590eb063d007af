//! What a person reads of an export: an outcome as text, as a bar and as JSON.
//!
//! Invariants: pure, like all that is shown of an outcome: the same export and question give the same
//! text; nothing here reads a file, a terminal, a clock or the environment. Nothing is told by colour
//! alone. Shares that are shown sum to 100.00, and their hours to 24:00; JSON carries them unrounded.
//!
//! [`export`] reads and computes, [`pieces`] does so from a source that is handed in, [`table`] lays out,
//! [`bar`] draws, [`notes`] accounts for what was not counted, `risk` tells risk, spread and events, [`sessions`] the
//! sensor sessions and [`app_events`] what was logged beside glucose,
//! [`json`] writes the object for scripts, [`csv`] a row of the same numbers, [`bundle`] the FHIR
//! request, [`oru`] HL7 v2 messages,
//! [`page`] the glucose profile report. [`explain`] tells what a number is made of, [`compare`] why two
//! outcomes differ.

pub mod app_events;
pub mod bar;
pub mod bundle;
pub mod compare;
pub mod csv;
pub mod day;
pub mod explain;
pub mod export;
pub mod json;
pub mod notes;
pub mod oru;
pub mod page;
pub mod paper;
pub mod person;
pub mod pieces;
mod risk;
pub mod rules;
pub mod sessions;
pub mod table;

#[cfg(test)]
mod sample;

//! What came in, made into readings: HL7 v2 messages and the files that people export.
//!
//! Invariants:
//! - Nothing is guessed. A unit, a date order, a patient or a time that the source does not state leads to
//!   a fault with a fixed text, never to a reading. A time in a repeated hour that nothing settles is read
//!   as the earlier instant and marked.
//! - No row of a file and no OBX is lost silently: each becomes a reading, a fault, or a count of what was
//!   kept apart.
//! - No error, fault or note holds text of the source, so that none can hold patient data.
//! - Pure and total: any text gives a result, none a panic; time is linear in the text.
//!
//! Numbers: a glucose value is plausible above 0 and up to 1000 mg/dL or 55.5 mmol/L; years run from
//! 1900 to 2200; a file that is held in memory has at most 64 MiB. Tables are read row by row, in rows of at most
//! 1 MiB, and JSON and XML a record at a time, from a source of any size. Whatever the format, a file has at most
//! [`file::MAX_READINGS`] readings, [`file::MAX_FAULTS_LISTED`] faults that are listed (the others are counted by their
//! reason), and of each kind 120,000 app events that are kept (the others are counted).
//!
//! [`hl7v2`] reads messages, [`fhir`] Observations, [`mod@file`] recognizes and reads exports; [`clock`] holds the time zone that
//! both take for clock times without an offset.

mod apple_health;
mod carelink;
mod clarity;
pub mod clock;
mod columns;
mod date_order;
mod device_name;
mod dexcom_api;
mod faults;
pub mod fhir;
pub mod file;
mod format;
mod glooko;
mod harvest;
pub mod hl7v2;
mod intake;
mod iso;
mod libreview;
mod logged;
mod member;
mod nightscout;
mod number;
#[cfg(test)]
mod odd_files;
mod reach;
mod records;
mod repeated_hour;
mod source_id;
mod span;
mod stream;
mod table;
mod tally;
#[cfg(test)]
mod testdata;
mod ticks;
mod tidepool;
mod value;
mod wall_clock;
mod whole_rows;
mod xdrip;

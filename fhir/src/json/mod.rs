//! FHIR's JSON (json.html): read strictly, served as it was received, and reduced to what was asked for.
//!
//! Invariants: what [`parse`] lets through has one meaning for every reader: UTF-8, no member twice, no empty text, array
//! or object, no null but beside a member of the same name. What is [`served`] is what was received, byte for byte,
//! but for `id`, `meta.versionId` and `meta.lastUpdated`.

mod members;
mod reduced;
mod strict;

pub use self::{
    members::{Members, NotServed, served},
    reduced::{Reduction, reduced},
    strict::{LONGEST_NAME, Limits, MOST_DEPTH, MOST_MEMBERS, parse},
};

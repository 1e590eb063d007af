//! What a search asks for (hl7.org/fhir/R4/search.html and hl7.org/fhir/R5/search.html): parsed from the parameters of a
//! request, decided on a resource, and planned for an index that only narrows.
//!
//! Invariants
//! - One table ([`search_parameters`]) drives what is parsed, what is matched, what is indexed and what the
//!   CapabilityStatement says.
//! - [`Query::matches`] decides. The index may bring too much, never too little: what matches has, for every element of
//!   [`Plan::all_of`], one of its terms, and lies within the plan's bounds. A property test holds it.
//! - A filter that is not understood is refused or, in lenient handling, left out and told. A *value* or a *modifier* that
//!   is not understood is refused in both: leaving out a filter that was meant would answer with other people's results.
//! - No issue holds a value; a parameter's name is told as far as it is a name.
//! - A time is half-open in milliseconds of UTC, `[from, until)`. A text without an offset is UTC. An open end is
//!   `i64::MAX`, an open start `i64::MIN`; `0..0` is "has none", because no time is empty.
//!
//! Story: [`Query::parse`] makes filters (`filter`) of values (`token`, `reference`, `date`, `quantity`, `string`);
//! [`terms`] says under what a resource is kept; [`Query::plan`] says where to look; [`Cursor`] where to go on.

mod cursor;
mod date;
mod decimal;
mod escape;
mod filter;
mod include;
mod kinds;
mod parameter;
mod parse;
mod path;
mod plan;
mod quantity;
mod query;
mod reference;
mod result;
mod sample;
mod string;
mod terms;
mod token;

#[cfg(test)]
mod tests;

pub use self::{
    cursor::Cursor,
    date::Interval,
    include::{Include, includes, references},
    parameter::{Parameter, Type, search_parameters},
    parse::place,
    plan::{Order, Plan, Range},
    query::{Context, Handling, Parsed, Query},
    result::{Summary, Total},
    sample::starts,
    terms::{MOST_TERMS, Terms, terms},
};

/// Parameters of one search. The widest that a person or an app writes has about fifteen; each costs a pass over the resource.
pub const MOST_PARAMETERS: usize = 64;
/// Values of one parameter, parted by commas: a page of ids of another system, with room. Each is compared with each value
/// of every candidate.
pub const MOST_VALUES: usize = 256;
/// Values of a whole search: each is compared with each value of every candidate.
pub const MOST_VALUES_IN_ALL: usize = 512;
/// Bytes of one value. A reference with a long base has 300; what is longer is no value.
pub const MOST_VALUE_BYTES: usize = 1_024;
/// Resources of a page where `_count` does not say: what fits a screen twice.
pub const USUAL_COUNT: u32 = 50;
/// Resources of a page at most, as a page is held in memory while it is written.
pub const MOST_COUNT: u32 = 1_000;
/// `_include` and `_revinclude` together: there are not more references than that in a kind that make sense together.
pub const MOST_INCLUDES: usize = 8;
/// Names in `_elements`: more than any kind has.
pub const MOST_ELEMENTS: usize = 64;
/// The parameter that holds a [`Cursor`], in a `next` link.
pub const CURSOR: &str = "_cursor";

//! Columns found by the names that exporters give them, in every language that was seen.
//!
//! Names are compared as [`super::table::name`] leaves them: lower case, without blanks.

use super::file::{FileFault, unit_of_column};
use crate::glucose::Unit;

/// The first column of exactly one of these names.
pub(super) fn named(names: &[String], wanted: &[&str]) -> Option<usize> {
    names.iter().position(|name| wanted.contains(&name.as_str()))
}

/// The first column whose name begins so.
pub(super) fn beginning(names: &[String], wanted: &[&str]) -> Option<usize> {
    names.iter().position(|name| wanted.iter().any(|beginning| name.starts_with(beginning)))
}

/// The column of glucose whose name begins so, with the unit that ends its name. Errs with `UnitUnknown` where no
/// unit is stated, or where two such columns differ in it.
pub(super) fn glucose(names: &[String], wanted: &[&str]) -> Result<Option<(usize, Unit)>, FileFault> {
    let unit = |name: &String| {
        wanted.iter().find(|with| name.starts_with(*with)).map(|with| unit_of_column(name, with))
    };
    let mut found = names.iter().enumerate().filter_map(|(at, name)| Some((at, unit(name)?)));
    let Some((at, first)) = found.next() else { return Ok(None) };
    if found.any(|(_, other)| other != first) {
        return Err(FileFault::UnitUnknown);
    }
    first.map(|unit| Some((at, unit))).ok_or(FileFault::UnitUnknown)
}

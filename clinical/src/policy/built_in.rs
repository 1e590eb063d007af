//! The files of rules that come with the program.
//!
//! Order matters once: a base stands before what names it.

use std::sync::LazyLock;

use super::{Policy, Sheet};
use crate::device::Devices;

/// About glucose, the standard one first.
const GLUCOSE: [&str; 5] = [
    include_str!("../../policies/standard.toml"),
    include_str!("../../policies/older_high_risk.toml"),
    include_str!("../../policies/pregnancy_t1.toml"),
    include_str!("../../policies/pregnancy_gdm_t2.toml"),
    include_str!("../../policies/paediatric.toml"),
];

/// About another quantity.
const OTHER: [&str; 1] = [include_str!("../../policies/blood_pressure_home.toml")];

static SHEETS: LazyLock<Vec<Sheet>> = LazyLock::new(|| {
    let mut sheets: Vec<Sheet> = Vec::new();
    for text in GLUCOSE.iter().chain(&OTHER) {
        let sheet = Sheet::parse(text, |id| sheets.iter().find(|sheet| sheet.id == id));
        sheets.push(sheet.expect("built-in files of rules are valid: a test reads each"));
    }
    sheets
});

static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let policy = |sheet: &Sheet| {
        Policy::from_sheet(sheet, Devices::built_in())
            .expect("built-in policies are valid: a test reads each")
    };
    SHEETS.iter().take(GLUCOSE.len()).map(policy).collect()
});

pub(super) fn policies() -> &'static [Policy] {
    &POLICIES
}

/// Every built-in file of rules, those about glucose first.
#[must_use]
pub fn sheets() -> &'static [Sheet] {
    &SHEETS
}

/// A built-in file of rules by its id.
#[must_use]
pub fn sheet_named(id: &str) -> Option<&'static Sheet> {
    SHEETS.iter().find(|sheet| sheet.id == id)
}

/// The built-in files about another quantity than glucose.
#[must_use]
pub fn quantities() -> &'static [Sheet] {
    &SHEETS[GLUCOSE.len()..]
}

//! Epic's flowsheet rows: which codes of a write this server has mapped to one.
//!
//! "Flowsheet ID, encoded flowsheet ID or a LOINC mapped to a row; encoded IDs differ per organisation and
//! per environment" (reference, section 1). The row names are those in live use that it lists.

use crate::id::opaque;

/// The system of encoded flowsheet ids in the default map (from memory; a site may use another).
pub const FLOWSHEET_SYSTEM: &str = "http://open.epic.com/FHIR/StructureDefinition/observation-flowsheet-id";

/// The names of rows in live use (reference, section 1, iCoDE style).
pub const ROW_NAMES: [&str; 13] = [
    "REPORTING_PERIOD_START_CGM",
    "REPORTING_PERIOD_END_CGM",
    "ACTIVE_WEAR_TIME_CGM",
    "AVERAGE_CGM",
    "TIME_IN_RANGE_CGM",
    "TIME_BELOW_RANGE_LOW_CGM",
    "TIME_BELOW_RANGE_VERY_LOW_CGM",
    "TIME_ABOVE_RANGE_HIGH_CGM",
    "TIME_ABOVE_RANGE_VERY_HIGH_CGM",
    "GLUCOSE_MANAGEMENT_INDICATOR",
    "DAYS_WITH_DATA_CGM",
    "STANDARD_DEVIATION_CGM",
    "COEFFICIENT_OF_VARIATION_CGM",
];

/// A row and the codings that stand for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowsheetRow {
    /// Its name.
    pub name: String,
    /// System and code of each coding.
    pub codings: Vec<(String, String)>,
}

/// The rows of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowMap {
    /// In no order.
    pub rows: Vec<FlowsheetRow>,
}

impl RowMap {
    /// [`ROW_NAMES`] with encoded ids of this environment: another environment has others.
    pub fn encoded(environment: &str) -> Self {
        let row = |name: &&str| FlowsheetRow {
            name: (*name).to_owned(),
            codings: vec![(FLOWSHEET_SYSTEM.to_owned(), opaque(&format!("{environment}/{name}"), 1))],
        };
        Self { rows: ROW_NAMES.iter().map(row).collect() }
    }

    /// One more coding for a row; a row that was not there is made.
    #[must_use]
    pub fn with(mut self, name: &str, system: &str, code: &str) -> Self {
        let coding = (system.to_owned(), code.to_owned());
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.codings.push(coding),
            None => self.rows.push(FlowsheetRow { name: name.to_owned(), codings: vec![coding] }),
        }
        self
    }

    /// Without this row: nobody mapped it, or somebody took it away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.rows.retain(|row| row.name != name);
        self
    }

    /// The first coding of a row, as system and code.
    pub fn coding_of(&self, name: &str) -> Option<(&str, &str)> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        row.codings.first().map(|(system, code)| (system.as_str(), code.as_str()))
    }

    pub(crate) fn has(&self, system: &str, code: &str) -> bool {
        self.rows.iter().flat_map(|row| &row.codings).any(|(s, c)| s == system && c == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_ids_differ_between_environments_and_rows() {
        let (test, live) = (RowMap::encoded("test"), RowMap::encoded("live"));
        let code = |map: &RowMap, name| map.coding_of(name).unwrap().1.to_owned();
        assert_ne!(code(&test, "AVERAGE_CGM"), code(&live, "AVERAGE_CGM"));
        assert_ne!(code(&test, "AVERAGE_CGM"), code(&test, "TIME_IN_RANGE_CGM"));
        assert!(test.has(FLOWSHEET_SYSTEM, &code(&test, "AVERAGE_CGM")));
        assert!(!test.has(FLOWSHEET_SYSTEM, &code(&live, "AVERAGE_CGM")));
        assert!(
            test.clone()
                .with("AVERAGE_CGM", "http://loinc.org", "97507-8")
                .has("http://loinc.org", "97507-8")
        );
        assert_eq!(test.without("AVERAGE_CGM").coding_of("AVERAGE_CGM"), None);
    }
}

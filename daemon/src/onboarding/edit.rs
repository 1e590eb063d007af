//! Changes keys in the text of a site's file, and nothing else of it: comments, order and spelling stay. Pure.
//!
//! Invariant: what comes out is read again, and has exactly the values that were asked for, or there is an error and
//! no text. A key that stands in an inline or dotted table is not touched: a person has to.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::proposal::Change;
use crate::report::paper::printable;

/// Why a text could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("the file is no TOML; mend it first (isthmus check)")]
    Unreadable,
    /// The key stands where a line cannot be put.
    #[error("[{table}] {key} stands in an inline or dotted table; change it by hand: {key} = {value}")]
    ByHand {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// What it should be.
        value: String,
    },
}

/// The text with all changes, each below a comment that says why.
///
/// # Errors
/// [`EditError`].
pub fn apply(text: &str, changes: &[Change]) -> Result<String, EditError> {
    changes.iter().try_fold(text.to_owned(), |text, change| one(&text, change))
}

fn one(text: &str, change: &Change) -> Result<String, EditError> {
    let by_hand = || EditError::ByHand { table: change.table, key: change.key, value: change.value.clone() };
    // Text of an EHR may be in the evidence: one line, whatever it holds.
    let comment = format!("# site probe: {}\n", printable(&change.evidence));
    let edited = match place(text, change)? {
        Place::Value(span) => {
            let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
            // Only `key = value` on lines of its own can have a comment above.
            if !text[line..span.start].trim_start().starts_with(change.key) {
                return Err(by_hand());
            }
            let (head, tail) = (&text[..line], &text[span.end..]);
            format!("{head}{comment}{}{}{tail}", &text[line..span.start], change.value)
        }
        Place::Header(end) => {
            let (head, tail) = text.split_at(end);
            let nl = if head.ends_with('\n') { "" } else { "\n" };
            format!("{head}{nl}{comment}{} = {}\n{tail}", change.key, change.value)
        }
        Place::Nowhere => {
            let nl = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
            format!("{text}{nl}\n{comment}[{}]\n{} = {}\n", change.table, change.key, change.value)
        }
        Place::Inline => return Err(by_hand()),
    };
    if holds(&edited, change) { Ok(edited) } else { Err(by_hand()) }
}

enum Place {
    /// The bytes of the value that there is.
    Value(Range<usize>),
    /// The table has a header, whose line ends here.
    Header(usize),
    /// There is no such table.
    Nowhere,
    /// The table is written in a way that no line can be added to.
    Inline,
}

fn place(text: &str, change: &Change) -> Result<Place, EditError> {
    let root = DeTable::parse(text).map_err(|_| EditError::Unreadable)?;
    let Some(table) = root.get_ref().get(change.table) else { return Ok(Place::Nowhere) };
    let DeValue::Table(inner) = table.get_ref() else { return Ok(Place::Inline) };
    if let Some(value) = inner.get(change.key) {
        return Ok(Place::Value(value.span()));
    }
    let header = format!("[{}]", change.table);
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        let bare = line.split('#').next().unwrap_or_default();
        if bare.split_whitespace().collect::<String>() == header {
            return Ok(Place::Header(end));
        }
    }
    Ok(Place::Inline)
}

/// Whether the text has the value, and is TOML as a whole.
fn holds(text: &str, change: &Change) -> bool {
    let wanted: Option<toml::Table> = format!("value = {}", change.value).parse().ok();
    let table: Option<toml::Table> = text.parse().ok();
    match (wanted, table) {
        (Some(wanted), Some(table)) => {
            table.get(change.table).and_then(|inner| inner.get(change.key)) == wanted.get("value")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(table: &'static str, key: &'static str, value: &str) -> Change {
        Change { table, key, value: value.to_owned(), evidence: "because\nof it".to_owned() }
    }

    #[test]
    fn a_value_is_replaced_where_it_stands_and_everything_else_stays() {
        let text = "# mine\n[ehr] # here\nprojection = \"cgm-ig\" # chosen\nbase_url = \"https://e\"\n\n[delivery]\n";
        let edited = apply(text, &[change("ehr", "projection", "\"plain-r4\"")]).unwrap();
        // A line break of the evidence is no line break of the file.
        let comment = format!("# site probe: {}\n", printable("because\nof it"));
        let (before, after) = ("projection = \"cgm-ig\"", format!("{comment}projection = \"plain-r4\""));
        assert_eq!(comment.lines().count(), 1);
        assert_eq!(edited, text.replace(before, &after));
    }

    #[test]
    fn what_is_missing_goes_below_its_header_and_a_missing_table_to_the_end() {
        let text = "id = \"a\"\n[ehr]\nbase_url = \"https://e\"";
        let changes = [change("ehr", "subject", "\"lookup\""), change("delivery", "batch", "1")];
        let edited = apply(text, &changes).unwrap();
        assert!(edited.contains("\nsubject = \"lookup\"\nbase_url"), "{edited}");
        assert!(edited.ends_with("[delivery]\nbatch = 1\n"), "{edited}");
    }

    #[test]
    fn a_list_over_several_lines_is_replaced_whole() {
        let text = "[capability]\nmode = \"partial\"\nallow = [\n  \"Observation\", # a\n  \"Provenance\",\n]\nbulk = true\n";
        let edited = apply(text, &[change("capability", "allow", "[\"Observation\"]")]).unwrap();
        assert!(edited.contains("allow = [\"Observation\"]\nbulk = true\n"), "{edited}");
    }

    #[test]
    fn an_inline_table_is_left_to_people_and_no_toml_is_an_error() {
        for text in
            ["ehr = { projection = \"cgm-ig\" }\n", "ehr.projection = \"cgm-ig\"\n", "ehr.kind = \"fhir\"\n"]
        {
            let got = apply(text, &[change("ehr", "projection", "\"plain-r4\"")]);
            assert!(matches!(got, Err(EditError::ByHand { .. })), "{text}: {got:?}");
        }
        assert_eq!(apply("[ehr", &[change("ehr", "a", "1")]), Err(EditError::Unreadable));
    }
}

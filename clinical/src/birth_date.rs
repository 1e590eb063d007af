//! Birth dates as far as they are stated: a year, a month or a day.
//!
//! Invariants: it is compared and never printed (its `Debug` shows nothing); one that states less agrees with one
//! that states more where it is the beginning of it; what is no date is not stated.

use jiff::civil::Date;

/// A birth date: patient data. Year, year and month, or the whole date.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BirthDate(String);

impl BirthDate {
    /// Reads `YYYY[MM[DD[...]]]` (HL7 v2, PID-7; a time of day is left out) or `YYYY[-MM[-DD]]` (FHIR, Patient.birthDate).
    /// `None` where that is no date.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits: String = match text.get(4..5) {
            Some("-") => text.get(..10).unwrap_or(text).split('-').collect(),
            _ => text.chars().take_while(char::is_ascii_digit).take(8).collect(),
        };
        let part = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<i16>().ok());
        let year = part(0, 4).filter(|year| (1800..=2200).contains(year))?;
        let (month, day) = match digits.len() {
            4 => (1, 1),
            6 => (part(4, 6)?, 1),
            8 => (part(4, 6)?, part(6, 8)?),
            _ => return None,
        };
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        Some(Self(digits))
    }

    /// Whether both may be the same day: the one that states less is the beginning of the other.
    pub fn agrees(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }

    /// The digits, 4, 6 or 8 of them, for the store.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for BirthDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BirthDate(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_hl7_and_fhir_are_read_and_nothing_else() {
        for (text, digits) in [
            ("19710203", Some("19710203")),
            ("197102", Some("197102")),
            ("1971", Some("1971")),
            ("19421025000000", Some("19421025")),
            ("197102031405-0500", Some("19710203")),
            ("1971-02-03", Some("19710203")),
            ("1971-02", Some("197102")),
            ("1971-02-03T04:05:06Z", Some("19710203")),
            (" 19710203 ", Some("19710203")),
            ("", None),
            ("19710230", None),
            ("197113", None),
            ("197", None),
            ("1971020", None),
            ("1971-2-3", None),
            ("03.02.1971", None),
            ("00000000", None),
            ("UNKNOWN", None),
            ("é971", None),
        ] {
            assert_eq!(BirthDate::parse(text).as_ref().map(BirthDate::digits), digits, "{text:?}");
        }
    }

    #[test]
    fn a_partial_date_agrees_where_it_is_a_prefix() {
        let of = |text| BirthDate::parse(text).unwrap();
        for (one, other, agree) in [
            ("19710203", "1971-02-03", true),
            ("1971", "19710203", true),
            ("197102", "19710203", true),
            ("1971", "1971", true),
            ("1970", "19710203", false),
            ("197103", "19710203", false),
            ("19710204", "19710203", false),
        ] {
            assert_eq!(of(one).agrees(&of(other)), agree, "{one} {other}");
            assert_eq!(of(other).agrees(&of(one)), agree, "{other} {one}");
        }
        assert!(!format!("{:?}", of("1971")).contains("1971"));
    }
}

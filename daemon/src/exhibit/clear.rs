//! What of a message is shown in clear: a list of what may be seen, never of what may not.
//!
//! Invariants
//! - Only a place that is listed is shown, and only where what stands there looks like what belongs there; a new
//!   segment, a Z segment, free text and a field that slid to another place stay masked.
//! - What is shown is printable ASCII.
//! - What the message itself gives as a patient's name, number, date or address is not shown anywhere in it.

use std::collections::BTreeSet;

/// What may stand at a place, and so be shown.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// A count of up to four digits.
    SetId,
    /// The name of an application or a facility.
    Name,
    /// A code: no blanks, no more than 24 characters.
    Code,
    /// A unit of measure.
    Unit,
    /// A moment; of the time of day only how many digits it has.
    Day,
    /// A moment of the message itself, whole.
    Stamp,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A version of the standard.
    Version,
    /// A character set of table 0211.
    Charset,
    /// A message's own id.
    ControlId,
}

const ACKNOWLEDGE: Look = Look::Word(&["AL", "NE", "ER", "SU"]);
/// Table 0125.
const VALUE_TYPES: Look = Look::Word(&[
    "AD", "CE", "CF", "CNE", "CWE", "CX", "DR", "DT", "DTM", "ED", "FT", "ID", "IS", "MO", "NA", "NM", "PN",
    "RP", "SN", "ST", "TM", "TN", "TS", "TX", "XAD", "XCN", "XON", "XPN", "XTN",
]);
/// Table 0203, as far as engines use it.
const ID_TYPES: Look = Look::Word(&[
    "AN", "BC", "DL", "DN", "EI", "EN", "FI", "HC", "JHN", "LN", "LR", "MA", "MC", "MR", "MRT", "NH", "NI",
    "NNxxx", "NPI", "PI", "PN", "PPN", "PRC", "PRN", "PT", "RI", "RR", "SL", "SR", "SS", "U", "UPIN", "VN",
    "WC", "XX",
]);
/// Tables 0085 and 0123: status of a result.
const STATUSES: Look =
    Look::Word(&["A", "C", "D", "F", "I", "M", "N", "O", "P", "R", "S", "U", "V", "W", "X", "Y", "Z"]);
/// Table 0078.
const FLAGS: Look =
    Look::Word(&["A", "AA", "B", "D", "H", "HH", "HU", "L", "LL", "LU", "N", "U", "W", "<", ">"]);
const SPECIMEN_CODE: Look = Look::Code;

/// Places: segment, field, component (0: every one), and what may stand there.
const PLACES: &[(&str, usize, usize, Look)] = &[
    ("MSH", 3, 0, Look::Name),
    ("MSH", 4, 0, Look::Name),
    ("MSH", 5, 0, Look::Name),
    ("MSH", 6, 0, Look::Name),
    ("MSH", 7, 1, Look::Stamp),
    (
        "MSH",
        9,
        1,
        Look::Word(&[
            "ACK", "ADT", "BAR", "DFT", "MDM", "OML", "ORL", "ORM", "ORR", "ORU", "OUL", "QRY", "RDE", "SIU",
            "VXU",
        ]),
    ),
    ("MSH", 9, 2, Look::Code),
    ("MSH", 9, 3, Look::Code),
    ("MSH", 10, 1, Look::ControlId),
    ("MSH", 11, 1, Look::Word(&["P", "T", "D"])),
    ("MSH", 11, 2, Look::Word(&["A", "R", "I", "T"])),
    ("MSH", 12, 1, Look::Version),
    ("MSH", 15, 1, ACKNOWLEDGE),
    ("MSH", 16, 1, ACKNOWLEDGE),
    ("MSH", 18, 1, Look::Charset),
    ("FHS", 3, 0, Look::Name),
    ("FHS", 4, 0, Look::Name),
    ("FHS", 5, 0, Look::Name),
    ("FHS", 6, 0, Look::Name),
    ("FHS", 7, 1, Look::Stamp),
    ("FHS", 11, 1, Look::ControlId),
    ("BHS", 3, 0, Look::Name),
    ("BHS", 4, 0, Look::Name),
    ("BHS", 5, 0, Look::Name),
    ("BHS", 6, 0, Look::Name),
    ("BHS", 7, 1, Look::Stamp),
    ("BHS", 11, 1, Look::ControlId),
    ("FTS", 1, 1, Look::SetId),
    ("BTS", 1, 1, Look::SetId),
    ("EVN", 1, 1, Look::Code),
    ("EVN", 2, 1, Look::Day),
    ("EVN", 6, 1, Look::Day),
    ("MSA", 1, 1, Look::Word(&["AA", "AE", "AR", "CA", "CE", "CR"])),
    ("MSA", 2, 1, Look::ControlId),
    ("ERR", 3, 1, Look::Code),
    ("ERR", 4, 1, Look::Word(&["E", "F", "I", "W"])),
    ("PID", 1, 1, Look::SetId),
    ("PID", 3, 5, ID_TYPES),
    ("MRG", 1, 5, ID_TYPES),
    ("PV1", 1, 1, Look::SetId),
    ("PV1", 2, 1, Look::Word(&["B", "C", "E", "I", "N", "O", "P", "R", "U"])),
    (
        "ORC",
        1,
        1,
        Look::Word(&["CA", "CR", "DC", "HD", "NW", "OC", "OK", "RE", "RP", "SC", "SN", "XO", "XX"]),
    ),
    ("ORC", 5, 1, Look::Word(&["A", "CA", "CM", "DC", "ER", "HD", "IP", "RP", "SC"])),
    ("ORC", 9, 1, Look::Day),
    ("OBR", 1, 1, Look::SetId),
    ("OBR", 4, 1, Look::Code),
    ("OBR", 4, 3, Look::Code),
    ("OBR", 4, 4, Look::Code),
    ("OBR", 4, 6, Look::Code),
    ("OBR", 7, 1, Look::Day),
    ("OBR", 8, 1, Look::Day),
    ("OBR", 22, 1, Look::Day),
    ("OBR", 25, 1, STATUSES),
    ("OBX", 1, 1, Look::SetId),
    ("OBX", 2, 1, VALUE_TYPES),
    ("OBX", 3, 1, Look::Code),
    ("OBX", 3, 3, Look::Code),
    ("OBX", 3, 4, Look::Code),
    ("OBX", 3, 6, Look::Code),
    ("OBX", 4, 1, Look::SetId),
    ("OBX", 6, 1, Look::Unit),
    ("OBX", 6, 2, Look::Unit),
    ("OBX", 6, 3, Look::Code),
    ("OBX", 8, 1, FLAGS),
    ("OBX", 11, 1, STATUSES),
    ("OBX", 14, 1, Look::Day),
    ("OBX", 19, 1, Look::Day),
    ("NTE", 1, 1, Look::SetId),
    ("NTE", 2, 1, Look::Word(&["L", "O", "P"])),
    ("SPM", 1, 1, Look::SetId),
    ("SPM", 4, 1, SPECIMEN_CODE),
    ("SPM", 4, 3, SPECIMEN_CODE),
    ("SPM", 17, 1, Look::Day),
    ("SPM", 18, 1, Look::Day),
];

/// Fields of PID that name or number a person, or say where they live, or when they were born.
const PERSONAL_OF_PID: &[usize] = &[2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 18, 19, 20, 21, 23];
/// Shortest piece of personal data that is looked for elsewhere; two letters occur in every code.
const PERSONAL_MIN: usize = 3;
/// Shortest that is looked for inside longer words too.
const INSIDE_MIN: usize = 4;

/// What a message gives as a person's data, in pieces, so that it is not shown where it does not belong either.
#[derive(Debug, Default)]
pub struct Personal {
    pieces: BTreeSet<String>,
    authority: Option<String>,
}

impl Personal {
    /// Whether a field's text is a person's data; of a CX (identifiers) only what stands before the authority.
    pub fn is(segment: &str, field: usize, component: usize) -> bool {
        match segment {
            "PID" if matches!(field, 2 | 3 | 4 | 18 | 21) => component < 4,
            "PID" => PERSONAL_OF_PID.contains(&field),
            "MRG" => component < 4 || field == 7,
            "NK1" | "GT1" => field > 1,
            _ => false,
        }
    }

    /// The authority that the site's patients have, by the configuration.
    pub fn expect_authority(&mut self, authority: Option<&str>) {
        self.authority = authority.map(str::to_owned);
    }

    /// Learns the pieces of a person's data.
    pub fn learn(&mut self, text: &str) {
        let pieces = text.split(|c: char| !c.is_alphanumeric());
        self.pieces.extend(pieces.filter(|piece| piece.len() >= PERSONAL_MIN).map(str::to_lowercase));
    }

    /// Whether any of it stands in a text.
    fn stands_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        words.any(|word| self.pieces.contains(word))
            || self.pieces.iter().any(|piece| piece.len() >= INSIDE_MIN && text.contains(piece.as_str()))
    }
}

/// What is shown of a component; `None` where it is masked. `component` is counted from 1, `text` is one
/// subcomponent or all of it.
pub fn shown(
    segment: &str,
    field: usize,
    component: usize,
    text: &str,
    personal: &Personal,
) -> Option<String> {
    if (segment, field, component) == ("PID", 3, 4) {
        return personal.authority.as_deref().filter(|known| *known == text).map(visible_name);
    }
    let (.., look) =
        PLACES.iter().find(|(s, f, c, _)| *s == segment && *f == field && (*c == 0 || *c == component))?;
    let seen = look.of(text)?;
    (!personal.stands_in(&seen)).then_some(seen)
}

/// A name from the configuration, as a terminal may have it.
fn visible_name(name: &str) -> String {
    super::visible::visible(name.as_bytes())
}

impl Look {
    /// What is shown of a text that looks like this.
    fn of(self, text: &str) -> Option<String> {
        let fits = match self {
            Self::SetId => (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
            Self::Name => is_of(text, 64, |b| b.is_ascii_alphanumeric() || b" ._-/:".contains(&b)),
            Self::Code => is_of(text, 24, |b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)),
            Self::Unit => is_of(text, 24, |b| b.is_ascii_alphanumeric() || b"%/.*()[]{}_-".contains(&b)),
            Self::Word(words) => words.contains(&text),
            Self::Version => is_of(text, 8, |b| b.is_ascii_digit() || b == b'.'),
            Self::Charset => {
                is_of(text, 24, |b| b.is_ascii_alphanumeric() || b" /-_".contains(&b))
                    && ["ASCII", "8859", "UNI", "ISO", "UTF", "WINDOWS", "CP", "GB", "BIG", "KS", "CNS"]
                        .iter()
                        .any(|begin| text.to_ascii_uppercase().starts_with(begin))
            }
            Self::ControlId => is_of(text, 40, |b| b.is_ascii_alphanumeric() || b"._-:/".contains(&b)),
            Self::Stamp => is_moment(text),
            Self::Day => return is_moment(text).then(|| to_the_day(text)),
        };
        fits.then(|| text.to_owned())
    }
}

fn is_of(text: &str, most: usize, fits: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= most && text.bytes().all(fits)
}

/// Whether a text has the form of an HL7 time with a date in it, whatever its hour says.
fn is_moment(text: &str) -> bool {
    let number =
        |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<u32>().ok());
    is_of(text, 26, |b| b.is_ascii_digit() || b"+-.".contains(&b))
        && number(0..4).is_some_and(|year| (1990..2200).contains(&year))
        && number(4..6).is_some_and(|month| (1..=12).contains(&month))
        && number(6..8).is_some_and(|day| (1..=31).contains(&day))
}

/// The date and the offset, and how many digits the time of day has.
fn to_the_day(text: &str) -> String {
    let (day, rest) = text.split_at(8);
    let (time, offset) = rest.split_at(rest.find(['+', '-']).unwrap_or(rest.len()));
    let time: String = time.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    format!("{day}{time}{offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_shown_where_it_looks_like_what_belongs_there() {
        let nobody = Personal::default();
        for (segment, field, component, text, seen) in [
            ("OBX", 2, 1, "NM", Some("NM")),
            ("OBX", 2, 1, "DOE", None),
            ("OBX", 3, 1, "99504-3", Some("99504-3")),
            ("OBX", 3, 2, "Glucose", None),
            ("OBX", 5, 1, "120", None),
            ("OBX", 6, 1, "mg/dL", Some("mg/dL")),
            ("OBX", 6, 1, "JOHN DOE", None),
            ("OBX", 11, 1, "F", Some("F")),
            ("OBX", 14, 1, "20260302001500.123+0000", Some("20260302######.###+0000")),
            ("OBX", 14, 1, "20269902001500+0000", None),
            ("OBX", 14, 1, "19310709", None),
            ("OBX", 18, 1, "SM00000042", None),
            ("PID", 1, 1, "1", Some("1")),
            ("PID", 1, 1, "7700001", None),
            ("PID", 3, 1, "7700001", None),
            ("PID", 3, 5, "MR", Some("MR")),
            ("PID", 3, 5, "DOE", None),
            ("PID", 5, 1, "DOE", None),
            ("PID", 8, 1, "F", None),
            ("NTE", 3, 1, "F", None),
            ("ZPI", 1, 1, "1", None),
            ("MSH", 9, 1, "ORU", Some("ORU")),
            ("MSH", 9, 1, "DOE", None),
            ("MSH", 12, 1, "2.5.1", Some("2.5.1")),
            ("MSH", 12, 1, "2.5.1PID", None),
            ("MSH", 17, 1, "DOE", None),
            ("MSH", 18, 1, "8859/1", Some("8859/1")),
            ("MSH", 18, 1, "DOE", None),
        ] {
            assert_eq!(
                shown(segment, field, component, text, &nobody).as_deref(),
                seen,
                "{segment}-{field}.{component} {text}"
            );
        }
    }

    #[test]
    fn what_the_message_gives_as_a_persons_data_is_shown_nowhere() {
        let mut personal = Personal::default();
        for text in ["7700001", "Quibble-Thorpe", "4711 Marmalade Crescent", "MR"] {
            personal.learn(text);
        }
        for text in ["7700001", "X7700001X", "quibble", "THORPE", "a_marmalade", "4711"] {
            assert_eq!(shown("OBX", 3, 1, text, &personal), None, "{text}");
        }
        assert_eq!(shown("OBX", 3, 1, "99504-3", &personal).as_deref(), Some("99504-3"));
        assert_eq!(shown("PID", 3, 5, "MR", &personal).as_deref(), Some("MR"));
    }

    #[test]
    fn of_an_identifier_the_authority_and_the_type_are_not_the_persons() {
        assert!(Personal::is("PID", 3, 1) && Personal::is("PID", 5, 2) && Personal::is("MRG", 1, 1));
        assert!(!Personal::is("PID", 3, 4) && !Personal::is("PID", 3, 5) && !Personal::is("PID", 8, 1));
        assert!(!Personal::is("MSH", 4, 1));
    }
}

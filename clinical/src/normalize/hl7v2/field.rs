//! Inside a field: repetitions, components, subcomponents, and the text with its escapes decoded.
//!
//! Invariants: the delimiters are those of the message's own MSH-1 and MSH-2; no part is lost, whatever
//! the field holds; decoding loses nothing (an escape that is not understood stays as written); HL7's null
//! (`""`) reads as empty.
//!
//! Repetitions are read by `hl7-parser`. It is given nothing but a field that our own splitter has cut out, because
//! it stops without a word at what it takes for the end of a segment; and our own decoder reads the escapes, because
//! its decoder fails on letters beyond ASCII. A single component is cut out by hand: to have the parser list all of
//! them for each look took a quarter of the pipeline's time, and a property test holds the two ways to each other.

use std::borrow::Cow;

use super::escape::decode;

/// The delimiters of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delimiters {
    pub(super) field: char,
    pub(super) component: char,
    pub(super) repetition: char,
    pub(super) escape: char,
    pub(super) subcomponent: char,
    /// The fifth character of MSH-2, since v2.7.
    pub(super) truncation: Option<char>,
}

impl Delimiters {
    /// The delimiters of an MSH segment (`MSH|^~\&`, of 2.7 `MSH|^~\&#`); what a short MSH-2 leaves out
    /// is as in the standard. `None` where the text is no MSH segment.
    pub(super) fn of_header(msh: &str) -> Option<Self> {
        let mut rest = msh.strip_prefix("MSH")?.chars();
        let field = rest.next().filter(|c| !c.is_alphanumeric())?;
        let mut encoding = rest.take_while(|&c| c != field);
        let mut next = |default| encoding.next().unwrap_or(default);
        let (component, repetition, escape, subcomponent) = (next('^'), next('~'), next('\\'), next('&'));
        Some(Self { field, component, repetition, escape, subcomponent, truncation: encoding.next() })
    }
}

/// What stands after the `n`th delimiter of a text and before the next; empty where there are fewer. A delimiter of one
/// byte is what every message but the odd one has, and is looked for as a byte: `str::split` compares each find once
/// more by a call.
pub(super) fn nth(text: &str, delimiter: char, n: usize) -> &str {
    if !delimiter.is_ascii() {
        return text.split(delimiter).nth(n).unwrap_or("");
    }
    let mut ends = memchr::memchr_iter(delimiter as u8, text.as_bytes());
    let from = match n {
        0 => 0,
        n => match ends.nth(n - 1) {
            Some(before) => before + 1,
            None => return "",
        },
    };
    text.get(from..ends.next().unwrap_or(text.len())).unwrap_or("")
}

/// A piece of a segment: a field, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    raw: &'a str,
    delimiters: Delimiters,
}

impl<'a> Field<'a> {
    pub(super) const fn new(raw: &'a str, delimiters: Delimiters) -> Self {
        Self { raw, delimiters }
    }

    /// The repetitions; at least one.
    pub(super) fn repetitions(self) -> impl Iterator<Item = Field<'a>> {
        self.parts(self.delimiters.repetition).into_iter().map(move |raw| Self { raw, ..self })
    }

    /// The first repetition.
    pub(super) fn first(self) -> Field<'a> {
        self.part(self.delimiters.repetition, 1)
    }

    /// The `n`th component, from 1; empty where there are fewer.
    pub(super) fn component(self, n: usize) -> Field<'a> {
        self.part(self.delimiters.component, n)
    }

    /// The `n`th subcomponent, from 1; empty where there are fewer.
    pub(super) fn subcomponent(self, n: usize) -> Field<'a> {
        self.part(self.delimiters.subcomponent, n)
    }

    /// True where nothing but blanks, or HL7's null, is there.
    pub(super) fn is_empty(self) -> bool {
        matches!(self.raw.trim(), "" | "\"\"")
    }

    /// True for HL7's null, which takes back what was said before; an empty field says nothing.
    pub(super) fn is_null(self) -> bool {
        self.raw.trim() == "\"\""
    }

    /// The text without surrounding blanks, escapes decoded; empty for HL7's null.
    pub(super) fn text(self) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed("");
        }
        decode(self.raw.trim(), self.delimiters)
    }

    /// As sent.
    #[cfg(test)]
    pub(super) const fn raw(self) -> &'a str {
        self.raw
    }

    fn part(self, delimiter: char, n: usize) -> Field<'a> {
        Self { raw: nth(self.raw, delimiter, n.saturating_sub(1)), ..self }
    }

    /// What stands between the delimiters of one level. To the parser the other levels end at a CR, which
    /// no segment holds, so that it stops nowhere before the end.
    fn parts(self, delimiter: char) -> Vec<&'a str> {
        let levels = hl7_parser::message::Separators {
            field: '\r',
            repetition: delimiter,
            component: '\r',
            subcomponent: '\r',
            escape: '\r',
            lenient_newlines: false,
        };
        match hl7_parser::parser::parse_field_with_separators(self.raw, levels) {
            Ok(field) => field.repeats.iter().map(|part| part.raw_value()).collect(),
            Err(_) => self.raw.split(delimiter).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Delimiters = Delimiters {
        field: '|',
        component: '^',
        repetition: '~',
        escape: '\\',
        subcomponent: '&',
        truncation: None,
    };

    #[test]
    fn delimiters_are_those_the_header_states() {
        assert_eq!(Delimiters::of_header(r"MSH|^~\&|A"), Some(STANDARD));
        let since_2_7 = Delimiters { truncation: Some('#'), ..STANDARD };
        assert_eq!(Delimiters::of_header(r"MSH|^~\&#|A"), Some(since_2_7));
        assert_eq!(Delimiters::of_header("MSH|^|A"), Some(STANDARD));
        let custom = Delimiters {
            field: '$',
            component: ':',
            repetition: '*',
            escape: '!',
            subcomponent: '@',
            truncation: None,
        };
        assert_eq!(Delimiters::of_header("MSH$:*!@$A"), Some(custom));
        for text in ["MSH", "MSHA^", "PID|", ""] {
            assert_eq!(Delimiters::of_header(text), None, "{text}");
        }
    }

    #[test]
    fn parts_are_found_and_missing_ones_are_empty() {
        let field = Field::new("a^b&c~d", STANDARD);
        assert_eq!(field.repetitions().count(), 2);
        assert_eq!(field.first().component(2).subcomponent(2).text(), "c");
        assert_eq!(field.first().component(9).text(), "");
    }

    #[test]
    fn escapes_are_decoded_and_unknown_ones_stay() {
        for (raw, text) in [
            (r"\F\\S\\T\\R\\E\", r"|^&~\"),
            (r"mg\X2F\dL", "mg/dL"),
            (r"\XC3A9\", "é"),
            (r"é\T\é", "é&é"),
            (r"\XC3\", r"\XC3\"),
            (r"\X2\", r"\X2\"),
            (r"\H\bold\N\", "bold"),
            (r"one\.br\two\.sp2\three", "one\ntwo\n\nthree"),
            (r"\.sk2\a\.fi\b", "  ab"),
            (r"\P\", r"\P\"),
            (r"\Z1\F\T\", r"\Z1\F&"),
            (r"\C2842\a\M2120\", r"\C2842\a\M2120\"),
            (r"C:\path", r"C:\path"),
            (r"a\", r"a\"),
            (r"a\b\T\c", r"a\b&c"),
        ] {
            assert_eq!(Field::new(raw, STANDARD).text(), text, "{raw}");
        }
    }

    #[test]
    fn the_null_of_hl7_reads_as_empty() {
        for raw in ["", "  ", "\"\"", " \"\" "] {
            let field = Field::new(raw, STANDARD);
            assert!(field.is_empty());
            assert_eq!(field.text(), "");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_parser_of_fields_finds_every_part_of_any_text(text in "[a\\^~&|\\\\ \n\té日\u{b}\u{1c}]{0,40}") {
            let field = Field::new(&text, STANDARD);
            for delimiter in ['^', '~', '&'] {
                let plain: Vec<&str> = text.split(delimiter).collect();
                proptest::prop_assert_eq!(&field.parts(delimiter), &plain);
                // A delimiter beyond ASCII has a way of its own.
                let beyond = text.replace(delimiter, "日");
                for n in 1..=plain.len() + 1 {
                    proptest::prop_assert_eq!(nth(&beyond, '日', n - 1), beyond.split('日').nth(n - 1).unwrap_or(""));
                    proptest::prop_assert_eq!(field.part(delimiter, n).raw, plain.get(n - 1).copied().unwrap_or(""));
                }
            }
        }
    }
}

//! The delimiters of one message, as its MSH-1 and MSH-2 declare them.
//!
//! Invariants: all are ASCII punctuation (so that no byte of a UTF-8 or 8859 letter is ever taken for
//! one) and all differ.

/// Most characters of MSH-2: four, and the truncation character of v2.7 (v2.9 section 2.14.9.2).
const MAX_MSH2: usize = 5;

/// The delimiters of a message (HL7 v2.9 section 2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separators {
    /// MSH-1, recommended `|`.
    pub field: u8,
    /// MSH-2, first character, recommended `^`.
    pub component: u8,
    /// MSH-2, second character, recommended `~`.
    pub repetition: u8,
    /// MSH-2, third character, recommended `\`.
    pub escape: u8,
    /// MSH-2, fourth character, recommended `&`.
    pub subcomponent: u8,
    /// MSH-2, fifth character since v2.7, recommended `#`; `None` where MSH-2 has four.
    pub truncation: Option<u8>,
}

impl Separators {
    /// What HL7 recommends: `|^~\&`.
    pub const RECOMMENDED: Self = Self {
        field: b'|',
        component: b'^',
        repetition: b'~',
        escape: b'\\',
        subcomponent: b'&',
        truncation: None,
    };

    /// Reads MSH-1 and MSH-2. Characters that a short MSH-2 leaves out (v2.5.1 section 2.5.4 permits it
    /// where they are not used) are the recommended ones.
    ///
    /// `None` if MSH-2 is empty or longer than five, or if a character is no ASCII punctuation or stands
    /// for two things.
    pub fn parse(field: u8, msh2: &[u8]) -> Option<Self> {
        if msh2.is_empty() || msh2.len() > MAX_MSH2 {
            return None;
        }
        let at = |index: usize, recommended: u8| msh2.get(index).copied().unwrap_or(recommended);
        let separators = Self {
            field,
            component: at(0, b'^'),
            repetition: at(1, b'~'),
            escape: at(2, b'\\'),
            subcomponent: at(3, b'&'),
            truncation: msh2.get(4).copied(),
        };
        separators.is_sound().then_some(separators)
    }

    /// MSH-2 in full, without MSH-1.
    pub fn encoding_characters(&self) -> impl Iterator<Item = u8> + use<> {
        [self.component, self.repetition, self.escape, self.subcomponent].into_iter().chain(self.truncation)
    }

    fn is_sound(&self) -> bool {
        let mut seen = 0u128;
        std::iter::once(self.field).chain(self.encoding_characters()).all(|byte| {
            let fresh = byte.is_ascii_punctuation() && seen & (1 << byte) == 0;
            seen |= if fresh { 1 << byte } else { 0 };
            fresh
        })
    }
}

impl Default for Separators {
    fn default() -> Self {
        Self::RECOMMENDED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recommended_ones_are_read_with_and_without_the_truncation_character() {
        assert_eq!(Separators::parse(b'|', b"^~\\&"), Some(Separators::RECOMMENDED));
        let with_truncation = Separators { truncation: Some(b'#'), ..Separators::RECOMMENDED };
        assert_eq!(Separators::parse(b'|', b"^~\\&#"), Some(with_truncation));
        assert_eq!(with_truncation.encoding_characters().collect::<Vec<_>>(), b"^~\\&#");
    }

    #[test]
    fn custom_ones_are_read_in_their_order() {
        let custom = Separators::parse(b'$', b"@!%*").unwrap();
        assert_eq!((custom.field, custom.component, custom.repetition), (b'$', b'@', b'!'));
        assert_eq!((custom.escape, custom.subcomponent, custom.truncation), (b'%', b'*', None));
    }

    #[test]
    fn what_a_short_msh2_leaves_out_is_as_recommended() {
        assert_eq!(Separators::parse(b'|', b"^"), Some(Separators::RECOMMENDED));
        assert_eq!(Separators::parse(b'|', b"&"), None, "the recommended subcomponent separator is taken");
    }

    #[test]
    fn characters_that_cannot_delimit_are_refused() {
        for (field, msh2) in [
            (b'|', &b""[..]),
            (b'|', b"&&&&"),
            (b'|', b"^~\\|"),
            (b'|', b"^~\\&#x"),
            (b'|', b"^~\\ "),
            (b'|', b"^~\\\xC3"),
            (b'A', b"^~\\&"),
            (b'\t', b"^~\\&"),
            (0xFF, b"^~\\&"),
        ] {
            assert_eq!(Separators::parse(field, msh2), None, "{field:#x} {msh2:?}");
        }
    }
}

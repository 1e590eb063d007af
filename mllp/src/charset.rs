//! Bytes into text, by what MSH-18 declares.
//!
//! Invariants
//! - ASCII bytes come out unchanged in every character set that is read here.
//! - No guess: the declared set, else the default the caller gives for the source.
//! - What cannot be decoded becomes U+FFFD and is told (`replaced`); the raw bytes are the caller's to
//!   keep.
//!
//! Not read, because their bytes collide with frame bytes or delimiters: UTF-16 and UTF-32 (0x0B, 0x0D
//! and 0x1C occur inside characters), BIG-5 and GB 18030 (`\`, `^`, `|` and `~` occur as second bytes), and
//! the ISO-2022 sets of Japan (escape sequences in ASCII).

use std::borrow::Cow;

use encoding_rs::Encoding;

/// A character set of HL7 table 0211 that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ascii,
    Table(&'static Encoding),
}

/// The right halves of 8859 in ISO's register of character sets, as some senders (and DICOM) name them.
const ISO_REGISTER: [(&str, &str); 10] = [
    ("ISOIR100", "88591"),
    ("ISOIR101", "88592"),
    ("ISOIR109", "88593"),
    ("ISOIR110", "88594"),
    ("ISOIR144", "88595"),
    ("ISOIR127", "88596"),
    ("ISOIR126", "88597"),
    ("ISOIR138", "88598"),
    ("ISOIR148", "88599"),
    ("ISOIR192", "UTF8"),
];

/// Why a text is not decoded. The message is kept; what MSH-18 said is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharsetError {
    /// MSH-18 names UTF-16 or UTF-32.
    #[error("MSH-18 names a 16 or 32 bit encoding, whose bytes collide with framing; send UNICODE UTF-8")]
    CollidesWithFraming,
    /// MSH-18 names a set that is not read here.
    #[error("MSH-18 names a character set that is not supported; send UNICODE UTF-8")]
    Unsupported,
}

impl Charset {
    /// 7-bit ASCII, HL7's default.
    pub const ASCII: Self = Self(Kind::Ascii);
    /// UTF-8.
    pub const UTF_8: Self = Self(Kind::Table(encoding_rs::UTF_8));
    /// 8859/1, read as windows-1252: the two differ only in 0x80 to 0x9F, where 8859/1 has control
    /// characters that no text holds and Windows senders have quotation marks and the euro sign.
    pub const LATIN_1: Self = Self(Kind::Table(encoding_rs::WINDOWS_1252));

    /// The set that MSH-18 means by `name`, in the spellings of table 0211 and those that vendors use
    /// (`UTF-8`, `utf8`, `ISO-8859-1`, `iso8859_1`, `ISO_IR 100`, `Latin1`, `windows-1252`, `cp1252`, `ANSI`, the names
    /// of Oracle, …).
    ///
    /// # Errors
    /// [`CharsetError`] for any other name.
    pub fn named(name: &str) -> Result<Self, CharsetError> {
        let bare: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        let bare = bare.strip_prefix("UNICODE").filter(|rest| !rest.is_empty()).unwrap_or(&bare);
        let bare = bare.strip_suffix("UNICODE").filter(|rest| !rest.is_empty()).unwrap_or(bare);
        let bare = ISO_REGISTER.iter().find(|(number, _)| bare == *number).map_or(bare, |(_, part)| *part);
        match bare {
            "ASCII" | "USASCII" | "US7ASCII" | "ISOIR6" | "ISO646" | "ANSIX341968" => return Ok(Self::ASCII),
            "UNICODE" | "UTF8" | "UTF8MB4" | "AL32UTF8" | "CP65001" => return Ok(Self::UTF_8),
            "LATIN1" | "ANSI" | "WE8ISO8859P1" | "WE8MSWIN1252" | "MSANSI" => return Ok(Self::LATIN_1),
            _ if bare.starts_with("UTF16") || bare.starts_with("UTF32") || bare.starts_with("UCS") => {
                return Err(CharsetError::CollidesWithFraming);
            }
            _ => {}
        }
        let page = ["WINDOWS", "WIN", "MSWIN", "CP"].into_iter().find_map(|name| bare.strip_prefix(name));
        let label = if let Some(part) = bare.trim_start_matches("ISO").strip_prefix("8859") {
            format!("iso-8859-{part}")
        } else if let Some(number) = bare.strip_prefix("LATIN") {
            format!("l{number}")
        } else if let Some(page) = page {
            format!("windows-{page}")
        } else {
            return Err(CharsetError::Unsupported);
        };
        Encoding::for_label_no_replacement(label.as_bytes())
            .map(|encoding| Self(Kind::Table(encoding)))
            .ok_or(CharsetError::Unsupported)
    }
}

/// Whether MSH-18 names UTF-16, UTF-32 or UCS: bytes that a frame cannot carry. Allocates nothing for any other name.
pub fn collides_with_framing(name: &str) -> bool {
    let suspicious = |pair: &[u8]| matches!(pair, b"16" | b"32") || pair.eq_ignore_ascii_case(b"UC");
    name.as_bytes().windows(2).any(suspicious)
        && Charset::named(name) == Err(CharsetError::CollidesWithFraming)
}

/// Decodes `bytes` by `msh18` (see [`Envelope::charset`](crate::Envelope::charset)), or by `default` where
/// it is absent or blank. The flag says that something could not be decoded and was replaced by U+FFFD.
/// A byte order mark is kept as the character it is.
///
/// # Errors
/// [`CharsetError`] if `msh18` names a set that is not read.
pub fn decode<'a>(
    bytes: &'a [u8],
    msh18: Option<&str>,
    default: Charset,
) -> Result<(Cow<'a, str>, bool), CharsetError> {
    let charset = match msh18.map(str::trim) {
        None | Some("" | "\"\"") => default,
        Some(name) => Charset::named(name)?,
    };
    Ok(match charset.0 {
        Kind::Table(encoding) => encoding.decode_without_bom_handling(bytes),
        Kind::Ascii => match str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => (Cow::Borrowed(text), false),
            _ => {
                let replace = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '\u{FFFD}' };
                (Cow::Owned(bytes.iter().map(replace).collect()), true)
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8], msh18: &str) -> String {
        let (text, replaced) = decode(bytes, Some(msh18), Charset::ASCII).unwrap();
        assert!(!replaced, "{msh18}");
        text.into_owned()
    }

    #[test]
    fn utf_8_is_known_by_all_its_spellings() {
        for name in [
            "UNICODE UTF-8",
            "UTF-8",
            "utf8",
            "UNICODE",
            "Unicode UTF8",
            " UTF-8 ",
            "UTF-8 Unicode",
            "AL32UTF8",
            "ISO_IR 192",
        ] {
            assert_eq!(text("Müller µ".as_bytes(), name), "Müller µ");
        }
    }

    #[test]
    fn latin_1_is_known_by_all_its_spellings() {
        for name in [
            "8859/1",
            "ISO-8859-1",
            "ISO8859_1",
            "iso 8859/1",
            "Latin1",
            "latin-1",
            "ISO_IR 100",
            "ISO IR100",
            "windows-1252",
            "CP1252",
            "Win-1252",
            "ANSI",
            "WE8ISO8859P1",
        ] {
            assert_eq!(text(b"M\xFCller \xB5", name), "Müller µ", "{name}");
        }
    }

    #[test]
    fn the_other_parts_of_8859_are_their_own() {
        // One letter of each, from the ISO 8859 code charts.
        for (name, byte, letter) in [
            ("8859/2", 0xB1, 'ą'),
            ("8859/5", 0xD0, 'а'),
            ("8859/7", 0xE1, 'α'),
            ("8859/8", 0xE0, 'א'),
            ("8859/9", 0xFD, 'ı'),
            ("8859/15", 0xA4, '€'),
            ("ISO_IR 101", 0xB1, 'ą'),
            ("Latin2", 0xB1, 'ą'),
            ("cp1251", 0xE0, 'а'),
        ] {
            assert_eq!(text(&[byte], name), letter.to_string(), "{name}");
        }
    }

    #[test]
    fn an_empty_msh_18_means_the_default_of_the_source() {
        for msh18 in [None, Some(""), Some("  "), Some("\"\"")] {
            assert_eq!(decode(b"\xFC", msh18, Charset::LATIN_1), Ok((Cow::Borrowed("ü"), false)));
            assert_eq!(decode(b"\xC3\xBC", msh18, Charset::UTF_8), Ok((Cow::Borrowed("ü"), false)));
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_replaced_and_told() {
        assert_eq!(decode(b"a\xFCb", Some("ASCII"), Charset::UTF_8), Ok((Cow::Borrowed("a\u{FFFD}b"), true)));
        let utf_8_called_ascii = decode("ü".as_bytes(), Some("ASCII"), Charset::UTF_8);
        assert_eq!(
            utf_8_called_ascii,
            Ok((Cow::Borrowed("\u{FFFD}\u{FFFD}"), true)),
            "declared wins over a guess"
        );
        assert_eq!(decode(b"a\xFCb", Some("UTF-8"), Charset::ASCII), Ok((Cow::Borrowed("a\u{FFFD}b"), true)));
    }

    #[test]
    fn utf_16_is_refused() {
        for name in ["UNICODE UTF-16", "UTF-16", "utf16le", "UNICODE UTF-32"] {
            assert_eq!(decode(b"x", Some(name), Charset::UTF_8), Err(CharsetError::CollidesWithFraming));
            assert!(collides_with_framing(name), "{name}");
        }
        assert!(collides_with_framing("UCS-2"));
        for name in ["UNICODE UTF-8", "8859/1", "8859/16", "windows-1252", "KLINGON-16", ""] {
            assert!(!collides_with_framing(name), "{name}");
        }
    }

    #[test]
    fn sets_whose_bytes_collide_with_delimiters_and_unknown_ones_are_refused() {
        for name in ["BIG-5", "GB 18030-2000", "ISO IR87", "8859/12", "8859/99", "KLINGON", "?"] {
            assert_eq!(decode(b"x", Some(name), Charset::UTF_8), Err(CharsetError::Unsupported), "{name}");
        }
    }

    proptest! {
        #[test]
        fn ascii_is_the_same_in_every_set(ascii in "[\\x00-\\x7F]{0,40}", which in 0usize..6) {
            let name = ["ASCII", "UTF-8", "8859/1", "8859/9", "8859/15", "cp1250"][which];
            let (text, replaced) = decode(ascii.as_bytes(), Some(name), Charset::ASCII).unwrap();
            prop_assert!(!replaced);
            prop_assert_eq!(&text, &ascii);
        }

        #[test]
        fn no_bytes_and_no_name_panic(bytes: Vec<u8>, name: String) {
            let _ = decode(&bytes, Some(&name), Charset::ASCII);
        }
    }
}

//! What a file's name says, and the names that are made from it. Pure.
//!
//! Invariants: a name is bytes (it need not be UTF-8) and never trusted: nothing is opened by a name that holds a
//! folder; no name is ever put into a log, a metric or a letter, because it may name a patient. What is made from a
//! name fits the file system, and two different names never become one.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use sha2::{Digest, Sha256};

/// The longest file name of the file systems in use (NAME_MAX of Linux), in bytes.
const NAME_MAX_BYTES: usize = 255;
/// Bytes of the hash that stands for what is cut off a long name, in hex digits twice as many.
const CUT_HASH_BYTES: usize = 4;
/// What a sidecar's name ends in.
const SIDECAR: &str = ".patient.json";

/// What a file is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `.hl7`: HL7 v2 messages.
    Hl7,
    /// `.txt`: HL7 v2 messages or an export, by its content.
    Text,
    /// `.csv`: an export.
    Csv,
    /// `.json`: kept.
    Json,
    /// `.patient.json`: says whose the file beside it is.
    Sidecar,
}

impl Class {
    /// The class of a name; `None` for everything that is none of our business: hidden, unfinished and other files.
    pub(super) fn of(name: &OsStr) -> Option<Self> {
        let name = name.as_bytes().to_ascii_lowercase();
        if name.starts_with(b".") {
            return None;
        }
        if name.ends_with(SIDECAR.as_bytes()) && name.len() > SIDECAR.len() {
            return Some(Self::Sidecar);
        }
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        match &name[dot + 1..] {
            b"hl7" => Some(Self::Hl7),
            b"txt" => Some(Self::Text),
            b"csv" => Some(Self::Csv),
            b"json" => Some(Self::Json),
            // Among them `.tmp`, `.part` and `.filepart`, as transfer programs name what they are still writing.
            _ => None,
        }
    }
}

/// The name of the sidecar of a file.
pub(super) fn sidecar(name: &OsStr) -> OsString {
    with_ending(name, SIDECAR)
}

/// The file that a sidecar speaks of; `None` where the name is no sidecar's.
pub(super) fn of_sidecar(name: &OsStr) -> Option<&OsStr> {
    let (bytes, length) = (name.as_bytes(), SIDECAR.len());
    let split = bytes.len().checked_sub(length).filter(|split| *split > 0)?;
    bytes[split..].eq_ignore_ascii_case(SIDECAR.as_bytes()).then(|| OsStr::from_bytes(&bytes[..split]))
}

/// What all spellings of a name have in common: upper and lower case of ASCII are one. Who drops files may write from
/// where they are.
pub(super) fn fold(name: &OsStr) -> Vec<u8> {
    name.as_bytes().to_ascii_lowercase()
}

/// What names have in common that a person may take for one: also letters with marks in either of Unicode's forms, and
/// upper and lower case beyond ASCII. Coarse on purpose, for it only raises a doubt: every letter that is not ASCII is
/// the same one, and so is a letter with a mark behind it.
pub(super) fn alike(name: &OsStr) -> String {
    let is_mark = |c: char| matches!(c, '\u{300}'..='\u{36f}');
    let mut alike = String::new();
    for c in name.to_string_lossy().chars() {
        match c {
            c if is_mark(c) => {
                alike.pop();
                alike.push('?');
            }
            c if c.is_ascii() => alike.push(c.to_ascii_lowercase()),
            _ => alike.push('?'),
        }
    }
    alike
}

/// The character, from 1, at which two names begin to differ.
pub(super) fn differ_at(one: &OsStr, other: &OsStr) -> usize {
    let (one, other) = (one.to_string_lossy(), other.to_string_lossy());
    1 + one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count()
}

/// The name with `ending` behind it. Of a name that would be too long the beginning is kept, and a hash of all of it.
pub(super) fn with_ending(name: &OsStr, ending: &str) -> OsString {
    let name = name.as_bytes();
    let mut made = Vec::with_capacity(NAME_MAX_BYTES);
    if name.len() + ending.len() <= NAME_MAX_BYTES {
        made.extend_from_slice(name);
    } else {
        let hash: String =
            Sha256::digest(name).iter().take(CUT_HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        made.extend_from_slice(&name[..NAME_MAX_BYTES - ending.len() - 1 - hash.len()]);
        made.push(b'~');
        made.extend_from_slice(hash.as_bytes());
    }
    made.extend_from_slice(ending.as_bytes());
    OsString::from_vec(made)
}

/// The `n`-th name to try for a file that is to stand beside others of its name: the name itself, then `NAME~2`.
pub(super) fn attempt(name: &OsStr, n: u32) -> OsString {
    if n <= 1 { name.to_owned() } else { with_ending(name, &format!("~{n}")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_says_what_a_file_is_and_hidden_unfinished_and_other_files_are_left_alone() {
        for (name, class) in [
            (&b"a.hl7"[..], Some(Class::Hl7)),
            (b"A.HL7", Some(Class::Hl7)),
            (b"a.b.txt", Some(Class::Text)),
            (b"a.csv", Some(Class::Csv)),
            (b"a.json", Some(Class::Json)),
            (b"a.csv.patient.json", Some(Class::Sidecar)),
            (b"a.CSV.Patient.JSON", Some(Class::Sidecar)),
            (b"patient.json", Some(Class::Json)),
            (b".patient.json", None),
            (b"\xff\xfe.csv", Some(Class::Csv)),
            (b".a.hl7", None),
            (b"a.hl7.tmp", None),
            (b"a.csv.part", None),
            (b"a.csv.filepart", None),
            (b"a.tmp", None),
            (b"a", None),
            (b"hl7", None),
            (b"a.pdf", None),
            (b"a.", None),
        ] {
            assert_eq!(Class::of(OsStr::from_bytes(name)), class, "{name:?}");
        }
    }

    #[test]
    fn a_sidecar_and_its_file_name_each_other() {
        let name = OsStr::new("a.csv");
        assert_eq!(sidecar(name), "a.csv.patient.json");
        assert_eq!(of_sidecar(&sidecar(name)), Some(name));
        assert_eq!(of_sidecar(OsStr::new("a.csv")), None);
        assert_eq!(of_sidecar(OsStr::new(".patient.json")), None);
    }

    #[test]
    fn names_that_a_person_may_take_for_one_are_alike_and_where_they_differ_is_told() {
        for (one, other, are, at) in [
            ("a.csv", "A.csv", true, 1),
            // Composed and decomposed, as systems differ in writing them.
            ("M\u{fc}ller.csv", "Mu\u{308}ller.csv", true, 2),
            ("\u{c4}.csv", "\u{e4}.csv", true, 1),
            ("Muller.csv", "M\u{fc}ller.csv", false, 2),
            ("a.csv", "ab.csv", false, 2),
        ] {
            let (one, other) = (OsStr::new(one), OsStr::new(other));
            assert_eq!((alike(one) == alike(other), differ_at(one, other)), (are, at), "{one:?} {other:?}");
        }
    }

    #[test]
    fn of_several_files_of_a_name_each_has_its_own() {
        let name = OsStr::new("a.csv");
        assert_eq!([1, 2, 3].map(|n| attempt(name, n)), ["a.csv", "a.csv~2", "a.csv~3"]);
    }

    #[test]
    fn a_name_that_would_be_too_long_is_cut_and_stays_its_own() {
        let long = |end: u8| OsString::from_vec([vec![b'x'; 254], vec![end]].concat());
        let fits = OsString::from_vec(vec![b'x'; 255 - ".receipt.txt".len()]);
        assert_eq!(with_ending(&fits, ".receipt.txt").len(), 255);
        let (a, b) = (with_ending(&long(b'a'), ".receipt.txt"), with_ending(&long(b'b'), ".receipt.txt"));
        assert_eq!((a.len(), b.len()), (255, 255));
        assert_ne!(a, b);
    }

    proptest! {
        #[test]
        fn no_name_made_is_too_long_or_holds_a_folder(name in prop::collection::vec(1u8.., 1..255), n in 1u32..9999) {
            let name = OsString::from_vec(name.into_iter().filter(|byte| *byte != b'/').collect());
            prop_assume!(!name.is_empty());
            for made in [sidecar(&name), with_ending(&name, ".receipt.txt"), attempt(&name, n)] {
                prop_assert!(made.len() <= NAME_MAX_BYTES && !made.as_bytes().contains(&b'/'));
            }
        }
    }
}

//! An export as it lies in the inbox: a line that says whose it is and how its text is written, then its bytes.
//!
//! Invariants: the bytes of the file are kept as they were; the line is a function of what was decided when the file
//! was taken, so that the same file for the same patient is the same message, and for another patient another one; a
//! later change of the configuration does not change whose a stored export is.
//!
//! The line is JSON and ends in LF: `{"isthmus_export":1,"charset":"UTF-8","patient":{"system":"…","value":"…"}}`, or
//! `"unidentified":"why"` in place of the patient.

use bytes::Bytes;
use clinical::identity::PatientKey;
use mllp::charset::{self, Charset};

/// Longest first line that is read: system, value and charset are at most 1 KiB each, six bytes a character in JSON.
const LINE_MAX_BYTES: usize = 32 * 1024;
/// The form written here.
const FORM: u32 = 1;

/// An export and what is known of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// The name of the character set of its text.
    pub(crate) charset: String,
    /// Whose it is, or why nobody's.
    pub(crate) patient: Result<PatientKey, String>,
    /// The file.
    pub(crate) file: Bytes,
}

/// Why a stored body is no parcel, or its text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParcelError {
    /// The first line is not ours.
    #[error("this is no export as the file lane stores it")]
    NoParcel,
    /// The character set is not read here.
    #[error("the character set of the export is not supported; write another `charset` in [[spool]]")]
    Charset,
    /// The bytes are not text of that set.
    #[error("not text of the spool's `charset`; save the export as UTF-8, or write its charset in [[spool]]")]
    NotText,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Line {
    isthmus_export: u32,
    charset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unidentified: Option<String>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Named {
    system: String,
    value: String,
}

impl Parcel {
    /// The body to store.
    pub(crate) fn pack(&self) -> Bytes {
        let named = |key: &PatientKey| Named { system: key.system.clone(), value: key.value.clone() };
        let line = Line {
            isthmus_export: FORM,
            charset: self.charset.clone(),
            patient: self.patient.as_ref().ok().map(named),
            unidentified: self.patient.as_ref().err().cloned(),
        };
        // Texts and a number always become JSON.
        let mut body = serde_json::to_vec(&line).unwrap_or_default();
        body.reserve_exact(self.file.len() + 1);
        body.push(b'\n');
        body.extend_from_slice(&self.file);
        body.into()
    }

    /// Reads a stored body.
    ///
    /// # Errors
    /// [`ParcelError::NoParcel`].
    pub(crate) fn unpack(body: &Bytes) -> Result<Self, ParcelError> {
        let head = &body[..body.len().min(LINE_MAX_BYTES)];
        let end = head.iter().position(|byte| *byte == b'\n').ok_or(ParcelError::NoParcel)?;
        let line: Line = serde_json::from_slice(&head[..end]).map_err(|_| ParcelError::NoParcel)?;
        let patient = match (line.patient, line.unidentified) {
            (Some(Named { system, value }), None) => Ok(PatientKey { system, value }),
            (None, Some(why)) => Err(why),
            _ => return Err(ParcelError::NoParcel),
        };
        if line.isthmus_export != FORM {
            return Err(ParcelError::NoParcel);
        }
        Ok(Self { charset: line.charset, patient, file: body.slice(end + 1..) })
    }

    /// The text of the file.
    ///
    /// # Errors
    /// [`ParcelError::Charset`], or [`ParcelError::NotText`] where a byte has no meaning: nothing is replaced.
    pub(crate) fn text(&self) -> Result<std::borrow::Cow<'_, str>, ParcelError> {
        let charset = Charset::named(&self.charset).map_err(|_| ParcelError::Charset)?;
        match charset::decode(&self.file, None, charset) {
            Ok((text, false)) => Ok(text),
            Ok((_, true)) => Err(ParcelError::NotText),
            Err(_) => Err(ParcelError::Charset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(charset: &str, patient: Result<&str, &str>, file: &'static [u8]) -> Parcel {
        let key = |value: &str| PatientKey { system: "urn:oid:1".to_owned(), value: value.to_owned() };
        let (patient, file) = (patient.map(key).map_err(str::to_owned), Bytes::from_static(file));
        Parcel { charset: charset.to_owned(), patient, file }
    }

    #[test]
    fn what_is_packed_comes_back_with_the_bytes_of_the_file() {
        for parcel in [
            parcel("UTF-8", Ok("7\"\n7"), b"a,b\r\n\xff\x00"),
            parcel("8859/1", Err("why"), b""),
            parcel("UTF-8", Ok(&"ü\u{1}".repeat(500)), b"\n\n"),
        ] {
            assert!(Parcel::unpack(&parcel.pack()).unwrap() == parcel);
        }
        let packed = parcel("UTF-8", Ok("7"), b"x").pack();
        let line = r#"{"isthmus_export":1,"charset":"UTF-8","patient":{"system":"urn:oid:1","value":"7"}}"#;
        assert_eq!(packed, format!("{line}\nx"));
    }

    #[test]
    fn another_body_is_no_parcel() {
        for body in [
            "",
            "MSH|",
            "{}\n",
            "{\"isthmus_export\":2,\"charset\":\"UTF-8\",\"unidentified\":\"x\"}\n",
            "{\"isthmus_export\":1,\"charset\":\"UTF-8\"}\n",
            "{\"isthmus_export\":1,\"charset\":\"UTF-8\",\"unidentified\":\"no line end\"}",
        ] {
            assert_eq!(Parcel::unpack(&Bytes::from(body)).err(), Some(ParcelError::NoParcel), "{body}");
        }
    }

    #[test]
    fn text_is_read_as_its_charset_says_and_nothing_is_replaced() {
        assert_eq!(parcel("UTF-8", Err(""), b"M\xc3\xbcller").text().unwrap(), "Müller");
        assert_eq!(parcel("8859/1", Err(""), b"M\xfcller").text().unwrap(), "Müller");
        assert_eq!(parcel("UTF-8", Err(""), b"M\xfcller").text(), Err(ParcelError::NotText));
        assert_eq!(parcel("UTF-16", Err(""), b"").text(), Err(ParcelError::Charset));
    }
}

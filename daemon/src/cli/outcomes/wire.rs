//! What of `isthmus outcomes` is about FHIR and HL7 v2: its arguments, and the Bundle or messages that they ask for.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use clap::builder::PossibleValuesParser;
use clinical::{
    fhir::{
        codes::code_system,
        release::{Release, write},
        report::{ATTACHMENT_BYTES_MOST, Attachment, Form},
        summary::MeanUnit,
    },
    glucose::Unit,
    identity::PatientKey,
    reading::Instant,
};

use crate::{
    report::{
        bundle::{About, BundleError, Choice, bundle, singles},
        export::Export,
        oru,
    },
    time::now_ms,
};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct WireArgs {
    /// Print the transaction Bundle of the HL7 CGM guide, in this release of FHIR (default: r4).
    #[arg(long, value_name = "RELEASE", requires = "subject", group = "form", num_args = 0..=1,
          default_missing_value = "r4", value_parser = PossibleValuesParser::new(["r4", "r5"]))]
    fhir: Option<String>,
    /// Print the HL7 v2 message ORU^R01; segments end in a carriage return, on a terminal in a line end.
    #[arg(long, requires = "subject", group = "form")]
    oru: bool,
    /// Whom it is about, by an identifier; `-` reads it from standard input.
    #[arg(long, value_name = "SYSTEM|VALUE", requires = "form", value_parser = subject)]
    subject: Option<PatientKey>,
    /// The single readings that count instead of the summary; with --local-codes --fhir also the events.
    #[arg(long, requires = "form", conflicts_with = "report")]
    readings: bool,
    /// Also what LOINC has no code for, under codes of our own.
    #[arg(long, requires = "form")]
    local_codes: bool,
    /// Also a report: this PDF or HTML file.
    #[arg(long, value_name = "FILE", requires = "form")]
    report: Option<PathBuf>,
    /// Print the CodeSystem of our own codes, and read no file.
    #[arg(long, exclusive = true)]
    codesystem: bool,
}

impl WireArgs {
    /// Whether a Bundle or a message is asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.fhir.is_some() || self.oru
    }

    /// The CodeSystem, where that is asked for.
    pub(super) fn code_system(&self) -> Option<String> {
        self.codesystem.then(|| format!("{:#}\n", code_system()))
    }

    /// The Bundle or messages of an export, where they are asked for. Errs with a line for people.
    pub(super) fn text(
        &self,
        sha256: &str,
        export: &Export,
        unit: Option<Unit>,
    ) -> Result<Option<String>, String> {
        let Some(patient) = &self.subject else { return Ok(None) };
        let report = self.report.as_deref().map(attached).transpose()?;
        let attachment = report.as_ref().map(|(form, bytes)| Attachment { form: *form, bytes });
        let choice = Choice {
            glucose: if unit == Some(Unit::MmolL) { MeanUnit::Molar } else { MeanUnit::Mass },
            local_codes: self.local_codes,
            report: attachment,
        };
        let about = About { patient, sha256, recorded: Instant(now_ms()) };
        if self.oru {
            let made = if self.readings {
                oru::readings(export, &about)
            } else {
                oru::summary(export, &about, &choice)
            };
            let made = made.map_err(|error| format!("{}: {error}", export.file))?;
            return Ok(Some(if io::stdout().is_terminal() { made.replace('\r', "\n") } else { made }));
        }
        let Some(release) = &self.fhir else { return Ok(None) };
        let made = if self.readings {
            singles(export, &about, unit, &choice)
        } else {
            bundle(export, &about, &choice)
        };
        let canonical = made.map_err(|error| match error {
            BundleError::Reading(error) => {
                format!("{}: {error}; choose fewer days with --from, --to or --last-days", export.file)
            }
            error => format!("{}: {error}; this is a defect of isthmus", export.file),
        })?;
        let written = write(Release::from_name(release).unwrap_or_default(), &canonical);
        Ok(Some(format!("{written:#}\n")))
    }
}

/// A report's file: PDF by its first bytes, else HTML. Errs with a line for people.
fn attached(path: &Path) -> Result<(Form, Vec<u8>), String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(ATTACHMENT_BYTES_MOST as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("--report: {error}; give a file that can be read"))?;
    if bytes.is_empty() || bytes.len() > ATTACHMENT_BYTES_MOST {
        return Err(format!("--report: the file has no byte, or more than {ATTACHMENT_BYTES_MOST}"));
    }
    match form(&bytes) {
        Some(form) => Ok((form, bytes)),
        None => {
            Err("--report: the file is neither PDF (%PDF-) nor HTML (<!doctype html> or <html>)".to_owned())
        }
    }
}

/// What a report's first bytes say that it is.
fn form(bytes: &[u8]) -> Option<Form> {
    if bytes.starts_with(b"%PDF-") {
        return Some(Form::Pdf);
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    (begins(b"<!doctype html") || begins(b"<html")).then_some(Form::Html)
}

fn subject(text: &str) -> Result<PatientKey, String> {
    match crate::cli::typed::or_line(text, "Whom it is about, SYSTEM|VALUE")?.split_once('|') {
        Some((system, value)) if !system.is_empty() && !value.is_empty() => {
            Ok(PatientKey { system: system.to_owned(), value: value.to_owned() })
        }
        _ => Err("write it like \"urn:oid:1.2.3|4711\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_a_system_and_a_value_and_a_report_is_pdf_or_html() {
        let key = PatientKey { system: "urn:oid:1.2".to_owned(), value: "a|b".to_owned() };
        assert_eq!(subject("urn:oid:1.2|a|b"), Ok(key));
        assert_eq!(form(b"%PDF-1.7"), Some(Form::Pdf));
        assert_eq!(form(b"\xEF\xBB\xBF\n<!DOCTYPE HTML><p>"), Some(Form::Html));
        for wrong in [&b"Index,Timestamp"[..], b"<p>made up", b""] {
            assert_eq!(form(wrong), None);
        }
        for wrong in ["", "4711", "|4711", "urn:oid:1.2|"] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
    }
}

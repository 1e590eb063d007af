//! What of `isthmus outcomes` is about FHIR: its arguments, and the Bundle that they ask for.

use std::{
    fs::File,
    io::{self, Read},
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
use serde_json::Value;

use crate::{
    report::{
        app_events,
        bundle::{Choice, bundle},
        export::Export,
    },
    time::now_ms,
};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct FhirArgs {
    /// Print the transaction Bundle of the HL7 CGM guide, in this release of FHIR (default: r4).
    #[arg(long, value_name = "RELEASE", requires = "subject", num_args = 0..=1, default_missing_value = "r4",
          value_parser = PossibleValuesParser::new(["r4", "r5"]))]
    fhir: Option<String>,
    /// Whom the Bundle is about, by an identifier.
    #[arg(long, value_name = "SYSTEM|VALUE", requires = "fhir", value_parser = subject)]
    subject: Option<PatientKey>,
    /// In the Bundle, also what LOINC has no code for, under codes of our own.
    #[arg(long, requires = "fhir")]
    local_codes: bool,
    /// In the Bundle, also a DiagnosticReport with this PDF or HTML file.
    #[arg(long, value_name = "FILE", requires = "fhir")]
    report: Option<PathBuf>,
    /// Print the CodeSystem of our own codes, and read no file.
    #[arg(long, exclusive = true)]
    codesystem: bool,
}

impl FhirArgs {
    /// Whether a Bundle is asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.fhir.is_some()
    }

    /// The CodeSystem, where that is asked for.
    pub(super) fn code_system(&self) -> Option<String> {
        self.codesystem.then(|| format!("{:#}\n", code_system()))
    }

    /// The Bundle of an export, where one is asked for; its glucose in mg/dL unless `unit` says otherwise. Errs with a
    /// line for people.
    pub(super) fn bundle(
        &self,
        sha256: &str,
        export: &Export,
        unit: Option<Unit>,
    ) -> Result<Option<Value>, String> {
        let (Some(release), Some(subject)) = (&self.fhir, &self.subject) else { return Ok(None) };
        let report = self.report.as_deref().map(attached).transpose()?;
        let attachment = report.as_ref().map(|(form, bytes)| Attachment { form: *form, bytes });
        let choice = Choice {
            glucose: if unit == Some(Unit::MmolL) { MeanUnit::Molar } else { MeanUnit::Mass },
            local_codes: self.local_codes,
            report: attachment,
        };
        let app_events = app_events::counts(&export.app_events);
        let held = (&export.sessions[..], &app_events);
        let canonical = bundle(&export.outcome, held, subject.clone(), sha256, Instant(now_ms()), &choice)
            .map_err(|error| format!("{}: {error}; this is a defect of isthmus", export.file))?;
        Ok(Some(write(Release::from_name(release).unwrap_or_default(), &canonical)))
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
    let form = if bytes.starts_with(b"%PDF-") { Form::Pdf } else { Form::Html };
    Ok((form, bytes))
}

fn subject(text: &str) -> Result<PatientKey, String> {
    match text.split_once('|') {
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
    fn a_subject_has_a_system_and_a_value() {
        let key = PatientKey { system: "urn:oid:1.2".to_owned(), value: "a|b".to_owned() };
        assert_eq!(subject("urn:oid:1.2|a|b"), Ok(key));
        for wrong in ["", "4711", "|4711", "urn:oid:1.2|"] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
    }
}

//! Where the report is written: standard output, or a file that is there whole or not at all.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::report::page;

/// The document under way. A file is its owner's alone (0600), because it may name a patient, and takes the
/// place of an older one only when it is finished.
pub(super) enum Document {
    Printed { begun: bool },
    File { draft: BufWriter<NamedTempFile>, target: PathBuf },
}

impl Document {
    /// Begins the document for `target`; `-` is standard output.
    pub(super) fn begin(target: &Path) -> io::Result<Self> {
        if target.as_os_str() == "-" {
            return Ok(Self::Printed { begun: false });
        }
        let folder =
            target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = BufWriter::new(NamedTempFile::new_in(folder)?);
        draft.write_all(page::head().as_bytes())?;
        Ok(Self::File { draft, target: target.to_owned() })
    }

    /// Adds a sheet.
    pub(super) fn add(&mut self, sheet: &str) -> io::Result<()> {
        match self {
            Self::Printed { begun } => {
                let head = if std::mem::replace(begun, true) { String::new() } else { page::head() };
                let mut out = io::stdout().lock();
                out.write_all(head.as_bytes())?;
                out.write_all(sheet.as_bytes())
            }
            Self::File { draft, .. } => draft.write_all(sheet.as_bytes()),
        }
    }

    /// Ends the document; of one without a sheet nothing is left, and what stood at its place stays.
    pub(super) fn end(self, sheets: u64) -> io::Result<()> {
        match self {
            _ if sheets == 0 => Ok(()),
            Self::Printed { .. } => {
                let mut out = io::stdout().lock();
                out.write_all(page::foot().as_bytes()).and_then(|()| out.flush())
            }
            Self::File { mut draft, target } => {
                draft.write_all(page::foot().as_bytes())?;
                let draft = draft.into_inner().map_err(io::IntoInnerError::into_error)?;
                draft.as_file().sync_all()?;
                draft.persist(&target).map(drop).map_err(|error| error.error)
            }
        }
    }
}

/// A target that cannot be an export by mistake.
pub(super) fn target(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    if text == "-" || matches!(ending.as_deref(), Some("html" | "htm")) {
        Ok(path)
    } else {
        Err("the name of the report ends in .html; to print it give - or put --html behind the files"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_never_a_target() {
        assert!(target("a.csv").is_err() && target("folder").is_err() && target("").is_err());
        assert!(target("-").is_ok() && target("x/Report.HTML").is_ok());
    }

    #[test]
    fn an_old_report_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.html");
        std::fs::write(&path, "old").unwrap();
        let empty = Document::begin(&path).unwrap();
        empty.end(0).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        let mut document = Document::begin(&path).unwrap();
        document.add("<p>one</p>").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        document.end(1).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("<!doctype html>") && text.ends_with("<p>one</p></body>\n</html>\n"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

//! The support bundle: what may be sent to who helps, in one file that can be read before it is sent.
//!
//! Invariant: what goes in is listed, and everything else stays out. A status or a configuration that gains a field does not
//! widen the bundle: the field has to be added to a list here, with the shape that its value must have. So no patient data,
//! no secret, no address and no person's name comes in, and no text that somebody else wrote: of conditions and modes the
//! kind is told, not the words. With `--details` the words and the service's log go in too, which have no patient data
//! either, but may repeat what a server said.

pub mod configuration;
pub mod machine;
pub mod standing;
pub mod store;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

use crate::time;

/// The files that hold texts, and not only what has a shape.
const IN_WORDS: [&str; 2] = ["status-in-full.json", "log.txt"];

/// What a bundle holds.
#[derive(Debug, Default)]
pub struct Bundle {
    files: Vec<(&'static str, Vec<u8>)>,
    missing: Vec<(&'static str, String)>,
}

impl Bundle {
    /// Adds a file.
    pub fn put(&mut self, name: &'static str, bytes: impl Into<Vec<u8>>) {
        self.files.push((name, bytes.into()));
    }

    /// Says that a file is not there, and why.
    pub fn lacks(&mut self, name: &'static str, why: impl ToString) {
        self.missing.push((name, why.to_string()));
    }

    /// The files, with their lengths in bytes.
    pub fn listed(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.files.iter().map(|(name, bytes)| (*name, bytes.len()))
    }

    /// What is not there, and why.
    pub fn missing(&self) -> &[(&'static str, String)] {
        &self.missing
    }

    /// What it holds nothing of.
    pub fn promise(&self) -> &'static str {
        match self.files.iter().any(|(name, _)| IN_WORDS.contains(name)) {
            false => "No patient data, no secrets, no addresses.",
            true => {
                "No patient data and no secrets; with the details, addresses, and perhaps what a server said."
            }
        }
    }

    /// The page that says what is inside.
    fn readme(&self, at: i64) -> String {
        let mut text = format!(
            "Support bundle of isthmus {}, made {}.\n\nIt holds what is listed here and nothing else. {}\n\n",
            env!("CARGO_PKG_VERSION"),
            time::rfc3339(at),
            self.promise()
        );
        for (name, bytes) in &self.files {
            text.push_str(&format!("{name}  {} bytes: {}\n", bytes.len(), about(name)));
        }
        for (name, why) in &self.missing {
            text.push_str(&format!("{name}  not here: {why}\n"));
        }
        text
    }

    /// Writes it as a gzipped tar to a file that is its owner's alone and was not there before. `at` is now (ms UTC).
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, path: &Path, at: i64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        let readme = self.readme(at).into_bytes();
        let all = std::iter::once(("README.txt", &readme))
            .chain(self.files.iter().map(|(name, bytes)| (*name, bytes)));
        for (name, bytes) in all {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(u64::try_from(at / 1_000).unwrap_or_default());
            tar.append_data(&mut header, format!("isthmus-support/{name}"), bytes.as_slice())?;
        }
        tar.into_inner()?.finish()?.flush()
    }
}

/// What a file of the bundle is, in a few words.
pub fn about(name: &str) -> &'static str {
    match name {
        "version.json" => "the program",
        "machine.json" => "system, processors, memory, disk",
        "configuration.json" => "keys, numbers, switches; texts are left out",
        "status.json" => "modes, queues, counts, kinds of conditions, ends of certificates",
        "store.json" => "sizes and counts of the database, end of the audit log",
        "metrics.txt" => "the metrics of this moment",
        "status-in-full.json" => "the whole status, with causes and details: read it before you send it",
        "log.txt" => "the last lines of the service's log: read them before you send them",
        _ => "a file",
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_bundle_says_what_is_in_it_is_its_owners_alone_and_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.tar.gz");
        let mut bundle = Bundle::default();
        bundle.put("version.json", "{}");
        bundle.lacks("status.json", "no daemon runs");
        bundle.write(&path, 1_000).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut archive =
            tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((entry.path().unwrap().display().to_string(), text));
        }
        assert_eq!(found[1], ("isthmus-support/version.json".to_owned(), "{}".to_owned()));
        assert_eq!((found.len(), found[0].0.as_str()), (2, "isthmus-support/README.txt"));
        assert!(found[0].1.contains("version.json  2 bytes: the program"), "{}", found[0].1);
        assert!(found[0].1.contains("status.json  not here: no daemon runs"), "{}", found[0].1);
        assert_eq!(bundle.write(&path, 1_000).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}

//! What is sent: files, the files of a folder by name, standard input; one after the other, so that no more
//! than one file and the queue are in memory.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use indicatif::ProgressBar;
use tokio::sync::mpsc::Sender;

use super::messages::{self, NotMessages};
use crate::report::paper::printable;

/// Most bytes of one file, which is held in memory while its messages are sent.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The name that stands for standard input.
const STDIN: &str = "-";

/// A message with where it came from.
pub(super) struct Item {
    /// For people.
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    pub(super) bytes: Bytes,
}

/// Where messages and complaints go.
pub(super) struct Source {
    pub(super) as_is: bool,
    pub(super) items: Sender<Result<Item, String>>,
    /// Grows by the messages of each file as it is read.
    pub(super) progress: ProgressBar,
}

impl Source {
    /// Reads everything, blocking; stops early where nobody takes the messages any more.
    pub(super) fn read_all(&self, paths: &[PathBuf]) {
        for path in paths {
            let going = match files(path) {
                Ok(files) => files.iter().all(|file| self.read(file)),
                Err(error) => self.complain(&name(path), &error),
            };
            if !going {
                return;
            }
        }
    }

    /// One file; false where nobody takes the messages any more.
    fn read(&self, path: &Path) -> bool {
        let file: Arc<str> = name(path).into();
        let bytes = match load(path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => return self.complain(&file, &error),
        };
        let read = if self.as_is { messages::as_they_are(&bytes) } else { messages::normalized(&bytes) };
        match read {
            Ok(messages) => {
                self.progress.inc_length(messages.len() as u64);
                messages.into_iter().all(|message| {
                    let item = Item { file: file.clone(), line: message.line, bytes: message.bytes };
                    self.items.blocking_send(Ok(item)).is_ok()
                })
            }
            Err(NotMessages { line }) => {
                let said =
                    format!("{file}:{line}: no HL7 v2 message; give a file whose messages begin with MSH");
                self.items.blocking_send(Err(said)).is_ok()
            }
        }
    }

    fn complain(&self, name: &str, error: &io::Error) -> bool {
        let said =
            format!("{name}: {error}; give a file or folder that can be read, or - for standard input");
        self.items.blocking_send(Err(said)).is_ok()
    }
}

fn name(path: &Path) -> String {
    if path.as_os_str() == STDIN { "stdin".to_owned() } else { printable(&path.display().to_string()) }
}

/// The path itself, or the files of a folder by name, hidden ones and folders left out.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.as_os_str() == STDIN || !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path())?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn load(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == STDIN {
        io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 1 GiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_files_by_name_without_hidden_ones() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.hl7", "a.hl7", ".hidden"] {
            fs::write(dir.path().join(name), "MSH|").unwrap();
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        let found = files(dir.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.hl7", "b.hl7"]);
    }

    #[test]
    fn a_path_that_is_not_there_is_told_and_the_next_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("good.hl7");
        fs::write(&good, "MSH|1\n").unwrap();
        let (items, mut taken) = tokio::sync::mpsc::channel(8);
        let progress = ProgressBar::hidden();
        Source { as_is: false, items, progress }.read_all(&[dir.path().join("absent"), good]);
        assert!(taken.blocking_recv().unwrap().is_err());
        assert_eq!(&taken.blocking_recv().unwrap().ok().unwrap().bytes[..], b"MSH|1\r");
        assert!(taken.blocking_recv().is_none());
    }
}

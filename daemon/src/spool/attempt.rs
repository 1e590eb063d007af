//! Marks in `work/` of a file that is being read, so that a file that ends the daemon does not end it for ever.
//!
//! Invariants: the mark stands from before the first byte is read until what was read is known, and no longer; a process that
//! ends meanwhile, whatever ends it, leaves it. A file with [`MOST_DEATHS`] marks is set aside unread. Marks lie in the
//! folder of their file, and go with it.
//!
//! Why two: one end may be a power cut or an update in a hurry; a second one of the same file is the file's until a person
//! has looked. The marks are not synced: what a power cut takes away did not come from the file.

use std::{fs, io, path::Path};

use super::claim::Claim;

/// Ends of a process while it read a file, after which that file is not read again.
pub(super) const MOST_DEATHS: u32 = 2;
/// The name of a mark before its number. It has no ending, so it is no file of ours to take.
const MARK: &str = "reading-";

/// How many marks stand in a folder of `work/`.
pub(super) fn deaths(folder: &Path) -> u32 {
    (1..=MOST_DEATHS).take_while(|n| folder.join(format!("{MARK}{n}")).exists()).count() as u32
}

impl Claim {
    /// Marks that it is being read.
    pub(super) fn begin(&self) -> io::Result<()> {
        fs::File::create(self.mark()).map(drop)
    }

    /// It was read, or is put off in good order. A mark that cannot be removed counts as an end.
    pub(super) fn ended(&self) {
        let _gone = fs::remove_file(self.mark());
    }

    fn mark(&self) -> std::path::PathBuf {
        self.folder.join(format!("{MARK}{}", self.deaths + 1))
    }
}

//! Why the store of a daemon that starts did not open: what to do about each cause.

use std::{io::ErrorKind, path::Path};

use outbox::OpenError;

/// The step after `error` at the data folder `dir`, said in a line.
pub(super) fn step(error: &OpenError, dir: &Path) -> String {
    let dir = dir.display();
    match error {
        OpenError::Io(source) => match source.kind() {
            ErrorKind::ReadOnlyFilesystem => format!(
                "its file system can only be read, or the unit does not let the daemon write there: findmnt -T {dir}; in the \
                 unit (systemctl edit isthmus): ReadWritePaths={dir}"
            ),
            ErrorKind::PermissionDenied => format!(
                "it and every file in it must belong to the user who runs the daemon (uid {}): ls -lna {dir}",
                rustix::process::geteuid().as_raw()
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("make room: df -h {dir}"),
            _ => format!("look at the folder and the disk under it: ls -lna {dir}, dmesg"),
        },
        OpenError::NoFolder => format!("name a folder in data_dir, or see what stands in its place: ls -ld {dir}"),
        OpenError::Locked => format!("end that one first: systemctl status isthmus, or fuser -v {dir}/isthmus.lock"),
        OpenError::Full => format!("make room: df -h {dir}"),
        OpenError::WrongKey => {
            "put the key back that it was written with ([store] key_file), or a backup with its key: isthmus restore --help"
                .to_owned()
        }
        OpenError::Plain | OpenError::Foreign(_) => {
            format!("it is not this program's store: move {dir}/isthmus.db away, or name another folder in data_dir")
        }
        OpenError::NewerSchema { .. } => "install that newer version again: isthmus --version".to_owned(),
        OpenError::Unsettled => format!("let the daemon write there: findmnt -T {dir}"),
        OpenError::Setting { .. } => format!("put data_dir on a local disk (ext4 or xfs): findmnt -T {dir}"),
        OpenError::NoCipher => "install a package that was built with it".to_owned(),
        OpenError::Sqlite(_) => {
            format!("look at the disk, and whose the files are: dmesg, ls -lna {dir}; if it lasts: isthmus restore --help")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::app::AppError;

    #[test]
    fn whatever_keeps_a_store_closed_is_told_with_its_folder_its_cause_and_a_step() {
        let system = |number| OpenError::Io(io::Error::from_raw_os_error(number));
        for (source, cause, wanted) in [
            (system(30), "Read-only file system (os error 30)", "ReadWritePaths=/srv/box"),
            (system(13), "Permission denied (os error 13)", "ls -lna /srv/box"),
            (system(5), "Input/output error (os error 5)", "dmesg"),
            (OpenError::Full, "the disk is full", "df -h /srv/box"),
            (OpenError::Locked, "another process has this data folder open", "/srv/box/isthmus.lock"),
            (OpenError::WrongKey, "the key does not open this database", "isthmus restore"),
            (OpenError::Plain, "a plain SQLite file", "/srv/box/isthmus.db"),
        ] {
            let told = AppError::Open { dir: "/srv/box".into(), source }.to_string();
            assert!(told.starts_with("data_dir /srv/box: "), "{told}");
            assert!(told.contains(cause) && told.contains(wanted), "{told}");
        }
    }
}

//! Users and groups of this machine, as far as a step that people are to type needs them.

use std::{
    io::{Error, ErrorKind},
    path::Path,
};

use rustix::process::{getegid, geteuid, getuid};

/// The user that the packages make, as whom the unit runs the daemon.
pub(crate) const SERVICE_USER: &str = "isthmus";
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// Whether root runs this, and the packages' user is there.
pub(super) fn is_for_the_service() -> bool {
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    geteuid().is_root() && users.lines().any(|line| line.split(':').next() == Some(SERVICE_USER))
}

/// The name of a group, or its number where the machine's file does not name it.
fn group_name(id: u32) -> String {
    name_of(&std::fs::read_to_string(GROUPS).unwrap_or_default(), id)
}

/// The name of a user, or their number.
fn user_name(id: u32) -> String {
    name_of(&std::fs::read_to_string(USERS).unwrap_or_default(), id)
}

/// The groups that the machine's file puts a user into, beside their own.
pub(crate) fn groups_of(user: u32) -> Vec<u32> {
    let user = user_name(user);
    members(&std::fs::read_to_string(GROUPS).unwrap_or_default(), &user)
}

/// What root does about a file that the daemon's user, as whom root looks at it (`isthmus check`), may not read; `None` for
/// another error, and where whoever asks is nobody but themselves.
pub(super) fn step_of_root(path: &Path, error: &Error) -> Option<String> {
    if error.kind() != ErrorKind::PermissionDenied || getuid() == geteuid() {
        return None;
    }
    let user = user_name(geteuid().as_raw());
    if path.metadata().is_err() {
        return Some(format!(
            "the daemon runs as {user}, who may not enter the folder: put the file where {user} may"
        ));
    }
    let (group, path) = (group_name(getegid().as_raw()), path.display());
    Some(format!("the daemon runs as {user}: chgrp {group} {path} && chmod 0640 {path}"))
}

/// In both files the first field is the name and the third the number.
fn name_of(text: &str, id: u32) -> String {
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| id.to_string())
}

fn members(text: &str, user: &str) -> Vec<u32> {
    let group = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, id, members] = fields[..] else { return None };
        members.split(',').any(|member| member == user).then(|| id.parse().ok())?
    };
    text.lines().filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_and_a_user_is_in_those_that_list_them() {
        let text =
            "root:x:0:\nssl-cert:x:110:postgres,isthmus\nisthmus:x:990:\nodd line\nother:x:991:isthmusd\n";
        assert_eq!((name_of(text, 990), name_of(text, 7)), ("isthmus".to_owned(), "7".to_owned()));
        assert_eq!(members(text, "isthmus"), [110]);
        assert_eq!(members(text, "nobody"), [] as [u32; 0]);
    }
}

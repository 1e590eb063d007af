//! Who asks: the Unix user at the other end of the admin socket, as the kernel tells; and who stands behind a root, as it says.
//!
//! Under the shipped unit the daemon lives in a user namespace of its own (`PrivateUsers=yes`), in which it knows root and
//! itself, and sees no process of others (`ProtectProc=invisible`): of `sudo isthmus` the kernel tells it root and nothing more.
//! So a command tells who logged in, as it can see itself. Of root and of the daemon's own user that is written down, marked as
//! what they say: they could forge the whole log, and this is no more than an honest one's name. Of anybody else it is not heard.

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

/// Where users have their names; those of a directory service are not in it and stay numbers.
const PASSWD: &str = "/etc/passwd";
/// Who logged in to this process's session, whatever it became since (`proc(5)`).
const OWN_LOGIN: &str = "/proc/self/loginuid";

/// What stands for "nobody": a process that no login led to.
const NOBODY_LOGGED_IN: u32 = u32::MAX;
/// What stands in a user namespace for a user that it does not know (`user_namespaces(7)`).
const UNKNOWN_THERE: u32 = 65_534;
/// Longest name of a user that is written down; Linux gives 32 bytes, a directory service more.
const NAME_MOST_BYTES: usize = 64;

/// Who is behind a command, as the command itself can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// The user's number.
    pub uid: u32,
    /// The user's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Says {
    /// Of this process: who logged in, or else who called sudo. `None` where that is nobody else than who runs it.
    pub fn of_this_process() -> Option<Self> {
        let login = std::fs::read_to_string(OWN_LOGIN).unwrap_or_default();
        let sudo = |name: &str| std::env::var(name).ok();
        let said = Self::of(&login, sudo("SUDO_UID"), sudo("SUDO_USER"))?;
        (said.uid != rustix::process::geteuid().as_raw()).then_some(said)
    }

    fn of(login: &str, sudo_uid: Option<String>, sudo_user: Option<String>) -> Option<Self> {
        let sudo_uid = sudo_uid.and_then(|uid| uid.parse().ok());
        let login = login.trim().parse().ok().filter(|uid| *uid != NOBODY_LOGGED_IN);
        let uid = login.or(sudo_uid)?;
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        let named = name_of(&passwd, uid).map(ToOwned::to_owned);
        Some(Self { uid, name: named.or_else(|| sudo_user.filter(|_| sudo_uid == Some(uid))) })
    }

    /// The name, where it is one: what is written into the log is not anything.
    fn sound_name(&self) -> Option<&str> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@$+\\".contains(&byte);
        self.name
            .as_deref()
            .filter(|name| (1..=NAME_MOST_BYTES).contains(&name.len()) && name.bytes().all(sound))
    }
}

/// The user at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The user's number.
    pub uid: u32,
    /// Who logged in, as the kernel tells, where that is another: root by way of sudo is somebody still.
    pub login: Option<u32>,
    /// Who it says is behind it.
    pub says: Option<Says>,
}

impl Peer {
    /// The peer of a connection.
    ///
    /// # Errors
    /// Where the kernel does not tell; then nothing is answered.
    pub fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let peer = stream.peer_cred()?;
        let login = peer.pid().and_then(login_of).filter(|login| *login != peer.uid());
        Ok(Self { uid: peer.uid(), login, says: None })
    }

    /// The same with what it says of itself, where that is heard: of root and of `own`, the daemon's user, and where the
    /// kernel does not tell itself who logged in.
    #[must_use]
    pub fn saying(self, says: Option<Says>, own: u32) -> Self {
        let is_heard = self.login.is_none() && (self.uid == 0 || self.uid == own);
        let says = says.filter(|says| is_heard && says.uid != self.uid);
        Self { says, ..self }
    }

    /// The actor for the audit log: `user alice (uid 1000)`;
    /// `user root (uid 0), logged in as user alice (uid 1000)` where the kernel tells; and
    /// `user root (uid 0), says user alice (uid 1000)` where only the peer does.
    pub fn actor(&self) -> String {
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        let called = |uid: u32, name: Option<&str>| match name_of(&passwd, uid).or(name) {
            Some(name) => format!("user {name} (uid {uid})"),
            None => format!("uid {uid}"),
        };
        let user = match self.uid {
            UNKNOWN_THERE => {
                format!("uid {UNKNOWN_THERE} (a user that the daemon's namespace does not know)")
            }
            uid => called(uid, None),
        };
        match (self.login, &self.says) {
            (Some(login), _) => format!("{user}, logged in as {}", called(login, None)),
            (None, Some(says)) => format!("{user}, says {}", called(says.uid, says.sound_name())),
            (None, None) => user,
        }
    }
}

/// What the kernel's audit says of a process: the user that logged in, whatever it became since (`proc(5)`).
fn login_of(pid: i32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != NOBODY_LOGGED_IN)
}

/// The name of a user in the text of a passwd file.
fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that no passwd file has.
    const FAR: u32 = 4_000_000_001;

    #[test]
    fn a_number_becomes_a_name_where_the_file_has_it() {
        let passwd =
            "alice:x:1000:1000:Alice:/h/alice:/bin/sh\n# note\nbroken\nisthmus:x:998:998::/:/bin/false\n";
        assert_eq!(name_of(passwd, 998), Some("isthmus"));
        assert_eq!(name_of(passwd, 1000), Some("alice"));
        assert_eq!(name_of(passwd, 7), None);
    }

    #[tokio::test]
    async fn the_kernel_tells_who_is_there() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = Peer::of(&ours).unwrap();
        assert!(peer.actor().contains(&format!("uid {}", peer.uid)), "{}", peer.actor());
        let sudo = Peer { login: Some(FAR), ..Peer::default() };
        assert!(sudo.actor().ends_with("(uid 0), logged in as uid 4000000001"), "{}", sudo.actor());
    }

    #[test]
    fn what_root_and_the_daemons_user_say_is_written_as_said_and_of_others_it_is_not_heard() {
        let says = |name: Option<&str>| Some(Says { uid: FAR, name: name.map(ToOwned::to_owned) });
        let heard = |uid, says| Peer { uid, ..Peer::default() }.saying(says, 998).actor();
        assert!(heard(0, says(None)).ends_with("(uid 0), says uid 4000000001"));
        assert!(heard(0, says(Some("al@corp"))).ends_with(", says user al@corp (uid 4000000001)"));
        assert!(heard(998, says(None)).ends_with(", says uid 4000000001"));
        assert!(!heard(1_000, says(Some("alice"))).contains("says"), "who is neither may not choose a name");
        let told = Peer { login: Some(FAR - 1), ..Peer::default() }.saying(says(None), 998).actor();
        assert!(told.ends_with("logged in as uid 4000000000"), "the kernel's word stands: {told}");
        for name in ["", "a b", "eve\n", "root (uid 0)", &"x".repeat(NAME_MOST_BYTES + 1)] {
            assert!(heard(0, says(Some(name))).ends_with(", says uid 4000000001"), "{name:?}");
        }
        let nobody = heard(UNKNOWN_THERE, says(None));
        assert!(nobody.starts_with("uid 65534 (a user that"), "{nobody}");
    }

    #[test]
    fn who_logged_in_counts_before_who_called_sudo() {
        let far = FAR.to_string();
        let said = |login: &str, uid: Option<&str>, user: Option<&str>| {
            Says::of(login, uid.map(ToOwned::to_owned), user.map(ToOwned::to_owned))
        };
        let named = |name: Option<&str>| Some(Says { uid: FAR, name: name.map(ToOwned::to_owned) });
        assert_eq!(said(&far, None, None), named(None));
        assert_eq!(said(&far, Some(&far), Some("alice")), named(Some("alice")));
        assert_eq!(said(&far, Some("7"), Some("alice")), named(None), "the name is of another");
        assert_eq!(said("4294967295\n", Some(&far), Some("alice")), named(Some("alice")));
        assert_eq!(said("", None, Some("alice")), None);
        assert_eq!(said("4294967295", Some("x"), None), None);
    }
}

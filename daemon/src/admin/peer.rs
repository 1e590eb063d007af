//! Who asks: the Unix user at the other end of the admin socket, as the kernel tells.

use tokio::net::UnixStream;

/// Where users have their names; those of a directory service are not in it and stay numbers.
const PASSWD: &str = "/etc/passwd";

/// What stands for "nobody": a process that no login led to.
const NOBODY_LOGGED_IN: u32 = u32::MAX;

/// The user at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user's number.
    pub uid: u32,
    /// Who logged in, where that is another: root by way of sudo is somebody still.
    pub login: Option<u32>,
}

impl Peer {
    /// The peer of a connection.
    ///
    /// # Errors
    /// Where the kernel does not tell; then nothing is answered.
    pub fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let peer = stream.peer_cred()?;
        let login = peer.pid().and_then(login_of).filter(|login| *login != peer.uid());
        Ok(Self { uid: peer.uid(), login })
    }

    /// The actor for the audit log: `user alice (uid 1000)`, or
    /// `user root (uid 0), logged in as user alice (uid 1000)`.
    pub fn actor(&self) -> String {
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        let user = |uid: u32| match name_of(&passwd, uid) {
            Some(name) => format!("user {name} (uid {uid})"),
            None => format!("uid {uid}"),
        };
        match self.login {
            Some(login) => format!("{}, logged in as {}", user(self.uid), user(login)),
            None => user(self.uid),
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
        let sudo = Peer { uid: 0, login: Some(4_000_000_001) };
        assert!(sudo.actor().ends_with("(uid 0), logged in as uid 4000000001"), "{}", sudo.actor());
    }
}

//! A receiver's address: a host and a port, written as people write it.

use rustls::pki_types::ServerName;

/// A receiver's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As given, for connecting.
    pub text: String,
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
}

/// How an address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it like \"127.0.0.1:2575\", \"engine.example:2575\" or \"[::1]:2575\"")]
pub struct NoAddress;

impl Address {
    /// Reads `HOST:PORT`; an IPv6 address stands in brackets, and the port is not 0.
    ///
    /// # Errors
    /// [`NoAddress`], which says how to write it.
    pub fn parse(text: &str) -> Result<Self, NoAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NoAddress)?;
        port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(NoAddress)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(NoAddress);
        }
        let name = ServerName::try_from(bracketed.unwrap_or(host).to_owned()).map_err(|_| NoAddress)?;
        Ok(Self { text: text.to_owned(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:2575", "localhost:1", "[::1]:2575", "engine.hospital.example:65535"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for wrong in ["", "localhost", "localhost:", ":2575", "localhost:0", "localhost:65536", "::1:2575"] {
            assert_eq!(Address::parse(wrong), Err(NoAddress), "{wrong}");
        }
    }
}

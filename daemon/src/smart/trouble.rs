//! Why there is no token: what happened, and what to do, in words that hold no secret and no patient.

use std::time::Duration;

use super::{answer::Refusal, discovery::DiscoveryError};

/// How every cause begins.
pub const NO_TOKEN: &str = "no token";

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The key cannot be used.
    Key {
        /// Which, and why.
        what: String,
        /// What to do.
        advice: String,
    },
    /// The SMART configuration was read and leads nowhere.
    Discovery(DiscoveryError),
    /// The SMART configuration was refused with this status.
    NoDiscovery(u16),
    /// Nobody answered, in the closed words of the system or the TLS library.
    Unreached(String),
    /// The token endpoint says no.
    Refused(Refusal),
    /// The token endpoint says: not now.
    Later {
        /// With this status.
        status: u16,
        /// And this wait, where it named one.
        wait: Option<Duration>,
    },
    /// The answer is no token.
    Garbled(&'static str),
}

impl Trouble {
    /// The word in metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Key { .. } => "key",
            Self::Discovery(_) | Self::NoDiscovery(_) => "discovery",
            Self::Unreached(_) => "unreached",
            Self::Refused(refusal) => refusal.word(),
            Self::Later { .. } => "later",
            Self::Garbled(_) => "garbled",
        }
    }

    /// Whether it lasts until somebody does something: then it is a matter of authorization. Otherwise it is one of
    /// reaching the destination.
    pub const fn lasts(&self) -> bool {
        !matches!(self, Self::Unreached(_) | Self::Later { .. })
    }

    /// What happened, as a short cause.
    pub fn cause(&self) -> String {
        match self {
            Self::Key { what, .. } => format!("no token: {what}"),
            Self::Discovery(error) => {
                format!("no token: the document at .well-known/smart-configuration {error}")
            }
            Self::NoDiscovery(status) => {
                format!("no token: .well-known/smart-configuration answered HTTP {status}")
            }
            Self::Unreached(cause) => format!("no token: {cause}"),
            Self::Refused(refusal) => format!("no token: the token endpoint answered {refusal}"),
            Self::Later { status, .. } => format!("no token: the token endpoint answered HTTP {status}"),
            Self::Garbled(what) => format!("no token: the token endpoint's answer {what}"),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Key { advice, .. } => advice.clone(),
            Self::Discovery(DiscoveryError::Algorithm) => {
                "make a key of the kind that the EHR takes: EC on P-384 for ES384, RSA for RS384".to_owned()
            }
            Self::Discovery(_) | Self::NoDiscovery(_) => {
                "compare base_url with the registration, or write the token address at token_url".to_owned()
            }
            Self::Refused(refusal) => refusal.advice().to_owned(),
            Self::Unreached(_) => {
                "it is tried again; check the way to the token endpoint (firewall, name, authority in ca)"
                    .to_owned()
            }
            Self::Later { .. } => "it is tried again".to_owned(),
            Self::Garbled(_) => {
                "compare token_url with the registration, and ask the EHR's administrators".to_owned()
            }
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.cause(), self.advice())
    }
}

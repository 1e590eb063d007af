//! Why it is not known who asks, and how that is told: closed words, and nothing of a token or a certificate.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use fhir::{Code, Issue};

use super::ask::Answer;

/// After so many seconds it is worth asking again while an issuer's keys are not to be had.
const KEYS_RETRY_S: &str = "30";

macro_rules! unproved {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $text:literal;)+) => {
        /// Why a caller is not known.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Unproved { $($(#[doc = $doc])+ $name,)+ }

        impl Unproved {
            /// All of them.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word in metrics and the audit log.
            pub(super) const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// For people.
            pub(super) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

unproved! {
    /// Neither certificate nor token.
    Nothing = "nothing", "a client certificate or a bearer token is needed";
    /// A certificate of the right authority, of no client that is configured.
    Certificate = "certificate", "the certificate is of no client that is known here";
    /// An Authorization that is no bearer token, or two of them.
    Scheme = "scheme", "one bearer token is needed in Authorization";
    /// Over the bound.
    TooLong = "too-long", "the token is too long";
    /// No JWT, or claims of another form.
    Malformed = "malformed", "the token is no signed JWT of the form that is needed";
    /// An algorithm that is not taken, or not that of the key.
    Algorithm = "algorithm", "the token is signed with an algorithm that is not taken";
    /// An issuer that is not configured.
    Issuer = "issuer", "the token is of an issuer that is not known here";
    /// No key of that name.
    Key = "key", "the token names a key that its issuer does not publish";
    /// Not signed by that key.
    Signature = "signature", "the signature of the token does not hold";
    /// Not for us.
    Audience = "audience", "the token is for another audience";
    /// Over.
    Expired = "expired", "the token has expired";
    /// Not valid yet.
    NotYet = "not-yet", "the token is not valid yet";
    /// Without an end, or with one that is too far.
    Lifetime = "lifetime", "the token has no end, or holds for more than a day";
    /// Bound to a key or certificate that was not shown.
    Bound = "bound", "the token is bound to a key that was not shown";
    /// Neither subject nor client.
    Subject = "subject", "the token names neither a subject nor a client";
    /// The certificate's client and the token belong to different sites.
    Site = "site", "certificate and token belong to different sites";
    /// No role.
    Role = "role", "no role at this box belongs to who asks";
    /// Break-glass without a reason.
    Reason = "reason", "a reason of 10 to 200 printable characters is needed in X-Isthmus-Reason";
    /// The issuer's keys cannot be had.
    Keys = "keys", "the keys of the token's issuer cannot be had just now";
}

impl Unproved {
    /// HTTP status: 401; 403 where it is known who asks; 503 where that cannot be decided.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Role | Self::Reason | Self::Site => 403,
            Self::Keys => 503,
            _ => 401,
        }
    }

    /// The answer, by RFC 6750, section 3.
    pub(super) fn answer(self) -> Answer {
        let code = match self {
            Self::Role | Self::Reason | Self::Site => Code::Forbidden,
            Self::Keys => Code::Transient,
            Self::Nothing | Self::Scheme => Code::Login,
            Self::Expired => Code::Expired,
            _ => Code::Unknown,
        };
        let answer = Answer::refusal(self.status(), Issue::error(code, self.text()));
        match (self, self.status()) {
            (Self::Keys, _) => answer.with(RETRY_AFTER, KEYS_RETRY_S),
            (Self::Nothing | Self::Certificate, _) => {
                answer.with(WWW_AUTHENTICATE, "Bearer realm=\"isthmus\"")
            }
            (Self::Scheme, _) => {
                answer.with(WWW_AUTHENTICATE, "Bearer realm=\"isthmus\", error=\"invalid_request\"")
            }
            (_, 401) => {
                let text = self.text();
                let challenge = format!(
                    "Bearer realm=\"isthmus\", error=\"invalid_token\", error_description=\"{text}\""
                );
                answer.with(WWW_AUTHENTICATE, &challenge)
            }
            _ => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_a_word_of_its_own_and_a_401_has_a_challenge() {
        let words: BTreeSet<_> = Unproved::ALL.iter().map(|fault| fault.word()).collect();
        assert_eq!(words.len(), Unproved::ALL.len());
        for fault in Unproved::ALL {
            let answer = fault.answer();
            let challenged = answer.headers.iter().any(|(name, _)| *name == WWW_AUTHENTICATE);
            assert_eq!(challenged, answer.status == 401, "{fault:?}");
            // RFC 6750, section 3: no quote and no backslash in a description.
            assert!(!fault.text().contains(['"', '\\']) && fault.text().is_ascii(), "{fault:?}");
        }
    }
}

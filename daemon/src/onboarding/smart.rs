//! What `/.well-known/smart-configuration` says that bears on a box (SMART App Launch 2.2, conformance). Pure.

use serde_json::Value;

use crate::smart::discovery::is_token_url;

/// The most entries of a list that are looked at.
const ENTRIES_MOST: usize = 256;

/// A SMART configuration, reduced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmartConfiguration {
    /// The token endpoint, where it is an https address.
    pub token_endpoint: Option<String>,
    /// Whether signed assertions are taken; `None` is not stated.
    pub private_key_jwt: Option<bool>,
    /// Whether signatures of ES384 are taken; `None` is not stated.
    pub es384: Option<bool>,
    /// Whether signatures of RS384 are taken; `None` is not stated.
    pub rs384: Option<bool>,
}

impl SmartConfiguration {
    /// Reads a body; `None` where it is no object of JSON.
    pub fn read(body: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(body).ok()?;
        json.as_object()?;
        let list = |key: &str, wanted: &str| {
            let list = json[key].as_array()?;
            Some(list.iter().take(ENTRIES_MOST).any(|one| one == wanted))
        };
        let algorithms = "token_endpoint_auth_signing_alg_values_supported";
        let endpoint = json["token_endpoint"].as_str().filter(|url| url.len() <= 2_048 && is_token_url(url));
        Some(Self {
            token_endpoint: endpoint.map(str::to_owned),
            private_key_jwt: list("token_endpoint_auth_methods_supported", "private_key_jwt"),
            es384: list(algorithms, "ES384"),
            rs384: list(algorithms, "RS384"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stated_is_not_refused_and_an_address_without_tls_is_none() {
        let read = |text: &str| SmartConfiguration::read(text.as_bytes());
        assert_eq!(read("{}"), Some(SmartConfiguration::default()));
        assert_eq!(read("[]"), None);
        let said = read(
            r#"{"token_endpoint":"http://e/t","token_endpoint_auth_methods_supported":["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported":["RS384"]}"#,
        )
        .unwrap();
        assert_eq!((said.token_endpoint, said.private_key_jwt), (None, Some(true)));
        assert_eq!((said.es384, said.rs384), (Some(false), Some(true)));
    }
}

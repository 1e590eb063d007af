//! Where tokens are had: `/.well-known/smart-configuration` below a FHIR base URL (SMART App Launch 2.2,
//! conformance). Pure: bytes in, an address out.

use serde::Deserialize;

use super::key::Algorithm;

/// Where the document stands, below the base URL.
pub const PATH: &str = ".well-known/smart-configuration";

/// Why a document does not lead to a token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// It is no JSON object of that kind.
    #[error("is not a SMART configuration")]
    Garbled,
    /// It names no token endpoint, or one that is not https.
    #[error("names no token_endpoint with https")]
    NoEndpoint,
    /// It takes no signed assertions.
    #[error("does not list private_key_jwt among its authentication methods")]
    Method,
    /// It takes no signature of the kind that our key makes.
    #[error("does not take signatures of our key's kind (ES384 or RS384)")]
    Algorithm,
}

#[derive(Deserialize)]
struct Document {
    token_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
}

/// The token endpoint of a document, to the letter. What the document does not say is no objection.
///
/// # Errors
/// [`DiscoveryError`].
pub fn token_endpoint(document: &[u8], algorithm: Algorithm) -> Result<String, DiscoveryError> {
    let document: Document = serde_json::from_slice(document).map_err(|_| DiscoveryError::Garbled)?;
    let lacks = |list: &Option<Vec<String>>, wanted: &str| {
        list.as_ref().is_some_and(|list| !list.iter().any(|one| one == wanted))
    };
    if lacks(&document.token_endpoint_auth_methods_supported, "private_key_jwt") {
        return Err(DiscoveryError::Method);
    }
    if lacks(&document.token_endpoint_auth_signing_alg_values_supported, algorithm.name()) {
        return Err(DiscoveryError::Algorithm);
    }
    document.token_endpoint.filter(|url| is_token_url(url)).ok_or(DiscoveryError::NoEndpoint)
}

/// Whether a text is an address that tokens may be asked at: https, without user, password and fragment.
pub fn is_token_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_endpoint_is_taken_to_the_letter_where_it_takes_what_we_sign() {
        let of = |text: &str| token_endpoint(text.as_bytes(), Algorithm::Es384);
        let url = "https://ehr.example/Oauth2/token/";
        assert_eq!(of(&format!("{{\"token_endpoint\":\"{url}\",\"issuer\":7}}")), Ok(url.to_owned()));
        for (document, wanted) in [
            ("", DiscoveryError::Garbled),
            ("[]", DiscoveryError::Garbled),
            ("{}", DiscoveryError::NoEndpoint),
            (r#"{"token_endpoint":"http://ehr.example/token"}"#, DiscoveryError::NoEndpoint),
            (r#"{"token_endpoint":"https://u:p@ehr.example/token"}"#, DiscoveryError::NoEndpoint),
            (r#"{"token_endpoint":"token"}"#, DiscoveryError::NoEndpoint),
            (
                r#"{"token_endpoint":"https://e.example/t","token_endpoint_auth_methods_supported":["client_secret_post"]}"#,
                DiscoveryError::Method,
            ),
            (
                r#"{"token_endpoint":"https://e.example/t","token_endpoint_auth_signing_alg_values_supported":["RS384"]}"#,
                DiscoveryError::Algorithm,
            ),
        ] {
            assert_eq!(of(document), Err(wanted), "{document}");
        }
    }
}

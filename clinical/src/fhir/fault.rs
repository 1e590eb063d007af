//! Why a resource of FHIR that came in counts for nothing.

/// The element, and what is wrong with it. Holds no value of the resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{element}: {why}")]
pub struct Fault {
    /// Where, as a path of elements.
    pub element: String,
    /// What.
    pub why: &'static str,
}

/// A fault at an element, as the result of who reads it.
pub(super) fn fault<T>(element: &str, why: &'static str) -> Result<T, Fault> {
    Err(Fault { element: element.to_owned(), why })
}

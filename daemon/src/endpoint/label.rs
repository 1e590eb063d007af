//! What a request is called in metrics and in the log: of closed sets, whatever was asked. Pure.

use axum::http::Method;
use fhir::Kind;

use super::ask::Head;

/// The interaction, as http.html of FHIR names it.
pub(super) fn interaction(head: &Head) -> &'static str {
    let segments = head.segments();
    if segments.iter().any(|segment| segment.starts_with('$')) {
        return "operation";
    }
    let get = head.method == Method::GET || head.method == Method::HEAD;
    match (head.method.as_str(), segments.as_slice()) {
        (_, ["metadata" | ".well-known", ..]) if get => "capabilities",
        (_, [.., "_history", _]) if get => "vread",
        (_, [.., "_history"]) if get => "history",
        (_, [_, _]) if get => "read",
        (_, [_] | []) if get => "search",
        ("POST", [.., "_search"]) => "search",
        ("POST", []) => "bundle",
        ("POST", [_]) => "create",
        ("PUT", [_] | [_, _]) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => "other",
    }
}

/// The kind that the path begins with.
pub(super) fn kind(head: &Head) -> Option<Kind> {
    head.path.first().and_then(|first| Kind::named(first))
}

/// The kind as a label.
pub(super) fn kind_word(head: &Head) -> &'static str {
    kind(head).map_or("none", Kind::name)
}

/// `2xx` to `5xx`.
pub(super) const fn class(status: u16) -> &'static str {
    match status / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interaction_has_its_word_and_anything_else_is_other() {
        for (method, path, word, kind) in [
            ("GET", "metadata", "capabilities", "none"),
            ("GET", ".well-known/smart-configuration", "capabilities", "none"),
            ("GET", "Observation/1", "read", "Observation"),
            ("HEAD", "Observation/1", "read", "Observation"),
            ("GET", "Observation/1/_history/2", "vread", "Observation"),
            ("GET", "Observation/1/_history", "history", "Observation"),
            ("GET", "Observation", "search", "Observation"),
            ("GET", "", "search", "none"),
            ("POST", "Observation/_search", "search", "Observation"),
            ("POST", "", "bundle", "none"),
            ("POST", "Patient", "create", "Patient"),
            ("PUT", "Patient/1", "update", "Patient"),
            ("PATCH", "Patient/1", "patch", "Patient"),
            ("DELETE", "Patient/1", "delete", "Patient"),
            ("GET", "Patient/1/$everything", "operation", "Patient"),
            ("POST", "$submit-cgm-bundle", "operation", "none"),
            ("BREW", "Müller/4711", "other", "none"),
        ] {
            let head = Head {
                method: Method::from_bytes(method.as_bytes()).unwrap(),
                path: path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
                query: None,
                headers: Default::default(),
                release: None,
                request_id: String::new(),
            };
            assert_eq!((interaction(&head), kind_word(&head)), (word, kind), "{method} {path}");
        }
    }
}

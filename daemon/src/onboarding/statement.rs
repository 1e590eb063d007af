//! What a CapabilityStatement says that bears on writing (FHIR R4 and R5, capabilitystatement.html). Pure.
//!
//! Invariants: only the types of [`TYPES`] are kept, at most [`PARAMETERS_MOST`] search parameters of each; every word that is
//! compared is of a closed set; a statement says what a server means to do, and nothing here takes it for what it does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::report::paper::printable;

/// The types that outcomes are written as, and those that are read to write them.
pub const TYPES: [&str; 6] =
    ["Observation", "Provenance", "DiagnosticReport", "DocumentReference", "Patient", "Encounter"];
/// The most search parameters kept of a type: R4 defines some forty for the largest of these.
pub const PARAMETERS_MOST: usize = 64;
/// The most entries of a list that are looked at: a large vendor's statement lists about 150 types.
const ENTRIES_MOST: usize = 512;
/// The most characters of a name that are shown.
const NAME_MOST: usize = 60;
/// How every canonical of the CGM guide begins.
const GUIDE: &str = "http://hl7.org/fhir/uv/cgm/";

/// Why an answer is no statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Another resource, no JSON, or more than is read.
    #[error("the answer is no CapabilityStatement, or is larger than is read")]
    Garbled,
    /// It describes no server.
    #[error("the CapabilityStatement describes no server (no rest entry of mode server)")]
    NoServer,
}

/// A maker of EHRs whose own forms there are. Told by a name that anybody may give themselves: a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Epic.
    Epic,
    /// Oracle Health Millennium, once Cerner.
    Millennium,
}

impl Vendor {
    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epic => "Epic",
            Self::Millennium => "Oracle Health Millennium",
        }
    }

    fn of(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let has = |word: &str| text.split(|c: char| !c.is_alphanumeric()).any(|one| one == word);
        if has("epic") {
            Some(Self::Epic)
        } else if has("millennium") || has("cerner") {
            Some(Self::Millennium)
        } else {
            None
        }
    }
}

/// What is stated of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// `create`.
    pub create: bool,
    /// `update`.
    pub update: bool,
    /// `read`.
    pub read: bool,
    /// `search-type`.
    pub search: bool,
    /// `conditionalCreate`; `None` is not stated.
    pub conditional_create: Option<bool>,
    /// `updateCreate`; `None` is not stated.
    pub update_create: Option<bool>,
    /// `versioning`: one of FHIR's three words, or none.
    pub versioning: Option<&'static str>,
    /// Names of search parameters.
    pub parameters: BTreeSet<String>,
}

/// A statement, reduced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// `R4`, `R4B` or `R5`; `None` is another release, or not stated.
    pub release: Option<&'static str>,
    /// Name of the software as the server gives it, printable, at most 60 characters.
    pub software: String,
    /// Who that sounds like.
    pub vendor: Option<Vendor>,
    /// Whether the CGM guide is named: as guide, profile or operation.
    pub guide: bool,
    /// Whether transaction Bundles are taken.
    pub transaction: bool,
    /// Whether batch Bundles are taken.
    pub batch: bool,
    /// Whether SMART is named as a security service.
    pub smart: bool,
    /// What is stated of each type of [`TYPES`] that is named.
    pub kinds: BTreeMap<&'static str, Kind>,
}

impl Statement {
    /// Reads an answer's body.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn read(body: &[u8]) -> Result<Self, StatementError> {
        let json: Value = serde_json::from_slice(body).map_err(|_| StatementError::Garbled)?;
        if json["resourceType"] != "CapabilityStatement" {
            return Err(StatementError::Garbled);
        }
        let rest = items(&json["rest"]).find(|rest| rest["mode"] == "server");
        let rest = rest.ok_or(StatementError::NoServer)?;
        let codes: BTreeSet<&str> = codes(&rest["interaction"]).collect();
        let name = json["software"]["name"].as_str().unwrap_or_default();
        let publisher = json["publisher"].as_str().unwrap_or_default();
        let mut kinds = BTreeMap::new();
        for resource in items(&rest["resource"]) {
            if let Some(name) = TYPES.into_iter().find(|name| resource["type"] == **name) {
                kinds.insert(name, kind(resource));
            }
        }
        Ok(Self {
            release: release(json["fhirVersion"].as_str().unwrap_or_default()),
            software: shown(name),
            vendor: Vendor::of(name).or_else(|| Vendor::of(publisher)),
            guide: names_guide(&json, rest),
            transaction: codes.contains("transaction"),
            batch: codes.contains("batch"),
            smart: is_smart(&rest["security"]),
            kinds,
        })
    }

    /// What is stated of a type; nothing where it is not named.
    pub fn kind(&self, name: &str) -> Kind {
        self.kinds.get(name).cloned().unwrap_or_default()
    }
}

/// A stranger's text on one line, cut.
pub fn shown(text: &str) -> String {
    let text = printable(text);
    let mut cut: String = text.chars().take(NAME_MOST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten().take(ENTRIES_MOST)
}

fn codes(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(|one| one["code"].as_str())
}

fn kind(resource: &Value) -> Kind {
    let acts: BTreeSet<&str> = codes(&resource["interaction"]).collect();
    let words = ["no-version", "versioned", "versioned-update"];
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.len() <= NAME_MOST
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte))
    };
    let names = items(&resource["searchParam"]).filter_map(|one| one["name"].as_str()).filter(is_name);
    Kind {
        create: acts.contains("create"),
        update: acts.contains("update"),
        read: acts.contains("read"),
        search: acts.contains("search-type"),
        conditional_create: resource["conditionalCreate"].as_bool(),
        update_create: resource["updateCreate"].as_bool(),
        versioning: words.into_iter().find(|word| resource["versioning"] == **word),
        parameters: names.take(PARAMETERS_MOST).map(str::to_owned).collect(),
    }
}

fn release(version: &str) -> Option<&'static str> {
    match version.split('-').next().unwrap_or_default() {
        "4.0.0" | "4.0.1" => Some("R4"),
        "4.1.0" | "4.3.0" => Some("R4B"),
        version if version.starts_with("5.") => Some("R5"),
        _ => None,
    }
}

fn names_guide(json: &Value, rest: &Value) -> bool {
    let is_guide = |value: &Value| value.as_str().is_some_and(|url| url.starts_with(GUIDE));
    let of_type = |resource: &Value| items(&resource["supportedProfile"]).any(is_guide);
    items(&json["implementationGuide"]).any(is_guide)
        || items(&json["instantiates"]).any(is_guide)
        || items(&rest["operation"]).any(|operation| is_guide(&operation["definition"]))
        || items(&rest["resource"]).any(of_type)
}

fn is_smart(security: &Value) -> bool {
    let coded = |service: &Value| codes(&service["coding"]).any(|code| code == "SMART-on-FHIR");
    items(&security["service"]).any(coded)
        || items(&security["extension"])
            .any(|one| one["url"].as_str().is_some_and(|url| url.ends_with("/oauth-uris")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &Value) -> Result<Statement, StatementError> {
        Statement::read(json.to_string().as_bytes())
    }

    #[test]
    fn what_is_stated_of_a_type_is_kept_and_of_others_nothing() {
        let resource = json!({"type": "Observation", "interaction": [{"code": "create"}, {"code": "search-type"}],
            "conditionalCreate": true, "versioning": "versioned",
            "searchParam": [{"name": "identifier"}, {"name": "<b>"}, {"name": 7}]});
        let statement = read(&json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
            "software": {"name": "Epic\u{1b}[2J"}, "rest": [{"mode": "client"}, {"mode": "server",
            "interaction": [{"code": "batch"}], "resource": [resource, {"type": "Device"}]}]}))
        .unwrap();
        let kind = statement.kind("Observation");
        assert!(kind.create && kind.search && !kind.update && !kind.read);
        assert_eq!((kind.conditional_create, kind.update_create), (Some(true), None));
        assert_eq!((kind.versioning, kind.parameters.len()), (Some("versioned"), 1));
        assert_eq!(statement.kinds.len(), 1);
        assert_eq!((statement.release, statement.vendor), (Some("R4"), Some(Vendor::Epic)));
        assert!(statement.batch && !statement.transaction && !statement.guide && !statement.smart);
        assert!(!statement.software.contains('\u{1b}'), "{}", statement.software);
    }

    #[test]
    fn what_is_no_statement_of_a_server_is_an_error() {
        for (json, wanted) in [
            (json!({"resourceType": "OperationOutcome"}), StatementError::Garbled),
            (json!([]), StatementError::Garbled),
            (json!({"resourceType": "CapabilityStatement"}), StatementError::NoServer),
            (
                json!({"resourceType": "CapabilityStatement", "rest": [{"mode": "client"}]}),
                StatementError::NoServer,
            ),
        ] {
            assert_eq!(read(&json), Err(wanted));
        }
        assert_eq!(Statement::read(b""), Err(StatementError::Garbled));
    }

    #[test]
    fn a_vendor_is_known_by_a_whole_word_only() {
        for (name, wanted) in [
            ("Epic", Some(Vendor::Epic)),
            ("EPIC 2026", Some(Vendor::Epic)),
            ("Epicenter", None),
            ("Oracle Health Millennium", Some(Vendor::Millennium)),
            ("HAPI FHIR Server", None),
            ("", None),
        ] {
            assert_eq!(Vendor::of(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_name_is_cut_at_its_bound() {
        assert_eq!(shown(&"x".repeat(200)).chars().count(), NAME_MOST + 1);
        assert_eq!(release("5.0.0"), Some("R5"));
        assert_eq!(release("3.0.2"), None);
    }
}

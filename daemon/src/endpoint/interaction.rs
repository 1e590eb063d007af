//! Which interaction a request is (hl7.org/fhir/R4/http.html). Pure.
//!
//! Invariants: a path that is none of ours is 404, a method that its path does not have 405 with those that it has; what is not
//! built (delete, patch, `$export`, history of a kind) is answered so, and never as something else.

use axum::http::{Method, header::ALLOW};
use fhir::{Code, Issue, Kind};

use super::{
    ask::{Answer, Head},
    caller::{Act, Caller, Within},
};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Interaction {
    /// `GET metadata`.
    Capabilities,
    /// `GET Kind/id`.
    Read(Kind, String),
    /// `GET Kind/id/_history/version`.
    VersionRead(Kind, String, String),
    /// `GET Kind/id/_history`.
    History(Kind, String),
    /// `GET Kind?…`, `POST Kind/_search`, and `GET Patient/id/Kind?…`, which names the patient.
    Search(Kind, Option<String>),
    /// `POST Kind`.
    Create(Kind),
    /// `PUT Kind/id`.
    Update(Kind, String),
    /// `POST` of a Bundle to the base.
    Bundle,
    /// `POST Kind/$validate`, `POST Kind/id/$validate`.
    Validate(Kind, Option<String>),
    /// `GET Patient/id/$everything`.
    Everything(String),
    /// `GET` or `POST Patient/id/$outcomes`.
    Outcomes(String),
    /// `POST $submit-cgm-bundle`.
    SubmitCgm,
}

/// What is wrong with a path or its method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// No such path.
    NotFound,
    /// A Bundle that is to be carried out goes to the base.
    Base,
    /// The path has these methods.
    Methods(&'static str),
    /// The path has these methods, and more where clients wrote resources of the kind.
    NotWritten(Kind, &'static str),
}

impl Interaction {
    /// The interaction of a request, where clients write resources of these kinds.
    ///
    /// # Errors
    /// [`Stray`].
    pub(super) fn of(method: &Method, path: &[&str], writes: &[Kind]) -> Result<Self, Stray> {
        let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
        let kind = |name: &str| Kind::named(name).ok_or(Stray::NotFound);
        let one_of = |wanted: &[(&Method, Self)], methods| {
            wanted
                .iter()
                .find(|(wanted, _)| method == **wanted || (**wanted == get && *method == Method::HEAD))
                .map(|(_, interaction)| interaction.clone())
                .ok_or(Stray::Methods(methods))
        };
        match path {
            [] => one_of(&[(&post, Self::Bundle)], "POST"),
            ["metadata"] => one_of(&[(&get, Self::Capabilities)], "GET"),
            ["Bundle"] if *method == post => Err(Stray::Base),
            ["$submit-cgm-bundle"] => one_of(&[(&post, Self::SubmitCgm)], "POST"),
            [name] => {
                let kind = kind(name)?;
                if writes.contains(&kind) {
                    one_of(&[(&get, Self::Search(kind, None)), (&post, Self::Create(kind))], "GET, POST")
                } else if *method == post {
                    Err(Stray::NotWritten(kind, "GET"))
                } else {
                    one_of(&[(&get, Self::Search(kind, None))], "GET")
                }
            }
            [name, "_search"] => one_of(&[(&post, Self::Search(kind(name)?, None))], "POST"),
            [name, "$validate"] => one_of(&[(&post, Self::Validate(kind(name)?, None))], "POST"),
            ["Patient", id, "$everything"] => {
                let everything = || Self::Everything((*id).to_owned());
                one_of(&[(&get, everything()), (&post, everything())], "GET, POST")
            }
            ["Patient", id, "$outcomes"] => {
                let outcomes = || Self::Outcomes((*id).to_owned());
                one_of(&[(&get, outcomes()), (&post, outcomes())], "GET, POST")
            }
            [name, id, "_history"] => one_of(&[(&get, Self::History(kind(name)?, (*id).to_owned()))], "GET"),
            [name, id, "$validate"] => {
                one_of(&[(&post, Self::Validate(kind(name)?, Some((*id).to_owned())))], "POST")
            }
            ["Patient", id, name] if Kind::named(name).is_some_and(is_of_patients) => {
                one_of(&[(&get, Self::Search(kind(name)?, Some((*id).to_owned())))], "GET")
            }
            [name, id, "_history", version] => {
                let read = Self::VersionRead(kind(name)?, (*id).to_owned(), (*version).to_owned());
                one_of(&[(&get, read)], "GET")
            }
            [name, id] if !id.starts_with(['$', '_']) => {
                let (kind, id) = (kind(name)?, (*id).to_owned());
                if writes.contains(&kind) {
                    one_of(
                        &[(&get, Self::Read(kind, id.clone())), (&put, Self::Update(kind, id))],
                        "GET, PUT",
                    )
                } else if *method == put {
                    Err(Stray::NotWritten(kind, "GET"))
                } else {
                    one_of(&[(&get, Self::Read(kind, id))], "GET")
                }
            }
            _ => Err(Stray::NotFound),
        }
    }

    /// The word in metrics and in the audit log.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Read(..) => "read",
            Self::VersionRead(..) => "vread",
            Self::History(..) => "history",
            Self::Search(..) => "search",
            Self::Create(..) => "create",
            Self::Update(..) => "update",
            Self::Bundle => "bundle",
            Self::Validate(..) => "validate",
            Self::Everything(..) => "everything",
            Self::Outcomes(..) => "outcomes",
            Self::SubmitCgm => "submit-cgm-bundle",
        }
    }

    /// The kind that it is about; `None` where it is about several.
    pub(super) const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Read(kind, _)
            | Self::VersionRead(kind, ..)
            | Self::History(kind, _)
            | Self::Search(kind, _)
            | Self::Create(kind)
            | Self::Update(kind, _)
            | Self::Validate(kind, _) => Some(*kind),
            Self::Everything(_) | Self::Outcomes(_) => Some(Kind::Patient),
            Self::Capabilities | Self::Bundle | Self::SubmitCgm => None,
        }
    }

    /// What a caller needs for it; `None` where that depends on what is in the body, or nothing is needed.
    pub(super) const fn needs(&self) -> Option<(Act, Kind)> {
        match self {
            Self::Read(kind, _) | Self::VersionRead(kind, ..) | Self::History(kind, _) => {
                Some((Act::Read, *kind))
            }
            Self::Search(kind, _) => Some((Act::Search, *kind)),
            Self::Create(kind) => Some((Act::Create, *kind)),
            Self::Update(kind, _) => Some((Act::Update, *kind)),
            Self::Everything(_) => Some((Act::Read, Kind::Patient)),
            Self::Outcomes(_) => Some((Act::Search, Kind::Observation)),
            Self::Capabilities | Self::Bundle | Self::SubmitCgm | Self::Validate(..) => None,
        }
    }

    /// Whether it has a resource, a Bundle or Parameters as its body.
    pub(super) fn has_resource(&self, method: &Method) -> bool {
        match self {
            Self::Create(_) | Self::Update(..) | Self::Bundle | Self::Validate(..) | Self::SubmitCgm => true,
            Self::Outcomes(_) | Self::Everything(_) => *method == Method::POST,
            _ => false,
        }
    }

    /// Whether the caller may, and within which bounds; what depends on the body is asked later.
    ///
    /// # Errors
    /// 403.
    pub(super) fn permitted(&self, caller: &Caller) -> Result<Within, Answer> {
        match (self, self.needs()) {
            // What is wrong with a resource is told to whoever may send or read such.
            (Self::Validate(kind, _), _) => {
                let may = |act| caller.permits(act, *kind);
                may(Act::Create).or_else(|_| may(Act::Update)).or_else(|_| may(Act::Read))
            }
            (_, Some((act, kind))) => caller.permits(act, kind),
            (_, None) => Ok(Within::All),
        }
    }
}

/// Whether resources of the kind are about a patient: members of a Group are several, and the audit log is of the box.
pub(super) const fn is_of_patients(kind: Kind) -> bool {
    !matches!(kind, Kind::Patient | Kind::Group | Kind::AuditEvent)
}

impl Stray {
    /// 404, or 405 with `Allow`.
    pub(super) fn answer(&self, head: &Head) -> Answer {
        match self {
            Self::NotFound => Answer::refusal(
                404,
                Issue::error(Code::NotFound, "no such path here; GET metadata lists what there is"),
            ),
            Self::Base => Answer::refusal(
                404,
                Issue::error(
                    Code::NotFound,
                    "Bundles are not kept: send a batch or transaction to the base itself",
                ),
            ),
            Self::NotWritten(kind, methods) => {
                let kind = kind.name();
                let text = format!(
                    "clients do not write {kind} at this box: writes of [fhir] in isthmus.toml lists the kinds that \
                     they do; this path has {methods}"
                );
                Answer::refusal(405, Issue::error(Code::NotSupported, text)).with(ALLOW, methods)
            }
            Self::Methods(methods) => {
                let text = if head.method == Method::DELETE {
                    format!("nothing is deleted: mark it entered-in-error with PUT; this path has {methods}")
                } else {
                    format!("this path has {methods}")
                };
                Answer::refusal(405, Issue::error(Code::NotSupported, text)).with(ALLOW, methods)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FhirLimits;

    fn of(method: Method, path: &str) -> Result<Interaction, Stray> {
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Interaction::of(&method, &path, &FhirLimits::default().writes)
    }

    #[test]
    fn every_path_and_method_is_one_interaction_or_none() {
        use Interaction::*;
        let id = || "1-00000001".to_owned();
        for (method, path, expected) in [
            (Method::GET, "metadata", Ok(Capabilities)),
            (Method::POST, "metadata", Err(Stray::Methods("GET"))),
            (Method::GET, "Observation", Ok(Search(Kind::Observation, None))),
            (Method::HEAD, "Observation/1-00000001", Ok(Read(Kind::Observation, id()))),
            (Method::POST, "Observation", Ok(Create(Kind::Observation))),
            (Method::POST, "Observation/_search", Ok(Search(Kind::Observation, None))),
            (Method::GET, "Observation/_search", Err(Stray::Methods("POST"))),
            (Method::PUT, "Observation/1-00000001", Ok(Update(Kind::Observation, id()))),
            (Method::DELETE, "Observation/1-00000001", Err(Stray::Methods("GET, PUT"))),
            (Method::PATCH, "Observation/1-00000001", Err(Stray::Methods("GET, PUT"))),
            (Method::GET, "Observation/1-00000001/_history", Ok(History(Kind::Observation, id()))),
            (
                Method::GET,
                "Observation/1-00000001/_history/2",
                Ok(VersionRead(Kind::Observation, id(), "2".into())),
            ),
            (Method::GET, "Observation/_history", Err(Stray::NotFound)),
            (Method::GET, "Patient/1-00000001/Observation", Ok(Search(Kind::Observation, Some(id())))),
            (Method::GET, "Patient/1-00000001/$everything", Ok(Everything(id()))),
            (Method::POST, "Patient/1-00000001/$outcomes", Ok(Outcomes(id()))),
            (Method::POST, "Observation/$validate", Ok(Validate(Kind::Observation, None))),
            (Method::POST, "Observation/1-00000001/$validate", Ok(Validate(Kind::Observation, Some(id())))),
            (Method::POST, "$submit-cgm-bundle", Ok(SubmitCgm)),
            (Method::GET, "$export", Err(Stray::NotFound)),
            (Method::GET, "Group/1-00000001/$export", Err(Stray::NotFound)),
            (Method::POST, "", Ok(Bundle)),
            (Method::GET, "", Err(Stray::Methods("POST"))),
            (Method::POST, "AuditEvent", Err(Stray::NotWritten(Kind::AuditEvent, "GET"))),
            (Method::PUT, "AuditEvent/1-00000001", Err(Stray::NotWritten(Kind::AuditEvent, "GET"))),
            (Method::GET, "Encounter", Err(Stray::NotFound)),
            (Method::GET, "observation", Err(Stray::NotFound)),
            (Method::GET, "a/b/c/d/e", Err(Stray::NotFound)),
        ] {
            assert_eq!(of(method.clone(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_clients_do_not_write_they_still_read() {
        let of = |method, path: &[&str]| Interaction::of(&method, path, &[Kind::Observation]);
        assert_eq!(of(Method::POST, &["Device"]), Err(Stray::NotWritten(Kind::Device, "GET")));
        assert_eq!(of(Method::PUT, &["Device", "1-00000001"]), Err(Stray::NotWritten(Kind::Device, "GET")));
        assert_eq!(of(Method::DELETE, &["Device", "1-00000001"]), Err(Stray::Methods("GET")));
        assert_eq!(of(Method::GET, &["Device"]), Ok(Interaction::Search(Kind::Device, None)));
        assert_eq!(of(Method::POST, &["Observation"]), Ok(Interaction::Create(Kind::Observation)));
    }
}

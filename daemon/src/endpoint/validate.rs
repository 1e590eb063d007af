//! `$validate` (hl7.org/fhir/R4/resource-operation-validate.html): whether a resource would be taken. Nothing is kept.
//!
//! Invariants: what a resource says is judged by its release for whoever may read its kind, and by the rules of this box for
//! whoever may write it; a trial goes the way of a write up to the commit, and writes nothing, gives nobody a number
//! and asks nobody for anything.

use std::sync::Arc;

use bytes::Bytes;
use fhir::{Code, Issue, Kind, Severity, search::place};
use outbox::Reader;
use serde_json::Value;

use super::{
    ask::Answer,
    audit::resource,
    body::{self, Body, judged},
    caller::Act,
    draft::{Plan, Wanted},
    effect::NewPatients,
    key::parse_id,
    negotiation::body_release,
    operation::Known,
    service::{Done, Interactions, Request},
    shelf::{at_length, look},
};

/// Parameters of `$validate`.
const KNOWN: Known = Known {
    names: &["resource", "mode", "profile", "_format", "_pretty"],
    told: "$validate has resource, mode and profile",
};

/// What is to be validated for (valueset-resource-validation-mode).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// What it says by itself, whether or not it stands already.
    Content,
    /// To be created.
    Create,
    /// To be put to the id of the path.
    Update,
    /// To be deleted.
    Delete,
    /// By its release alone.
    Profile,
}

/// What is asked.
struct Asked {
    resource: Value,
    mode: Mode,
}

impl Interactions {
    /// `$validate`, of a kind or of the resource with an id.
    pub(super) async fn validate(
        &self,
        request: &Arc<Request>,
        kind: Kind,
        id: Option<&str>,
        bytes: Bytes,
    ) -> Result<Done, Answer> {
        let (release, max_depth) = (body_release(&request.head)?, self.limits().max_depth);
        let parsed = at_length(bytes.len(), || body::parse(&bytes, max_depth))?;
        let asked = asked(request, parsed, id)?;
        let mut issues = if asked.resource["resourceType"] == kind.name() {
            at_length(bytes.len(), || judged(&asked.resource, release))
        } else {
            let text = format!("there is no resource of the kind that the path names, {}", kind.name());
            vec![Issue::error(Code::Invalid, text).at("resourceType")]
        };
        if asked.mode == Mode::Delete {
            let text = "nothing is deleted here: mark it entered-in-error with PUT";
            issues.push(Issue::error(Code::NotSupported, text).at("http.mode"));
        } else if asked.mode != Mode::Profile && !issues.iter().any(Issue::is_error) {
            let bytes = Bytes::from(at_length(bytes.len(), || asked.resource.to_string()));
            let body = Body { kind, release, bytes, value: asked.resource, warnings: Vec::new() };
            let wanted = Wanted::tried(body, id.map(str::to_owned));
            issues.extend(self.tried(request, wanted, asked.mode).await?);
        }
        let answer = Answer::outcome(200, &issues).told_in(request.manner.release);
        Ok(Done {
            answer,
            object: resource(kind, id.filter(|id| parse_id(id).is_some())),
            resources: 0,
            is_told: false,
        })
    }

    /// What a write would be refused for.
    async fn tried(&self, request: &Arc<Request>, wanted: Wanted, mode: Mode) -> Result<Vec<Issue>, Answer> {
        let kind = wanted.body.kind;
        let act = if mode == Mode::Update { Act::Update } else { Act::Create };
        let (shared, this) = (Arc::clone(request), self.clone());
        if let Some(why) = self.unwritten(request, kind, act) {
            // That a write would be refused is what was asked.
            let severity = if mode == Mode::Content { Severity::Information } else { Severity::Error };
            return Ok(vec![Issue { severity, ..Issue::warning(Code::Suppressed, why) }]);
        }
        let tried = look(&self.readers, move |reader| this.trial(reader, &shared, wanted, mode));
        match tried.await {
            Ok(()) => Ok(Vec::new()),
            Err(refusal) if refusal.status < 500 => Ok(refusal.issues()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Why the rules of this box are not looked at: the caller writes no such resources.
    fn unwritten(&self, request: &Request, kind: Kind, act: Act) -> Option<&'static str> {
        let path = [kind.name()];
        if self.asked(&axum::http::Method::POST, &path).is_err() {
            return Some("it is judged by its release alone: clients write no resources of this kind here");
        }
        request.within(act, kind).err().map(
            |_| "it is judged by its release alone: whether it would be taken is told to who may write it",
        )
    }

    fn trial(&self, reader: &Reader, request: &Request, wanted: Wanted, mode: Mode) -> Result<(), Answer> {
        let desk = request.desk(reader, &self.writer);
        if mode == Mode::Content {
            return desk.loose(wanted.body).map(|_| ());
        }
        if let Plan::Write(mut draft) = desk.plan(wanted)? {
            self.effect(reader, request, &mut draft, &NewPatients::new())?;
        }
        Ok(())
    }
}

/// What is asked, in a Parameters resource or as the resource itself, with the parameters of the path.
fn asked(request: &Request, value: Value, id: Option<&str>) -> Result<Asked, Answer> {
    let (mut mode, mut profile) = (None, false);
    let mut take = |name: &str, value: &str, at: &dyn Fn() -> String| {
        KNOWN.has(name, at)?;
        match name {
            "mode" => mode = Some(mode_of(value, id, at())?),
            "profile" => profile = true,
            _ => {}
        }
        Ok(())
    };
    for (name, value) in &request.parameters {
        take(name, value, &|| place(name))?;
    }
    let resource = if value["resourceType"] == "Parameters" {
        let mut resource = Value::Null;
        for (at, parameter) in value["parameter"].as_array().into_iter().flatten().enumerate() {
            let name = parameter["name"].as_str().unwrap_or_default();
            let text =
                ["valueCode", "valueUri", "valueCanonical"].iter().find_map(|it| parameter[it].as_str());
            take(name, text.unwrap_or_default(), &|| format!("Parameters.parameter[{at}].name"))?;
            if name == "resource" {
                resource = parameter["resource"].clone();
            }
        }
        resource
    } else {
        value
    };
    if profile {
        let text = "no profiles are judged here; without it the resource is judged by its release and by what this box takes";
        return Err(Answer::refusal(400, Issue::error(Code::NotSupported, text).at("http.profile")));
    }
    Ok(Asked { resource, mode: mode.unwrap_or(Mode::Content) })
}

fn mode_of(value: &str, id: Option<&str>, at: String) -> Result<Mode, Answer> {
    let fault = |text: &str| Answer::refusal(400, Issue::error(Code::Value, text).at(at));
    match (value, id) {
        ("create", None) => Ok(Mode::Create),
        ("create", Some(_)) => Err(fault("what is created has no id in the path")),
        ("update", Some(_)) => Ok(Mode::Update),
        ("update", None) => Err(fault("what is updated is named by the path: Kind/id/$validate")),
        ("delete", _) => Ok(Mode::Delete),
        ("profile", _) => Ok(Mode::Profile),
        _ => Err(fault("a mode is create, update, delete or profile")),
    }
}

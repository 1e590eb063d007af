//! What a request to write amounts to: a version to write, or a resource that stands already.
//!
//! Invariants: everything that may be refused is found here, at one moment of the store, and nothing is written; the guards of
//! a draft say what of that moment must still be so when it is committed.

use std::{collections::HashSet, sync::Arc};

use fhir::{
    Code, Issue, Kind,
    search::{Context, Handling, Query, terms},
};
use outbox::{GUARD_MOST, Guard, NewVersion, PatientKey, Reader, ResourceId, Shown, VersionBody, Writer};
use rand::RngExt;
use serde_json::Value;

use super::{
    ask::Answer,
    body::Body,
    bounds::Bounds,
    caller::{Act, Caller},
    check,
    key::{id_of, key, parse_id},
    read::{not_found, tagged},
    search::Search,
    shelf::{unreadable, unwritten},
    stored::Stored,
};
use crate::generation::Site;

/// A request to write one resource.
#[derive(Clone)]
pub(super) struct Wanted {
    /// The resource.
    pub(super) body: Body,
    /// Under which id, where it is an update.
    pub(super) id: Option<String>,
    /// `If-Match`.
    pub(super) if_match: Option<String>,
    /// `If-None-Exist`, decoded; `None` where there is none.
    pub(super) if_none_exist: Option<Vec<(String, String)>>,
}

impl Wanted {
    /// Whether a few rows tell what it amounts to: not a Patient, whose number the writer gives out, nor a condition that does
    /// not go by an identifier.
    pub(super) fn is_short(&self) -> bool {
        let by_identifier =
            |condition: &Vec<(String, String)>| condition.iter().any(|(name, _)| name == "identifier");
        self.body.kind != Kind::Patient && self.if_none_exist.as_ref().is_none_or(by_identifier)
    }
}

/// A version to write.
pub(super) struct Draft {
    /// What came; references to others of the same Bundle are names already.
    pub(super) body: Body,
    /// Under which name.
    pub(super) id: ResourceId,
    /// The version that stands; `None` for a new resource.
    pub(super) expected: Option<i64>,
    /// What must still be so.
    pub(super) guards: Vec<Guard>,
    /// What of the box it shows.
    pub(super) shows: Option<(Shown, i64, String)>,
    /// By what its message is known again, where that is not its own bytes: those of the Bundle, and its place there.
    pub(super) known_by: Option<[u8; 32]>,
    /// What it replaces, as it is served.
    standing: Option<Value>,
}

/// What a request to write amounts to.
pub(super) enum Plan {
    /// This is to be written.
    Write(Box<Draft>),
    /// This stands already.
    Stands(Box<Stored>),
    /// The draft at this place of the same request is it.
    SameAs(usize),
}

/// Where drafts are made: a site, at one moment, for a caller.
pub(super) struct Desk<'a> {
    /// The store at one moment.
    pub(super) reader: &'a Reader,
    /// Gives out names.
    pub(super) writer: &'a Writer,
    /// Whose resources.
    pub(super) site: &'a Arc<Site>,
    /// Who asks.
    pub(super) caller: &'a Caller,
    /// The bases of this server, and now.
    pub(super) context: &'a Context,
}

impl Desk<'_> {
    /// What a request amounts to.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(super) fn plan(&self, wanted: Wanted) -> Result<Plan, Answer> {
        let plan = self.place(wanted, &[])?;
        if let Plan::Write(draft) = &plan {
            self.check(draft, &HashSet::new())?;
        }
        Ok(plan)
    }

    /// Where a request belongs: under a new name, under the one that it updates, or nowhere, because it stands. `before` are
    /// the drafts of the same request with their places. What it says is looked at by [`Self::check`].
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(super) fn place(&self, wanted: Wanted, before: &[(usize, &Draft)]) -> Result<Plan, Answer> {
        match wanted.id {
            Some(_) => self.place_update(wanted),
            None => self.place_new(wanted, before),
        }
    }

    /// Whether what a draft says can stand: who may say it, what it refers to, what it changes. `new` are the references of
    /// what is written with it.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(super) fn check(&self, draft: &Draft, new: &HashSet<String>) -> Result<(), Answer> {
        let act = if draft.expected.is_some() { Act::Update } else { Act::Create };
        self.permitted(act, &draft.body)?;
        if let Some(standing) = &draft.standing {
            let changed = check::unchanged(draft.body.kind, standing, &draft.body.value);
            if !changed.is_empty() {
                return Err(Answer::outcome(422, &changed));
            }
        }
        self.references_lead_somewhere(&draft.body, new)
    }

    fn place_new(&self, wanted: Wanted, before: &[(usize, &Draft)]) -> Result<Plan, Answer> {
        let kind = wanted.body.kind;
        self.bounds(Act::Create, kind)?;
        let mut guards = Vec::new();
        if let Some(condition) = &wanted.if_none_exist {
            let query = self.condition(kind, condition)?;
            let same =
                before.iter().find(|(_, draft)| draft.expected.is_none() && query.matches(&draft.body.value));
            if let Some((at, _)) = same {
                return Ok(Plan::SameAs(*at));
            }
            let found =
                Search { site: &self.site.id, query: &query, bounds: &Bounds::All }.page(self.reader)?;
            match found.hits.len() {
                0 if found.next.is_some() => return Err(too_wide()),
                0 => guards = self.guards(kind, &query)?,
                1 => return self.stands(found.hits, kind),
                _ => {
                    let text = "If-None-Exist finds more than one resource; narrow it to one";
                    let issue = Issue::error(Code::MultipleMatches, text).at("http.If-None-Exist");
                    return Err(Answer::refusal(412, issue));
                }
            }
        }
        let shows = match kind {
            Kind::Patient => match self.patient_number(&wanted.body, before)? {
                Ok(shows) => Some(shows),
                Err(standing) => return Ok(Plan::Stands(standing)),
            },
            _ => None,
        };
        let id = self.writer.new_resource(rand::rng().random());
        let draft =
            Draft { body: wanted.body, id, expected: None, guards, shows, known_by: None, standing: None };
        Ok(Plan::Write(Box::new(draft)))
    }

    /// The one that a condition found, where the caller may know of it.
    fn stands(&self, hits: Vec<super::search::Hit>, kind: Kind) -> Result<Plan, Answer> {
        let bounds = self.bounds(Act::Create, kind)?;
        let hit = hits.into_iter().next().filter(|hit| bounds.hold(&hit.value()));
        match hit {
            Some(hit) => Ok(Plan::Stands(Box::new(hit.stored))),
            None => {
                let text = "a resource that the caller may not see meets If-None-Exist";
                Err(Answer::refusal(412, Issue::error(Code::Forbidden, text).at("http.If-None-Exist")))
            }
        }
    }

    fn place_update(&self, wanted: Wanted) -> Result<Plan, Answer> {
        let (kind, path_id) = (wanted.body.kind, wanted.id.unwrap_or_default());
        if wanted.body.id() != Some(&*path_id) {
            let text = "the id in the body is not the one in the path";
            let issue = Issue::error(Code::Invalid, text).at(format!("{}.id", kind.name()));
            return Err(Answer::refusal(400, issue));
        }
        let bounds = self.bounds(Act::Update, kind)?;
        let found = Stored::read(self.reader, &self.site.id, kind, &path_id, None)?;
        let found = found.ok_or_else(|| unknown_id(kind, &path_id))?;
        let standing = found.value()?;
        if !bounds.hold(&standing) {
            return Err(not_found(kind));
        }
        // What stands is what came: sent again after a lost answer, or nothing has changed.
        if found.version.inbox_id != 0
            && found.version.body == wanted.body.bytes
            && found.release == wanted.body.release
        {
            return Ok(Plan::Stands(Box::new(found)));
        }
        if let Some(tag) = &wanted.if_match
            && tagged(tag) != Some(found.version.version)
        {
            let text = "the version in If-Match is not the one that stands; read it again, and change that";
            return Err(Answer::refusal(412, Issue::error(Code::Conflict, text).at("http.If-Match")));
        }
        if found.version.inbox_id == 0 {
            let text = "the box itself made this resource; what it shows is changed at its source";
            return Err(Answer::refusal(422, Issue::error(Code::BusinessRule, text).at(kind.name())));
        }
        let draft = Draft {
            body: wanted.body,
            id: found.version.id,
            expected: Some(found.version.version),
            guards: Vec::new(),
            shows: None,
            known_by: None,
            standing: Some(standing),
        };
        Ok(Plan::Write(Box::new(draft)))
    }

    /// A condition as a search.
    fn condition(&self, kind: Kind, parameters: &[(String, String)]) -> Result<Query, Answer> {
        let parsed = Query::parse(kind, parameters, Handling::Strict, self.context)
            .map_err(|issues| Answer::outcome(400, &issues))?;
        if parsed.query.is_narrow() { Ok(parsed.query) } else { Err(too_wide()) }
    }

    /// What keeps a condition true until the commit: nothing new under the keys that it goes by.
    fn guards(&self, kind: Kind, query: &Query) -> Result<Vec<Guard>, Answer> {
        let plan = query.plan();
        let terms = plan.all_of.first().map(Vec::as_slice).unwrap_or_default();
        let mut guards = Vec::with_capacity(terms.len());
        for term in terms {
            let key = key(&self.site.id, kind, term);
            let found = self.reader.resources_under(key).map_err(|error| unreadable(&error))?;
            if found.len() > GUARD_MOST {
                return Err(too_wide());
            }
            guards.push(Guard { key, found });
        }
        Ok(guards)
    }

    fn bounds(&self, act: Act, kind: Kind) -> Result<Bounds, Answer> {
        let within = self.caller.may(act, kind).map_err(|denied| denied.answer(act, kind))?;
        Ok(Bounds::of(&within, kind, self.context))
    }

    /// Whether the caller may write this: also, whom it is about.
    fn permitted(&self, act: Act, body: &Body) -> Result<(), Answer> {
        let bounds = self.bounds(act, body.kind)?;
        let is_new_patient = body.kind == Kind::Patient && act == Act::Create;
        if matches!(bounds, Bounds::All) || (!is_new_patient && bounds.hold(&body.value)) {
            return Ok(());
        }
        let text = format!("the caller may {} what is about their patient alone", act.word());
        Err(Answer::refusal(403, Issue::error(Code::Forbidden, text).at(body.kind.name())))
    }

    /// References to resources of this server lead to one that stands, or is written with it.
    fn references_lead_somewhere(&self, body: &Body, new: &HashSet<String>) -> Result<(), Answer> {
        let mut issues = Vec::new();
        for reference in check::references(&body.value) {
            if reference.text.starts_with("urn:") {
                let text = "it leads to nothing: a urn names what stands in the same transaction";
                issues.push(Issue::error(Code::NotFound, text).at(reference.expression));
                continue;
            }
            let Some((kind, id)) = check::local(reference.text, &self.context.bases) else { continue };
            if new.contains(&format!("{kind}/{id}")) {
                continue;
            }
            // What is of a kind that is not kept here is somebody else's, whatever their base.
            let Some(kind) = Kind::named(kind) else { continue };
            if !Stored::is_there(self.reader, &self.site.id, kind, id)? {
                let text =
                    format!("there is no such {}; send it first, or in the same transaction", kind.name());
                issues.push(Issue::error(Code::NotFound, text).at(reference.expression));
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(Answer::outcome(422, &issues)) }
    }

    /// The number of the patient whom a Patient is, by the identifier that names the site's patients; or the Patient that
    /// stands, where it came with the same bytes.
    fn patient_number(
        &self,
        body: &Body,
        before: &[(usize, &Draft)],
    ) -> Result<Result<(Shown, i64, String), Box<Stored>>, Answer> {
        let key = clinical::normalize::fhir::named(&body.value, &self.site.patient).map_err(|fault| {
            let text =
                format!("{fault}; a Patient needs the one identifier by which the site names its patients");
            Answer::refusal(422, Issue::error(Code::BusinessRule, text).at("Patient.identifier"))
        })?;
        let name = PatientKey { site: self.site.id.clone(), system: key.system, value: key.value };
        let numbers = self.writer.patients(vec![name]).wait().map_err(|error| unwritten(&error))?;
        let shows = (Shown::Patient, numbers.first().copied().unwrap_or_default(), String::new());
        let standing =
            self.reader.resource_showing(Shown::Patient, shows.1, "").map_err(|error| unreadable(&error))?;
        if let Some(standing) = standing {
            let first = Stored::versioned(self.reader, &self.site.id, standing, 1)?;
            if let Some(first) = first.filter(|first| first.version.body == body.bytes) {
                return Ok(Err(Box::new(first)));
            }
        }
        if standing.is_some() || before.iter().any(|(_, draft)| draft.shows.as_ref() == Some(&shows)) {
            let text =
                "there is a Patient with this identifier; search by identifier, or create with If-None-Exist";
            return Err(Answer::refusal(409, Issue::error(Code::Duplicate, text).at("Patient.identifier")));
        }
        Ok(Ok(shows))
    }
}

impl Draft {
    /// The version to write; `body` says which message it is.
    ///
    /// # Errors
    /// 422 where it has more than can be searched for.
    pub(super) fn version(&self, site: &str, body: VersionBody) -> Result<NewVersion, Answer> {
        let kind = self.body.kind;
        let terms = terms(kind, &self.body.value);
        if !terms.complete {
            let text = "it has more codes, identifiers and references than can be searched for; divide it";
            return Err(Answer::refusal(422, Issue::error(Code::TooCostly, text).at(kind.name())));
        }
        Ok(NewVersion {
            id: self.id,
            site: site.to_owned(),
            kind: kind.name().to_owned(),
            release: self.body.release.name().to_owned(),
            body,
            span: (terms.from_ms, terms.until_ms.max(terms.from_ms)),
            keys: terms.terms.iter().map(|term| key(site, kind, term)).collect(),
            expected: self.expected,
            shows: self.shows.clone(),
        })
    }

    /// `Kind/id`.
    pub(super) fn reference(&self) -> String {
        format!("{}/{}", self.body.kind.name(), id_of(self.id))
    }
}

fn too_wide() -> Answer {
    let text = "If-None-Exist has to find at most one resource; name an identifier";
    Answer::refusal(412, Issue::error(Code::TooCostly, text).at("http.If-None-Exist"))
}

/// 404, and what to do where a client wanted to choose the id.
fn unknown_id(kind: Kind, id: &str) -> Answer {
    if parse_id(id).is_some() {
        return not_found(kind);
    }
    let text = "ids are given here: create it with POST, and with If-None-Exist so that it is created once";
    Answer::refusal(404, Issue::error(Code::NotFound, text))
}

//! What a request to write amounts to: a version to write, or a resource that stands already.
//!
//! Invariants: everything that may be refused is found here, at one moment of the store, and nothing is written; the guards of
//! a draft say what of that moment must still be so when it is committed.

mod said;

use std::{collections::HashSet, sync::Arc};

use clinical::fhir::identifier::SiteSecret;
use fhir::{
    Code, Issue, Kind,
    search::{Context, Query, terms},
};
use outbox::{
    AuditEntry, Effect, GUARD_MOST, Guard, NewVersion, PatientKey, Purpose, Reader, ResourceId, Ruling,
    Shown, Shows, VersionBody, Writer,
};
use rand::RngExt;
use serde_json::Value;

use super::{
    ask::Answer,
    audit::Access,
    body::Body,
    bounds::Bounds,
    caller::{Act, Caller},
    key::{id_of, key, parse_id},
    read::{not_found, tagged},
    readings,
    rendition::rendered,
    search::Search,
    service::Request,
    shelf::{LONG_BYTES, unreadable},
    stored::Stored,
};
use crate::generation::Site;

/// Values of the parameter that a condition is kept true by.
const CONDITION_VALUES_MOST: usize = 16;

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
    /// Whether nothing is to be written: what would follow is only looked at.
    pub(super) is_trial: bool,
}

impl Wanted {
    /// A request to look at what would become of a resource; `id` of the path, where it has one.
    pub(super) fn tried(body: Body, id: Option<String>) -> Self {
        Self { body, id, if_match: None, if_none_exist: None, is_trial: true }
    }

    /// Whether a few rows tell what it amounts to: not what brings something about beside it, nor a condition that
    /// does not go by an identifier.
    pub(super) fn is_short(&self) -> bool {
        let by_identifier =
            |condition: &Vec<(String, String)>| condition.iter().any(|(name, _)| name == "identifier");
        self.body.bytes.len() < LONG_BYTES
            && !matches!(self.body.kind, Kind::Patient | Kind::Consent | Kind::Task)
            && self.if_none_exist.as_ref().is_none_or(by_identifier)
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
    pub(super) shows: Option<Shows>,
    /// Whether the request named the version that it follows.
    pub(super) is_matched: bool,
    /// Whether it refers to others of its Bundle by the names that they got.
    pub(super) is_rewritten: bool,
    /// By what its message is known again, where that is not its own bytes: those of the Bundle and its place there, or the
    /// request.
    pub(super) known_by: Option<[u8; 32]>,
    /// What it replaces, as it is served in the release of the body.
    pub(super) standing: Option<Value>,
    /// What it brings about in the same commit.
    pub(super) effect: Option<Effect>,
    /// The decisions that the ledger gets by it, to be counted.
    pub(super) decisions: Vec<(Purpose, Ruling)>,
    /// Whether it is never written, and nothing else may be for its sake.
    pub(super) is_trial: bool,
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
    /// The box's secret for identifiers.
    pub(super) secret: &'a SiteSecret,
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

    /// Which system names the site's patients, as far as the site's file says so.
    fn system_told(&self) -> String {
        match self.site.patient.one_system() {
            Some(system) => format!(", {system} ([patient] in the site's file)"),
            None => " ([patient] in the site's file says which)".to_owned(),
        }
    }

    fn place_new(&self, wanted: Wanted, before: &[(usize, &Draft)]) -> Result<Plan, Answer> {
        let kind = wanted.body.kind;
        let bounds = self.bounds(Act::Create, kind)?;
        // Before anything is looked up: whoever may see one patient alone does not learn which others there are.
        if kind == Kind::Patient && !matches!(bounds, Bounds::All) {
            return Err(of_their_patient_alone(Act::Create, kind));
        }
        let mut guards = Vec::new();
        if let Some(condition) = &wanted.if_none_exist {
            let query = self.condition(kind, condition)?;
            let same =
                before.iter().find(|(_, draft)| draft.expected.is_none() && query.matches(&draft.body.value));
            if let Some((at, _)) = same {
                return Ok(Plan::SameAs(*at));
            }
            let found = Search { site: &self.site.id, query: &query, bounds: &Bounds::All, secret: None }
                .page(self.reader)?;
            match (found.hits.len(), found.next) {
                (0, None) => guards = self.guards(kind, &query)?,
                (1, None) => return self.stands(found.hits, kind),
                _ => return Err(too_wide()),
            }
        }
        let mut shows = None;
        if kind == Kind::Patient {
            let key = self.patient_key(&wanted.body)?;
            if let Some(standing) = self.patient_stands(&key, &wanted.body, before)? {
                return Ok(Plan::Stands(standing));
            }
            shows = Some(Shows::Patient(key));
        }
        let id = self.writer.new_resource(rand::rng().random());
        let is_trial = wanted.is_trial;
        Ok(Plan::Write(Box::new(Draft { guards, shows, is_trial, ..Draft::of(wanted.body, id) })))
    }

    /// A draft that belongs nowhere, of which only what it says is looked at.
    ///
    /// # Errors
    /// The answer that refuses what it says.
    pub(super) fn loose(&self, body: Body) -> Result<Draft, Answer> {
        let shows = match body.kind {
            Kind::Patient => Some(Shows::Patient(self.patient_key(&body)?)),
            _ => None,
        };
        let nowhere = ResourceId { number: 0, tag: 0 };
        let draft = Draft { shows, is_trial: true, ..Draft::of(body, nowhere) };
        self.check(&draft, &HashSet::new())?;
        Ok(draft)
    }

    /// The one that a condition found, where the caller may know of it. Whoever may not is told no more than of several.
    fn stands(&self, hits: Vec<super::search::Hit>, kind: Kind) -> Result<Plan, Answer> {
        let bounds = self.bounds(Act::Search, kind)?;
        let hit = hits.into_iter().next().filter(|hit| bounds.hold(&hit.value()));
        hit.map(|hit| Plan::Stands(Box::new(hit.stored))).ok_or_else(too_wide)
    }

    fn place_update(&self, wanted: Wanted) -> Result<Plan, Answer> {
        let (kind, path_id) = (wanted.body.kind, wanted.id.unwrap_or_default());
        if wanted.body.id() != Some(&*path_id) {
            let text = "the id in the body is not the one in the path";
            let issue = Issue::error(Code::Invalid, text).at(format!("{}.id", kind.name()));
            return Err(Answer::refusal(400, issue));
        }
        let bounds = self.bounds(Act::Update, kind)?;
        if readings::is_name(kind, &path_id) {
            return Err(readings::not_written());
        }
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
        let tag = wanted.if_match.as_deref().filter(|tag| tag.trim() != "*");
        if tag.is_some_and(|tag| tagged(tag).is_none()) {
            let text = "If-Match is an entity tag as ETag has it: W/\"2\"";
            return Err(Answer::refusal(400, Issue::error(Code::Value, text).at("http.If-Match")));
        }
        if tag.is_some_and(|tag| tagged(tag) != Some(found.version.version)) {
            let text = "the version in If-Match is not the one that stands; read it again, and change that";
            return Err(Answer::refusal(412, Issue::error(Code::Conflict, text).at("http.If-Match")));
        }
        // A Task's state is the box's and the client's in turn (`wish.rs`).
        if found.version.inbox_id == 0 && kind != Kind::Task && !self.is_of_a_client(&found)? {
            let text = "the box itself made this resource; what it shows is changed at its source";
            return Err(Answer::refusal(422, Issue::error(Code::BusinessRule, text).at(kind.name())));
        }
        // As whoever changed it has read it.
        let standing = rendered(&standing, found.release, wanted.body.release);
        Ok(Plan::Write(Box::new(Draft {
            expected: Some(found.version.version),
            is_matched: wanted.if_match.is_some_and(|tag| tag.trim() != "*"),
            standing: Some(standing),
            is_trial: wanted.is_trial,
            ..Draft::of(wanted.body, found.version.id)
        })))
    }

    /// Whether a Patient that the box put merges to is a client's.
    fn is_of_a_client(&self, found: &Stored) -> Result<bool, Answer> {
        let first = Stored::versioned(self.reader, &self.site.id, found.version.id, 1)?;
        Ok(found.kind == Kind::Patient && first.is_some_and(|first| first.version.inbox_id != 0))
    }

    /// A condition as a search, by who may search the kind.
    fn condition(&self, kind: Kind, parameters: &[(String, String)]) -> Result<Query, Answer> {
        let bounds = self.bounds(Act::Search, kind)?;
        let query = Query::condition(kind, parameters, self.context)
            .map_err(|issues| Answer::outcome(400, &issues))?;
        // Whoever may see one patient alone asks of nobody else.
        if !matches!(bounds, Bounds::All) && !query.is_by_identifier() {
            return Err(too_wide());
        }
        Ok(query)
    }

    /// What keeps a condition true until the commit: nothing new under the keys that it goes by.
    fn guards(&self, kind: Kind, query: &Query) -> Result<Vec<Guard>, Answer> {
        let plan = query.plan();
        let begins = (plan.starts.least, plan.starts.most);
        let terms = plan.all_of.first().map(Vec::as_slice).unwrap_or_default();
        if terms.len() > CONDITION_VALUES_MOST {
            return Err(too_shared());
        }
        let mut guards = Vec::with_capacity(terms.len());
        for term in terms {
            let key = key(&self.site.id, kind, term);
            let found = self.reader.resources_under(key, begins).map_err(|error| unreadable(&error))?;
            if found.len() > GUARD_MOST {
                return Err(too_shared());
            }
            guards.push(Guard { key, begins, found });
        }
        Ok(guards)
    }

    fn bounds(&self, act: Act, kind: Kind) -> Result<Bounds, Answer> {
        let within = self.caller.permits(act, kind)?;
        Ok(Bounds::of(&within, kind, self.context))
    }

    /// Who a Patient is: by the identifier that names the site's patients.
    fn patient_key(&self, body: &Body) -> Result<PatientKey, Answer> {
        let key = clinical::normalize::fhir::named(&body.value, &self.site.patient).map_err(|fault| {
            let told = self.system_told();
            let text = format!(
                "{fault}{told}; a Patient needs the one identifier by which the site names its patients"
            );
            Answer::refusal(422, Issue::error(Code::BusinessRule, text).at("Patient.identifier"))
        })?;
        Ok(PatientKey { site: self.site.id.clone(), system: key.system, value: key.value })
    }

    /// The Patient that stands for somebody, where it came with the same bytes; refused where it did not.
    fn patient_stands(
        &self,
        key: &PatientKey,
        body: &Body,
        before: &[(usize, &Draft)],
    ) -> Result<Option<Box<Stored>>, Answer> {
        let number = self.reader.find_patient(key).map_err(|error| unreadable(&error))?;
        let standing = match number {
            Some(number) => self
                .reader
                .resource_showing(Shown::Patient, number, "")
                .map_err(|error| unreadable(&error))?,
            None => None,
        };
        if let Some(standing) = standing {
            let first = Stored::versioned(self.reader, &self.site.id, standing, 1)?;
            if let Some(first) = first.filter(|first| first.version.body == body.bytes) {
                return Ok(Some(Box::new(first)));
            }
        }
        let is_before = |draft: &Draft| matches!(&draft.shows, Some(Shows::Patient(other)) if other == key);
        if standing.is_some() || before.iter().any(|(_, draft)| is_before(draft)) {
            let text =
                "there is a Patient with this identifier; search by identifier, or create with If-None-Exist";
            return Err(Answer::refusal(409, Issue::error(Code::Duplicate, text).at("Patient.identifier")));
        }
        Ok(None)
    }
}

impl Draft {
    /// A new resource under this name, of which nothing else is known yet.
    fn of(body: Body, id: ResourceId) -> Self {
        Self {
            body,
            id,
            expected: None,
            guards: Vec::new(),
            shows: None,
            is_matched: false,
            is_rewritten: false,
            known_by: None,
            standing: None,
            effect: None,
            decisions: Vec::new(),
            is_trial: false,
        }
    }

    /// The version to write; `body` says which message it is.
    pub(super) fn version(&self, site: &str, body: VersionBody) -> NewVersion {
        let kind = self.body.kind;
        let terms = terms(kind, &self.body.value);
        NewVersion {
            id: self.id,
            site: site.to_owned(),
            kind: kind.name().to_owned(),
            release: self.body.release.name().to_owned(),
            body,
            span: (terms.from_ms, terms.until_ms.max(terms.from_ms)),
            keys: terms.terms.iter().map(|term| key(site, kind, term)).collect(),
            expected: self.expected,
            shows: self.shows.clone(),
        }
    }

    /// Its entry of the audit log, which is written in the same commit.
    pub(super) fn access(&self, request: &Request) -> AuditEntry {
        let (what, status) = if self.expected.is_some() { ("update", 200) } else { ("create", 201) };
        let request_id = &request.head.request_id;
        Access { what, object: self.reference(), status, resources: 1, request_id }.by(&request.caller)
    }

    /// Who a new Patient is.
    pub(super) fn named(&self) -> Option<&PatientKey> {
        match &self.shows {
            Some(Shows::Patient(key)) => Some(key),
            _ => None,
        }
    }

    /// `Kind/id`.
    pub(super) fn reference(&self) -> String {
        format!("{}/{}", self.body.kind.name(), id_of(self.id))
    }
}

fn of_their_patient_alone(act: Act, kind: Kind) -> Answer {
    let text = format!("the caller may {} what is about their patient alone", act.word());
    Answer::refusal(403, Issue::error(Code::Forbidden, text).at(kind.name()))
}

fn unsearchable(kind: Kind) -> Answer {
    let text = "it has more codes, identifiers and references than can be searched for; divide it";
    Answer::refusal(422, Issue::error(Code::TooCostly, text).at(kind.name()))
}

fn too_wide() -> Answer {
    let text =
        "If-None-Exist has to find at most one resource, and one that the caller may see; name an identifier";
    Answer::refusal(412, Issue::error(Code::MultipleMatches, text).at("http.If-None-Exist"))
}

fn too_shared() -> Answer {
    let text = "If-None-Exist goes by what many resources have in common, so that it cannot be kept true until the commit; \
        name an identifier, or a narrow date";
    Answer::refusal(422, Issue::error(Code::TooCostly, text).at("http.If-None-Exist"))
}

/// 404, and what to do where a client wanted to choose the id.
fn unknown_id(kind: Kind, id: &str) -> Answer {
    if parse_id(id).is_some() {
        return not_found(kind);
    }
    let text = "ids are given here: create it with POST, and with If-None-Exist so that it is created once";
    Answer::refusal(404, Issue::error(Code::NotFound, text))
}

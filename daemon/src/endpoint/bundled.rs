//! Bundles of requests, carried out.
//!
//! Invariants: as [`super::batch`] says them. What of a transaction was rewritten, because it referred to another entry, is known
//! again by the whole Bundle and its place there, so that a transaction that is sent again has one effect; the Bundle
//! itself is kept beside it as it came.

mod asked;
mod checked;
mod linked;
mod response;

use std::{collections::HashMap, sync::Arc};

use axum::http::Method;
use bytes::Bytes;
use fhir::{Code, Issue, Kind, Release};
use outbox::{AuditEntry, Reader, Took};
use serde_json::Value;

pub(super) use self::response::Ended;
use self::{
    asked::{answered, entry_head, too_much},
    linked::resolved,
};
use super::{
    ask::Answer,
    audit::{Access, resource},
    batch::{self, Entry, Form},
    body,
    draft::{Desk, Draft, Plan, Wanted},
    interaction::Interaction,
    key::id_of,
    negotiation::body_release,
    service::{Done, Interactions, Request, unaudited},
    shelf::{at_length, failed, look, unreadable},
    write::{self, Circumstances, Committed, Outcome, ROUNDS, Sent, contended},
};

/// Bytes of what the entries of a batch are answered, after which no more are asked: it is held in memory.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// What becomes of an entry.
enum Course {
    /// It is written.
    Write(Box<Draft>),
    /// The draft at this place is it.
    SameAs(usize),
    /// It is asked when everything is written.
    Ask(Interaction),
    /// It stands: it was received before, or is what a condition found.
    Known(Outcome),
    /// It is refused.
    Refused(Answer),
}

impl Course {
    /// Of a plan. Of what stands its content is not kept: a Bundle may find one large resource a thousand times.
    fn of(plan: Plan) -> Self {
        match plan {
            Plan::Write(draft) => Self::Write(draft),
            Plan::SameAs(other) => Self::SameAs(other),
            Plan::Stands(stored) => Self::Known(Outcome::standing(&stored)),
        }
    }

    fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Write(draft) => Some(draft),
            _ => None,
        }
    }
}

/// What came of carrying courses out.
enum Carried {
    /// How each ended.
    Out(Vec<Ended>),
    /// Somebody else was quicker.
    Changed,
    /// Nothing was written: the entry at this place is an update that was taken before and followed by another.
    Overtaken(usize),
    /// Nothing was written: entries at these places were received before, and others refer to them.
    Known(HashMap<usize, Took>),
}

/// A Bundle as it came.
pub(super) struct Sheaf {
    /// As received.
    pub(super) bytes: Bytes,
    /// The release in which it came.
    pub(super) release: Release,
    /// What is done with it.
    pub(super) form: Form,
    /// Its entries as requests, or what is wrong with them.
    pub(super) entries: Vec<Result<Entry, Answer>>,
    /// How deep it may be nested.
    pub(super) max_depth: usize,
}

impl Interactions {
    /// A Bundle to the base.
    pub(super) async fn bundle(&self, request: &Arc<Request>, bytes: Bytes) -> Result<Done, Answer> {
        let (release, limits) = (body_release(&request.head)?, self.limits());
        let parsed = at_length(bytes.len(), || {
            body::parse(&bytes, limits.max_depth)
                .and_then(|value| batch::entries(&bytes, &value, limits.max_entries, &request.context.bases))
        });
        let (form, entries) = match parsed {
            Ok(parsed) => parsed,
            Err(refusal) => return Err(self.keep_refused(request, "Bundle", release, bytes, refusal).await),
        };
        let sheaf = Arc::new(Sheaf { bytes, release, form, entries, max_depth: limits.max_depth });
        let ended = match form {
            Form::Batch => self.each_alone(request, &sheaf).await?,
            Form::Transaction | Form::Submission => self.together(request, &sheaf).await?,
        };
        let kind = if form == Form::Transaction { "transaction-response" } else { "batch-response" };
        self.respond(request, kind, ended).await
    }

    /// In one commit: all of a transaction or nothing, of a submission all that is good.
    pub(super) async fn together(
        &self,
        request: &Arc<Request>,
        sheaf: &Arc<Sheaf>,
    ) -> Result<Vec<Ended>, Answer> {
        let mut known = HashMap::new();
        for _ in 0..ROUNDS {
            let courses = match self.courses(request, sheaf, known.clone()).await {
                Ok(courses) => courses,
                Err(refusal) => {
                    let bytes = sheaf.bytes.clone();
                    return Err(self.keep_refused(request, "Bundle", sheaf.release, bytes, refusal).await);
                }
            };
            // The first fault is a transaction's answer; nothing was kept, and the whole is kept to be looked at.
            if sheaf.form == Form::Transaction
                && let Some((at, refusal)) =
                    courses.iter().enumerate().find_map(|(at, course)| match course {
                        Course::Refused(refusal) => Some((at, refusal)),
                        _ => None,
                    })
            {
                let (refusal, bytes) = (refusal.placed(at), sheaf.bytes.clone());
                return Err(self.keep_refused(request, "Bundle", sheaf.release, bytes, refusal).await);
            }
            if sheaf.form == Form::Transaction {
                self.asks_are_answered(request, sheaf, &courses).await?;
            }
            match self.carry_out(request, sheaf, placed(courses), &mut 0).await? {
                Carried::Out(ended) if sheaf.form == Form::Transaction => return answered(ended),
                Carried::Out(ended) => return Ok(ended),
                Carried::Overtaken(at) => return Err(write::overtaken().placed(at)),
                Carried::Changed => {}
                Carried::Known(took) => known.extend(took),
            }
        }
        Err(contended())
    }

    /// Each for itself: all good ones in one commit, and where somebody else was quicker, one after the other.
    async fn each_alone(&self, request: &Arc<Request>, sheaf: &Arc<Sheaf>) -> Result<Vec<Ended>, Answer> {
        let courses = self.courses(request, sheaf, HashMap::new()).await?;
        if let Carried::Out(ended) = self.carry_out(request, sheaf, placed(courses), &mut 0).await? {
            return Ok(ended);
        }
        let (mut all, mut bytes) = (Vec::with_capacity(sheaf.entries.len()), 0);
        for at in 0..sheaf.entries.len() {
            let mut ended = Ended::Answered(contended());
            for _ in 0..ROUNDS {
                let (shared, this, alone) = (Arc::clone(request), self.clone(), Arc::clone(sheaf));
                let course = look(&self.readers, move |reader| {
                    let mut courses = vec![this.course(reader, &shared, &alone, at, &[])];
                    this.checked(reader, &shared, &mut courses, false)?;
                    Ok(courses)
                });
                let courses = course.await?.into_iter().map(|course| (at, course)).collect();
                match self.carry_out(request, sheaf, courses, &mut bytes).await {
                    Ok(Carried::Changed | Carried::Known(_)) => continue,
                    Ok(Carried::Overtaken(_)) => ended = Ended::Answered(write::overtaken()),
                    Ok(Carried::Out(mut done)) => ended = done.pop().unwrap_or(ended),
                    // What cannot be carried out takes nothing from its neighbours.
                    Err(refusal) if refusal.status < 500 => ended = Ended::Answered(refusal),
                    Err(refusal) => return Err(refusal),
                }
                break;
            }
            all.push(ended);
        }
        Ok(all)
    }

    /// What becomes of each entry; `known` are those whose messages were received before, with what they became then.
    async fn courses(
        &self,
        request: &Arc<Request>,
        sheaf: &Arc<Sheaf>,
        known: HashMap<usize, Took>,
    ) -> Result<Vec<Course>, Answer> {
        let (shared, this, sheaf) = (Arc::clone(request), self.clone(), Arc::clone(sheaf));
        look(&self.readers, move |reader| {
            let mut courses: Vec<Course> = Vec::with_capacity(sheaf.entries.len());
            for at in 0..sheaf.entries.len() {
                reader.in_time().map_err(|error| unreadable(&error))?;
                let course = {
                    let drafts = drafts(&courses);
                    let course = this.course(reader, &shared, &sheaf, at, &drafts);
                    once(at, course, &drafts, known.get(&at))
                };
                courses.push(course);
            }
            if sheaf.form != Form::Batch {
                resolved(reader, &shared, &sheaf, &mut courses)?;
            }
            this.checked(reader, &shared, &mut courses, sheaf.form == Form::Transaction)?;
            Ok(courses)
        })
        .await
    }

    /// What becomes of one entry, before what it says is looked at.
    fn course(
        &self,
        reader: &Reader,
        request: &Request,
        sheaf: &Sheaf,
        at: usize,
        before: &[(usize, &Draft)],
    ) -> Course {
        let entry = match &sheaf.entries[at] {
            Ok(entry) => entry,
            Err(refusal) => return Course::Refused(refusal.clone()),
        };
        let path: Vec<&str> = entry.path.iter().map(String::as_str).collect();
        let asked = match self.asked(&entry.method, &path) {
            Ok(asked) => asked,
            Err(stray) => return Course::Refused(stray.answer(&entry_head(request, entry))),
        };
        if let Err(refusal) = asked.permitted(&request.caller) {
            return Course::Refused(refusal);
        }
        match asked {
            Interaction::Create(kind) | Interaction::Update(kind, _) => {
                let wanted = entry.wanted(at, kind, sheaf.release, (sheaf.max_depth, &request.context.bases));
                let desk = request.desk(reader, &self.writer);
                let plan = wanted.and_then(|wanted| match sheaf.form {
                    Form::Submission => submitted(&desk, wanted, before),
                    Form::Transaction | Form::Batch => desk.place(wanted, before),
                });
                plan.map_or_else(Course::Refused, Course::of)
            }
            Interaction::Read(..)
            | Interaction::VersionRead(..)
            | Interaction::History(..)
            | Interaction::Search(..) => Course::Ask(asked),
            _ => {
                let text = "a Bundle holds reads, searches, creates and updates; send this one by itself";
                Course::Refused(Answer::refusal(400, Issue::error(Code::NotSupported, text)))
            }
        }
    }

    /// Writes what is to be written, in one commit, and asks what is asked. `bytes` are those of the answers so far.
    async fn carry_out(
        &self,
        request: &Arc<Request>,
        sheaf: &Sheaf,
        courses: Vec<(usize, Course)>,
        bytes: &mut usize,
    ) -> Result<Carried, Answer> {
        let mut outcomes: HashMap<usize, Outcome> = HashMap::new();
        let mut entries = Vec::new();
        {
            let drafts = drafts_of(courses.iter().map(|(at, course)| (*at, course)));
            if !drafts.is_empty() {
                let about = self.circumstances(request, sheaf, &drafts);
                let all: Vec<&Draft> = drafts.iter().map(|(_, draft)| *draft).collect();
                let took = write::commit(&self.writer, &all, about).await;
                let took = took.inspect_err(|refusal| self.not_stored_by(refusal))?;
                let took = match took {
                    Committed::Done(took) => took,
                    Committed::Changed => return Ok(Carried::Changed),
                    Committed::Overtaken(at) => {
                        return Ok(Carried::Overtaken(drafts.get(at).map_or(0, |(at, _)| *at)));
                    }
                    Committed::Known(took) => {
                        let places =
                            took.into_iter().filter_map(|(at, took)| Some((drafts.get(at)?.0, took)));
                        return Ok(Carried::Known(places.collect()));
                    }
                };
                self.stored();
                self.follow(&all, &took).await?;
                let again = drafts.iter().zip(&took).filter(|(_, took)| took.known);
                entries.extend(again.map(|((_, draft), _)| known(request, draft)));
                outcomes.extend(
                    drafts.iter().zip(&took).map(|((at, draft), took)| (*at, Outcome::written(draft, took))),
                );
            }
        }
        let mut ended = Vec::with_capacity(courses.len());
        for (at, course) in courses {
            entries.extend(entry_of(request, &course));
            ended.push(match course {
                Course::Write(_) => match outcomes.get(&at) {
                    Some(outcome) => Ended::Stood(*outcome),
                    None => Ended::Answered(failed()),
                },
                Course::Known(outcome) => Ended::Stood(outcome),
                Course::SameAs(other) => match outcomes.get(&other) {
                    Some(outcome) => Ended::Stood(Outcome { status: 200, ..*outcome }),
                    // The one that it is the same as was refused, and so is it.
                    None => Ended::Answered(contended()),
                },
                Course::Ask(_) if *bytes >= ANSWER_BYTES => Ended::Answered(too_much()),
                Course::Ask(asked) => {
                    let answer = self.ask(request, sheaf, at, &asked).await;
                    *bytes = bytes.saturating_add(answer.body.len());
                    Ended::Answered(answer)
                }
                Course::Refused(refusal) => Ended::Answered(self.refused(request, sheaf, at, refusal).await),
            });
        }
        self.audit.record_for(&request.caller, entries).await.map_err(|_| unaudited())?;
        Ok(Carried::Out(ended))
    }

    fn circumstances<'a>(
        &self,
        request: &'a Request,
        sheaf: &Sheaf,
        drafts: &[(usize, &Draft)],
    ) -> Circumstances<'a> {
        let request_id = &request.head.request_id;
        let is_rewritten = drafts.iter().any(|(_, draft)| draft.is_rewritten);
        let sent = Sent { kind: "Bundle", release: sheaf.release, bytes: &sheaf.bytes, place: "around" };
        Circumstances {
            caller: &request.caller,
            request_id,
            is_linked: is_rewritten,
            audit: drafts.iter().map(|(_, draft)| draft.access(request)).collect(),
            beside: is_rewritten.then(|| sent.part((&request.caller, request_id))).into_iter().collect(),
        }
    }

    /// An entry of a batch that is refused for its content is kept, alone.
    async fn refused(&self, request: &Request, sheaf: &Sheaf, at: usize, refusal: Answer) -> Answer {
        let bytes = match &sheaf.entries[at] {
            Ok(Entry { resource: Some(bytes), .. }) => bytes.clone(),
            _ => return refusal,
        };
        let kind =
            sheaf.entries[at].as_ref().ok().and_then(|entry| entry.path.first().cloned()).unwrap_or_default();
        let kind = Kind::named(&kind).map_or("resource", Kind::name);
        self.keep_refused(request, kind, sheaf.release, bytes, refusal).await
    }
}

fn drafts(courses: &[Course]) -> Vec<(usize, &Draft)> {
    drafts_of(courses.iter().enumerate())
}

fn drafts_of<'a>(courses: impl Iterator<Item = (usize, &'a Course)>) -> Vec<(usize, &'a Draft)> {
    courses.filter_map(|(at, course)| Some((at, course.draft()?))).collect()
}

/// What the audit log is told of an entry whose message was received before.
fn known(request: &Request, draft: &Draft) -> AuditEntry {
    let (object, request_id) = (draft.reference(), &request.head.request_id);
    Access { what: "bundle", object, status: 200, resources: 1, request_id }.by(&request.caller)
}

/// What the audit log is told of an entry that neither writes nor asks: that it stood, or was refused.
fn entry_of(request: &Request, course: &Course) -> Option<AuditEntry> {
    let request_id = &request.head.request_id;
    let (object, status, resources) = match course {
        Course::Known(outcome) => (resource(outcome.kind, Some(&id_of(outcome.id))), outcome.status, 1),
        Course::Refused(refusal) => ("entry".to_owned(), refusal.status, 0),
        Course::Write(_) | Course::SameAs(_) | Course::Ask(_) => return None,
    };
    Some(Access { what: "bundle", object, status, resources, request_id }.by(&request.caller))
}

fn placed(courses: Vec<Course>) -> Vec<(usize, Course)> {
    courses.into_iter().enumerate().collect()
}

/// A course that is not that of another entry already: one that was received before is what it became, and of two that write
/// one resource the second is refused.
fn once(at: usize, course: Course, before: &[(usize, &Draft)], known: Option<&Took>) -> Course {
    let Some(draft) = course.draft() else { return course };
    if let Some(took) = known {
        return Course::Known(Outcome::written(draft, took));
    }
    if before.iter().all(|(_, other)| other.id != draft.id) {
        return course;
    }
    let text = "another entry of the Bundle writes the same resource; send one of them";
    let issue = Issue::error(Code::Duplicate, text).at(format!("Bundle.entry[{at}].request.url"));
    Course::Refused(Answer::refusal(400, issue))
}

/// What is wanted of a resource that comes without a request: created, by its identifier once.
pub(super) fn implied(full_url: Option<String>, body: body::Body) -> Entry {
    let identifier = body.value["identifier"].as_array().into_iter().flatten().find_map(|it| {
        let (system, value) = (it["system"].as_str()?, it["value"].as_str()?);
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('|', "\\|");
        let condition = format!("{}|{}", escaped(system), escaped(value));
        Some(super::parameters::link("", &[("identifier".to_owned(), condition)]))
    });
    Entry {
        full_url,
        method: Method::POST,
        path: vec![body.kind.name().to_owned()],
        query: None,
        if_match: None,
        if_none_match: None,
        if_modified_since: None,
        if_none_exist: identifier,
        resource: Some(body.bytes),
    }
}

/// Where a resource that came without a request belongs. One that stands under its identifier with another content is told: it
/// was not taken.
fn submitted(desk: &Desk<'_>, wanted: Wanted, before: &[(usize, &Draft)]) -> Result<Plan, Answer> {
    let (kind, sent) = (wanted.body.kind, wanted.body.value.clone());
    let plan = desk.place(wanted, before)?;
    match &plan {
        Plan::Stands(stored) if !says_the_same(&sent, &stored.value()?) => {
            let text = "another content stands under this identifier; put a correction to its own id";
            let issue = Issue::error(Code::Conflict, text).at(format!("{}.identifier", kind.name()));
            Err(Answer::refusal(409, issue))
        }
        _ => Ok(plan),
    }
}

/// Whether what stands says the same as what was sent under its identifier; references aside, which may lead to other entries.
fn says_the_same(sent: &Value, stands: &Value) -> bool {
    let is_said = |name: &&String| {
        ["status", "code", "component", "interpretation", "conclusion"].contains(&name.as_str())
            || name.starts_with("value")
            || name.starts_with("effective")
    };
    let names = sent.as_object().into_iter().chain(stands.as_object()).flatten().map(|(name, _)| name);
    let leads = |value: &Value| value["subject"]["reference"].as_str().map(str::to_owned);
    let is_same_subject = match (leads(sent), leads(stands)) {
        (Some(sent), Some(stands)) => sent == stands || sent.starts_with("urn:"),
        (sent, stands) => sent == stands,
    };
    is_same_subject && names.filter(is_said).all(|name| sent[name] == stands[name])
}

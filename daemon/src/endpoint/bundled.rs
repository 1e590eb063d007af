//! Bundles of requests, carried out.
//!
//! Invariants: as [`super::batch`] says them. What of a transaction was rewritten, because it referred to another entry, is known
//! again by the whole Bundle and its place there, so that a transaction that is sent again has one effect; the Bundle
//! itself is kept beside it as it came.

mod linked;
mod response;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use axum::http::{
    HeaderValue, Method,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH},
};
use bytes::Bytes;
use fhir::{Code, Issue, Kind, Release};
use outbox::{AuditEntry, Reader, Took};
use serde_json::Value;

use self::linked::resolved;
pub(super) use self::response::Ended;
use super::{
    ask::{Answer, Head},
    audit::{Access, resource},
    batch::{self, Entry, Form},
    body,
    draft::{Draft, Plan},
    effect::NewPatients,
    interaction::Interaction,
    key::id_of,
    negotiation::body_release,
    service::{Done, Interactions, Request, unaudited},
    shelf::{at_length, failed, look, unwritten},
    write::{self, Circumstances, Committed, Outcome, ROUNDS, Sent, contended},
};

/// Bytes of what the entries of a batch are answered, after which no more are asked: it is held in memory.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Keys by which the resources of one Bundle are found: a thousand readings have twelve thousand. Each is a row of the commit
/// that whoever waits for an acknowledgement waits for.
const KEYS_MOST: usize = 30_000;

/// What becomes of an entry.
enum Course {
    /// It is written, or stands.
    Plan(Plan),
    /// It is asked when everything is written.
    Ask(Interaction),
    /// It was received before: this is what it became then.
    Known(Outcome),
    /// It is refused.
    Refused(Answer),
}

impl Course {
    fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Plan(Plan::Write(draft)) => Some(draft),
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
            let courses = self.courses(request, sheaf, known.clone()).await?;
            // The first fault is a transaction's answer; nothing was kept, and the whole is kept to be looked at.
            if sheaf.form == Form::Transaction
                && let Some((at, refusal)) =
                    courses.iter().enumerate().find_map(|(at, course)| match course {
                        Course::Refused(refusal) => Some((at, refusal)),
                        _ => None,
                    })
            {
                let refusal = refusal.placed(at);
                if matches!(refusal.status, 400 | 422) {
                    let bytes = sheaf.bytes.clone();
                    return Err(self.keep_refused(request, "Bundle", sheaf.release, bytes, refusal).await);
                }
                return Err(refusal);
            }
            if sheaf.form == Form::Transaction {
                self.asks_are_answered(request, sheaf, &courses).await?;
            }
            match self.carry_out(request, sheaf, placed(courses)).await? {
                Carried::Out(ended) => return Ok(ended),
                Carried::Changed => {}
                Carried::Known(took) => known.extend(took),
            }
        }
        Err(contended())
    }

    /// Whether what a transaction asks is answered, before anything of it is written: afterwards it could not be taken back. It
    /// is asked again behind the commit, so that the answer has what was written.
    async fn asks_are_answered(
        &self,
        request: &Arc<Request>,
        sheaf: &Sheaf,
        courses: &[Course],
    ) -> Result<(), Answer> {
        if drafts(courses).is_empty() {
            return Ok(());
        }
        for (at, course) in courses.iter().enumerate() {
            let Course::Ask(asked) = course else { continue };
            let answer = self.ask(request, sheaf, at, asked).await;
            if answer.status >= 400 {
                return Err(answer.placed(at));
            }
        }
        Ok(())
    }

    /// Each for itself: all good ones in one commit, and where somebody else was quicker, one after the other.
    async fn each_alone(&self, request: &Arc<Request>, sheaf: &Arc<Sheaf>) -> Result<Vec<Ended>, Answer> {
        let courses = self.courses(request, sheaf, HashMap::new()).await?;
        if let Carried::Out(ended) = self.carry_out(request, sheaf, placed(courses)).await? {
            return Ok(ended);
        }
        let mut all = Vec::with_capacity(sheaf.entries.len());
        for at in 0..sheaf.entries.len() {
            let mut ended = Ended::Answered(contended());
            for _ in 0..ROUNDS {
                let (shared, this, alone) = (Arc::clone(request), self.clone(), Arc::clone(sheaf));
                let course = look(&self.readers, move |reader| {
                    let mut courses = vec![this.course(reader, &shared, &alone, at, &[])];
                    this.checked(reader, &shared, &mut courses, false);
                    Ok(courses)
                });
                let courses = course.await?.into_iter().map(|course| (at, course)).collect();
                match self.carry_out(request, sheaf, courses).await {
                    Ok(Carried::Changed | Carried::Known(_)) => continue,
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
            this.checked(reader, &shared, &mut courses, sheaf.form == Form::Transaction);
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
        if sheaf.form == Form::Submission {
            return self.submission(reader, request, sheaf, at, before);
        }
        match asked {
            Interaction::Create(kind) | Interaction::Update(kind, _) => {
                let wanted = entry.wanted(at, kind, sheaf.release, sheaf.max_depth);
                match wanted.and_then(|wanted| request.desk(reader, &self.writer).place(wanted, before)) {
                    Ok(plan) => Course::Plan(plan),
                    Err(refusal) => Course::Refused(refusal),
                }
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

    /// What becomes of a resource that came without a request. One that stands under its identifier with another content is told:
    /// it was not taken.
    fn submission(
        &self,
        reader: &Reader,
        request: &Request,
        sheaf: &Sheaf,
        at: usize,
        before: &[(usize, &Draft)],
    ) -> Course {
        let Ok(entry) = &sheaf.entries[at] else { return Course::Refused(failed()) };
        let kind = entry.path.first().and_then(|name| Kind::named(name)).unwrap_or(Kind::Observation);
        let course = || {
            let wanted = entry.wanted(at, kind, sheaf.release, sheaf.max_depth)?;
            let sent = wanted.body.value.clone();
            let plan = request.desk(reader, &self.writer).place(wanted, before)?;
            if let Plan::Stands(stored) = &plan
                && !says_the_same(&sent, &stored.value()?)
            {
                let text = "another content stands under this identifier; put a correction to its own id";
                return Err(Answer::refusal(
                    409,
                    Issue::error(Code::Conflict, text).at(format!("{}.identifier", kind.name())),
                ));
            }
            Ok(plan)
        };
        course().map_or_else(Course::Refused, Course::Plan)
    }

    /// Looks at what the drafts say; one that is refused is none any more. `is_whole` where one that is refused takes all others
    /// with it.
    fn checked(&self, reader: &Reader, request: &Request, courses: &mut [Course], is_whole: bool) {
        let desk = request.desk(reader, &self.writer);
        // One that is refused may be what others refer to.
        loop {
            let new: HashSet<String> = drafts(courses).iter().map(|(_, draft)| draft.reference()).collect();
            let (mut is_sound, mut keys) = (true, 0);
            for course in courses.iter_mut() {
                let Some(draft) = course.draft() else { continue };
                let checked = match desk.check(draft, &new) {
                    Ok(of_it) if keys + of_it > KEYS_MOST => Err(too_many_keys()),
                    checked => checked,
                };
                match checked {
                    Ok(of_it) => keys += of_it,
                    Err(refusal) => {
                        *course = Course::Refused(refusal);
                        is_sound = false;
                    }
                }
            }
            if is_sound {
                break;
            }
        }
        // A number is given out at once, and a transaction that is refused is to leave none.
        if is_whole && courses.iter().any(|course| matches!(course, Course::Refused(_))) {
            return;
        }
        let patients = match self.new_patients(courses) {
            Ok(patients) => patients,
            Err(refusal) => {
                return courses.iter_mut().for_each(|course| *course = Course::Refused(refusal.clone()));
            }
        };
        for course in courses {
            let Course::Plan(Plan::Write(draft)) = course else { continue };
            match self.effect(reader, request, draft, &patients) {
                Ok(None) => {}
                Ok(Some(stored)) => *course = Course::Plan(Plan::Stands(stored)),
                Err(refusal) => *course = Course::Refused(refusal),
            }
        }
    }

    /// Numbers of the Patients that come with what goes by them: a decision or a wish. Only where there is such, because a
    /// number is given out at once, and what it is for may yet be refused.
    fn new_patients(&self, courses: &[Course]) -> Result<NewPatients, Answer> {
        let drafts = drafts(courses);
        if !drafts.iter().any(|(_, draft)| matches!(draft.body.kind, Kind::Consent | Kind::Task)) {
            return Ok(NewPatients::new());
        }
        let new: Vec<_> = drafts
            .iter()
            .filter_map(|(_, draft)| Some((draft.reference(), draft.named()?.clone())))
            .collect();
        let keys = new.iter().map(|(_, key)| key.clone()).collect();
        let numbers = self.writer.patients(keys).wait().map_err(|error| unwritten(&error))?;
        Ok(new.into_iter().map(|(reference, _)| reference).zip(numbers).collect())
    }

    /// Writes what is to be written, in one commit, and asks what is asked.
    async fn carry_out(
        &self,
        request: &Arc<Request>,
        sheaf: &Sheaf,
        courses: Vec<(usize, Course)>,
    ) -> Result<Carried, Answer> {
        let mut outcomes: HashMap<usize, Outcome> = HashMap::new();
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
                    Committed::Known(took) => {
                        let places =
                            took.into_iter().filter_map(|(at, took)| Some((drafts.get(at)?.0, took)));
                        return Ok(Carried::Known(places.collect()));
                    }
                };
                self.stored();
                self.follow(&all, &took).await?;
                outcomes.extend(
                    drafts.iter().zip(&took).map(|((at, draft), took)| (*at, Outcome::written(draft, took))),
                );
            }
        }
        let mut ended = Vec::with_capacity(courses.len());
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        for (at, course) in courses {
            entries.extend(entry_of(request, &course));
            ended.push(match course {
                Course::Plan(Plan::Write(_)) => match outcomes.get(&at) {
                    Some(outcome) => Ended::Stood(*outcome),
                    None => Ended::Answered(failed()),
                },
                Course::Plan(Plan::Stands(stored)) => Ended::Stood(Outcome::standing(&stored)),
                Course::Known(outcome) => Ended::Stood(outcome),
                Course::Plan(Plan::SameAs(other)) => match outcomes.get(&other) {
                    Some(outcome) => Ended::Stood(Outcome { status: 200, ..*outcome }),
                    // The one that it is the same as was refused, and so is it.
                    None => Ended::Answered(contended()),
                },
                Course::Ask(_) if bytes >= ANSWER_BYTES => Ended::Answered(too_much()),
                Course::Ask(asked) => {
                    let answer = self.ask(request, sheaf, at, &asked).await;
                    bytes = bytes.saturating_add(answer.body.len());
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
        let is_rewritten = drafts.iter().any(|(_, draft)| draft.known_by.is_some());
        let sent = Sent { kind: "Bundle", release: sheaf.release, bytes: &sheaf.bytes, place: "around" };
        Circumstances {
            caller: &request.caller,
            request_id,
            is_linked: is_rewritten,
            audit: drafts.iter().map(|(_, draft)| draft.access(request)).collect(),
            beside: is_rewritten.then(|| sent.part((&request.caller, request_id))).into_iter().collect(),
        }
    }

    /// An entry that reads, as a request of its own.
    async fn ask(&self, request: &Arc<Request>, sheaf: &Sheaf, at: usize, asked: &Interaction) -> Answer {
        let Ok(entry) = &sheaf.entries[at] else { return failed() };
        let head = entry_head(request, entry);
        let parameters = match super::parameters::parameters(&head, None) {
            Ok(parameters) => parameters,
            Err(refusal) => return refusal,
        };
        let one = Arc::new(Request {
            head,
            caller: request.caller.clone(),
            manner: request.manner,
            parameters,
            context: request.context.clone(),
            base: request.base.clone(),
            site: Arc::clone(&request.site),
            secret: Arc::clone(&request.secret),
        });
        let done = Box::pin(self.interact(asked, &one, Bytes::new())).await;
        self.told(asked, &one, done).await.unwrap_or_else(|refusal| refusal)
    }

    /// An entry of a batch that is refused for its content is kept, alone.
    async fn refused(&self, request: &Request, sheaf: &Sheaf, at: usize, refusal: Answer) -> Answer {
        let bytes = match &sheaf.entries[at] {
            Ok(Entry { resource: Some(bytes), .. }) => bytes.clone(),
            _ => return refusal,
        };
        if !matches!(refusal.status, 400 | 422) {
            return refusal;
        }
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

/// What the audit log is told of an entry that neither writes nor asks: that it stood, or was refused.
fn entry_of(request: &Request, course: &Course) -> Option<AuditEntry> {
    let request_id = &request.head.request_id;
    let (object, status, resources) = match course {
        Course::Plan(Plan::Stands(stored)) => (stored.reference(), 200, 1),
        Course::Known(outcome) => (resource(outcome.kind, Some(&id_of(outcome.id))), outcome.status, 1),
        Course::Refused(refusal) => ("entry".to_owned(), refusal.status, 0),
        Course::Plan(_) | Course::Ask(_) => return None,
    };
    Some(Access { what: "bundle", object, status, resources, request_id }.by(&request.caller))
}

/// An entry of a batch that asks for more than one answer holds.
fn too_much() -> Answer {
    let text = "the entries before it fill the answer; ask for it in a request of its own";
    Answer::refusal(413, Issue::error(Code::TooCostly, text))
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

/// The head of an entry, as of a request of its own: its conditions are its own, and not those of the Bundle.
fn entry_head(request: &Request, entry: &Entry) -> Head {
    let mut headers = request.head.headers.clone();
    for condition in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE] {
        headers.remove(condition);
    }
    let stated = entry.if_none_match.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok());
    headers.extend(stated.map(|tag| (IF_NONE_MATCH, tag)));
    Head {
        method: entry.method.clone(),
        path: entry.path.clone(),
        query: entry.query.clone(),
        headers,
        release: request.head.release,
        request_id: request.head.request_id.clone(),
    }
}

fn too_many_keys() -> Answer {
    let text = "the entries before have as many codes, identifiers and references as one Bundle may; send the rest in another";
    Answer::refusal(422, Issue::error(Code::TooCostly, text))
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
        if_none_exist: identifier,
        resource: Some(body.bytes),
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

//! The interactions behind the gate: from a request to its answer.
//!
//! Invariants: what a caller may is asked before a byte of the body is read, and of what is in the body again; nothing of a
//! site is answered to a client of another; every access to patient data is handed to the audit log before its answer
//! is, and a write with its entry in one commit.

use std::sync::Arc;

use axum::http::{
    HeaderName, Method,
    header::{IF_MATCH, IF_NONE_MATCH, RETRY_AFTER},
};
use clinical::fhir::identifier::SiteSecret;
use fhir::{
    Code, Issue, Kind,
    search::{Context, Query},
};
use outbox::Writer;
use tokio::sync::{Semaphore, watch as turns};

use super::{
    Service,
    ask::{Answer, Ask, Head},
    audit::{Access, Auditor, resource, searched},
    base::{base, bases},
    batch,
    body::Body,
    bounds::{self, Bounds},
    bundle,
    caller::{Act, Caller, Denied, Within},
    capability,
    draft::{Desk, Draft, Plan, Wanted},
    interaction::{Interaction, Stray},
    negotiation::{Manner, Return, body_release, is_form},
    parameters::{Parameters, parameters},
    read, readings,
    search::{Page, Search, include},
    shelf::{LONG_BYTES, Shelf, at_length, failed, glance, look},
    stored::served_in,
    write::{self, Circumstances, Committed, Outcome, ROUNDS, Sent, contended},
};
use crate::{
    conditions::{Board, Kind as Condition},
    config::FhirLimits,
    generation::{Current, Site},
    intent::Intents,
    pipeline::Wake,
    time,
};

const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// What the interactions need of the daemon; cheap to clone.
#[derive(Clone)]
pub struct Interactions {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of it.
    pub readers: Shelf,
    /// The configuration in force.
    pub current: Current,
    /// Wakes the pipeline.
    pub wake: Wake,
    /// What is wrong now.
    pub conditions: Board,
    /// The audit log.
    pub audit: Auditor,
    /// The box's secret for identifiers.
    pub secret: Arc<SiteSecret>,
    /// The box's id.
    pub box_id: Arc<str>,
    /// Takes what people want written.
    pub intents: Intents,
    /// Wakes those who wait for consent to forward.
    pub replied: turns::Sender<u64>,
    /// Bytes of long bodies that are looked at: what they say takes many times as much memory.
    pub room: Arc<Semaphore>,
    /// Outcomes that are computed on demand, at a time: each may keep a core for as long as a page of a search.
    pub computing: Arc<Semaphore>,
}

/// Bytes of long bodies that are looked at at a time.
pub const ROOM_BYTES: usize = 8 * 1024 * 1024;

/// A request, as far as everything needs it.
pub(super) struct Request {
    /// What was read first.
    pub head: Head,
    /// Who asks.
    pub caller: Caller,
    /// How the answer is wanted.
    pub manner: Manner,
    /// The parameters of the path, and of a form.
    pub parameters: Parameters,
    /// The bases of this server, and now.
    pub context: Context,
    /// The base that the client uses.
    pub base: String,
    /// The caller's site.
    pub site: Arc<Site>,
    /// The box's secret for identifiers.
    pub secret: Arc<SiteSecret>,
}

/// An answer, and what it tells the audit log; nothing of a write, which has its entry already.
pub(super) struct Done {
    /// The answer.
    pub answer: Answer,
    /// What was looked at, without a value of a search: `Observation/1f-…`, or the names of parameters.
    pub object: String,
    /// Resources in the answer.
    pub resources: usize,
    /// The audit log has it: it was written with the entry in one commit.
    pub is_told: bool,
}

impl Service for Interactions {
    fn admit(&self, head: &Head, caller: Option<&Caller>) -> Result<(), Answer> {
        let asked = self.asked(&head.method, &head.segments()).map_err(|stray| stray.answer(head))?;
        if let Some(caller) = caller {
            asked.permitted(caller)?;
            if matches!(asked, Interaction::Bundle | Interaction::SubmitCgm) {
                may_send(caller, &asked)?;
            }
        }
        if asked.has_resource(&head.method) {
            body_release(head)?;
        } else if head.method == Method::POST && !is_form(head) {
            let text = "a search is sent as application/x-www-form-urlencoded";
            return Err(Answer::refusal(415, Issue::error(Code::NotSupported, text).at("http.Content-Type")));
        }
        Ok(())
    }

    fn answer(&self, ask: Ask) -> super::Answering {
        let this = self.clone();
        Box::pin(async move { this.dispatch(ask).await.unwrap_or_else(|refusal| refusal) })
    }
}

impl Interactions {
    async fn dispatch(&self, ask: Ask) -> Result<Answer, Answer> {
        let asked =
            self.asked(&ask.head.method, &ask.head.segments()).map_err(|stray| stray.answer(&ask.head))?;
        if !ask.body.is_empty() && matches!(ask.head.method, Method::GET | Method::HEAD) {
            let text =
                "what a GET asks for stands in its path; its body would be left out. Send it by POST _search";
            return Err(Answer::refusal(400, Issue::error(Code::Invalid, text)));
        }
        let long = ask.body.len().min(ROOM_BYTES) as u32;
        let Ok(_room) = self.room.acquire_many(if ask.body.len() < LONG_BYTES { 0 } else { long }).await
        else {
            return Err(failed());
        };
        let form = is_form(&ask.head).then_some(&*ask.body);
        let parameters = parameters(&ask.head, form)?;
        let manner = Manner::of(&ask.head, &parameters)?;
        let Some(caller) = ask.caller else {
            return match asked {
                Interaction::Capabilities => {
                    Ok(capability::answer(&self.current.get(), &base(&ask.head), manner.release))
                }
                _ => Err(failed()),
            };
        };
        let site = self.current.get().site(&caller.site).cloned().map(Arc::new);
        let Some(site) = site else {
            let text = "the site of this client is not in the configuration in force";
            return Err(Answer::refusal(403, Issue::error(Code::Forbidden, text)));
        };
        let context = Context { bases: bases(&ask.head), now_ms: time::now_ms() };
        let base = base(&ask.head);
        let (head, secret) = (ask.head, Arc::clone(&self.secret));
        let request = Arc::new(Request { head, caller, manner, parameters, context, base, site, secret });
        let done = self.interact(&asked, &request, ask.body).await;
        self.told(&asked, &request, done).await
    }

    pub(super) async fn interact(
        &self,
        asked: &Interaction,
        request: &Arc<Request>,
        body: bytes::Bytes,
    ) -> Result<Done, Answer> {
        match asked {
            Interaction::Capabilities => Ok(Done {
                answer: capability::answer(&self.current.get(), &request.base, request.manner.release),
                object: "metadata".to_owned(),
                resources: 0,
                is_told: true,
            }),
            Interaction::Read(kind, id) => self.read(request, *kind, id, None).await,
            Interaction::VersionRead(kind, id, version) => {
                let version = version.parse().map_err(|_| read::not_found(*kind))?;
                self.read(request, *kind, id, Some(version)).await
            }
            Interaction::History(kind, id) => self.history(request, *kind, id).await,
            Interaction::Search(kind, patient) => self.search(request, *kind, patient.as_deref()).await,
            Interaction::Create(kind) => self.write(request, *kind, None, body).await,
            Interaction::Update(kind, id) => self.write(request, *kind, Some(id), body).await,
            Interaction::Validate(kind, id) => self.validate(request, *kind, id.as_deref(), body).await,
            Interaction::Bundle => self.bundle(request, body).await,
            Interaction::Everything(id) => self.everything(request, id, body).await,
            Interaction::Outcomes(id) => self.outcomes(request, id, body).await,
            Interaction::SubmitCgm => self.submit_cgm(request, body).await,
        }
    }

    /// Hands the access to the audit log, and then the answer on.
    pub(super) async fn told(
        &self,
        asked: &Interaction,
        request: &Request,
        done: Result<Done, Answer>,
    ) -> Result<Answer, Answer> {
        let (answer, object, resources) = match done {
            Ok(done) if done.is_told => return Ok(done.answer),
            Ok(done) => (done.answer, done.object, done.resources),
            Err(answer) => {
                let object = match (asked.kind(), request.head.path.get(1)) {
                    (Some(kind), id) => {
                        let is_ours =
                            |id: &&String| super::key::parse_id(id).is_some() || readings::is_name(kind, id);
                        let id = id.filter(is_ours);
                        resource(kind, id.map(String::as_str))
                    }
                    (None, _) => asked.word().to_owned(),
                };
                (answer, object, 0)
            }
        };
        let access = Access {
            what: asked.word(),
            object,
            status: answer.status,
            resources,
            request_id: &request.head.request_id,
        };
        let entries = vec![access.by(&request.caller)];
        self.audit.record_for(&request.caller, entries).await.map_err(|_| unaudited())?;
        Ok(answer)
    }

    async fn read(
        &self,
        request: &Arc<Request>,
        kind: Kind,
        id: &str,
        version: Option<i64>,
    ) -> Result<Done, Answer> {
        let bounds = request.bounds(Act::Read, kind)?;
        let (shared, wanted) = (Arc::clone(request), id.to_owned());
        let answer = if kind == Kind::AuditEvent {
            let box_id = Arc::clone(&self.box_id);
            look(&self.readers, move |reader| super::audit_view::read(reader, &shared, &box_id, &wanted))
                .await?
        } else if readings::is_name(kind, &wanted) {
            let found = look(&self.readers, move |reader| {
                readings::read(reader, (&shared.site.id, &shared.secret), &wanted, version, &bounds)
            });
            self.read_answer(request, &found.await?)?
        } else {
            let found = glance(&self.readers, move |reader| {
                read::find(reader, &shared.site.id, kind, &wanted, version, &bounds)
            });
            self.read_answer(request, &found.await?)?
        };
        Ok(Done { answer, object: resource(kind, Some(id)), resources: 1, is_told: false })
    }

    fn read_answer(&self, request: &Request, found: &super::stored::Stored) -> Result<Answer, Answer> {
        let served = || read::answer(found, &request.head.headers, request.manner.release);
        at_length(found.version.body.len(), served)
    }

    async fn history(&self, request: &Arc<Request>, kind: Kind, id: &str) -> Result<Done, Answer> {
        let bounds = request.bounds(Act::Read, kind)?;
        if readings::is_name(kind, id) {
            return Err(readings::no_history());
        }
        let (shared, wanted) = (Arc::clone(request), id.to_owned());
        let answer = look(&self.readers, move |reader| {
            let found = read::find(reader, &shared.site.id, kind, &wanted, None, &bounds)?;
            let place = (&*shared.site.id, &*shared.base);
            read::history(reader, place, &found, &shared.parameters, &bounds, shared.manner.release)
        });
        Ok(Done { answer: answer.await?, object: resource(kind, Some(id)), resources: 1, is_told: false })
    }

    async fn search(
        &self,
        request: &Arc<Request>,
        kind: Kind,
        patient: Option<&str>,
    ) -> Result<Done, Answer> {
        let within = request.within(Act::Search, kind)?;
        let mut parameters = request.parameters.clone();
        // A search of a patient's resources, or of a caller who may see those of one alone, is that search.
        let of_patient = patient.map(|id| Within::Patient(id.to_owned()));
        for within in of_patient.iter().chain([&within]) {
            parameters.extend(bounds::parameter(within, kind));
        }
        let names: Vec<String> = parameters.iter().map(|(name, _)| format!("{name}=")).collect();
        let object = searched(kind, &names.join("&"));
        let (shared, box_id) = (Arc::clone(request), Arc::clone(&self.box_id));
        let looked = look(&self.readers, move |reader| {
            if kind == Kind::AuditEvent {
                return super::audit_view::search(reader, &shared, &box_id, &parameters);
            }
            let parsed = Query::parse(kind, &parameters, shared.manner.handling, &shared.context)
                .map_err(|issues| Answer::outcome(400, &issues))?;
            let bounds = Bounds::of(&within, kind, &shared.context);
            let search = Search {
                site: &shared.site.id,
                query: &parsed.query,
                bounds: &bounds,
                secret: Some(&shared.secret),
            };
            let mut page: Page = search.page(reader)?;
            let seen = |kind| shared.bounds(Act::Search, kind).unwrap_or(Bounds::Nothing);
            include(reader, &search, &mut page, &shared.context.bases, &seen)?;
            let resources = page.hits.len() + page.included.len();
            let answer =
                bundle::searchset(&shared.base, &parsed.query, &page, &parsed.issues, shared.manner.release);
            Ok((answer, resources))
        });
        let (answer, resources) = looked.await?;
        Ok(Done { answer, object, resources, is_told: false })
    }

    async fn write(
        &self,
        request: &Arc<Request>,
        kind: Kind,
        id: Option<&str>,
        bytes: bytes::Bytes,
    ) -> Result<Done, Answer> {
        let release = body_release(&request.head)?;
        let max_depth = self.limits().max_depth;
        let read = || {
            let body = Body::read(bytes.clone(), Some(kind), release, max_depth)?;
            Ok(body.relative(&request.context.bases))
        };
        let body = match at_length(bytes.len(), read) {
            Ok(body) => body,
            Err(refusal) => {
                return Err(self.keep_refused(request, kind.name(), release, bytes, refusal).await);
            }
        };
        let wanted = Wanted {
            body,
            id: id.map(str::to_owned),
            if_match: request.head.condition(&IF_MATCH)?.map(str::to_owned),
            if_none_exist: request.head.condition(&IF_NONE_EXIST)?.map(batch::condition),
            is_trial: false,
        };
        if id.is_some() && request.head.condition(&IF_NONE_MATCH)?.is_some() {
            let text =
                "nothing is created by PUT here, so what is put stands already: send If-Match, or nothing";
            return Err(Answer::refusal(412, Issue::error(Code::Conflict, text).at("http.If-None-Match")));
        }
        let warnings = wanted.body.warnings.clone();
        for _ in 0..ROUNDS {
            let again = at_length(wanted.body.bytes.len(), || wanted.clone());
            let plan = self.planned(request, again).await;
            let (outcome, (bytes, kept), is_told) = match plan {
                Ok(Plan::Write(draft)) => match self.commit(request, &draft).await? {
                    // Also where the message was known: what it became then has the same bytes.
                    Some((outcome, known)) => (outcome, (draft.body.bytes, draft.body.release), !known),
                    None => continue,
                },
                Ok(Plan::Stands(stored)) => {
                    (Outcome::standing(&stored), (stored.version.body, stored.release), false)
                }
                Ok(Plan::SameAs(_)) => return Err(failed()),
                Err(refusal) => {
                    let bytes = wanted.body.bytes;
                    return Err(self.keep_refused(request, kind.name(), release, bytes, refusal).await);
                }
            };
            let manner = request.manner;
            // Who may write alone is shown what they wrote, and nothing that stood before.
            let is_seen = is_told || request.bounds(Act::Read, kind).is_ok();
            let shown = match manner.wanted.unwrap_or_default() {
                Return::Representation if is_seen => {
                    let id = super::key::id_of(outcome.id);
                    let name = (&*id, outcome.version, outcome.at);
                    let served = || served_in(&bytes, kept, name, manner.release);
                    Some(at_length(bytes.len(), served)?)
                }
                _ => None,
            };
            let answer = outcome.answer(&request.base, manner, shown, &warnings);
            let object = resource(kind, Some(&super::key::id_of(outcome.id)));
            return Ok(Done { answer, object, resources: 1, is_told });
        }
        Err(contended())
    }

    /// What a request to write amounts to at this moment.
    async fn planned(&self, request: &Arc<Request>, wanted: Wanted) -> Result<Plan, Answer> {
        let (shared, this) = (Arc::clone(request), self.clone());
        let is_short = wanted.is_short();
        let plan = move |reader: &outbox::Reader| {
            let plan = shared.desk(reader, &this.writer).plan(wanted)?;
            this.with_effect(reader, &shared, plan)
        };
        if is_short { glance(&self.readers, plan).await } else { look(&self.readers, plan).await }
    }

    async fn commit(&self, request: &Request, draft: &Draft) -> Result<Option<(Outcome, bool)>, Answer> {
        let about = Circumstances {
            caller: &request.caller,
            request_id: &request.head.request_id,
            is_linked: false,
            audit: vec![draft.access(request)],
            beside: Vec::new(),
        };
        let took = write::commit(&self.writer, &[draft], about).await;
        let took = took.inspect_err(|refusal| self.not_stored_by(refusal))?;
        let took = match took {
            Committed::Done(took) => took,
            Committed::Overtaken(_) => return Err(write::overtaken()),
            Committed::Changed | Committed::Known(_) => return Ok(None),
        };
        self.follow(&[draft], &took).await?;
        self.stored();
        Ok(took.first().map(|took| (Outcome::written(draft, took), took.known)))
    }

    /// Keeps what is refused for its content (400 and 422) with its reason; the answer stays the same.
    pub(super) async fn keep_refused(
        &self,
        request: &Request,
        kind: &str,
        release: fhir::Release,
        bytes: bytes::Bytes,
        refusal: Answer,
    ) -> Answer {
        // Others are refused for who asks, for how much it is, or for the moment.
        if !matches!(refusal.status, 400 | 422) {
            return refusal;
        }
        if !request.caller.may_any(&[Act::Create, Act::Update]) {
            return refusal;
        }
        let why = refusal.first_issue().unwrap_or_else(|| Issue::error(Code::Invalid, String::new()));
        let sent = Sent { kind, release, bytes: &bytes, place: "refused" };
        let refused = || sent.refused((&request.caller, &request.head.request_id), &why);
        let arrival = at_length(bytes.len(), refused);
        if let Err(error) = self.writer.intake(arrival).await {
            self.not_stored();
            return super::shelf::unwritten(&error);
        }
        refusal
    }

    pub(super) fn stored(&self) {
        self.conditions.clear(Condition::StoreRefuses, "");
        self.wake.wake();
    }

    pub(super) fn not_stored(&self) {
        let detail = "a request at the endpoint could not be stored; it was answered 503".to_owned();
        self.conditions.raise(Condition::StoreRefuses, "", detail, time::now_ms());
    }

    /// Which interaction a request is.
    pub(super) fn asked(&self, method: &Method, path: &[&str]) -> Result<Interaction, Stray> {
        self.current.with(|generation| {
            let fhir = generation.config.main.fhir.as_ref();
            Interaction::of(method, path, fhir.map(|fhir| &*fhir.limits.writes).unwrap_or_default())
        })
    }

    /// The same, unless it was refused for what it asks.
    pub(super) fn not_stored_by(&self, refusal: &Answer) {
        if refusal.status >= 500 {
            self.not_stored();
        }
    }

    /// The bounds of requests that are in force.
    pub(super) fn limits(&self) -> FhirLimits {
        self.current.with(|generation| {
            generation.config.main.fhir.as_ref().map(|fhir| fhir.limits.clone()).unwrap_or_default()
        })
    }
}

/// Whether a caller may do anything that a Bundle could ask for; and something be written by one of CGM data.
fn may_send(caller: &Caller, asked: &Interaction) -> Result<(), Answer> {
    let acts: &[Act] = if *asked == Interaction::SubmitCgm { &[Act::Create] } else { &Act::ALL };
    if caller.may_any(acts) { Ok(()) } else { Err(Denied::Scope.answer(Act::Create, Kind::Observation)) }
}

/// The audit log takes nothing more: nothing is answered that is not in it.
pub(super) fn unaudited() -> Answer {
    let text = "the audit log is behind; send the request again in a moment";
    Answer::refusal(503, Issue::error(Code::Transient, text)).with(RETRY_AFTER, "1")
}

impl Request {
    /// Whether the caller may, and within which bounds.
    ///
    /// # Errors
    /// 403.
    pub(super) fn within(&self, act: Act, kind: Kind) -> Result<Within, Answer> {
        self.caller.permits(act, kind)
    }

    /// What of a kind the caller may see.
    ///
    /// # Errors
    /// 403.
    pub(super) fn bounds(&self, act: Act, kind: Kind) -> Result<Bounds, Answer> {
        Ok(Bounds::of(&self.within(act, kind)?, kind, &self.context))
    }

    /// Where drafts are made, at one moment.
    pub(super) fn desk<'a>(&'a self, reader: &'a outbox::Reader, writer: &'a Writer) -> Desk<'a> {
        Desk {
            reader,
            writer,
            site: &self.site,
            caller: &self.caller,
            context: &self.context,
            secret: &self.secret,
        }
    }
}

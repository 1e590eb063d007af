//! One request and its answer, without sockets: who asks, what the script says, the effect, the record.
//!
//! The order is that of a server behind its gateway: the token first, then the limit, then the script,
//! then the persona and the store. The clock of the server, which may run ahead or behind, is used for all
//! of it; the log has a clock of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::call::{Answer, Call, Reply};
use crate::chart::{self, Admitted, Person};
use crate::conduct::Conduct;
use crate::fact::local;
use crate::fhir_store::FhirStore;
use crate::limit::Bucket;
use crate::log::{Effect, Log, Record};
use crate::refusal::Refusal;
use crate::request::{Request, understand};
use crate::script::{About, Cue, Level, Script, http_date};
use crate::search::identifiers;
use crate::smart::{Smart, TOKEN_PATH};
use crate::stage::Stage;
use crate::transaction::{Verb, Write};
use crate::watch::Watch;

/// The verdict on what was done.
pub(crate) const ACCEPTED: &str = "accepted";
/// The verdict where the script spoke.
pub(crate) const SCRIPTED: &str = "scripted";
/// The verdict of the server's own limit.
pub(crate) const THROTTLED: &str = "rate-limit";

/// Everything behind the sockets.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) base_url: String,
    /// Types that may be written; none: all.
    pub(crate) writable: Option<&'static [&'static str]>,
    pub(crate) conduct: Conduct,
    pub(crate) store: FhirStore,
    /// Patients without a relationship to the client.
    pub(crate) unrelated: BTreeSet<String>,
    /// Who was seeded, and the practitioner.
    pub(crate) admitted: Vec<Admitted>,
    pub(crate) practitioner: Option<String>,
    pub(crate) smart: Option<Smart>,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) script: Script,
    pub(crate) log: Log,
    /// Texts that must not arrive.
    pub(crate) watch: Watch,
}

/// What became of a request or of an entry.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) answer: Answer,
    pub(crate) effects: Vec<Effect>,
    pub(crate) verdict: &'static str,
    /// Of a batch: the verdict on each entry.
    pub(crate) entries: Vec<&'static str>,
    /// The connection is closed without the answer.
    pub(crate) hang_up: bool,
}

impl Done {
    pub(crate) fn new(answer: Answer) -> Self {
        Self { answer, effects: Vec::new(), verdict: ACCEPTED, entries: Vec::new(), hang_up: false }
    }
}

impl From<Refusal> for Done {
    fn from(refusal: Refusal) -> Self {
        Self { verdict: refusal.rule, ..Self::new(refusal.into()) }
    }
}

/// What the script is told of a request.
#[derive(Debug, Default)]
pub(crate) struct Names {
    types: Vec<String>,
    categories: Vec<String>,
    pub(crate) patients: Vec<String>,
    identifiers: Vec<String>,
    creates: bool,
    seeks_patients: bool,
}

impl Names {
    pub(crate) fn of(request: &Request, store: &FhirStore) -> Self {
        let writes = request.writes();
        let mut types: Vec<String> = writes.iter().map(|write| write.resource_type.clone()).collect();
        types.extend(request.read_type().map(str::to_owned));
        Self {
            types,
            categories: writes.iter().flat_map(Write::categories).map(str::to_owned).collect(),
            patients: writes.iter().flat_map(|write| all_names(write, store)).collect(),
            identifiers: writes.iter().flat_map(Write::identifier_values).collect(),
            creates: writes.iter().any(|write| matches!(write.verb, Verb::Create { .. })),
            seeks_patients: matches!(request, Request::Search { resource_type, .. } if resource_type == "Patient"),
        }
    }

    pub(crate) fn about(&self, level: Level, is_write: bool) -> About<'_> {
        About {
            level,
            is_write,
            is_token: false,
            creates: self.creates,
            seeks_patients: self.seeks_patients,
            resource_types: &self.types,
            categories: &self.categories,
            patients: &self.patients,
            identifiers: &self.identifiers,
        }
    }
}

/// The patients of a write by every name: as sent, and where this server knows the Patient, by id and by
/// the values of all identifiers.
fn all_names(write: &Write, store: &FhirStore) -> Vec<String> {
    let mut names = write.patients(store);
    let token = crate::fact::subject_token(&write.resource);
    names.extend(token.and_then(|token| store.patient_of(&token)).map(|id| format!("Patient/{id}")));
    let known = names.iter().filter_map(|name| local(name).strip_prefix("Patient/"));
    let known: Vec<Value> =
        known.filter_map(|id| store.read("Patient", id)).map(|(known, _)| known).collect();
    let values = known.iter().flat_map(identifiers).filter_map(|identifier| identifier["value"].as_str());
    names.extend(values.map(str::to_owned));
    names
}

/// What is on record of a request besides its line.
struct Heard {
    reply: Reply,
    /// Its answer is in `reply`.
    done: Done,
    play: &'static str,
    rule: Option<String>,
    client: Option<String>,
}

impl Exchange {
    /// A CGM IG receiver without tokens or limits.
    #[cfg(test)]
    pub(crate) fn new(base_url: String, writable: Option<&'static [&'static str]>) -> Self {
        Self::playing(base_url, writable, Conduct::default())
    }

    /// `base_url` is `https://host:port/fhir`.
    pub(crate) fn playing(
        base_url: String,
        writable: Option<&'static [&'static str]>,
        conduct: Conduct,
    ) -> Self {
        let origin = base_url.strip_suffix(crate::request::BASE_PATH).unwrap_or(&base_url);
        let smart = conduct.smart.clone().map(|mut settings| {
            settings.refuses_wildcards |= conduct.persona.refuses_wildcard_scopes();
            Smart::new(settings, origin, &base_url)
        });
        let mut store = FhirStore::default();
        store.ids = conduct.persona.ids();
        store.tells_last_updated = conduct.persona.tells_last_updated();
        store.resources_max = conduct.resources_max;
        let mut exchange = Self {
            writable,
            store,
            unrelated: BTreeSet::new(),
            admitted: Vec::new(),
            practitioner: None,
            smart,
            bucket: conduct.rate_limit.map(|limit| Bucket::new(limit, Duration::ZERO)),
            script: Script::new(),
            log: Log::keeping(conduct.records_max),
            watch: Watch::default(),
            base_url,
            conduct,
        };
        let people = std::mem::take(&mut exchange.conduct.people);
        people.iter().for_each(|person| {
            exchange.admit(person, Timestamp::UNIX_EPOCH);
        });
        exchange
    }

    /// Puts a person on the chart; with the first comes the practitioner.
    pub(crate) fn admit(&mut self, person: &Person, now: Timestamp) -> Admitted {
        let now = format!("{now:.3}");
        if self.practitioner.is_none() {
            self.practitioner = Some(chart::employ(&mut self.store, &now));
        }
        let admitted = chart::admit(&mut self.store, person, &now);
        if !person.related {
            self.unrelated.insert(admitted.patient.clone());
        }
        self.admitted.push(admitted.clone());
        admitted
    }

    /// Answers one request, `since_start` after the server began, at `now` by a right clock.
    #[cfg(test)]
    pub(crate) fn serve(&mut self, call: &Call<'_>, since_start: Duration, now: Timestamp) -> Reply {
        self.act(call, understand_fhir(call), since_start, now)
    }

    /// The same, once the request is understood, which needs no lock.
    pub(crate) fn act(
        &mut self,
        call: &Call<'_>,
        understood: Result<Request, Refusal>,
        since_start: Duration,
        now: Timestamp,
    ) -> Reply {
        let offset = self.conduct.clock_offset;
        let now = now.checked_add(offset).unwrap_or(now);
        let is_token = is_token_request(call) && self.smart.is_some();
        let is_write =
            !is_token && !matches!(call.method, "GET" | "HEAD") && !call.target.contains("/_search");
        let mut heard = if is_token {
            self.hear_token(call, since_start, now)
        } else {
            self.hear(call, understood, is_write, since_start, now)
        };
        if let Reply::Answer(answer) = &mut heard.reply
            && !offset.is_zero()
        {
            answer.headers.push(("date", http_date(now)));
        }
        self.log.push(Record {
            seq: 0,
            at_ms: since_start.as_secs_f64() * 1e3,
            method: call.method.to_owned(),
            path: call.target.to_owned(),
            is_write,
            status: match &heard.reply {
                Reply::HangUp => None,
                Reply::Answer(answer) => Some(answer.status),
            },
            play: heard.play,
            rule: heard.rule,
            verdict: heard.done.verdict,
            entries: heard.done.entries,
            client: heard.client,
            effects: heard.done.effects,
            leak: self.watch.sees(call.target, call.body),
        });
        heard.reply
    }

    fn hear_token(&mut self, call: &Call<'_>, at: Duration, now: Timestamp) -> Heard {
        let cue = self.script.cue(&About { is_token: true, ..About::default() }, at);
        let mut client = None;
        self.follow(cue, &[], now, |exchange| match exchange.smart.as_mut() {
            None => Refusal::not_found("the path").into(),
            Some(smart) => {
                let (answer, verdict, known) = smart.token(call, now);
                client = known;
                Done { verdict, ..Done::new(answer) }
            }
        })
        .from(client)
    }

    fn hear(
        &mut self,
        call: &Call<'_>,
        understood: Result<Request, Refusal>,
        is_write: bool,
        at: Duration,
        now: Timestamp,
    ) -> Heard {
        if let Some(answer) = self.smart.as_ref().and_then(|smart| smart.discovery(call)) {
            return Heard::plain(Done::new(answer));
        }
        let client = match self.permit(call, understood.as_ref().ok(), now) {
            Ok(client) => client,
            Err(refusal) => return Heard::plain(refusal.into()),
        };
        let is_batch = matches!(understood, Ok(Request::Batch(_)));
        if is_write
            && !is_batch
            && let Err(answer) = self.take_turn(at, now)
        {
            return Heard::plain(Done { verdict: THROTTLED, ..Done::new(answer) }).from(client);
        }
        let names = understood.as_ref().map(|request| Names::of(request, &self.store)).unwrap_or_default();
        let level = if is_batch { Level::Batch } else { Level::Alone };
        let cue = self.script.cue(&names.about(level, is_write), at);
        let mut heard = self.follow(cue, &names.patients, now, |exchange| {
            let done = understood.and_then(|request| exchange.fulfil(call, request, at, now));
            done.unwrap_or_else(Done::from)
        });
        if call.minimal
            && let Reply::Answer(answer) = &mut heard.reply
            && answer.status < 300
        {
            answer.body = Value::Null;
        }
        heard.from(client)
    }

    /// Does what is asked in the way the script says, or something else.
    fn follow(
        &mut self,
        cue: Cue,
        patients: &[String],
        now: Timestamp,
        perform: impl FnOnce(&mut Self) -> Done,
    ) -> Heard {
        let stage = Stage::of(&cue, patients, now);
        let (play, rule) = match cue {
            Cue::Play(play) => (play.name(), None),
            Cue::Rule(act, name) => (act.name(), Some(name)),
        };
        if let Some(answer) = stage.instead {
            let heard = Heard::plain(Done { verdict: SCRIPTED, ..Done::new(answer) });
            return Heard { play, rule, ..heard };
        }
        if stage.hang_up_before {
            let heard = Heard::plain(Done { verdict: SCRIPTED, ..Done::new(Answer::new(200, Value::Null)) });
            return Heard { reply: Reply::HangUp, play, rule, ..heard };
        }
        let mut done = perform(self);
        let delay = done.answer.delay;
        stage.dress(&mut done.answer);
        done.answer.delay = done.answer.delay.max(delay);
        let hang_up = stage.hang_up_after || done.hang_up;
        let heard = Heard::plain(done);
        if hang_up {
            return Heard { reply: Reply::HangUp, play, rule, ..heard };
        }
        Heard { play, rule, ..heard }
    }
}

impl Heard {
    fn plain(mut done: Done) -> Self {
        let answer = std::mem::replace(&mut done.answer, Answer::new(200, Value::Null));
        Self { reply: Reply::Answer(answer), done, play: "accept", rule: None, client: None }
    }

    fn from(mut self, client: Option<String>) -> Self {
        self.client = client;
        self
    }
}

/// Reads a request, unless it is one for a token, which is no FHIR.
pub(crate) fn understand_fhir(call: &Call<'_>) -> Result<Request, Refusal> {
    if is_token_request(call) { Err(Refusal::not_found("the path")) } else { understand(call) }
}

fn is_token_request(call: &Call<'_>) -> bool {
    call.target.split('?').next() == Some(TOKEN_PATH)
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "rule_tests.rs"]
mod rule_tests;

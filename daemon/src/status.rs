//! The state of everything, as `isthmus status` shows it: one document, without patient data.

use std::{net::SocketAddr, sync::Arc};

use outbox::{Reader, Readers, State};
use serde_json::{Value, json};

use crate::{
    admin::rows,
    conditions::{Board, Condition},
    consent,
    destination::Destination,
    disk, fleet,
    generation::{Current, Generation},
    intent,
    mode::{Mode, Observed, Use, in_force},
    observations::Observations,
    outbound::desk::Desk,
    silence::Feeds,
    spool::Standings,
    standstill::Standstills,
    telemetry::Ready,
    time,
    tls::{Inventory, Served},
    traffic::Traffic,
};

/// What status is told from.
#[derive(Clone)]
pub struct Status {
    /// Certificates and keys in force.
    pub certificates: Inventory,
    /// The configuration in force.
    pub current: Current,
    /// What was observed of destinations.
    pub observations: Observations,
    /// What is wrong.
    pub conditions: Board,
    /// Counts.
    pub readers: Readers,
    /// Whether intake is open.
    pub ready: Ready,
    /// The box's id.
    pub box_id: String,
    /// When the daemon started (ms UTC).
    pub started: i64,
    /// Where messages are taken in.
    pub listeners: Vec<Listening>,
    /// What is known of MLLP destinations.
    pub outbound: Desk,
    /// Whether everything is held back.
    pub standstills: Standstills,
    /// How the spools stand.
    pub spools: Standings,
    /// The FHIR endpoint: the address bound, and its certificate.
    pub endpoint: Option<(SocketAddr, Arc<Served>)>,
    /// How the feeds are.
    pub feeds: Feeds,
    /// How the check-ins go.
    pub fleet: fleet::Standing,
}

/// A listener, for people.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Address bound.
    pub address: String,
    /// Plain MLLP, which the configuration asked for.
    pub plain: bool,
    /// What it has seen since the start.
    pub traffic: Traffic,
    /// Its certificates, where it is not plain.
    pub served: Option<Arc<Served>>,
}

impl Listening {
    /// Its name, its address, and whether it is encrypted.
    pub fn words(&self) -> String {
        format!("{} at {} ({})", self.name, self.address, if self.plain { "plain" } else { "TLS" })
    }

    fn document(&self) -> Value {
        let ends = self.served.as_ref().map(|served| time::rfc3339(served.not_after() * 1000));
        let mut document = json!({
            "name": self.name, "address": self.address, "plain": self.plain, "certificate_ends": ends,
        });
        // What was seen stands beside it, not below.
        if let (Some(all), Ok(Value::Object(seen))) =
            (document.as_object_mut(), serde_json::to_value(&self.traffic))
        {
            all.extend(seen);
        }
        document
    }
}

impl Status {
    /// The whole document.
    pub fn document(&self) -> Value {
        let generation = self.current.get();
        let sites: Vec<Value> = generation
            .config
            .sites
            .values()
            .map(|site| self.site(&generation, &site.id, site.capability.mode))
            .collect();
        let upstream =
            generation.destination(crate::destination::UPSTREAM).map(|upstream| self.destination(&upstream));
        let mut document = json!({
            "box": self.box_id,
            "version": env!("CARGO_PKG_VERSION"),
            "started": time::rfc3339(self.started),
            "ready": self.ready.get(),
            "configuration": {
                "generation": generation.number,
                "since": time::rfc3339(generation.since),
                "sha256": generation.config.fingerprint,
            },
            "listeners": self.listeners.iter().map(Listening::document).collect::<Vec<_>>(),
            "fhir": self.fhir(&generation),
            "spools": self.spools.all(),
            "sites": sites,
            "upstream": upstream,
            "outbound": self.outbound.list(),
            "certificates": self.certificates(),
            "conditions": self.conditions.all().iter().map(condition).collect::<Vec<_>>(),
            "feeds": self.feeds.document(),
            "fleet": self.fleet.document(generation.config.main.fleet.as_ref()),
            "room": disk::document(&generation.config),
        });
        match self.counts() {
            Ok((inbox, outbox)) => {
                document["inbox"] = inbox;
                document["outbox"] = outbox;
            }
            Err(error) => document["store"] = json!({ "error": error.to_string() }),
        }
        document["standstill"] = self.standstills.document();
        document["consent"] = consent::summary(&self.readers);
        document["intents"] = intent::summary(&self.readers);
        document
    }

    /// Certificates and keys in force, by role and scope.
    fn certificates(&self) -> Vec<Value> {
        let now_s = time::now_ms().div_euclid(1000);
        self.certificates.all().iter().map(|one| one.document(now_s)).collect()
    }

    /// The FHIR endpoint; null where there is none.
    fn fhir(&self, generation: &Generation) -> Value {
        let Some((address, served)) = &self.endpoint else { return Value::Null };
        let fhir = generation.config.main.fhir.as_ref();
        json!({
            "address": address.to_string(),
            "certificate_ends": time::rfc3339(served.not_after() * 1000),
            "clients": fhir.map_or(0, |fhir| fhir.clients.len()),
            "issuers": fhir.map_or(0, |fhir| fhir.issuers.len()),
            "writes": fhir.into_iter().flat_map(|fhir| &fhir.limits.writes).map(|kind| kind.name()).collect::<Vec<_>>(),
        })
    }

    fn counts(&self) -> Result<(Value, Value), outbox::ReadError> {
        let (counts, next_due_at) =
            self.readers.with(|reader| Ok((reader.counts()?, reader.next_due_at()?)))?;
        let rows = |state| counts.rows(state);
        let next_due_s = next_due_at.map(|at| (at - time::now_ms()) as f64 / 1e3);
        let age = |at: Option<i64>| at.map(|at| (time::now_ms() - at).max(0) as f64 / 1e3);
        let inbox = json!({
            "total": counts.inbox_total,
            "pending": counts.inbox_pending,
            "oldest_pending_age_s": age(counts.inbox_oldest_pending_at),
            "quarantined": counts.quarantine,
            "unidentified": counts.identity_queue,
            "again": counts.again,
            "windows_due": counts.windows_dirty,
            "next_window_in_s": next_due_s,
        });
        let outbox = json!({
            "pending": rows(State::Pending),
            "leased": rows(State::Leased),
            "ambiguous": rows(State::Ambiguous),
            "deferred": rows(State::Deferred),
            "delivered": rows(State::Delivered),
            "quarantined": rows(State::Quarantined),
            "superseded": rows(State::Superseded),
            "dropped": rows(State::Dropped),
            "shown": rows(State::Shown),
            "oldest_undelivered_age_s": age(counts.oldest_undelivered_at),
        });
        Ok((inbox, outbox))
    }

    fn site(&self, generation: &Generation, id: &str, configured: Mode) -> Value {
        let Some(destination) = generation.destination(&format!("ehr:{id}")) else {
            return json!({
                "id": id, "mode": Mode::ReadOnly, "since": time::rfc3339(generation.since),
                "cause": "no [ehr]: outcomes are computed and kept", "capabilities": [],
            });
        };
        let mut site = self.destination(&destination);
        site["id"] = json!(id);
        site["configured"] = json!(configured.word());
        site
    }

    /// One destination: the mode in force with its cause, and every capability.
    fn destination(&self, destination: &Destination) -> Value {
        let seen = |one: &Use| self.observations.seen(&destination.id, one.capability.name());
        let uses = self.uses(destination);
        let mode = self.mode_of(destination, &uses);
        let (since, cause) = self.cause(destination, &uses, mode);
        let modes = self.readers.with(Reader::modes).unwrap_or_default();
        let capabilities: Vec<Value> = uses
            .iter()
            .map(|one| {
                let seen = seen(one);
                json!({
                    "capability": one.capability.name(),
                    "resource": one.capability.resource.name(),
                    "permitted": destination.permits(one.capability),
                    "observed": one.observed.word(),
                    "since": seen.as_ref().map(|seen| time::rfc3339(seen.since)),
                    "cause": seen.and_then(|seen| told(seen.cause)),
                    "evidence_row": match one.observed {
                        Observed::Open => None,
                        _ => rows::evidence(&modes, destination, one.capability.name()),
                    },
                })
            })
            .collect();
        let authorization = destination.client.authorizer().map(|tokens| tokens.standing().document());
        json!({
            "destination": destination.id,
            "authorization": authorization,
            "mode": mode,
            "since": time::rfc3339(since),
            "cause": told(cause),
            "capabilities": capabilities,
        })
    }

    /// The mode in force at a destination, since when, whether its purpose has consent by default, and what it uses.
    pub(crate) fn standing_of(&self, destination: &Destination) -> (Mode, i64, bool, Vec<Use>) {
        let uses = self.uses(destination);
        let mode = self.mode_of(destination, &uses);
        let (since, _) = self.cause(destination, &uses, mode);
        (mode, since, self.is_consented(destination), uses)
    }

    /// Since when the mode is as it is, and why it is not more: what was refused, or is held, before what the file says; what
    /// outcomes are written by before what only goes along.
    fn cause(&self, destination: &Destination, uses: &[Use], mode: Mode) -> (i64, String) {
        let seen = |one: &Use| self.observations.seen(&destination.id, one.capability.name());
        let closed = uses.iter().filter(|one| one.observed != Observed::Open).min_by_key(|one| !one.carries);
        let primary = uses.iter().find(|one| one.carries);
        let permitted = primary.is_some_and(|one| destination.permits(one.capability));
        if let Some((one, seen)) = closed.and_then(|one| Some((one, seen(one)?))) {
            let is_primary = primary.is_some_and(|primary| primary.capability == one.capability);
            let cause = if is_primary { seen.cause } else { format!("{}: {}", one.capability, seen.cause) };
            return (seen.since, cause);
        }
        let why = match mode {
            _ if !self.is_consented(destination) => {
                "no consent for this purpose, but for patients who gave it"
            }
            Mode::Shadow => "shadow: what would be written is shown, and never sent",
            _ if !permitted => "the configuration permits no more",
            Mode::Partial => "the site's file lists what is written, and the rest waits",
            _ => return (primary.and_then(seen).map_or(self.started, |seen| seen.since), String::new()),
        };
        (self.started, why.to_owned())
    }

    /// The mode in force at a destination, for patients of whom the consent ledger says nothing.
    pub(crate) fn mode_of(&self, destination: &Destination, uses: &[Use]) -> Mode {
        if !self.is_consented(destination) {
            return Mode::ReadOnly;
        }
        in_force(&destination.ceiling, uses)
    }

    /// Whether a destination's purpose has consent by default, upstream at any site.
    fn is_consented(&self, destination: &Destination) -> bool {
        let purpose = outbox::Purpose::of(&destination.id);
        let is_permitted = |default: &outbox::ConsentDefault| default.purpose == purpose && default.permit;
        destination.consented
            || (destination.site.is_none() && self.current.get().consent_defaults().iter().any(is_permitted))
    }

    pub(crate) fn uses(&self, destination: &Destination) -> Vec<Use> {
        let uses = destination.uses().into_iter();
        uses.map(|(capability, carries)| {
            let observed = self.observations.of(&destination.id, capability.name());
            Use { capability, observed, carries }
        })
        .collect()
    }
}

/// A condition, with what it means and what to do.
fn condition(condition: &Condition) -> Value {
    let advice = condition.name.advice();
    json!({
        "name": condition.name,
        "scope": condition.scope,
        "since": time::rfc3339(condition.since),
        "severity": condition.severity,
        "meaning": advice.meaning,
        "detail": condition.detail,
        "action": advice.action,
    })
}

/// A text, where there is one.
fn told(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

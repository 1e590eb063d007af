//! Somewhere we write: a site's EHR, or the upstream platform.

use std::{sync::Arc, time::Duration};

use clinical::{
    fhir::{
        form::Coding,
        identifier::SiteSecret,
        intent::NOTE_CODE,
        metric::LOINC,
        projection::{Amends, Kind, Projection, ProvenanceForm, Style},
        release::Release,
        subject::Subject,
    },
    identity::PatientKey,
};
use jiff::tz::TimeZone;

use crate::{
    capability::{Capability, ResourceKind},
    config::{
        self, Auth, Delivery, Filter, OnRecovery, Permits, Site, SiteIntent, SubjectForm, Upstream,
        VerifyPatient,
    },
    delivery::attempt::batch::Refused,
    mode::{Ceiling, Mode},
    smart::{Authorizer, Channel, Settings},
    tls::{self, Http, Presented, TlsError},
};

/// Id of the upstream platform among the destinations.
pub const UPSTREAM: &str = "upstream";

/// One form in which a destination takes outcomes.
pub use crate::config::Way;

impl Way {
    /// What writing an outcome by it needs. A message needs none of an EHR's capabilities: its receiver has a queue and
    /// a halt of its own.
    pub fn carrier(&self) -> Capability {
        match self.projection.kinds() {
            [Kind::DocumentReference, ..] => Capability::of(ResourceKind::DocumentReference),
            [Kind::Message, ..] => MESSAGES,
            _ => Capability::observation(self.form.category),
        }
    }

    /// Whether what stands by it can be replaced by a later version, or followed by one that says so.
    pub fn amends(&self) -> bool {
        self.projection.amends() != Amends::Never
    }
}

/// What messages of HL7 v2 need.
pub const MESSAGES: Capability = Capability::of(ResourceKind::Message);

/// What a Provenance that travels alone needs.
pub const PROVENANCE: Capability = Capability::of(ResourceKind::Provenance);

/// A destination, compiled from configuration.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `ehr:<site>` or `upstream`.
    pub id: String,
    /// The site whose EHR it is; `None` for upstream.
    pub site: Option<String>,
    /// The forms in which it takes outcomes, best first; at least one.
    pub ways: Vec<Way>,
    /// How it names patients.
    pub subject: SubjectForm,
    /// Which outcomes it takes.
    pub filter: Filter,
    /// Whether it takes windows of the past.
    pub bulk: bool,
    /// Whether an outcome goes there although a summary of the site's own says the same numbers.
    pub summaries_in_chart: bool,
    /// What goes out when it permits writes again.
    pub on_recovery: OnRecovery,
    /// The zone of its days, for quotas and quiet hours.
    pub timezone: TimeZone,
    /// FHIR base URL, without a slash at its end.
    pub base_url: String,
    /// What the configuration permits.
    pub ceiling: Ceiling,
    /// Whether patients of whom the consent ledger says nothing are written there, as the site's file says; of upstream, as
    /// the box's says. For showing: what may leave is asked of the ledger.
    pub consented: bool,
    /// Whether its Patient is compared before the first write.
    pub verify_patient: VerifyPatient,
    /// Waits and limits.
    pub delivery: Delivery,
    /// How it takes what people want written; `None` where that names people it must not know.
    pub intents: Option<IntentWay>,
    /// The way there: with our certificate, with tokens, or both.
    pub client: Channel,
    /// Whether it refused a batch as such.
    pub no_batches: Arc<Refused>,
}

/// How a destination takes what people want written, beside its forms.
#[derive(Clone, Debug)]
pub struct IntentWay {
    /// The form of such writes.
    pub way: Way,
    /// The projection whose vendor's manners they keep.
    pub carrier: Projection,
    /// Whether notes go there.
    pub notes: bool,
    /// Whether goals are resources of their own.
    pub goals: bool,
    /// Whether who said it goes in a Provenance.
    pub provenance: bool,
}

impl IntentWay {
    /// How an EHR with these forms takes them; `None` where all it takes is pseudonymous, or a message.
    pub fn of(ways: &[Way], said: SiteIntent) -> Option<Self> {
        let documents = |way: &&Way| way.projection.kinds().contains(&Kind::DocumentReference);
        let fhir = |way: &&Way| !matches!(way.projection, Projection::OruR01 | Projection::UpstreamSummary);
        let beside = ways.iter().find(documents).or_else(|| ways.iter().find(fhir))?;
        // An EHR that has documents has them whatever it files numbers as.
        let carrier = match beside.projection {
            Projection::EpicFlowsheet => Projection::EpicNote,
            Projection::MillenniumLab => Projection::MillenniumDocument,
            other => other,
        };
        let made = documents(&beside);
        let mut way = Way { projection: Projection::Intent, form: beside.form.clone(), outbound: None };
        if !made {
            way.form.document = Coding { system: LOINC.to_owned(), code: NOTE_CODE.to_owned() };
        }
        let notes = said.notes.unwrap_or(made && beside.form.notes);
        way.form.notes = notes;
        let is_apart = said.notes == Some(true) || said.goals || carrier.style() == Style::Single;
        let provenance = is_apart && way.form.provenance && carrier.provenance() != ProvenanceForm::None;
        way.form.provenance = provenance;
        Some(Self { way, carrier, notes, goals: said.goals, provenance })
    }

    /// What it uses beside what outcomes do.
    fn uses(&self) -> impl Iterator<Item = Capability> {
        let used = [
            (self.notes, Capability::of(ResourceKind::DocumentReference)),
            (self.goals, Capability::of(ResourceKind::Goal)),
            (self.provenance, PROVENANCE),
        ];
        used.into_iter().filter(|(is_used, _)| *is_used).map(|(_, capability)| capability)
    }
}

impl Destination {
    /// The EHR of a site; `None` for a site that only computes.
    ///
    /// # Errors
    /// [`TlsError`] where its certificates cannot be used.
    pub fn ehr(site: &Site) -> Result<Option<Self>, TlsError> {
        let Some(ehr) = &site.ehr else { return Ok(None) };
        Ok(Some(Self {
            id: format!("ehr:{}", site.id),
            site: Some(site.id.clone()),
            ways: ehr.ways.clone(),
            subject: ehr.subject,
            filter: site.filter.clone(),
            bulk: site.capability.bulk,
            summaries_in_chart: site.capability.summaries_in_chart,
            on_recovery: site.capability.on_recovery,
            timezone: site.timezone.clone(),
            base_url: ehr.base_url.trim_end_matches('/').to_owned(),
            ceiling: ceiling(&site.capability),
            consented: site.consent.permits(outbox::Purpose::Treatment, false),
            verify_patient: site.identity.verify_patient,
            delivery: site.delivery.clone(),
            intents: IntentWay::of(&ehr.ways, site.intent).filter(|_| ehr.subject != SubjectForm::Pseudonym),
            no_batches: Arc::default(),
            client: match &ehr.tls {
                Some(tls) => channel(
                    &format!("ehr:{}", site.id),
                    &ehr.base_url,
                    tls,
                    ehr.auth.as_ref(),
                    &site.delivery,
                )?,
                // Messages alone: nothing is sent over it.
                None => nobody()?.into(),
            },
        }))
    }

    /// The upstream platform.
    ///
    /// # Errors
    /// [`TlsError`] where its certificates cannot be used.
    pub fn upstream(upstream: &Upstream) -> Result<Self, TlsError> {
        Ok(Self {
            id: UPSTREAM.to_owned(),
            site: None,
            ways: vec![upstream.way.clone()],
            subject: SubjectForm::Pseudonym,
            filter: Filter::default(),
            bulk: true,
            summaries_in_chart: false,
            on_recovery: OnRecovery::All,
            timezone: TimeZone::UTC,
            base_url: upstream.base_url.trim_end_matches('/').to_owned(),
            ceiling: Ceiling::Full,
            consented: upstream.consent_permit,
            // It knows nobody by an identifier.
            verify_patient: VerifyPatient::Off,
            delivery: upstream.delivery.clone(),
            no_batches: Arc::default(),
            intents: None,
            client: channel(
                UPSTREAM,
                &upstream.base_url,
                &upstream.tls,
                upstream.auth.as_ref(),
                &upstream.delivery,
            )?,
        })
    }

    /// Whom the resources name there.
    pub fn subject(&self, key: PatientKey, secret: &SiteSecret, patient: i64) -> Subject {
        match self.subject {
            // The EHR's own id is put in when it is sent.
            SubjectForm::Identifier | SubjectForm::Lookup => Subject::Identifier(key),
            SubjectForm::Pseudonym => Subject::pseudonym(secret, &self.id, &patient.to_string()),
        }
    }

    /// Everything that its ways use, each once, and whether outcomes are written by it.
    pub fn uses(&self) -> Vec<(Capability, bool)> {
        let mut uses: Vec<(Capability, bool)> = Vec::new();
        for way in &self.ways {
            let apart = way.form.provenance
                && way.projection.provenance() != ProvenanceForm::None
                && !self.provenance_in_bundle(way);
            let apart = apart.then_some((PROVENANCE, false));
            for used in std::iter::once((way.carrier(), true)).chain(apart) {
                if !uses.contains(&used) {
                    uses.push(used);
                }
            }
        }
        for used in self.intents.iter().flat_map(IntentWay::uses) {
            if !uses.iter().any(|(known, _)| *known == used) {
                uses.push((used, false));
            }
        }
        uses
    }

    /// The release of FHIR in which it is asked about patients.
    pub fn release(&self) -> Release {
        self.ways.first().map_or(Release::R4, |way| way.form.release)
    }

    /// Where its messages of HL7 v2 go: destinations with queues of their own.
    pub fn receivers(&self) -> impl Iterator<Item = String> {
        self.ways.iter().filter_map(|way| way.outbound.as_deref()).map(crate::outbound::destination)
    }

    /// The kind of its rows in the queue of such a receiver, which may have rows of several sites.
    pub fn message_kind(&self) -> String {
        format!("{} of {}", MESSAGES.name(), self.site.as_deref().unwrap_or(&self.id))
    }

    /// The site of such a kind of rows; `None` where they hold no results.
    pub fn site_of_messages(kind: &str) -> Option<&str> {
        kind.strip_prefix(MESSAGES.name())?.strip_prefix(" of ")
    }

    /// The names of its forms, and of that in which what people want written goes there.
    pub fn forms(&self) -> impl Iterator<Item = &'static str> {
        let intents = self.intents.iter().map(|intents| &intents.way);
        self.ways.iter().chain(intents).map(|way| way.projection.name())
    }

    /// The way in which a row was made; `None` where the site no longer lists it.
    pub fn way(&self, form: &str) -> Option<&Way> {
        let intents = self.intents.iter().map(|intents| &intents.way);
        self.ways.iter().chain(intents).find(|way| way.projection.name() == form)
    }

    /// Whether the Provenance goes in the Bundle of its Observations: where the projection has it so, unless
    /// the site takes Observations and no Provenance; then it is a write of its own, deferred alone.
    pub fn provenance_in_bundle(&self, way: &Way) -> bool {
        let apart = self.ceiling.permits(way.carrier()) && !self.ceiling.permits(PROVENANCE);
        way.projection.provenance_in_bundle() && !apart
    }

    /// Why the token's scopes do not permit writes that need a capability; `None` where they do, or where no token tells. A
    /// message is no resource, and its receiver wants no token.
    pub fn unpermitted_write(&self, capability: Capability) -> Option<String> {
        (capability != MESSAGES).then(|| self.client.unpermitted_write(capability.resource.name())).flatten()
    }

    /// Whether the configuration permits writes that need a capability. Consent is a matter of each patient, and asked of
    /// the ledger.
    pub fn permits(&self, capability: Capability) -> bool {
        self.ceiling.permits(capability)
    }
}

/// The way to a destination. Tokens are asked for over a client of the same kind: the authority in `ca` signs both.
fn channel(
    id: &str,
    base_url: &str,
    files: &config::ClientTls,
    auth: Option<&Auth>,
    delivery: &Delivery,
) -> Result<Channel, TlsError> {
    let http = client(id, files, auth, delivery)?;
    let Some(auth) = auth else { return Ok(http.into()) };
    let settings = Settings {
        destination: id.to_owned(),
        base_url: base_url.trim_end_matches('/').to_owned(),
        client_id: auth.client_id.clone(),
        keys: auth.keys.clone(),
        token_url: auth.token_url.clone(),
        scopes: auth.scopes.clone(),
    };
    Ok(Channel::with_tokens(http.clone(), Authorizer::new(settings, http)))
}

/// A client that trusts nobody.
fn nobody() -> Result<reqwest::Client, TlsError> {
    let config = tls::client_config_of_nobody()?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy();
    client.build().map_err(|error| TlsError::Client(error.to_string()))
}

fn client(
    id: &str,
    files: &config::ClientTls,
    auth: Option<&Auth>,
    delivery: &Delivery,
) -> Result<Http, TlsError> {
    let headers = auth.map(Auth::headers).unwrap_or_default();
    let (timeout, connect_timeout) = (delivery.timeout, delivery.connect_timeout);
    Http::following(Presented::open(id, files)?, move |config| {
        tls::http_client(config, timeout)
            .default_headers(headers.clone())
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
    })
}

/// What a site's file permits at the most.
pub fn ceiling(permits: &Permits) -> Ceiling {
    match permits.mode {
        Mode::Shadow => Ceiling::Shadow,
        Mode::ReadOnly => Ceiling::ReadOnly,
        Mode::Partial => Ceiling::Partial(permits.allow.clone()),
        Mode::Full => Ceiling::Full,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An EHR with these forms that permits everything, and that nothing is sent to.
    pub(crate) fn destination(ways: Vec<Way>) -> Destination {
        Destination {
            id: "ehr:main".to_owned(),
            site: Some("main".to_owned()),
            ways,
            subject: SubjectForm::Identifier,
            filter: Filter::default(),
            bulk: true,
            summaries_in_chart: false,
            on_recovery: OnRecovery::All,
            timezone: TimeZone::UTC,
            base_url: "http://127.0.0.1:9".to_owned(),
            ceiling: Ceiling::Full,
            verify_patient: VerifyPatient::Off,
            consented: true,
            delivery: Delivery::default(),
            no_batches: Arc::default(),
            intents: None,
            client: nobody().unwrap().into(),
        }
    }
}

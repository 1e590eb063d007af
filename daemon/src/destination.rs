//! Somewhere we write: a site's EHR, or the upstream platform.

use std::time::Duration;

use clinical::{
    fhir::{
        identifier::SiteSecret, projection::Projection, release::Release, subject::Subject, summary::MeanUnit,
    },
    identity::PatientKey,
};

use crate::{
    config::{self, Capability, Delivery, Site, Upstream, VerifyPatient},
    mode::Ceiling,
    pipeline::resources::{PROVENANCE, SUMMARY},
    tls::{self, TlsError},
};

/// Id of the upstream platform among the destinations.
pub const UPSTREAM: &str = "upstream";

/// What a destination chooses within its projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The unit of mean glucose, and of all glucose under our own codes.
    pub glucose: MeanUnit,
    /// Whether what has no code in LOINC goes too, under our own.
    pub local_codes: bool,
    /// The release of FHIR.
    pub release: Release,
}

impl Default for Wire {
    /// What the guide has: mg/dL, its own codes, R4.
    fn default() -> Self {
        Self { glucose: MeanUnit::Mass, local_codes: false, release: Release::R4 }
    }
}

/// A destination, compiled from configuration.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `ehr:<site>` or `upstream`.
    pub id: String,
    /// The site whose EHR it is; `None` for upstream.
    pub site: Option<String>,
    /// Shape of what is written.
    pub projection: Projection,
    /// What it chooses within that.
    pub wire: Wire,
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
    /// The client, with our certificate.
    pub client: reqwest::Client,
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
            projection: projection(ehr.projection),
            wire: ehr.wire,
            base_url: ehr.base_url.trim_end_matches('/').to_owned(),
            ceiling: ceiling(&site.capability),
            consented: site.consent.permits(outbox::Purpose::Treatment, false),
            verify_patient: site.identity.verify_patient,
            delivery: site.delivery.clone(),
            client: client(&ehr.tls, &site.delivery)?,
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
            projection: projection(upstream.projection),
            wire: Wire::default(),
            base_url: upstream.base_url.trim_end_matches('/').to_owned(),
            ceiling: Ceiling::Full,
            consented: upstream.consent_permit,
            // It knows nobody by an identifier.
            verify_patient: VerifyPatient::Off,
            delivery: upstream.delivery.clone(),
            client: client(&upstream.tls, &upstream.delivery)?,
        })
    }

    /// Whom the resources name there.
    pub fn subject(&self, key: PatientKey, secret: &SiteSecret, patient: i64) -> Subject {
        match self.site {
            Some(_) => Subject::Identifier(key),
            None => Subject::pseudonym(secret, &self.id, &patient.to_string()),
        }
    }

    /// The kinds of row it takes.
    pub fn kinds(&self) -> &'static [&'static str] {
        if self.provenance_in_bundle() { &[SUMMARY] } else { &[SUMMARY, PROVENANCE] }
    }

    /// Whether the Provenance goes in the Bundle of its Observations: where the projection has it so, unless
    /// the site takes Observations and no Provenance; then it is a write of its own, deferred alone.
    pub fn provenance_in_bundle(&self) -> bool {
        let apart = self.ceiling.permits(SUMMARY) && !self.ceiling.permits(PROVENANCE);
        self.projection.provenance_in_bundle() && !apart
    }

    /// Whether the configuration permits writes of a kind. Consent is a matter of each patient, and asked of the ledger.
    pub fn permits(&self, kind: &str) -> bool {
        self.ceiling.permits(kind)
    }
}

fn client(files: &crate::config::ClientTls, delivery: &Delivery) -> Result<reqwest::Client, TlsError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(files)?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .timeout(delivery.timeout)
        .connect_timeout(delivery.connect_timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("isthmus/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| TlsError::Client(error.to_string()))
}

fn projection(configured: config::Projection) -> Projection {
    match configured {
        config::Projection::CgmIg => Projection::CgmIg,
        config::Projection::UpstreamSummary => Projection::UpstreamSummary,
    }
}

fn ceiling(capability: &Capability) -> Ceiling {
    match capability.mode {
        config::Mode::ReadOnly => Ceiling::ReadOnly,
        config::Mode::Partial => {
            Ceiling::Partial(capability.allow.iter().map(|kind| kind.name().to_owned()).collect())
        }
        config::Mode::Full => Ceiling::Full,
    }
}

//! One generation of configuration, compiled: what every part of the daemon looks things up in.
//!
//! A reload makes a new generation and swaps it in whole; nothing is ever changed in place, so that a part
//! that holds one sees one truth.

use std::{collections::BTreeMap, sync::Arc};

use clinical::{
    calendar::{CalendarError, Zone},
    identity::PatientRule,
    normalize::{clock, hl7v2::SenderCode},
};
use mllp::charset::Charset;
use tokio::sync::watch;

use crate::{
    config::{self, Config, PublishRule},
    destination::Destination,
    tls::TlsError,
};

/// Why a configuration that is valid as text cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// Certificates or keys cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// A zone is not in the bundled data.
    #[error("timezone {name:?}: {source}")]
    Zone {
        /// As configured.
        name: String,
        /// Why.
        source: CalendarError,
    },
}

/// A site, compiled.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its id.
    pub id: String,
    /// Its zone, for days and windows.
    pub zone: Zone,
    /// Its zone, for clock times without an offset.
    pub clock: clock::Zone,
    /// Which PID-3 repetition names the patient.
    pub patient: PatientRule,
    /// The policy's id, `standard/1`.
    pub policy: &'static str,
    /// What is published.
    pub publish: Vec<PublishRule>,
}

/// What is known of a sending application, compiled.
#[derive(Clone, Debug)]
pub struct Sender {
    application: String,
    facility: Option<String>,
    /// Its own codes for sensor glucose.
    pub codes: Vec<SenderCode>,
    /// Whether its MSH-7 offset holds for its times.
    pub trust_offset: bool,
}

/// A configuration in force.
#[derive(Debug)]
pub struct Generation {
    /// Counts from 1 in this process.
    pub number: u64,
    /// What it was compiled from.
    pub config: Config,
    /// Since when (ms UTC).
    pub since: i64,
    sites: BTreeMap<String, Site>,
    senders: Vec<Sender>,
    destinations: BTreeMap<String, Arc<Destination>>,
}

impl Generation {
    /// Compiles a valid configuration.
    ///
    /// # Errors
    /// Where certificates cannot be used, although they were readable.
    pub fn compile(number: u64, config: Config, since: i64) -> Result<Self, GenerationError> {
        let mut sites = BTreeMap::new();
        let mut destinations = BTreeMap::new();
        for site in config.sites.values() {
            sites.insert(site.id.clone(), compile_site(site)?);
            if let Some(ehr) = Destination::ehr(site)? {
                destinations.insert(ehr.id.clone(), Arc::new(ehr));
            }
        }
        if let Some(upstream) = &config.main.upstream {
            let upstream = Destination::upstream(upstream)?;
            destinations.insert(upstream.id.clone(), Arc::new(upstream));
        }
        let senders = config.main.senders.iter().map(compile_sender).collect();
        Ok(Self { number, config, since, sites, senders, destinations })
    }

    /// A site by its id.
    pub fn site(&self, id: &str) -> Option<&Site> {
        self.sites.get(id)
    }

    /// All sites.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    /// What is known of the sender named in MSH-3 and MSH-4.
    pub fn sender(&self, application: &[u8], facility: &[u8]) -> Option<&Sender> {
        self.senders.iter().find(|sender| {
            sender.application.as_bytes() == namespace(application)
                && sender.facility.as_ref().is_none_or(|wanted| wanted.as_bytes() == namespace(facility))
        })
    }

    /// The character set of what a source sends without naming one, where the configuration says so.
    pub fn charset_of(&self, source: &str) -> Option<Charset> {
        let spool = self.config.main.spools.iter().find(|spool| spool.name == source)?;
        Charset::named(&spool.charset).ok()
    }

    /// A destination by its id.
    pub fn destination(&self, id: &str) -> Option<Arc<Destination>> {
        self.destinations.get(id).cloned()
    }

    /// All destinations.
    pub fn destinations(&self) -> impl Iterator<Item = &Arc<Destination>> {
        self.destinations.values()
    }

    /// Where a site's outcomes go: its EHR, and upstream.
    pub fn destinations_of<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Arc<Destination>> {
        self.destinations().filter(move |destination| destination.site.as_deref().is_none_or(|of| of == site))
    }
}

/// The namespace id of an HD field: its first component.
fn namespace(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == b'^').next().unwrap_or_default()
}

fn compile_site(site: &config::Site) -> Result<Site, GenerationError> {
    let name = site.timezone.iana_name().unwrap_or("UTC");
    let refused = |source| GenerationError::Zone { name: name.to_owned(), source };
    Ok(Site {
        id: site.id.clone(),
        zone: Zone::named(name).map_err(refused)?,
        clock: clock::Zone::named(name).map_err(|_| refused(CalendarError::UnknownZone))?,
        patient: site.patient.clone(),
        policy: site.policy.name(),
        publish: site.publish.clone(),
    })
}

fn compile_sender(sender: &config::Sender) -> Sender {
    let code =
        |code: &config::SenderCode| SenderCode { code: code.code.clone(), system: code.system.clone() };
    Sender {
        application: sender.application.clone(),
        facility: sender.facility.clone(),
        codes: sender.codes.iter().map(code).collect(),
        trust_offset: sender.trust_offset,
    }
}

/// The generation in force; cheap to clone.
#[derive(Clone, Debug)]
pub struct Current(watch::Receiver<Arc<Generation>>);

/// Who may put a new generation in force.
#[derive(Debug)]
pub struct Switch(watch::Sender<Arc<Generation>>);

impl Current {
    /// Starts with a first generation.
    pub fn start(first: Generation) -> (Switch, Self) {
        let (sender, receiver) = watch::channel(Arc::new(first));
        (Switch(sender), Self(receiver))
    }

    /// The one in force.
    pub fn get(&self) -> Arc<Generation> {
        Arc::clone(&self.0.borrow())
    }

    /// Returns once another is in force; never where no more can come.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Switch {
    /// Puts a generation in force.
    pub fn put(&self, generation: Generation) {
        self.0.send_replace(Arc::new(generation));
    }
}

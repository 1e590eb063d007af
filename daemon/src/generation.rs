//! One generation of configuration, compiled: what every part of the daemon looks things up in.
//!
//! A reload makes a new generation and swaps it in whole; nothing is ever changed in place, so that a part
//! that holds one sees one truth.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use clinical::{
    calendar::{CalendarError, Zone},
    identity::PatientRule,
    normalize::{clock, hl7v2::SenderCode},
    policy::Policy,
};
use mllp::charset::Charset;
use tokio::sync::watch;

use crate::{
    config::{self, AllowedSender, Answering, Config, DEFAULT_CHARSET, PublishRule},
    destination::Destination,
    outbound::{self, Outbound},
    route::Routes,
    tls::{Presented, TlsError},
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
    /// What is made of merges and of further identifiers.
    pub identity: config::Identity,
    /// The policy's id, `standard`; the policy itself is [`Generation::policy`].
    pub policy: String,
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

/// A listener or a spool, as far as its messages are concerned.
#[derive(Debug)]
pub struct Source<'a> {
    /// The site of its messages, where no route says otherwise.
    pub site: &'a str,
    /// How they are judged.
    pub answering: Cow<'a, Answering>,
    /// Whose are taken; empty is anyone's.
    pub senders: &'a [AllowedSender],
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
    routes: Routes,
    destinations: BTreeMap<String, Arc<Destination>>,
    outbounds: BTreeMap<String, Outbound>,
    /// What the fleet's upstream is shown, and who of it is believed.
    fleet: Option<Arc<Presented>>,
    /// The same of the collector of audit entries.
    audit: Option<Arc<Presented>>,
    /// Destinations of application acknowledgements by the source they answer.
    returns: BTreeMap<String, String>,
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
        let outbounds = config.main.outbounds.iter().map(Outbound::compile);
        let outbounds = outbounds.map(|made| made.map(|outbound| (outbound.id.clone(), outbound)));
        let outbounds: BTreeMap<String, Outbound> = outbounds.collect::<Result<_, _>>()?;
        // The listeners of a reload are those before it: their return connection may be gone by now.
        let returns = config.main.mllp.iter().filter_map(|listener| {
            let back = outbound::destination(listener.application_acks.as_ref()?);
            outbounds.contains_key(&back).then(|| (listener.name.clone(), back))
        });
        let returns = returns.collect();
        let routes = Routes::compile(&config.main.routes);
        let main = &config.main;
        let fleet = main.fleet.as_ref().map(|fleet| Presented::open("fleet", &fleet.tls)).transpose()?;
        let audit = main.audit.as_ref().map(|audit| Presented::open("audit", &audit.tls)).transpose()?;
        Ok(Self {
            number,
            config,
            since,
            sites,
            senders,
            routes,
            destinations,
            outbounds,
            fleet,
            audit,
            returns,
        })
    }

    /// A site by its id.
    pub fn site(&self, id: &str) -> Option<&Site> {
        self.sites.get(id)
    }

    /// A policy about glucose by its id; `None` where neither the program nor the configuration has it.
    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.config.policies.policy(id)
    }

    /// All sites.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    /// Where messages go that are not for their listener's site or their type's handler.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The character set of messages of this source that name none in MSH-18.
    pub fn default_charset(&self, source: &str) -> Charset {
        self.source(source).map_or(DEFAULT_CHARSET, |source| source.answering.charset)
    }

    /// How messages of a source are judged, and whose they are; `None` where the configuration knows no listener and no
    /// spool of that name.
    pub fn source(&self, name: &str) -> Option<Source<'_>> {
        let main = &self.config.main;
        if let Some(listener) = main.mllp.iter().find(|listener| listener.name == name) {
            let (answering, senders) = (Cow::Borrowed(&listener.answering), &*listener.access.senders);
            return Some(Source { site: &listener.site, answering, senders });
        }
        let spool = main.spools.iter().find(|spool| spool.name == name)?;
        Some(Source { site: &spool.site, answering: Cow::Owned(spool.answering()), senders: &[] })
    }

    /// What is known of the sender with these namespace ids in MSH-3 and MSH-4.
    pub fn sender(&self, application: &[u8], facility: &[u8]) -> Option<&Sender> {
        self.senders.iter().find(|sender| {
            sender.application.as_bytes() == application
                && sender.facility.as_ref().is_none_or(|wanted| wanted.as_bytes() == facility)
        })
    }

    /// A destination by its id.
    pub fn destination(&self, id: &str) -> Option<Arc<Destination>> {
        self.destinations.get(id).cloned()
    }

    /// All destinations.
    pub fn destinations(&self) -> impl Iterator<Item = &Arc<Destination>> {
        self.destinations.values()
    }

    /// An MLLP destination by its id.
    pub fn outbound(&self, id: &str) -> Option<&Outbound> {
        self.outbounds.get(id)
    }

    /// All MLLP destinations.
    pub fn outbounds(&self) -> impl Iterator<Item = &Outbound> {
        self.outbounds.values()
    }

    /// What the fleet's upstream is shown; `None` where there is no `[fleet]`.
    pub fn fleet_presented(&self) -> Option<&Arc<Presented>> {
        self.fleet.as_ref()
    }

    /// What the collector of audit entries is shown; `None` where there is none.
    pub fn audit_presented(&self) -> Option<&Arc<Presented>> {
        self.audit.as_ref()
    }

    /// What is presented to each destination, to the fleet's upstream and to the collector of audit entries.
    pub fn presented(&self) -> Vec<Arc<Presented>> {
        let http = self.destinations().filter_map(|destination| destination.client.presented());
        let mllp = self.outbounds().filter_map(|outbound| outbound.target.tls.as_ref());
        http.chain(mllp).chain(&self.fleet).chain(&self.audit).cloned().collect()
    }

    /// The destination of application acknowledgements of messages from a source; `None` where it gets none.
    pub fn return_of(&self, source: &str) -> Option<&str> {
        self.returns.get(source).map(String::as_str)
    }

    /// What holds of consent at each site where the ledger says nothing.
    pub fn consent_defaults(&self) -> Vec<outbox::ConsentDefault> {
        let upstream = self.config.main.upstream.as_ref().is_some_and(|upstream| upstream.consent_permit);
        let of = |site: &config::Site| {
            outbox::Purpose::ALL.map(|purpose| outbox::ConsentDefault {
                site: site.id.clone(),
                purpose,
                permit: site.consent.permits(purpose, upstream),
            })
        };
        self.config.sites.values().flat_map(of).collect()
    }

    /// Where a site's outcomes go: its EHR, and upstream.
    pub fn destinations_of<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Arc<Destination>> {
        self.destinations().filter(move |destination| destination.site.as_deref().is_none_or(|of| of == site))
    }
}

fn compile_site(site: &config::Site) -> Result<Site, GenerationError> {
    let name = site.timezone.iana_name().unwrap_or("UTC");
    let refused = |source| GenerationError::Zone { name: name.to_owned(), source };
    Ok(Site {
        id: site.id.clone(),
        zone: Zone::named(name).map_err(refused)?,
        clock: clock::Zone::named(name).map_err(|_| refused(CalendarError::UnknownZone))?,
        patient: site.patient.clone(),
        identity: site.identity.clone(),
        policy: site.policy.clone(),
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

    /// Looks something up in the one in force: what a message costs, so nothing is counted or copied. Not to be held
    /// for long: a new generation waits meanwhile.
    pub fn with<T>(&self, look: impl FnOnce(&Generation) -> T) -> T {
        look(&self.0.borrow())
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
